//! How much gas a transaction gets.

use revm::primitives::hardfork::SpecId;

use super::feature::Feature;
use super::plan::Plan;
use super::random::Random;
use super::scene::Scene;

/// A gas limit: enough, or, if the block is about that, just too little for what the transaction wants to do.
pub(super) fn limit(scene: &Scene, plan: &Plan, random: &mut Random) -> u64 {
    let amsterdam = scene.fork >= SpecId::AMSTERDAM;
    let length = u64::try_from(plan.input.len()).unwrap_or(u64::MAX);
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let slots: usize = plan.access_list.iter().map(|item| item.storage_keys.len()).sum();
    // More than any fork charges before the first opcode runs.
    let intrinsic = 21_000
        + 68 * length
        + if plan.to.is_create() { 40_000 } else { 0 }
        + 6_000 * count(plan.access_list.len() + slots)
        + 30_000 * count(plan.authorizations.len());
    let growth = if amsterdam {
        200_000 * (1 + u64::from(plan.to.is_create()) + count(plan.authorizations.len()))
    } else {
        0
    };
    let short = scene.has(Feature::OutOfGas);
    let extra = if plan.feature == Feature::OutOfGas {
        random.within(0..=60_000)
    } else if plan.feature == Feature::Depth {
        random.within(100_000..=2_000_000)
    } else if plan.feature == Feature::Precompiles {
        random.within(0..=400_000)
    } else if short && random.chance(20) {
        random.within(0..=30_000)
    } else {
        random.within(150_000..=400_000) + growth * 3
    };
    intrinsic + growth + extra
}

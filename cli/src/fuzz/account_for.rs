//! Checks an outcome against what can be known without an EVM: where the ether went, and what the state root is.

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::U256;
use weft_engine::Outcome;

use super::case::Case;
use super::compare::Roots;
use super::feature::Feature;
use crate::world::World;

/// Features with contracts that can destroy themselves.
const DESTROYERS: [Feature; 4] =
    [Feature::Destruction, Feature::Factories, Feature::Creations, Feature::Chance];
/// Wei of a gwei.
const GWEI: u64 = 1_000_000_000;

/// Checks the outcome of a valid block.
///
/// # Errors
///
/// What does not add up, in words.
pub(super) fn check(case: &Case, outcome: &Outcome, roots: Option<&Roots>) -> Result<(), String> {
    if !case.is_whole() {
        return Ok(());
    }
    let mut after = case.world.clone();
    after.apply(&outcome.changes);
    if let Some(roots) = roots {
        let (expected, _) = after.witness().map_err(|error| format!("post-state: {error}"))?;
        match roots {
            Ok((found, _)) if *found == expected => {}
            Ok((found, _)) => return Err(format!("post-state root {found}, from nothing {expected}")),
            Err(error) => return Err(format!("post-state root: {error}, from a whole witness")),
        }
    }
    // Where balances overflow, ether is lost by other rules.
    if case.features.contains(&Feature::Limits) {
        return Ok(());
    }
    let gas = outcome.receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used);
    let burnt = U256::from(gas) * U256::from(case.base_fee);
    let blob_fee = case.rules().blobs.map_or(0, |blobs| blobs.calc_blob_fee(case.excess_blob_gas));
    let blobs = U256::from(outcome.blob_gas_used) * U256::from(blob_fee);
    let before = supply(&case.world) + rewards(case);
    let left = supply(&after) + burnt + blobs;
    // A contract that destroys itself in favour of itself takes its ether along.
    let may_vanish = case.features.iter().any(|feature| DESTROYERS.contains(feature));
    if left > before || (left < before && !may_vanish) {
        return Err(format!("{left} wei after the block and burnt, {before} before it"));
    }
    Ok(())
}

/// What all accounts own together.
fn supply(world: &World) -> U256 {
    world.accounts().map(|(_, account)| account.balance).sum()
}

/// Wei that the block itself creates.
fn rewards(case: &Case) -> U256 {
    let withdrawn: U256 =
        case.withdrawals.iter().map(|withdrawal| U256::from(withdrawal.amount) * U256::from(GWEI)).sum();
    let base = case.rules().block_reward.map_or(U256::ZERO, U256::from);
    let ommers = U256::from(case.ommers.len());
    let ommer = base * U256::from(7) / U256::from(8) + base / U256::from(32);
    let mined = if case.fork < EthereumHardfork::Paris { base + ommers * ommer } else { U256::ZERO };
    withdrawn + mined
}

//! From a seed to a block.

use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::Address;
use weft_engine::error::{BlockError, ExecuteError};
use weft_engine::{ReadyBlock, sequential};

use super::case::{Case, Store};
use super::feature::{self, Feature};
use super::invalid;
use super::random::Random;
use super::scene::Scene;
use super::transactions::{Act, Maker};
use crate::world::World;

/// Forks, each as often as it is named.
const FORKS: [EthereumHardfork; 24] = [
    EthereumHardfork::Frontier,
    EthereumHardfork::Homestead,
    EthereumHardfork::Tangerine,
    EthereumHardfork::SpuriousDragon,
    EthereumHardfork::Byzantium,
    EthereumHardfork::Petersburg,
    EthereumHardfork::Istanbul,
    EthereumHardfork::Berlin,
    EthereumHardfork::London,
    EthereumHardfork::Paris,
    EthereumHardfork::Shanghai,
    EthereumHardfork::Shanghai,
    EthereumHardfork::Cancun,
    EthereumHardfork::Cancun,
    EthereumHardfork::Cancun,
    EthereumHardfork::Prague,
    EthereumHardfork::Prague,
    EthereumHardfork::Prague,
    EthereumHardfork::Osaka,
    EthereumHardfork::Osaka,
    EthereumHardfork::Osaka,
    EthereumHardfork::Amsterdam,
    EthereumHardfork::Amsterdam,
    EthereumHardfork::Amsterdam,
];

/// How often a block that is invalid by accident is mended.
const REPAIRS: usize = 6;

/// The block of a seed.
pub(super) fn case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let random = &mut random;
    let fork = random.pick(&FORKS);
    let features = feature::draw(random);
    let mut case = Case {
        seed,
        fork,
        features: features.clone(),
        number: random.pick(&[1, 100, 300, 10_000]),
        gas_limit: 200_000_000,
        base_fee: 0,
        excess_blob_gas: random.pick(&[0, 0, 10_000_000, 60_000_000]),
        beneficiary: Address::ZERO,
        transactions: Vec::new(),
        withdrawals: Vec::new(),
        ommers: Vec::new(),
        world: World::default(),
        store: Store::Plain,
        ancestors: if random.chance(80) { 256 } else { random.within(0..=256) },
        delays: random.word(),
    };
    if fork >= EthereumHardfork::London {
        case.base_fee = random.pick(&[0, 7, 7, 1_000]);
    }
    if random.chance(35) {
        let mut withheld = |most| if random.chance(35) { random.within(1..=most) } else { 0 };
        let (withheld, withheld_codes) = (withheld(100), withheld(400));
        case.store = Store::Witness { withheld, withheld_codes, salt: random.word() };
    }
    let scene = Scene::new(case.rules().evm, features, random);
    case.beneficiary = scene.beneficiary;
    fill(&mut case, &scene, random);
    case.world = scene.world;
    mend(&mut case);
    case
}

/// Makes the transactions, and what else is in the body.
fn fill(case: &mut Case, scene: &Scene, random: &mut Random) {
    let most = if random.chance(1) { 250 } else { random.pick(&[3, 8, 8, 16, 16, 30, 60]) };
    let count = random.within(1..=most);
    let mut story = Vec::new();
    if scene.has(Feature::Factories) {
        // Destroyed, made, used: so often that some of it is left when other transactions have come in between.
        for _ in 0..random.below(4) {
            story.extend([Act::Count, Act::Make, Act::Destroy]);
        }
    }
    let mut maker = Maker { scene, base_fee: case.base_fee, random, story };
    case.transactions = (0..count).map(|_| maker.transaction()).collect();
    if scene.has(Feature::InvalidTransactions) {
        let index = random.below(case.transactions.len());
        invalid::spoil(&mut case.transactions[index], random);
        if random.chance(20) {
            // A block that is too small for what it holds.
            case.gas_limit = random.within(100_000..=10_000_000);
        }
    }
    if scene.has(Feature::Credits) {
        if case.fork >= EthereumHardfork::Shanghai {
            case.withdrawals = (0..random.within(1..=4))
                .map(|index| Withdrawal {
                    index,
                    validator_index: index,
                    address: random.pick(&scene.targets),
                    amount: random.pick(&[0, 1, 32]),
                })
                .collect();
        } else if case.fork < EthereumHardfork::Paris && case.number > 1 {
            case.ommers = (0..random.below(3)).map(|_| random.pick(&scene.targets)).collect();
        }
    }
}

/// Takes out transactions that are invalid by accident, so that most blocks get to their end.
fn mend(case: &mut Case) {
    if case.features.contains(&Feature::InvalidTransactions) {
        return;
    }
    let rules = case.rules();
    let Ok(state) = case.state() else { return };
    for _ in 0..REPAIRS {
        let block = case.block();
        let Ok(ready) = ReadyBlock::new(&rules, &block, None) else { return };
        let Err(ExecuteError::Block(BlockError::Transaction { index, .. })) =
            sequential::run(&ready, state.get())
        else {
            return;
        };
        if case.transactions.len() == 1 {
            return;
        }
        case.transactions.remove(index);
    }
}

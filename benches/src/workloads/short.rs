//! Short blocks of several kinds of transactions in turn, chosen at random: what holds in one stretch does not in the next,
//! and there is little time to find out.

use alloy_primitives::{Address, U256};

use super::adversarial::{self, GAS};
use super::tokens::{self, TRANSFER_GAS};
use super::transfers::stranger;
use super::{Plan, Scale};
use crate::contracts::{call, transfer};
use crate::random::Random;
use crate::scene::{Scene, Sent, Workload};

/// How many blocks there are.
const BLOCKS: usize = 48;
/// Transactions of the longest.
const LONGEST: usize = 1_500;
/// Numbers of people who send.
const PEOPLE: [usize; 5] = [3, 12, 60, 400, LONGEST];

/// What a stretch of a block does.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Pays accounts that were not there.
    Payments,
    /// Pays others who send.
    Exchanges,
    /// Pays one.
    Donations,
    /// Sends a token to others.
    Tokens,
    /// Writes a slot of one's own.
    Puts,
    /// Counts in one slot.
    Hits,
    /// Takes the next free slot of a list.
    Mints,
    /// Hashes for a while.
    Burns,
}

/// All of them.
const KINDS: [Kind; 8] = [
    Kind::Payments,
    Kind::Exchanges,
    Kind::Donations,
    Kind::Tokens,
    Kind::Puts,
    Kind::Hits,
    Kind::Mints,
    Kind::Burns,
];

/// Adds the workloads.
pub(super) fn plan(scale: Scale, plans: &mut Vec<Plan>) {
    for seed in 0..BLOCKS {
        plans.push(Plan::new(format!("short/{seed}"), move |name| block(name, seed as u64, scale)));
    }
}

/// A block of one to four stretches.
fn block(name: String, seed: u64, scale: Scale) -> Workload {
    let mut random = Random::new(seed);
    let people = PEOPLE[random.below(PEOPLE.len())];
    let count = scale.of(100 + random.below(LONGEST - 100));
    let mut scene = Scene::new(people);
    let adversary = adversarial::deploy(&mut scene);
    let token = tokens::deploy(&mut scene, 0, 0..people);
    let kinds: Vec<Kind> = (0..=random.below(4)).map(|_| KINDS[random.below(KINDS.len())]).collect();
    let burnt = 1 + random.below(40);
    for nth in 0..count {
        let (from, other) = random.pair(people);
        let ask = |input| Sent::call(from, adversary, input, GAS);
        scene.send(match kinds[nth * kinds.len() / count] {
            Kind::Payments => Sent::ether(from, stranger(nth), 1),
            Kind::Exchanges => Sent::ether(from, scene.address(other), 1),
            Kind::Donations => Sent::ether(from, Address::repeat_byte(0x0e), 1),
            Kind::Tokens => Sent::call(from, token, transfer(scene.address(other), 1), TRANSFER_GAS),
            Kind::Puts => ask(call("put(uint256,uint256)", [U256::from(1_000 + nth), U256::ONE])),
            Kind::Hits => ask(call("hit()", [])),
            Kind::Mints => ask(call("mint()", [])),
            Kind::Burns => ask(call("burn(uint256)", [U256::from(burnt)])),
        });
    }
    scene.finish(name)
}

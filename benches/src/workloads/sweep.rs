//! Transfers between random accounts: the fewer accounts, the more conflicts.

use super::tokens::{self, TRANSFER_GAS};
use super::{Plan, Scale};
use crate::contracts::transfer;
use crate::random::Random;
use crate::scene::{Scene, Sent, Workload};

/// Numbers of accounts.
const ACCOUNTS: [usize; 5] = [2, 10, 100, 1_000, 10_000];
/// Numbers of transactions.
const TRANSACTIONS: [usize; 2] = [1_000, 10_000];

/// Adds the workloads.
pub(super) fn plan(scale: Scale, plans: &mut Vec<Plan>) {
    for full in TRANSACTIONS {
        for accounts in ACCOUNTS {
            let count = scale.of(full);
            plans.push(Plan::new(format!("sweep/raw/n={full}/a={accounts}"), move |name| {
                raw(name, count, accounts)
            }));
            plans.push(Plan::new(format!("sweep/erc20/n={full}/a={accounts}"), move |name| {
                erc20(name, count, accounts)
            }));
        }
    }
}

/// Transfers of ether.
fn raw(name: String, count: usize, accounts: usize) -> Workload {
    let mut random = Random::new(3);
    let mut scene = Scene::new(accounts);
    for _ in 0..count {
        let (from, to) = random.pair(accounts);
        scene.send(Sent::ether(from, scene.address(to), 1));
    }
    scene.finish(name)
}

/// Transfers of one token.
fn erc20(name: String, count: usize, accounts: usize) -> Workload {
    let mut random = Random::new(3);
    let mut scene = Scene::new(accounts);
    let token = tokens::deploy(&mut scene, 0, 0..accounts);
    for _ in 0..count {
        let (from, to) = random.pair(accounts);
        scene.send(Sent::call(from, token, transfer(scene.address(to), 1), TRANSFER_GAS));
    }
    scene.finish(name)
}

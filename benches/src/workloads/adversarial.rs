//! Blocks that a hostile sender would choose: each is bad for some way of running in parallel.

use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, Bytes, U256};

use super::transfers::stranger;
use super::{Plan, Scale, tokens};
use crate::contracts::{Code, call};
use crate::scene::{CHAIN_ID, Scene, Sent, Workload};

/// Transactions of each block.
const TRANSACTIONS: usize = 1_000;
/// Rounds of hashing that take some hundred thousand gas.
const ROUNDS: u64 = 400;
/// Rounds of hashing that take some sixteen million gas.
const GIANT_ROUNDS: u64 = 60_000;
/// Slots that a scan reads.
const SCANNED: u64 = 200;
/// The first of them.
const SCANNED_FROM: u64 = 1 << 20;
/// Gas limit of calls.
pub(super) const GAS: u64 = 16_000_000;

/// Adds the workloads.
pub(super) fn plan(scale: Scale, plans: &mut Vec<Plan>) {
    let count = scale.of(TRANSACTIONS);
    let mut calls = |name: &str, input: fn(usize) -> Bytes| {
        plans.push(Plan::new(format!("adversarial/{name}"), move |name| all_call(name, count, input)));
    };
    calls("hot-slot", |_| call("hit()", []));
    calls("mint", |_| call("mint()", []));
    calls("late-conflict", |_| call("late(uint256)", [U256::from(ROUNDS)]));
    calls("early-conflict", |_| call("early(uint256)", [U256::from(ROUNDS)]));
    calls("scan-then-conflict", |_| call("scan(uint256,uint256)", [SCANNED_FROM, SCANNED].map(U256::from)));
    calls("cascade", |index| match index {
        0 => call("late(uint256)", [U256::from(GIANT_ROUNDS / 10)]),
        _ => call("follow()", []),
    });
    calls("beneficiary-readers", |_| call("coinbase()", []));
    calls("alike-slots", |index| {
        // The same in the low 64 bits and in the high ones.
        call("put(uint256,uint256)", [U256::from(index) << 64 | U256::from(7), U256::ONE])
    });
    calls("rebirth", |_| call("rebirth(bytes32)", [U256::from(1)]));
    calls("memory", |_| call("bomb(uint256,uint256)", [262_144, 16_384].map(U256::from)));
    plans.push(Plan::new("adversarial/giant-last", move |name| giant_last(name, count)));
    plans.push(Plan::new("adversarial/bad-nonce-first", move |name| bad_nonce_first(name, count)));
    plans.push(Plan::new("adversarial/redelegation", move |name| redelegation(name, count)));
    plans.push(Plan::new("adversarial/empty-transfers", move |name| empty_transfers(name, count)));
}

/// Everybody calls the adversary.
fn all_call(name: String, count: usize, input: fn(usize) -> Bytes) -> Workload {
    let mut scene = Scene::new(count);
    let adversary = deploy(&mut scene);
    for person in 0..count {
        scene.send(Sent::call(person, adversary, input(person), GAS));
    }
    scene.finish(name)
}

/// Small transfers, and at the end one long computation.
fn giant_last(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    let adversary = deploy(&mut scene);
    for person in 1..count {
        scene.send(Sent::ether(person, stranger(person), 1));
    }
    scene.send(Sent::call(0, adversary, call("burn(uint256)", [U256::from(GIANT_ROUNDS)]), 3 * GAS));
    scene.finish(name)
}

/// The first transaction makes the block invalid.
fn bad_nonce_first(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    for person in 0..count {
        let nonce_gap = u64::from(person == 0);
        scene.send(Sent { nonce_gap, ..Sent::ether(person, stranger(person), 1) });
    }
    scene.finish(name)
}

/// Everybody calls an account whose code is delegated anew by every tenth transaction.
fn redelegation(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count + 1);
    let adversaries = [deploy(&mut scene), tokens::address(0xad, 1)];
    scene.deploy(adversaries[1], &Code::adversary());
    let (delegate, mut delegations) = (scene.address(count), 0);
    for person in 0..count {
        let mut sent = Sent::call(person, delegate, call("hit()", []), GAS);
        if person % 10 == 0 {
            let address = adversaries[delegations % 2];
            let authorization =
                Authorization { chain_id: U256::from(CHAIN_ID), address, nonce: delegations as u64 };
            sent.delegations = vec![scene.people[count].authorize(authorization)];
            delegations += 1;
        }
        scene.send(sent);
    }
    scene.finish(name)
}

/// Everybody sends themselves nothing.
fn empty_transfers(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    for person in 0..count {
        scene.send(Sent::ether(person, scene.address(person), 0));
    }
    scene.finish(name)
}

/// Puts the adversary into the scene.
pub(super) fn deploy(scene: &mut Scene) -> Address {
    let adversary = tokens::address(0xad, 0);
    let storage = &mut scene.deploy(adversary, &Code::adversary()).storage;
    storage.insert(U256::ZERO, U256::from(5));
    storage.extend((SCANNED_FROM..SCANNED_FROM + SCANNED).map(|slot| (U256::from(slot), U256::from(slot))));
    adversary
}

//! Transfers of ether: 21,000 gas each.

use alloy_primitives::{Address, B256};

use super::{Plan, Scale};
use crate::scene::{Scene, Sent, Workload};

/// Transfers in a gas of 10⁹.
const GIGAGAS: usize = 47_620;
/// Transactions of the workloads with one sender or one recipient.
const HOT: usize = 10_000;

/// Adds the workloads.
pub(super) fn plan(scale: Scale, plans: &mut Vec<Plan>) {
    let (gigagas, hot) = (scale.of(GIGAGAS), scale.of(HOT));
    plans.push(Plan::new("raw/independent", move |name| independent(name, gigagas)));
    plans.push(Plan::new("raw/fresh", move |name| fresh(name, gigagas)));
    plans.push(Plan::new("raw/chain", move |name| chain(name, gigagas)));
    plans.push(Plan::new("raw/one-sender", move |name| one_sender(name, hot)));
    plans.push(Plan::new("raw/one-recipient", move |name| one_recipient(name, hot)));
}

/// Everybody pays themselves.
pub(super) fn independent(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    for person in 0..count {
        scene.send(Sent::ether(person, scene.address(person), 1));
    }
    scene.finish(name)
}

/// Everybody pays an account that was not there.
fn fresh(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    for person in 0..count {
        scene.send(Sent::ether(person, stranger(person), 1));
    }
    scene.finish(name)
}

/// Everybody pays the next, who has sent nothing yet.
fn chain(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    for person in 0..count {
        scene.send(Sent::ether(person, scene.address((person + 1) % count), 1));
    }
    scene.finish(name)
}

/// One pays many: a chain of nonces.
fn one_sender(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(1);
    for number in 0..count {
        scene.send(Sent::ether(0, stranger(number), 1));
    }
    scene.finish(name)
}

/// Many pay one.
fn one_recipient(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    let recipient = Address::repeat_byte(0x0e);
    scene.account(recipient).info.nonce = 1;
    for person in 0..count {
        scene.send(Sent::ether(person, recipient, 1));
    }
    scene.finish(name)
}

/// An address that nobody has the key of.
pub(super) fn stranger(number: usize) -> Address {
    Address::from_word(B256::left_padding_from(&(0x5_0000_0000 + number as u64).to_be_bytes()))
}

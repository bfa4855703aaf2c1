//! Transfers of ERC-20 tokens.

use alloy_primitives::{Address, U256};

use super::{Plan, Scale};
use crate::contracts::{Code, allowance_slot, balance_slot, transfer};
use crate::random::Random;
use crate::scene::{Scene, Sent, Workload};

/// Transfers in a gas of 10⁹.
const GIGAGAS: usize = 37_123;
/// Gas limit of a transfer.
pub(super) const TRANSFER_GAS: u64 = 80_000;
/// What everybody has of every token.
pub(super) const BALANCE: U256 = U256::from_limbs([0, 1 << 36, 0, 0]);

/// Adds the workloads.
pub(super) fn plan(scale: Scale, plans: &mut Vec<Plan>) {
    let gigagas = scale.of(GIGAGAS);
    plans.push(Plan::new("erc20/independent", move |name| independent(name, gigagas)));
    plans.push(Plan::new("erc20/chain", move |name| chain(name, gigagas)));
    let families = scale.of(15);
    plans.push(Plan::new("erc20/clusters", move |name| clusters(name, 10, families, 15, 15)));
}

/// Everybody sends a token to themselves.
pub(super) fn independent(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    let token = deploy(&mut scene, 0, 0..count);
    for person in 0..count {
        scene.send(Sent::call(person, token, transfer(scene.address(person), 1), TRANSFER_GAS));
    }
    scene.finish(name)
}

/// Everybody sends a token to the next, who has sent nothing yet.
fn chain(name: String, count: usize) -> Workload {
    let mut scene = Scene::new(count);
    let token = deploy(&mut scene, 0, 0..count);
    for person in 0..count {
        let next = scene.address((person + 1) % count);
        scene.send(Sent::call(person, token, transfer(next, 1), TRANSFER_GAS));
    }
    scene.finish(name)
}

/// Tokens, each with families whose members send it to each other.
fn clusters(name: String, tokens: usize, families: usize, members: usize, transfers: usize) -> Workload {
    let mut random = Random::new(1);
    let mut scene = Scene::new(tokens * families * members);
    for number in 0..tokens {
        let crowd = number * families * members..(number + 1) * families * members;
        let token = deploy(&mut scene, number, crowd.clone());
        for first in crowd.step_by(members) {
            for person in first..first + members {
                for _ in 0..transfers {
                    let other = scene.address(first + random.below(members));
                    scene.send(Sent::call(person, token, transfer(other, 1), TRANSFER_GAS));
                }
            }
        }
    }
    random.shuffle(scene.sent_mut());
    scene.finish(name)
}

/// Puts a token into the scene, of which these people have some.
pub(super) fn deploy(scene: &mut Scene, number: usize, owners: impl Iterator<Item = usize>) -> Address {
    let token = address(0x70, number);
    let owners: Vec<Address> = owners.map(|person| scene.address(person)).collect();
    let storage = &mut scene.deploy(token, &Code::token()).storage;
    storage.extend(owners.into_iter().map(|owner| (balance_slot(owner), BALANCE)));
    token
}

/// Lets `spender` have all of a token that a person has.
pub(super) fn allow(scene: &mut Scene, token: Address, person: usize, spender: Address) {
    let slot = allowance_slot(scene.address(person), spender);
    scene.account(token).storage.insert(slot, BALANCE);
}

/// Address of a contract of one kind.
pub(super) fn address(kind: u8, number: usize) -> Address {
    let mut bytes = [kind; 20];
    bytes[12..].copy_from_slice(&(number as u64).to_be_bytes());
    Address::from(bytes)
}

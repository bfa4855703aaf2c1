//! Long blocks of calls that seem to have nothing to do with each other, of which some have (invariant S1).

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use weft_engine::error::TransactionError;
use weft_engine::{InvalidTransactions, LeftOut, Outcome, SignedTransaction};

use crate::made::{Signer, World};

/// Adds one to the slot that the first word names: PUSH0 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1 SSTORE.
const COUNT: [u8; 9] = [0x5f, 0x35, 0x80, 0x54, 0x60, 0x01, 0x01, 0x90, 0x55];

/// Enough for strands to be tried, and to prove themselves, though nobody is restless.
const MANY: usize = 900;

/// How many of them the scheduler runs before strands are tried.
const BEFORE: u64 = 256;

/// One that runs when strands are tried the first time, and one that does when they have held.
const PLACES: [usize; 2] = [500, 850];

/// Where [`COUNT`] is.
fn counter() -> Address {
    Address::repeat_byte(0xc0)
}

/// Where another contract is.
fn other() -> Address {
    Address::repeat_byte(0xc1)
}

/// A call of the counter.
fn count(signer: &Signer, slot: usize) -> SignedTransaction {
    signer.call(0, counter(), U256::from(slot).to_be_bytes_vec())
}

/// A block in which each of many signers counts in a slot of his own, but for what `change` changes; and how many ran in
/// strands.
fn run(change: impl FnOnce(&mut World, &[Signer], &mut [SignedTransaction])) -> (Outcome, u64) {
    let signers: Vec<Signer> = (0..MANY as u64).map(Signer::new).collect();
    let mut world = World::default();
    world.gas_limit = 1_000_000_000;
    world.put(counter(), 1, COUNT.to_vec());
    for signer in &signers {
        world.put(signer.address(), 0, Vec::new());
    }
    let mut calls: Vec<_> = (0..).zip(&signers).map(|(slot, signer)| count(signer, slot)).collect();
    change(&mut world, &signers, &mut calls);
    let (outcome, in_strands) = world.run_counting(EthereumHardfork::Cancun, calls);
    (outcome.unwrap(), in_strands)
}

#[test]
fn s1_calls_that_are_apart_run_in_strands() {
    let (outcome, in_strands) = run(|_, _, _| ());
    assert_eq!(in_strands, MANY as u64 - BEFORE);
    assert!(
        (0..MANY)
            .all(|slot| { outcome.changes.changed_slot(counter(), U256::from(slot)) == Some(U256::from(1)) })
    );
}

#[test]
fn s1_two_in_one_slot_are_not_apart() {
    for place in PLACES {
        for before in [place - 1, 10] {
            let (outcome, in_strands) =
                run(|_, signers, calls| calls[place] = count(&signers[place], before));
            // The tenth has run long before.
            assert_eq!(in_strands == MANY as u64 - BEFORE, before == 10);
            let counted = outcome.changes.changed_slot(counter(), U256::from(before));
            assert_eq!(counted, Some(U256::from(2)));
        }
    }
}

/// Nothing that a transaction says tells whom the contract looks at.
#[test]
fn s1_who_looks_at_a_balance_sees_what_was_paid_before() {
    let [place, _] = PLACES;
    for seen in [Some(place - 1), Some(place + 1), None] {
        run(|world, signers, calls| {
            let whom = seen.map_or(world.beneficiary, |seen| signers[seen].address());
            // PUSH20 `whom` BALANCE PUSH0 SSTORE.
            world.put(other(), 1, [&[0x73], whom.as_slice(), &[0x31, 0x5f, 0x55]].concat());
            calls[place] = signers[place].call(0, other(), Vec::new());
        });
    }
}

#[test]
fn s1_an_account_that_is_made_is_there_for_the_next() {
    // PUSH1 1 PUSH0 MSTORE8 PUSH1 1 PUSH0 RETURN.
    const INIT: [u8; 9] = [0x60, 0x01, 0x5f, 0x53, 0x60, 0x01, 0x5f, 0xf3, 0x00];
    let [_, place] = PLACES;
    run(|world, signers, calls| {
        let made = signers[place].address().create(0);
        calls[place] = signers[place].create(0, INIT.to_vec());
        // PUSH20 `made` EXTCODESIZE PUSH0 SSTORE.
        world.put(other(), 1, [&[0x73], made.as_slice(), &[0x3b, 0x5f, 0x55]].concat());
        calls[place + 1] = signers[place + 1].call(0, other(), Vec::new());
    });
}

#[test]
fn s1_what_cannot_be_part_of_the_block_is_left_out() {
    let [place, _] = PLACES;
    let (outcome, _) = run(|world, signers, calls| {
        world.invalid = InvalidTransactions::Skip;
        calls[place] = signers[place].call(7, counter(), Vec::new());
    });
    assert_eq!(outcome.left_out.len(), 1);
}

/// The gas limit is reached while strands run, which know nothing of it.
#[test]
fn s1_what_finds_no_room_is_left_out() {
    for place in PLACES {
        let (outcome, _) = run(|world, _, _| {
            world.invalid = InvalidTransactions::Skip;
            world.gas_limit = 44_000 * place as u64;
        });
        let LeftOut { index, reason, .. } = &outcome.left_out[0];
        assert!(matches!(reason, TransactionError::GasLimit { .. }));
        assert!((place - 150..place + 150).contains(index), "{index}");
    }
}

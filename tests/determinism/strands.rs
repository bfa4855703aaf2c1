//! Long blocks of calls that seem to have nothing to do with each other, of which some have (invariant S1).

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use weft_engine::error::TransactionError;
use weft_engine::{InvalidTransactions, LeftOut, Outcome, SignedTransaction};

use crate::made::{InStrands, Signer, World};

/// Adds one to the slot that the first word names: PUSH3 0x14000 MLOAD POP, PUSH0 CALLDATALOAD DUP1 SLOAD PUSH1 1 ADD SWAP1
/// SSTORE. The memory costs 20,000 gas, so that the scheduler pays where gas stands for time.
const COUNT: [u8; 15] =
    [0x62, 0x01, 0x40, 0x00, 0x51, 0x50, 0x5f, 0x35, 0x80, 0x54, 0x60, 0x01, 0x01, 0x90, 0x55];

/// Enough for strands to be tried, and to prove themselves, though nobody is restless; and for two threads to share in
/// what comes after them.
const MANY: usize = 1_100;

/// How many of them the scheduler runs before strands are tried.
const BEFORE: u64 = 256;

/// One that runs when strands are tried the first time, and one that does when they have held. Strands are tried on as many
/// transactions as have run by then, so that no try but the first begins at an odd one: each of these and those before it
/// are in one stretch, also where speculation ends early since a thread came late.
const PLACES: [usize; 2] = [501, 851];

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
fn run(change: impl FnOnce(&mut World, &[Signer], &mut [SignedTransaction])) -> (Outcome, InStrands) {
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
    assert!(in_strands.restless > 0, "they try everywhere");
    (outcome.unwrap(), in_strands)
}

/// Those that run in strands where all are apart, at least.
const ALL: u64 = MANY as u64 - BEFORE;

#[test]
fn s1_calls_that_are_apart_run_in_strands() {
    let (outcome, in_strands) = run(|_, _, _| ());
    assert!(in_strands.least() >= ALL);
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
            // Slot 10 was counted long before.
            assert_eq!(in_strands.least() >= ALL, before == 10);
            assert_eq!(in_strands.most() >= ALL, before == 10);
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
        let (_, in_strands) = run(|world, signers, calls| {
            let whom = seen.map_or(world.beneficiary, |seen| signers[seen].address());
            // PUSH20 `whom` BALANCE PUSH0 SSTORE.
            world.put(other(), 1, [&[0x73], whom.as_slice(), &[0x31, 0x5f, 0x55]].concat());
            calls[place] = signers[place].call(0, other(), Vec::new());
        });
        assert!(in_strands.most() < ALL);
    }
}

/// One toggles a slot and toggles it back, and it looks as if nobody had touched it; two others look at it meanwhile, and
/// at least one of them is in another strand.
#[test]
fn s1_what_is_changed_back_was_changed() {
    // CALLDATASIZE PUSH1 9 JUMPI, PUSH0 SLOAD CALLER SSTORE STOP, JUMPDEST PUSH0 SLOAD ISZERO PUSH0 SSTORE.
    const TOGGLE: [u8; 16] =
        [0x36, 0x60, 0x09, 0x57, 0x5f, 0x54, 0x33, 0x55, 0x00, 0x5b, 0x5f, 0x54, 0x15, 0x5f, 0x55, 0x00];
    for place in PLACES {
        let (outcome, in_strands) = run(|world, signers, calls| {
            world.put(other(), 1, TOGGLE.to_vec());
            calls[place] = signers[place].call(0, other(), vec![1]);
            calls[place + 1] = signers[place + 1].call(0, other(), Vec::new());
            calls[place + 2] = signers[place + 2].call(0, other(), Vec::new());
            calls[place + 3] = signers[place].call(1, other(), vec![1]);
        });
        assert!(in_strands.most() < ALL);
        let seen = outcome.changes.bundle.state[&other()].storage.values();
        assert_eq!(seen.filter(|slot| slot.present_value == U256::ONE).count(), 2, "both saw it");
    }
}

/// The same with ether that passes through an account.
#[test]
fn s1_what_has_passed_through_was_there() {
    // CALLVALUE PUSH1 13 JUMPI, then the sender gets all there is: four zeros, SELFBALANCE ORIGIN GAS CALL.
    const PURSE: [u8; 14] =
        [0x34, 0x60, 0x0d, 0x57, 0x5f, 0x5f, 0x5f, 0x5f, 0x47, 0x32, 0x5a, 0xf1, 0x00, 0x5b];
    let purse = Address::repeat_byte(0xc2);
    for place in PLACES {
        let (_, in_strands) = run(|world, signers, calls| {
            world.put(purse, 1, PURSE.to_vec());
            world.set_balance(purse, U256::ZERO);
            // PUSH20 `purse` BALANCE CALLER SSTORE.
            world.put(other(), 1, [&[0x73], purse.as_slice(), &[0x31, 0x33, 0x55]].concat());
            calls[place] = signers[place].pay_with_gas(0, purse, 5, 50_000);
            calls[place + 1] = signers[place + 1].call(0, other(), Vec::new());
            calls[place + 2] = signers[place + 2].call(0, other(), Vec::new());
            calls[place + 3] = signers[place].call(1, purse, Vec::new());
        });
        assert!(in_strands.most() < ALL);
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
            world.gas_limit = 65_000 * place as u64;
        });
        let LeftOut { index, reason, .. } = &outcome.left_out[0];
        assert!(matches!(reason, TransactionError::GasLimit { .. }));
        assert!((place - 150..place + 150).contains(index), "{index}");
    }
}

/// Who is misled would burn all of his gas, a hundred times what it takes otherwise.
#[test]
fn who_is_misled_costs_strands_no_more_than_a_part() {
    // With data, CALLDATASIZE ISZERO PUSH1 10 JUMPI, PUSH1 1 PUSH0 SSTORE STOP; without, JUMPDEST, PUSH0 SLOAD PUSH1 20 JUMPI,
    // JUMPDEST PUSH1 16 JUMP, JUMPDEST.
    const BURN: [u8; 21] = [
        0x36, 0x15, 0x60, 0x0a, 0x57, 0x60, 0x01, 0x5f, 0x55, 0x00, 0x5b, 0x5f, 0x54, 0x60, 0x14, 0x57, 0x5b,
        0x60, 0x10, 0x56, 0x5b,
    ];
    let (outcome, in_strands) = run(|world, signers, calls| {
        world.put(other(), 1, BURN.to_vec());
        let [place, _] = PLACES;
        calls[place] = signers[place].call(0, other(), vec![1]);
        for burner in place + 1..MANY {
            calls[burner] = signers[burner].call_with_gas(0, other(), 30_000_000);
        }
    });
    assert!(in_strands.most() < PLACES[0] as u64);
    assert_eq!(in_strands.in_vain, 0, "they are not tried where somebody may use so much");
    assert!(outcome.receipts.iter().all(|receipt| receipt.status.coerce_status()), "none has burnt it");
}

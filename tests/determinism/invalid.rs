//! Blocks with transactions that cannot be part of them, under each policy.

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use weft_engine::error::{BlockError, ExecuteError, TransactionError};
use weft_engine::{InvalidTransactions, LeftOut, Outcome, SignedTransaction};

use crate::made::{Signer, World};

/// Counts its calls in slot 0: PUSH0 SLOAD PUSH1 1 ADD PUSH0 SSTORE.
const COUNTER: [u8; 7] = [0x5f, 0x54, 0x60, 0x01, 0x01, 0x5f, 0x55];

/// Where the counter is.
fn counter() -> Address {
    Address::repeat_byte(0xc0)
}

/// Runs transactions of these signers in a block of a million gas with a counter.
fn run(
    invalid: InvalidTransactions,
    signers: &[Signer],
    transactions: Vec<SignedTransaction>,
) -> Result<Outcome, ExecuteError> {
    let mut world = World::default();
    world.gas_limit = 1_000_000;
    world.invalid = invalid;
    world.put(counter(), 1, COUNTER.to_vec());
    for signer in signers {
        world.put(signer.address(), 0, Vec::new());
    }
    world.run(EthereumHardfork::Cancun, transactions)
}

/// Every second call asks for nearly all the gas of the block, so that only the first few find room. The others have
/// run by then, and have counted.
#[test]
fn what_found_no_room_has_not_run() {
    let signers: Vec<Signer> = (0..40).map(Signer::new).collect();
    let gas = |index: usize| if index.is_multiple_of(2) { 900_000 } else { 100_000 };
    let calls = || {
        let call = |(index, signer): (usize, &Signer)| signer.call_with_gas(0, counter(), gas(index));
        signers.iter().enumerate().map(call).collect::<Vec<_>>()
    };
    let outcome = run(InvalidTransactions::Skip, &signers, calls()).unwrap();
    let left_out: Vec<usize> = outcome.left_out.iter().map(|left_out| left_out.index).collect();
    let first = left_out[0];
    // The third has paid for more than the 100,000 that they leave.
    assert_eq!(left_out, (first..40).step_by(2).collect::<Vec<_>>());
    assert!((2..=4).contains(&first));
    assert!(outcome.left_out.iter().all(|LeftOut { reason, .. }| matches!(
        reason,
        TransactionError::GasLimit { gas_limit: 900_000, .. }
    )));
    assert_eq!(outcome.receipts.len() + left_out.len(), 40);
    assert_eq!(outcome.changes.changed_slot(counter(), U256::ZERO), Some(U256::from(outcome.receipts.len())));

    let stopped = run(InvalidTransactions::Stop, &signers, calls()).unwrap();
    assert_eq!(stopped.receipts, outcome.receipts[..first]);
    assert_eq!(stopped.left_out, outcome.left_out[..1]);

    let rejected = run(InvalidTransactions::Reject, &signers, calls()).unwrap_err();
    let reason = outcome.left_out[0].reason.clone();
    assert_eq!(rejected, BlockError::Transaction { index: first, reason }.into());
}

/// A nonce too high, and the right one behind it.
#[test]
fn a_gap_in_the_nonces_is_passed_over() {
    let signers = [Signer::new(1), Signer::new(2)];
    let call = |nonce| signers[0].call_with_gas(nonce, counter(), 60_000);
    let calls =
        || vec![call(0), call(2), call(1), signers[1].call_with_gas(0, counter(), 60_000), call(2), call(2)];
    let outcome = run(InvalidTransactions::Skip, &signers, calls()).unwrap();
    let left_out: Vec<usize> = outcome.left_out.iter().map(|left_out| left_out.index).collect();
    assert_eq!(left_out, [1, 5]);
    assert_eq!(outcome.changes.changed_slot(counter(), U256::ZERO), Some(U256::from(4)));
    let stopped = run(InvalidTransactions::Stop, &signers, calls()).unwrap();
    assert_eq!((stopped.receipts.len(), stopped.left_out.len()), (1, 1));
}

/// Short calls, of which the engine takes samples in order before it speculates: first a chain, then some that keep apart.
/// Here and there is one that cannot be part of the block, also in the midst of a sample.
#[test]
fn samples_are_of_what_can_be_part_of_the_block_and_what_cannot() {
    let signers: Vec<Signer> = (0..600).map(Signer::new).collect();
    let is_invalid =
        |index: usize| matches!(index, 3 | 12 | 20..25 | 70 | 130 | 250 | 599) || index % 64 == 50;
    let call = |(index, signer): (usize, &Signer)| {
        let to = if index < 400 { counter() } else { signer.address() };
        signer.call(u64::from(is_invalid(index)), to, vec![1])
    };
    let run = |first: usize, invalid| {
        let mut world = World::default();
        (world.invalid, world.gas_limit) = (invalid, 200_000_000);
        // Who is expected to take long is no part of a sample.
        world.gas_used = 600 * 30_000;
        world.put(counter(), 1, COUNTER.to_vec());
        for signer in &signers {
            world.put(signer.address(), 0, Vec::new());
        }
        let calls = signers.iter().enumerate().skip(first).map(call).collect();
        world.run(EthereumHardfork::Cancun, calls).unwrap()
    };
    let outcome = run(0, InvalidTransactions::Skip);
    let left_out: Vec<usize> = outcome.left_out.iter().map(|left_out| left_out.index).collect();
    assert_eq!(left_out, (0..600).filter(|index| is_invalid(*index)).collect::<Vec<_>>());
    let counted = (0..400).filter(|index| !is_invalid(*index)).count();
    assert_eq!(outcome.changes.changed_slot(counter(), U256::ZERO), Some(U256::from(counted)));
    for (first, valid) in [(0, 3), (4, 8), (26, 24)] {
        let stopped = run(first, InvalidTransactions::Stop);
        assert_eq!((stopped.receipts.len(), stopped.left_out[0].index), (valid, valid));
    }
}

//! Three inputs on which a published parallel engine gives a wrong state or no answer at all.

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use revm::context_interface::result::InvalidTransaction;
use weft_engine::error::{BlockError, ExecuteError, TransactionError};

use crate::made::{Signer, World};

/// `storage[calldata[0]] = storage[calldata[1]] + calldata[2]`.
const ADD_AND_STORE: [u8; 13] =
    [0x60, 0x40, 0x35, 0x60, 0x20, 0x35, 0x54, 0x01, 0x60, 0x00, 0x35, 0x55, 0x00];

/// Calldata of [`ADD_AND_STORE`].
fn add_and_store(to: U256, from: U256, amount: u64) -> Vec<u8> {
    [to, from, U256::from(amount)].map(|word| word.to_be_bytes::<32>()).concat()
}

/// Slots whose third limb is the factor by which a fast hash multiplies all others to zero have one hash in common.
/// An engine that takes the hash for the location reads the first transaction's write in the second.
#[test]
fn slots_with_one_hash_in_common_are_two_locations() {
    const FACTOR: u64 = 0x1319_8a2e_0370_7344;
    let slot = |low: u64| U256::from_limbs([low, 1, FACTOR, 2]);
    let contract = Address::repeat_byte(0xcc);
    let [first, second] = [1, 2].map(Signer::new);
    let mut world = World::default();
    world.put(contract, 1, ADD_AND_STORE.to_vec());
    world.put(first.address(), 0, Vec::new());
    world.put(second.address(), 0, Vec::new());
    let transactions = vec![
        first.call(0, contract, add_and_store(slot(10), U256::ZERO, 5)),
        second.call(0, contract, add_and_store(U256::from(3), slot(11), 1)),
    ];
    let outcome = world.run(EthereumHardfork::Cancun, transactions).unwrap();
    assert_eq!(outcome.changes.changed_slot(contract, slot(10)), Some(U256::from(5)));
    assert_eq!(outcome.changes.changed_slot(contract, U256::from(3)), Some(U256::from(1)));
    assert_eq!(outcome.changes.changed_slot(contract, slot(11)), None);
}

/// An account that is delegated to one contract is delegated to another in the first transaction, and called in the
/// second: the second contract runs (EIP-7702).
#[test]
fn a_delegation_that_changes_within_the_block_is_followed() {
    let store = |value: u8| vec![0x60, value, 0x60, 0x00, 0x55, 0x00];
    let [old, new] = [0xa1, 0xa2].map(Address::repeat_byte);
    let [authority, sponsor, caller] = [1, 2, 3].map(Signer::new);
    let mut world = World::default();
    world.put(old, 1, store(1));
    world.put(new, 1, store(2));
    world.put(authority.address(), 1, [&[0xef, 0x01, 0x00], old.as_slice()].concat());
    world.put(sponsor.address(), 0, Vec::new());
    world.put(caller.address(), 0, Vec::new());
    world.put_request_contracts();
    let delegate = sponsor.delegate(0, (&authority, 1), new);
    let transactions = vec![delegate, caller.call(0, authority.address(), Vec::new())];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    assert_eq!(outcome.changes.changed_slot(authority.address(), U256::ZERO), Some(U256::from(2)));
}

/// A nonce that is too high makes the block invalid at that transaction; nobody waits for the ones below it to
/// make it right.
#[test]
fn a_nonce_too_high_is_an_error_and_not_a_hang() {
    let to = Address::repeat_byte(0xdd);
    let signers = [1, 2, 3].map(Signer::new);
    let mut world = World::default();
    for signer in &signers {
        world.put(signer.address(), 0, Vec::new());
    }
    let transactions = vec![
        signers[0].call(0, to, Vec::new()),
        signers[1].call(7, to, Vec::new()),
        signers[2].call(0, to, Vec::new()),
    ];
    let error = world.run(EthereumHardfork::Cancun, transactions).unwrap_err();
    let reason = TransactionError::Invalid(InvalidTransaction::NonceTooHigh { tx: 7, state: 0 });
    assert_eq!(error, ExecuteError::Block(BlockError::Transaction { index: 1, reason }));
}

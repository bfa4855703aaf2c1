//! Accounts that have storage and neither nonce nor code. No block makes one; a genesis may.

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};

use crate::made::{Signer, World};

/// Copies slot 0 of the account that runs it to slot 1.
const COPY_SLOT: [u8; 7] = [0x60, 0x00, 0x54, 0x60, 0x01, 0x55, 0x00];

/// Writes 9 to slot 1 of the account that is created, and leaves no code.
const INIT: [u8; 6] = [0x60, 0x09, 0x60, 0x01, 0x55, 0x00];

/// EIP-7610: the creation fails and takes all gas; the account stays as it is.
#[test]
fn nothing_is_created_onto_storage() {
    let signer = Signer::new(1);
    let taken = signer.address().create(0);
    let mut world = World::default();
    world.put(signer.address(), 0, Vec::new());
    world.put_bare_storage(taken, 5, U256::ZERO, U256::from(7));
    let transactions = vec![signer.create(0, INIT.to_vec()), signer.create(1, INIT.to_vec())];
    let outcome = world.run(EthereumHardfork::Cancun, transactions).unwrap();
    let succeeded: Vec<bool> =
        outcome.receipts.iter().map(|receipt| receipt.status.coerce_status()).collect();
    assert_eq!(succeeded, [false, true]);
    assert_eq!(outcome.receipts[0].cumulative_gas_used, 200_000);
    assert_eq!(outcome.changes.changed_slot(taken, U256::from(1)), None);
}

/// From Amsterdam on, a creation looks at nonce and code alone.
#[test]
fn amsterdam_creates_onto_storage() {
    let signer = Signer::new(1);
    let taken = signer.address().create(0);
    let mut world = World::default();
    world.put(signer.address(), 0, Vec::new());
    world.put_bare_storage(taken, 5, U256::ZERO, U256::from(7));
    world.put_request_contracts();
    let outcome = world.run(EthereumHardfork::Amsterdam, vec![signer.create(0, INIT.to_vec())]).unwrap();
    assert!(outcome.receipts[0].status.coerce_status());
}

/// A change of balance or nonce leaves storage as it is, and so does a delegation; however far the block has been
/// committed when the slot is read for the first time.
#[test]
fn an_account_that_is_delegated_keeps_its_storage() {
    let [busy, giver, caller, reader] = [1, 2, 3, 4].map(Signer::new);
    let authority = Signer::new(9);
    let [code, spinner] = [Address::repeat_byte(0xc0), Address::repeat_byte(0xc1)];
    let mut world = World::default();
    for signer in [&busy, &giver, &caller, &reader] {
        world.put(signer.address(), 0, Vec::new());
    }
    world.put(code, 1, COPY_SLOT.to_vec());
    // Counts down for a while, so that others run before it is committed.
    world.put(spinner, 1, vec![0x61, 0x0f, 0xff, 0x5b, 0x60, 0x01, 0x90, 0x03, 0x80, 0x60, 0x03, 0x57, 0x00]);
    world.put_request_contracts();
    world.put_bare_storage(authority.address(), 5, U256::ZERO, U256::from(7));
    let transactions = vec![
        busy.call(0, spinner, Vec::new()),
        giver.call(0, authority.address(), Vec::new()),
        caller.delegate(0, (&authority, 0), code),
        reader.call(0, authority.address(), Vec::new()),
    ];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    assert!(outcome.receipts.iter().all(|receipt| receipt.status.coerce_status()));
    assert_eq!(outcome.changes.changed_slot(authority.address(), U256::from(1)), Some(U256::from(7)));
    assert!(!outcome.changes.wiped.contains(&authority.address()));
}

/// EIP-161: an empty account that is touched goes, and its storage with it. Whoever comes to its address later in
/// the block finds no storage: neither a creation nor a delegation does.
#[test]
fn an_account_removed_when_touched_leaves_no_storage() {
    let [signer, toucher, authority, caller] = [1, 2, 3, 4].map(Signer::new);
    let code = Address::repeat_byte(0xc0);
    let freed = signer.address().create(0);
    let mut world = World::default();
    for signer in [&signer, &toucher, &caller] {
        world.put(signer.address(), 0, Vec::new());
    }
    world.put(code, 1, COPY_SLOT.to_vec());
    world.put_request_contracts();
    for address in [freed, authority.address()] {
        world.put_bare_storage(address, 0, U256::ZERO, U256::from(7));
    }
    let transactions = vec![
        toucher.call(0, freed, Vec::new()),
        toucher.call(1, authority.address(), Vec::new()),
        signer.create(0, INIT.to_vec()),
        caller.delegate(0, (&authority, 0), code),
        caller.call(1, authority.address(), Vec::new()),
    ];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    assert!(outcome.receipts.iter().all(|receipt| receipt.status.coerce_status()));
    assert_eq!(outcome.changes.changed_slot(freed, U256::from(1)), Some(U256::from(9)));
    assert_eq!(outcome.changes.changed_slot(authority.address(), U256::from(1)), None, "it copied a zero");
    for address in [freed, authority.address()] {
        assert!(outcome.changes.wiped.contains(&address));
    }
}

/// The same for the beneficiary, whom a transaction without tip removes, and whose account the engines keep apart.
#[test]
fn a_beneficiary_removed_when_touched_leaves_no_storage() {
    let beneficiary = Signer::new(9);
    let [toucher, caller] = [1, 2].map(Signer::new);
    let code = Address::repeat_byte(0xc0);
    let mut world = World::default();
    world.beneficiary = beneficiary.address();
    // A base fee equal to the fee cap leaves no tip.
    world.base_fee = 100;
    for signer in [&toucher, &caller] {
        world.put(signer.address(), 0, Vec::new());
    }
    world.put(code, 1, COPY_SLOT.to_vec());
    world.put_request_contracts();
    world.put_bare_storage(beneficiary.address(), 0, U256::ZERO, U256::from(7));
    let transactions = vec![
        toucher.call(0, Address::repeat_byte(0xdd), Vec::new()),
        caller.delegate(0, (&beneficiary, 0), code),
        caller.call(1, beneficiary.address(), Vec::new()),
    ];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    assert_eq!(outcome.changes.changed_slot(beneficiary.address(), U256::from(1)), None);
    assert!(outcome.changes.wiped.contains(&beneficiary.address()));
}

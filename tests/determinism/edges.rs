//! What happens around the transactions: before the first, and after the last.

use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};

use crate::made::{Signer, World};

/// A withdrawal to a contract that a system call then runs: both share one index of the access list (EIP-7928), and
/// the balance must be in it.
#[test]
fn a_withdrawal_to_a_request_contract_is_in_the_access_list() {
    let mut world = World::default();
    world.put_request_contracts();
    world.withdrawals = vec![(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, 5)];
    let outcome = world.run(EthereumHardfork::Amsterdam, Vec::new()).unwrap();
    let list = outcome.block_access_list.unwrap();
    let account =
        list.iter().find(|account| account.address == WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS).unwrap();
    let balances: Vec<U256> = account.balance_changes.iter().map(|change| change.post_balance).collect();
    assert_eq!(balances, [U256::from(10).pow(U256::from(18)) + U256::from(5_000_000_000_u64)]);
}

/// The first system call touches an empty account with storage, which removes it (EIP-161). Code that is delegated to
/// the account later finds no storage.
#[test]
fn an_account_removed_before_the_transactions_has_no_storage_in_them() {
    let code = Address::repeat_byte(0xc0);
    let [authority, caller] = [1, 2].map(Signer::new);
    // Calls the authority without value: five zeros (return and call data, value), its address, gas; stop.
    let target = authority.address();
    let call = [&[0x60, 0x00].repeat(5)[..], &[0x73], target.as_slice(), &[0x5a, 0xf1, 0x00]].concat();
    let mut world = World::default();
    world.put_request_contracts();
    world.put(BEACON_ROOTS_ADDRESS, 1, call);
    // Copies slot 0 to slot 1.
    world.put(code, 1, vec![0x60, 0x00, 0x54, 0x60, 0x01, 0x55, 0x00]);
    world.put(caller.address(), 0, Vec::new());
    world.put_bare_storage(authority.address(), 0, U256::ZERO, U256::from(7));
    let transactions =
        vec![caller.delegate(0, (&authority, 0), code), caller.call(1, authority.address(), Vec::new())];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    assert!(outcome.receipts.iter().all(|receipt| receipt.status.coerce_status()));
    assert_eq!(outcome.changes.changed_slot(authority.address(), U256::from(1)), None);
}

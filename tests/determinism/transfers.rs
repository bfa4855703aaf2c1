//! Transfers of ether, which the engine makes without the EVM where it can.

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, U256};
use weft_engine::InvalidTransactions;

use crate::made::{Signer, World};

/// revm gives a new account the empty code, and so it stands among the codes that the block brought.
#[test]
fn an_account_that_a_transfer_makes_has_the_empty_code() {
    let sender = Signer::new(1);
    let mut world = World::default();
    world.put(sender.address(), 0, Vec::new());
    let transfers = (0..12)
        .map(|nonce| sender.pay(nonce, Address::repeat_byte(u8::try_from(nonce % 7).unwrap() + 0x70), 5));
    let outcome = world.run(EthereumHardfork::Cancun, transfers.collect()).unwrap();
    assert_eq!(outcome.changes.bundle.contracts.len(), 1);
}

/// To oneself, from and to the beneficiary, to code, to a precompile, to an account whose code this block sets, and on
/// with what was received: among calls, so that some speculate.
#[test]
fn transfers_of_all_kinds_leave_what_the_evm_leaves() {
    let signers = [1, 2, 3, 4, 5].map(Signer::new);
    let [rich, poor, beneficiary, delegated, other] = &signers;
    let code = Address::repeat_byte(0xc0);
    let mut world = World::default();
    world.beneficiary = beneficiary.address();
    world.put_request_contracts();
    for signer in [rich, beneficiary, delegated, other] {
        world.put(signer.address(), 0, Vec::new());
    }
    // Counts in slot 0.
    world.put(code, 1, vec![0x60, 0x00, 0x54, 0x60, 0x01, 0x01, 0x60, 0x00, 0x55, 0x00]);
    world.invalid = InvalidTransactions::Skip;
    let ether = 10_u64.pow(16);
    let transactions = vec![
        rich.pay(0, poor.address(), ether),
        poor.pay(0, Address::repeat_byte(0x99), 7),
        poor.pay(1, poor.address(), 8),
        rich.call(1, code, Vec::new()),
        rich.pay(2, code, 9),
        rich.pay(3, Address::with_last_byte(4), 10),
        rich.pay(4, beneficiary.address(), 11),
        beneficiary.pay(0, poor.address(), 12),
        beneficiary.pay(1, beneficiary.address(), 13),
        other.delegate(0, (delegated, 0), code),
        rich.pay(5, delegated.address(), 14),
        delegated.pay(1, rich.address(), 15),
        // Who has nothing, who has sent this before, and who has too little.
        Signer::new(9).pay(0, rich.address(), 16),
        rich.pay(5, poor.address(), 17),
        poor.pay(2, rich.address(), 2 * ether),
        poor.pay(2, rich.address(), 18),
        rich.call(6, code, Vec::new()),
    ];
    let outcome = world.run(EthereumHardfork::Prague, transactions).unwrap();
    let left_out: Vec<usize> = outcome.left_out.iter().map(|left_out| left_out.index).collect();
    assert_eq!(left_out, [12, 13, 14]);
    assert_eq!(outcome.changes.changed_slot(code, U256::ZERO), Some(U256::from(2)));
}

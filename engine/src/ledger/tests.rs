//! The ledger beside revm's `State`, over random commits.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, Bytes, U256};
use rayon::prelude::*;
use revm::Database;
use revm::bytecode::Bytecode;
use revm::state::{Account, AccountInfo, EvmState, EvmStorageSlot, TransactionId};

use super::{EffectLog, Ledger};
use crate::block_state::{BlockState, Committing, RevmState, revm_state};
use crate::evm::StateDb;
use crate::execute::Options;
use crate::pre_state::{Ancestors, PlainAccount, PlainState};

/// Numbers that look random and are the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The address with this number. 0 has code and storage, 1 a bare balance, 2 is empty, and the others are not there.
fn address(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

fn pre_state() -> PlainState {
    let code = Bytes::from_static(&[0x00]);
    let contract = AccountInfo { nonce: 1, ..AccountInfo::from_bytecode(Bytecode::new_raw(code.clone())) }
        .without_code();
    let storage = [(U256::from(1), U256::from(5)), (U256::from(2), U256::from(6))].into_iter().collect();
    let bare = AccountInfo::from_balance(U256::from(9)).without_code();
    let accounts: AddressMap<PlainAccount> = [
        (address(0), PlainAccount { info: contract, storage }),
        (address(1), PlainAccount { info: bare, ..PlainAccount::default() }),
        (address(2), PlainAccount::default()),
    ]
    .into_iter()
    .collect();
    PlainState::new(accounts, &[code], Ancestors::default())
}

/// What a transaction might leave of an account, within what the EVM allows.
fn touched(state: &mut RevmState<'_>, address: Address, numbers: &mut Numbers) -> Account {
    let found = state.basic(address).unwrap();
    let mut account = match found {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    account.mark_touch();
    let can_create = account.info.nonce == 0 && account.info.is_empty_code_hash();
    match numbers.below(6) {
        0 => {
            account.mark_selfdestruct();
            return account;
        }
        1 => {
            account.info.balance = U256::ZERO;
            return account;
        }
        2 if can_create && !state.has_storage(address).unwrap() => {
            account.mark_created();
            account.info.nonce = 1;
            let code = Bytecode::new_raw(Bytes::from(vec![0x5b, u8::try_from(numbers.below(3)).unwrap()]));
            account.info.code_hash = code.hash_slow();
            account.info.code = Some(code);
        }
        3 => account.info.nonce += 1,
        _ => account.info.balance = U256::from(numbers.below(4)),
    }
    // Only code writes storage.
    if !account.info.is_empty_code_hash() {
        for _ in 0..numbers.below(4) {
            let slot = U256::from(numbers.below(4));
            let original =
                if account.is_created() { U256::ZERO } else { state.storage(address, slot).unwrap() };
            let present = U256::from(numbers.below(3));
            let changed = EvmStorageSlot::new_changed(original, present, TransactionId::ZERO);
            account.storage.insert(slot, changed);
        }
    }
    account
}

/// An account that is credited, as a transaction would leave it.
fn credited(state: &mut RevmState<'_>, address: Address, amount: u64) -> Account {
    let mut account = match state.basic(address).unwrap() {
        Some(info) => Account::from(info),
        None => Account::new_not_existing(TransactionId::ZERO),
    };
    account.mark_touch();
    account.info.balance += U256::from(amount);
    account
}

#[test]
fn l1_changes_reverts_and_reads_are_those_of_state() {
    let pre_state = pre_state();
    let beneficiary = address(4);
    for seed in 1..4_000 {
        let mut numbers = Numbers(seed);
        let mut state = revm_state(&pre_state);
        let mut ledger =
            Ledger::with_parts(&pre_state, beneficiary, 1 + usize::try_from(seed % 8).unwrap(), 0);
        for _ in 0..numbers.below(12) {
            // In a stretch all but the beneficiary's account is as it was.
            let in_stretch = numbers.below(3) > 0;
            if !in_stretch {
                ledger.end_stretch(&mut [], 1);
            }
            let address = address(numbers.below(5));
            match numbers.below(8) {
                0 if address == beneficiary || !in_stretch => {
                    let account = credited(&mut state, address, 7);
                    state.commit([(address, account)].into_iter().collect());
                    let to: &mut dyn Committing = if in_stretch { &mut ledger.open } else { &mut ledger };
                    assert!(to.credit(address, U256::from(7)).unwrap());
                    assert!(!to.credit(address, U256::ZERO).unwrap());
                }
                _ => {
                    let account = touched(&mut state, address, &mut numbers);
                    let mut seen = account.clone();
                    if !seen.is_loaded_as_not_existing()
                        && seen.info.code_hash == seen.original_info().code_hash
                    {
                        // A run on another view of the state need not have met the code.
                        seen.info.code = None;
                    }
                    state.commit([(address, account)].into_iter().collect());
                    let to: &mut dyn Committing = if in_stretch { &mut ledger.open } else { &mut ledger };
                    to.commit([(address, seen)].into_iter().collect());
                }
            }
            if in_stretch {
                assert_eq!(ledger.open.account(beneficiary).unwrap(), state.basic(beneficiary).unwrap());
            }
            if in_stretch && numbers.below(2) == 0 {
                continue;
            }
            ledger.end_stretch(&mut [], 1);
            for number in 0..5 {
                let address = self::address(number);
                assert_eq!(ledger.basic(address).unwrap(), state.basic(address).unwrap(), "seed {seed}");
                assert_eq!(ledger.has_storage(address).unwrap(), state.has_storage(address).unwrap());
                let slot = U256::from(numbers.below(4));
                assert_eq!(ledger.storage(address, slot).unwrap(), state.storage(address, slot).unwrap());
            }
        }
        ledger.end_stretch(&mut [], 1);
        assert_eq!(ledger.take_changes(), state.take_changes(), "seed {seed}");
    }
}

/// Also where several blocks share the threads.
#[test]
fn l1_many_changes_are_those_of_state_on_any_number_of_threads() {
    let pre_state = pre_state();
    let mut numbers = Numbers(1);
    let mut state = revm_state(&pre_state);
    // Some accounts several times, so that in the end some are as they were.
    let commits: Vec<EvmState> = (0..16_000)
        .map(|_| {
            let address = address(numbers.below(6_000));
            let accounts = EvmState::from_iter([(address, touched(&mut state, address, &mut numbers))]);
            state.commit(accounts.clone());
            accounts
        })
        .collect();
    let expected = state.take_changes();
    assert!(expected.state.len() > 3_000 && !expected.contracts.is_empty());
    for threads in [1, 2, 3, 8] {
        let run = |_| {
            let mut ledger = Ledger::with_parts(&pre_state, address(4), 8, 0);
            for accounts in &commits {
                ledger.commit(accounts.clone());
            }
            assert_eq!(ledger.take_changes(), expected, "{threads} threads");
        };
        let pool = Options::with_threads(threads).unwrap();
        pool.install(|| (0..4).into_par_iter().for_each(run));
    }
}

#[test]
fn a_long_stretch_goes_into_the_parts_side_by_side_and_in_order() {
    let (pre_state, threads) = (PlainState::default(), rayon::ThreadPoolBuilder::new().num_threads(3));
    let mut alone = Ledger::with_parts(&pre_state, address(4), 1, 0);
    let mut shared = Ledger::with_parts(&pre_state, address(4), 64, 0);
    let mut logs = [EffectLog::default(), EffectLog::default()];
    for balance in 1..2 * u64::from(super::WORTH_SHARING) {
        // As if it were the first: the last one counts, and each part has several accounts.
        let mut account = Account::new_not_existing(TransactionId::ZERO);
        account.mark_touch();
        account.info.balance = U256::from(balance);
        let accounts = || [(address(balance % 200 + 5), account.clone())].into_iter().collect();
        alone.commit(accounts());
        if balance % 3 == 0 {
            shared.open.commit(accounts());
        } else {
            let worker = usize::from(balance % 5 == 0);
            let effects = logs[worker].note(accounts());
            shared.open.push(worker, effects);
            // What nobody commits.
            logs[worker].note(accounts());
        }
    }
    threads.build().unwrap().install(|| shared.end_stretch(&mut logs, 3));
    assert_eq!(shared.take_changes(), alone.take_changes());
}

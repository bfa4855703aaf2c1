//! A plain cache over the pre-state: committed values, and nothing about how they came to be.

use std::collections::hash_map::Entry;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::context_interface::result::EVMError;
use revm::primitives::StorageKeyMap;
use revm::primitives::hardfork::SpecId;
use revm::state::{Account, AccountInfo, EvmState};
use revm::{Database, DatabaseCommit};
use weft_engine::error::WitnessError;
use weft_engine::pre_state::{PlainState, PreState};

use super::ran::Left;
use super::{Input, Ran, commit_calls, commit_transactions, evm};

/// Runs the block's transactions. What comes after them is left out.
///
/// # Errors
///
/// [`EVMError`] if revm breaks one of its own rules; an invalid transaction only ends the block.
pub fn run(input: &Input<'_>) -> Result<Ran, EVMError<WitnessError>> {
    let clears_empty = input.env.cfg_env.spec.is_enabled_in(SpecId::SPURIOUS_DRAGON);
    let cache = Cache { pre_state: input.pre_state, clears_empty, accounts: AddressMap::default() };
    let mut evm = evm(cache, &input.env);
    let mut ran = Ran::with_capacity(input.transactions.len());
    commit_calls(&mut evm, &input.calls_before)?;
    if !commit_transactions(&mut evm, input, &mut ran)? {
        return Ok(ran.fail());
    }
    ran.left = Left::Cache(evm.ctx.journaled_state.database.accounts);
    Ok(ran)
}

/// Committed values over the pre-state.
#[derive(Debug)]
struct Cache<'a> {
    /// The state before the block.
    pre_state: &'a PlainState,
    /// Whether touched accounts vanish if they are empty (EIP-161).
    clears_empty: bool,
    /// Accounts that were read or written.
    accounts: AddressMap<Cached>,
}

/// One account.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    /// The account, with its code once that was loaded; `None` if there is none.
    pub(crate) info: Option<AccountInfo>,
    /// Slots that were read or written.
    pub(crate) storage: StorageKeyMap<U256>,
    /// Slots that are not here are zero: the account was created or destroyed in the block.
    wiped: bool,
}

impl Cache<'_> {
    /// Takes over what a transaction left of an account.
    fn commit_account(&mut self, address: Address, account: Account) {
        let cached = self.accounts.entry(address).or_default();
        if account.is_selfdestructed() {
            *cached = Cached { wiped: true, ..Cached::default() };
            return;
        }
        if account.is_created() {
            cached.storage.clear();
            cached.wiped = true;
        }
        let gone = account.is_empty() && self.clears_empty;
        let changed = account.storage.into_iter().filter(|(_, slot)| slot.is_changed());
        cached.storage.extend(changed.map(|(slot, value)| (slot, value.present_value)));
        cached.info = (!gone).then_some(account.info);
    }
}

impl Database for Cache<'_> {
    type Error = WitnessError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.get().info.clone()),
            Entry::Vacant(entry) => {
                let info = self.pre_state.account(address)?;
                entry.insert(Cached { info: info.clone(), ..Cached::default() });
                Ok(info)
            }
        }
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, WitnessError> {
        // Code that the block brought stays with its account, so it is never asked for by hash.
        self.pre_state.code(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let account = self.accounts.entry(address).or_default();
        match account.storage.entry(slot) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(_) if account.wiped => Ok(U256::ZERO),
            Entry::Vacant(entry) => Ok(*entry.insert(self.pre_state.storage(address, slot)?)),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, WitnessError> {
        self.pre_state.block_hash(number)
    }
}

impl DatabaseCommit for Cache<'_> {
    fn commit(&mut self, changes: EvmState) {
        for (address, account) in changes {
            if account.is_touched() {
                self.commit_account(address, account);
            }
        }
    }
}

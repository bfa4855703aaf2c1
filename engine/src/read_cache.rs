//! The state between the block's first system calls and its first transaction, remembered as it is read.
//!
//! Many transactions of a block read the same places, and a walk down a trie costs more than most of them. The
//! cache is filled with what the system calls left and read, then with every answer of the pre-state.

use alloy_primitives::{Address, B256, U256};
use dashmap::DashMap;
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;

use crate::error::WitnessError;
use crate::ledger::Ledger;
use crate::pre_state::PreState;

/// A pre-state with the system calls applied and all reads remembered.
#[derive(Debug)]
pub(crate) struct ReadCache<'a> {
    /// Answers what was not asked before.
    pre_state: &'a dyn PreState,
    /// Accounts read or set so far.
    accounts: DashMap<Address, Option<AccountInfo>, alloy_primitives::map::DefaultHashBuilder>,
    /// Slots read or set so far.
    slots: DashMap<(Address, U256), U256, alloy_primitives::map::DefaultHashBuilder>,
}

impl<'a> ReadCache<'a> {
    /// A cache over `pre_state` that begins with what `ledger` holds.
    pub(crate) fn new(pre_state: &'a dyn PreState, ledger: &Ledger<'_>) -> Self {
        let cache = Self { pre_state, accounts: DashMap::default(), slots: DashMap::default() };
        for (address, account, slots) in ledger.accounts() {
            cache.accounts.insert(address, account.cloned());
            for (slot, value) in slots {
                cache.slots.insert((address, slot), value);
            }
        }
        cache
    }
}

impl PreState for ReadCache<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        if let Some(known) = self.accounts.get(&address) {
            return Ok(known.clone());
        }
        let account = self.pre_state.account(address)?;
        self.accounts.insert(address, account.clone());
        Ok(account)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        if let Some(known) = self.slots.get(&(address, slot)) {
            return Ok(*known);
        }
        let value = self.pre_state.storage(address, slot)?;
        self.slots.insert((address, slot), value);
        Ok(value)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        // No system call can change the answer for an account without code, and of others nobody asks.
        self.pre_state.has_storage(address)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.pre_state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.pre_state.block_hash(number)
    }
}

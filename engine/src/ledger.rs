//! The committed state of a block: what each account and slot is now, and what it was when the block began.
//!
//! revm's `State` keeps every account twice, as it is and as it has changed, and copies it at each transaction; for
//! small transactions that costs more than running them. Here an account is one entry of a dense list, changed in
//! place, and what the block has changed is put together once per account, when the block ends.
//!
//! ```text
//!  index: address ─► 3        entries: … │ 3: before, now, status, slots │ …
//! ```
//!
//! # Invariants
//!
//! - **L1.** The changes, reverts and statuses are those of revm's `State` after the same commits. An entry is what
//!   `CacheAccount` and `TransitionAccount` are together; the rules by which they follow a commit are revm's, and so
//!   is the code that makes changes and reverts of an entry. The tests below compare them over random commits, and
//!   `tests/` over every fixture, where `sequential` commits into `State`.

use alloy_primitives::map::{AddressMap, B256Map, Entry as MapEntry};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::database::BundleState;
use revm::database::states::reverts::Reverts;
use revm::state::{Account, AccountInfo};
use revm::{Database, DatabaseCommit};

use crate::block::ReadyBlock;
use crate::block_state::BlockState;
use crate::error::{ExecuteError, WitnessError};
use crate::evm::StateDb;
use crate::pre_state::PreState;

mod entry;
#[cfg(test)]
mod tests;

pub(crate) use entry::Entry;
use entry::Slot;

/// The committed state of a block.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    /// Answers what is not in the ledger yet.
    pre_state: &'a dyn PreState,
    /// Where each account's entry is.
    index: AddressMap<u32>,
    /// The accounts, in the order in which they were first asked for.
    entries: Vec<Entry>,
    /// Codes that the block brought.
    codes: B256Map<Bytecode>,
}

impl<'a> Ledger<'a> {
    /// The ledger of a block of which nothing has run.
    pub(crate) fn new(block: &ReadyBlock<'_>, pre_state: &'a dyn PreState) -> Self {
        // Most transactions bring a sender and a recipient.
        Self::with_capacity(pre_state, 2 * block.transactions.len())
    }

    /// A ledger with room for so many accounts.
    fn with_capacity(pre_state: &'a dyn PreState, accounts: usize) -> Self {
        let mut index = AddressMap::default();
        index.reserve(accounts);
        let entries = Vec::with_capacity(accounts);
        Self { pre_state, index, entries, codes: B256Map::default() }
    }

    /// The value of a slot, if the ledger need not ask the pre-state for it.
    pub(crate) fn known_slot(&self, address: Address, slot: U256) -> Option<U256> {
        let entry = self.known(address)?;
        match entry.slots.get(&slot) {
            Some(kept) => Some(kept.now),
            None => entry.storage_known.then_some(U256::ZERO),
        }
    }

    /// Whether the account has storage, if the ledger need not ask the pre-state for it.
    pub(crate) fn knows_storage(&self, address: Address) -> Option<bool> {
        let entry = self.known(address)?;
        if entry.slots.values().any(|slot| !slot.now.is_zero()) {
            return Some(true);
        }
        entry.status.was_destroyed().then_some(false)
    }

    /// The code with this hash, if the block has brought it.
    pub(crate) fn known_code(&self, hash: B256) -> Option<Bytecode> {
        self.codes.get(&hash).cloned()
    }

    /// The accounts that the block had to do with.
    pub(crate) fn addresses(&self) -> impl ExactSizeIterator<Item = Address> {
        self.entries.iter().map(|entry| entry.address)
    }

    /// The entry of an account, if the ledger need not ask the pre-state for it.
    pub(crate) fn known(&self, address: Address) -> Option<&Entry> {
        let place = *self.index.get(&address)?;
        Some(&self.entries[place as usize])
    }

    /// The entry of an account, looked up in the pre-state if it is asked for the first time.
    fn load(&mut self, address: Address) -> Result<&mut Entry, WitnessError> {
        let place = match self.index.entry(address) {
            MapEntry::Occupied(place) => *place.get(),
            MapEntry::Vacant(vacant) => {
                let entry = Entry::new(address, self.pre_state.account(address)?);
                let place =
                    u32::try_from(self.entries.len()).expect("an entry takes more than a byte of memory");
                self.entries.push(entry);
                *vacant.insert(place)
            }
        };
        Ok(&mut self.entries[place as usize])
    }

    /// Makes what a transaction did to one account part of the state.
    fn commit_account(&mut self, address: Address, account: Account) {
        if !account.is_touched() {
            return;
        }
        let Self { index, entries, codes, .. } = self;
        let place = *index.entry(address).or_insert_with(|| {
            // It ran on another view of the state. What it found there is what the block found, or the account
            // would have been committed before.
            let found = (!account.is_loaded_as_not_existing()).then(|| account.original_info());
            entries.push(Entry::new(address, found));
            u32::try_from(entries.len() - 1).expect("an entry takes more than a byte of memory")
        });
        let entry = &mut entries[place as usize];
        if account.is_selfdestructed() {
            entry.destroy();
        } else if account.is_created() {
            if let Some(code) = &account.info.code {
                codes.insert(account.info.code_hash, code.clone());
            }
            entry.create(account);
        } else if account.is_empty() {
            entry.clear_empty();
        } else {
            entry.change(account);
        }
    }
}

impl Database for Ledger<'_> {
    type Error = WitnessError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        Ok(self.load(address)?.now.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, WitnessError> {
        match self.codes.get(&hash) {
            Some(code) => Ok(code.clone()),
            None => self.pre_state.code(hash),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let pre_state = self.pre_state;
        let entry = self.load(address)?;
        if entry.now.is_none() {
            return Ok(U256::ZERO);
        }
        match entry.slots.entry(slot) {
            MapEntry::Occupied(kept) => Ok(kept.get().now),
            MapEntry::Vacant(_) if entry.storage_known => Ok(U256::ZERO),
            MapEntry::Vacant(vacant) => {
                let now = pre_state.storage(address, slot)?;
                Ok(vacant.insert(Slot { now, before: None }).now)
            }
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, WitnessError> {
        self.pre_state.block_hash(number)
    }
}

impl StateDb for Ledger<'_> {
    fn has_storage(&mut self, address: Address) -> Result<bool, WitnessError> {
        self.load(address)?;
        self.knows_storage(address).map_or_else(|| self.pre_state.has_storage(address), Ok)
    }
}

impl DatabaseCommit for Ledger<'_> {
    fn commit(&mut self, changes: AddressMap<Account>) {
        self.commit_iter(&mut changes.into_iter());
    }

    fn commit_iter(&mut self, changes: &mut dyn Iterator<Item = (Address, Account)>) {
        for (address, account) in changes {
            self.commit_account(address, account);
        }
    }
}

impl BlockState for Ledger<'_> {
    fn blame(error: WitnessError) -> ExecuteError {
        error.into()
    }

    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.basic(address)
    }

    fn add_code(&mut self, hash: B256, code: &Bytecode) {
        self.codes.entry(hash).or_insert_with(|| code.clone());
    }

    fn credit(&mut self, address: Address, amount: U256) -> Result<bool, WitnessError> {
        // An amount of zero touches an account that may be empty.
        if amount.is_zero() {
            return Ok(false);
        }
        let entry = self.load(address)?;
        entry.mark_changed();
        let info = entry.now.get_or_insert_default();
        info.balance = info.balance.checked_add(amount).unwrap_or(info.balance);
        Ok(true)
    }

    fn take_changes(&mut self) -> BundleState {
        self.index.clear();
        let mut entries = core::mem::take(&mut self.entries);
        entries.retain(|entry| entry.changed);
        let mut bundle = BundleState::default();
        bundle.state.reserve(entries.len());
        let mut reverts = Vec::with_capacity(entries.len());
        for entry in entries {
            let address = entry.address;
            if let Some((hash, code)) = entry.new_code() {
                bundle.contracts.insert(hash, code.clone());
            }
            let Some((account, revert)) = entry.into_change() else { continue };
            bundle.state_size += account.size_hint();
            bundle.state.insert(address, account);
            bundle.reverts_size += revert.size_hint();
            reverts.push((address, revert));
        }
        bundle.reverts = Reverts::new(vec![reverts]);
        bundle
    }
}

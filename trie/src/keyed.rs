//! A block's changes by the keys of the tries.
//!
//! The tries know accounts and slots by the Keccak-256 of what they are called by. Hashing that needs no trie, so
//! whoever has the changes early can have them keyed before the witness is at hand.

use crate::{
    keccak::keccak256_batch_parallel,
    state::{AccountChange, StateChanges},
};
use alloy_primitives::{Address, B256, U256};

/// [`StateChanges`] sorted by the keys of the state trie.
///
/// ```
/// use alloy_trie::EMPTY_ROOT_HASH;
/// use weft_trie::{StateChanges, Witness};
///
/// let changes = StateChanges::default();
/// let keyed = changes.keyed();
/// let pre_state = Witness::new(vec![]).verify(EMPTY_ROOT_HASH)?;
/// assert_eq!(pre_state.post_state_keyed(&keyed)?.state_root(), EMPTY_ROOT_HASH);
/// # Ok::<(), weft_trie::WitnessError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyedChanges<'c> {
    /// The accounts, sorted by key.
    accounts: Vec<KeyedAccount<'c>>,
    /// The keys of all changed slots, those of each account in the order of the slots.
    slots: Vec<B256>,
    /// What becomes of each of them.
    values: Vec<U256>,
}

/// One account, and where its slots are.
#[derive(Clone, Copy, Debug)]
struct KeyedAccount<'c> {
    /// As in [`KeyedChange`].
    hashed_address: B256,
    /// As in [`KeyedChange`].
    order: usize,
    /// As in [`KeyedChange`].
    change: &'c AccountChange,
    /// Where its slots start.
    start: usize,
    /// Where they end.
    end: usize,
}

/// One account and what becomes of it, by the keys of the tries.
#[derive(Clone, Debug)]
pub(crate) struct KeyedChange<'c> {
    /// The key of the account in the state trie.
    pub(crate) hashed_address: B256,
    /// How many changed accounts have a lower address.
    pub(crate) order: usize,
    /// What becomes of it.
    pub(crate) change: &'c AccountChange,
    /// The keys of the changed slots in the storage trie, in the order of the slots.
    pub(crate) hashed_slots: &'c [B256],
    /// What becomes of each of them.
    values: &'c [U256],
    /// The root of the storage trie, if that has been changed already.
    pub(crate) storage_root: Option<B256>,
}

impl StateChanges {
    /// The changes by the keys of the tries, hashed on the threads of the current rayon pool.
    pub fn keyed(&self) -> KeyedChanges<'_> {
        let slots = self.accounts.values().flat_map(|change| &change.storage);
        let (slots, values): (Vec<B256>, Vec<U256>) =
            slots.map(|(slot, value)| (B256::from(*slot), *value)).unzip();
        let addresses: Vec<Address> = self.accounts.keys().copied().collect();
        let hashed_addresses = keccak256_batch_parallel(&addresses);
        let mut end = 0;
        let accounts = hashed_addresses.into_iter().zip(self.accounts.values()).enumerate();
        let accounts = accounts.map(|(order, (hashed_address, change))| {
            let start = end;
            end += change.storage.len();
            KeyedAccount { hashed_address, order, change, start, end }
        });
        let mut accounts: Vec<_> = accounts.collect();
        accounts.sort_unstable_by_key(|account| account.hashed_address);
        KeyedChanges { accounts, slots: keccak256_batch_parallel(&slots), values }
    }
}

impl KeyedChanges<'_> {
    /// The accounts, sorted by key.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = KeyedChange<'_>> {
        self.accounts.iter().map(|account| {
            let KeyedAccount { hashed_address, order, change, start, end } = *account;
            let (hashed_slots, values) = (&self.slots[start..end], &self.values[start..end]);
            KeyedChange { hashed_address, order, change, hashed_slots, values, storage_root: None }
        })
    }
}

impl KeyedChange<'_> {
    /// How much there is to do, in keys.
    pub(crate) fn work(&self) -> usize {
        1 + self.hashed_slots.len()
    }

    /// The slots that are yet to be changed in the trie that the account has.
    pub(crate) fn slots_ahead(&self) -> &[B256] {
        let is_settled = self.storage_root.is_some() || self.change.storage_wiped;
        if is_settled || self.change.account.is_none() { &[] } else { self.hashed_slots }
    }

    /// The changed slots.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (B256, U256)> {
        self.hashed_slots.iter().copied().zip(self.values.iter().copied())
    }
}

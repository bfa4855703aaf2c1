//! The state after a block: the state trie and the storage tries that changed.

use crate::{
    account::{AccountProof, read_account, read_slot},
    arena::Child,
    change::{Changed, Made, change_again, changed},
    error::WitnessError,
    key::order,
    keyed::KeyedChanges,
    multiproof::MultiProof,
    sparse::TrieView,
    witness::VerifiedWitness,
};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::TrieAccount;
use std::collections::{BTreeMap, btree_map::Entry};

/// What a block changes, account by account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// The changed accounts.
    pub accounts: BTreeMap<Address, AccountChange>,
}

/// What becomes of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account afterwards; `None` removes it together with its storage.
    ///
    /// An account that is empty in the sense of EIP-161 is kept if it is given:
    /// whether such an account is removed is for the caller to know.
    pub account: Option<AccountFields>,
    /// Whether the storage starts out empty, as after a destruction in the same
    /// block. Otherwise it starts out as in the pre-state.
    pub storage_wiped: bool,
    /// The changed slots with their values; zero removes a slot.
    ///
    /// An account without changed slots keeps its storage root, and the witness
    /// need not have its storage trie.
    pub storage: BTreeMap<U256, U256>,
}

/// An account without its storage root, which follows from the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountFields {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Wei owned.
    pub balance: U256,
    /// Keccak-256 of the code.
    pub code_hash: B256,
}

/// The state after a block, as far as it is known.
#[derive(Clone, Debug)]
pub struct SparseState<'w> {
    /// The pre-state, for what did not change.
    witness: &'w VerifiedWitness,
    /// What changed.
    made: Made<'w>,
}

impl FromIterator<(Address, AccountChange)> for StateChanges {
    fn from_iter<I: IntoIterator<Item = (Address, AccountChange)>>(changes: I) -> Self {
        Self { accounts: changes.into_iter().collect() }
    }
}

impl StateChanges {
    /// Adds what changed afterwards.
    pub fn append(&mut self, later: impl IntoIterator<Item = (Address, AccountChange)>) {
        for (address, later) in later {
            let change = match self.accounts.entry(address) {
                Entry::Vacant(vacant) => {
                    vacant.insert(later);
                    continue;
                }
                Entry::Occupied(occupied) => occupied.into_mut(),
            };
            // Who is removed and comes back has no storage.
            if later.storage_wiped || later.account.is_none() || change.account.is_none() {
                change.storage_wiped = true;
                change.storage.clear();
            }
            change.account = later.account;
            change.storage.extend(later.storage);
        }
    }
}

impl<'w> SparseState<'w> {
    /// The pre-state with `changes` on top.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::post_state`].
    pub(crate) fn new(
        witness: &'w VerifiedWitness,
        changes: &KeyedChanges<'_>,
    ) -> Result<Self, WitnessError> {
        Ok(Self { witness, made: changed(witness, changes)? })
    }

    /// Makes further changes, on the calling thread: what `changes` says of the state before the block, it says of this
    /// one.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::post_state`]. The state is then as it was.
    pub fn append(&mut self, changes: &StateChanges) -> Result<(), WitnessError> {
        change_again(self.witness, &mut self.made, &changes.keyed())
    }

    /// The state trie.
    fn state_trie(&self) -> TrieView<'_, 'w> {
        let Changed { arena, root, .. } = self.made.whole();
        TrieView { arena, root: *root, account: None }
    }

    /// The state root.
    pub fn state_root(&self) -> B256 {
        self.made.state_root()
    }

    /// An account, `None` if it provably does not exist.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the witness says neither.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, WitnessError> {
        read_account(self.state_trie(), keccak256(address))
    }

    /// The value of a storage slot, zero if the slot or the account provably
    /// does not exist.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::storage`].
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let hashed_address = keccak256(address);
        match read_account(self.state_trie(), hashed_address)? {
            None => Ok(U256::ZERO),
            Some(account) => {
                let storage = self.storage_trie(hashed_address, &account)?;
                read_slot(storage, keccak256(B256::from(slot)))
            }
        }
    }

    /// Proves an account and some of its slots (EIP-1186).
    ///
    /// # Errors
    ///
    /// As [`Self::account`] and [`Self::storage`].
    pub fn account_proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, WitnessError> {
        let storage = match self.account(address)? {
            Some(account) if !slots.is_empty() => self.storage_trie(keccak256(address), &account)?,
            Some(_) | None => TrieView { arena: &self.made.whole().arena, root: Child::NONE, account: None },
        };
        AccountProof::new(address, slots, self.state_trie(), storage)
    }

    /// Proves many accounts, each with some of its slots, in one go.
    ///
    /// # Errors
    ///
    /// As [`Self::account`] and [`Self::storage`].
    pub fn multiproof(&self, wanted: &[(Address, Vec<B256>)]) -> Result<MultiProof, WitnessError> {
        MultiProof::new(wanted, self.state_trie(), |hashed_address, account| {
            self.storage_trie(hashed_address, account)
        })
    }

    /// The storage trie of an account that exists in this state.
    fn storage_trie(
        &self,
        hashed_address: B256,
        account: &TrieAccount,
    ) -> Result<TrieView<'_, 'w>, WitnessError> {
        let Changed { arena, storage, .. } = self.made.whole();
        let root = if let Ok(place) = storage.binary_search_by(|(account, _)| order(account, &hashed_address))
        {
            storage[place].1
        } else {
            let root = self.witness.storage_root(hashed_address, account.storage_root)?;
            root.map_or(Child::NONE, Child::supplied)
        };
        Ok(TrieView { arena, root, account: Some(hashed_address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_lie_over_earlier_ones_and_a_wipe_covers_them() {
        let fields = |nonce| Some(AccountFields { nonce, balance: U256::ZERO, code_hash: B256::ZERO });
        let change = |account, storage_wiped, slots: &[(u8, u8)]| {
            let storage = slots.iter().map(|(slot, value)| (U256::from(*slot), U256::from(*value))).collect();
            [(Address::ZERO, AccountChange { account, storage_wiped, storage })]
        };
        let mut changes = StateChanges::default();
        let mut then = |account, storage_wiped, slots: &[(u8, u8)]| {
            changes.append(change(account, storage_wiped, slots));
            changes.accounts.clone().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(then(fields(1), false, &[(1, 1), (2, 2)]), change(fields(1), false, &[(1, 1), (2, 2)]));
        assert_eq!(then(fields(2), false, &[(2, 0)]), change(fields(2), false, &[(1, 1), (2, 0)]));
        assert_eq!(then(None, false, &[]), change(None, true, &[]));
        assert_eq!(then(fields(0), true, &[(3, 3)]), change(fields(0), true, &[(3, 3)]));
        assert_eq!(then(fields(1), false, &[(1, 4)]), change(fields(1), true, &[(1, 4), (3, 3)]));

        let mut removed: StateChanges = change(None, false, &[]).into_iter().collect();
        removed.append(change(fields(1), false, &[(2, 2)]));
        assert_eq!(removed.accounts.into_iter().collect::<Vec<_>>(), change(fields(1), true, &[(2, 2)]));
    }
}

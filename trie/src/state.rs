//! The state after a block: the state trie and the storage tries that changed.

use crate::{
    account::{AccountProof, encode_account, encode_slot, read_account, read_slot},
    error::WitnessError,
    keccak::keccak256_batch_parallel,
    root::hash_nodes,
    sparse::SparseTrie,
    witness::VerifiedWitness,
};
use alloy_primitives::{Address, B256, U256, keccak256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use rayon::prelude::*;
use std::{borrow::Cow, collections::BTreeMap};

/// Accounts and slots below which waking a thread costs more than it saves.
const PIECE_KEYS_MIN: usize = 32;

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
    /// The state trie.
    accounts: SparseTrie<'w>,
    /// The storage tries with changes, by hashed address.
    storage: B256Map<SparseTrie<'w>>,
}

/// One account and what becomes of it, by the keys of the tries.
#[derive(Debug)]
struct KeyedChange<'c> {
    /// The key of the account in the state trie.
    hashed_address: B256,
    /// What becomes of it.
    change: &'c AccountChange,
    /// The keys of the changed slots in the storage trie, in the order of the slots.
    hashed_slots: &'c [B256],
}

/// One account with its changes made, but for the hashes of its storage trie.
#[derive(Debug)]
struct ChangedAccount<'w> {
    /// Its key in the state trie.
    hashed_address: B256,
    /// The account with the storage root from which `storage` started; `None` if it is removed.
    account: Option<TrieAccount>,
    /// Its storage trie, if slots changed.
    storage: Option<SparseTrie<'w>>,
}

impl FromIterator<(Address, AccountChange)> for StateChanges {
    fn from_iter<I: IntoIterator<Item = (Address, AccountChange)>>(changes: I) -> Self {
        Self { accounts: changes.into_iter().collect() }
    }
}

impl<'w> SparseState<'w> {
    /// The pre-state with `changes` on top.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::post_state`].
    pub(crate) fn new(witness: &'w VerifiedWitness, changes: &StateChanges) -> Result<Self, WitnessError> {
        // Slots of all accounts, one account after the other.
        let slots = changes.accounts.values().flat_map(|change| change.storage.keys());
        let slots: Vec<B256> = slots.map(|slot| B256::from(*slot)).collect();
        let hashed_slots = keccak256_batch_parallel(&slots);
        let addresses: Vec<Address> = changes.accounts.keys().copied().collect();
        let hashed_addresses = keccak256_batch_parallel(&addresses);
        let mut rest = &hashed_slots[..];
        let keyed: Vec<KeyedChange<'_>> = hashed_addresses
            .into_iter()
            .zip(changes.accounts.values())
            .map(|(hashed_address, change)| {
                let (hashed_slots, after) = rest.split_at(change.storage.len());
                rest = after;
                KeyedChange { hashed_address, change, hashed_slots }
            })
            .collect();
        // All results are kept and looked through in order: rayon would return
        // whichever error it meets first.
        let results: Vec<Result<Vec<ChangedAccount<'w>>, WitnessError>> =
            pieces(&keyed).into_par_iter().map(|piece| change_accounts(witness, piece)).collect();
        let mut leaves = Vec::with_capacity(keyed.len());
        let mut storage = B256Map::default();
        for account in results {
            for ChangedAccount { hashed_address, account, storage: trie } in account? {
                leaves.push((hashed_address, account.as_ref().map(encode_account)));
                if let Some(trie) = trie {
                    storage.insert(hashed_address, trie);
                }
            }
        }
        let mut accounts = witness.state_trie();
        accounts.apply(leaves)?;
        Ok(Self { witness, accounts, storage })
    }

    /// The state root.
    pub fn state_root(&self) -> B256 {
        self.accounts.root()
    }

    /// An account, `None` if it provably does not exist.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the witness says neither.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, WitnessError> {
        read_account(&self.accounts, keccak256(address))
    }

    /// The value of a storage slot, zero if the slot or the account provably
    /// does not exist.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::storage`].
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let hashed_address = keccak256(address);
        match read_account(&self.accounts, hashed_address)? {
            None => Ok(U256::ZERO),
            Some(account) => {
                let storage = self.storage_trie(hashed_address, &account)?;
                read_slot(&storage, keccak256(B256::from(slot)))
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
            Some(_) | None => Cow::Owned(SparseTrie::empty()),
        };
        AccountProof::new(address, slots, &self.accounts, &storage)
    }

    /// The storage trie of an account that exists in this state.
    fn storage_trie(
        &self,
        hashed_address: B256,
        account: &TrieAccount,
    ) -> Result<Cow<'_, SparseTrie<'w>>, WitnessError> {
        match self.storage.get(&hashed_address) {
            Some(trie) => Ok(Cow::Borrowed(trie)),
            None => self.witness.storage_trie(hashed_address, account.storage_root).map(Cow::Owned),
        }
    }
}

/// The accounts in runs of about equal work, several for each thread of the current pool.
///
/// On one thread there is one run: the more tries are hashed together, the better.
fn pieces<'k, 'c>(keyed: &'k [KeyedChange<'c>]) -> Vec<&'k [KeyedChange<'c>]> {
    let threads = rayon::current_num_threads();
    let work = |keyed: &KeyedChange<'_>| 1 + keyed.hashed_slots.len();
    let all: usize = keyed.iter().map(work).sum();
    let piece = if threads == 1 { all } else { (all / (4 * threads)).max(PIECE_KEYS_MIN) };
    let mut pieces = Vec::new();
    let (mut start, mut gathered) = (0, 0);
    for (place, change) in keyed.iter().enumerate() {
        gathered += work(change);
        if gathered >= piece || place + 1 == keyed.len() {
            pieces.push(&keyed[start..=place]);
            (start, gathered) = (place + 1, 0);
        }
    }
    pieces
}

/// Makes the changes of some accounts, whose storage tries are hashed together.
///
/// # Errors
///
/// As [`VerifiedWitness::post_state`], that of the first account that has one.
fn change_accounts<'w>(
    witness: &'w VerifiedWitness,
    keyed: &[KeyedChange<'_>],
) -> Result<Vec<ChangedAccount<'w>>, WitnessError> {
    let changed = keyed.iter().map(|keyed| ChangedAccount::new(witness, keyed));
    let mut changed = changed.collect::<Result<Vec<_>, _>>()?;
    let mut tries: Vec<_> =
        changed.iter_mut().filter_map(|changed| Some(changed.storage.as_mut()?.changed())).collect();
    hash_nodes(&mut tries);
    for ChangedAccount { account, storage, .. } in &mut changed {
        if let (Some(account), Some(trie)) = (account, storage) {
            account.storage_root = trie.root();
        }
    }
    Ok(changed)
}

impl<'w> ChangedAccount<'w> {
    /// Makes the changes of one account, those of its storage trie included.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::post_state`], for this account.
    fn new(witness: &'w VerifiedWitness, keyed: &KeyedChange<'_>) -> Result<Self, WitnessError> {
        let KeyedChange { hashed_address, change, hashed_slots } = *keyed;
        let before = witness.account_by_hash(hashed_address)?;
        let Some(AccountFields { nonce, balance, code_hash }) = change.account else {
            return Ok(Self { hashed_address, account: None, storage: None });
        };
        let storage_root = match before {
            Some(account) if !change.storage_wiped => account.storage_root,
            Some(_) | None => EMPTY_ROOT_HASH,
        };
        let mut storage = None;
        if !change.storage.is_empty() {
            let mut trie = witness.storage_trie(hashed_address, storage_root)?;
            let values = change.storage.values().map(|value| encode_slot(*value));
            trie.update(hashed_slots.iter().copied().zip(values))?;
            storage = Some(trie);
        }
        let account = TrieAccount { nonce, balance, storage_root, code_hash };
        Ok(Self { hashed_address, account: Some(account), storage })
    }
}

//! The nodes sent with a block, before and after they are tied to a state root.
//!
//! ```text
//!  Witness ── verify(pre_state_root) ──► VerifiedWitness ── post_state(changes) ──► SparseState
//!  bytes,      hash, index,               the pre-state,                              the post-state
//!  trusted     check what is              read by any number
//!  by nobody   reachable                  of threads
//! ```

use crate::{
    account::{AccountProof, account_of, read_account, read_slot},
    arena::{Arena, Child, Stop},
    check::{Checks, LeafKind},
    error::WitnessError,
    keyed::KeyedChanges,
    known::KnownHashes,
    multiproof::MultiProof,
    opened::{OpenedAccount, OpenedAccounts},
    sparse::{SparseTrie, TrieView},
    state::{SparseState, StateChanges},
    store::NodeStore,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use std::borrow::Cow;

/// Trie nodes from a source that nobody trusts.
///
/// They may come in any order, more than once, and among bytes that are no
/// nodes at all: a node counts only if something refers to it by its hash.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// The nodes as supplied.
    nodes: Vec<Bytes>,
}

/// A witness whose state trie has been checked from the root down.
///
/// What is read from it is authentic as far as the pre-state root is, since
/// every node was found under the hash that its parent commits to.
/// [`Witness::verify`] and [`Self::of`] are the only constructors.
///
/// Reads take `&self`, may run on many threads, and give the same results and
/// errors in whatever order they run.
#[derive(Debug)]
pub struct VerifiedWitness {
    /// The root that the caller trusts.
    pre_state_root: B256,
    /// The nodes by hash.
    pub(crate) store: NodeStore,
    /// Where the root of the state trie is; `None` if that is empty.
    pub(crate) root: Option<usize>,
    /// What has been found out about nodes of storage tries.
    slot_checks: Checks,
    /// The accounts whose slots have been read so far.
    opened: OpenedAccounts,
}

impl Witness {
    /// Takes the nodes as they are.
    pub fn new(nodes: Vec<Bytes>) -> Self {
        Self { nodes }
    }

    /// Ties the nodes to the state root that the caller trusts.
    ///
    /// Hashes every node, in parallel if the current rayon pool has several
    /// threads and the work is worth it. Then checks every supplied node that
    /// is reachable from the root through supplied nodes. Whether nodes are
    /// missing further down is seen by the first read that needs them, and what
    /// is wrong with a storage trie by the first use of it.
    ///
    /// ```
    /// use alloy_primitives::Address;
    /// use alloy_trie::EMPTY_ROOT_HASH;
    /// use weft_trie::Witness;
    ///
    /// let witness = Witness::new(vec![]).verify(EMPTY_ROOT_HASH)?;
    /// assert_eq!(witness.account(Address::ZERO)?, None);
    /// # Ok::<(), weft_trie::WitnessError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`WitnessError::RootMissing`] if no node hashes to `pre_state_root`, and
    /// [`WitnessError::BadNode`] if a reachable one is malformed. The empty
    /// trie needs no node.
    pub fn verify(self, pre_state_root: B256) -> Result<VerifiedWitness, WitnessError> {
        VerifiedWitness::over(self.nodes.into(), pre_state_root, None)
    }
}

impl VerifiedWitness {
    /// [`Witness::verify`] for nodes that stay where they are. Of what is needed of them the bytes are shared.
    ///
    /// # Errors
    ///
    /// As [`Witness::verify`].
    pub fn of(nodes: &[Bytes], pre_state_root: B256) -> Result<Self, WitnessError> {
        Self::with_known(nodes, pre_state_root, None)
    }

    /// [`Self::of`] with hashes known from other witnesses, for the same result.
    ///
    /// # Errors
    ///
    /// As [`Witness::verify`].
    pub fn with_known(
        nodes: &[Bytes],
        pre_state_root: B256,
        known: Option<&KnownHashes>,
    ) -> Result<Self, WitnessError> {
        Self::over(nodes.into(), pre_state_root, known)
    }

    /// [`Self::with_known`] for nodes that stay where they are or are given up.
    ///
    /// # Errors
    ///
    /// As [`Witness::verify`].
    fn over(
        nodes: Cow<'_, [Bytes]>,
        pre_state_root: B256,
        known: Option<&KnownHashes>,
    ) -> Result<Self, WitnessError> {
        let store = NodeStore::new(nodes, known);
        let (root, slot_checks) = if pre_state_root == EMPTY_ROOT_HASH {
            (None, Checks::new(LeafKind::Slot, &store))
        } else {
            let received = store.len();
            let (root, slot_checks) = Checks::of_state(&store, pre_state_root)?
                .ok_or(WitnessError::RootMissing { pre_state_root, received })?;
            (Some(root), slot_checks)
        };
        Ok(Self { pre_state_root, store, root, slot_checks, opened: OpenedAccounts::default() })
    }

    /// The state root that the witness was verified against.
    pub fn pre_state_root(&self) -> B256 {
        self.pre_state_root
    }

    /// An account of the pre-state, `None` if it provably does not exist.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the witness says neither.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, WitnessError> {
        self.account_by_hash(keccak256(address))
    }

    /// The account whose address has this Keccak-256 hash.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    pub fn account_by_hash(&self, hashed_address: B256) -> Result<Option<TrieAccount>, WitnessError> {
        read_account(self.state_trie().view(), hashed_address)
    }

    /// [`Self::account_by_hash`], and where the root of its storage trie is, if that was supplied.
    ///
    /// # Errors
    ///
    /// As [`Self::account`].
    pub(crate) fn account_with_storage(
        &self,
        hashed_address: B256,
    ) -> Result<Option<(TrieAccount, Option<usize>)>, WitnessError> {
        let trie = self.state_trie();
        let (leaf, holder) = trie.view().find(hashed_address)?;
        let Some(leaf) = leaf else { return Ok(None) };
        let storage = holder.and_then(|holder| self.store.links(holder).next()?.ok());
        Ok(Some((account_of(leaf), storage)))
    }

    /// The value of a storage slot in the pre-state: zero if the slot or the
    /// account provably does not exist.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the witness does not say, and
    /// [`WitnessError::BadNode`] if anything reachable from the storage root is
    /// malformed.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let opened = self.opened.get_or_read(address, || {
            let hashed_address = keccak256(address);
            let account = self.account_by_hash(hashed_address)?;
            Ok(account.map(|account| OpenedAccount { hashed_address, storage_root: account.storage_root }))
        })?;
        match opened {
            None => Ok(U256::ZERO),
            Some(OpenedAccount { hashed_address, storage_root }) => {
                self.storage_at(hashed_address, storage_root, slot)
            }
        }
    }

    /// The value of a slot, for a caller who has read the account before.
    ///
    /// # Errors
    ///
    /// As [`Self::storage`].
    pub fn storage_at(
        &self,
        hashed_address: B256,
        storage_root: B256,
        slot: U256,
    ) -> Result<U256, WitnessError> {
        let storage = self.storage_trie(hashed_address, storage_root)?;
        read_slot(storage.view(), keccak256(B256::from(slot)))
    }

    /// Has what it takes to read accounts, and of each some slots, the first 32 of them, brought near the processor.
    /// They are named by the keys of the tries. It has no other effect, and none in a small witness.
    ///
    /// Dozens of keys in a large witness are read in less time after this, since what they take comes from memory at
    /// the same time.
    pub fn bring_near<'k>(&self, keys: impl IntoIterator<Item = (&'k B256, &'k [B256])>) {
        if let Some(root) = self.root {
            Arena::over(&self.store).bring_near(Stop::Supplied(root), 0, keys);
        }
    }

    /// The state after a block: the pre-state with `changes` on top.
    ///
    /// Storage tries come first, in parallel on the current rayon pool, then
    /// the state trie with the new storage roots.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the path of a change is not in the
    /// witness, or the sibling of a removed node whose branch collapses;
    /// [`WitnessError::BadNode`] as [`Self::storage`]. Of several errors, that
    /// of the lowest address comes first, and the state trie's last.
    pub fn post_state(&self, changes: &StateChanges) -> Result<SparseState<'_>, WitnessError> {
        self.post_state_keyed(&changes.keyed())
    }

    /// [`Self::post_state`] for a caller who has the keys.
    ///
    /// # Errors
    ///
    /// As [`Self::post_state`].
    pub fn post_state_keyed(&self, changes: &KeyedChanges<'_>) -> Result<SparseState<'_>, WitnessError> {
        SparseState::new(self, changes)
    }

    /// Proves an account of the pre-state and some of its slots (EIP-1186).
    ///
    /// # Errors
    ///
    /// As [`Self::account`] and [`Self::storage`].
    pub fn account_proof(&self, address: Address, slots: &[B256]) -> Result<AccountProof, WitnessError> {
        let account = self.account(address)?;
        let storage = match account {
            Some(account) if !slots.is_empty() => {
                self.storage_trie(keccak256(address), account.storage_root)?
            }
            Some(_) | None => SparseTrie::empty(),
        };
        AccountProof::new(address, slots, self.state_trie().view(), storage.view())
    }

    /// Proves many accounts of the pre-state, each with some of its slots, in one go.
    ///
    /// # Errors
    ///
    /// As [`Self::account`] and [`Self::storage`].
    pub fn multiproof(&self, wanted: &[(Address, Vec<B256>)]) -> Result<MultiProof, WitnessError> {
        let nothing_changed = Arena::over(&self.store);
        let view = |root: Option<usize>, account| TrieView {
            arena: &nothing_changed,
            root: root.map_or(Child::NONE, Child::supplied),
            account,
        };
        MultiProof::new(wanted, view(self.root, None), |hashed_address, account| {
            Ok(view(self.storage_root(hashed_address, account.storage_root)?, Some(hashed_address)))
        })
    }

    /// The state trie of the pre-state, keyed by hashed address.
    pub fn state_trie(&self) -> SparseTrie<'_> {
        SparseTrie::open(&self.store, self.root, None)
    }

    /// The storage trie with this root, keyed by hashed slot.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if its root node was not supplied, and
    /// [`WitnessError::BadNode`] if anything reachable from it is malformed.
    pub fn storage_trie(
        &self,
        hashed_address: B256,
        storage_root: B256,
    ) -> Result<SparseTrie<'_>, WitnessError> {
        let root = self.storage_root(hashed_address, storage_root)?;
        Ok(SparseTrie::open(&self.store, root, Some(hashed_address)))
    }

    /// The place of the root node of the storage trie of an account, to which the account leads.
    ///
    /// # Errors
    ///
    /// [`WitnessError::BadNode`] as [`Self::storage_trie`].
    pub(crate) fn linked_storage_root(
        &self,
        hashed_address: B256,
        place: usize,
    ) -> Result<usize, WitnessError> {
        self.slot_checks.sound_place(&self.store, place, Some(hashed_address))?;
        Ok(place)
    }

    /// The place of the root node of a storage trie, `None` if the trie is empty.
    ///
    /// # Errors
    ///
    /// As [`Self::storage_trie`].
    pub(crate) fn storage_root(
        &self,
        hashed_address: B256,
        storage_root: B256,
    ) -> Result<Option<usize>, WitnessError> {
        if storage_root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let account = Some(hashed_address);
        let place = self.slot_checks.sound_root(&self.store, storage_root, account)?;
        let path = alloy_trie::Nibbles::new();
        place.map(Some).ok_or(WitnessError::MissingNode { hash: storage_root, account, path })
    }
}

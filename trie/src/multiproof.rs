//! One proof of many accounts and slots, in which no node comes twice.
//!
//! ```text
//!  state trie:  ""  7  7a ─► account ──┐    path of a node: the nibbles from the root down to it
//!                   c  c0 ─► absent    │    the proof of a key: the nodes whose paths it begins with
//!  its storage: ""  3  ◄───────────────┘
//! ```

use crate::{account::read_account, error::WitnessError, keccak::keccak256_batch, sparse::TrieView};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use std::collections::BTreeMap;

/// The nodes towards many accounts and slots of the same state, each once.
///
/// ```
/// use alloy_primitives::{Address, U256};
/// use alloy_trie::EMPTY_ROOT_HASH;
/// use weft_trie::{AccountChange, AccountFields, Witness};
///
/// let pre_state = Witness::new(vec![]).verify(EMPTY_ROOT_HASH)?;
/// let change = |nonce: u8| {
///     let fields = AccountFields { nonce: 1, balance: U256::ZERO, code_hash: Default::default() };
///     let storage = [(U256::from(3), U256::from(nonce))].into();
///     AccountChange { account: Some(fields), storage_wiped: false, storage }
/// };
/// let changes = (1..100).map(|number| (Address::with_last_byte(number), change(number)));
/// let post_state = pre_state.post_state(&changes.collect())?;
///
/// let wanted = [7, 8, 200].map(|number| (Address::with_last_byte(number), vec![U256::from(3).into()]));
/// let proof = post_state.multiproof(&wanted)?;
/// // The nodes of a proof are a witness for what they prove.
/// let next = Witness::new(proof.into_nodes()).verify(post_state.state_root())?;
/// assert_eq!(next.storage(Address::with_last_byte(8), U256::from(3))?, U256::from(8));
/// assert_eq!(next.account(Address::with_last_byte(200))?, None);
/// # Ok::<(), weft_trie::WitnessError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiProof {
    /// The nodes of the state trie, by path.
    pub accounts: BTreeMap<Nibbles, Bytes>,
    /// The nodes of storage tries, by hashed address and path. Accounts that do not exist, have no storage, or
    /// of which no slot was asked for are not there.
    pub storage: BTreeMap<B256, BTreeMap<Nibbles, Bytes>>,
}

impl MultiProof {
    /// Proves accounts and slots out of the state trie, and out of the storage trie that `open` gives for an account.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if a path is not at hand, and those of `open`.
    pub(crate) fn new<'a, 'w: 'a>(
        wanted: &[(Address, Vec<B256>)],
        accounts: TrieView<'a, 'w>,
        open: impl Fn(B256, &TrieAccount) -> Result<TrieView<'a, 'w>, WitnessError>,
    ) -> Result<Self, WitnessError> {
        let addresses: Vec<Address> = wanted.iter().map(|(address, _)| *address).collect();
        let mut proof = Self::default();
        for (hashed_address, (_, slots)) in keccak256_batch(&addresses).into_iter().zip(wanted) {
            accounts.prove(hashed_address, &mut proof.accounts)?;
            if slots.is_empty() {
                continue;
            }
            let Some(account) = read_account(accounts, hashed_address)? else { continue };
            if account.storage_root == EMPTY_ROOT_HASH {
                continue;
            }
            let storage = open(hashed_address, &account)?;
            let nodes = proof.storage.entry(hashed_address).or_default();
            keccak256_batch(slots).into_iter().try_for_each(|slot| storage.prove(slot, nodes))?;
        }
        Ok(proof)
    }

    /// The proof of one of the accounts, root first, as in EIP-1186.
    pub fn account(&self, address: Address) -> Vec<Bytes> {
        towards(&self.accounts, keccak256(address))
    }

    /// The proof of one of the slots, root first, as in EIP-1186; empty if the account has no storage.
    pub fn slot(&self, address: Address, slot: B256) -> Vec<Bytes> {
        let nodes = self.storage.get(&keccak256(address));
        nodes.map(|nodes| towards(nodes, keccak256(slot))).unwrap_or_default()
    }

    /// All nodes, sorted, each once: a witness for the accounts and slots.
    pub fn into_nodes(self) -> Vec<Bytes> {
        let storage = self.storage.into_values().flat_map(BTreeMap::into_values);
        let mut nodes: Vec<Bytes> = self.accounts.into_values().chain(storage).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

/// The nodes whose paths a key begins with, the shortest path first.
fn towards(nodes: &BTreeMap<Nibbles, Bytes>, key: B256) -> Vec<Bytes> {
    let key = Nibbles::unpack(key);
    (0..=key.len()).filter_map(|depth| nodes.get(&key.slice(..depth)).cloned()).collect()
}

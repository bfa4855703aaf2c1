//! A whole state in plain maps, and what the crate should make of it.

use crate::support::{FullTrie, Leaves};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{
    KECCAK_EMPTY, Nibbles, TrieAccount, proof::verify_proof, root::state_root_unhashed,
    root::storage_root_unhashed,
};
use std::collections::BTreeMap;
use weft_trie::{AccountChange, AccountFields, AccountProof, MultiProof, StateChanges};

/// All accounts with all their slots; no slot is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World(pub(crate) BTreeMap<Address, (AccountFields, BTreeMap<U256, U256>)>);

impl World {
    /// An account as its leaf has it.
    pub(crate) fn account(&self, address: Address) -> Option<TrieAccount> {
        let (AccountFields { nonce, balance, code_hash }, slots) = *self.0.get(&address).as_ref()?;
        let slots = slots.iter().map(|(slot, value)| (B256::from(*slot), *value));
        let storage_root = storage_root_unhashed(slots);
        Some(TrieAccount { nonce: *nonce, balance: *balance, storage_root, code_hash: *code_hash })
    }

    /// A slot, zero if it is not there.
    pub(crate) fn slot(&self, address: Address, slot: U256) -> U256 {
        self.0.get(&address).and_then(|(_, slots)| slots.get(&slot)).copied().unwrap_or_default()
    }

    /// The state root, as alloy computes it.
    pub(crate) fn root(&self) -> B256 {
        state_root_unhashed(self.0.keys().map(|address| (*address, self.account(*address).unwrap())))
    }

    /// The state trie.
    pub(crate) fn state_trie(&self) -> FullTrie {
        let leaf = |address: &Address| alloy_rlp::encode(self.account(*address).unwrap()).into();
        FullTrie::new(self.0.keys().map(|address| (keccak256(address), leaf(address))).collect())
    }

    /// The storage trie of an account, empty if there is no account.
    pub(crate) fn storage_trie(&self, address: Address) -> FullTrie {
        let Some((_, slots)) = self.0.get(&address) else { return FullTrie::new(Leaves::new()) };
        let leaf = |(slot, value): (&U256, &U256)| {
            (keccak256(B256::from(*slot)), Bytes::from(alloy_rlp::encode(value)))
        };
        FullTrie::new(slots.iter().map(leaf).collect())
    }

    /// Every node of every trie.
    pub(crate) fn nodes(&self) -> BTreeMap<B256, Bytes> {
        let mut nodes = self.state_trie().nodes;
        for address in self.0.keys() {
            nodes.extend(self.storage_trie(*address).nodes);
        }
        nodes
    }

    /// The nodes on the paths of everything that changes: all that insertions need.
    pub(crate) fn paths(&self, changes: &StateChanges) -> BTreeMap<B256, Bytes> {
        let mut nodes = self.state_trie().paths(changes.accounts.keys().map(keccak256));
        for (address, change) in &changes.accounts {
            if change.account.is_some() && !change.storage_wiped {
                let slots = change.storage.keys().map(|slot| keccak256(B256::from(*slot)));
                nodes.extend(self.storage_trie(*address).paths(slots));
            }
        }
        nodes
    }

    /// The state after the changes.
    pub(crate) fn after(&self, changes: &StateChanges) -> Self {
        let mut after = self.clone();
        for (address, change) in &changes.accounts {
            let before = after.0.remove(address);
            let Some(fields) = change.account else { continue };
            let mut slots = before.map(|(_, slots)| slots).unwrap_or_default();
            if change.storage_wiped {
                slots.clear();
            }
            slots.extend(&change.storage);
            slots.retain(|_, value| !value.is_zero());
            after.0.insert(*address, (fields, slots));
        }
        after
    }
}

/// The address that ends with `last`.
pub(crate) fn address(last: u8) -> Address {
    Address::with_last_byte(last)
}

/// An account with this nonce, and a balance that follows from it.
pub(crate) fn fields(nonce: u64) -> AccountFields {
    AccountFields { nonce, balance: U256::from(nonce * 1_000_000), code_hash: KECCAK_EMPTY }
}

/// Slots with values.
pub(crate) fn slots<const N: usize>(of: [(u64, u64); N]) -> BTreeMap<U256, U256> {
    of.into_iter().map(|(slot, value)| (U256::from(slot), U256::from(value))).collect()
}

/// An account that is there afterwards, with these slots changed.
pub(crate) fn set(nonce: u64, storage: BTreeMap<U256, U256>) -> AccountChange {
    AccountChange { account: Some(fields(nonce)), storage_wiped: false, storage }
}

/// An account that is gone afterwards.
pub(crate) fn removed() -> AccountChange {
    AccountChange::default()
}

/// Lets alloy verify a proof, its storage proofs included (T10).
pub(crate) fn assert_proven(proof: &AccountProof, state_root: B256) {
    let value = proof.account.map(alloy_rlp::encode);
    verify_proof(state_root, Nibbles::unpack(keccak256(proof.address)), value, &proof.proof).unwrap();
    for slot in &proof.storage {
        let value = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
        let Some(account) = proof.account else {
            assert_eq!((value, &slot.proof[..]), (None, &[][..]));
            continue;
        };
        let key = Nibbles::unpack(keccak256(slot.slot));
        verify_proof(account.storage_root, key, value, &slot.proof).unwrap();
    }
}

/// Lets alloy verify what a proof of many keys says of each (T10).
pub(crate) fn assert_all_proven(proof: &MultiProof, wanted: &[(Address, Vec<B256>)], world: &World) {
    for (address, slots) in wanted {
        let account = world.account(*address);
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(world.root(), key, account.map(alloy_rlp::encode), &proof.account(*address)).unwrap();
        for slot in slots {
            let value = world.slot(*address, U256::from_be_bytes(slot.0));
            let value = (!value.is_zero()).then(|| alloy_rlp::encode(value));
            let nodes = proof.slot(*address, *slot);
            match account {
                Some(account) => {
                    let key = Nibbles::unpack(keccak256(slot));
                    verify_proof(account.storage_root, key, value, &nodes).unwrap();
                }
                None => assert_eq!((value, &nodes[..]), (None, &[][..])),
            }
        }
    }
}

//! The example's pre-state, as a set of trie nodes.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use weft_engine::execute::wire::ExecutionWitness;
use weft_trie::{SparseTrie, WitnessError};

/// A state in the making.
#[derive(Debug, Default)]
pub(super) struct World(BTreeMap<Address, Account>);

/// One account.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Nonce.
    pub(super) nonce: u64,
    /// Wei.
    pub(super) balance: U256,
    /// Code.
    pub(super) code: Bytes,
    /// Slots that are not zero.
    pub(super) storage: BTreeMap<U256, U256>,
}

impl World {
    /// The account at this address, made if it is not there.
    pub(super) fn account(&mut self, address: Address) -> &mut Account {
        self.0.entry(address).or_default()
    }

    /// The state root, and a witness of the whole state without headers.
    ///
    /// # Errors
    ///
    /// None can happen: nothing is missing from a trie that is built from nothing.
    pub(super) fn witness(&self) -> Result<(B256, ExecutionWitness), WitnessError> {
        let mut nodes = BTreeSet::new();
        let mut leaves = Vec::new();
        for (address, account) in &self.0 {
            let slots = account.storage.iter();
            let slots =
                slots.map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), alloy_rlp::encode(value)));
            let storage_root = trie(slots, &mut nodes)?;
            leaves.push((keccak256(address), account.rlp(storage_root)));
        }
        let root = trie(leaves.into_iter(), &mut nodes)?;
        let codes: BTreeSet<Bytes> = self.0.values().map(|account| account.code.clone()).collect();
        let codes = codes.into_iter().filter(|code| !code.is_empty()).collect();
        Ok((root, ExecutionWitness { state: nodes.into_iter().collect(), codes, headers: Vec::new() }))
    }
}

impl Account {
    /// The leaf: nonce, balance, storage root, code hash.
    fn rlp(&self, storage_root: B256) -> Vec<u8> {
        let fields: [&dyn Encodable; 4] = [&self.nonce, &self.balance, &storage_root, &keccak256(&self.code)];
        let mut leaf = Vec::new();
        alloy_rlp::encode_list::<_, dyn Encodable>(&fields, &mut leaf);
        leaf
    }
}

/// Builds a trie, adds its nodes to `nodes` and returns its root.
fn trie(
    leaves: impl Iterator<Item = (B256, Vec<u8>)>,
    nodes: &mut BTreeSet<Bytes>,
) -> Result<B256, WitnessError> {
    let leaves: Vec<(B256, Option<Bytes>)> = leaves.map(|(key, value)| (key, Some(value.into()))).collect();
    let keys: Vec<B256> = leaves.iter().map(|(key, _)| *key).collect();
    let mut trie = SparseTrie::empty();
    trie.apply(leaves)?;
    for key in keys {
        nodes.extend(trie.proof(key)?);
    }
    Ok(trie.root())
}

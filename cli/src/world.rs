//! A whole state in memory, and the witness of it.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use weft_engine::execute::wire::ExecutionWitness;
use weft_engine::outcome::Changes;
use weft_trie::{SparseTrie, WitnessError};

/// A whole state.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct World(BTreeMap<Address, Account>);

/// One account.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Nonce.
    pub(crate) nonce: u64,
    /// Wei.
    pub(crate) balance: U256,
    /// Code.
    pub(crate) code: Bytes,
    /// Slots that are not zero.
    pub(crate) storage: BTreeMap<U256, U256>,
}

impl World {
    /// The account at this address, made if it is not there.
    pub(crate) fn account(&mut self, address: Address) -> &mut Account {
        self.0.entry(address).or_default()
    }

    /// All accounts, by address.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&Address, &Account)> {
        self.0.iter()
    }

    /// The account at this address, if there is one.
    pub(crate) fn get(&self, address: Address) -> Option<&Account> {
        self.0.get(&address)
    }

    /// Takes an account out.
    pub(crate) fn remove(&mut self, address: Address) {
        self.0.remove(&address);
    }

    /// Makes what a block changed part of the state.
    pub(crate) fn apply(&mut self, changes: &Changes) {
        for (address, after) in &changes.bundle.state {
            let Some(info) = &after.info else {
                self.0.remove(address);
                continue;
            };
            let account = self.0.entry(*address).or_default();
            (account.nonce, account.balance) = (info.nonce, info.balance);
            let code = info.code.as_ref().or_else(|| changes.bundle.contracts.get(&info.code_hash));
            if let Some(code) = code {
                account.code = code.original_bytes();
            }
            if changes.wiped.contains(address) {
                account.storage.clear();
            }
            account.storage.extend(after.storage.iter().map(|(slot, value)| (*slot, value.present_value)));
            account.storage.retain(|_, value| !value.is_zero());
        }
    }

    /// The state root, and a witness of the whole state without headers.
    ///
    /// # Errors
    ///
    /// None can happen: nothing is missing from a trie that is built from nothing.
    pub(crate) fn witness(&self) -> Result<(B256, ExecutionWitness), WitnessError> {
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

impl FromIterator<(Address, Account)> for World {
    fn from_iter<I: IntoIterator<Item = (Address, Account)>>(accounts: I) -> Self {
        Self(accounts.into_iter().collect())
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

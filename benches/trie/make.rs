//! Makes cases. All is a function of the size.
//!
//! Of the changed accounts 96 in a hundred are updated, three are new, one is removed. Each that is not
//! removed has one to four slots changed; who was there before has 10,000 slots of its own. Of a hundred
//! changed slots 85 are overwritten, ten are new, five are deleted.
//!
//! The witness has the paths of what changes, and the siblings of branches that collapse. The roots before
//! and after come from alloy's `HashBuilder`, over all leaves.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, KECCAK_EMPTY, Nibbles, TrieAccount};
use anyhow::{Context, ensure};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use weft_trie::{SparseTrie, Witness, WitnessError};

use crate::case::{Case, Change, Slot};

/// Slots of an account before.
const SLOTS: usize = 10_000;

/// Keys and values of a trie.
type Leaves = BTreeMap<B256, Bytes>;

/// A source of choices (`SplitMix64`: Steele, Lea, Flood, OOPSLA 2014).
struct Choices(u64);

/// One account and its storage, before and after.
struct Made {
    /// The leaf before, `None` if the account is new.
    before: Option<TrieAccount>,
    /// The leaf after, `None` if the account is removed.
    after: Option<TrieAccount>,
    /// What becomes of it.
    change: Change,
    /// The nodes of its storage trie that the witness needs.
    nodes: Vec<Bytes>,
}

impl Choices {
    /// The next word.
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.word() % end as u64).unwrap_or_default()
    }

    /// The value of a slot: half of them short, half of them long.
    fn value(&mut self) -> U256 {
        let short = U256::from(self.word() | 1);
        if self.below(2) == 0 { short } else { short << (64 * (1 + self.below(3))) }
    }
}

/// The case of a state with so many accounts, of which so many change.
///
/// # Errors
///
/// If our trie finds another root before the changes than alloy, or has no use for the witness.
pub(crate) fn make(accounts: usize, count: usize) -> anyhow::Result<Case> {
    let slots: Vec<B256> = (0..SLOTS + 64).map(|slot| B256::from(U256::from(slot))).collect();
    let hashed_slots: Vec<B256> = slots.iter().map(keccak256).collect();
    let made: Vec<Made> = (0..count)
        .into_par_iter()
        .map(|index| account(index, &slots, &hashed_slots))
        .collect::<anyhow::Result<_>>()?;

    let mut before: Leaves = made
        .iter()
        .filter_map(|made| Some((made.change.hashed_address.into(), leaf(&made.before?))))
        .collect();
    for index in before.len()..accounts {
        let mut choices = Choices(index as u64 ^ 0xacc0);
        let storage_root = keccak256(choices.word().to_le_bytes());
        let account = TrieAccount { storage_root, ..fields(choices.word() % 100, choices.word()) };
        before.insert(keccak256(address(1 << 32 | index)), leaf(&account));
    }
    let mut after = before.clone();
    let mut changes = BTreeMap::new();
    for made in &made {
        let key = made.change.hashed_address.into();
        let value = made.after.as_ref().map(leaf);
        match value.clone() {
            Some(leaf) => after.insert(key, leaf),
            None => after.remove(&key),
        };
        changes.insert(key, value);
    }
    let pre_root = root(&before);
    let trie = build(&before, pre_root)?;
    let mut nodes = paths(&trie, changes.keys())?;
    add_siblings(&trie, &before, &mut nodes, |nodes| {
        let witness = Witness::new(nodes).verify(pre_root)?;
        witness.state_trie().apply(changes.clone())
    })?;
    for made in &made {
        nodes.extend(made.nodes.iter().cloned());
    }
    Ok(Case {
        accounts: accounts as u64,
        pre_root: pre_root.into(),
        post_root: root(&after).into(),
        nodes: nodes.into_iter().map(Vec::from).collect(),
        changes: made.into_iter().map(|made| made.change).collect(),
    })
}

/// The account that changes as the `index`-th.
fn account(index: usize, slots: &[B256], hashed_slots: &[B256]) -> anyhow::Result<Made> {
    let mut choices = Choices(index as u64);
    let (is_new, is_removed) = (matches!(index % 100, 20 | 50 | 80), index % 100 == 99);
    let address = address(index);
    let mut change = Change {
        address: address.into(),
        hashed_address: keccak256(address).into(),
        account: None,
        slots: Vec::new(),
    };
    let old = fields(choices.word() % 100, choices.word());
    if is_removed {
        let before = TrieAccount { storage_root: keccak256(choices.word().to_le_bytes()), ..old };
        return Ok(Made { before: Some(before), after: None, change, nodes: Vec::new() });
    }
    let mut before = Leaves::new();
    if !is_new {
        let slots = hashed_slots[..SLOTS].iter();
        before = slots.map(|key| (*key, alloy_rlp::encode(choices.value()).into())).collect();
    }
    let mut after = before.clone();
    let mut values = BTreeMap::new();
    for _ in 0..=choices.below(4) {
        let kind = choices.below(100);
        let slot = choices.below(SLOTS);
        let (slot, value) = match kind {
            _ if is_new => (slot, choices.value()),
            0..85 => (slot, choices.value()),
            85..95 => (SLOTS + choices.below(64), choices.value()),
            _ => (slot, U256::ZERO),
        };
        let key = hashed_slots[slot];
        let leaf = (!value.is_zero()).then(|| Bytes::from(alloy_rlp::encode(value)));
        match leaf.clone() {
            Some(leaf) => after.insert(key, leaf),
            None => after.remove(&key),
        };
        values.insert(key, leaf);
        change.slots.retain(|known| known.number != slots[slot].0);
        change.slots.push(Slot { number: slots[slot].0, key: key.0, value: value.to_be_bytes() });
    }
    let storage_root = root(&before);
    let mut nodes = BTreeSet::new();
    if !is_new {
        let trie = build(&before, storage_root)?;
        nodes = paths(&trie, values.keys())?;
        let owner = TrieAccount { storage_root, ..old };
        let mut state = SparseTrie::empty();
        state.insert(B256::ZERO, leaf(&owner))?;
        let state_nodes = state.proof(B256::ZERO)?;
        add_siblings(&trie, &before, &mut nodes, |nodes| {
            let nodes = nodes.into_iter().chain(state_nodes.clone()).collect();
            let witness = Witness::new(nodes).verify(state.root())?;
            witness.storage_trie(B256::ZERO, storage_root)?.apply(values.clone())
        })?;
    }
    let new = fields(old.nonce + 1, choices.word());
    change.account = Some((new.nonce, new.balance.to()));
    Ok(Made {
        before: (!is_new).then_some(TrieAccount { storage_root, ..old }),
        after: Some(TrieAccount { storage_root: root(&after), ..new }),
        change,
        nodes: nodes.into_iter().collect(),
    })
}

/// An account without storage.
fn fields(nonce: u64, balance: u64) -> TrieAccount {
    TrieAccount {
        nonce,
        balance: U256::from(balance),
        storage_root: EMPTY_ROOT_HASH,
        code_hash: KECCAK_EMPTY,
    }
}

/// The address with a number.
fn address(number: usize) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

/// The leaf of an account.
fn leaf(account: &TrieAccount) -> Bytes {
    alloy_rlp::encode(account).into()
}

/// The root of these leaves, as alloy computes it.
fn root(leaves: &Leaves) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// The whole trie.
fn build(leaves: &Leaves, root: B256) -> anyhow::Result<SparseTrie<'static>> {
    let mut trie = SparseTrie::empty();
    trie.apply(leaves.iter().map(|(key, value)| (*key, Some(value.clone()))))?;
    ensure!(trie.root() == root, "two ways to the same root differ");
    Ok(trie)
}

/// The nodes towards these keys.
fn paths<'k>(
    trie: &SparseTrie<'_>,
    keys: impl Iterator<Item = &'k B256>,
) -> Result<BTreeSet<Bytes>, WitnessError> {
    let mut nodes = BTreeSet::new();
    for key in keys {
        nodes.extend(trie.proof(*key)?);
    }
    Ok(nodes)
}

/// Adds the nodes that the changes miss, until they miss none.
fn add_siblings(
    trie: &SparseTrie<'_>,
    leaves: &Leaves,
    nodes: &mut BTreeSet<Bytes>,
    change: impl Fn(Vec<Bytes>) -> Result<(), WitnessError>,
) -> anyhow::Result<()> {
    while let Err(error) = change(nodes.iter().cloned().collect()) {
        let WitnessError::MissingNode { hash, path, .. } = error else { return Err(error.into()) };
        let below = leaves.keys().find(|key| Nibbles::unpack(key).starts_with(&path));
        let proof = trie.proof(*below.context("a node that is missed has leaves")?)?;
        nodes.extend(proof.into_iter().filter(|node| keccak256(node) == hash));
    }
    Ok(())
}

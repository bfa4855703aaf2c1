//! Random states, random changes, and tries that somebody else wrote.

use crate::{
    support::{EMPTY, FullTrie, Leaves, long_slot, reference_root, slot, storage_trie, storage_witness},
    world::{World, address, assert_all_proven, assert_proven, fields},
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::{Nibbles, proof::verify_proof};
use proptest::{collection::btree_map, prelude::*};
use std::collections::BTreeMap;
use weft_trie::{AccountChange, StateChanges, VerifiedWitness, Witness, WitnessError};

/// Addresses and slots come from pools this large, so that changes meet what is there.
const POOL: u8 = 24;

/// Slots with values below `values`.
fn any_slots(values: std::ops::Range<u64>) -> impl Strategy<Value = BTreeMap<U256, U256>> {
    let value = prop_oneof![4 => values.prop_map(U256::from), 1 => Just(U256::MAX)];
    btree_map((0..POOL).prop_map(U256::from), value, 0..12)
}

/// A slot to be proven, which may be there or not.
fn any_slot() -> impl Strategy<Value = B256> {
    (0..POOL).prop_map(|slot| U256::from(slot).into())
}

/// Reads accounts and slots of a state out of some of its nodes.
fn read_all(world: &World, wanted: &[(Address, Vec<B256>)], nodes: Vec<Bytes>) -> Result<(), WitnessError> {
    let witness = Witness::new(nodes).verify(world.root())?;
    for (address, slots) in wanted {
        assert_eq!(witness.account(*address)?, world.account(*address));
        for slot in slots.iter().map(|slot| U256::from_be_bytes(slot.0)) {
            assert_eq!(witness.storage(*address, slot)?, world.slot(*address, slot));
        }
    }
    Ok(())
}

/// A state.
fn any_world() -> impl Strategy<Value = World> {
    let account = ((0..3u64).prop_map(fields), any_slots(1..4));
    btree_map((0..POOL).prop_map(address), account, 0..16).prop_map(World)
}

/// Changes that remove, create, wipe and update.
fn any_changes() -> impl Strategy<Value = StateChanges> {
    let account = prop_oneof![1 => Just(None), 4 => (0..3u64).prop_map(fields).prop_map(Some)];
    let change = (account, prop::bool::weighted(0.15), any_slots(0..3))
        .prop_map(|(account, storage_wiped, storage)| AccountChange { account, storage_wiped, storage });
    btree_map((0..POOL).prop_map(address), change, 0..12).prop_map(|accounts| StateChanges { accounts })
}

/// Some of the addresses.
fn any_addresses() -> impl Strategy<Value = Vec<Address>> {
    prop::sample::subsequence((0..POOL).map(address).collect::<Vec<_>>(), 0..usize::from(POOL))
}

/// Which node a witness lacks, if it lacks one.
fn any_gap() -> impl Strategy<Value = Option<prop::sample::Index>> {
    prop::option::weighted(0.4, any::<prop::sample::Index>())
}

/// A witness of the whole state but for one node; `None` if that is the root.
fn witness_with_gap(world: &World, lacking: Option<prop::sample::Index>) -> Option<VerifiedWitness> {
    let mut nodes = world.nodes();
    if let Some(lacking) = lacking.filter(|_| !nodes.is_empty()) {
        let hash = *lacking.get(&nodes.keys().copied().collect::<Vec<_>>());
        nodes.remove(&hash);
    }
    let has_root = world.root() == EMPTY || nodes.contains_key(&world.root());
    has_root.then(|| Witness::new(nodes.into_values().collect()).verify(world.root()).unwrap())
}

/// Applies the changes to a witness of these nodes.
fn post_root(
    root: B256,
    nodes: &BTreeMap<B256, Bytes>,
    changes: &StateChanges,
) -> Result<B256, WitnessError> {
    let witness = Witness::new(nodes.values().cloned().collect()).verify(root)?;
    Ok(witness.post_state(changes)?.state_root())
}

/// Adds the siblings of collapsing branches to a witness that has all paths.
///
/// Nothing else may be missing, so each is a node of the full state and lies
/// beside a path, not on it.
fn add_siblings(
    world: &World,
    changes: &StateChanges,
    nodes: &mut BTreeMap<B256, Bytes>,
) -> Result<B256, TestCaseError> {
    let all = world.nodes();
    let paths = nodes.clone();
    loop {
        match post_root(world.root(), nodes, changes) {
            Ok(root) => return Ok(root),
            Err(WitnessError::MissingNode { hash, .. }) => {
                prop_assert!(!paths.contains_key(&hash));
                nodes.insert(hash, all[&hash].clone());
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// T9, T10: roots, reads and proofs after the changes are those of the state after.
    #[test]
    fn post_state_is_the_state_after(before in any_world(), changes in any_changes()) {
        let witness = Witness::new(before.nodes().into_values().collect()).verify(before.root()).unwrap();
        let state = witness.post_state(&changes).unwrap();
        let after = before.after(&changes);
        prop_assert_eq!(state.state_root(), after.root());
        let slots: Vec<_> = (0..POOL).map(|slot| B256::from(U256::from(slot))).collect();
        for address in (0..POOL).map(address) {
            for (world, read, proof) in [
                (&before, witness.account(address), witness.account_proof(address, &slots)),
                (&after, state.account(address), state.account_proof(address, &slots)),
            ] {
                prop_assert_eq!(read.unwrap(), world.account(address));
                assert_proven(&proof.unwrap(), world.root());
            }
            for slot in (0..POOL).map(U256::from) {
                prop_assert_eq!(witness.storage(address, slot).unwrap(), before.slot(address, slot));
                prop_assert_eq!(state.storage(address, slot).unwrap(), after.slot(address, slot));
            }
        }
    }

    /// T10: one proof of many keys holds for each, before and after, and is a witness with no node to spare.
    #[test]
    fn a_multiproof_is_all_proofs(
        before in any_world(),
        changes in any_changes(),
        wanted in btree_map((0..POOL).prop_map(address), prop::collection::vec(any_slot(), 0..6), 0..10),
    ) {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let witness = Witness::new(before.nodes().into_values().collect()).verify(before.root()).unwrap();
        let state = witness.post_state(&changes).unwrap();
        let after = before.after(&changes);
        for (world, proof) in [(&before, witness.multiproof(&wanted)), (&after, state.multiproof(&wanted))] {
            let proof = proof.unwrap();
            assert_all_proven(&proof, &wanted, world);
            let nodes = proof.into_nodes();
            let is_empty = wanted.is_empty() || world.root() == EMPTY;
            prop_assert_eq!(nodes.is_empty(), is_empty);
            if is_empty {
                continue;
            }
            prop_assert_eq!(read_all(world, &wanted, nodes.clone()), Ok(()));
            for dropped in 0..nodes.len() {
                let mut fewer = nodes.clone();
                fewer.remove(dropped);
                prop_assert!(read_all(world, &wanted, fewer).is_err());
            }
        }
    }

    /// F1: what was foreseen, in whatever pieces, right or wrong, changes neither state nor error.
    #[test]
    fn what_was_foreseen_changes_nothing(
        before in any_world(),
        changes in any_changes(),
        foreseen in prop::collection::vec((any_addresses(), any_changes()), 0..4),
        wrong in 0..6usize,
        lacking in any_gap(),
    ) {
        let Some(witness) = witness_with_gap(&before, lacking) else { return Ok(()) };
        let mut early = witness.early_state();
        for (rightly, changed) in foreseen {
            // Of some what they become, of others something else.
            let rightly = rightly.into_iter().filter_map(|address| changes.accounts.get_key_value(&address));
            let rightly = rightly.map(|(address, change)| (*address, change.clone()));
            early.advance(changed.accounts.into_iter().take(wrong).chain(rightly).collect());
        }
        let (settled, expected) = (early.settle(&changes), witness.post_state(&changes));
        prop_assert_eq!(settled.as_ref().err(), expected.as_ref().err());
        let (Ok(settled), Ok(expected)) = (settled, expected) else { return Ok(()) };
        prop_assert_eq!(settled.state_root(), before.after(&changes).root());
        let slots: Vec<_> = (0..POOL).map(|slot| B256::from(U256::from(slot))).collect();
        for address in (0..POOL).map(address) {
            prop_assert_eq!(settled.account(address), expected.account(address));
            prop_assert_eq!(settled.account_proof(address, &slots), expected.account_proof(address, &slots));
        }
    }

    /// T8, T9: a state takes further changes as a pre-state takes its own.
    #[test]
    fn changes_on_top_of_changes(
        before in any_world(),
        batches in prop::collection::vec(any_changes(), 1..4),
        lacking in any_gap(),
    ) {
        let Some(witness) = witness_with_gap(&before, lacking) else { return Ok(()) };
        let mut state = witness.post_state(&StateChanges::default()).unwrap();
        let mut world = before;
        for batch in batches {
            if state.append(&batch).is_ok() {
                world = world.after(&batch);
            } else {
                prop_assert!(lacking.is_some());
            }
            prop_assert_eq!(state.state_root(), world.root());
            for address in (0..POOL).map(address) {
                if let Ok(account) = state.account(address) {
                    prop_assert_eq!(account, world.account(address));
                }
                for slot in (0..POOL).map(U256::from) {
                    if let Ok(value) = state.storage(address, slot) {
                        prop_assert_eq!(value, world.slot(address, slot));
                    }
                }
            }
        }
    }

    /// T2, T6: paths and collapse siblings are enough, and every one of them is needed.
    #[test]
    fn a_minimal_witness_is_enough_and_minimal(before in any_world(), changes in any_changes()) {
        prop_assume!(!changes.accounts.is_empty());
        let mut nodes = before.paths(&changes);
        let root = add_siblings(&before, &changes, &mut nodes)?;
        prop_assert_eq!(root, before.after(&changes).root());
        for dropped in nodes.keys() {
            let mut fewer = nodes.clone();
            fewer.remove(dropped);
            match post_root(before.root(), &fewer, &changes) {
                Err(WitnessError::MissingNode { hash, .. }) => prop_assert_eq!(hash, *dropped),
                Err(WitnessError::RootMissing { pre_state_root, received }) => {
                    prop_assert_eq!((pre_state_root, received), (*dropped, fewer.len()));
                }
                other => prop_assert!(false, "{:?} without {}", other, dropped),
            }
        }
    }
}

/// Keys that share prefixes of many lengths, up to 63 nibbles.
fn any_key() -> impl Strategy<Value = B256> {
    prop::array::uniform5(0..3u8).prop_map(|[a, b, c, d, e]| {
        let mut key = B256::ZERO;
        key[0] = a << 4 | b;
        key[15] = c;
        key[31] = d << 4 | e;
        key
    })
}

/// Values that leave their node inlined or not.
fn any_value() -> impl Strategy<Value = Bytes> {
    prop_oneof![(1..4u64).prop_map(|value| slot(value).unwrap()), (0..3u8).prop_map(long_slot)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// T9, T10, for deep tries with inlined nodes, batch after batch on the same trie.
    #[test]
    fn deep_tries_follow_their_leaves(
        before in btree_map(any_key(), any_value(), 1..24),
        batches in prop::collection::vec(btree_map(any_key(), prop::option::of(any_value()), 0..10), 1..4),
    ) {
        let full = FullTrie::new(before.clone());
        let witness = storage_witness(full.root, full.nodes.values().cloned()).unwrap();
        let mut trie = storage_trie(&witness).unwrap();
        let mut leaves: Leaves = before;
        for batch in batches {
            trie.apply(batch.clone()).unwrap();
            for (key, value) in batch {
                match value {
                    Some(value) => leaves.insert(key, value),
                    None => leaves.remove(&key),
                };
                let value = leaves.get(&key).map(|value| value.to_vec());
                prop_assert_eq!(trie.get(key).unwrap(), value.as_deref());
                let proof = trie.proof(key).unwrap();
                verify_proof(trie.root(), Nibbles::unpack(key), value, &proof).unwrap();
            }
            prop_assert_eq!(trie.root(), reference_root(&leaves));
        }
    }

    /// T2, T6: a deep trie needs the paths of its changes, siblings of collapses, nothing else.
    #[test]
    fn deep_tries_need_paths_and_siblings(
        before in btree_map(any_key(), any_value(), 1..24),
        batch in btree_map(any_key(), prop::option::of(any_value()), 1..10),
    ) {
        let full = FullTrie::new(before.clone());
        let mut after = before;
        for (key, value) in &batch {
            match value {
                Some(value) => after.insert(*key, value.clone()),
                None => after.remove(key),
            };
        }
        let paths = full.paths(batch.keys().copied());
        let mut nodes = paths.clone();
        let root = loop {
            let witness = storage_witness(full.root, nodes.values().cloned()).unwrap();
            let mut trie = storage_trie(&witness).unwrap();
            match trie.apply(batch.clone()) {
                Ok(()) => break trie.root(),
                Err(WitnessError::MissingNode { hash, .. }) => {
                    prop_assert!(!paths.contains_key(&hash));
                    nodes.insert(hash, full.nodes[&hash].clone());
                }
                Err(error) => prop_assert!(false, "{error}"),
            }
        };
        prop_assert_eq!(root, reference_root(&after));
    }
}

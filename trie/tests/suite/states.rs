//! Whole states: accounts, their storage, and where the two meet.

use crate::{
    support::{EMPTY, branch, key, leaf, nibbles, reference, rlp},
    world::{World, address, assert_proven, fields, removed, set, slots},
};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::{Nibbles, TrieAccount, nodes::RlpNode};
use std::collections::BTreeMap;
use weft_trie::{
    AccountChange, BadNodeReason, SparseState, StateChanges, VerifiedWitness, Witness, WitnessError,
};

/// Ten accounts, the first five with storage.
fn world() -> World {
    let storage = |account: u8| match account {
        0..5 => slots([(0, 1), (1, 2), (2, 3), (3, 4)]),
        _ => BTreeMap::new(),
    };
    World((0..10).map(|account| (address(account), (fields(1), storage(account)))).collect())
}

/// The witness with only the paths of the changes.
fn witness(world: &World, changes: &StateChanges) -> VerifiedWitness {
    Witness::new(world.paths(changes).into_values().collect()).verify(world.root()).unwrap()
}

/// Applies one account's change to [`world`], compares the root, and looks at the state.
fn assert_after(account: u8, change: AccountChange, look: impl FnOnce(&SparseState<'_>)) {
    let changes = StateChanges::from_iter([(address(account), change)]);
    let witness = witness(&world(), &changes);
    let state = witness.post_state(&changes).unwrap();
    assert_eq!(state.state_root(), world().after(&changes).root());
    look(&state);
}

/// Case 13: the tries are the same nodes, but not the same trie.
#[test]
fn one_of_two_equal_storage_tries_changes() {
    assert_after(0, set(1, slots([(0, 9)])), |state| {
        assert_eq!(state.storage(address(0), U256::ZERO).unwrap(), U256::from(9));
    });
    let changes = StateChanges::from_iter([(address(0), set(1, slots([(0, 9)])))]);
    let all = Witness::new(world().nodes().into_values().collect()).verify(world().root()).unwrap();
    let state = all.post_state(&changes).unwrap();
    assert_eq!(state.storage(address(1), U256::ZERO).unwrap(), U256::from(1));
}

/// Case 14: neither its slots nor its storage trie play a part.
#[test]
fn account_is_removed_with_its_storage() {
    assert_after(1, removed(), |state| {
        assert_eq!(state.account(address(1)).unwrap(), None);
        assert_eq!(state.storage(address(1), U256::ZERO).unwrap(), U256::ZERO);
        assert_proven(&state.account_proof(address(1), &[B256::ZERO]).unwrap(), state.state_root());
    });
    assert_after(1, AccountChange { storage: slots([(0, 5)]), ..removed() }, |state| {
        assert_eq!(state.account(address(1)).unwrap(), None);
    });
    // There is no such account; that too must be proven (T2).
    let behind_root = |account: &u8| world().state_trie().paths([keccak256(address(*account))]).len() > 1;
    let absent = (10..=u8::MAX).find(behind_root).unwrap();
    assert_after(absent, removed(), |state| assert_eq!(state.state_root(), world().root()));
    let root = world().nodes().remove(&world().root()).unwrap();
    let partial = Witness::new(vec![root]).verify(world().root()).unwrap();
    let changes = StateChanges::from_iter([(address(absent), removed())]);
    assert!(matches!(partial.post_state(&changes), Err(WitnessError::MissingNode { account: None, .. })));
}

/// Case 15.
#[test]
fn emptied_storage_has_the_empty_root() {
    assert_after(0, set(2, slots([(0, 0), (1, 0), (2, 0), (3, 0)])), |state| {
        assert_eq!(state.account(address(0)).unwrap().unwrap().storage_root, EMPTY);
        let proof = state.account_proof(address(0), &[B256::ZERO]).unwrap();
        assert!(proof.storage[0].proof.is_empty());
        assert_proven(&proof, state.state_root());
    });
}

/// Case 16.
#[test]
fn new_account_starts_from_empty_storage() {
    assert_after(77, set(1, slots([(5, 6), (7, 0)])), |state| {
        assert_eq!(state.storage(address(77), U256::from(5)).unwrap(), U256::from(6));
        assert_eq!(state.storage(address(77), U256::from(7)).unwrap(), U256::ZERO);
    });
}

/// Wiped storage keeps nothing and needs nothing of the old trie.
#[test]
fn wiped_storage_starts_from_empty() {
    let wiped = AccountChange { storage_wiped: true, ..set(1, slots([(9, 9)])) };
    assert_after(0, wiped, |state| {
        assert_eq!(state.storage(address(0), U256::ZERO).unwrap(), U256::ZERO);
        assert_eq!(state.storage(address(0), U256::from(9)).unwrap(), U256::from(9));
    });
    let emptied = AccountChange { storage_wiped: true, ..set(1, slots([])) };
    assert_after(0, emptied, |state| {
        assert_eq!(state.storage(address(0), U256::ZERO).unwrap(), U256::ZERO);
    });
}

/// Case 17: the leaf's storage root is kept though none of its nodes is there.
#[test]
fn account_changes_without_its_storage_trie() {
    assert_after(0, set(5, slots([])), |state| {
        let account = state.account(address(0)).unwrap().unwrap();
        assert_eq!(account.storage_root, world().account(address(0)).unwrap().storage_root);
        // A read of a slot does need it. T2.
        let missing = WitnessError::MissingNode {
            hash: account.storage_root,
            account: Some(keccak256(address(0))),
            path: Nibbles::new(),
        };
        assert_eq!(state.storage(address(0), U256::ZERO), Err(missing.clone()));
        assert_eq!(state.account_proof(address(0), &[B256::ZERO]), Err(missing));
        assert_proven(&state.account_proof(address(0), &[]).unwrap(), state.state_root());
    });
}

/// T7: changes that say what is so leave the state root, and need the paths all the same.
#[test]
fn unchanged_accounts_change_nothing() {
    assert_after(0, set(1, slots([(0, 1), (9, 0)])), |state| {
        assert_eq!(state.state_root(), world().root());
    });
}

/// An empty account is kept if the caller says so.
#[test]
fn empty_accounts_are_the_callers_business() {
    assert_after(50, set(0, slots([])), |state| {
        assert_eq!(state.account(address(50)).unwrap(), Some(TrieAccount::default()));
    });
}

/// Case 19: a branch of blinded children may belong to the state and to a storage trie.
/// A leaf may not.
#[test]
fn one_node_in_both_kinds_of_trie() {
    let account_leaf = leaf(&nibbles(&[0; 62]), &rlp(TrieAccount::default()));
    let blinded = RlpNode::word_rlp(&B256::repeat_byte(9));
    for (shared, slot) in [(&blinded, Ok(1)), (&reference(&account_leaf), Err(BadNodeReason::Slot))] {
        let inner = branch(&[(3, shared.clone()), (4, blinded.clone())]);
        // The storage trie: the shared branch at nibble 2, a leaf elsewhere.
        let slot_leaf = leaf(&nibbles(&[0; 63]), &[1]);
        let storage = branch(&[(2, reference(&inner)), (5, reference(&slot_leaf))]);
        let account = TrieAccount { storage_root: keccak256(&storage), ..TrieAccount::default() };
        let owner = leaf(&nibbles(&[0; 63]), &rlp(account));
        // The state trie: the same branch at nibble 1.
        let state = branch(&[(1, reference(&inner)), (5, reference(&owner))]);
        let nodes = [&account_leaf, &inner, &slot_leaf, &storage, &owner, &state];
        let witness = Witness::new(nodes.map(Bytes::clone).to_vec()).verify(keccak256(&state)).unwrap();
        assert_eq!(witness.account_by_hash(key("5", "")).unwrap(), Some(account));
        let read = witness.storage_trie(key("5", ""), account.storage_root);
        let read = read.map(|trie| trie.get(key("5", "")).unwrap().map(<[u8]>::to_vec));
        match slot {
            Ok(value) => assert_eq!(read, Ok(Some(vec![value]))),
            Err(reason) => assert_eq!(
                read,
                Err(WitnessError::BadNode {
                    hash: keccak256(&account_leaf),
                    account: Some(key("5", "")),
                    path: nibbles(&[2, 3]),
                    reason,
                })
            ),
        }
    }
}

/// The state before the first block: everything from the empty root.
#[test]
fn genesis_from_nothing() {
    let genesis = world();
    let changes = genesis.0.iter().map(|(address, (fields, storage))| {
        let change = AccountChange { account: Some(*fields), storage_wiped: false, storage: storage.clone() };
        (*address, change)
    });
    let nothing = Witness::new(vec![]).verify(EMPTY).unwrap();
    let state = nothing.post_state(&changes.collect()).unwrap();
    assert_eq!(state.state_root(), genesis.root());
}

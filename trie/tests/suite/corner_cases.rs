//! The shapes a trie changes through, one by one.
//!
//! Each test builds the trie before with `eth_trie`, cuts the witness out of it,
//! applies the changes, and compares the root with what alloy computes from the
//! resulting keys and values.

use crate::support::{
    ACCOUNT, EMPTY, FullTrie, Leaves, key, long_slot, nibbles, reference_root, slot, storage_trie,
    storage_witness,
};
use alloy_primitives::{B256, Bytes};
use std::collections::BTreeMap;
use weft_trie::{SparseTrie, WitnessError};

/// Which nodes the witness has.
#[derive(Clone, Copy)]
enum Supply<'a> {
    /// Those on the paths of the changed keys.
    Paths,
    /// Those, and the ones on the paths of further keys.
    And(&'a [B256]),
}

/// A change of one key; zero removes it.
type Change = (B256, u64);

/// The leaves with small values.
fn leaves(of: &[Change]) -> Leaves {
    of.iter().map(|(key, value)| (*key, slot(*value).unwrap())).collect()
}

/// The leaves after the changes.
fn changed(before: &Leaves, changes: &BTreeMap<B256, Option<Bytes>>) -> Leaves {
    let mut after = before.clone();
    for (key, value) in changes {
        match value {
            Some(value) => after.insert(*key, value.clone()),
            None => after.remove(key),
        };
    }
    after
}

/// Applies changes to a partial trie and compares the root, in three orders of the changes.
fn apply(
    before: &Leaves,
    supply: Supply<'_>,
    changes: &BTreeMap<B256, Option<Bytes>>,
) -> Result<B256, WitnessError> {
    let full = FullTrie::new(before.clone());
    assert_eq!(full.root, reference_root(before));
    let further = match supply {
        Supply::Paths => &[],
        Supply::And(keys) => keys,
    };
    let nodes = full.paths(changes.keys().chain(further).copied());
    let witness = storage_witness(full.root, nodes.into_values()).unwrap();
    let trie = storage_trie(&witness)?;
    assert_eq!(trie.root(), full.root);

    let in_order = changes.iter().map(|(key, value)| (*key, value.clone()));
    let mut forward = trie.clone();
    let result = forward.apply(in_order.clone());
    let mut backward = trie.clone();
    assert_eq!(result, backward.apply(in_order.rev()));
    result?;
    let after = changed(before, changes);
    assert_eq!(forward.root(), reference_root(&after));
    assert_eq!(backward.root(), forward.root());
    for (key, value) in changes {
        assert_eq!(forward.get(*key).unwrap(), value.as_ref().map(AsRef::as_ref));
    }
    Ok(forward.root())
}

/// [`apply`] for small values.
fn apply_small(before: &[Change], supply: Supply<'_>, changes: &[Change]) -> Result<B256, WitnessError> {
    let changes = changes.iter().map(|(key, value)| (*key, slot(*value))).collect();
    apply(&leaves(before), supply, &changes)
}

/// Asserts that the node at these nibbles of the storage trie is missed.
fn assert_missing(result: Result<B256, WitnessError>, at: &[u8]) {
    match result {
        Err(WitnessError::MissingNode { account, path, .. }) => {
            assert_eq!((account, path), (Some(ACCOUNT), nibbles(at)));
        }
        other => panic!("expected a missing node at {at:x?}, got {other:?}"),
    }
}

/// Case 1; T9.
#[test]
fn empty_to_one_leaf_to_empty() {
    assert_ne!(apply_small(&[], Supply::Paths, &[(key("1", ""), 1)]).unwrap(), EMPTY);
    assert_eq!(apply_small(&[(key("1", ""), 1)], Supply::Paths, &[(key("1", ""), 0)]).unwrap(), EMPTY);
    assert_eq!(apply_small(&[], Supply::Paths, &[(key("1", ""), 0)]).unwrap(), EMPTY);
}

/// Case 2.
#[test]
fn root_leaf_splits_anywhere() {
    let before = [(key("", ""), 1)];
    for other in [key("1", ""), key(&format!("{}1", "0".repeat(31)), ""), key("", "1")] {
        apply_small(&before, Supply::Paths, &[(other, 2)]).unwrap();
        // And back again: the branch collapses into the leaf.
        let both = [before[0], (other, 2)];
        apply_small(&both, Supply::And(&[before[0].0]), &[(other, 0)]).unwrap();
    }
}

/// Case 3. The branch below the extension stays blinded.
#[test]
fn extension_splits_at_first_middle_and_last_nibble() {
    let before = [(key("aaaa1", ""), 1), (key("aaaa2", ""), 2)];
    for other in ["b", "aab", "aaab"] {
        apply_small(&before, Supply::Paths, &[(key(other, ""), 3)]).unwrap();
    }
    // Splits at two places at once, with changes below the old branch.
    let changes = [(key("b", ""), 3), (key("aab", ""), 4), (key("aaaa1", ""), 5), (key("aaaa3", ""), 6)];
    apply_small(&before, Supply::Paths, &changes).unwrap();
    // Splits while everything below it goes.
    let changes = [(key("aab", ""), 4), (key("aaaa1", ""), 0), (key("aaaa2", ""), 0)];
    apply_small(&before, Supply::Paths, &changes).unwrap();
}

/// Case 4; T2.
#[test]
fn collapse_takes_the_kind_of_the_sibling() {
    let leaf = vec![(key("b", ""), 2)];
    let extension = vec![(key("bcc1", ""), 2), (key("bcc2", ""), 3)];
    let branch = vec![(key("b1", ""), 2), (key("b2", ""), 3)];
    for sibling in [leaf, extension, branch] {
        let mut before = vec![(key("a", ""), 1)];
        before.extend(&sibling);
        let removed = [(key("a", ""), 0)];
        assert_missing(apply_small(&before, Supply::Paths, &removed), &[0xb]);
        apply_small(&before, Supply::And(&[sibling[0].0]), &removed).unwrap();
    }
}

/// Case 5.
#[test]
fn collapse_cascades_into_the_parent_extension() {
    // ext(aa) - branch - { 1: leaf, 2: ext(bb) - branch - { 1: leaf, 2: leaf } }
    let before = [(key("aa1", ""), 1), (key("aa2bb1", ""), 2), (key("aa2bb2", ""), 3)];
    apply_small(&before, Supply::And(&[key("aa2bb1", "")]), &[(key("aa1", ""), 0)]).unwrap();
    apply_small(&before, Supply::Paths, &[(key("aa1", ""), 0), (key("aa2bb1", ""), 0)])
        .expect_err("the last leaf is needed, and not on a path");
    apply_small(&before, Supply::And(&[key("aa2bb2", "")]), &[(key("aa1", ""), 0), (key("aa2bb1", ""), 0)])
        .unwrap();
}

/// Case 6.
#[test]
fn all_keys_below_a_branch_go() {
    let before = [(key("a1", ""), 1), (key("a2", ""), 2), (key("b", ""), 3)];
    let below = [(key("a1", ""), 0), (key("a2", ""), 0)];
    assert_missing(apply_small(&before, Supply::Paths, &below), &[0xb]);
    apply_small(&before, Supply::And(&[key("b", "")]), &below).unwrap();
    let all = [below[0], below[1], (key("b", ""), 0)];
    assert_eq!(apply_small(&before, Supply::Paths, &all).unwrap(), EMPTY);
}

/// Case 7; T6.
#[test]
fn insertion_spares_the_sibling_of_a_removal() {
    let before = [(key("a", ""), 1), (key("b", ""), 2)];
    // The new key sorts before, between and after; in each order of the changes.
    for other in ["1", "a1", "c"] {
        apply_small(&before, Supply::Paths, &[(key("a", ""), 0), (key(other, ""), 3)]).unwrap();
    }
    // The same two levels down, where the inner branch is replaced as a whole.
    let before = [(key("aa1", ""), 1), (key("aa2", ""), 2), (key("b", ""), 3)];
    let changes = [(key("aa1", ""), 0), (key("aa2", ""), 0), (key("ac", ""), 4)];
    apply_small(&before, Supply::Paths, &changes).unwrap();
}

/// Case 8.
#[test]
fn collapse_onto_a_sibling_that_changes_too() {
    let before = [(key("a", ""), 1), (key("b1", ""), 2), (key("b2", ""), 3)];
    for changes in [
        vec![(key("a", ""), 0), (key("b1", ""), 9)],
        vec![(key("a", ""), 0), (key("b3", ""), 9)],
        vec![(key("a", ""), 0), (key("b2", ""), 9), (key("b3", ""), 9)],
    ] {
        apply_small(&before, Supply::Paths, &changes).unwrap();
    }
    // The sibling collapses first, so that its own last leaf decides.
    let changes = [(key("a", ""), 0), (key("b1", ""), 0)];
    assert_missing(apply_small(&before, Supply::Paths, &changes), &[0xb, 2]);
    apply_small(&before, Supply::And(&[key("b2", "")]), &changes).unwrap();
}

/// Case 9; T7.
#[test]
fn removing_an_absent_key_changes_nothing() {
    let before = [(key("a", ""), 1), (key("bcc1", ""), 2), (key("bcc2", ""), 3)];
    // Under a leaf, beside an extension, in an empty slot of a branch.
    for absent in ["a1", "b", "bcd", "c", "bcc3"] {
        apply_small(&before, Supply::Paths, &[(key(absent, ""), 0)]).unwrap();
    }
}

/// Case 10; T2.
#[test]
fn a_key_behind_a_blinded_node_is_not_absent() {
    let before = [(key("a", ""), 1), (key("b1", ""), 2), (key("b2", ""), 3), (key("c", ""), 4)];
    let full = FullTrie::new(leaves(&before));
    let witness = storage_witness(full.root, full.paths([key("a", "")]).into_values()).unwrap();
    let trie = storage_trie(&witness).unwrap();
    assert_eq!(trie.get(key("d", "")).unwrap(), None);
    for change in [Some(slot(1).unwrap()), None] {
        let mut trie = trie.clone();
        let result = trie.apply([(key("b3", ""), change)]);
        assert_missing(result.map(|()| trie.root()), &[0xb]);
    }
    assert_missing(trie.get(key("b3", "")).map(|_| EMPTY), &[0xb]);
    assert_missing(trie.proof(key("b3", "")).map(|_| EMPTY), &[0xb]);
}

/// Case 11; T7. The nodes are the very same, as the proof shows.
#[test]
fn a_write_of_the_same_value_changes_nothing() {
    let before = [(key("a", ""), 1), (key("b1", ""), 2), (key("b2", ""), 3)];
    let full = FullTrie::new(leaves(&before));
    let witness = storage_witness(full.root, full.nodes.values().cloned()).unwrap();
    let mut trie = storage_trie(&witness).unwrap();
    let proof = trie.proof(key("b1", "")).unwrap();
    trie.apply(leaves(&before).into_iter().map(|(key, value)| (key, Some(value)))).unwrap();
    trie.remove(key("c", "")).unwrap();
    assert_eq!(trie.root(), full.root);
    let again = trie.proof(key("b1", "")).unwrap();
    let places = |proof: &[Bytes]| proof.iter().map(|node| node.as_ptr()).collect::<Vec<_>>();
    assert_eq!(places(&proof), places(&again));
}

/// Case 12 and 21: nodes below 32 bytes, which their parents hold.
#[test]
fn nodes_inline_and_grow_out_of_it() {
    // Leaves in a branch in an extension, all in one node; also two levels of branches.
    let twins = [(key("", "1"), 1), (key("", "2"), 2)];
    let cousins = [(key("", "11"), 1), (key("", "12"), 2), (key("", "21"), 3)];
    for before in [&twins[..], &cousins[..]] {
        for (changed, _) in before {
            apply_small(before, Supply::Paths, &[(*changed, 0)]).unwrap();
            // Past 32 bytes and back.
            let long: BTreeMap<_, _> = [(*changed, Some(long_slot(1)))].into();
            apply(&leaves(before), Supply::Paths, &long).unwrap();
            let mut grown = leaves(before);
            grown.insert(*changed, long_slot(1));
            apply(&grown, Supply::Paths, &[(*changed, slot(7))].into()).unwrap();
        }
        for fresh in ["3", "13", "31", "111"] {
            apply_small(before, Supply::Paths, &[(key("", fresh), 4)]).unwrap();
        }
    }
    // Sixteen children at depth 63, hashed and inlined ones side by side.
    let full: Leaves = (0..16u8)
        .map(|last| {
            (B256::with_last_byte(last), if last % 2 == 0 { long_slot(last) } else { slot(1).unwrap() })
        })
        .collect();
    for last in 0..16 {
        apply(&full, Supply::Paths, &[(B256::with_last_byte(last), None)].into()).unwrap();
        apply(&full, Supply::Paths, &[(B256::with_last_byte(last), slot(3))].into()).unwrap();
    }
}

/// Case 18.
#[test]
fn root_branch_collapses() {
    let before = [(key("1", ""), 1), (key("7", ""), 2), (key("8", ""), 3), (key("f", ""), 4)];
    let changes = [(key("1", ""), 0), (key("8", ""), 0), (key("f", ""), 0)];
    assert_missing(apply_small(&before, Supply::Paths, &changes), &[7]);
    apply_small(&before, Supply::And(&[key("7", "")]), &changes).unwrap();
}

/// Case 20: the lengths at which RLP headers grow, and at which leaves become long messages.
#[test]
fn values_of_any_length() {
    let mut trie = SparseTrie::empty();
    let mut after = Leaves::new();
    for (index, length) in
        [1, 31, 32, 33, 55, 56, 57, 135, 136, 137, 255, 256, 491, 492, 543, 65_536].into_iter().enumerate()
    {
        let key = B256::repeat_byte(u8::try_from(index).unwrap() * 17);
        let value = Bytes::from(vec![0xee; length]);
        trie.insert(key, value.clone()).unwrap();
        after.insert(key, value);
        assert_eq!(trie.root(), reference_root(&after));
    }
}

/// V1. Leaves of which each is hashed where its value lies move up and down, and their values are replaced.
#[test]
fn long_values_move() {
    let long = |byte: u8, length: usize| Bytes::from(vec![byte; length]);
    for length in [480, 491, 492, 544, 5_000] {
        let before: Leaves =
            [(key("aaaa1", ""), long(1, length)), (key("b", ""), long(2, length))].into_iter().collect();
        let mut trie = SparseTrie::empty();
        trie.apply(before.iter().map(|(key, value)| (*key, Some(value.clone())))).unwrap();
        let sets: [&[(&str, Option<Bytes>)]; 5] = [
            // The leaf moves down; down and its sibling with it; up, for its sibling goes.
            &[("aaaa2", Some(long(3, length)))],
            &[("aab", Some(long(4, length))), ("aaaa2", Some(slot(1).unwrap()))],
            &[("b", None)],
            // It gets another value of that length, or a short one.
            &[("aaaa1", Some(long(5, length + 1))), ("b", Some(long(6, length)))],
            &[("aaaa1", Some(slot(1).unwrap())), ("b2", Some(long(7, length)))],
        ];
        for set in sets {
            let changes = set.iter().map(|(prefix, value)| (key(prefix, ""), value.clone())).collect();
            let after = changed(&before, &changes);
            let mut trie = trie.clone();
            trie.apply(changes).unwrap();
            assert_eq!(trie.root(), reference_root(&after), "{length} bytes, {set:?}");
            for (key, value) in after {
                assert_eq!(trie.get(key).unwrap(), Some(&value[..]));
            }
        }
    }
}

/// T8. A change that fails, among others that do not, leaves everything as it was.
#[test]
fn failed_changes_leave_no_trace() {
    let before = [(key("a", ""), 1), (key("b1", ""), 2), (key("b2", ""), 3)];
    let full = FullTrie::new(leaves(&before));
    let witness = storage_witness(full.root, full.paths([key("a", "")]).into_values()).unwrap();
    let mut trie = storage_trie(&witness).unwrap();
    trie.insert(key("c", ""), slot(4).unwrap()).unwrap();
    let root = trie.root();
    let changes = [(key("a", ""), slot(5)), (key("b1", ""), slot(6)), (key("d", ""), slot(7))];
    assert_missing(trie.apply(changes).map(|()| EMPTY), &[0xb]);
    assert_eq!(trie.root(), root);
    assert_eq!(trie.get(key("a", "")).unwrap(), Some(&[1][..]));
    assert_eq!(trie.get(key("d", "")).unwrap(), None);
    // And it can still be changed and hashed.
    trie.remove(key("c", "")).unwrap();
    assert_eq!(trie.root(), full.root);
}

/// Of several changes to one key, the last one counts.
#[test]
fn the_last_change_to_a_key_counts() {
    let mut trie = SparseTrie::empty();
    let one = key("1", "");
    trie.apply([(one, slot(1)), (key("2", ""), slot(9)), (one, None), (one, slot(2))]).unwrap();
    assert_eq!(trie.get(one).unwrap(), Some(&[2][..]));
    trie.apply([(one, slot(3)), (one, Some(Bytes::new()))]).unwrap();
    assert_eq!(trie.get(one).unwrap(), None);
    assert_eq!(trie.root(), reference_root(&leaves(&[(key("2", ""), 9)])));
}

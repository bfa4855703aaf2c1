//! Nodes in all shapes, sound and damaged.

use super::*;
use alloy_trie::{
    Nibbles,
    nodes::{LeafNodeRef, encode_path_leaf},
};

/// A branch with a hash, a gap, an inlined leaf and another hash at the end.
fn mixed_branch() -> (Vec<u8>, B256, Vec<u8>) {
    let hash = B256::repeat_byte(0xa0);
    let leaf = alloy_rlp::encode(LeafNodeRef::new(&Nibbles::new(), &[5]));
    let hashed = alloy_rlp::encode(hash);
    let mut items: [&[u8]; 17] = [&[EMPTY_STRING_CODE]; 17];
    (items[0], items[7], items[15]) = (&hashed, &leaf, &hashed);
    let payload: Vec<u8> = items.concat();
    let mut bytes = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
    bytes.extend_from_slice(&payload);
    (bytes, hash, leaf)
}

#[test]
fn children_are_read_in_place() {
    let (bytes, hash, leaf) = mixed_branch();
    let Ok(NodeRef::Branch(branch)) = NodeRef::decode(&bytes) else { panic!("not a branch") };
    let nibbles: Vec<usize> = branch.children().map(|(nibble, _)| nibble).collect();
    assert_eq!(nibbles, [0, 7, 15]);
    assert!(matches!(branch.child(0), Some(ChildRef::Hash(found)) if *found == hash));
    assert!(matches!(branch.child(7), Some(ChildRef::Inlined(found)) if found == leaf));
    assert!(matches!(branch.child(15), Some(ChildRef::Hash(found)) if *found == hash));
    assert!(branch.child(1).is_none());
}

#[test]
fn paths_of_every_length_come_back() {
    for length in 0..=64 {
        for is_leaf in [false, true] {
            let path = Nibbles::from_iter_unchecked((0..length).map(|nibble| nibble % 16));
            let encoded = encode_path_leaf(&path, is_leaf);
            let decoded = decode_path(&encoded).map(|(path, is_leaf)| (path.to_nibbles(), is_leaf));
            assert_eq!(decoded, Ok((path, is_leaf)));
        }
    }
}

#[test]
fn the_longest_node_is_a_full_branch() {
    let full = [&[0xf9, 0x02, 0x11][..], &alloy_rlp::encode(B256::ZERO).repeat(16), &[0x80]].concat();
    assert_eq!(full.len(), NODE_LENGTH_MAX);
    assert!(NodeRef::decode(&full).is_ok());
}

/// No bytes make decoding panic; what decodes can be read.
#[test]
fn any_damage_decodes_or_fails() {
    let (bytes, ..) = mixed_branch();
    for place in 0..bytes.len() {
        for value in 0..=u8::MAX {
            let mut damaged = bytes.clone();
            damaged[place] = value;
            match NodeRef::decode(&damaged) {
                Ok(NodeRef::Branch(branch)) => assert!(branch.children().count() >= 2),
                Ok(NodeRef::Extension { path, .. }) => assert!(path.len() > 0),
                Ok(NodeRef::Leaf { value, .. }) => assert!(!value.is_empty()),
                Err(_) => {}
            }
        }
    }
}

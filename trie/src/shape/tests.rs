//! Shapes against decoded nodes.

use super::*;
use alloy_rlp::Header;
use alloy_trie::{
    Nibbles,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};

/// The shape of a node and its links, if those children were supplied whose hash begins with an even byte.
fn shape_of(bytes: &[u8]) -> (Shape, Vec<u32>) {
    let (mut supplied, mut links) = (0, Vec::new());
    let wanted = |hash: &B256, bit: u16| {
        if let Some(place) = place_of(hash) {
            supplied |= bit;
            links.push(place);
        }
    };
    let mut shape = Shape::of(bytes, |hash| hash[0] != 1, wanted);
    shape.supplied = supplied;
    (shape, links)
}

/// Where a child was supplied.
fn place_of(hash: &B256) -> Option<u32> {
    hash[0].is_multiple_of(2).then(|| u32::from(hash[0]))
}

/// A list of items that are encoded already.
fn list(items: &[&[u8]]) -> Vec<u8> {
    let payload = items.concat();
    let mut bytes = Vec::new();
    Header { list: true, payload_length: payload.len() }.encode(&mut bytes);
    bytes.extend_from_slice(&payload);
    bytes
}

/// A branch with a hashed child for each of the nibbles, whose hash repeats the nibble.
fn branch(nibbles: impl Iterator<Item = u8>, inlined: Option<(usize, &[u8])>) -> Vec<u8> {
    let mut items = vec![vec![EMPTY_STRING_CODE]; 17];
    for nibble in nibbles {
        items[usize::from(nibble)] = alloy_rlp::encode(B256::repeat_byte(nibble));
    }
    if let Some((nibble, bytes)) = inlined {
        items[nibble] = bytes.to_vec();
    }
    list(&items.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Asserts that a shape says what decoding says.
fn assert_agrees(bytes: &[u8]) {
    let (shape, links) = shape_of(bytes);
    match NodeRef::decode(bytes) {
        Err(_) => assert_eq!(shape.kind, Kind::Bad),
        Ok(NodeRef::Branch(branch)) => {
            let is_mixed = branch.children().any(|(_, child)| matches!(child, ChildRef::Inlined(_)));
            assert_eq!(shape.kind, if is_mixed { Kind::MixedBranch } else { Kind::Branch });
            for nibble in 0..16 {
                let child = branch.child(nibble);
                assert_eq!(shape.children >> nibble & 1 == 1, child.is_some());
                let link = shape.link_of(nibble).map(|link| links[link]);
                match child {
                    Some(ChildRef::Hash(hash)) => {
                        assert_eq!(link, place_of(hash));
                        if !is_mixed {
                            let start = shape.hash_start(nibble);
                            assert_eq!(&bytes[start..start + 32], hash.as_slice());
                        }
                    }
                    Some(ChildRef::Inlined(_)) | None => assert_eq!(link, None),
                }
            }
        }
        Ok(NodeRef::Extension { path, child }) => {
            assert_eq!((shape.kind, shape.path(bytes)), (Kind::Extension, path));
            let supplied = match child {
                ChildRef::Hash(hash) => place_of(hash),
                ChildRef::Inlined(node) => {
                    assert_eq!(shape.body(bytes), node);
                    None
                }
            };
            assert_eq!(links.first().copied(), supplied);
        }
        Ok(NodeRef::Leaf { path, value }) => {
            assert!(matches!(shape.kind, Kind::AccountLeaf | Kind::SlotLeaf | Kind::OtherLeaf));
            assert_eq!((shape.path(bytes), shape.body(bytes)), (path, value));
            assert_eq!(usize::from(shape.path_nibbles()), path.len());
        }
    }
}

/// The short way to shapes of branches and the long way through decoding say the same, of sound
/// nodes and of such with any byte replaced.
#[test]
fn shapes_say_what_decoding_says() {
    let short = alloy_rlp::encode(LeafNodeRef::new(&Nibbles::new(), &[5]));
    let account = alloy_rlp::encode(alloy_trie::TrieAccount {
        storage_root: B256::repeat_byte(2),
        ..alloy_trie::TrieAccount::default()
    });
    let path = |length| Nibbles::from_nibbles(vec![3; length]);
    let hash = RlpNode::word_rlp(&B256::repeat_byte(4));
    let nodes = [
        branch(0..16, None),
        branch([3, 4].into_iter(), None),
        branch([0, 1, 2, 3, 4, 5, 15].into_iter(), None),
        branch([1, 2, 8].into_iter(), Some((6, &short))),
        branch(std::iter::empty(), Some((6, &short))),
        alloy_rlp::encode(LeafNodeRef::new(&path(60), &account)),
        alloy_rlp::encode(LeafNodeRef::new(&path(57), &[5])),
        alloy_rlp::encode(LeafNodeRef::new(&path(57), &[0x80])),
        alloy_rlp::encode(LeafNodeRef::new(&path(0), &[7; 40])),
        alloy_rlp::encode(ExtensionNodeRef::new(&path(1), &hash)),
        alloy_rlp::encode(ExtensionNodeRef::new(&path(6), &hash)),
        alloy_rlp::encode(ExtensionNodeRef::new(&path(5), &short)),
    ];
    for node in nodes {
        assert_agrees(&node);
        for place in 0..node.len() {
            for value in [0, 1, 0x20, 0x31, 0x80, 0x81, 0xa0, 0xa1, 0xc0, 0xc2, 0xf7, 0xf8, 0xf9, 0xff] {
                let mut damaged = node.clone();
                damaged[place] = value;
                assert_agrees(&damaged);
            }
            assert_agrees(&node[..place]);
        }
    }
}

/// A shape is half of the shortest node.
#[test]
fn shapes_are_small() {
    assert_eq!(size_of::<Shape>(), 16);
}

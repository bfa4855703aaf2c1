//! Roots: of the nodes that changed, and of the lists in a block.

use crate::{encoded::HASHED_LENGTH_MIN, keccak::keccak256_batch_parallel, node::Node, sparse::SparseTrie};
use alloy_primitives::{B256, Bytes};
use alloy_trie::{Nibbles, nodes::RlpNode};

/// The changed nodes of one trie, and what parents write for each: its hash or, below
/// 32 bytes, the node itself.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    /// The nodes, children before their parents.
    pub(crate) nodes: &'a [Node],
    /// What parents write for the first of them, to be extended to all.
    pub(crate) references: &'a mut Vec<RlpNode>,
}

/// Hashes the nodes of many tries that have no reference yet.
///
/// Nodes of the same height depend only on lower ones. So all of one height, from
/// all tries, make one batch.
pub(crate) fn hash_nodes(tries: &mut [Changed<'_>]) {
    let mut encoded = Vec::new();
    for level in levels(tries) {
        encoded.clear();
        let mut ends = Vec::with_capacity(level.len());
        for &(trie, node) in &level {
            let Changed { nodes, references } = &tries[trie];
            nodes[node].encode(references, &mut encoded);
            ends.push(encoded.len());
        }
        let mut start = 0;
        let slices = ends.into_iter().map(|end| &encoded[std::mem::replace(&mut start, end)..end]);
        let (mut hashed, mut messages) = (Vec::with_capacity(level.len()), Vec::with_capacity(level.len()));
        for ((trie, node), bytes) in level.into_iter().zip(slices) {
            if bytes.len() < HASHED_LENGTH_MIN {
                tries[trie].references[node] = RlpNode::from_rlp(bytes);
            } else {
                hashed.push((trie, node));
                messages.push(bytes);
            }
        }
        for ((trie, node), hash) in hashed.into_iter().zip(keccak256_batch_parallel(&messages)) {
            tries[trie].references[node] = RlpNode::word_rlp(&hash);
        }
    }
}

/// The nodes without a reference, lowest first, by trie and place. Makes room for their references.
fn levels(tries: &mut [Changed<'_>]) -> Vec<Vec<(usize, usize)>> {
    let mut levels: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut heights: Vec<usize> = Vec::new();
    for (number, Changed { nodes, references }) in tries.iter_mut().enumerate() {
        let hashed = references.len();
        heights.clear();
        for (place, node) in nodes.iter().enumerate().skip(hashed) {
            let above = |child: usize| child.checked_sub(hashed).map_or(0, |child| heights[child] + 1);
            let height = node.revealed_children().map(|child| above(child.index())).max().unwrap_or(0);
            heights.push(height);
            if levels.len() <= height {
                levels.resize_with(height + 1, Vec::new);
            }
            levels[height].push((number, place));
        }
        references.resize_with(nodes.len(), RlpNode::default);
    }
    levels
}

/// The root of a list in a block header: transactions, receipts or withdrawals.
///
/// The list is a trie from `rlp(index)` to the item, whose encoding (EIP-2718
/// or RLP) the caller provides.
///
/// ```
/// use alloy_trie::EMPTY_ROOT_HASH;
/// use weft_trie::ordered_root;
///
/// assert_eq!(ordered_root(Vec::<Vec<u8>>::new()), EMPTY_ROOT_HASH);
/// assert_ne!(ordered_root([b"one", b"two"]), ordered_root([b"two", b"one"]));
/// ```
pub fn ordered_root<V: Into<Bytes>>(values: impl IntoIterator<Item = V>) -> B256 {
    let key = |index: usize| Nibbles::unpack(alloy_rlp::encode_fixed_size(&index));
    let values = values.into_iter().enumerate().map(|(index, value)| (key(index), value.into()));
    let mut leaves: Vec<(Nibbles, Bytes)> = values.collect();
    leaves.sort_unstable_by_key(|(key, _)| *key);
    SparseTrie::of(&leaves).root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::root::ordered_trie_root_encoded;
    use eth_trie::{EthTrie, MemoryDB, Trie};
    use std::sync::Arc;

    /// Lists of every length around a change in the encoding of the index, with
    /// values around a change in theirs.
    #[test]
    fn lists_are_tries_keyed_by_index() {
        for length in [0, 1, 2, 15, 16, 17, 127, 128, 129, 255, 256, 257, 300] {
            let value = |index: usize| vec![0xee; [1, 31, 32, 55, 56, 255, 256][index % 7]];
            let values: Vec<_> = (0..length).map(value).collect();
            assert_eq!(ordered_root(values.clone()), ordered_trie_root_encoded(&values));
            let mut trie = EthTrie::new(Arc::new(MemoryDB::new(true)));
            for index in 0..length {
                trie.insert(&alloy_rlp::encode(index), &value(index)).expect("in memory");
            }
            let expected = B256::from_slice(trie.root_hash().expect("in memory").as_slice());
            assert_eq!(ordered_root((0..length).map(value)), expected, "{length} items");
        }
    }

    /// An item of no bytes is an item, though the value of no key in a state is empty.
    #[test]
    fn items_may_be_empty() {
        for length in [1, 2, 20, 200] {
            let values: Vec<Vec<u8>> = (0..length).map(|index| vec![index; usize::from(index % 3)]).collect();
            assert_eq!(ordered_root(values.clone()), ordered_trie_root_encoded(&values));
        }
    }
}

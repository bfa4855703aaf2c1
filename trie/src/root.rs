//! Roots: of the nodes that changed, and of the lists in a block.

use crate::node::Node;
use alloy_primitives::B256;
use alloy_trie::{nodes::RlpNode, root::ordered_trie_root_encoded};

/// Extends `references` to all `nodes`: what a parent writes for each, which is its
/// hash or, below 32 bytes, the node itself.
///
/// Children come before their parents, so one pass in order does it.
pub(crate) fn hash_nodes(nodes: &[Node], references: &mut Vec<RlpNode>) {
    let mut encoded = Vec::new();
    for node in &nodes[references.len()..] {
        encoded.clear();
        node.encode(references, &mut encoded);
        references.push(RlpNode::from_rlp(&encoded));
    }
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
pub fn ordered_root<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> B256 {
    let values: Vec<V> = values.into_iter().collect();
    ordered_trie_root_encoded(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use eth_trie::{EthTrie, MemoryDB, Trie};
    use std::sync::Arc;

    /// Lists of every length around a change in the encoding of the index, with
    /// values around a change in theirs.
    #[test]
    fn lists_are_tries_keyed_by_index() {
        for length in [0, 1, 2, 15, 16, 17, 127, 128, 129, 255, 256, 257, 300] {
            let value = |index: usize| vec![0xee; [1, 31, 32, 55, 56, 255, 256][index % 7]];
            let mut trie = EthTrie::new(Arc::new(MemoryDB::new(true)));
            for index in 0..length {
                trie.insert(&alloy_rlp::encode(index), &value(index)).expect("in memory");
            }
            let expected = B256::from_slice(trie.root_hash().expect("in memory").as_slice());
            assert_eq!(ordered_root((0..length).map(value)), expected, "{length} items");
        }
    }
}

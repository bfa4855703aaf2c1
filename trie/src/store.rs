//! The supplied nodes, by hash.
//!
//! Hashing, all nodes in batches, is the only thing done to a node when it comes in. A node is decoded
//! when something refers to it, and then only once: threads that meet at the
//! same node share the result.

use crate::{
    encoded::{Layout, NodeRef},
    error::BadNodeReason,
    keccak::keccak256_batch_parallel,
};
use alloy_primitives::{B256, Bytes, map::B256Map};
use std::sync::OnceLock;

/// All supplied nodes, each once.
#[derive(Debug)]
pub(crate) struct NodeStore {
    /// The nodes, in the order of their first appearance.
    nodes: Vec<StoredNode>,
    /// Where each hash is in `nodes`. The hasher is seeded, since the sender
    /// of a witness chooses the keys.
    index: B256Map<usize>,
}

/// One supplied node.
#[derive(Debug)]
pub(crate) struct StoredNode {
    /// Keccak-256 of the bytes.
    pub(crate) hash: B256,
    /// The node as it was supplied.
    pub(crate) bytes: Bytes,
    /// What decoding gave, once somebody asked.
    layout: OnceLock<Result<Layout, BadNodeReason>>,
}

impl NodeStore {
    /// Hashes the nodes; on several threads if the current pool has them.
    pub(crate) fn new(supplied: Vec<Bytes>) -> Self {
        let hashes = keccak256_batch_parallel(&supplied);
        let mut nodes = Vec::with_capacity(supplied.len());
        let mut index = B256Map::with_capacity_and_hasher(supplied.len(), <_>::default());
        for (hash, bytes) in hashes.into_iter().zip(supplied) {
            index.entry(hash).or_insert_with(|| {
                nodes.push(StoredNode { hash, bytes, layout: OnceLock::new() });
                nodes.len() - 1
            });
        }
        Self { nodes, index }
    }

    /// How many different nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The place of the node with this hash, if it was supplied.
    pub(crate) fn find(&self, hash: &B256) -> Option<usize> {
        self.index.get(hash).copied()
    }

    /// The node at a place that [`Self::find`] gave.
    pub(crate) fn node(&self, place: usize) -> &StoredNode {
        &self.nodes[place]
    }
}

impl StoredNode {
    /// The node, decoded by whoever asks first.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be decoded, the same for all who ask.
    pub(crate) fn decoded(&self) -> Result<NodeRef<'_>, BadNodeReason> {
        let layout = self.layout.get_or_init(|| Layout::decode(&self.bytes));
        layout.as_ref().map(|layout| layout.node(&self.bytes)).map_err(|reason| *reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    /// T1: the first of equal entries counts, and nothing is decoded before it is asked for.
    #[test]
    fn nodes_are_hashed_and_left_alone() {
        let one = Bytes::from(vec![1; 40]);
        let two = Bytes::from(vec![2; 40]);
        let store = NodeStore::new(vec![one.clone(), two.clone(), one.clone(), Bytes::new()]);
        assert_eq!(store.len(), 3);
        assert_eq!(store.find(&keccak256(&one)), Some(0));
        assert_eq!(store.find(&keccak256(&two)), Some(1));
        assert_eq!(store.find(&B256::ZERO), None);
        assert!(store.nodes.iter().all(|node| node.layout.get().is_none()));
    }

    /// T4: a second look finds the result of the first.
    #[test]
    fn nodes_are_decoded_once() {
        let store = NodeStore::new(vec![vec![1; 40].into()]);
        let node = store.node(0);
        let first = node.decoded().map(drop);
        assert_eq!(first, Err(BadNodeReason::NotAList));
        assert_eq!(node.layout.get().map(|layout| layout.as_ref().err()), Some(first.as_ref().err()));
        assert_eq!(node.decoded().map(drop), first);
    }
}

//! The supplied nodes, by hash.
//!
//! Hashing is the only thing done to a node when it comes in. A node is decoded
//! when something refers to it, and then only once: threads that meet at the
//! same node share the result.

use crate::{
    encoded::{Layout, NodeRef},
    error::BadNodeReason,
};
use alloy_primitives::{
    B256, Bytes, keccak256,
    map::{DefaultHashBuilder, HashMap},
};
use rayon::prelude::*;
use std::sync::OnceLock;

/// Below this many bytes, waking other threads costs more than they would save.
const PARALLEL_BYTES_MIN: usize = 64 * 1024;

/// Nodes handed to another thread at once: some hashing, but not one node's worth.
const PARALLEL_NODES_MIN: usize = 32;

/// All supplied nodes, each once.
#[derive(Debug)]
pub(crate) struct NodeStore {
    /// The nodes, in the order of their first appearance.
    nodes: Vec<StoredNode>,
    /// Where each hash is in `nodes`. The hasher is seeded, since the sender
    /// of a witness chooses the keys.
    index: HashMap<B256, usize>,
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
        let hashes = hash_all(&supplied);
        let mut nodes = Vec::with_capacity(supplied.len());
        let mut index = HashMap::with_capacity_and_hasher(supplied.len(), DefaultHashBuilder::default());
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

/// Hashes every node, in parallel where that pays.
fn hash_all(nodes: &[Bytes]) -> Vec<B256> {
    let bytes: usize = nodes.iter().map(|node| node.len()).sum();
    if bytes < PARALLEL_BYTES_MIN || rayon::current_num_threads() == 1 {
        return nodes.iter().map(keccak256).collect();
    }
    nodes.par_iter().with_min_len(PARALLEL_NODES_MIN).map(keccak256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn hashing_in_parallel_keeps_the_order() {
        let nodes: Vec<Bytes> = (0..2000u16).map(|seed| seed.to_be_bytes().repeat(50).into()).collect();
        let expected: Vec<B256> = nodes.iter().map(keccak256).collect();
        for threads in [1, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
            assert_eq!(pool.install(|| hash_all(&nodes)), expected);
        }
    }
}

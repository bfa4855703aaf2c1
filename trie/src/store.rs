//! The supplied nodes, by hash.
//!
//! Hashing, all nodes in batches, is the only thing done to a node when it comes in. A node is decoded
//! when something refers to it, and then only once: threads that meet at the
//! same node share the result. Its children are looked up at the same time, so
//! that a walk down needs the index at its start alone.

use crate::{
    encoded::{ChildRef, Layout, Link, NodeRef},
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
    index: B256Map<u32>,
}

/// One supplied node.
#[derive(Debug)]
pub(crate) struct StoredNode {
    /// Keccak-256 of the bytes.
    pub(crate) hash: B256,
    /// The node as it was supplied.
    pub(crate) bytes: Bytes,
    /// What decoding gave, once somebody asked.
    decoded: OnceLock<Result<Decoded, BadNodeReason>>,
}

/// A node as far as it is remembered.
#[derive(Debug)]
struct Decoded {
    /// Where its parts are.
    layout: Layout,
    /// Where its children are: sixteen of a branch, one of an extension.
    links: Box<[Link]>,
}

impl NodeStore {
    /// Hashes the nodes; on several threads if the current pool has them.
    pub(crate) fn new(supplied: Vec<Bytes>) -> Self {
        let hashes = keccak256_batch_parallel(&supplied);
        let mut nodes = Vec::with_capacity(supplied.len());
        let mut index = B256Map::with_capacity_and_hasher(supplied.len(), <_>::default());
        for (hash, bytes) in hashes.into_iter().zip(supplied) {
            index.entry(hash).or_insert_with(|| {
                nodes.push(StoredNode { hash, bytes, decoded: OnceLock::new() });
                u32::try_from(nodes.len() - 1).expect("fewer than 2^32 nodes")
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
        self.index.get(hash).map(|place| *place as usize)
    }

    /// [`Self::find`], for a hash of which something may be known.
    pub(crate) fn follow(&self, hash: &B256, link: Link) -> Option<usize> {
        match link {
            Link::Unknown => self.find(hash),
            Link::Blinded => None,
            Link::Supplied(place) => Some(place as usize),
        }
    }

    /// The node at a place that [`Self::find`] gave.
    pub(crate) fn node(&self, place: usize) -> &StoredNode {
        &self.nodes[place]
    }

    /// The node at a place, decoded by whoever asks first.
    ///
    /// # Errors
    ///
    /// The reason why it cannot be decoded, the same for all who ask.
    pub(crate) fn decoded(&self, place: usize) -> Result<NodeRef<'_>, BadNodeReason> {
        let StoredNode { bytes, decoded, .. } = &self.nodes[place];
        let decoded = decoded.get_or_init(|| {
            let layout = Layout::decode(bytes)?;
            Ok(Decoded { layout, links: self.links(layout.node(bytes, &[])) })
        });
        decoded.as_ref().map(|decoded| decoded.layout.node(bytes, &decoded.links)).map_err(|reason| *reason)
    }

    /// Looks up the children of a node.
    fn links(&self, node: NodeRef<'_>) -> Box<[Link]> {
        let link = |child: Option<ChildRef<'_>>| match child {
            Some(ChildRef::Hash(hash, _)) => {
                self.index.get(hash).map_or(Link::Blinded, |place| Link::Supplied(*place))
            }
            Some(ChildRef::Inlined(_)) | None => Link::Blinded,
        };
        match node {
            NodeRef::Branch(branch) => (0..16).map(|nibble| link(branch.child(nibble))).collect(),
            NodeRef::Extension { child, .. } => [link(Some(child))].into(),
            NodeRef::Leaf { .. } => [].into(),
        }
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
        assert!(store.nodes.iter().all(|node| node.decoded.get().is_none()));
    }

    /// T4: a second look finds the result of the first.
    #[test]
    fn nodes_are_decoded_once() {
        let store = NodeStore::new(vec![vec![1; 40].into()]);
        let node = store.node(0);
        let first = store.decoded(0).map(drop);
        assert_eq!(first, Err(BadNodeReason::NotAList));
        assert_eq!(node.decoded.get().map(|decoded| decoded.as_ref().err()), Some(first.as_ref().err()));
        assert_eq!(store.decoded(0).map(drop), first);
    }
}

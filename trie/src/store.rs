//! The supplied nodes, by hash.
//!
//! ```text
//!  bytes ── hash, in batches ──► index ── look at each, in the order supplied ──► shapes, links
//! ```
//!
//! All of this goes straight through memory and can be split at any node, so it is done for all
//! supplied nodes, before anybody asks which of them are reachable. Bytes that are no node, or that
//! nothing refers to, cost their share of this and have no other effect.
//!
//! Entries that are too short or too long to be a node with a hash of its own are *strays*. Nothing is
//! kept of them but a mark in an index of their own, so that a parent that refers to one can be told
//! from one whose child was not supplied.

use crate::{
    encoded::{ChildRef, HASHED_LENGTH_MIN, NODE_LENGTH_MAX, NodeRef},
    index::Index,
    keccak::{keccak256_batch, keccak256_batch_parallel},
    shape::{Kind, Shape},
};
use alloy_primitives::{B256, Bytes, keccak256};
use rayon::prelude::*;

/// Nodes whose links are kept together.
const CHUNK: usize = 256;

/// Chunks for which waking a thread pays.
const PARALLEL_CHUNKS_MIN: usize = 4;

/// Strays hashed at once.
const STRAYS_AT_ONCE: usize = 4096;

/// Set in the place of a stray, which is its number among all that was supplied.
const STRAY: u32 = 1 << 31;

/// All supplied nodes.
#[derive(Debug)]
pub(crate) struct NodeStore {
    /// Everything as it was supplied.
    supplied: Vec<Bytes>,
    /// Where in `supplied` the nodes are.
    nodes: Vec<u32>,
    /// Their hashes.
    hashes: Vec<B256>,
    /// Where each hash is in `nodes`.
    index: Index,
    /// Where strays are in `supplied`, by their hash.
    strays: Index,
    /// What the nodes are.
    shapes: Vec<Shape>,
    /// The places of their children, by chunks of nodes.
    links: Vec<Vec<u32>>,
}

/// A child of a supplied node, as far as it was supplied itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Below<'a> {
    /// At this place.
    Supplied(usize),
    /// Not at all; this is its hash.
    Blinded(&'a B256),
    /// In its parent.
    Inlined(&'a [u8]),
}

impl NodeStore {
    /// Hashes the nodes, finds their children, on several threads if the current pool has them.
    pub(crate) fn new(supplied: Vec<Bytes>) -> Self {
        let is_node = |bytes: &Bytes| (HASHED_LENGTH_MIN..=NODE_LENGTH_MAX).contains(&bytes.len());
        let numbers = 0..u32::try_from(supplied.len()).expect("fewer than 2^32 nodes");
        assert!(numbers.end < STRAY, "fewer than 2^31 nodes");
        let nodes: Vec<u32> = numbers.filter(|number| is_node(&supplied[*number as usize])).collect();
        let messages: Vec<&[u8]> = nodes.iter().map(|number| &supplied[*number as usize][..]).collect();
        let hashes = keccak256_batch_parallel(&messages);
        drop(messages);
        let mut index = Index::with_capacity(nodes.len());
        for (place, hash) in hashes.iter().enumerate() {
            index.insert(hash, place, |other| hashes[other] == *hash);
        }
        let strays = if nodes.len() < supplied.len() {
            index_strays(&supplied, supplied.len() - nodes.len(), |bytes| !is_node(bytes))
        } else {
            Index::with_capacity(0)
        };
        let mut store =
            Self { supplied, nodes, hashes, index, strays, shapes: Vec::new(), links: Vec::new() };
        store.look();
        store
    }

    /// Finds out what the nodes are.
    fn look(&mut self) {
        let chunks = self.nodes.len().div_ceil(CHUNK);
        let mut shapes = vec![Shape::BAD; self.nodes.len()];
        let mut links = vec![Vec::new(); chunks];
        let look_at_chunk = |(number, (shapes, links)): (usize, (&mut [Shape], &mut Vec<u32>))| {
            let places = number * CHUNK..;
            links.reserve(2 * shapes.len());
            for (place, shape) in places.zip(shapes) {
                *shape = Shape::of(self.bytes(place), links, |hash| self.lookup(hash));
            }
        };
        if rayon::current_num_threads() > 1 && chunks >= PARALLEL_CHUNKS_MIN {
            shapes.par_chunks_mut(CHUNK).zip(&mut links).enumerate().for_each(look_at_chunk);
        } else {
            shapes.chunks_mut(CHUNK).zip(&mut links).enumerate().for_each(look_at_chunk);
        }
        (self.shapes, self.links) = (shapes, links);
    }

    /// How many different entries there are, strays included.
    pub(crate) fn len(&self) -> usize {
        self.index.len() + self.strays.len()
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.nodes.len()
    }

    /// The place of the node with this hash, if it was supplied and is no stray.
    pub(crate) fn find(&self, hash: &B256) -> Option<usize> {
        self.index.find(hash, |place| self.hashes[place] == *hash)
    }

    /// The bytes of the stray with this hash.
    pub(crate) fn find_stray(&self, hash: &B256) -> Option<&Bytes> {
        if self.strays.len() == 0 {
            return None;
        }
        let stray = self.strays.find(hash, |number| keccak256(&self.supplied[number]) == *hash);
        stray.map(|number| &self.supplied[number])
    }

    /// What a link to the node with this hash is, strays included.
    fn lookup(&self, hash: &B256) -> Option<u32> {
        let link = |place: usize| u32::try_from(place).expect("fewer than 2^31 nodes");
        match self.find(hash) {
            Some(place) => Some(link(place)),
            None if self.strays.len() == 0 => None,
            None => self
                .strays
                .find(hash, |number| keccak256(&self.supplied[number]) == *hash)
                .map(|number| link(number) | STRAY),
        }
    }

    /// The bytes of the node at a place, for sharing.
    pub(crate) fn shared(&self, place: usize) -> &Bytes {
        &self.supplied[self.nodes[place] as usize]
    }

    /// The bytes of the node at a place.
    pub(crate) fn bytes(&self, place: usize) -> &[u8] {
        self.shared(place)
    }

    /// The hash of the node at a place.
    pub(crate) fn hash(&self, place: usize) -> &B256 {
        &self.hashes[place]
    }

    /// What the node at a place is.
    pub(crate) fn shape(&self, place: usize) -> &Shape {
        &self.shapes[place]
    }

    /// The supplied children of a node, or the storage root of an account, in the order of the
    /// nibbles. A stray gives its bytes.
    pub(crate) fn links(&self, place: usize) -> impl Iterator<Item = Result<usize, &Bytes>> {
        let Shape { links, supplied, .. } = self.shapes[place];
        let start = usize::from(links);
        let links = &self.links[place / CHUNK][start..start + supplied.count_ones() as usize];
        links.iter().map(|link| self.follow(*link))
    }

    /// The place that a link leads to, or the bytes of the stray.
    fn follow(&self, link: u32) -> Result<usize, &Bytes> {
        if link & STRAY == 0 { Ok(link as usize) } else { Err(&self.supplied[(link & !STRAY) as usize]) }
    }

    /// The child of a branch in a trie that has been checked.
    pub(crate) fn child(&self, place: usize, nibble: usize) -> Option<Below<'_>> {
        let shape = &self.shapes[place];
        if shape.children >> nibble & 1 == 0 {
            return None;
        }
        if let Some(link) = shape.link_of(nibble) {
            let link = self.links[place / CHUNK][usize::from(shape.links) + link];
            return Some(Below::Supplied(self.follow(link).expect(CHECKED)));
        }
        let bytes = self.bytes(place);
        if shape.kind == Kind::Branch {
            let hash = bytes[shape.hash_start(nibble)..].first_chunk::<32>().expect("the branch was looked at");
            return Some(Below::Blinded(hash.into()));
        }
        let Ok(NodeRef::Branch(branch)) = NodeRef::decode(bytes) else { unreachable!("the shape says so") };
        branch.child(nibble).map(Below::from)
    }

    /// The child of an extension in a trie that has been checked.
    pub(crate) fn child_of_extension(&self, place: usize) -> Below<'_> {
        match self.links(place).next() {
            Some(link) => Below::Supplied(link.expect(CHECKED)),
            None => {
                let child = crate::encoded::child_ref(self.shapes[place].body(self.bytes(place)));
                child.ok().flatten().expect("the shape says so").into()
            }
        }
    }
}

/// Why a node can be relied on.
const CHECKED: &str = "what is reachable from the root was checked";

impl<'a> From<ChildRef<'a>> for Below<'a> {
    fn from(child: ChildRef<'a>) -> Self {
        match child {
            ChildRef::Hash(hash) => Self::Blinded(hash),
            ChildRef::Inlined(bytes) => Self::Inlined(bytes),
        }
    }
}

/// Indexes the entries that are strays by their place in `supplied`, a few hashes at a time.
fn index_strays(supplied: &[Bytes], count: usize, is_stray: impl Fn(&Bytes) -> bool) -> Index {
    let mut strays = Index::growing(count);
    let mut batch = Vec::new();
    let mut numbers = (0..supplied.len()).filter(|number| is_stray(&supplied[*number]));
    loop {
        batch.clear();
        batch.extend(numbers.by_ref().take(STRAYS_AT_ONCE));
        if batch.is_empty() {
            return strays;
        }
        let messages: Vec<&Bytes> = batch.iter().map(|number| &supplied[*number]).collect();
        for (number, hash) in batch.iter().zip(keccak256_batch(&messages)) {
            strays.insert(&hash, *number, |other| supplied[other] == supplied[*number]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T1: the first of equal entries counts, and bytes that are no node do no harm.
    #[test]
    fn nodes_are_found_by_their_hash() {
        let one = Bytes::from(vec![1; 40]);
        let two = Bytes::from(vec![2; 40]);
        let (short, long) = (Bytes::from(vec![3; 31]), Bytes::from(vec![4; 533]));
        let supplied = [&one, &short, &two, &one, &Bytes::new(), &long, &short].map(Bytes::clone);
        let store = NodeStore::new(supplied.to_vec());
        assert_eq!((store.len(), store.places()), (5, 3));
        assert_eq!(store.find(&keccak256(&one)), Some(0));
        assert_eq!(store.find(&keccak256(&two)), Some(1));
        assert_eq!(store.find(&B256::ZERO), None);
        assert_eq!(store.find_stray(&keccak256(&one)), None);
        for stray in [&short, &long, &Bytes::new()] {
            assert_eq!(store.find(&keccak256(stray)), None);
            assert_eq!(store.find_stray(&keccak256(stray)), Some(stray));
        }
        assert_eq!(store.shape(0).kind, Kind::Bad);
    }
}

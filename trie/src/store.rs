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
//! Entries that are too short or too long to be a node with a hash of its own are *strays*. They are kept
//! apart, each once, so that a parent that refers to one can be told from one whose child was not supplied.

use crate::{
    encoded::{ChildRef, HASHED_LENGTH_MIN, NODE_LENGTH_MAX, NodeRef, child_ref},
    index::Index,
    keccak::{Backend, keccak256_batch, prefetch, prefetch_entry},
    key::nibble,
    known::KnownHashes,
    shape::{Kind, Shape},
};
use alloy_primitives::{B256, Bytes};
use rayon::prelude::*;
use std::borrow::Cow;

/// Nodes whose links are kept together.
const CHUNK: usize = 256;

/// Chunks for which waking a thread pays.
const PARALLEL_CHUNKS_MIN: usize = 4;

/// To put so many nodes into the index takes as long as to hash one of them.
const INSERTED_WHILE_HASHING: usize = 10;

/// How many nodes ahead of the one that is looked at the next are asked for.
const AHEAD: usize = 4;

/// Strays hashed at once.
const STRAYS_AT_ONCE: usize = 4096;

/// There are fewer places than this: two more bits say what kind of child is at one.
const PLACES_MAX: usize = 1 << 30;

/// Set in the link to a stray, which else is its number among the strays.
const STRAY: u32 = 1 << 31;

/// All supplied nodes.
#[derive(Debug)]
pub(crate) struct NodeStore {
    /// The nodes, in the order supplied.
    nodes: Vec<Bytes>,
    /// Their hashes.
    hashes: Vec<B256>,
    /// Where each hash is in `nodes`.
    index: Index,
    /// The strays.
    strays: Strays,
    /// What the nodes are.
    shapes: Vec<Shape>,
    /// The places of their children, by chunks of nodes.
    links: Vec<Vec<u32>>,
}

/// Entries that cannot be nodes with a hash of their own, each once.
#[derive(Debug)]
struct Strays {
    /// Their bytes.
    entries: Vec<Bytes>,
    /// Their hashes: a stray may be long, and any number of nodes refer to it.
    hashes: Vec<B256>,
    /// Where each hash is in `entries`.
    index: Index,
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
    /// Hashes the nodes, but for those whose hashes are known, and finds their children, on several threads if
    /// the current pool has them.
    ///
    /// # Panics
    ///
    /// If there are 2^30 nodes or more.
    pub(crate) fn new(supplied: Cow<'_, [Bytes]>, known: Option<&KnownHashes>) -> Self {
        assert!(supplied.len() < PLACES_MAX, "fewer than 2^30 nodes");
        let strays = Strays::among(&supplied);
        let nodes: Vec<Bytes> = match supplied {
            Cow::Owned(mut nodes) => {
                nodes.retain(|bytes| !is_stray(bytes));
                nodes
            }
            Cow::Borrowed(supplied) => supplied.iter().filter(|bytes| !is_stray(bytes)).cloned().collect(),
        };
        let (hashes, index) = hashed(&nodes, known);
        let mut store = Self { nodes, hashes, index, strays, shapes: Vec::new(), links: Vec::new() };
        store.look();
        store
    }

    /// Finds out what the nodes are.
    fn look(&mut self) {
        let chunks = self.nodes.len().div_ceil(CHUNK);
        let mut shapes = vec![Shape::BAD; self.nodes.len()];
        let mut links = vec![Vec::new(); chunks];
        let look_at_chunk = |(number, (shapes, links)): (usize, (&mut [Shape], &mut Vec<u32>))| {
            self.look_at_chunk(number * CHUNK, shapes, links);
        };
        if worth_sharing(chunks) {
            shapes.par_chunks_mut(CHUNK).zip(&mut links).enumerate().for_each(look_at_chunk);
        } else {
            shapes.chunks_mut(CHUNK).zip(&mut links).enumerate().for_each(look_at_chunk);
        }
        (self.shapes, self.links) = (shapes, links);
    }

    /// Finds out what the nodes are whose places start at `start`.
    ///
    /// First all nodes are read, then all children that may be there are looked up, and what is found is
    /// compared. So the processor can be at several of each at the same time, and waits for memory less.
    fn look_at_chunk(&self, start: usize, shapes: &mut [Shape], links: &mut Vec<u32>) {
        let has_strays = !self.strays.entries.is_empty();
        let may_be_there = |hash: &B256| self.index.may_have(hash) | has_strays;
        let mut wanted = Vec::with_capacity(2 * CHUNK);
        let mut ends = [0; CHUNK];
        for ((place, shape), end) in (start..).zip(&mut *shapes).zip(&mut ends) {
            if place + AHEAD < self.nodes.len() {
                prefetch(self.bytes(place + AHEAD));
            }
            *shape = Shape::of(self.bytes(place), may_be_there, |hash, bit| {
                wanted.push((hash, bit, self.index.approach(hash)));
            });
            *end = wanted.len();
        }
        let likely = wanted.iter().map(|(_, _, tag)| {
            let likely = self.index.likely(*tag);
            if let Some(place) = likely {
                prefetch_entry(&self.hashes[place]);
            }
            likely.map(link_to)
        });
        let likely: Vec<Option<u32>> = likely.collect();
        links.reserve(wanted.len());
        let mut found = wanted.iter().zip(likely);
        let mut before = 0;
        for (shape, end) in shapes.iter_mut().zip(ends) {
            let first = links.len();
            for ((hash, bit, _), likely) in found.by_ref().take(end - before) {
                let link = match likely {
                    Some(link) if is_same(&self.hashes[link as usize], hash) => Some(link),
                    Some(_) => self.lookup(hash),
                    None => self.lookup_stray(hash),
                };
                if let Some(link) = link {
                    shape.supplied |= bit;
                    links.push(link);
                }
            }
            before = end;
            shape.links = match links[first..] {
                [only] => {
                    links.pop();
                    only
                }
                _ => u32::try_from(first).expect("a chunk has fewer links"),
            };
        }
    }

    /// How many different entries there are, strays included.
    pub(crate) fn len(&self) -> usize {
        self.index.len() + self.strays.entries.len()
    }

    /// How many places there are.
    pub(crate) fn places(&self) -> usize {
        self.nodes.len()
    }

    /// The place of the node with this hash, if it was supplied and is no stray.
    pub(crate) fn find(&self, hash: &B256) -> Option<usize> {
        self.index.find(hash, |place| is_same(&self.hashes[place], hash))
    }

    /// The bytes of the stray with this hash.
    pub(crate) fn find_stray(&self, hash: &B256) -> Option<&Bytes> {
        self.strays.find(hash).map(|number| &self.strays.entries[number])
    }

    /// What a link to the node with this hash is, strays included.
    fn lookup(&self, hash: &B256) -> Option<u32> {
        self.find(hash).map(link_to).or_else(|| self.lookup_stray(hash))
    }

    /// What a link to the stray with this hash is.
    fn lookup_stray(&self, hash: &B256) -> Option<u32> {
        self.strays.find(hash).map(|number| link_to(number) | STRAY)
    }

    /// Asks for what [`Self::bytes`] and [`Self::shape`] need.
    pub(crate) fn prefetch_entry(&self, place: usize) {
        prefetch_entry(&self.nodes[place]);
        prefetch_entry(&self.shapes[place]);
    }

    /// Asks for what a way down needs at a place beside the shape: the link for the next nibble of the key, or where the
    /// bytes are.
    pub(crate) fn prefetch_way(&self, place: usize, key: &B256, depth: usize) {
        let shape = &self.shapes[place];
        if !shape.is_branch() {
            prefetch_entry(&self.nodes[place]);
        } else if let Some(before) = shape.link_of(nibble(key, depth)) {
            prefetch_entry(self.link(place, before));
        }
    }

    /// Asks for the bytes of the node at a place.
    pub(crate) fn prefetch_bytes(&self, place: usize) {
        prefetch(&self.nodes[place]);
    }

    /// Asks for what [`Self::shape`] needs.
    pub(crate) fn prefetch_shape(&self, place: usize) {
        prefetch_entry(&self.shapes[place]);
    }

    /// The bytes of the node at a place, for sharing.
    pub(crate) fn shared(&self, place: usize) -> &Bytes {
        &self.nodes[place]
    }

    /// The bytes of the node at a place.
    pub(crate) fn bytes(&self, place: usize) -> &[u8] {
        &self.nodes[place]
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
        let shape = &self.shapes[place];
        let links = match shape.supplied.count_ones() {
            1 => std::slice::from_ref(&shape.links),
            count => {
                let start = shape.links as usize;
                &self.links[place / CHUNK][start..start + count as usize]
            }
        };
        links.iter().map(|link| self.follow(*link))
    }

    /// The link of a node to that of its supplied children that comes after so many others.
    fn link(&self, place: usize, before: usize) -> &u32 {
        let shape = &self.shapes[place];
        match shape.supplied.count_ones() {
            1 => &shape.links,
            _ => &self.links[place / CHUNK][shape.links as usize + before],
        }
    }

    /// The place that a link leads to, or the bytes of the stray.
    fn follow(&self, link: u32) -> Result<usize, &Bytes> {
        if link & STRAY == 0 {
            Ok(link as usize)
        } else {
            Err(&self.strays.entries[(link & !STRAY) as usize])
        }
    }

    /// The child of a branch in a trie that has been checked.
    pub(crate) fn child(&self, place: usize, nibble: usize) -> Option<Below<'_>> {
        let shape = &self.shapes[place];
        if shape.children >> nibble & 1 == 0 {
            return None;
        }
        if let Some(before) = shape.link_of(nibble) {
            return Some(Below::Supplied(self.follow(*self.link(place, before)).expect(CHECKED)));
        }
        let bytes = self.bytes(place);
        if shape.kind == Kind::Branch {
            return Some(Below::Blinded(shape.child_hash(bytes, nibble)));
        }
        let Ok(NodeRef::Branch(branch)) = NodeRef::decode(bytes) else { unreachable!("the shape says so") };
        branch.child(nibble).map(Below::from)
    }

    /// The child of an extension in a trie that has been checked.
    pub(crate) fn child_of_extension(&self, place: usize) -> Below<'_> {
        if let Some(link) = self.links(place).next() {
            return Below::Supplied(link.expect(CHECKED));
        }
        let child = child_ref(self.shapes[place].body(self.bytes(place)));
        child.ok().flatten().expect("the shape says so").into()
    }
}

/// A link to a place.
fn link_to(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^30 nodes")
}

/// Whether two hashes are the same, without a call.
fn is_same(one: &B256, two: &B256) -> bool {
    let words = |hash: &B256| -> [u64; 4] {
        std::array::from_fn(|word| u64::from_le_bytes(*hash[8 * word..].first_chunk().expect("32 bytes")))
    };
    let differences = words(one).into_iter().zip(words(two)).map(|(one, two)| one ^ two);
    differences.fold(0, |all, difference| all | difference) == 0
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

/// The hashes of the nodes, and the index of them.
fn hashed(nodes: &[Bytes], known: Option<&KnownHashes>) -> (Vec<B256>, Index) {
    let mut index = Index::with_capacity(nodes.len());
    let (hashes, indexed) = match known {
        Some(known) => (known.hash(nodes), 0),
        None if worth_sharing(nodes.len().div_ceil(CHUNK)) => hashes_beside(nodes, &mut index),
        None => (hashes_alone(nodes), 0),
    };
    index.insert_from(indexed, &hashes, is_same);
    (hashes, index)
}

/// The hashes of the nodes, in pieces that fill the lanes well and whose order stays in the cache.
fn hashes_alone(nodes: &[Bytes]) -> Vec<B256> {
    let mut hashes = vec![B256::ZERO; nodes.len()];
    let pieces = nodes.chunks(4 * CHUNK).zip(hashes.chunks_mut(4 * CHUNK));
    pieces.for_each(|(nodes, hashes)| Backend::best().hash(nodes, hashes));
    hashes
}

/// The hashes of the nodes, found on several threads: one of them puts the first into the index while the others hash
/// the rest. Also says how many that are.
fn hashes_beside(nodes: &[Bytes], index: &mut Index) -> (Vec<B256>, usize) {
    let mut hashes = vec![B256::ZERO; nodes.len()];
    // Smaller pieces leave more to whoever is early.
    let hash = |nodes: &[Bytes], hashes: &mut [B256], length: usize| {
        let pieces = nodes.par_chunks(length).zip(hashes.par_chunks_mut(length));
        pieces.for_each(|(nodes, hashes)| Backend::best().hash(nodes, hashes));
    };
    let rest = nodes.len() / INSERTED_WHILE_HASHING * (rayon::current_num_threads() - 1);
    let first = nodes.len() - rest.min(nodes.len() / 2);
    let (sooner, later) = hashes.split_at_mut(first);
    hash(&nodes[..first], sooner, 2 * CHUNK);
    rayon::join(|| index.insert_from(0, sooner, is_same), || hash(&nodes[first..], later, CHUNK / 2));
    (hashes, first)
}

/// Whether an entry is too short or too long to be a node with a hash of its own.
fn is_stray(bytes: &Bytes) -> bool {
    !(HASHED_LENGTH_MIN..=NODE_LENGTH_MAX).contains(&bytes.len())
}

/// Whether so many chunks of nodes are work for several threads.
fn worth_sharing(chunks: usize) -> bool {
    rayon::current_num_threads() > 1 && chunks >= PARALLEL_CHUNKS_MIN
}

impl Strays {
    /// The strays among what was supplied, hashed a few at a time.
    fn among(supplied: &[Bytes]) -> Self {
        let count = supplied.iter().filter(|bytes| is_stray(bytes)).count();
        let mut strays = Self { entries: Vec::new(), hashes: Vec::new(), index: Index::growing(count) };
        let mut waiting = supplied.iter().filter(|bytes| is_stray(bytes));
        let mut batch = Vec::new();
        while strays.entries.len() < count {
            batch.clear();
            batch.extend(waiting.by_ref().take(STRAYS_AT_ONCE));
            if batch.is_empty() {
                break;
            }
            for (bytes, hash) in batch.iter().zip(keccak256_batch(&batch)) {
                let Self { entries, hashes, index } = &mut strays;
                let before = index.len();
                index.insert(&hash, before, |other| is_same(&hashes[other], &hash));
                if index.len() > before {
                    entries.push((*bytes).clone());
                    hashes.push(hash);
                }
            }
        }
        strays
    }

    /// The number of the stray with this hash.
    fn find(&self, hash: &B256) -> Option<usize> {
        self.index.find(hash, |number| is_same(&self.hashes[number], hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    /// A stray is hashed once, however long it is and however many nodes refer to it.
    #[test]
    fn t4_strays_are_not_hashed_again() {
        let stray = Bytes::from(vec![7; 1 << 20]);
        let mut strays = Strays::among(&[stray.clone(), stray.clone()]);
        assert_eq!(strays.entries.len(), 1);
        strays.entries[0] = Bytes::new();
        assert_eq!(strays.find(&keccak256(&stray)), Some(0));
    }

    /// T1: the first of equal entries counts, and bytes that are no node do no harm.
    #[test]
    fn nodes_are_found_by_their_hash() {
        let one = Bytes::from(vec![1; 40]);
        let two = Bytes::from(vec![2; 40]);
        let (short, long) = (Bytes::from(vec![3; 31]), Bytes::from(vec![4; 533]));
        let supplied = [&one, &short, &two, &one, &Bytes::new(), &long, &short].map(Bytes::clone);
        let store = NodeStore::new(supplied.to_vec().into(), None);
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

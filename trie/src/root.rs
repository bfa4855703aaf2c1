//! Hashes of the nodes that changed, and the roots of their tries.

use crate::{
    arena::{Arena, Child, Node, Place, Reference},
    encode::encode_leaf_head,
    encoded::ChildRef,
    keccak::{Groups, keccak256_batch, keccak256_batch_parallel, prefetch, prefetch_entry},
};
use alloy_primitives::{B256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use std::ops::Range;

/// Nodes that are encoded and then hashed together, on several threads. Their bytes stay in the cache in between.
const WINDOW: usize = 256;

/// Nodes between one step of asking for the next and the following step.
const AHEAD: usize = 6;

/// On how many threads nodes are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// On the calling one.
    One,
    /// On those of the current pool, if there is enough to do.
    All,
}

/// Where the bytes of a node are.
enum Laid {
    /// Among those that were encoded.
    Out(Range<usize>),
    /// Around its value.
    AmongValues(Range<usize>),
}

impl Arena<'_> {
    /// Computes what parents write for the nodes that are not hashed yet.
    ///
    /// Nodes of the same height depend only on lower ones. So all of one height, from
    /// all tries in the arena, are hashed together.
    pub(crate) fn hash(&mut self, threads: Threads) {
        let hashed = self.references.len();
        let blank = Reference::hashed(&B256::ZERO);
        self.references.resize(self.nodes.len(), blank);
        let (order, starts) = by_height(&self.heights[hashed..]);
        let levels = starts.windows(2).map(|level| &order[level[0]..level[1]]);
        if threads == Threads::One || rayon::current_num_threads() == 1 {
            let mut groups = Groups::new();
            levels.for_each(|level| self.hash_level(level, hashed, &mut groups));
        } else {
            levels.flat_map(|level| level.chunks(WINDOW)).for_each(|window| self.hash_window(window, hashed));
        }
        self.heights[hashed..].fill(0);
    }

    /// Hashes nodes of the same height on this thread, in groups of those that have as many blocks.
    fn hash_level(&mut self, level: &[u32], hashed: usize, groups: &mut Groups) {
        let mut encoded = Vec::new();
        let mut long: Vec<(usize, Range<usize>)> = Vec::new();
        for (place, index) in level.iter().enumerate() {
            self.prefetch_ahead(level, place, hashed);
            let index = hashed + *index as usize;
            if let Some(node) = self.lay_out(index) {
                long.push((index, node));
                continue;
            }
            let is_full = if let Node::Branch(branch) = &self.nodes[index]
                && let Some(origin) = self.origin_to_patch(branch)
            {
                let bytes = self.store().bytes(origin.place());
                groups.add(index, bytes.len(), |room| {
                    room.copy_from_slice(bytes);
                    self.patch(branch, origin, room);
                })
            } else {
                encoded.clear();
                self.encode(index, &mut encoded);
                groups.add(index, encoded.len(), |room| room.copy_from_slice(&encoded))
            };
            if is_full {
                groups.hash_full(|index, node, digest| self.references[index] = Reference::of(node, digest));
            }
        }
        groups.hash_all(|index, node, digest| self.references[index] = Reference::of(node, digest));
        let nodes: Vec<&[u8]> = long.iter().map(|(_, node)| self.values.laid_out(node.clone())).collect();
        for (((index, _), node), digest) in long.iter().zip(&nodes).zip(keccak256_batch(&nodes)) {
            self.references[*index] = Reference::of(node, &digest);
        }
    }

    /// Where among the values a leaf is, if its own is long: it is made to begin there.
    fn lay_out(&mut self, index: usize) -> Option<Range<usize>> {
        let Node::Leaf { key, start, end, value } = &self.nodes[index] else { return None };
        self.values.lay_out(*value, |value, out| encode_leaf_head(key, (*start, *end), value, out))
    }

    /// Hashes nodes of the same height on all threads.
    fn hash_window(&mut self, window: &[u32], hashed: usize) {
        let mut encoded = Vec::new();
        let mut nodes: Vec<Laid> = Vec::with_capacity(window.len());
        for (place, index) in window.iter().enumerate() {
            self.prefetch_ahead(window, place, hashed);
            let index = hashed + *index as usize;
            nodes.push(self.lay_out(index).map_or_else(
                || {
                    let start = encoded.len();
                    self.encode(index, &mut encoded);
                    Laid::Out(start..encoded.len())
                },
                Laid::AmongValues,
            ));
        }
        let bytes = |node: &Laid| match node {
            Laid::Out(range) => &encoded[range.clone()],
            Laid::AmongValues(range) => self.values.laid_out(range.clone()),
        };
        let messages: Vec<&[u8]> = nodes.iter().map(bytes).collect();
        let digests = keccak256_batch_parallel(&messages);
        for ((index, message), digest) in window.iter().zip(messages).zip(&digests) {
            self.references[hashed + *index as usize] = Reference::of(message, digest);
        }
    }

    /// Asks for what is needed to encode the nodes that come after that at `place`: for the farthest the
    /// node, then where its old bytes are, then these; or, if it has none, which its children are, then their
    /// references.
    fn prefetch_ahead(&self, window: &[u32], place: usize, hashed: usize) {
        let node = |steps: usize| Some(&self.nodes[hashed + *window.get(place + steps * AHEAD)? as usize]);
        if let Some(node) = node(3) {
            prefetch_entry(node);
        }
        if let Some(Node::Branch(branch)) = node(2) {
            match branch.origin {
                Some(origin) => self.store().prefetch_entry(origin.place()),
                None => prefetch_entry(self.fresh(branch)),
            }
        }
        if let Some(Node::Branch(branch)) = node(1) {
            match branch.origin {
                Some(origin) => prefetch(self.store().bytes(origin.place())),
                None => self.fresh(branch).iter().for_each(|child| {
                    if let Place::Changed(index) = child.place() {
                        prefetch_entry(&self.references[index]);
                    }
                }),
            }
        }
    }

    /// The hash of a trie whose nodes are hashed.
    pub(crate) fn root(&self, root: Child) -> B256 {
        let reference = match root.place() {
            Place::None => return EMPTY_ROOT_HASH,
            Place::Supplied(place) => return *self.store().hash(place),
            Place::Changed(index) => &self.references[index],
            Place::Kept | Place::Loose(_) => unreachable!("a root has no parent"),
        };
        match reference.read() {
            ChildRef::Hash(hash) => *hash,
            // A root shorter than a hash is hashed all the same: nothing can inline it.
            ChildRef::Inlined(node) => keccak256(node),
        }
    }
}

/// The indices of nodes by their height, and where each height starts; the last start is the end.
fn by_height(heights: &[u8]) -> (Vec<u32>, Vec<usize>) {
    let highest = heights.iter().max().map_or(0, |height| usize::from(*height) + 1);
    let mut starts = vec![0; highest + 1];
    for height in heights {
        starts[usize::from(*height) + 1] += 1;
    }
    for height in 0..highest {
        starts[height + 1] += starts[height];
    }
    let mut next = starts.clone();
    let mut order = vec![0; heights.len()];
    for (index, height) in (0..).zip(heights) {
        let slot = &mut next[usize::from(*height)];
        order[*slot] = index;
        *slot += 1;
    }
    (order, starts)
}

//! Roots: of the nodes that changed, and of the lists in a block.

use crate::{
    arena::{Arena, Child, Node, Place, Reference},
    encode::encode_leaf_head,
    encoded::ChildRef,
    keccak::{Groups, keccak256_batch, keccak256_batch_parallel, prefetch, prefetch_entry},
    update::{NewLeaf, short},
};
use alloy_primitives::{B256, Bytes, keccak256};
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

/// The root of a list in a block header: transactions, receipts or withdrawals.
///
/// The list is a trie from `rlp(index)` to the item, whose encoding (EIP-2718
/// or RLP) the caller provides; [`ordered_root_with`] takes less memory.
///
/// ```
/// use alloy_trie::EMPTY_ROOT_HASH;
/// use weft_trie::ordered_root;
///
/// assert_eq!(ordered_root(Vec::<Vec<u8>>::new()), EMPTY_ROOT_HASH);
/// assert_ne!(ordered_root([b"one", b"two"]), ordered_root([b"two", b"one"]));
/// ```
pub fn ordered_root<V: Into<Bytes>>(values: impl IntoIterator<Item = V>) -> B256 {
    let values: Vec<Bytes> = values.into_iter().map(Into::into).collect();
    ordered_root_with(&values, |value| value.len(), |value, out| out.extend_from_slice(value))
}

/// As [`ordered_root`], of items that are encoded where they are needed: a list may be megabytes. `length` says how
/// many bytes of an item `encode` appends, so that room is made once; what it says is no part of the root.
///
/// ```
/// use alloy_rlp::Encodable;
/// use weft_trie::{ordered_root, ordered_root_with};
///
/// let numbers = [1_u64, 1_000, 1_000_000];
/// let root = ordered_root_with(&numbers, Encodable::length, |number, out| number.encode(out));
/// assert_eq!(root, ordered_root(numbers.map(alloy_rlp::encode)));
/// ```
pub fn ordered_root_with<T>(
    items: &[T],
    length: impl Fn(&T) -> usize,
    encode: impl Fn(&T, &mut Vec<u8>),
) -> B256 {
    if items.is_empty() {
        return EMPTY_ROOT_HASH;
    }
    let mut arena = Arena::default();
    arena.values.reserve_any(items.len(), items.iter().map(length).sum());
    let leaf = |(index, item): (usize, &T)| {
        let key = alloy_rlp::encode_fixed_size(&index);
        let value = arena.values.keep_any(|values| encode(item, values));
        NewLeaf { key: B256::right_padding_from(&key), end: short(2 * key.len()), value }
    };
    let mut leaves: Vec<NewLeaf> = items.iter().enumerate().map(leaf).collect();
    leaves.sort_unstable_by_key(|leaf| leaf.key);
    let root = Child::changed(arena.build(0, &leaves));
    arena.hash(Threads::All);
    arena.root(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keccak::SHORT_MAX;
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

    /// Items of which a leaf is hashed where they lie, and of which it is not, on one thread and on two.
    #[test]
    fn long_items_are_items() {
        let lengths = [SHORT_MAX - 60, SHORT_MAX - 5, SHORT_MAX, SHORT_MAX + 1, 65_535, 65_536, 1 << 20, 3];
        let values: Vec<Vec<u8>> = (0..)
            .zip(lengths)
            .map(|(byte, length)| (byte..=u8::MAX).cycle().take(length).collect())
            .collect();
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            for list in [&values[..], &values[3..4], &values[6..7], &values[..2]] {
                let expected = ordered_trie_root_encoded(list);
                assert_eq!(pool.install(|| ordered_root(list.to_vec())), expected);
            }
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

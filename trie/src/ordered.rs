//! Roots of the lists in a block.

use crate::{
    arena::{Arena, Child},
    root::Threads,
    update::{NewLeaf, short},
};
use alloy_primitives::{B256, Bytes};
use alloy_trie::EMPTY_ROOT_HASH;

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

//! Keys as 32 bytes, and the nibbles in them.
//!
//! Nodes do not hold lists of nibbles. A changed leaf or extension holds a whole key and which
//! nibbles of it are its own; an encoded one is read through [`Path`], where it stands. So most
//! comparisons are of bytes.

use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::cmp::Ordering;

/// Nibbles in a key.
pub(crate) const KEY_NIBBLES: usize = 64;

/// The path of an encoded extension or leaf, packed as hex-prefix packs it: whole bytes at its
/// end, and a nibble before them if its length is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// The first nibble of a path of odd length.
    pub(crate) first: Option<u8>,
    /// The rest, two nibbles to the byte.
    pub(crate) packed: &'a [u8],
}

impl Path<'_> {
    /// How many nibbles it has.
    pub(crate) fn len(&self) -> usize {
        2 * self.packed.len() + usize::from(self.first.is_some())
    }

    /// Its nibbles, one by one.
    pub(crate) fn nibbles(&self) -> impl Iterator<Item = u8> {
        self.first.into_iter().chain(self.packed.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]))
    }

    /// Whether `key` goes on with this path after `depth` nibbles.
    pub(crate) fn is_in(&self, key: &B256, depth: usize) -> bool {
        if (depth + self.len()).is_multiple_of(2) {
            // The whole bytes lie as in the key.
            // A first nibble fills up the byte of the key in which the path begins.
            let start = depth.div_ceil(2);
            is_same(self.packed, &key[start..start + self.packed.len()])
                && self.first.is_none_or(|first| usize::from(first) == nibble(key, depth))
        } else {
            self.nibbles().zip(depth..).all(|(own, place)| usize::from(own) == nibble(key, place))
        }
    }

    /// The key that has the first `depth` nibbles of `key`, and then this path.
    pub(crate) fn below(&self, key: &B256, depth: usize) -> B256 {
        let mut whole = *key;
        if (depth + self.len()).is_multiple_of(2) {
            // A first nibble fills up the byte of the key in which the path begins.
            let start = depth.div_ceil(2);
            whole[start..start + self.packed.len()].copy_from_slice(self.packed);
            if let Some(first) = self.first {
                set_nibble(&mut whole, depth, first);
            }
        } else {
            for (own, place) in self.nibbles().zip(depth..) {
                set_nibble(&mut whole, place, own);
            }
        }
        whole
    }

    /// The same path as a list of nibbles.
    pub(crate) fn to_nibbles(self) -> Nibbles {
        Nibbles::from_iter_unchecked(self.nibbles())
    }
}

/// The nibble of a key at a place.
pub(crate) fn nibble(key: &B256, place: usize) -> usize {
    let byte = key[place / 2];
    usize::from(if place.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
}

/// Puts a nibble into a key.
fn set_nibble(key: &mut B256, place: usize, nibble: u8) {
    let byte = &mut key[place / 2];
    *byte = if place.is_multiple_of(2) { *byte & 0x0f | nibble << 4 } else { *byte & 0xf0 | nibble };
}

/// The key with another nibble at a place.
pub(crate) fn with_nibble(key: &B256, place: usize, nibble: usize) -> B256 {
    let mut key = *key;
    set_nibble(&mut key, place, u8::try_from(nibble).expect("a nibble is less than sixteen"));
    key
}

/// Whether two parts of keys, of the same length, are the same. Most are longer than half a key.
fn is_same(one: &[u8], two: &[u8]) -> bool {
    let ends = |part: &[u8]| -> Option<[u128; 2]> {
        Some([u128::from_le_bytes(*part.first_chunk()?), u128::from_le_bytes(*part.last_chunk()?)])
    };
    match (ends(one), ends(two)) {
        // Together these are all bytes.
        (Some(one), Some(two)) => one == two,
        _ => one == two,
    }
}

/// How many nibbles two keys share from the start.
pub(crate) fn common_prefix(one: &B256, two: &B256) -> usize {
    let differing = one.iter().zip(two.iter()).position(|(one, two)| one != two);
    differing.map_or(KEY_NIBBLES, |byte| 2 * byte + usize::from(one[byte] >> 4 == two[byte] >> 4))
}

/// Which of two keys comes first. Nearly always their first bytes say so.
pub(crate) fn order(one: &B256, two: &B256) -> Ordering {
    let first = |key: &B256| u64::from_be_bytes(*key.first_chunk().expect("32 bytes"));
    first(one).cmp(&first(two)).then_with(|| one.cmp(two))
}

/// The first nibbles of a key, as errors list them.
pub(crate) fn prefix(key: &B256, nibbles: usize) -> Nibbles {
    Nibbles::unpack(key).slice(..nibbles)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key whose nibbles are all different from their neighbours.
    fn key() -> B256 {
        B256::new(std::array::from_fn(|byte| u8::try_from(37 * byte % 256).expect("a byte") ^ 0x5a))
    }

    /// Paths of every length at every depth are found where they are, and nowhere else.
    #[test]
    fn paths_are_compared_with_keys() {
        let key = key();
        for depth in 0..=KEY_NIBBLES {
            for end in depth..=KEY_NIBBLES {
                let nibbles: Vec<u8> =
                    (depth..end).map(|place| u8::try_from(nibble(&key, place)).expect("a nibble")).collect();
                let (odd, whole) = nibbles.split_at(nibbles.len() % 2);
                let packed: Vec<u8> = whole.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
                let path = Path { first: odd.first().copied(), packed: &packed };
                assert_eq!(path.len(), end - depth);
                assert_eq!(path.to_nibbles(), Nibbles::unpack(key).slice(depth..end));
                assert!(path.is_in(&key, depth));
                let other = with_nibble(&B256::ZERO, 0, nibble(&key, 0) ^ 1);
                assert!(common_prefix(&path.below(&other, depth), &other) >= depth);
                for place in depth..end {
                    let changed = with_nibble(&key, place, nibble(&key, place) ^ 1);
                    assert!(!path.is_in(&changed, depth));
                    assert_eq!(common_prefix(&key, &changed), place);
                    assert_eq!(prefix(&path.below(&changed, depth), end), prefix(&key, end));
                }
            }
        }
        assert_eq!(common_prefix(&key, &key), KEY_NIBBLES);
    }
}

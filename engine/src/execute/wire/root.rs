//! `hash_tree_root`, over bytes as they lie and without building a tree.
//!
//! A list's leaves are hashed as they come: a subtree is closed as soon as its
//! last leaf is there, so the memory in use is one node per level however long
//! the list is.
//!
//! A bounded list is one binary tree, padded with zeros to its limit. A
//! progressive list (EIP-7916) is a chain of them, each four times the last, so
//! that its shape does not depend on a limit:
//!
//! ```text
//!  root = H( ▲ , H( ▲ , H( ▲ , … 0 )))      ▲ = binary tree
//!           1      4     16   leaves
//! ```

use libssz_merkle::{Node, Sha2Hasher, ZERO_HASHES, hash_nodes, mix_in_active_fields, mix_in_length};

use super::dialect::Capacity;

/// Bytes of a node, and of one leaf's share of a byte string.
const NODE_LENGTH: usize = size_of::<Node>();

/// Root of a byte string of varying length.
pub(super) fn byte_list(bytes: &[u8], capacity: Capacity) -> Node {
    let leaves = match capacity {
        Capacity::Progressive => Capacity::Progressive,
        Capacity::AtMost(limit) => Capacity::AtMost(limit.div_ceil(NODE_LENGTH)),
    };
    mix_in_length(&Sha2Hasher, &tree(chunks(bytes), leaves), bytes.len())
}

/// Root of a list of values, given theirs.
pub(super) fn list(roots: impl ExactSizeIterator<Item = Node>, capacity: Capacity) -> Node {
    let count = roots.len();
    mix_in_length(&Sha2Hasher, &tree(roots, capacity), count)
}

/// Root of a number (little-endian) or of a byte string of fixed length.
pub(super) fn vector(bytes: &[u8]) -> Node {
    tree(chunks(bytes), Capacity::AtMost(bytes.len().div_ceil(NODE_LENGTH)))
}

/// Root of a container whose fields have these roots.
pub(super) fn container<const N: usize>(fields: [Node; N], progressive: bool) -> Node {
    if progressive {
        let root = tree(fields.into_iter(), Capacity::Progressive);
        mix_in_active_fields(&Sha2Hasher, &root, &[true; N])
    } else {
        tree(fields.into_iter(), Capacity::AtMost(N))
    }
}

/// Root of a container of fixed length whose fields have these lengths.
pub(super) fn flat_container(bytes: &[u8], field_lengths: &[usize]) -> Node {
    let fields = field_lengths.iter().scan(bytes, |rest, length| {
        let (field, after) = rest.split_at(*length);
        *rest = after;
        Some(vector(field))
    });
    tree(fields, Capacity::AtMost(field_lengths.len()))
}

/// The bytes as leaves, the last one padded with zeros.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Node> {
    let (whole, rest) = bytes.as_chunks();
    let last = (!rest.is_empty()).then(|| {
        let mut chunk = Node::default();
        chunk[..rest.len()].copy_from_slice(rest);
        chunk
    });
    whole.iter().copied().chain(last)
}

/// Root over leaves, before any length is mixed in.
fn tree(mut leaves: impl Iterator<Item = Node>, capacity: Capacity) -> Node {
    match capacity {
        Capacity::AtMost(limit) => {
            let depth = limit.next_power_of_two().trailing_zeros() as usize;
            binary_tree(&mut leaves, depth).unwrap_or(ZERO_HASHES[depth])
        }
        Capacity::Progressive => {
            let trees: Vec<_> = (0..).step_by(2).map_while(|depth| binary_tree(&mut leaves, depth)).collect();
            let end = Node::default();
            trees.iter().rev().fold(end, |rest, tree| hash_nodes(&Sha2Hasher, tree, &rest))
        }
    }
}

/// Root of a binary tree of `depth` levels over the next leaves, or `None` if
/// there are none. Takes no more leaves than the tree holds.
fn binary_tree(leaves: &mut impl Iterator<Item = Node>, depth: usize) -> Option<Node> {
    // `lefts[level]` is a finished subtree that waits for its right sibling. Which
    // levels have one is written in the binary digits of the count of leaves.
    let mut lefts = [Node::default(); usize::BITS as usize];
    let mut count = 0_usize;
    for leaf in leaves.take(1 << depth) {
        let finished = count.trailing_ones() as usize;
        let join = |right, left| hash_nodes(&Sha2Hasher, left, &right);
        lefts[finished] = lefts[..finished].iter().fold(leaf, join);
        count += 1;
    }
    if count == 0 {
        return None;
    }
    let last = count.trailing_zeros() as usize;
    let root = (last..depth).fold(lefts[last], |node, level| {
        if level > last && count >> level & 1 == 1 {
            hash_nodes(&Sha2Hasher, &lefts[level], &node)
        } else {
            hash_nodes(&Sha2Hasher, &node, &ZERO_HASHES[level])
        }
    });
    Some(root)
}

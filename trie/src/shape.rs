//! What is remembered of a supplied node: twelve bytes.
//!
//! A walk down asks a branch which children it has and where those are that were supplied; it
//! doesn't read the branch. Nor is anything kept for a child that was not supplied: its hash is in
//! the branch's bytes, at a place that follows from the children before it.

use crate::{
    account,
    encoded::{ChildRef, HASH_CODE, NODE_LENGTH_MAX, NodeRef, length_of},
    key::Path,
};
use alloy_primitives::B256;
use alloy_rlp::EMPTY_STRING_CODE;
use alloy_trie::EMPTY_ROOT_HASH;

/// What kind of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A branch whose children all have hashes.
    Branch,
    /// A branch that holds some children itself.
    MixedBranch,
    /// An extension.
    Extension,
    /// A leaf that holds an account.
    AccountLeaf,
    /// A leaf that holds an integer, not zero.
    SlotLeaf,
    /// A leaf that holds neither.
    OtherLeaf,
    /// No node at all.
    Bad,
}

/// The parts of a supplied node, as offsets into its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// What kind of node it is.
    pub(crate) kind: Kind,
    /// Nibbles in the path of an extension or a leaf.
    nibbles: u8,
    /// Where the whole bytes of the path start.
    packed: u8,
    /// Where the children start, or the reference to the one child, or the value.
    body: u16,
    /// The children of a branch.
    pub(crate) children: u16,
    /// Those that were supplied. For an extension, whether its child was; for an account, whether
    /// the root of its storage was: zero or one.
    pub(crate) supplied: u16,
    /// Where the places of the supplied children start among the links.
    pub(crate) links: u16,
}

impl Shape {
    /// What a node of which nothing is known looks like.
    pub(crate) const BAD: Self =
        Self { kind: Kind::Bad, nibbles: 0, packed: 0, body: 0, children: 0, supplied: 0, links: 0 };

    /// Looks at a node. `find` tells where a node was supplied; the places go to `links`.
    pub(crate) fn of(bytes: &[u8], links: &mut Vec<u32>, find: impl Fn(&B256) -> Option<u32>) -> Self {
        let start = links.len();
        let shape = Self::of_branch(bytes, links, &find).unwrap_or_else(|| {
            links.truncate(start);
            Self::of_any(bytes, links, &find)
        });
        let links = u16::try_from(start).expect("a chunk has fewer links");
        Self { links, ..shape }
    }

    /// [`Self::of`] for branches whose children all have hashes: most of the bytes of a witness.
    fn of_branch(bytes: &[u8], links: &mut Vec<u32>, find: impl Fn(&B256) -> Option<u32>) -> Option<Self> {
        let (body, payload) = match *bytes {
            [0xf8, length, ..] if length >= 56 => (2, usize::from(length)),
            [0xf9, high, low, ..] if high > 0 => (3, usize::from(high) << 8 | usize::from(low)),
            _ => return None,
        };
        if bytes.len() != body + payload || bytes.len() > NODE_LENGTH_MAX {
            return None;
        }
        let mut rest = &bytes[body..];
        let (mut children, mut supplied) = (0, 0);
        for nibble in 0..16 {
            match rest {
                [EMPTY_STRING_CODE, after @ ..] => rest = after,
                [HASH_CODE, after @ ..] => {
                    let (hash, after) = after.split_first_chunk::<32>()?;
                    children |= 1 << nibble;
                    if let Some(place) = find(hash.into()) {
                        supplied |= 1 << nibble;
                        links.push(place);
                    }
                    rest = after;
                }
                _ => return None,
            }
        }
        let is_whole = *rest == [EMPTY_STRING_CODE] && u16::count_ones(children) >= 2;
        let body = if body == 2 { 2 } else { 3 };
        is_whole.then_some(Self { kind: Kind::Branch, body, children, supplied, ..Self::BAD })
    }

    /// [`Self::of`] by decoding.
    fn of_any(bytes: &[u8], links: &mut Vec<u32>, find: impl Fn(&B256) -> Option<u32>) -> Self {
        let mut link = |hash: &B256| {
            let place = find(hash);
            links.extend(place);
            u16::from(place.is_some())
        };
        match NodeRef::decode(bytes) {
            Ok(NodeRef::Branch(branch)) => {
                let mut shape = Self { kind: Kind::MixedBranch, ..Self::BAD };
                for (nibble, child) in branch.children() {
                    shape.children |= 1 << nibble;
                    if let ChildRef::Hash(hash) = child {
                        shape.supplied |= link(hash) << nibble;
                    }
                }
                shape
            }
            Ok(NodeRef::Extension { path, child }) => {
                let (length, supplied) = match child {
                    ChildRef::Hash(hash) => (33, link(hash)),
                    ChildRef::Inlined(node) => (node.len(), 0),
                };
                Self { kind: Kind::Extension, supplied, ..Self::of_path(bytes, path, length) }
            }
            Ok(NodeRef::Leaf { path, value }) => {
                let shape = Self::of_path(bytes, path, value.len());
                match account::decode_account(value) {
                    Ok(account) => {
                        let has_storage = account.storage_root != EMPTY_ROOT_HASH;
                        let supplied = if has_storage { link(&account.storage_root) } else { 0 };
                        Self { kind: Kind::AccountLeaf, supplied, ..shape }
                    }
                    Err(_) if account::decode_slot(value).is_ok_and(|slot| !slot.is_zero()) => {
                        Self { kind: Kind::SlotLeaf, ..shape }
                    }
                    Err(_) => Self { kind: Kind::OtherLeaf, ..shape },
                }
            }
            Err(_) => Self::BAD,
        }
    }

    /// The shape of a node with a path, whose last `length` bytes are what it leads to.
    fn of_path(bytes: &[u8], path: Path<'_>, length: usize) -> Self {
        // The path lies before the second item, of which `length` bytes end the node.
        let packed = path.packed.as_ptr().addr() - bytes.as_ptr().addr();
        let small = |number: usize| u8::try_from(number).expect("a path starts near the start, and is short");
        let body = length_of(bytes) - u16::try_from(length).expect("shorter than the node");
        Self { nibbles: small(path.len()), packed: small(packed), body, ..Self::BAD }
    }

    /// The path of an extension or leaf.
    pub(crate) fn path<'a>(&self, bytes: &'a [u8]) -> Path<'a> {
        let start = usize::from(self.packed);
        let packed = &bytes[start..start + usize::from(self.nibbles / 2)];
        let first = (!self.nibbles.is_multiple_of(2)).then(|| bytes[start - 1] & 0x0f);
        Path { first, packed }
    }

    /// Whether it is a branch.
    pub(crate) fn is_branch(&self) -> bool {
        matches!(self.kind, Kind::Branch | Kind::MixedBranch)
    }

    /// Whether it is a leaf.
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.kind, Kind::AccountLeaf | Kind::SlotLeaf | Kind::OtherLeaf)
    }

    /// Nibbles in the path of an extension or leaf.
    pub(crate) fn path_nibbles(&self) -> u8 {
        self.nibbles
    }

    /// The value of a leaf, or what an extension writes for its child.
    pub(crate) fn body<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[usize::from(self.body)..]
    }

    /// Where in a [`Kind::Branch`] the hash of a child that it has lies.
    pub(crate) fn hash_start(&self, nibble: usize) -> usize {
        let before = (self.children & ((1 << nibble) - 1)).count_ones() as usize;
        usize::from(self.body) + nibble + 32 * before + 1
    }

    /// How far into its links that of a child is, if the child was supplied.
    pub(crate) fn link_of(&self, nibble: usize) -> Option<usize> {
        let is_supplied = self.supplied >> nibble & 1 == 1;
        is_supplied.then(|| (self.supplied & ((1 << nibble) - 1)).count_ones() as usize)
    }
}

#[cfg(test)]
mod tests;

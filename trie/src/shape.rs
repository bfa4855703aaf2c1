//! What is remembered of a supplied node: sixteen bytes.
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
    /// Where the places of the supplied children start among the links; of an only one, the link itself.
    pub(crate) links: u32,
}

impl Shape {
    /// What a node of which nothing is known looks like.
    pub(crate) const BAD: Self =
        Self { kind: Kind::Bad, nibbles: 0, packed: 0, body: 0, children: 0, supplied: 0, links: 0 };

    /// Looks at a node. Those of its children that `may_be_there` are given to `wanted`, each with its bit in
    /// `supplied`, to be looked up.
    #[inline]
    pub(crate) fn of<'a>(
        bytes: &'a [u8],
        may_be_there: impl Fn(&B256) -> bool,
        mut wanted: impl FnMut(&'a B256, u16),
    ) -> Self {
        match Self::of_full_branch(bytes, &may_be_there).or_else(|| Self::of_branch(bytes, &may_be_there)) {
            Some((shape, mut asked_for)) => {
                while asked_for != 0 {
                    let nibble = asked_for.trailing_zeros() as usize;
                    wanted(shape.child_hash(bytes, nibble), 1 << nibble);
                    asked_for &= asked_for - 1;
                }
                shape
            }
            None => Self::of_leaf(bytes, &mut wanted).unwrap_or_else(|| Self::of_any(bytes, wanted)),
        }
    }

    /// [`Self::of`] for branches with sixteen hashes, most of the bytes of a witness, with the children that
    /// may be there. It does the same for every child, whatever comes out: there is nothing to foresee for
    /// the processor.
    fn of_full_branch(bytes: &[u8], may_be_there: impl Fn(&B256) -> bool) -> Option<(Self, u16)> {
        let bytes: &[u8; NODE_LENGTH_MAX] = bytes.try_into().ok()?;
        let [0xf9, 0x02, 0x11, items @ .., EMPTY_STRING_CODE] = bytes else { return None };
        let (mut asked_for, mut is_whole) = (0, true);
        for (nibble, item) in items.as_chunks::<33>().0.iter().enumerate() {
            let [code, hash @ ..] = item;
            is_whole &= *code == HASH_CODE;
            asked_for |= u16::from(may_be_there(hash.into())) << nibble;
        }
        let shape = Self { kind: Kind::Branch, body: 3, children: u16::MAX, ..Self::BAD };
        is_whole.then_some((shape, asked_for))
    }

    /// [`Self::of`] for branches whose children all have hashes, with the children that may be there.
    fn of_branch(bytes: &[u8], may_be_there: impl Fn(&B256) -> bool) -> Option<(Self, u16)> {
        let (body, payload) = match *bytes {
            [0xf8, length, ..] if length >= 56 => (2, usize::from(length)),
            [0xf9, high, low, ..] if high > 0 => (3, usize::from(high) << 8 | usize::from(low)),
            _ => return None,
        };
        // Each of seventeen items takes a byte, and each child 32 more.
        if bytes.len() != usize::from(body) + payload || payload % 32 != 17 || bytes.len() > NODE_LENGTH_MAX {
            return None;
        }
        let mut rest = &bytes[usize::from(body)..];
        let (mut children, mut asked_for) = (0_u16, 0_u16);
        let mut nibble = 0;
        for _ in 0..payload / 32 {
            let absent = absent_children(rest.first_chunk()?);
            nibble += absent;
            let [HASH_CODE, after @ ..] = &rest[absent..] else { return None };
            let (hash, after) = after.split_first_chunk::<32>()?;
            if nibble > 15 {
                return None;
            }
            children |= 1 << nibble;
            asked_for |= u16::from(may_be_there(hash.into())) << nibble;
            rest = after;
            nibble += 1;
        }
        // After the last child there are the absent ones and the empty value.
        if rest.len() != 17 - nibble || rest.iter().any(|item| *item != EMPTY_STRING_CODE) {
            return None;
        }
        Some((Self { kind: Kind::Branch, body, children, ..Self::BAD }, asked_for))
    }

    /// [`Self::of`] for leaves that hold accounts or slots.
    fn of_leaf<'a>(bytes: &'a [u8], wanted: &mut impl FnMut(&'a B256, u16)) -> Option<Self> {
        let (start, payload) = match *bytes {
            [0xf8, length, ..] if length >= 56 => (2, length),
            [code @ 0xc0..=0xf7, ..] => (1, code - 0xc0),
            _ => return None,
        };
        let items = &bytes[start..];
        let [path @ 0x82..=0xa1, flag, after @ ..] = items else { return None };
        let whole = 2 * (path - 0x81);
        let nibbles = match (flag >> 4, flag & 0x0f) {
            (2, 0) => whole,
            (3, _) => whole + 1,
            _ => return None,
        };
        let value = after.get(usize::from(whole / 2)..)?;
        if items.len() != usize::from(payload) || nibbles > 64 {
            return None;
        }
        let (kind, value) = match value {
            [0xb8, length, account @ ..] if *length >= 56 && usize::from(*length) == account.len() => {
                let storage_root = account::canonical_storage_root(account)?;
                if *storage_root != EMPTY_ROOT_HASH {
                    wanted(storage_root, 1);
                }
                (Kind::AccountLeaf, account)
            }
            [code @ 0x81..=0xa1, slot @ ..] if usize::from(code - 0x80) == slot.len() => {
                let is_string = slot.len() > 1 || slot[0] >= EMPTY_STRING_CODE;
                if !is_string || !account::is_canonical_slot(slot) {
                    return None;
                }
                (Kind::SlotLeaf, slot)
            }
            [0x01..=0x7f] => (Kind::SlotLeaf, value),
            _ => return None,
        };
        let packed = u8::try_from(start + 2).expect("a path starts near the start");
        Some(Self { kind, nibbles, packed, body: length_of(bytes) - length_of(value), ..Self::BAD })
    }

    /// [`Self::of`] by decoding.
    fn of_any<'a>(bytes: &'a [u8], mut wanted: impl FnMut(&'a B256, u16)) -> Self {
        match NodeRef::decode(bytes) {
            Ok(NodeRef::Branch(branch)) => {
                let mut shape = Self { kind: Kind::MixedBranch, ..Self::BAD };
                for (nibble, child) in branch.children() {
                    shape.children |= 1 << nibble;
                    if let ChildRef::Hash(hash) = child {
                        wanted(hash, 1 << nibble);
                    }
                }
                shape
            }
            Ok(NodeRef::Extension { path, child }) => {
                let length = match child {
                    ChildRef::Hash(hash) => {
                        wanted(hash, 1);
                        33
                    }
                    ChildRef::Inlined(node) => node.len(),
                };
                Self { kind: Kind::Extension, ..Self::of_path(bytes, path, length) }
            }
            Ok(NodeRef::Leaf { path, value }) => {
                let shape = Self::of_path(bytes, path, value.len());
                if let Ok(storage_root) = account::decode_storage_root(value) {
                    if *storage_root != EMPTY_ROOT_HASH {
                        wanted(storage_root, 1);
                    }
                    return Self { kind: Kind::AccountLeaf, ..shape };
                }
                let is_slot = account::decode_slot(value).is_ok_and(|slot| !slot.is_zero());
                Self { kind: if is_slot { Kind::SlotLeaf } else { Kind::OtherLeaf }, ..shape }
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

    /// The hash of a child that a [`Kind::Branch`] has.
    pub(crate) fn child_hash<'a>(&self, bytes: &'a [u8], nibble: usize) -> &'a B256 {
        let hash = bytes[self.hash_start(nibble)..].first_chunk::<32>();
        hash.expect("the branch was looked at").into()
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

/// How many absent children come first. All items are looked at at once: how many there are is not to be foreseen.
fn absent_children(items: &[u8; 16]) -> usize {
    let others = u128::from_le_bytes(*items) ^ u128::from_le_bytes([EMPTY_STRING_CODE; 16]);
    (others.trailing_zeros() / u8::BITS) as usize
}

#[cfg(test)]
mod tests;

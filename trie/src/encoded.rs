//! A node as the witness holds it: encoded, and read in place.
//!
//! [`NodeRef::decode`] is the one place that says which bytes are a node. It is strict, and copies
//! nothing. [`shape`](crate::shape) remembers its result for nodes that have a hash of their own;
//! nodes inlined in others are decoded again each time, since they are rare.

use crate::{error::BadNodeReason, key::Path};
use alloy_primitives::B256;
use alloy_rlp::{EMPTY_LIST_CODE, EMPTY_STRING_CODE, Header};

/// Length of the longest possible node: a branch with sixteen hashed children.
///
/// A leaf stays below it as well, since an account takes at most 110 bytes.
pub(crate) const NODE_LENGTH_MAX: usize = 3 + 16 * 33 + 1;

/// From this length on a node is referred to by its hash; below, it is inlined.
pub(crate) const HASHED_LENGTH_MIN: usize = 32;

/// What a string of 32 bytes begins with.
pub(crate) const HASH_CODE: u8 = EMPTY_STRING_CODE + 32;

/// An encoded node, ready to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NodeRef<'a> {
    /// Sixteen children, at least two of them present.
    Branch(BranchRef<'a>),
    /// A path that several keys share, and the branch at its end.
    Extension {
        /// The shared nibbles, at least one.
        path: Path<'a>,
        /// The branch.
        child: ChildRef<'a>,
    },
    /// The end of one key.
    Leaf {
        /// The nibbles left of the key.
        path: Path<'a>,
        /// The value, never empty.
        value: &'a [u8],
    },
}

/// An encoded branch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BranchRef<'a> {
    /// The whole node.
    bytes: &'a [u8],
    /// Where each item starts; the seventeenth, known to be empty, is where the children end.
    starts: [u16; 17],
}

/// How a parent refers to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChildRef<'a> {
    /// By its hash.
    Hash(&'a B256),
    /// By holding all of it, since it is shorter than a hash. Not decoded yet.
    Inlined(&'a [u8]),
}

impl<'a> NodeRef<'a> {
    /// Decodes one node, accepting exactly the canonical encodings.
    ///
    /// Inlined children are taken as they are; what they contain, and whether
    /// the node fits where it stands, is seen by [`crate::check`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the node.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BadNodeReason> {
        let (starts, count) = item_starts(bytes)?;
        match count {
            17 => decode_branch(bytes, &starts).map(Self::Branch),
            2 => decode_short(bytes, &starts),
            _ => Err(BadNodeReason::ItemCount),
        }
    }
}

impl<'a> BranchRef<'a> {
    /// What the branch holds for one nibble, as it is encoded.
    pub(crate) fn item(&self, nibble: usize) -> &'a [u8] {
        &self.bytes[usize::from(self.starts[nibble])..usize::from(self.starts[nibble + 1])]
    }

    /// The child for one nibble.
    pub(crate) fn child(&self, nibble: usize) -> Option<ChildRef<'a>> {
        child_ref(self.item(nibble)).expect("decode saw every child")
    }

    /// The children that are present, with their nibbles.
    pub(crate) fn children(self) -> impl Iterator<Item = (usize, ChildRef<'a>)> {
        (0..16).filter_map(move |nibble| Some((nibble, self.child(nibble)?)))
    }
}

/// Where the items of the node start, and how many there are.
///
/// The start after the last item is the end of the node.
fn item_starts(bytes: &[u8]) -> Result<([u16; 18], usize), BadNodeReason> {
    if bytes.len() > NODE_LENGTH_MAX {
        return Err(BadNodeReason::TooLong);
    }
    let mut rest = bytes;
    let header = Header::decode(&mut rest)?;
    if !header.list {
        return Err(BadNodeReason::NotAList);
    }
    if rest.len() != header.payload_length {
        return Err(BadNodeReason::TrailingBytes);
    }
    let mut starts = [0; 18];
    let mut count = 0;
    while !rest.is_empty() {
        if count == 17 {
            return Err(BadNodeReason::ItemCount);
        }
        starts[count] = offset_of(bytes, rest);
        count += 1;
        // Most items are absent children or hashes; what else a header can say is rare.
        rest = match rest {
            [EMPTY_STRING_CODE, rest @ ..] => rest,
            [HASH_CODE, hash @ ..] if hash.len() >= 32 => &hash[32..],
            _ => {
                let item = Header::decode(&mut rest)?;
                &rest[item.payload_length..]
            }
        };
    }
    starts[count] = offset_of(bytes, rest);
    Ok((starts, count))
}

/// Decodes a list of seventeen items.
fn decode_branch<'a>(bytes: &'a [u8], starts: &[u16; 18]) -> Result<BranchRef<'a>, BadNodeReason> {
    if bytes[usize::from(starts[16])..] != [EMPTY_STRING_CODE] {
        return Err(BadNodeReason::BranchValue);
    }
    let mut children = 0;
    for item in starts[..17].windows(2) {
        if child_ref(&bytes[usize::from(item[0])..usize::from(item[1])])?.is_some() {
            children += 1;
        }
    }
    if children < 2 {
        return Err(BadNodeReason::FewChildren { children });
    }
    let starts = *starts.first_chunk().expect("17 of 18");
    Ok(BranchRef { bytes, starts })
}

/// Decodes a list of two items: an extension or a leaf.
fn decode_short<'a>(bytes: &'a [u8], starts: &[u16; 18]) -> Result<NodeRef<'a>, BadNodeReason> {
    let path = &mut &bytes[usize::from(starts[0])..];
    let (path, is_leaf) = decode_path(Header::decode_bytes(path, false)?)?;
    let second = &bytes[usize::from(starts[1])..];
    if is_leaf {
        let value = Header::decode_bytes(&mut &*second, false)?;
        if value.is_empty() {
            return Err(BadNodeReason::EmptyLeaf);
        }
        return Ok(NodeRef::Leaf { path, value });
    }
    if path.len() == 0 {
        return Err(BadNodeReason::EmptyExtension);
    }
    let child = child_ref(second)?.ok_or(BadNodeReason::ChildReference)?;
    Ok(NodeRef::Extension { path, child })
}

/// Decodes a hex-prefix path, and whether it belongs to a leaf.
fn decode_path(encoded: &[u8]) -> Result<(Path<'_>, bool), BadNodeReason> {
    let (&first, packed) = encoded.split_first().ok_or(BadNodeReason::PathFlag)?;
    let (flag, low) = (first >> 4, first & 0x0f);
    if flag > 3 {
        return Err(BadNodeReason::PathFlag);
    }
    let (is_leaf, is_odd) = (flag & 2 != 0, flag & 1 != 0);
    let path = Path { first: is_odd.then_some(low), packed };
    if path.len() > 64 {
        return Err(BadNodeReason::PathTooLong);
    }
    if !is_odd && low != 0 {
        return Err(BadNodeReason::PathPadding);
    }
    Ok((path, is_leaf))
}

/// Reads one item as the reference to a child, `None` if the child is absent.
pub(crate) fn child_ref(item: &[u8]) -> Result<Option<ChildRef<'_>>, BadNodeReason> {
    match item {
        [EMPTY_STRING_CODE] => Ok(None),
        [HASH_CODE, hash @ ..] => {
            let hash = <&B256>::try_from(hash).map_err(|_| BadNodeReason::ChildReference)?;
            Ok(Some(ChildRef::Hash(hash)))
        }
        [EMPTY_LIST_CODE..=u8::MAX, ..] if item.len() < HASHED_LENGTH_MIN => {
            Ok(Some(ChildRef::Inlined(item)))
        }
        [EMPTY_LIST_CODE..=u8::MAX, ..] => Err(BadNodeReason::InlinedTooLong { length: length_of(item) }),
        _ => Err(BadNodeReason::ChildReference),
    }
}

/// How far into `bytes` its tail `rest` begins.
fn offset_of(bytes: &[u8], rest: &[u8]) -> u16 {
    length_of(bytes) - length_of(rest)
}

/// The length of a node that is not too long, or of a part of it.
pub(crate) fn length_of(part: &[u8]) -> u16 {
    u16::try_from(part.len()).expect("a node is at most 532 bytes long")
}

#[cfg(test)]
mod tests;

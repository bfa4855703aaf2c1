//! A node as the witness holds it: encoded, decoded once, then read in place.
//!
//! [`Layout::decode`] is strict and remembers only where the parts of the node
//! lie. Children, paths and values are then read out of the original bytes, so
//! a supplied node costs little more memory than its bytes.

use crate::error::BadNodeReason;
use alloy_primitives::B256;
use alloy_rlp::{EMPTY_LIST_CODE, EMPTY_STRING_CODE, Header};
use alloy_trie::Nibbles;

/// Length of the longest possible node: a branch with sixteen hashed children.
///
/// A leaf stays below it as well, since an account takes at most 110 bytes.
pub(crate) const NODE_LENGTH_MAX: usize = 3 + 16 * 33 + 1;

/// From this length on a node is referred to by its hash; below, it is inlined.
pub(crate) const HASHED_LENGTH_MIN: usize = 32;

/// What a string of 32 bytes begins with.
const HASH_CODE: u8 = EMPTY_STRING_CODE + 32;

/// Where the parts of one encoded node lie, as offsets into its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout {
    /// Seventeen items; the last one is known to be empty.
    Branch {
        /// Where each item starts; the seventeenth is where the children end.
        starts: [u16; 17],
    },
    /// A path and the one child below it.
    Extension {
        /// The nibbles all keys below share.
        path: Nibbles,
        /// Where the reference to the child starts; it reaches to the end.
        child: u16,
    },
    /// The rest of a key, and the value.
    Leaf {
        /// The nibbles left of the key.
        path: Nibbles,
        /// Where the value starts; it reaches to the end.
        value: u16,
    },
}

/// An encoded node, ready to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NodeRef<'a> {
    /// Sixteen children, at least two of them present.
    Branch(BranchRef<'a>),
    /// A path that several keys share, and the branch at its end.
    Extension {
        /// The shared nibbles, at least one.
        path: Nibbles,
        /// The branch.
        child: ChildRef<'a>,
    },
    /// The end of one key.
    Leaf {
        /// The nibbles left of the key.
        path: Nibbles,
        /// The value, never empty.
        value: &'a [u8],
    },
}

/// An encoded branch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BranchRef<'a> {
    /// The whole node.
    bytes: &'a [u8],
    /// Where each item starts, as in [`Layout::Branch`].
    starts: [u16; 17],
    /// Where the children are, by nibble; empty if nobody has looked.
    links: &'a [Link],
}

/// Where among the supplied nodes the child is that a hash refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nobody has looked yet.
    Unknown,
    /// It was not supplied.
    Blinded,
    /// At this place of the store.
    Supplied(u32),
}

/// How a parent refers to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChildRef<'a> {
    /// By its hash, with what is known of where the node is.
    Hash(&'a B256, Link),
    /// By holding all of it, since it is shorter than a hash. Not decoded yet.
    Inlined(&'a [u8]),
}

impl Layout {
    /// Decodes one node, accepting exactly the canonical encodings.
    ///
    /// Inlined children are taken as they are; what they contain, and whether
    /// the node fits where it stands, is seen by [`crate::check`].
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with the node.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadNodeReason> {
        let (starts, count) = item_starts(bytes)?;
        match count {
            17 => decode_branch(bytes, &starts),
            2 => decode_short(bytes, &starts),
            _ => Err(BadNodeReason::ItemCount),
        }
    }

    /// The node of which this is the layout, with the places of its children: those of
    /// a branch by nibble, or the one of an extension, or none if they are not known.
    pub(crate) fn node<'a>(&self, bytes: &'a [u8], links: &'a [Link]) -> NodeRef<'a> {
        match *self {
            Self::Branch { starts } => NodeRef::Branch(BranchRef { bytes, starts, links }),
            Self::Extension { path, child } => {
                let child =
                    child_ref(&bytes[usize::from(child)..]).ok().flatten().expect("decode saw a child here");
                NodeRef::Extension { path, child: child.linked(links.first()) }
            }
            Self::Leaf { path, value } => NodeRef::Leaf { path, value: &bytes[usize::from(value)..] },
        }
    }
}

impl<'a> NodeRef<'a> {
    /// Decodes an inlined node, of which no layout is kept.
    ///
    /// # Errors
    ///
    /// As [`Layout::decode`].
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BadNodeReason> {
        Layout::decode(bytes).map(|layout| layout.node(bytes, &[]))
    }
}

impl<'a> BranchRef<'a> {
    /// The child for one nibble.
    pub(crate) fn child(&self, nibble: u8) -> Option<ChildRef<'a>> {
        let nibble = usize::from(nibble);
        let item = usize::from(self.starts[nibble])..usize::from(self.starts[nibble + 1]);
        let child = child_ref(&self.bytes[item]).expect("decode saw every child");
        child.map(|child| child.linked(self.links.get(nibble)))
    }

    /// The children that are present, with their nibbles.
    pub(crate) fn children(self) -> impl Iterator<Item = (u8, ChildRef<'a>)> {
        (0..16).filter_map(move |nibble| Some((nibble, self.child(nibble)?)))
    }
}

impl ChildRef<'_> {
    /// The same child with what is known of its place.
    fn linked(self, link: Option<&Link>) -> Self {
        match (self, link) {
            (Self::Hash(hash, _), Some(link)) => Self::Hash(hash, *link),
            _ => self,
        }
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
fn decode_branch(bytes: &[u8], starts: &[u16; 18]) -> Result<Layout, BadNodeReason> {
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
    Ok(Layout::Branch { starts })
}

/// Decodes a list of two items: an extension or a leaf.
fn decode_short(bytes: &[u8], starts: &[u16; 18]) -> Result<Layout, BadNodeReason> {
    let path = &mut &bytes[usize::from(starts[0])..];
    let (path, is_leaf) = decode_path(Header::decode_bytes(path, false)?)?;
    let second = &bytes[usize::from(starts[1])..];
    if is_leaf {
        let value = Header::decode_bytes(&mut &*second, false)?;
        if value.is_empty() {
            return Err(BadNodeReason::EmptyLeaf);
        }
        // The value is the last thing in the node, so it starts its length before the end.
        let value = offset_of(bytes, value);
        return Ok(Layout::Leaf { path, value });
    }
    if path.is_empty() {
        return Err(BadNodeReason::EmptyExtension);
    }
    if child_ref(second)?.is_none() {
        return Err(BadNodeReason::ChildReference);
    }
    Ok(Layout::Extension { path, child: starts[1] })
}

/// Decodes a hex-prefix path, and whether it belongs to a leaf.
fn decode_path(encoded: &[u8]) -> Result<(Nibbles, bool), BadNodeReason> {
    let (&first, packed) = encoded.split_first().ok_or(BadNodeReason::PathFlag)?;
    let (flag, low) = (first >> 4, first & 0x0f);
    if flag > 3 {
        return Err(BadNodeReason::PathFlag);
    }
    let (is_leaf, is_odd) = (flag & 2 != 0, flag & 1 != 0);
    if usize::from(is_odd) + 2 * packed.len() > 64 {
        return Err(BadNodeReason::PathTooLong);
    }
    let mut path = Nibbles::new();
    if is_odd {
        path.push(low);
    } else if low != 0 {
        return Err(BadNodeReason::PathPadding);
    }
    path.extend_from_slice(packed);
    Ok((path, is_leaf))
}

/// Reads one item as the reference to a child, `None` if the child is absent.
fn child_ref(item: &[u8]) -> Result<Option<ChildRef<'_>>, BadNodeReason> {
    match item {
        [EMPTY_STRING_CODE] => Ok(None),
        [HASH_CODE, hash @ ..] => {
            let hash = <&B256>::try_from(hash).map_err(|_| BadNodeReason::ChildReference)?;
            Ok(Some(ChildRef::Hash(hash, Link::Unknown)))
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

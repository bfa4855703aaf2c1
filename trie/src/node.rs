//! The nodes of a [`SparseTrie`](crate::SparseTrie) that changed, and how they are encoded.
//!
//! Changed nodes live in one list, children before their parents, and refer to
//! each other by their place in it. A child that did not change stays what its
//! parent knew it by, a hash; nothing is copied for it.

use crate::encoded::{ChildRef, NodeRef};
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};
use alloy_trie::{
    Nibbles,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};

/// The place of a changed node in its trie's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// What a parent knows of its child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    /// The child is a changed node of this trie.
    Revealed(NodeId),
    /// Only the reference the original parent holds: a hash, or the whole
    /// child if that is shorter. The witness may have the node or not.
    Blinded(RlpNode),
}

/// The children of a branch, by nibble.
pub(crate) type Children = [Option<Child>; 16];

/// A changed node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// At least two children.
    Branch(Box<Children>),
    /// Nibbles that all keys below share, at least one, and the branch below them.
    Extension {
        /// The shared nibbles.
        path: Nibbles,
        /// The branch.
        child: Child,
    },
    /// The end of one key.
    Leaf {
        /// The nibbles left of the key.
        path: Nibbles,
        /// The value, never empty.
        value: Bytes,
    },
}

/// Where a key leads from one node.
#[derive(Debug)]
pub(crate) enum Towards<'a, C> {
    /// To the child at the given depth.
    Child(C, usize),
    /// To its value: the key ends here.
    Value(&'a [u8]),
    /// Nowhere: the trie does not have the key.
    Nothing,
}

impl NodeId {
    /// The place `index` of the list.
    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than 2^32 nodes change at once"))
    }

    /// The place, as an index into the list.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Child {
    /// A child known by its hash alone.
    pub(crate) fn hashed(hash: &B256) -> Self {
        Self::Blinded(RlpNode::word_rlp(hash))
    }

    /// What the parent writes for this child, given what it writes for each changed node.
    fn reference<'a>(&'a self, references: &'a [RlpNode]) -> &'a RlpNode {
        match self {
            Self::Revealed(id) => &references[id.index()],
            Self::Blinded(reference) => reference,
        }
    }
}

impl From<ChildRef<'_>> for Child {
    fn from(child: ChildRef<'_>) -> Self {
        match child {
            ChildRef::Hash(hash, _) => Self::hashed(hash),
            ChildRef::Inlined(bytes) => {
                Self::Blinded(RlpNode::from_raw(bytes).expect("an inlined node is short"))
            }
        }
    }
}

impl Node {
    /// A copy of an encoded node, for changing it. `share` makes a value out of
    /// a slice of the node.
    pub(crate) fn copied(node: NodeRef<'_>, share: impl FnOnce(&[u8]) -> Bytes) -> Self {
        match node {
            NodeRef::Branch(branch) => {
                let mut children = Children::default();
                for (nibble, child) in branch.children() {
                    children[usize::from(nibble)] = Some(child.into());
                }
                Self::Branch(Box::new(children))
            }
            NodeRef::Extension { path, child } => Self::Extension { path, child: child.into() },
            NodeRef::Leaf { path, value } => Self::Leaf { path, value: share(value) },
        }
    }

    /// Those of its children that are changed nodes.
    pub(crate) fn revealed_children(&self) -> impl Iterator<Item = NodeId> {
        let (children, child) = match self {
            Self::Branch(children) => (&children[..], None),
            Self::Extension { child, .. } => (&[][..], Some(child)),
            Self::Leaf { .. } => (&[][..], None),
        };
        children.iter().flatten().chain(child).filter_map(|child| match child {
            Child::Revealed(id) => Some(*id),
            Child::Blinded(_) => None,
        })
    }

    /// Where `key` leads from this node, which is `depth` nibbles below the root.
    pub(crate) fn towards(&self, key: &Nibbles, depth: usize) -> Towards<'_, &Child> {
        match self {
            Self::Branch(children) => {
                let child = children[usize::from(key.get_unchecked(depth))].as_ref();
                child.map_or(Towards::Nothing, |child| Towards::Child(child, depth + 1))
            }
            Self::Extension { path, child } => towards_extension(key, depth, path, child),
            Self::Leaf { path, value } => towards_leaf(key, depth, path, value),
        }
    }

    /// Appends the RLP of the node, given what a parent writes for each changed node.
    pub(crate) fn encode(&self, references: &[RlpNode], out: &mut Vec<u8>) {
        match self {
            Self::Branch(children) => encode_branch(children, references, out),
            Self::Extension { path, child } => {
                ExtensionNodeRef::new(path, child.reference(references)).encode(out);
            }
            Self::Leaf { path, value } => LeafNodeRef::new(path, value).encode(out),
        }
    }
}

impl<'a> NodeRef<'a> {
    /// Where `key` leads from this node, which is `depth` nibbles below the root.
    pub(crate) fn towards(&self, key: &Nibbles, depth: usize) -> Towards<'a, ChildRef<'a>> {
        match self {
            Self::Branch(branch) => {
                let child = branch.child(key.get_unchecked(depth));
                child.map_or(Towards::Nothing, |child| Towards::Child(child, depth + 1))
            }
            Self::Extension { path, child } => towards_extension(key, depth, path, *child),
            Self::Leaf { path, value } => towards_leaf(key, depth, path, value),
        }
    }
}

/// Where `key` leads from an extension with this path and child.
fn towards_extension<'a, C>(key: &Nibbles, depth: usize, path: &Nibbles, child: C) -> Towards<'a, C> {
    if key.slice(depth..).starts_with(path) {
        Towards::Child(child, depth + path.len())
    } else {
        Towards::Nothing
    }
}

/// Where `key` leads from a leaf with this path and value.
fn towards_leaf<'a, C>(key: &Nibbles, depth: usize, path: &Nibbles, value: &'a [u8]) -> Towards<'a, C> {
    if key.slice(depth..) == *path { Towards::Value(value) } else { Towards::Nothing }
}

/// Appends the RLP of a branch: sixteen references and the empty value.
fn encode_branch(children: &Children, references: &[RlpNode], out: &mut Vec<u8>) {
    let mut payload_length = 1;
    for child in children {
        payload_length += child.as_ref().map_or(1, |child| child.reference(references).len());
    }
    Header { list: true, payload_length }.encode(out);
    for child in children {
        match child {
            Some(child) => out.extend_from_slice(child.reference(references)),
            None => out.push(EMPTY_STRING_CODE),
        }
    }
    out.push(EMPTY_STRING_CODE);
}

//! Looks at everything reachable from a root before anything is read from it.
//!
//! A witness with a malformed node that is reachable from a used root is
//! rejected, even if no read would ever meet the node; a node that nothing
//! refers to is never looked at. That is the rule of the Ethereum stateless
//! specification, and it makes the verdict independent of which keys are read.
//!
//! The check runs bottom-up and gives every node a [`Height`]: how many nibbles
//! of a key are left at it. Whether all keys of a trie have 64 nibbles is then
//! seen at the root, and a node needs one look however many parents it has and
//! however deep it stands. So a witness that folds 16^64 paths into 64 nodes
//! costs 64 steps.

use crate::{
    account,
    encoded::{BranchRef, ChildRef, HASHED_LENGTH_MIN, NodeRef, length_of},
    error::{BadNodeReason, WitnessError},
    store::NodeStore,
};
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::sync::OnceLock;

/// Nibbles in a key.
const KEY_NIBBLES: u8 = 64;

/// What the leaves of a trie hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// Accounts: the state trie.
    Account,
    /// Integers: a storage trie.
    Slot,
}

/// The findings about each supplied node as part of one kind of trie.
///
/// A finding depends on the witness alone, so threads may fill the same place
/// at the same time: they write the same.
#[derive(Debug)]
pub(crate) struct Checks {
    /// What leaves must hold.
    kind: LeafKind,
    /// By the place of the node in the store.
    findings: Vec<OnceLock<Result<Height, Box<Flaw>>>>,
}

/// How many nibbles of a key are left at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Height {
    /// Some leaf below was supplied and says so.
    Exactly(u8),
    /// All leaves below are blinded; the supplied nodes take this many.
    AtLeast(u8),
}

/// The first flaw found at or below a node.
#[derive(Clone, Debug)]
struct Flaw {
    /// The hash of the flawed node, or of the node into which it is inlined.
    hash: B256,
    /// The way down to it from the node at which this was found, cut after 64 nibbles.
    path: Nibbles,
    /// What is wrong.
    reason: BadNodeReason,
}

impl Checks {
    /// Nothing checked yet, of as many nodes as the store has.
    pub(crate) fn new(kind: LeafKind, store: &NodeStore) -> Self {
        Self { kind, findings: (0..store.len()).map(|_| OnceLock::new()).collect() }
    }

    /// Checks all that is reachable from the node at `root`, as a whole trie.
    ///
    /// Uses a stack of its own, as a witness may chain any number of nodes.
    ///
    /// # Errors
    ///
    /// [`WitnessError::BadNode`] for the first flaw in the order of the keys.
    /// `account` names the trie in it.
    pub(crate) fn check(
        &self,
        store: &NodeStore,
        root: usize,
        account: Option<B256>,
    ) -> Result<(), WitnessError> {
        // Nodes to look at, and whether their children have been put above them.
        let mut stack = Vec::new();
        if self.findings[root].get().is_none() {
            stack.push((root, false));
        }
        while let Some((place, expanded)) = stack.pop() {
            let finding = &self.findings[place];
            if finding.get().is_some() {
                continue;
            }
            if !expanded {
                stack.push((place, true));
                let below = stack.len();
                self.push_unchecked_children(store, place, &mut stack);
                if stack.len() > below {
                    continue;
                }
                stack.pop();
            }
            // Another thread may have been here in between, with the same finding.
            let _ = finding.set(self.look(store, place).map_err(Box::new));
        }
        let found = self.finding(root).and_then(|height| {
            let hash = store.node(root).hash;
            height.of_whole_key().map_err(|reason| Flaw::at(hash, reason))
        });
        found.map_err(|Flaw { hash, path, reason }| WitnessError::BadNode { hash, account, path, reason })
    }

    /// What was found at a node that has been checked.
    fn finding(&self, place: usize) -> Result<Height, Flaw> {
        let finding = self.findings[place].get().expect("children are checked first");
        finding.as_ref().copied().map_err(|flaw| Flaw::clone(flaw))
    }

    /// Puts the supplied children of a node on the stack, if not checked yet.
    ///
    /// Inlined nodes are too short to hold a hash, so only direct children count.
    fn push_unchecked_children(&self, store: &NodeStore, place: usize, stack: &mut Vec<(usize, bool)>) {
        let mut push = |child: ChildRef<'_>| {
            let ChildRef::Hash(hash, link) = child else { return };
            let Some(place) = store.follow(hash, link) else { return };
            if self.findings[place].get().is_none() {
                stack.push((place, false));
            }
        };
        match store.decoded(place) {
            Ok(NodeRef::Branch(branch)) => {
                branch.children().for_each(|(_, child)| push(child));
            }
            Ok(NodeRef::Extension { child, .. }) => push(child),
            Ok(NodeRef::Leaf { .. }) | Err(_) => {}
        }
    }

    /// Looks at one supplied node, all of whose children have been checked.
    fn look(&self, store: &NodeStore, place: usize) -> Result<Height, Flaw> {
        let node = store.node(place);
        let decoded = store.decoded(place).map_err(|reason| Flaw::at(node.hash, reason))?;
        self.height(store, node.hash, decoded)
    }

    /// The height of a node. `hash` names it, or the node into which it is inlined.
    fn height(&self, store: &NodeStore, hash: B256, node: NodeRef<'_>) -> Result<Height, Flaw> {
        match node {
            NodeRef::Leaf { path, value } => {
                check_value(self.kind, value).map_err(|reason| Flaw::at(hash, reason))?;
                Ok(Height::Exactly(nibbles_in(&path)))
            }
            NodeRef::Extension { path, child } => {
                let below = self.height_below(store, hash, child, true).map_err(|flaw| flaw.below(&path))?;
                below.raised(nibbles_in(&path)).map_err(|reason| Flaw::at(hash, reason))
            }
            NodeRef::Branch(branch) => self.branch_height(store, hash, branch),
        }
    }

    /// The height on which all children of a branch agree.
    fn branch_height(&self, store: &NodeStore, hash: B256, branch: BranchRef<'_>) -> Result<Height, Flaw> {
        let mut height = Height::AtLeast(1);
        for (nibble, child) in branch.children() {
            let below = self
                .height_below(store, hash, child, false)
                .map_err(|flaw| flaw.below(&Nibbles::from_nibbles([nibble])))?;
            height = below
                .raised(1)
                .and_then(|below| height.agreed(below))
                .map_err(|reason| Flaw::at(hash, reason))?;
        }
        Ok(height)
    }

    /// The height of a child of the node `hash`. Below an extension it must be a branch.
    fn height_below(
        &self,
        store: &NodeStore,
        hash: B256,
        child: ChildRef<'_>,
        must_be_branch: bool,
    ) -> Result<Height, Flaw> {
        let (hash, place, node) = match child {
            ChildRef::Inlined(bytes) => (hash, None, NodeRef::decode(bytes)),
            ChildRef::Hash(child, link) => {
                let Some(place) = store.follow(child, link) else {
                    // A blinded leaf may have no nibble left; a blinded branch takes one.
                    return Ok(Height::AtLeast(u8::from(must_be_branch)));
                };
                let bytes = &store.node(place).bytes;
                if bytes.len() < HASHED_LENGTH_MIN {
                    let length = length_of(bytes);
                    return Err(Flaw::at(*child, BadNodeReason::HashedTooShort { length }));
                }
                (*child, Some(place), store.decoded(place))
            }
        };
        let is_branch = matches!(node, Ok(NodeRef::Branch(_)) | Err(_));
        if must_be_branch && !is_branch {
            return Err(Flaw::at(hash, BadNodeReason::ExtensionChild));
        }
        if let Some(place) = place {
            return self.finding(place);
        }
        self.height(store, hash, node.map_err(|reason| Flaw::at(hash, reason))?)
    }
}

impl Height {
    /// The height one node up, with `nibbles` in between.
    fn raised(self, nibbles: u8) -> Result<Self, BadNodeReason> {
        let (Self::Exactly(below) | Self::AtLeast(below)) = self;
        let raised = below + nibbles;
        if raised > KEY_NIBBLES {
            return Err(BadNodeReason::KeysTooLong);
        }
        Ok(match self {
            Self::Exactly(_) => Self::Exactly(raised),
            Self::AtLeast(_) => Self::AtLeast(raised),
        })
    }

    /// What two children of the same branch say together.
    fn agreed(self, other: Self) -> Result<Self, BadNodeReason> {
        match (self, other) {
            (Self::AtLeast(one), Self::AtLeast(two)) => Ok(Self::AtLeast(one.max(two))),
            (Self::Exactly(one), Self::Exactly(two)) if one == two => Ok(self),
            (Self::Exactly(exact), Self::AtLeast(least)) | (Self::AtLeast(least), Self::Exactly(exact))
                if least <= exact =>
            {
                Ok(Self::Exactly(exact))
            }
            _ => Err(BadNodeReason::UnevenKeys),
        }
    }

    /// Whether a root may have this height.
    fn of_whole_key(self) -> Result<(), BadNodeReason> {
        match self {
            Self::Exactly(nibbles) if nibbles != KEY_NIBBLES => Err(BadNodeReason::KeyLength { nibbles }),
            Self::Exactly(_) | Self::AtLeast(_) => Ok(()),
        }
    }
}

impl Flaw {
    /// A flaw of the node itself.
    fn at(hash: B256, reason: BadNodeReason) -> Self {
        Self { hash, path: Nibbles::new(), reason }
    }

    /// The same flaw as seen from a node that is `path` further up.
    fn below(self, path: &Nibbles) -> Self {
        let room = usize::from(KEY_NIBBLES) - path.len();
        let tail = self.path.slice(..self.path.len().min(room));
        Self { path: path.join(&tail), ..self }
    }
}

/// Whether the value of a leaf is what the trie holds.
fn check_value(kind: LeafKind, value: &[u8]) -> Result<(), BadNodeReason> {
    match kind {
        LeafKind::Account => match account::decode_account(value) {
            Ok(_) => Ok(()),
            Err(_) => Err(BadNodeReason::Account),
        },
        LeafKind::Slot => match account::decode_slot(value) {
            Ok(value) if value.is_zero() => Err(BadNodeReason::ZeroSlot),
            Ok(_) => Ok(()),
            Err(_) => Err(BadNodeReason::Slot),
        },
    }
}

/// How many nibbles a path takes.
fn nibbles_in(path: &Nibbles) -> u8 {
    u8::try_from(path.len()).expect("a path has at most 64 nibbles")
}

#[cfg(test)]
mod tests;

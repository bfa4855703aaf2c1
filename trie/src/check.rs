//! Looks at everything reachable from a root before anything is read from it.
//!
//! A witness with a malformed node that is reachable from a used root is
//! rejected, even if no read would ever meet the node; a node that nothing
//! refers to has no effect. That is the rule of the Ethereum stateless
//! specification, and it makes the verdict independent of which keys are read.
//!
//! The check runs bottom-up and gives every node a [`Height`]: how many nibbles
//! of a key are left at it. Whether all keys of a trie have 64 nibbles is then
//! seen at the root, and a node needs one look however many parents it has and
//! however deep it stands. So a witness that folds 16^64 paths into 64 nodes
//! costs 64 steps.

use crate::{
    account,
    encoded::{ChildRef, HASHED_LENGTH_MIN, NodeRef, length_of},
    error::{BadNodeReason, WitnessError},
    key::KEY_NIBBLES,
    shape::Kind,
    store::NodeStore,
};
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;
use rayon::prelude::*;
use std::collections::HashMap;

/// Pieces in which tries are checked at most: each has room for two findings on every node.
const PIECES_MAX: usize = 8;

/// Nodes for which waking a thread pays.
const PARALLEL_NODES_MIN: usize = 2048;

/// How many nodes ahead of the one whose children are found the next is asked for.
const AHEAD: usize = 8;

/// What the leaves of a trie hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// Accounts: the state trie.
    Account,
    /// Integers: a storage trie.
    Slot,
}

/// The findings about supplied nodes as parts of one kind of trie.
#[derive(Debug)]
pub(crate) struct Checks {
    /// What leaves must hold.
    kind: LeafKind,
    /// By the place of the node in the store.
    findings: Vec<Finding>,
    /// What is wrong with those that have a flaw.
    flaws: HashMap<usize, Flaw>,
}

/// What has been found at or below a node, in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    /// Nobody has looked.
    Unknown,
    /// It has been reached, and is looked at before anybody asks.
    Awaited,
    /// It is sound and has this height.
    Sound(Height),
    /// It has a flaw.
    Flawed,
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
        Self { kind, findings: vec![Finding::Unknown; store.places()], flaws: HashMap::new() }
    }

    /// Checks the state trie with this root, and each storage trie that an account in it leads to, below each child
    /// of the root by itself, on the threads of the current pool. Gives the place of the root and the findings on
    /// storage tries; `None` if no node has the hash.
    ///
    /// # Errors
    ///
    /// As [`Self::sound_root`], for the state trie alone.
    pub(crate) fn of_state(store: &NodeStore, root: B256) -> Result<Option<(usize, Self)>, WitnessError> {
        let kind = LeafKind::Account;
        let Some(root) = Self::place_of_root(kind, store, root, None)? else { return Ok(None) };
        let pieces = rayon::current_num_threads().min(PIECES_MAX);
        let is_shared = pieces > 1 && store.places() >= PARALLEL_NODES_MIN && store.shape(root).is_branch();
        let parts: Vec<usize> = if is_shared { children(store, root).collect() } else { vec![root] };
        let check = |parts: &[usize]| {
            let (mut accounts, mut slots) = (Self::new(kind, store), Self::new(LeafKind::Slot, store));
            let reached = accounts.settle(store, parts);
            let leaves = reached.into_iter().filter(|place| store.shape(*place).kind == Kind::AccountLeaf);
            let roots: Vec<usize> =
                leaves.flat_map(|place| store.links(place).filter_map(Result::ok)).collect();
            slots.settle(store, &roots);
            (accounts, slots)
        };
        let (mut accounts, slots) = if is_shared && parts.len() > 1 {
            let checked = parts.par_chunks(parts.len().div_ceil(pieces)).map(check);
            let checked = checked.reduce_with(|one, two| (one.0.with(two.0), one.1.with(two.1)));
            checked.expect("there are parts")
        } else {
            check(&parts)
        };
        accounts.settle(store, &[root]);
        accounts.verdict(store, root, None)?;
        Ok(Some((root, slots)))
    }

    /// These findings and others, which say the same of what both have looked at.
    fn with(mut self, others: Self) -> Self {
        for (finding, other) in self.findings.iter_mut().zip(others.findings) {
            if *finding == Finding::Unknown {
                *finding = other;
            }
        }
        self.flaws.extend(others.flaws);
        self
    }

    /// The place of a root, `None` if no node has this hash.
    ///
    /// # Errors
    ///
    /// [`WitnessError::BadNode`] if the root is shorter or longer than any node with a hash of its own.
    fn place_of_root(
        kind: LeafKind,
        store: &NodeStore,
        root: B256,
        account: Option<B256>,
    ) -> Result<Option<usize>, WitnessError> {
        if let Some(place) = store.find(&root) {
            return Ok(Some(place));
        }
        let Some(stray) = store.find_stray(&root) else { return Ok(None) };
        Err(Self::new(kind, store).verdict_on_stray(store, root, stray, account))
    }

    /// The place of the root of a storage trie that is sound, `None` if no node has this hash.
    ///
    /// # Errors
    ///
    /// [`WitnessError::BadNode`] for the first flaw in the order of the keys. `account` names the
    /// trie in it.
    pub(crate) fn sound_root(
        &self,
        store: &NodeStore,
        root: B256,
        account: Option<B256>,
    ) -> Result<Option<usize>, WitnessError> {
        match store.find(&root) {
            Some(place) if self.findings[place].is_final() => {
                self.verdict(store, place, account)?;
                Ok(Some(place))
            }
            // A root that no account in the witness has.
            Some(_) | None => {
                let Some(place) = Self::place_of_root(self.kind, store, root, account)? else {
                    return Ok(None);
                };
                let mut alone = Self::new(self.kind, store);
                alone.settle(store, &[place]);
                alone.verdict(store, place, account)?;
                Ok(Some(place))
            }
        }
    }

    /// [`Self::sound_root`] for the root at a place.
    ///
    /// # Errors
    ///
    /// As [`Self::sound_root`].
    pub(crate) fn sound_place(
        &self,
        store: &NodeStore,
        place: usize,
        account: Option<B256>,
    ) -> Result<(), WitnessError> {
        if self.findings[place].is_final() {
            return self.verdict(store, place, account);
        }
        self.sound_root(store, *store.hash(place), account).map(|_| ())
    }

    /// Looks at everything that is reachable from the nodes at `roots`, and gives the places of all nodes at which
    /// nobody had looked.
    ///
    /// All nodes that they lead to are found first, level by level, so that what is known of many is on its way
    /// at the same time. Then they are looked at the other way round.
    fn settle(&mut self, store: &NodeStore, roots: &[usize]) -> Vec<usize> {
        let mut reached = Vec::new();
        self.await_all(roots.iter().copied(), &mut reached);
        let mut next = 0;
        while let Some(&place) = reached.get(next) {
            next += 1;
            if let Some(soon) = reached.get(next + AHEAD) {
                store.prefetch_shape(*soon);
            }
            self.await_all(children(store, place), &mut reached);
        }
        let mut stack = Vec::new();
        for place in reached.iter().rev() {
            match self.plain_height(store, *place) {
                Some(height) => self.findings[*place] = Finding::Sound(height),
                None => self.settle_one(store, *place, &mut stack),
            }
        }
        reached
    }

    /// Marks nodes that nobody has looked at, and adds them to those that are reached.
    fn await_all(&mut self, places: impl Iterator<Item = usize>, reached: &mut Vec<usize>) {
        for place in places {
            if self.findings[place] == Finding::Unknown {
                self.findings[place] = Finding::Awaited;
                reached.push(place);
            }
        }
    }

    /// Looks at the node at a place, and first at those that it leads to, if nobody has.
    ///
    /// A witness may chain any number of nodes, of which one may be on ways of different lengths. So there is a
    /// stack, empty before and after, of nodes to look at, each with whether its children have been put above it.
    fn settle_one(&mut self, store: &NodeStore, place: usize, stack: &mut Vec<(usize, bool)>) {
        stack.push((place, false));
        while let Some((place, expanded)) = stack.pop() {
            if self.findings[place].is_final() {
                continue;
            }
            if !expanded {
                stack.push((place, true));
                let below = stack.len();
                let open = children(store, place).filter(|child| !self.findings[*child].is_final());
                stack.extend(open.map(|child| (child, false)));
                if stack.len() > below {
                    continue;
                }
                stack.pop();
            }
            self.findings[place] = match self.look(store, place) {
                Ok(height) => Finding::Sound(height),
                Err(flaw) => {
                    self.flaws.insert(place, flaw);
                    Finding::Flawed
                }
            };
        }
    }

    /// What was found about the whole trie whose root is at a place.
    ///
    /// # Errors
    ///
    /// As [`Self::sound_root`].
    fn verdict(&self, store: &NodeStore, root: usize, account: Option<B256>) -> Result<(), WitnessError> {
        let found = self.finding(root).and_then(|height| height.of_whole_key(*store.hash(root)));
        found.map_err(|flaw| flaw.into_error(account))
    }

    /// The error of a trie whose root is shorter or longer than any node with a hash of its own.
    fn verdict_on_stray(
        &self,
        store: &NodeStore,
        hash: B256,
        root: &[u8],
        account: Option<B256>,
    ) -> WitnessError {
        let decoded = NodeRef::decode(root).map_err(|reason| Flaw::at(hash, reason));
        let height = decoded.and_then(|root| self.height(store, hash, root));
        let flaw = height.and_then(|height| height.of_whole_key(hash)).err();
        flaw.expect("a whole key takes more than 31 bytes").into_error(account)
    }

    /// What was found at a node that has been looked at.
    fn finding(&self, place: usize) -> Result<Height, Flaw> {
        match self.findings[place] {
            Finding::Unknown | Finding::Awaited => unreachable!("children are looked at first"),
            Finding::Sound(height) => Ok(height),
            Finding::Flawed => Err(self.flaws[&place].clone()),
        }
    }

    /// Looks at one supplied node, all of whose children have been looked at.
    fn look(&self, store: &NodeStore, place: usize) -> Result<Height, Flaw> {
        // Its children may have been looked at since it was asked the last time.
        if let Some(height) = self.plain_height(store, place) {
            return Ok(height);
        }
        let hash = *store.hash(place);
        let decoded = NodeRef::decode(store.bytes(place)).map_err(|reason| Flaw::at(hash, reason))?;
        self.height(store, hash, decoded)
    }

    /// The height of a branch whose children are known to be sound, have hashes, and agree, or of a leaf that holds what
    /// it should: of nearly every node.
    fn plain_height(&self, store: &NodeStore, place: usize) -> Option<Height> {
        let shape = store.shape(place);
        match (shape.kind, self.kind) {
            (Kind::Branch, _) => {}
            (Kind::AccountLeaf, LeafKind::Account) | (Kind::SlotLeaf, LeafKind::Slot) => {
                return Some(Height::Exactly(shape.path_nibbles()));
            }
            _ => return None,
        }
        let mut height = Height::AtLeast(1);
        for child in store.links(place) {
            let Finding::Sound(below) = self.findings[child.ok()?] else { return None };
            height = below.raised(1).and_then(|below| height.agreed(below)).ok()?;
        }
        Some(height)
    }

    /// The height of a node. `hash` names it, or the node into which it is inlined.
    fn height(&self, store: &NodeStore, hash: B256, node: NodeRef<'_>) -> Result<Height, Flaw> {
        let here = |reason| Flaw::at(hash, reason);
        match node {
            NodeRef::Leaf { path, value } => {
                check_value(self.kind, value).map_err(here)?;
                Ok(Height::Exactly(short(path.len())))
            }
            NodeRef::Extension { path, child } => {
                let below = self.height_below(store, hash, child, true);
                let below = below.map_err(|flaw| flaw.below(&path.to_nibbles()))?;
                below.raised(short(path.len())).map_err(here)
            }
            NodeRef::Branch(branch) => {
                let mut height = Height::AtLeast(1);
                for (nibble, child) in branch.children() {
                    let below = self.height_below(store, hash, child, false);
                    let below = below.map_err(|flaw| flaw.below(&Nibbles::from_nibbles([short(nibble)])))?;
                    height = below.raised(1).and_then(|below| height.agreed(below)).map_err(here)?;
                }
                Ok(height)
            }
        }
    }

    /// The height of a child of the node `hash`. Below an extension it must be a branch.
    fn height_below(
        &self,
        store: &NodeStore,
        hash: B256,
        child: ChildRef<'_>,
        must_be_branch: bool,
    ) -> Result<Height, Flaw> {
        let not_a_branch = |hash| Err(Flaw::at(hash, BadNodeReason::ExtensionChild));
        match child {
            ChildRef::Inlined(bytes) => {
                let node = NodeRef::decode(bytes);
                if must_be_branch && !matches!(node, Ok(NodeRef::Branch(_)) | Err(_)) {
                    return not_a_branch(hash);
                }
                self.height(store, hash, node.map_err(|reason| Flaw::at(hash, reason))?)
            }
            ChildRef::Hash(child) => match store.find(child) {
                Some(place) => {
                    let kind = store.shape(place).kind;
                    if must_be_branch && !matches!(kind, Kind::Branch | Kind::MixedBranch | Kind::Bad) {
                        return not_a_branch(*child);
                    }
                    self.finding(place)
                }
                None => match store.find_stray(child) {
                    Some(stray) => Err(Flaw::of_stray(*child, stray)),
                    // A blinded leaf may have no nibble left; a blinded branch takes one.
                    None => Ok(Height::AtLeast(u8::from(must_be_branch))),
                },
            },
        }
    }
}

impl Finding {
    /// Whether somebody has looked.
    fn is_final(self) -> bool {
        matches!(self, Self::Sound(_) | Self::Flawed)
    }
}

impl Height {
    /// The height one node up, with `nibbles` in between.
    fn raised(self, nibbles: u8) -> Result<Self, BadNodeReason> {
        let (Self::Exactly(below) | Self::AtLeast(below)) = self;
        let raised = below + nibbles;
        if usize::from(raised) > KEY_NIBBLES {
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

    /// Whether the root with this hash may have this height.
    fn of_whole_key(self, root: B256) -> Result<(), Flaw> {
        match self {
            Self::Exactly(nibbles) if usize::from(nibbles) != KEY_NIBBLES => {
                Err(Flaw::at(root, BadNodeReason::KeyLength { nibbles }))
            }
            Self::Exactly(_) | Self::AtLeast(_) => Ok(()),
        }
    }
}

/// The supplied nodes to which a node leads in its own trie: the link of an account leads to another. Inlined nodes
/// are too short to hold a hash, so only direct children count.
fn children(store: &NodeStore, place: usize) -> impl Iterator<Item = usize> {
    let is_leaf = store.shape(place).is_leaf();
    store.links(place).filter_map(Result::ok).filter(move |_| !is_leaf)
}

impl Flaw {
    /// A flaw of the node itself.
    fn at(hash: B256, reason: BadNodeReason) -> Self {
        Self { hash, path: Nibbles::new(), reason }
    }

    /// The flaw of an entry that a parent refers to, and that cannot be a node with a hash of its own.
    fn of_stray(hash: B256, bytes: &Bytes) -> Self {
        let reason = if bytes.len() < HASHED_LENGTH_MIN {
            BadNodeReason::HashedTooShort { length: length_of(bytes) }
        } else {
            BadNodeReason::TooLong
        };
        Self::at(hash, reason)
    }

    /// The same flaw as seen from a node that is `path` further up.
    fn below(self, path: &Nibbles) -> Self {
        let room = KEY_NIBBLES - path.len();
        let tail = self.path.slice(..self.path.len().min(room));
        Self { path: path.join(&tail), ..self }
    }

    /// The flaw as seen from the root of a trie.
    fn into_error(self, account: Option<B256>) -> WitnessError {
        let Self { hash, path, reason } = self;
        WitnessError::BadNode { hash, account, path, reason }
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

/// A number of nibbles, or a nibble.
fn short(nibbles: usize) -> u8 {
    u8::try_from(nibbles).expect("a path has at most 64 nibbles")
}

#[cfg(test)]
mod tests;

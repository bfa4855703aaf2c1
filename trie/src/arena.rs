//! The nodes of tries that changed, in one list.
//!
//! A changed branch says which children it has, and lists only the *fresh* ones, by numbers. The others
//! are *kept*: they stay in the bytes of the branch that it was, or where these lead among the supplied
//! nodes. A child that is known by its hash alone and has another parent now is a loose reference.
//!
//! ```text
//!   Branch { origin: 7, present: {1, 2, 9}, fresh: {2} }     Leaf { key, 5.., value }
//!              │                             └─ children: … changed(3) … ─► node 3 of the list
//!              └── supplied node 7: its bytes say what 1 and 9 are
//! ```
//!
//! - **A1.** A node stands after its children, and once it is hashed it doesn't change any more. What
//!   changes again is added again; so what failed is undone by cutting the list.
//! - **A2.** A kept child is one that the origin of its branch has at the same nibble.
//!
//! `failed_changes_leave_no_trace` and `only_changes_add_nodes` check A1, as assertions do; `deep_tries_follow_their_leaves`
//! checks A2.

use crate::{
    encoded::{ChildRef, HASHED_LENGTH_MIN, NodeRef},
    key::{common_prefix, nibble},
    store::{Below, NodeStore},
    values::{Span, Values},
};
use alloy_primitives::B256;

/// Nodes that change with a key in a large trie.
const NODES_PER_KEY: usize = 6;

/// The changed nodes of one or more tries over the same supplied nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena<'w> {
    /// Where children that did not change are; `None` if there are no such.
    pub(crate) store: Option<&'w NodeStore>,
    /// The changed nodes.
    pub(crate) nodes: Vec<Node>,
    /// The fresh children of branches, those of each in the order of the nibbles.
    pub(crate) children: Vec<Child>,
    /// How many nodes that have no reference yet are below each node, on the longest way down.
    pub(crate) heights: Vec<u8>,
    /// What parents write for the first of `nodes`: those that are hashed.
    pub(crate) references: Vec<Reference>,
    /// What parents write for children that are neither changed, nor supplied, nor kept.
    pub(crate) loose: Vec<Reference>,
    /// The values of leaves.
    pub(crate) values: Values,
}

/// A changed node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    /// At least two children.
    Branch(Branch),
    /// Nibbles that all keys below share, at least one, and the branch below them.
    Extension {
        /// The nibbles on the way to the branch; what follows after `end` means nothing.
        key: B256,
        /// How many nibbles are above this node.
        start: u8,
        /// How many nibbles are above the branch.
        end: u8,
        /// The branch.
        child: Child,
    },
    /// The end of one key.
    Leaf {
        /// The key.
        key: B256,
        /// How many nibbles are above this node.
        start: u8,
        /// How many nibbles the key has.
        end: u8,
        /// Where the value is.
        value: Span,
    },
}

/// A changed branch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Branch {
    /// Which children it has, by nibble.
    pub(crate) present: u16,
    /// Those that are not kept.
    pub(crate) fresh: u16,
    /// Where in the list of children the fresh ones start.
    pub(crate) first: u32,
    /// The supplied branch that it was, for what is kept of it.
    pub(crate) origin: Option<Origin>,
}

/// Where a child is, in 32 bits: two say how to read the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child(u32);

/// Where a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// There is none.
    None,
    /// Where it was in the origin of the branch.
    Kept,
    /// In the list of changed nodes.
    Changed(usize),
    /// Among the supplied nodes.
    Supplied(usize),
    /// Unknown, but for a loose reference.
    Loose(usize),
}

/// A supplied branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin(u32);

/// What a parent writes for a child: its hash or, below 32 bytes, all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The hash, or the node and zeros.
    bytes: B256,
    /// Length of the node if it is inlined, zero if not.
    inlined: u8,
}

/// A child that is at hand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    /// In the list of changed nodes.
    Changed(usize),
    /// Among the supplied nodes.
    Supplied(usize),
    /// In its parent.
    Inlined(&'a [u8]),
}

/// A node that a way down comes to, unless it is inlined in its parent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// A changed node.
    Changed(usize),
    /// A supplied node.
    Supplied(usize),
}

/// A hash of which no node was supplied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    /// The hash.
    pub(crate) hash: B256,
    /// How many nibbles are above the node.
    pub(crate) depth: usize,
}

impl Child {
    /// No child.
    pub(crate) const NONE: Self = Self(0);

    /// The changed node at an index.
    pub(crate) fn changed(index: usize) -> Self {
        Self(number(index) << 2 | 1)
    }

    /// The supplied node at a place.
    pub(crate) fn supplied(place: usize) -> Self {
        Self(number(place) << 2 | 2)
    }

    /// The loose reference at an index.
    fn loose(index: usize) -> Self {
        Self(number(index) << 2 | 3)
    }

    /// Where it is.
    pub(crate) fn place(self) -> Place {
        let index = (self.0 >> 2) as usize;
        match self.0 & 3 {
            0 => Place::None,
            1 => Place::Changed(index),
            2 => Place::Supplied(index),
            _ => Place::Loose(index),
        }
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.place().fmt(f)
    }
}

impl Origin {
    /// The supplied branch at a place.
    pub(crate) fn new(place: usize) -> Self {
        Self(number(place))
    }

    /// Its place.
    pub(crate) fn place(self) -> usize {
        self.0 as usize
    }
}

impl Reference {
    /// The reference by hash.
    pub(crate) fn hashed(hash: &B256) -> Self {
        Self { bytes: *hash, inlined: 0 }
    }

    /// The reference to a node with this hash.
    pub(crate) fn of(node: &[u8], hash: &B256) -> Self {
        Self::inlined(node).unwrap_or_else(|| Self::hashed(hash))
    }

    /// The reference by inlining, if the node is short enough.
    pub(crate) fn inlined(node: &[u8]) -> Option<Self> {
        if node.len() >= HASHED_LENGTH_MIN {
            return None;
        }
        let mut bytes = B256::ZERO;
        bytes[..node.len()].copy_from_slice(node);
        Some(Self { bytes, inlined: u8::try_from(node.len()).expect("less than 32") })
    }

    /// The hash or the inlined node.
    pub(crate) fn read(&self) -> ChildRef<'_> {
        match self.inlined {
            0 => ChildRef::Hash(&self.bytes),
            length => ChildRef::Inlined(&self.bytes[..usize::from(length)]),
        }
    }
}

impl<'w> Arena<'w> {
    /// No nodes yet, over supplied ones.
    pub(crate) fn over(store: &'w NodeStore) -> Self {
        Self { store: Some(store), ..Self::default() }
    }

    /// Makes room for the nodes of so many changed keys, as many as there usually are.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.nodes.reserve(NODES_PER_KEY * keys);
        self.children.reserve(NODES_PER_KEY * keys);
        self.heights.reserve(NODES_PER_KEY * keys);
        self.references.reserve(NODES_PER_KEY * keys);
    }

    /// The supplied nodes, of which a child is known to be one.
    pub(crate) fn store(&self) -> &'w NodeStore {
        self.store.expect("what is supplied has a store")
    }

    /// Adds a changed node, all of whose changed children have been added before, and are below `height`.
    pub(crate) fn push(&mut self, node: Node, height: u8) -> usize {
        self.nodes.push(node);
        self.heights.push(height);
        self.nodes.len() - 1
    }

    /// Adds a changed branch with these fresh children, in the order of the nibbles; otherwise as [`Self::push`].
    pub(crate) fn push_branch(
        &mut self,
        (present, fresh): (u16, u16),
        children: impl IntoIterator<Item = Child>,
        origin: Option<Origin>,
        height: u8,
    ) -> usize {
        let first = number(self.children.len());
        self.children.extend(children);
        let is_before =
            |child: &Child| !matches!(child.place(), Place::Changed(index) if index >= self.nodes.len());
        debug_assert!(
            self.children[first as usize..].iter().all(is_before),
            "INVARIANT A1: a child comes later"
        );
        self.push(Node::Branch(Branch { present, fresh, first, origin }), height)
    }

    /// The fresh children of a branch, in the order of the nibbles.
    pub(crate) fn fresh(&self, branch: &Branch) -> &[Child] {
        &self.children[branch.first as usize..][..branch.fresh.count_ones() as usize]
    }

    /// Where the child for one nibble of a branch is.
    pub(crate) fn place(&self, branch: &Branch, nibble: usize) -> Place {
        match (branch.present >> nibble & 1, branch.fresh >> nibble & 1) {
            (0, _) => Place::None,
            (_, 0) => Place::Kept,
            _ => {
                let before = branch.fresh & ((1 << nibble) - 1);
                self.fresh(branch)[before.count_ones() as usize].place()
            }
        }
    }

    /// The child at a place, for one nibble of a branch that was `origin`.
    ///
    /// # Errors
    ///
    /// Its hash, if no node with it was supplied.
    pub(crate) fn child_at(
        &self,
        place: Place,
        origin: Option<Origin>,
        nibble: usize,
    ) -> Option<Result<At<'_>, B256>> {
        match place {
            Place::None => None,
            Place::Kept => {
                let origin = origin.expect("what is kept has an origin").place();
                Some(found(self.store().child(origin, nibble).expect("what is kept is there")))
            }
            Place::Changed(_) | Place::Supplied(_) | Place::Loose(_) => Some(self.at(place)),
        }
    }

    /// Where a child is, that is there and not kept.
    ///
    /// # Errors
    ///
    /// Its hash, if no node with it was supplied.
    pub(crate) fn resolve(&self, child: Child) -> Result<At<'_>, B256> {
        self.at(child.place())
    }

    /// What is at the place of such a child.
    fn at(&self, place: Place) -> Result<At<'_>, B256> {
        match place {
            Place::None | Place::Kept => unreachable!("the caller looks into the branch"),
            Place::Changed(index) => Ok(At::Changed(index)),
            Place::Supplied(place) => Ok(At::Supplied(place)),
            Place::Loose(index) => found((&self.loose[index]).into()),
        }
    }

    /// The child of an extension, as a changed node may have it.
    pub(crate) fn adopt(&mut self, below: Below<'_>) -> Child {
        match below {
            Below::Supplied(place) => Child::supplied(place),
            Below::Blinded(hash) => self.adopt_reference(Reference::hashed(hash)),
            Below::Inlined(bytes) => {
                self.adopt_reference(Reference::inlined(bytes).expect("an inlined node is short"))
            }
        }
    }

    /// How much there is.
    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            nodes: self.nodes.len(),
            children: self.children.len(),
            references: self.references.len(),
            loose: self.loose.len(),
            values: self.values.len(),
        }
    }

    /// Undoes whatever has been added since there was so much (invariant A1).
    pub(crate) fn cut(&mut self, before: Lengths) {
        self.nodes.truncate(before.nodes);
        self.heights.truncate(before.nodes);
        self.children.truncate(before.children);
        self.references.truncate(before.references);
        self.loose.truncate(before.loose);
        self.values.truncate(before.values);
    }

    /// Keeps a loose reference.
    pub(crate) fn adopt_reference(&mut self, reference: Reference) -> Child {
        self.loose.push(reference);
        Child::loose(self.loose.len() - 1)
    }

    /// Follows a key down from a root to its value, showing every node it passes that has a hash of
    /// its own, and possibly changed nodes that have none, with the nibbles above them.
    ///
    /// # Errors
    ///
    /// The node on the way that was not supplied.
    pub(crate) fn walk<'a>(
        &'a self,
        root: Child,
        key: &B256,
        mut pass: impl FnMut(Stop, usize),
    ) -> Result<Option<&'a [u8]>, Missing> {
        if root == Child::NONE {
            return Ok(None);
        }
        let mut depth = 0;
        let mut at = self.resolve(root).map_err(|hash| Missing { hash, depth })?;
        loop {
            let below = match at {
                At::Changed(index) => {
                    pass(Stop::Changed(index), depth);
                    match &self.nodes[index] {
                        Node::Branch(branch) => {
                            let nibble = nibble(key, depth);
                            let child = self.child_at(self.place(branch, nibble), branch.origin, nibble);
                            depth += 1;
                            child
                        }
                        Node::Extension { key: path, end, child, .. } => {
                            depth = usize::from(*end);
                            (common_prefix(key, path) >= depth).then(|| self.resolve(*child))
                        }
                        Node::Leaf { key: whole, value, .. } => {
                            return Ok((key == whole).then(|| self.values.get(*value)));
                        }
                    }
                }
                At::Supplied(place) => {
                    let store = self.store();
                    pass(Stop::Supplied(place), depth);
                    let shape = store.shape(place);
                    if shape.is_branch() {
                        let child = store.child(place, nibble(key, depth));
                        depth += 1;
                        child.map(found)
                    } else {
                        let bytes = store.bytes(place);
                        let path = shape.path(bytes);
                        if !path.is_in(key, depth) {
                            return Ok(None);
                        }
                        if shape.is_leaf() {
                            return Ok(Some(shape.body(bytes)));
                        }
                        depth += path.len();
                        Some(found(store.child_of_extension(place)))
                    }
                }
                At::Inlined(bytes) => match inlined(bytes) {
                    NodeRef::Branch(branch) => {
                        let child = branch.child(nibble(key, depth));
                        depth += 1;
                        child.map(|child| found(child.into()))
                    }
                    NodeRef::Extension { path, child } => {
                        let is_in = path.is_in(key, depth);
                        depth += path.len();
                        is_in.then(|| found(child.into()))
                    }
                    NodeRef::Leaf { path, value } => return Ok(path.is_in(key, depth).then_some(value)),
                },
            };
            match below {
                None => return Ok(None),
                Some(Ok(below)) => at = below,
                Some(Err(hash)) => return Err(Missing { hash, depth }),
            }
        }
    }

    /// Takes in the hashed nodes of other arenas over the same supplied nodes, and says how far those of each moved.
    pub(crate) fn absorb(&mut self, others: &[&Arena<'w>]) -> Vec<Moved> {
        let mut end = Moved {
            nodes: self.nodes.len(),
            children: self.children.len(),
            loose: self.loose.len(),
            values: self.values.len(),
        };
        let moved = others.iter().map(|other| {
            let moved = end;
            end.nodes += other.nodes.len();
            end.children += other.children.len();
            end.loose += other.loose.len();
            end.values += other.values.len();
            moved
        });
        let moved: Vec<Moved> = moved.collect();
        let others = || others.iter().zip(&moved);
        rayon::join(
            || {
                self.nodes.reserve(end.nodes - self.nodes.len());
                for (other, moved) in others() {
                    self.nodes.extend(other.nodes.iter().map(|node| moved.node(*node)));
                }
            },
            || {
                self.children.reserve(end.children - self.children.len());
                self.heights.reserve(end.nodes - self.heights.len());
                self.references.reserve(end.nodes - self.references.len());
                self.values.reserve(end.values - self.values.len());
                for (other, moved) in others() {
                    self.children.extend(other.children.iter().map(|child| moved.child(*child)));
                    self.heights.extend_from_slice(&other.heights);
                    self.references.extend_from_slice(&other.references);
                    self.loose.extend_from_slice(&other.loose);
                    self.values.absorb(&other.values);
                }
            },
        );
        moved
    }
}

/// How much there was in an arena at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    /// Nodes.
    nodes: usize,
    /// Fresh children.
    children: usize,
    /// Nodes that are hashed.
    references: usize,
    /// Loose references.
    loose: usize,
    /// Bytes of values.
    values: usize,
}

/// How far the nodes of an arena moved when another one took them in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    /// In the list of nodes.
    nodes: usize,
    /// In the list of children.
    children: usize,
    /// In the list of loose references.
    loose: usize,
    /// In the bytes of values.
    values: usize,
}

impl Moved {
    /// Where a child is after the move.
    pub(crate) fn child(self, child: Child) -> Child {
        match child.place() {
            Place::Changed(index) => Child::changed(index + self.nodes),
            Place::Loose(index) => Child::loose(index + self.loose),
            Place::None | Place::Kept | Place::Supplied(_) => child,
        }
    }

    /// A node after the move.
    fn node(self, mut node: Node) -> Node {
        match &mut node {
            Node::Branch(branch) => branch.first = number(branch.first as usize + self.children),
            Node::Extension { child, .. } => *child = self.child(*child),
            Node::Leaf { value, .. } => *value = value.moved(self.values),
        }
        node
    }
}

/// An inlined node of a trie that has been checked.
pub(crate) fn inlined(bytes: &[u8]) -> NodeRef<'_> {
    NodeRef::decode(bytes).expect("what is reachable from the root was checked")
}

/// An index of a list in thirty bits.
fn number(index: usize) -> u32 {
    let number = u32::try_from(index).ok().filter(|number| *number < 1 << 30);
    number.expect("fewer than 2^30 nodes are supplied, and fewer change at once")
}

/// Where a child of a supplied node is.
///
/// # Errors
///
/// Its hash, if no node with it was supplied.
fn found(below: Below<'_>) -> Result<At<'_>, B256> {
    match below {
        Below::Supplied(place) => Ok(At::Supplied(place)),
        Below::Inlined(bytes) => Ok(At::Inlined(bytes)),
        // Links are looked up before anything is read, so this one is not there.
        Below::Blinded(hash) => Err(*hash),
    }
}

impl<'a> From<&'a Reference> for Below<'a> {
    fn from(reference: &'a Reference) -> Self {
        reference.read().into()
    }
}

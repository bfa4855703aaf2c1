//! A sorted batch of changes, applied in one pass over a trie.
//!
//! The batch is split by nibble on the way down, so each node is visited once.
//! On the way up a node is built from what became of its children. Only then is
//! it decided whether a branch collapses: a key removed and another inserted
//! below the same branch never ask for a sibling that stays where it is.
//!
//! A node that is built here and then turns out to have a path above it takes that path up in place:
//! nothing refers to it yet, and it is not hashed.

use crate::{
    arena::{Arena, At, Branch, Child, Node, Origin, Place, Reference, Stop, inlined},
    encoded::{ChildRef, NodeRef},
    error::WitnessError,
    key::{KEY_NIBBLES, common_prefix, nibble, prefix, with_nibble},
    open_branch::OpenBranch,
    store::Below,
    values::Span,
};
use alloy_primitives::B256;
use std::cmp::Ordering;

/// Keys whose ways down are brought near before any of them is changed, at the most: all nodes on them fit into a
/// core's own cache. A larger batch is brought near below its branches.
const KEYS_NEAR: usize = 128;

/// What is to become of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// The key.
    pub(crate) key: B256,
    /// The value it gets, never empty; `None` if the key is removed.
    pub(crate) value: Option<Span>,
}

/// A key with its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewLeaf {
    /// The key.
    pub(crate) key: B256,
    /// How many nibbles it has.
    pub(crate) end: u8,
    /// The value.
    pub(crate) value: Span,
}

/// What became of a subtrie.
#[derive(Clone, Copy, Debug)]
enum Updated {
    /// No change changed anything.
    Same,
    /// All keys are gone.
    Empty,
    /// This node, the last of the list, is at the top. Nothing refers to it, and it may still take up
    /// a path.
    Fresh(usize),
}

/// A child that is at hand, apart from the arena.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// In the list of changed nodes.
    Changed(usize),
    /// Among the supplied nodes.
    Supplied(usize),
    /// In its parent, of which this is a copy.
    Inlined(Reference),
}

impl From<At<'_>> for Held {
    fn from(at: At<'_>) -> Self {
        match at {
            At::Changed(index) => Self::Changed(index),
            At::Supplied(place) => Self::Supplied(place),
            At::Inlined(bytes) => Self::Inlined(Reference::inlined(bytes).expect("an inlined node is short")),
        }
    }
}

impl Held {
    /// The child, unless it is inlined.
    fn stop(self) -> Option<Stop> {
        match self {
            Self::Changed(index) => Some(Stop::Changed(index)),
            Self::Supplied(place) => Some(Stop::Supplied(place)),
            Self::Inlined(_) => None,
        }
    }
}

/// A node of a trie on the way down, ready to be changed.
enum Opened {
    /// A branch.
    Branch(OpenBranch),
    /// An extension with its key, the depth of its branch, and the branch.
    Extension(B256, usize, Child),
    /// A leaf with its key and value.
    Leaf(B256, Span),
}

/// One batch on its way through a trie.
#[derive(Debug)]
pub(crate) struct Update<'a, 'w> {
    /// Where the changed nodes go.
    pub(crate) arena: &'a mut Arena<'w>,
    /// Names the trie in errors.
    pub(crate) account: Option<B256>,
}

impl Arena<'_> {
    /// Applies changes, sorted by key and each key once, to the trie with this root, and gives the
    /// root after it. The new nodes are not hashed yet.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`], naming `account`. Its nodes are then as before.
    pub(crate) fn update(
        &mut self,
        root: Child,
        account: Option<B256>,
        changes: &[Change],
    ) -> Result<Child, WitnessError> {
        // Of a supplied trie, whoever changes the accounts has brought near what a few keys need.
        if let Place::Changed(root) = root.place()
            && changes.len() <= KEYS_NEAR
        {
            self.bring_near(Stop::Changed(root), 0, keys(changes));
        }
        let before = self.lengths();
        let result = Update { arena: self, account }.root(root, changes);
        // The old nodes are all there still, and the old root with them.
        result.inspect_err(|_| self.cut(before))
    }

    /// Adds the trie of these leaves, at least one, sorted by key, below a path of `depth` nibbles
    /// that they share. No key may begin with another one.
    pub(crate) fn build(&mut self, depth: usize, leaves: &[NewLeaf]) -> usize {
        let (first, last) = (leaves[0], leaves[leaves.len() - 1]);
        if leaves.len() == 1 {
            let NewLeaf { key, end, value } = first;
            return self.push(Node::Leaf { key, start: short(depth), end, value }, 0);
        }
        let split = common_prefix(&first.key, &last.key);
        let mut branch = OpenBranch::empty();
        for group in leaves.chunk_by(|one, two| nibble(&one.key, split) == nibble(&two.key, split)) {
            let child = self.build(split + 1, group);
            branch.height = branch.height.max(self.heights[child] + 1);
            branch.set(nibble(&group[0].key, split), Child::changed(child));
        }
        let branch = branch.push_to(self);
        self.lengthened(branch, &first.key, depth, split)
    }

    /// The last node of the list, which stands below `end` nibbles of `key`, with the nibbles from
    /// `start` on taken up.
    fn lengthened(&mut self, index: usize, key: &B256, start: usize, end: usize) -> usize {
        if start == end {
            return index;
        }
        debug_assert!(index >= self.references.len(), "INVARIANT A1: it is hashed");
        match &mut self.nodes[index] {
            Node::Leaf { start: own, .. } | Node::Extension { start: own, .. } => {
                *own = short(start);
                index
            }
            Node::Branch(_) => {
                let (child, height) = (Child::changed(index), self.heights[index] + 1);
                self.push(Node::Extension { key: *key, start: short(start), end: short(end), child }, height)
            }
        }
    }
}

impl Update<'_, '_> {
    /// [`Arena::update`], leaving behind what was built before an error.
    fn root(&mut self, root: Child, changes: &[Change]) -> Result<Child, WitnessError> {
        let Some(first) = changes.first() else { return Ok(root) };
        let updated = if root == Child::NONE {
            self.inserted(0, changes)
        } else {
            let at = self.arena.resolve(root).map(Held::from);
            let at = at.map_err(|hash| self.missing(hash, &first.key, 0))?;
            self.node(at, 0, changes)?
        };
        Ok(match updated {
            Updated::Same => root,
            Updated::Empty => Child::NONE,
            Updated::Fresh(index) => Child::changed(index),
        })
    }

    /// Applies changes to the subtrie of a node, whose keys they share up to `depth`.
    fn node(&mut self, at: Held, depth: usize, changes: &[Change]) -> Result<Updated, WitnessError> {
        match (at, changes) {
            (_, []) => Ok(Updated::Same),
            (Held::Supplied(place), [change]) => self.one(place, depth, change),
            (_, [first, ..]) => match self.opened(at, &first.key, depth) {
                Opened::Branch(mut branch) => self.branch(&mut branch, depth, changes),
                Opened::Extension(key, end, child) => self.extension(&key, end, child, depth, changes),
                Opened::Leaf(key, value) => Ok(self.leaf(key, value, depth, changes)),
            },
        }
    }

    /// [`Self::node`] for one change of a supplied node. Below the topmost branches of a trie there is
    /// seldom more than one, which then ends at a leaf; a branch on the way has one fresh child, and the value
    /// of a leaf is not even copied.
    fn one(&mut self, place: usize, depth: usize, change: &Change) -> Result<Updated, WitnessError> {
        let (store, changes) = (self.arena.store(), std::slice::from_ref(change));
        let shape = store.shape(place);
        if !shape.is_branch() {
            return self.one_at_path(place, depth, change);
        }
        let nibble = nibble(&change.key, depth);
        let updated = match store.child(place, nibble) {
            None => self.inserted(depth + 1, changes),
            Some(Below::Supplied(child)) => self.one(child, depth + 1, change)?,
            Some(Below::Inlined(node)) => self.node(At::Inlined(node).into(), depth + 1, changes)?,
            Some(Below::Blinded(hash)) => return Err(self.missing(*hash, &change.key, depth + 1)),
        };
        match updated {
            Updated::Same => Ok(Updated::Same),
            Updated::Empty => {
                let mut branch =
                    OpenBranch { has_changed: true, ..OpenBranch::supplied(place, shape.children) };
                branch.set(nibble, Child::NONE);
                self.closed(&branch, depth, &change.key)
            }
            Updated::Fresh(index) => {
                let bit = 1 << nibble;
                let (child, origin) = (Child::changed(index), Some(Origin::new(place)));
                let height = self.arena.heights[index] + 1;
                let children = (shape.children | bit, bit);
                Ok(Updated::Fresh(self.arena.push_branch(children, [child], origin, height)))
            }
        }
    }

    /// [`Self::one`] for a leaf or an extension.
    fn one_at_path(&mut self, place: usize, depth: usize, change: &Change) -> Result<Updated, WitnessError> {
        let (store, changes) = (self.arena.store(), std::slice::from_ref(change));
        let (shape, bytes) = (store.shape(place), store.bytes(place));
        if shape.is_leaf() && shape.path(bytes).is_in(&change.key, depth) {
            return Ok(match change.value {
                None => Updated::Empty,
                Some(value) if self.arena.values.get(value) == shape.body(bytes) => Updated::Same,
                Some(_) => self.inserted(depth, changes),
            });
        }
        match self.opened(Held::Supplied(place), &change.key, depth) {
            Opened::Branch(_) => unreachable!("it is no branch"),
            Opened::Extension(key, end, child) => self.extension(&key, end, child, depth, changes),
            Opened::Leaf(key, value) => Ok(self.leaf(key, value, depth, changes)),
        }
    }

    /// A node below `depth` nibbles of `key`, apart from the bytes it may be in.
    fn opened(&mut self, at: Held, key: &B256, depth: usize) -> Opened {
        match at {
            Held::Changed(index) => match self.arena.nodes[index] {
                Node::Branch(branch) => {
                    let Branch { present, origin, mut fresh, .. } = branch;
                    let mut opened = OpenBranch { present, origin, ..OpenBranch::empty() };
                    for child in self.arena.fresh(&branch) {
                        opened.set(fresh.trailing_zeros() as usize, *child);
                        fresh &= fresh - 1;
                    }
                    Opened::Branch(opened)
                }
                Node::Extension { key, end, child, .. } => Opened::Extension(key, usize::from(end), child),
                Node::Leaf { key, value, .. } => Opened::Leaf(key, value),
            },
            Held::Supplied(place) => {
                let store = self.arena.store();
                let shape = store.shape(place);
                if shape.is_branch() {
                    return Opened::Branch(OpenBranch::supplied(place, shape.children));
                }
                let bytes = store.bytes(place);
                let path = shape.path(bytes);
                let key = path.below(key, depth);
                if shape.is_leaf() {
                    return Opened::Leaf(key, self.arena.values.keep(shape.body(bytes)));
                }
                let child = self.arena.adopt(store.child_of_extension(place));
                Opened::Extension(key, depth + path.len(), child)
            }
            Held::Inlined(reference) => {
                let ChildRef::Inlined(bytes) = reference.read() else { unreachable!("it is inlined") };
                match inlined(bytes) {
                    NodeRef::Branch(branch) => {
                        let mut opened = OpenBranch::empty();
                        for (nibble, child) in branch.children() {
                            opened.set(nibble, self.arena.adopt(child.into()));
                        }
                        Opened::Branch(opened)
                    }
                    NodeRef::Extension { path, child } => {
                        let child = self.arena.adopt(child.into());
                        Opened::Extension(path.below(key, depth), depth + path.len(), child)
                    }
                    NodeRef::Leaf { path, value } => {
                        Opened::Leaf(path.below(key, depth), self.arena.values.keep(value))
                    }
                }
            }
        }
    }

    /// Applies changes where nothing has been so far.
    fn inserted(&mut self, depth: usize, changes: &[Change]) -> Updated {
        if let [Change { key, value: Some(value) }] = *changes {
            let leaf = Node::Leaf { key, start: short(depth), end: short(KEY_NIBBLES), value };
            return Updated::Fresh(self.arena.push(leaf, 0));
        }
        match &inserts(changes)[..] {
            [] => Updated::Same,
            leaves => Updated::Fresh(self.arena.build(depth, leaves)),
        }
    }

    /// Applies changes where so far one leaf stands.
    fn leaf(&mut self, key: B256, value: Span, depth: usize, changes: &[Change]) -> Updated {
        let mut leaves = inserts(changes);
        if let Err(place) = changes.binary_search_by_key(&key, |change| change.key) {
            let place = inserts(&changes[..place]).len();
            leaves.insert(place, NewLeaf { key, end: short(KEY_NIBBLES), value });
        }
        let same = |leaf: &NewLeaf| {
            leaf.key == key && self.arena.values.get(leaf.value) == self.arena.values.get(value)
        };
        match &leaves[..] {
            [] => Updated::Empty,
            [leaf] if same(leaf) => Updated::Same,
            leaves => Updated::Fresh(self.arena.build(depth, leaves)),
        }
    }

    /// Applies changes to an extension, which leads to a branch below `end` nibbles of `key`.
    fn extension(
        &mut self,
        key: &B256,
        end: usize,
        child: Child,
        depth: usize,
        changes: &[Change],
    ) -> Result<Updated, WitnessError> {
        // The extension splits where the first insertion leaves it. Removals that leave it
        // are of keys that are not there; a branch for them would only collapse again.
        let inserts = changes.iter().filter(|change| change.value.is_some());
        let split =
            inserts.map(|change| common_prefix(&change.key, key)).min().map_or(end, |split| split.min(end));
        let changes = sharing(changes, split, key);
        let updated = if split == end {
            if changes.is_empty() {
                return Ok(Updated::Same);
            }
            let at = self.arena.resolve(child).map(Held::from);
            let at = at.map_err(|hash| self.missing(hash, key, end))?;
            self.node(at, end, changes)?
        } else {
            let below = if split + 1 == end {
                child
            } else {
                let (start, end) = (short(split + 1), short(end));
                Child::changed(self.arena.push(Node::Extension { key: *key, start, end, child }, 0))
            };
            let mut branch = OpenBranch { height: 1, ..OpenBranch::empty() };
            branch.set(nibble(key, split), below);
            self.branch(&mut branch, split, changes)?
        };
        Ok(match updated {
            Updated::Fresh(index) => Updated::Fresh(self.arena.lengthened(index, key, depth, split)),
            Updated::Same | Updated::Empty => updated,
        })
    }

    /// Applies changes to the children of a branch, and lets it collapse if fewer than
    /// two remain.
    fn branch(
        &mut self,
        branch: &mut OpenBranch,
        depth: usize,
        changes: &[Change],
    ) -> Result<Updated, WitnessError> {
        self.children(branch, depth, changes)?;
        self.closed(branch, depth, &changes[0].key)
    }

    /// Applies changes to the children of a branch.
    ///
    /// # Errors
    ///
    /// As [`Arena::update`].
    pub(crate) fn children(
        &mut self,
        branch: &mut OpenBranch,
        depth: usize,
        changes: &[Change],
    ) -> Result<(), WitnessError> {
        for group in changes.chunk_by(|one, two| nibble(&one.key, depth) == nibble(&two.key, depth)) {
            let nibble = nibble(&group[0].key, depth);
            let place = branch.place(nibble);
            let child = self.arena.child_at(place, branch.origin, nibble);
            let child = child.map(|child| child.map(Held::from));
            if changes.len() > KEYS_NEAR
                && group.len() <= KEYS_NEAR
                && let Some(Ok(child)) = child
                && let Some(top) = child.stop()
            {
                self.arena.bring_near(top, depth + 1, keys(group));
            }
            let updated = match child {
                None => self.inserted(depth + 1, group),
                Some(Ok(child)) => self.node(child, depth + 1, group)?,
                Some(Err(hash)) => return Err(self.missing(hash, &group[0].key, depth + 1)),
            };
            match updated {
                Updated::Same => continue,
                Updated::Empty => branch.set(nibble, Child::NONE),
                Updated::Fresh(index) => {
                    branch.height = branch.height.max(self.arena.heights[index] + 1);
                    branch.set(nibble, Child::changed(index));
                }
            }
            branch.has_changed = true;
        }
        Ok(())
    }

    /// What becomes of a branch all of whose children are final. It stands below `depth` nibbles of `key`.
    fn closed(&mut self, branch: &OpenBranch, depth: usize, key: &B256) -> Result<Updated, WitnessError> {
        if !branch.has_changed {
            return Ok(Updated::Same);
        }
        if branch.present.count_ones() >= 2 {
            return Ok(Updated::Fresh(branch.push_to(self.arena)));
        }
        if branch.present == 0 {
            return Ok(Updated::Empty);
        }
        let only = branch.present.trailing_zeros() as usize;
        let key = with_nibble(key, depth, only);
        let place = branch.place(only);
        if let Place::Changed(index) = place
            && index >= self.arena.references.len()
        {
            return Ok(Updated::Fresh(self.arena.lengthened(index, &key, depth, depth + 1)));
        }
        let at = self.arena.child_at(place, branch.origin, only).expect("it is the only child");
        let at = at.map(Held::from).map_err(|hash| self.missing(hash, &key, depth + 1))?;
        let start = short(depth);
        let node = match self.opened(at, &key, depth + 1) {
            Opened::Leaf(key, value) => Node::Leaf { key, start, end: short(KEY_NIBBLES), value },
            Opened::Extension(key, end, child) => Node::Extension { key, start, end: short(end), child },
            Opened::Branch(_) => {
                let child = match at {
                    Held::Changed(index) => Child::changed(index),
                    Held::Supplied(place) => Child::supplied(place),
                    Held::Inlined(reference) => self.arena.adopt_reference(reference),
                };
                Node::Extension { key, start, end: start + 1, child }
            }
        };
        Ok(Updated::Fresh(self.arena.push(node, 0)))
    }

    /// The root of a trie whose root was a branch, all of whose children are final.
    ///
    /// # Errors
    ///
    /// As [`Arena::update`].
    pub(crate) fn closed_root(&mut self, branch: &OpenBranch, root: Child) -> Result<Child, WitnessError> {
        Ok(match self.closed(branch, 0, &B256::ZERO)? {
            Updated::Same => root,
            Updated::Empty => Child::NONE,
            Updated::Fresh(index) => Child::changed(index),
        })
    }

    /// The error for a node below `depth` nibbles of `key` that was not supplied.
    fn missing(&self, hash: B256, key: &B256, depth: usize) -> WitnessError {
        WitnessError::MissingNode { hash, account: self.account, path: prefix(key, depth) }
    }
}

/// The keys of changes as [`Arena::bring_near`] takes them, with no slots below.
fn keys(changes: &[Change]) -> impl Iterator<Item = (&B256, &[B256])> {
    changes.iter().map(|change| (&change.key, &[][..]))
}

/// The keys that get a value, with it.
fn inserts(changes: &[Change]) -> Vec<NewLeaf> {
    let leaf = |change: &Change| {
        let Change { key, value } = *change;
        value.map(|value| NewLeaf { key, end: short(KEY_NIBBLES), value })
    };
    changes.iter().filter_map(leaf).collect()
}

/// Those of the sorted changes whose keys begin with the first `nibbles` of `key`.
fn sharing<'c>(changes: &'c [Change], nibbles: usize, key: &B256) -> &'c [Change] {
    let order = |change: &Change| {
        if common_prefix(&change.key, key) >= nibbles { Ordering::Equal } else { change.key.cmp(key) }
    };
    let start = changes.partition_point(|change| order(change) == Ordering::Less);
    let end = changes.partition_point(|change| order(change) != Ordering::Greater);
    &changes[start..end]
}

/// A depth, or the length of a key.
pub(crate) fn short(nibbles: usize) -> u8 {
    u8::try_from(nibbles).expect("a key has 64 nibbles")
}

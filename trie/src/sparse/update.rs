//! A sorted batch of changes, applied in one pass over the trie.
//!
//! The batch is split by nibble on the way down, so each node is visited once.
//! On the way up a node is built from what became of its children. Only then is
//! it decided whether a branch collapses: a key removed and another inserted
//! below the same branch never ask for a sibling that stays where it is.

use super::SparseTrie;
use crate::{
    error::WitnessError,
    node::{Child, Children, Node},
};
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;

/// What is to become of one key.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The key, all 64 nibbles.
    pub(super) key: Nibbles,
    /// The value it gets, never empty; `None` if the key is removed.
    value: Option<Bytes>,
}

/// What became of a subtrie.
#[derive(Debug)]
enum Updated {
    /// No change changed anything.
    Same,
    /// All keys are gone.
    Empty,
    /// Another node is at the top. It is not in the trie's list yet, since it
    /// may still merge with what is above it.
    Node(Node),
}

impl Change {
    /// Sets `key` to `value`; an empty value removes the key like `None`.
    pub(super) fn new(key: B256, value: Option<Bytes>) -> Self {
        Self { key: Nibbles::unpack(key), value: value.filter(|value| !value.is_empty()) }
    }

    /// The nibble of the key at `depth`.
    fn nibble(&self, depth: usize) -> usize {
        usize::from(self.key.get_unchecked(depth))
    }
}

impl SparseTrie<'_> {
    /// [`SparseTrie::apply`], but the new nodes are not hashed yet.
    ///
    /// # Errors
    ///
    /// As [`SparseTrie::apply`]. The trie is then as before.
    pub(crate) fn update(
        &mut self,
        changes: impl IntoIterator<Item = (B256, Option<Bytes>)>,
    ) -> Result<(), WitnessError> {
        let mut changes: Vec<_> = changes.into_iter().map(|(key, value)| Change::new(key, value)).collect();
        changes.sort_by_key(|change| change.key);
        changes.dedup_by(|later, kept| {
            let same_key = later.key == kept.key;
            if same_key {
                std::mem::swap(later, kept);
            }
            same_key
        });
        self.update_sorted(&changes)
    }

    /// Applies changes that are sorted by key, each key once.
    fn update_sorted(&mut self, changes: &[Change]) -> Result<(), WitnessError> {
        let before = self.nodes.len();
        let root = self.root.clone();
        match self.update_child(root.as_ref(), 0, changes) {
            Ok(Updated::Same) => {}
            Ok(Updated::Empty) => self.root = None,
            Ok(Updated::Node(node)) => self.root = Some(self.push(node)),
            Err(error) => {
                // The old nodes are all there still, and the old root with them.
                self.nodes.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Applies changes to the subtrie below `child`, whose keys they share up to `depth`.
    fn update_child(
        &mut self,
        child: Option<&Child>,
        depth: usize,
        changes: &[Change],
    ) -> Result<Updated, WitnessError> {
        let Some(first) = changes.first() else { return Ok(Updated::Same) };
        let Some(child) = child else {
            let inserts = inserts(changes);
            return Ok(match &inserts[..] {
                [] => Updated::Same,
                inserts => Updated::Node(self.built(depth, inserts)),
            });
        };
        match self.copied(child, &first.key.slice(..depth))? {
            Node::Leaf { path, value } => {
                Ok(self.update_leaf(first.key.slice(..depth).join(&path), value, depth, changes))
            }
            Node::Extension { path, child } => self.update_extension(path, child, depth, changes),
            Node::Branch(children) => self.update_branch(children, depth, changes),
        }
    }

    /// Applies changes where so far one leaf with the whole key `key` stands.
    fn update_leaf(&mut self, key: Nibbles, value: Bytes, depth: usize, changes: &[Change]) -> Updated {
        let mut leaves = inserts(changes);
        if let Err(place) = changes.binary_search_by_key(&key, |change| change.key) {
            let place = inserts(&changes[..place]).len();
            leaves.insert(place, (key, &value));
        }
        match &leaves[..] {
            [] => Updated::Empty,
            [leaf] if *leaf == (key, &value) => Updated::Same,
            leaves => Updated::Node(self.built(depth, leaves)),
        }
    }

    /// Applies changes to an extension and what is below it.
    fn update_extension(
        &mut self,
        path: Nibbles,
        child: Child,
        depth: usize,
        changes: &[Change],
    ) -> Result<Updated, WitnessError> {
        // The extension splits where the first insertion leaves it. Removals that leave it
        // are of keys that are not there; a branch for them would only collapse again.
        let split = changes
            .iter()
            .filter(|change| change.value.is_some())
            .map(|change| change.key.slice(depth..).common_prefix_length(&path))
            .min()
            .map_or(path.len(), |split| split.min(path.len()));
        let kept = path.slice(..split);
        let changes = sharing(changes, depth, &kept);
        let updated = if split == path.len() {
            self.update_child(Some(&child), depth + split, changes)?
        } else {
            let rest = path.slice(split + 1..);
            let child =
                if rest.is_empty() { child } else { self.push(Node::Extension { path: rest, child }) };
            let mut children = Children::default();
            children[usize::from(path.get_unchecked(split))] = Some(child);
            self.update_branch(Box::new(children), depth + split, changes)?
        };
        Ok(match updated {
            Updated::Node(node) => Updated::Node(self.prefixed(kept, node)),
            Updated::Same | Updated::Empty => updated,
        })
    }

    /// Applies changes to the children of a branch, and lets it collapse if fewer than
    /// two remain.
    fn update_branch(
        &mut self,
        mut children: Box<Children>,
        depth: usize,
        changes: &[Change],
    ) -> Result<Updated, WitnessError> {
        let mut all_same = true;
        let mut fresh = Vec::new();
        for group in changes.chunk_by(|one, two| one.nibble(depth) == two.nibble(depth)) {
            let nibble = group[0].nibble(depth);
            match self.update_child(children[nibble].as_ref(), depth + 1, group)? {
                Updated::Same => continue,
                Updated::Empty => {}
                Updated::Node(node) => fresh.push((nibble, node)),
            }
            children[nibble] = None;
            all_same = false;
        }
        if all_same {
            return Ok(Updated::Same);
        }
        // All children are final now; `children` holds those that stay as they were.
        let kept = children.iter().flatten().count();
        if kept + fresh.len() >= 2 {
            for (nibble, node) in fresh {
                children[nibble] = Some(self.push(node));
            }
            return Ok(Updated::Node(Node::Branch(children)));
        }
        let only = match fresh.pop() {
            Some(only) => Some(only),
            None => self.only_child(&children, &changes[0].key.slice(..depth))?,
        };
        Ok(only.map_or(Updated::Empty, |(nibble, node)| {
            let nibble = u8::try_from(nibble).expect("less than sixteen");
            Updated::Node(self.prefixed(Nibbles::from_nibbles([nibble]), node))
        }))
    }

    /// The one child that a collapsing branch at `path` has left, if any.
    ///
    /// Its kind decides what the branch becomes, so it must be at hand.
    fn only_child(&self, children: &Children, path: &Nibbles) -> Result<Option<(usize, Node)>, WitnessError> {
        let Some(nibble) = children.iter().position(Option::is_some) else { return Ok(None) };
        let child = children[nibble].as_ref().expect("found just now");
        let mut path = *path;
        path.push(u8::try_from(nibble).expect("less than sixteen"));
        Ok(Some((nibble, self.copied(child, &path)?)))
    }

    /// Fills an empty trie with leaves, sorted by key. The nodes are not hashed yet.
    pub(super) fn build(&mut self, leaves: &[(Nibbles, Bytes)]) {
        let leaves: Vec<_> = leaves.iter().map(|(key, value)| (*key, value)).collect();
        if !leaves.is_empty() {
            let root = self.built(0, &leaves);
            self.root = Some(self.push(root));
        }
    }

    /// The subtrie of these leaves, at least one, sorted by key. All share the
    /// nibbles up to `depth`.
    fn built(&mut self, depth: usize, leaves: &[(Nibbles, &Bytes)]) -> Node {
        let (first, value) = leaves[0];
        let (last, _) = leaves[leaves.len() - 1];
        if leaves.len() == 1 {
            return Node::Leaf { path: first.slice(depth..), value: value.clone() };
        }
        let split = first.common_prefix_length(&last);
        let nibble = |key: &Nibbles| usize::from(key.get_unchecked(split));
        let mut children = Children::default();
        for group in leaves.chunk_by(|(one, _), (two, _)| nibble(one) == nibble(two)) {
            let child = self.built(split + 1, group);
            children[nibble(&group[0].0)] = Some(self.push(child));
        }
        self.prefixed(first.slice(depth..split), Node::Branch(Box::new(children)))
    }

    /// The node that stands for `node` with `path` above it.
    fn prefixed(&mut self, path: Nibbles, node: Node) -> Node {
        match node {
            node if path.is_empty() => node,
            Node::Leaf { path: rest, value } => Node::Leaf { path: path.join(&rest), value },
            Node::Extension { path: rest, child } => Node::Extension { path: path.join(&rest), child },
            Node::Branch(_) => Node::Extension { path, child: self.push(node) },
        }
    }
}

/// The keys that get a value, with it.
fn inserts(changes: &[Change]) -> Vec<(Nibbles, &Bytes)> {
    changes.iter().filter_map(|change| Some((change.key, change.value.as_ref()?))).collect()
}

/// Those of the sorted changes whose keys go on with `path` after `depth`.
fn sharing<'c>(changes: &'c [Change], depth: usize, path: &Nibbles) -> &'c [Change] {
    let part = |change: &Change| change.key.slice(depth..depth + path.len());
    let start = changes.partition_point(|change| part(change) < *path);
    let end = changes.partition_point(|change| part(change) <= *path);
    &changes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T7, T8: changes that fail, or change nothing, leave no nodes behind.
    #[test]
    fn only_changes_add_nodes() -> Result<(), WitnessError> {
        let key = |first: u8| B256::with_last_byte(0x11) | B256::right_padding_from(&[first]);
        let one = Some(Bytes::from_static(b"one"));
        let mut trie = SparseTrie::empty();
        trie.apply([(key(0x10), one.clone()), (key(0x20), one.clone())])?;
        let (nodes, root) = (trie.nodes.len(), trie.root());

        trie.apply([(key(0x10), one.clone()), (key(0x30), None)])?;
        assert_eq!((trie.nodes.len(), trie.root()), (nodes, root));

        // A sibling that nobody has: the collapse fails after another branch was built.
        let blinded = Child::hashed(&B256::repeat_byte(1));
        let leaf =
            Node::Leaf { path: Nibbles::unpack(key(0)).slice(1..), value: Bytes::from_static(b"leaf") };
        let mut children = Children::default();
        children[1] = Some(trie.push(leaf));
        children[15] = Some(blinded);
        trie.root = Some(trie.push(Node::Branch(Box::new(children))));
        trie.hash();
        let (nodes, root) = (trie.nodes.len(), trie.root());
        let changes = [(key(0x15), one.clone()), (key(0x16), one), (key(0xf0), None)];
        assert!(matches!(trie.apply(changes), Err(WitnessError::MissingNode { .. })));
        assert_eq!((trie.nodes.len(), trie.root()), (nodes, root));
        Ok(())
    }
}

//! One trie of which only some nodes are at hand.
//!
//! A [`SparseTrie`] is the original trie, read in place from the witness, and
//! the nodes that have changed since, in an [`Arena`]. Reading starts at
//! the changed nodes and goes on in the witness where those end. What was not
//! changed is never copied.

use crate::{
    arena::{Arena, Child, Missing, Stop},
    encoded::HASHED_LENGTH_MIN,
    error::WitnessError,
    key::{order, prefix},
    root::Threads,
    store::NodeStore,
    update::Change,
};
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;
use std::collections::{BTreeMap, btree_map::Entry};

/// A Merkle Patricia trie with 32-byte keys over part of its nodes.
///
/// Keys are used as they are: whoever holds addresses or slots hashes them first.
///
/// ```
/// use alloy_primitives::{B256, Bytes};
/// use weft_trie::SparseTrie;
///
/// let mut trie = SparseTrie::empty();
/// let empty_root = trie.root();
/// trie.insert(B256::with_last_byte(1), Bytes::from_static(b"one"))?;
/// assert_eq!(trie.get(B256::with_last_byte(1))?, Some(&b"one"[..]));
/// trie.remove(B256::with_last_byte(1))?;
/// assert_eq!(trie.root(), empty_root);
/// # Ok::<(), weft_trie::WitnessError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseTrie<'w> {
    /// The changed nodes.
    arena: Arena<'w>,
    /// The root node.
    root: Child,
    /// Names the trie in errors: the hashed address if it is a storage trie.
    account: Option<B256>,
}

/// One trie of an arena, whose nodes are hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrieView<'a, 'w> {
    /// The changed nodes.
    pub(crate) arena: &'a Arena<'w>,
    /// The root node.
    pub(crate) root: Child,
    /// Names the trie in errors.
    pub(crate) account: Option<B256>,
}

impl SparseTrie<'static> {
    /// The trie without keys, to which any can be added.
    pub fn empty() -> Self {
        Self { arena: Arena::default(), root: Child::NONE, account: None }
    }
}

impl<'w> SparseTrie<'w> {
    /// The trie whose root node, if it has one, is at a place, and whose reachable nodes have been checked.
    pub(crate) fn open(store: &'w NodeStore, root: Option<usize>, account: Option<B256>) -> Self {
        Self { arena: Arena::over(store), root: root.map_or(Child::NONE, Child::supplied), account }
    }

    /// The trie as one of its arena.
    pub(crate) fn view(&self) -> TrieView<'_, 'w> {
        TrieView { arena: &self.arena, root: self.root, account: self.account }
    }

    /// The value of a key, `None` if the trie provably lacks it.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the path of the key goes through a
    /// blinded node.
    pub fn get(&self, key: B256) -> Result<Option<&[u8]>, WitnessError> {
        self.view().get(key)
    }

    /// Sets the value of a key. An empty value removes the key.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub fn insert(&mut self, key: B256, value: Bytes) -> Result<(), WitnessError> {
        self.apply([(key, Some(value))])
    }

    /// Removes a key. One that the trie provably lacks changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::apply`].
    pub fn remove(&mut self, key: B256) -> Result<(), WitnessError> {
        self.apply([(key, None)])
    }

    /// Makes all changes at once: a value sets a key, `None` or an empty value removes it.
    ///
    /// The order of the changes does not matter, except that the last of
    /// several for the same key counts. All together need no more nodes than
    /// all insertions followed by all removals.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the path of a key goes through a blinded
    /// node, or if a removal leaves a branch with one blinded child. The trie is
    /// then as before.
    pub fn apply(
        &mut self,
        changes: impl IntoIterator<Item = (B256, Option<Bytes>)>,
    ) -> Result<(), WitnessError> {
        let before = self.arena.lengths();
        let change = |(key, value): (B256, Option<Bytes>)| {
            let value = value.filter(|value| !value.is_empty());
            Change { key, value: value.map(|value| self.arena.values.keep(&value)) }
        };
        let mut changes: Vec<Change> = changes.into_iter().map(change).collect();
        changes.sort_by(|one, two| order(&one.key, &two.key));
        changes.dedup_by(|later, kept| {
            let same_key = later.key == kept.key;
            if same_key {
                std::mem::swap(later, kept);
            }
            same_key
        });
        let updated = self.arena.update(self.root, self.account, &changes);
        match updated {
            Ok(root) if root != self.root => {
                self.root = root;
                self.arena.hash(Threads::All);
                Ok(())
            }
            // What is not used goes, the values too.
            unchanged => {
                self.arena.cut(before);
                unchanged.map(|_| ())
            }
        }
    }

    /// The root of the trie as it is now.
    pub fn root(&self) -> B256 {
        self.arena.root(self.root)
    }

    /// The nodes from the root down to a key, or to where it is seen to be absent.
    ///
    /// Nodes that are inlined in their parent are not listed again.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn proof(&self, key: B256) -> Result<Vec<Bytes>, WitnessError> {
        self.view().proof(key)
    }
}

impl<'a> TrieView<'a, '_> {
    /// [`SparseTrie::get`].
    pub(crate) fn get(self, key: B256) -> Result<Option<&'a [u8]>, WitnessError> {
        self.arena.walk(self.root, &key, |_, _| ()).map_err(|missing| self.error(missing, &key))
    }

    /// [`SparseTrie::get`], and where the node is that holds the value, if it was supplied and has a hash.
    pub(crate) fn find(self, key: B256) -> Result<(Option<&'a [u8]>, Option<usize>), WitnessError> {
        let mut holder = None;
        let pass = |passed, _| {
            holder = match passed {
                Stop::Supplied(place) => Some(place),
                Stop::Changed(_) => None,
            }
        };
        let value = self.arena.walk(self.root, &key, pass).map_err(|missing| self.error(missing, &key))?;
        Ok((value, holder))
    }

    /// [`SparseTrie::proof`].
    pub(crate) fn proof(self, key: B256) -> Result<Vec<Bytes>, WitnessError> {
        let mut proof = Vec::new();
        let pass = |passed: Stop, depth| proof.extend(self.listed(passed, depth));
        self.arena.walk(self.root, &key, pass).map_err(|missing| self.error(missing, &key))?;
        Ok(proof)
    }

    /// Adds the nodes towards a key to those towards others, by the paths to them.
    ///
    /// # Errors
    ///
    /// As [`SparseTrie::get`].
    pub(crate) fn prove(self, key: B256, nodes: &mut BTreeMap<Nibbles, Bytes>) -> Result<(), WitnessError> {
        let pass = |passed: Stop, depth| {
            if let Entry::Vacant(vacant) = nodes.entry(prefix(&key, depth))
                && let Some(node) = self.listed(passed, depth)
            {
                vacant.insert(node);
            }
        };
        self.arena.walk(self.root, &key, pass).map_err(|missing| self.error(missing, &key))?;
        Ok(())
    }

    /// A node below `depth` nibbles as a proof lists it; one that is inlined in its parent is not listed again.
    fn listed(self, passed: Stop, depth: usize) -> Option<Bytes> {
        match passed {
            Stop::Supplied(place) => Some(self.arena.store().shared(place).clone()),
            Stop::Changed(index) => {
                let mut encoded = Vec::new();
                self.arena.encode(index, &mut encoded);
                (depth == 0 || encoded.len() >= HASHED_LENGTH_MIN).then(|| encoded.into())
            }
        }
    }

    /// The error for a node on the way to a key.
    fn error(self, Missing { hash, depth }: Missing, key: &B256) -> WitnessError {
        WitnessError::MissingNode { hash, account: self.account, path: prefix(key, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T7, T8: changes that fail, or change nothing, leave no nodes behind.
    #[test]
    fn only_changes_add_nodes() -> Result<(), WitnessError> {
        let key = |first: u8| B256::with_last_byte(first) | B256::right_padding_from(&[first]);
        let one = Some(Bytes::from_static(b"the value of a node that is hashed"));
        let mut whole = SparseTrie::empty();
        whole.apply([0x10, 0x20, 0x21, 0xf0, 0xf1].map(|first| (key(first), one.clone())))?;
        // Without what is below the last branch, and without that of the first two leaves.
        let nodes = [key(0x10), key(0x20)].map(|key| whole.proof(key));
        let nodes = nodes.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        let store = NodeStore::new(nodes.into(), None);
        let mut trie = SparseTrie::open(&store, store.find(&whole.root()), None);

        let values = trie.arena.values.len();
        trie.apply([(key(0x10), one.clone()), (key(0x30), None)])?;
        assert_eq!((trie.arena.nodes.len(), trie.root()), (0, whole.root()));
        assert_eq!(trie.arena.values.len(), values);

        // A sibling that nobody has: the collapse fails after another branch was built.
        let changes = [(key(0x15), one.clone()), (key(0x16), one), (key(0x20), None)];
        assert!(matches!(trie.apply(changes), Err(WitnessError::MissingNode { .. })));
        assert_eq!((trie.arena.nodes.len(), trie.root()), (0, whole.root()));
        assert_eq!(trie.arena.values.len(), values);
        Ok(())
    }
}

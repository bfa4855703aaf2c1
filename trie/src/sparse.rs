//! One trie of which only some nodes are at hand.
//!
//! A [`SparseTrie`] is the original trie, read in place from the witness, and
//! the nodes that have changed since, in a list of their own. Reading starts at
//! the changed nodes and goes on in the witness where those end. What was not
//! changed is never copied.

use crate::{
    encoded::{ChildRef, HASHED_LENGTH_MIN, Link, NodeRef},
    error::WitnessError,
    node::{Child, Node, NodeId, Towards},
    root::{Changed, hash_nodes},
    store::NodeStore,
};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, nodes::RlpNode};

mod update;

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
    /// Where blinded children are looked up; `None` if there are none to be found.
    store: Option<&'w NodeStore>,
    /// Names the trie in errors: the hashed address if it is a storage trie.
    account: Option<B256>,
    /// The root node, `None` if the trie is empty.
    root: Option<Child>,
    /// The changed nodes, each after its children. A node is never altered: what
    /// changes again is added again.
    nodes: Vec<Node>,
    /// What a parent writes for each of `nodes`.
    references: Vec<RlpNode>,
}

/// A node that a walk passes, as far as a proof has to list it.
#[derive(Clone, Copy, Debug)]
enum Passed<'a> {
    /// A changed node.
    Revealed(NodeId),
    /// A supplied node.
    Supplied(&'a Bytes),
}

impl SparseTrie<'static> {
    /// The trie without keys, to which any can be added.
    pub fn empty() -> Self {
        Self { store: None, account: None, root: None, nodes: Vec::new(), references: Vec::new() }
    }

    /// The trie of these leaves, sorted by key. No key may begin with another one.
    pub(crate) fn of(leaves: &[(Nibbles, Bytes)]) -> Self {
        let mut trie = Self::empty();
        trie.build(leaves);
        trie.hash();
        trie
    }
}

impl<'w> SparseTrie<'w> {
    /// The trie with this root, whose reachable nodes have been checked.
    pub(crate) fn open(store: &'w NodeStore, root: B256, account: Option<B256>) -> Self {
        let root = (root != EMPTY_ROOT_HASH).then(|| Child::hashed(&root));
        Self { store: Some(store), account, root, nodes: Vec::new(), references: Vec::new() }
    }

    /// The value of a key, `None` if the trie provably lacks it.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the path of the key goes through a
    /// blinded node.
    pub fn get(&self, key: B256) -> Result<Option<&[u8]>, WitnessError> {
        self.walk(&Nibbles::unpack(key), |_| ())
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
        self.update(changes)?;
        self.hash();
        Ok(())
    }

    /// The root of the trie as it is now.
    pub fn root(&self) -> B256 {
        let reference = match &self.root {
            None => return EMPTY_ROOT_HASH,
            Some(Child::Blinded(reference)) => reference,
            Some(Child::Revealed(id)) => &self.references[id.index()],
        };
        // A root shorter than a hash is hashed all the same: nothing can inline it.
        reference.as_hash().unwrap_or_else(|| keccak256(reference))
    }

    /// The nodes from the root down to a key, or to where it is seen to be absent.
    ///
    /// Nodes that are inlined in their parent are not listed again.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn proof(&self, key: B256) -> Result<Vec<Bytes>, WitnessError> {
        let mut proof = Vec::new();
        self.walk(&Nibbles::unpack(key), |passed| match passed {
            Passed::Supplied(bytes) => proof.push(bytes.clone()),
            Passed::Revealed(id) => {
                let mut encoded = Vec::new();
                self.nodes[id.index()].encode(&self.references, &mut encoded);
                if proof.is_empty() || encoded.len() >= HASHED_LENGTH_MIN {
                    proof.push(encoded.into());
                }
            }
        })?;
        Ok(proof)
    }

    /// Adds a changed node, all of whose changed children have been added before.
    fn push(&mut self, node: Node) -> Child {
        self.nodes.push(node);
        Child::Revealed(NodeId::new(self.nodes.len() - 1))
    }

    /// A copy of a child, to be changed. It stands at `path`.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the child is blinded and was not supplied.
    fn copied(&self, child: &Child, path: &Nibbles) -> Result<Node, WitnessError> {
        match child {
            Child::Revealed(id) => Ok(self.nodes[id.index()].clone()),
            Child::Blinded(reference) => match child_ref(reference) {
                ChildRef::Hash(hash, link) => {
                    let (bytes, node) = self.supplied(hash, link, || *path)?;
                    Ok(Node::copied(node, |value| bytes.slice_ref(value)))
                }
                ChildRef::Inlined(bytes) => Ok(Node::copied(inlined(bytes), Bytes::copy_from_slice)),
            },
        }
    }

    /// Computes what parents write for the nodes that changed since the last time.
    fn hash(&mut self) {
        hash_nodes(&mut [self.changed()]);
    }

    /// The changed nodes, those that are not hashed yet included.
    pub(crate) fn changed(&mut self) -> Changed<'_> {
        Changed { nodes: &self.nodes, references: &mut self.references }
    }

    /// Follows a key down to its value, showing every node it passes that has a hash
    /// of its own, and possibly changed nodes that have none.
    fn walk<'a>(
        &'a self,
        key: &Nibbles,
        mut pass: impl FnMut(Passed<'a>),
    ) -> Result<Option<&'a [u8]>, WitnessError> {
        let Some(mut child) = self.root.as_ref() else { return Ok(None) };
        let mut depth = 0;
        // First through the changed nodes.
        let mut child = loop {
            let id = match child {
                Child::Revealed(id) => *id,
                Child::Blinded(reference) => break child_ref(reference),
            };
            pass(Passed::Revealed(id));
            match self.nodes[id.index()].towards(key, depth) {
                Towards::Child(next, below) => (child, depth) = (next, below),
                Towards::Value(value) => return Ok(Some(value)),
                Towards::Nothing => return Ok(None),
            }
        };
        // Then on through those of the witness.
        loop {
            let node = match child {
                ChildRef::Inlined(bytes) => inlined(bytes),
                ChildRef::Hash(hash, link) => {
                    let (bytes, node) = self.supplied(hash, link, || key.slice(..depth))?;
                    pass(Passed::Supplied(bytes));
                    node
                }
            };
            match node.towards(key, depth) {
                Towards::Child(next, below) => (child, depth) = (next, below),
                Towards::Value(value) => return Ok(Some(value)),
                Towards::Nothing => return Ok(None),
            }
        }
    }

    /// The supplied node with this hash, which belongs at `path`.
    fn supplied(
        &self,
        hash: &B256,
        link: Link,
        path: impl FnOnce() -> Nibbles,
    ) -> Result<(&'w Bytes, NodeRef<'w>), WitnessError> {
        let found = self.store.and_then(|store| Some((store, store.follow(hash, link)?)));
        let (store, place) = found.ok_or_else(|| WitnessError::MissingNode {
            hash: *hash,
            account: self.account,
            path: path(),
        })?;
        let decoded = store.decoded(place).expect("what is reachable from the root was checked");
        Ok((&store.node(place).bytes, decoded))
    }
}

/// A parent's reference, as a hash or as the whole child.
fn child_ref(reference: &RlpNode) -> ChildRef<'_> {
    match reference.get(1..).map(<&B256>::try_from) {
        Some(Ok(hash)) => ChildRef::Hash(hash, Link::Unknown),
        Some(Err(_)) | None => ChildRef::Inlined(reference),
    }
}

/// An inlined node of a trie that has been checked.
fn inlined(bytes: &[u8]) -> NodeRef<'_> {
    NodeRef::decode(bytes).expect("what is reachable from the root was checked")
}

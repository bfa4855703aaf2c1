//! What the tests share: full tries made by other implementations, and witnesses cut from them.
//!
//! `eth_trie` builds the nodes and the paths, alloy's `HashBuilder` the roots, so
//! that nothing the crate says is compared with itself.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount,
    nodes::{LeafNodeRef, RlpNode},
};
use eth_trie::{EthTrie, MemoryDB, Trie};
use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use weft_trie::{SparseTrie, VerifiedWitness, Witness, WitnessError};

/// Keys with their encoded values.
pub(crate) type Leaves = BTreeMap<B256, Bytes>;

/// The hashed address of the one account in [`storage_witness`].
pub(crate) const ACCOUNT: B256 = B256::repeat_byte(0xac);

/// A whole trie, as `eth_trie` makes it.
pub(crate) struct FullTrie {
    /// Its root.
    pub(crate) root: B256,
    /// All of its nodes that have a hash of their own.
    pub(crate) nodes: BTreeMap<B256, Bytes>,
    /// The keys and values.
    pub(crate) leaves: Leaves,
}

/// A database that keeps what is written, and can be looked through.
#[derive(Default)]
struct Recorder(Mutex<HashMap<Vec<u8>, Vec<u8>>>);

impl eth_trie::DB for Recorder {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), Infallible> {
        self.0.lock().unwrap().insert(key.to_vec(), value);
        Ok(())
    }

    fn remove(&self, _: &[u8]) -> Result<(), Infallible> {
        Ok(())
    }

    fn flush(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl FullTrie {
    /// Builds the trie with these leaves.
    pub(crate) fn new(leaves: Leaves) -> Self {
        let recorder = Arc::new(Recorder::default());
        let mut trie = EthTrie::new(Arc::clone(&recorder));
        for (key, value) in &leaves {
            trie.insert(key.as_slice(), value).unwrap();
        }
        let root = B256::from_slice(trie.root_hash().unwrap().as_slice());
        let nodes = recorder.0.lock().unwrap();
        let nodes = nodes.values().map(|node| (keccak256(node), Bytes::from(node.clone()))).collect();
        Self { root, nodes, leaves }
    }

    /// The nodes towards these keys, and no others.
    pub(crate) fn paths(&self, keys: impl IntoIterator<Item = B256>) -> BTreeMap<B256, Bytes> {
        let mut trie = EthTrie::new(Arc::new(MemoryDB::new(true)));
        for (key, value) in &self.leaves {
            trie.insert(key.as_slice(), value).unwrap();
        }
        trie.root_hash().unwrap();
        let mut nodes = BTreeMap::new();
        for key in keys {
            for node in trie.get_proof(key.as_slice()).unwrap() {
                let hash = keccak256(&node);
                if self.nodes.contains_key(&hash) {
                    nodes.insert(hash, node.into());
                }
            }
        }
        nodes
    }
}

/// Nodes that nobody refers to, as many as make a witness a large one.
pub(crate) fn filling() -> Vec<Bytes> {
    vec![leaf(&nibbles(&[5; 40]), &long_slot(9)); 1 << 15]
}

/// The root of these leaves, as alloy computes it.
pub(crate) fn reference_root(leaves: &Leaves) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// A witness for a state with the one account [`ACCOUNT`], whose storage has this root.
pub(crate) fn storage_witness(
    storage_root: B256,
    nodes: impl IntoIterator<Item = Bytes>,
) -> Result<VerifiedWitness, WitnessError> {
    let account = TrieAccount { storage_root, ..TrieAccount::default() };
    let leaf = leaf(&Nibbles::unpack(ACCOUNT), &alloy_rlp::encode(account));
    let root = keccak256(&leaf);
    Witness::new(nodes.into_iter().chain([leaf]).collect()).verify(root)
}

/// The storage trie of [`ACCOUNT`] in such a witness.
pub(crate) fn storage_trie(witness: &VerifiedWitness) -> Result<SparseTrie<'_>, WitnessError> {
    let account = witness.account_by_hash(ACCOUNT)?.expect("the account is supplied");
    witness.storage_trie(ACCOUNT, account.storage_root)
}

/// The leaf value of an integer; nothing for zero.
pub(crate) fn slot(value: u64) -> Option<Bytes> {
    (value != 0).then(|| alloy_rlp::encode(value).into())
}

/// The leaf value of a full 32-byte integer that ends with `last`.
pub(crate) fn long_slot(last: u8) -> Bytes {
    let mut value = B256::repeat_byte(0xff);
    value[31] = last;
    alloy_rlp::encode(U256::from_be_bytes(value.0)).into()
}

/// The key whose nibbles are `head`, zeros, and `tail`.
pub(crate) fn key(head: &str, tail: &str) -> B256 {
    let zeros = "0".repeat(64 - head.len() - tail.len());
    format!("{head}{zeros}{tail}").parse().unwrap()
}

/// An encoded leaf.
pub(crate) fn leaf(path: &Nibbles, value: &[u8]) -> Bytes {
    alloy_rlp::encode(LeafNodeRef::new(path, value)).into()
}

/// An encoded extension.
pub(crate) fn extension(path: &Nibbles, child: &[u8]) -> Bytes {
    alloy_rlp::encode(alloy_trie::nodes::ExtensionNodeRef::new(path, child)).into()
}

/// An encoded branch of these references to children, by nibble.
pub(crate) fn branch(children: &[(usize, RlpNode)]) -> Bytes {
    let mut items: [Vec<u8>; 17] = std::array::from_fn(|_| vec![alloy_rlp::EMPTY_STRING_CODE]);
    for (nibble, child) in children {
        items[*nibble] = child.to_vec();
    }
    list(&items)
}

/// An RLP list of items that are encoded already.
pub(crate) fn list<T: AsRef<[u8]>>(items: &[T]) -> Bytes {
    let payload_length = items.iter().map(|item| item.as_ref().len()).sum();
    let mut out = Vec::new();
    alloy_rlp::Header { list: true, payload_length }.encode(&mut out);
    for item in items {
        out.extend_from_slice(item.as_ref());
    }
    out.into()
}

/// What a parent writes for a node: its hash, or all of it.
pub(crate) fn reference(node: &[u8]) -> RlpNode {
    RlpNode::from_rlp(node)
}

/// The RLP of a value.
pub(crate) fn rlp(value: impl Encodable) -> Vec<u8> {
    alloy_rlp::encode(value)
}

/// The path of these nibbles.
pub(crate) fn nibbles(path: &[u8]) -> Nibbles {
    Nibbles::from_nibbles(path)
}

/// The folder with public test vectors, `None` if it is not there.
///
/// `WEFT_DATA` names the folder that holds `data`; without it, `shared` beside
/// the workspace does.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("WEFT_DATA").map_or_else(beside, PathBuf::from);
    Some(folder.join("data").join(name)).filter(|folder| folder.is_dir())
}

/// The root that an empty trie has.
pub(crate) const EMPTY: B256 = EMPTY_ROOT_HASH;

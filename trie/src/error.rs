//! What a witness can get wrong.
//!
//! Every error here is the fault of whoever sent the witness: a node that is
//! needed and absent, or a node that is present and not a well-formed part of
//! an Ethereum trie. Errors carry the place, so that two readers of the same
//! witness can compare them, and a host can tell which node to add.

use alloy_primitives::B256;
use alloy_trie::Nibbles;
use thiserror::Error;

/// The state is not in the witness, or what is there is no valid trie.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// No supplied node has the state root as its hash.
    #[error("none of {received} nodes hashes to the pre-state root {pre_state_root}")]
    RootMissing {
        /// The root that the caller trusts.
        pre_state_root: B256,
        /// How many different nodes were supplied.
        received: usize,
    },
    /// A path that is needed goes through a node that was not supplied.
    #[error("node {hash} at {path:?} is not in the witness ({})", Trie(account))]
    MissingNode {
        /// The hash by which its parent, or the account, refers to the node.
        hash: B256,
        /// Whose storage trie lacks it, by hashed address; `None` for the state trie.
        account: Option<B256>,
        /// Where the node belongs: the nibbles from the root down to it.
        path: Nibbles,
    },
    /// A supplied node that is reachable from a used root is malformed.
    #[error("node {hash} at {path:?} is malformed ({}): {reason}", Trie(account))]
    BadNode {
        /// The hash of the node, or of the node into which it is inlined.
        hash: B256,
        /// Whose storage trie holds it, by hashed address; `None` for the state trie.
        account: Option<B256>,
        /// The nibbles from the root down to the node, cut off after 64.
        path: Nibbles,
        /// What is wrong with it.
        reason: BadNodeReason,
    },
}

/// What makes a node no part of a canonical state or storage trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadNodeReason {
    /// An item is cut short or not in its shortest form.
    #[error("not canonical RLP")]
    Rlp,
    /// The node is a string instead of a list.
    #[error("not a list")]
    NotAList,
    /// Bytes follow the list.
    #[error("bytes after the list")]
    TrailingBytes,
    /// The node is longer than a full branch, the longest node there is.
    #[error("longer than any node")]
    TooLong,
    /// The list has neither 17 items (branch) nor 2 (extension, leaf).
    #[error("neither 17 items nor 2")]
    ItemCount,
    /// The branch carries a value, which no 32-byte key can end at.
    #[error("a branch with a value")]
    BranchValue,
    /// The branch has fewer than two children and ought to be another node.
    #[error("a branch with {children} children")]
    FewChildren {
        /// How many there are.
        children: u8,
    },
    /// A child is neither empty, nor a hash, nor an inlined node.
    #[error("a child that is no reference to a node")]
    ChildReference,
    /// A node of 32 bytes or more stands where its hash belongs.
    #[error("an inlined node of {length} bytes")]
    InlinedTooLong {
        /// Length of the inlined node.
        length: u16,
    },
    /// A node of less than 32 bytes, not a root, is referred to by its hash.
    #[error("a hashed node of {length} bytes")]
    HashedTooShort {
        /// Length of the node.
        length: u16,
    },
    /// The hex-prefix flag of the path is above three, or the path is empty.
    #[error("no valid hex-prefix flag")]
    PathFlag,
    /// The padding nibble of an even path is not zero.
    #[error("hex-prefix padding is not zero")]
    PathPadding,
    /// The path is longer than a whole key.
    #[error("a path longer than 64 nibbles")]
    PathTooLong,
    /// The extension extends by nothing.
    #[error("an extension with an empty path")]
    EmptyExtension,
    /// An extension leads to something else than a branch.
    #[error("an extension to a node that is no branch")]
    ExtensionChild,
    /// The leaf has no value.
    #[error("a leaf with an empty value")]
    EmptyLeaf,
    /// Keys below this node have different lengths.
    #[error("keys of different lengths")]
    UnevenKeys,
    /// Keys below this node are longer than 64 nibbles.
    #[error("keys longer than 64 nibbles")]
    KeysTooLong,
    /// The keys of the whole trie have the same length, but not 64 nibbles.
    #[error("keys of {nibbles} nibbles")]
    KeyLength {
        /// Their length.
        nibbles: u8,
    },
    /// The value in the state trie is no account of exactly four canonical fields.
    #[error("not an account")]
    Account,
    /// The value in a storage trie is no canonical integer of at most 32 bytes.
    #[error("not a storage value")]
    Slot,
    /// A storage trie holds a zero, which is stored by leaving the slot out.
    #[error("a stored zero")]
    ZeroSlot,
}

impl From<alloy_rlp::Error> for BadNodeReason {
    fn from(_: alloy_rlp::Error) -> Self {
        Self::Rlp
    }
}

/// Names a trie in a message.
struct Trie<'a>(&'a Option<B256>);

impl std::fmt::Display for Trie<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            None => f.write_str("state trie"),
            Some(account) => write!(f, "storage of {account}"),
        }
    }
}

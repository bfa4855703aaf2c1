//! What EXECUTE is given, in any of the forms it comes in.

use alloy_primitives::{B256, Bytes};
use revm::primitives::hardfork::SpecId;

use super::wire::{self, DecodeError, DialectChoice, StatelessInput};
use super::witness_json::BlockWitness;
use crate::chain::Chain;

/// An input that decodes. Nothing in it has been checked against anything else.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExecuteInput {
    /// The precompile's own form.
    Stateless(Box<StatelessInput>),
    /// A block with the witness that a node gave for it.
    Witness(Box<BlockWitness>),
}

/// The chain that the caller asked for, unless the input says that it is of another.
///
/// # Errors
///
/// [`InputError::ChainId`].
pub(crate) fn asked_for(chain: &Chain, found: Option<u64>) -> Result<&Chain, InputError> {
    match found {
        Some(found) if found != chain.id => Err(InputError::ChainId { found, expected: chain.id }),
        _ => Ok(chain),
    }
}

/// How to read an input.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Which wire dialects are accepted.
    pub dialect: DialectChoice,
    /// The chain of a block with witness. Without it, the one of which the file has a configuration, or the built-in one
    /// with the id in the file.
    pub chain: Option<Chain>,
}

/// The caller's bytes do not decode, or what they say beside the block, which may be valid, does not fit it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// They are no `StatelessInput` in an accepted dialect.
    #[error(transparent)]
    Wire(#[from] DecodeError),
    /// They look like hex text and are not.
    #[error("hex text: {0}")]
    Hex(alloy_primitives::hex::FromHexError),
    /// They look like JSON and are not a block with its witness.
    #[error("JSON: {0}")]
    Json(String),
    /// The block inside the JSON does not decode.
    #[error("block: {0}")]
    Block(alloy_rlp::Error),
    /// The block has ommers, of which an RPC answer names the hashes only.
    #[error("block: it has ommers, and JSON holds only their hashes: give the block as RLP")]
    Ommers,
    /// The JSON names the block's transactions by their hashes.
    #[error("block: JSON holds only the hashes of its transactions: ask the node for full transactions")]
    TransactionHashes,
    /// The fields of the block's header do not hash to the hash that the JSON gives.
    #[error("block: the header in the JSON hashes to {computed}, its `hash` is {claimed}")]
    BlockHash {
        /// Hash of the fields given.
        computed: B256,
        /// The hash given.
        claimed: B256,
    },
    /// Where a node's answer should be, the node answered with an error.
    #[error("{field}: the node answered with error {code}: {message}")]
    Answer {
        /// Where in the JSON.
        field: &'static str,
        /// The error's number.
        code: i64,
        /// What the node said.
        message: String,
    },
    /// The file does not say which chain it is of, or names one that is not built in.
    #[error("{}", unknown_chain(*.0))]
    UnknownChain(Option<u64>),
    /// The input is of another chain than the caller asked for.
    #[error("chain id {found}, expected {expected}")]
    ChainId {
        /// Chain id in the input.
        found: u64,
        /// Chain id of the chain asked for.
        expected: u64,
    },
    /// The input stands for another fork than the chain that the caller asked for is at, at the block's number and time.
    #[error("the input is of {expected:?}, the chain is at {found:?}")]
    Fork {
        /// Where the chain is.
        found: SpecId,
        /// What the input's dialect stands for.
        expected: SpecId,
    },
    /// The number of public keys is not the number of transactions.
    #[error("{keys} public keys for {transactions} transactions")]
    PublicKeyCount {
        /// Keys received.
        keys: usize,
        /// Transactions in the payload.
        transactions: usize,
    },
    /// A supplied public key is not the key that signed.
    #[error("transaction {index}: the public key is not the signer's")]
    PublicKey {
        /// Position in the block.
        index: usize,
    },
}

/// The most bytes of a message that is not ours: the parser may quote the whole input.
const MESSAGE_BYTES_MAX: usize = 300;

impl InputError {
    /// JSON that does not fit, in a message of bounded length.
    pub(crate) fn json(error: &dyn std::fmt::Display) -> Self {
        Self::Json(Self::shortened(error.to_string()))
    }

    /// A message of bounded length.
    pub(super) fn shortened(mut message: String) -> String {
        if message.len() > MESSAGE_BYTES_MAX {
            let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&end| message.is_char_boundary(end));
            message.truncate(end.unwrap_or_default());
            message.push('…');
        }
        message
    }
}

/// What is wrong with the chain id, for people.
fn unknown_chain(id: Option<u64>) -> String {
    match id {
        Some(id) => format!("chain {id} is not built in: a chain configuration is needed"),
        None => "no chain id, and no chain configuration".to_owned(),
    }
}

impl ExecuteInput {
    /// Reads what EXECUTE itself is called with: the bytes of a `StatelessInput`, and nothing else.
    ///
    /// # Errors
    ///
    /// [`InputError::Wire`] says what does not decode, and where.
    pub fn stateless(bytes: &Bytes, dialect: DialectChoice) -> Result<Self, InputError> {
        Ok(Self::Stateless(Box::new(wire::decode_shared(bytes, dialect)?)))
    }

    /// Reads a file in any form: JSON if it begins with `{`; hex text if it begins with `0x`, or as that of a
    /// `StatelessInput` does; else the bytes of a `StatelessInput`.
    ///
    /// Neither JSON nor hex text can be a `StatelessInput`: those begin with `15 01`, or with the offset 20.
    ///
    /// # Errors
    ///
    /// [`InputError`] says what does not decode, and where.
    pub fn read(bytes: Bytes, options: &ReadOptions) -> Result<Self, InputError> {
        let text = bytes.trim_ascii();
        if text.starts_with(b"{") {
            let witness = BlockWitness::from_json(text, options.chain.as_ref())?;
            return Ok(Self::Witness(Box::new(witness)));
        }
        let bytes = if text.starts_with(b"0x") || is_bare_hex(text) {
            alloy_primitives::hex::decode(text).map_err(InputError::Hex)?.into()
        } else {
            bytes
        };
        Self::stateless(&bytes, options.dialect)
    }

    /// Number of transactions, whether or not they decode.
    pub fn transactions(&self) -> usize {
        match self {
            Self::Stateless(input) => input.payload.transactions.len(),
            Self::Witness(input) => input.block.body.transactions.len(),
        }
    }
}

/// Whether `text` is hex without the usual prefix: the schema id, or the first offset of the dialect without it.
fn is_bare_hex(text: &[u8]) -> bool {
    (text.starts_with(b"1501") || text.starts_with(b"14000000")) && text.iter().all(u8::is_ascii_hexdigit)
}

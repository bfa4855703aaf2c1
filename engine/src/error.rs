//! Errors, sorted by whose fault they are.
//!
//! | type | whose | consensus-visible |
//! |---|---|---|
//! | [`InputError`] | the caller's bytes do not decode, or what they say beside the block does not fit it | yes |
//! | [`WitnessError`] | state that the block needs is absent or not authentic | yes |
//! | [`BlockError`] | the block breaks a rule, at a named place | yes |
//! | [`Fault`] | ours, or the system's | never |
//!
//! The first three are part of the outcome: the same for every engine and every number of workers. An error
//! met by a speculative run that is thrown away never happened.

use alloy_primitives::{Address, B256, Bytes};
use revm::context::DBErrorMarker;
use revm::context_interface::result::InvalidTransaction;

use crate::execute::InputError;

/// Why a block was not proved valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The caller's bytes do not decode, or what they say beside the block does not fit it.
    #[error("input: {0}")]
    Input(#[from] InputError),
    /// The witness does not hold what the block needs.
    #[error("witness: {0}")]
    Witness(#[from] WitnessError),
    /// The block is invalid.
    #[error("block: {0}")]
    Block(#[from] BlockError),
    /// A bug of ours; says nothing about the block.
    #[error("fault: {0}")]
    Fault(#[from] Fault),
}

impl ExecuteError {
    /// Whose fault it is: `input`, `witness`, `block` or `fault` (ours).
    pub fn blame(&self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Witness(_) => "witness",
            Self::Block(_) => "block",
            Self::Fault(_) => "fault",
        }
    }
}

/// State that the block needs is absent from the witness, or is not authentic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// A trie node is missing or malformed.
    #[error(transparent)]
    Trie(#[from] weft_trie::WitnessError),
    /// No code in the witness has this hash.
    #[error("no code with hash {hash}")]
    CodeMissing {
        /// Keccak-256 of the code.
        hash: B256,
    },
    /// `BLOCKHASH` asked for an ancestor whose header is not in the witness.
    #[error("no header of ancestor {number}")]
    AncestorMissing {
        /// Number of the ancestor.
        number: u64,
    },
    /// The witness has no header, so the parent and with it the pre-state root are unknown.
    #[error("no headers: the parent is unknown")]
    ParentMissing,
    /// More headers than `BLOCKHASH` can reach.
    #[error("{count} headers, at most 256 are allowed")]
    TooManyHeaders {
        /// Headers received.
        count: usize,
    },
    /// A header does not decode.
    #[error("header {index} does not decode: {reason}")]
    HeaderMalformed {
        /// Position among the witness' headers, oldest first.
        index: usize,
        /// What the RLP decoder said.
        reason: alloy_rlp::Error,
    },
    /// A header does not have the fields of the fork it stands for.
    #[error("header {index} has the fields of another fork")]
    HeaderFields {
        /// Position among the witness' headers, oldest first.
        index: usize,
    },
    /// The hash given for the parent is not the one that the block names.
    #[error("the parent's hash is {found}, the block names {expected}")]
    ParentHash {
        /// `parent_hash` in the block's header.
        expected: B256,
        /// The hash given for the parent.
        found: B256,
    },
    /// A header does not name the one before it as its parent.
    #[error("header {index} does not follow the one before it: parent {found}, expected {expected}")]
    HeaderChain {
        /// Position among the witness' headers, oldest first.
        index: usize,
        /// Hash of the header before it.
        expected: B256,
        /// `parent_hash` in the header.
        found: B256,
    },
}

impl DBErrorMarker for WitnessError {}

/// The block breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A field of the header cannot follow its parent, or has a value no block may have.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// A transaction of the payload does not decode.
    #[error("transaction {index} does not decode: {reason}")]
    TransactionMalformed {
        /// Position in the block.
        index: usize,
        /// What the decoder said.
        reason: TransactionDecodeError,
    },
    /// A transaction's signature has no signer, or one that the fork does not accept.
    #[error("transaction {index}: invalid signature")]
    Signature {
        /// Position in the block.
        index: usize,
    },
    /// A transaction may not stand in this block at this place.
    #[error("transaction {index}: {reason}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// The rule it breaks.
        reason: TransactionError,
    },
    /// The payload's versioned hashes are not those of its blob transactions.
    #[error("versioned hashes are not those of the blob transactions")]
    VersionedHashes,
    /// The block takes more bytes than EIP-7934 allows.
    #[error("block of {size} bytes, at most {limit} are allowed (EIP-7934)")]
    Size {
        /// Bytes of the RLP of the block.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// An ommer is not within the six generations before the block or comes twice, or there are more than two.
    #[error("ommers are not allowed here")]
    Ommers,
    /// A system contract that must answer after the transactions has no code.
    #[error("no system contract at {address}")]
    SystemContractMissing {
        /// Where it should be.
        address: Address,
    },
    /// A system call after the transactions failed.
    #[error("system call to {address} failed")]
    SystemCall {
        /// The contract called.
        address: Address,
        /// What it returned, if it reverted.
        output: Bytes,
    },
    /// A deposit log does not have the layout of EIP-6110.
    #[error("malformed deposit log")]
    DepositLog,
    /// The block access list holds more items than the gas limit pays for (EIP-7928).
    #[error("block access list of {items} items, the gas limit allows {limit}")]
    AccessListSize {
        /// Addresses and slots.
        items: u64,
        /// Items allowed.
        limit: u64,
    },
    /// A commitment in the header is not what the block computes to.
    #[error("{field}: computed {computed}, claimed {claimed}")]
    Commitment {
        /// Which commitment.
        field: Commitment,
        /// Value computed here.
        computed: Claim,
        /// Value in the header.
        claimed: Claim,
    },
}

/// What a header commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, derive_more::Display)]
#[non_exhaustive]
pub enum Commitment {
    /// Keccak-256 of the header.
    #[display("block hash")]
    BlockHash,
    /// Gas used by the block.
    #[display("gas used")]
    GasUsed,
    /// Root of the transactions.
    #[display("transactions root")]
    TransactionsRoot,
    /// Post-state root.
    #[display("state root")]
    StateRoot,
    /// Root of the receipts.
    #[display("receipts root")]
    ReceiptsRoot,
    /// Union of the receipts' blooms.
    #[display("logs bloom")]
    LogsBloom,
    /// Hash of the list of ommers.
    #[display("ommers hash")]
    OmmersHash,
    /// Root of the withdrawals (EIP-4895).
    #[display("withdrawals root")]
    WithdrawalsRoot,
    /// Blob gas used (EIP-4844).
    #[display("blob gas used")]
    BlobGasUsed,
    /// Hash of the execution requests (EIP-7685).
    #[display("requests hash")]
    RequestsHash,
    /// Hash of the block access list (EIP-7928).
    #[display("block access list hash")]
    BlockAccessListHash,
}

/// A value that a header commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, derive_more::Display, derive_more::From)]
#[non_exhaustive]
pub enum Claim {
    /// A hash or root.
    Hash(B256),
    /// A number.
    Number(u64),
    /// A bloom, shown by its hash.
    #[display("bloom with hash {_0}")]
    #[from(skip)]
    Bloom(B256),
    /// The header lacks the field.
    #[display("nothing")]
    Absent,
}

/// A header field cannot follow its parent, or has a value no block may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The field breaks its rule.
    #[error("{field} is {found}, expected {expected}")]
    Value {
        /// The field's name in the specification.
        field: &'static str,
        /// Value in the header.
        found: alloy_primitives::U256,
        /// Value demanded by the parent.
        expected: alloy_primitives::U256,
    },
    /// The field is out of its range.
    #[error("{field} is out of range")]
    Range {
        /// The field's name in the specification.
        field: &'static str,
    },
    /// The field must be there and isn't, or the reverse.
    #[error("{field} is missing or not allowed in this fork")]
    Presence {
        /// The field's name in the specification.
        field: &'static str,
    },
}

/// Why the bytes of a transaction are not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionDecodeError {
    /// No bytes at all.
    #[error("empty")]
    Empty,
    /// An unknown type byte.
    #[error("unknown type {0:#04x}")]
    Type(u8),
    /// The fields do not decode.
    #[error("{0}")]
    Rlp(alloy_rlp::Error),
}

/// Why a transaction may not stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// A rule of the transaction itself or of its sender's account.
    #[error("{0}")]
    Invalid(InvalidTransaction),
    /// Its gas limit is more than any transaction may have.
    #[error("gas limit {gas_limit} is out of range")]
    GasLimitRange {
        /// The transaction's gas limit.
        gas_limit: u64,
    },
    /// Its gas limit is more than the block has left.
    #[error("gas limit {gas_limit}, the block has {available} left")]
    GasLimit {
        /// The transaction's gas limit.
        gas_limit: u64,
        /// Gas left in the dimension that is short.
        available: u64,
    },
    /// Its blobs are more than the block has left.
    #[error("{blob_gas} blob gas, the block has {available} left")]
    BlobGas {
        /// The transaction's blob gas.
        blob_gas: u64,
        /// Blob gas left.
        available: u64,
    },
}

/// A bug of ours, or a system without threads for us. A block never causes one; whoever sees it should report it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The scheduler broke one of its own rules or a worker panicked.
    #[error("scheduler: {0}")]
    Scheduler(String),
    /// The EVM failed in a way that no input may cause.
    #[error("evm: {0}")]
    Evm(String),
    /// The system gives no threads.
    #[error("threads: {0}")]
    Threads(String),
    /// A simulated run failed, or did not come to the outcome that the block has in order.
    #[error("simulation: {workers} workers with seed {seed} do not come to the same outcome")]
    Simulation {
        /// On how many virtual cores.
        workers: usize,
        /// With which seed.
        seed: u64,
    },
}

//! Why bytes are not an input, and why an input has no bytes.
//!
//! The reference gives one answer to every input it cannot read (the zero
//! sentinel of [`super::StatelessOutput`]), so the variants below are for people
//! and tests: consensus sees only that decoding failed.

use core::fmt;

use super::Dialect;

/// The bytes are not the canonical encoding of a [`super::StatelessInput`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the part that every value of this type has.
    #[error("{field} takes at least {needed} bytes and has {length}")]
    TooShort {
        /// What was being read.
        field: Field,
        /// Bytes that any value of this type has.
        needed: usize,
        /// Bytes there are.
        length: usize,
    },
    /// The first two bytes name another schema.
    #[error("schema id {found:#06x}, expected {expected:#06x}")]
    SchemaId {
        /// Id in the input.
        found: u16,
        /// The only id this dialect has.
        expected: u16,
    },
    /// The first offset is that of no dialect, so the encoding is not known.
    #[error("first offset {first_offset} belongs to no dialect")]
    UnknownDialect {
        /// Offset of the first field of the input.
        first_offset: u32,
    },
    /// A container's offset leaves a gap, goes back, or points past the end.
    #[error("offset of {field} is {offset}, canonical is {least} to {most}")]
    Offset {
        /// The field the offset is for.
        field: Field,
        /// The offset found.
        offset: usize,
        /// End of what precedes the field.
        least: usize,
        /// `least` for the first field of a container, else the container's length.
        most: usize,
    },
    /// A list's first offset does not say how many items there are.
    #[error("first offset of {field} is {offset}: not a table of offsets within {length} bytes")]
    OffsetTable {
        /// The list.
        field: Field,
        /// Its first offset.
        offset: usize,
        /// Bytes in the list.
        length: usize,
    },
    /// An item of a list starts before its predecessor, or past the end.
    #[error("offset of item {index} of {field} is {offset}, canonical is {least} to {most}")]
    ItemOffset {
        /// The list.
        field: Field,
        /// Position of the item.
        index: usize,
        /// Offset found.
        offset: usize,
        /// Start of the item before.
        least: usize,
        /// Bytes in the list.
        most: usize,
    },
    /// A list of equal items is not a whole number of them.
    #[error("{field} has {length} bytes, not a multiple of {item_length}")]
    PartialItem {
        /// The list.
        field: Field,
        /// Bytes of one item.
        item_length: usize,
        /// Bytes in the list.
        length: usize,
    },
    /// A list has more items than the dialect allows.
    #[error("{field} has {count} items, at most {limit} are allowed")]
    TooManyItems {
        /// The list.
        field: Field,
        /// Most items allowed.
        limit: usize,
        /// Items there are.
        count: usize,
    },
    /// An item of a list is longer than the dialect allows.
    #[error("item {index} of {field} has {length} bytes, at most {limit} are allowed")]
    ItemTooLong {
        /// The list.
        field: Field,
        /// Position of the item.
        index: usize,
        /// Most bytes allowed.
        limit: usize,
        /// Bytes there are.
        length: usize,
    },
    /// A byte string is longer than the dialect allows.
    #[error("{field} has {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// The byte string.
        field: Field,
        /// Most bytes allowed.
        limit: usize,
        /// Bytes there are.
        length: usize,
    },
}

/// The value has no encoding in its dialect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// An offset would not fit its four bytes.
    #[error("offset {offset} does not fit four bytes")]
    OffsetTooLarge {
        /// The offset.
        offset: usize,
    },
    /// Public keys are given to a dialect without them, or withheld from one with.
    #[error("{dialect:?} and the presence of public keys ({present}) disagree")]
    PublicKeys {
        /// The dialect to encode in.
        dialect: Dialect,
        /// Whether the input has keys.
        present: bool,
    },
    /// A request entry is empty or of a type the dialect has no list for.
    #[error("execution request {index} has type {found:?}, which the dialect does not know")]
    RequestType {
        /// Position of the entry.
        index: usize,
        /// Its first byte, if it has one.
        found: Option<u8>,
    },
    /// Request entries are not in ascending order of their types (EIP-7685).
    #[error("execution request {index} of type {found} repeats or precedes another")]
    RequestOrder {
        /// Position of the entry.
        index: usize,
        /// Its type.
        found: u8,
    },
    /// A request entry holds no whole number of requests, or none.
    #[error("execution request {index} has {length} bytes of data, requests have {item_length}")]
    RequestLength {
        /// Position of the entry.
        index: usize,
        /// Bytes of one request.
        item_length: usize,
        /// Bytes after the type.
        length: usize,
    },
}

/// A part of the input, by the specification's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the field of that name in the specification")]
pub enum Field {
    SchemaId,
    StatelessInput,
    NewPayloadRequest,
    ExecutionPayload,
    ExtraData,
    Transactions,
    Withdrawals,
    BlockAccessList,
    VersionedHashes,
    ExecutionRequests,
    Deposits,
    WithdrawalRequests,
    Consolidations,
    BuilderDeposits,
    BuilderExits,
    Witness,
    State,
    Codes,
    Headers,
    PublicKeys,
}

impl Field {
    /// The specification's spelling.
    const fn name(self) -> &'static str {
        match self {
            Self::SchemaId => "schema_id",
            Self::StatelessInput => "stateless_input",
            Self::NewPayloadRequest => "new_payload_request",
            Self::ExecutionPayload => "execution_payload",
            Self::ExtraData => "extra_data",
            Self::Transactions => "transactions",
            Self::Withdrawals => "withdrawals",
            Self::BlockAccessList => "block_access_list",
            Self::VersionedHashes => "versioned_hashes",
            Self::ExecutionRequests => "execution_requests",
            Self::Deposits => "execution_requests.deposits",
            Self::WithdrawalRequests => "execution_requests.withdrawals",
            Self::Consolidations => "execution_requests.consolidations",
            Self::BuilderDeposits => "execution_requests.builder_deposits",
            Self::BuilderExits => "execution_requests.builder_exits",
            Self::Witness => "witness",
            Self::State => "witness.state",
            Self::Codes => "witness.codes",
            Self::Headers => "witness.headers",
            Self::PublicKeys => "public_keys",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

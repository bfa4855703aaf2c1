//! Which wire form: what differs between releases, as one table each.
//!
//! The schema id does not name the encoding: `0x1501` has stood before several.
//! What tells the two current ones apart is the first SSZ offset, since dropping
//! the public keys shortened the fixed part of the input from 20 to 16 bytes.

use super::{DecodeError, Field, reader};

/// Before every input since the id exists: fork `0x15` (Amsterdam), revision `0x01`.
pub(super) const SCHEMA_ID: u16 = 0x1501;

/// A wire form of EXECUTE's input and output, named after a release of the
/// reference's tests (`tests-zkevm@…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// The newest: senders are recovered, the input has no public keys.
    V21_0_1,
    /// With public keys. Releases from v0.8.0 to v21.0.0 share these bytes.
    V21_0_0,
    /// No schema id, 41 bytes of output, bounded lists, plain containers,
    /// requests as raw EIP-7685 entries, and a list of public keys too short to
    /// hold one, which therefore has to be empty.
    V0_3_3,
}

impl Dialect {
    /// Whether an input names the public key of each transaction's sender.
    pub const fn has_public_keys(self) -> bool {
        match self {
            Self::V21_0_0 => true,
            Self::V21_0_1 | Self::V0_3_3 => false,
        }
    }

    /// Whether inputs begin, and outputs end, with the schema id.
    pub const fn has_schema_id(self) -> bool {
        match self {
            Self::V21_0_1 | Self::V21_0_0 => true,
            Self::V0_3_3 => false,
        }
    }

    /// Bytes of an output.
    pub const fn output_length(self) -> usize {
        if self.has_schema_id() { 43 } else { 41 }
    }

    /// Whether the wire has a list of public keys, usable or not.
    pub(super) const fn has_public_key_list(self) -> bool {
        match self {
            Self::V21_0_0 | Self::V0_3_3 => true,
            Self::V21_0_1 => false,
        }
    }

    /// Bytes before the first variable field of the input: its first offset.
    pub(super) const fn fixed_length(self) -> usize {
        if self.has_public_key_list() { 20 } else { 16 }
    }

    /// The limits and merkleization of the dialect.
    pub(super) const fn schema(self) -> &'static Schema {
        match self {
            Self::V21_0_1 | Self::V21_0_0 => &Schema::PROGRESSIVE,
            Self::V0_3_3 => &Schema::BOUNDED,
        }
    }
}

/// Which dialects a decoder accepts.
///
/// An input that belongs to none of them is an error. No dialect is ever tried
/// because another one failed half way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DialectChoice {
    /// Schema id `0x1501`, then [`Dialect::V21_0_1`] or [`Dialect::V21_0_0`] by
    /// the first offset.
    #[default]
    Current,
    /// This one and no other.
    Only(Dialect),
}

impl From<Dialect> for DialectChoice {
    fn from(dialect: Dialect) -> Self {
        Self::Only(dialect)
    }
}

impl DialectChoice {
    /// Bytes of an output, known even if the input does not decode.
    pub const fn output_length(self) -> usize {
        match self {
            Self::Current => Dialect::V21_0_1.output_length(),
            Self::Only(dialect) => dialect.output_length(),
        }
    }

    /// Checks the schema id and says which dialect follows and where it starts.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooShort`], [`DecodeError::SchemaId`], or
    /// [`DecodeError::UnknownDialect`] if the first offset settles nothing.
    pub(super) fn identify(self, input: &[u8]) -> Result<(Dialect, usize), DecodeError> {
        match self {
            Self::Only(dialect) if !dialect.has_schema_id() => Ok((dialect, 0)),
            Self::Only(dialect) => {
                after_schema_id(input)?;
                Ok((dialect, SCHEMA_ID_LENGTH))
            }
            Self::Current => {
                let body = after_schema_id(input)?;
                let first_offset = reader::first_offset(Field::StatelessInput, body)?;
                let known = [Dialect::V21_0_1, Dialect::V21_0_0]
                    .into_iter()
                    .find(|dialect| dialect.fixed_length() == first_offset as usize);
                let dialect = known.ok_or(DecodeError::UnknownDialect { first_offset })?;
                Ok((dialect, SCHEMA_ID_LENGTH))
            }
        }
    }
}

/// Bytes of the schema id.
const SCHEMA_ID_LENGTH: usize = size_of_val(&SCHEMA_ID);

/// What follows the schema id, which on the way in is big-endian.
///
/// # Errors
///
/// [`DecodeError::TooShort`] or [`DecodeError::SchemaId`].
fn after_schema_id(input: &[u8]) -> Result<&[u8], DecodeError> {
    let Some((id, body)) = input.split_first_chunk() else {
        return Err(DecodeError::TooShort {
            field: Field::SchemaId,
            needed: SCHEMA_ID_LENGTH,
            length: input.len(),
        });
    };
    let found = u16::from_be_bytes(*id);
    if found != SCHEMA_ID {
        return Err(DecodeError::SchemaId { found, expected: SCHEMA_ID });
    }
    Ok(body)
}

/// How many items a list may have, which also decides the shape of its tree.
#[derive(Debug, Clone, Copy)]
pub(super) enum Capacity {
    /// `ProgressiveList` of EIP-7916: no limit.
    Progressive,
    /// `List[…, n]`.
    AtMost(usize),
}

impl Capacity {
    /// The limit, if there is one.
    pub(super) const fn limit(self) -> Option<usize> {
        match self {
            Self::Progressive => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

/// How the execution requests are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum RequestForm {
    /// One list of typed containers for each request type.
    Typed,
    /// The EIP-7685 entries as they are: a list of byte strings.
    Raw {
        /// Entries allowed.
        entries: Capacity,
        /// Bytes allowed in one.
        entry: Capacity,
    },
}

/// Limits and merkleization. What has no row here is the same everywhere.
#[derive(Debug)]
pub(super) struct Schema {
    /// Whether payload and requests are progressive containers (EIP-7495).
    pub(super) progressive_containers: bool,
    /// Bytes of `extra_data`.
    pub(super) extra_data: Capacity,
    /// Transactions.
    pub(super) transactions: Capacity,
    /// Bytes of one.
    pub(super) transaction: Capacity,
    /// Withdrawals.
    pub(super) withdrawals: Capacity,
    /// Bytes of the block access list.
    pub(super) block_access_list: Capacity,
    /// Versioned hashes.
    pub(super) versioned_hashes: Capacity,
    /// How requests are written.
    pub(super) requests: RequestForm,
    /// Trie nodes, and bytes of one.
    pub(super) state: (Capacity, usize),
    /// Codes, and bytes of one.
    pub(super) codes: (Capacity, usize),
    /// Headers, and bytes of one.
    pub(super) headers: (Capacity, usize),
}

impl Schema {
    /// Since v0.8.0.
    const PROGRESSIVE: Self = Self {
        progressive_containers: true,
        extra_data: Capacity::AtMost(32),
        transactions: Capacity::Progressive,
        transaction: Capacity::Progressive,
        withdrawals: Capacity::Progressive,
        block_access_list: Capacity::Progressive,
        versioned_hashes: Capacity::Progressive,
        requests: RequestForm::Typed,
        state: (Capacity::Progressive, 1 << 10),
        codes: (Capacity::Progressive, 1 << 16),
        headers: (Capacity::AtMost(256), 1 << 10),
    };

    /// v0.3.3.
    const BOUNDED: Self = Self {
        progressive_containers: false,
        extra_data: Capacity::AtMost(32),
        transactions: Capacity::AtMost(1 << 20),
        transaction: Capacity::AtMost(1 << 30),
        withdrawals: Capacity::AtMost(1 << 16),
        block_access_list: Capacity::AtMost(1 << 24),
        versioned_hashes: Capacity::AtMost(1 << 12),
        requests: RequestForm::Raw { entries: Capacity::AtMost(1 << 4), entry: Capacity::AtMost(1 << 20) },
        state: (Capacity::AtMost(1 << 20), 1 << 20),
        codes: (Capacity::AtMost(1 << 16), 1 << 24),
        headers: (Capacity::AtMost(256), 1 << 10),
    };
}

//! EXECUTE's input and output as bytes: `StatelessInput` and
//! `StatelessValidationResult` of the stateless guest (EIP-8025, EIP-8079).
//!
//! ```text
//!  15 01 ┬─ SSZ(StatelessInput) ────────────────────────────────────────────
//!  id    ├─ new_payload_request ┬─ execution_payload       the block
//!        │                      ├─ versioned_hashes        of its blobs
//!        │                      ├─ parent_beacon_block_root
//!        │                      └─ execution_requests      EIP-7685
//!        ├─ witness ────────────── state, codes, headers
//!        ├─ chain_id
//!        └─ public_keys            not in the newest dialect
//! ```
//!
//! [`decode`] accepts exactly the bytes that [`encode`] produces, within the
//! limits of the [`Dialect`]; `reader.rs` says why no byte of slack is left. It
//! checks nothing about the block: hashes, trie nodes, transactions and access
//! list come out as they came.
//!
//! Read on in `dialect.rs` (what differs), `reader.rs` (how SSZ is read) and
//! `root.rs` (what identifies the block).

mod dialect;
mod error;
mod output;
mod payload;
mod reader;
mod requests;
mod root;
mod writer;

#[cfg(test)]
mod tests;

use alloy_primitives::{B256, Bytes};

pub use self::dialect::{Dialect, DialectChoice};
pub use self::error::{DecodeError, EncodeError, Field};
pub use self::output::StatelessOutput;
pub use self::payload::ExecutionPayload;

use self::dialect::{Capacity, SCHEMA_ID, Schema};
use self::reader::Fixed;
use self::writer::Container;

/// Everything EXECUTE is given, whichever dialect it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatelessInput {
    /// The dialect it came in, or is to be encoded in.
    pub dialect: Dialect,
    /// Chain the block is for.
    pub chain_id: u64,
    /// The block.
    pub payload: ExecutionPayload,
    /// Hashes of the blobs that the block's transactions carry (EIP-4844).
    pub versioned_hashes: Vec<B256>,
    /// Root of the parent beacon block (EIP-4788).
    pub parent_beacon_block_root: B256,
    /// EIP-7685 entries, type byte first, ascending; empty ones have none.
    pub execution_requests: Vec<Bytes>,
    /// What is known of the state before the block.
    pub witness: ExecutionWitness,
    /// Uncompressed key of each transaction's sender, if the dialect has them.
    pub public_keys: Option<Vec<[u8; PUBLIC_KEY_LENGTH]>>,
    /// `hash_tree_root` of the `NewPayloadRequest`, which is everything above but
    /// chain id, witness and keys. [`decode`] sets it; who changes a field calls
    /// [`StatelessInput::hash_new_payload_request`].
    pub new_payload_request_root: B256,
}

/// Trie nodes, codes and headers sent with a block, in the order sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecutionWitness {
    /// RLP of trie nodes.
    pub state: Vec<Bytes>,
    /// Codes of contracts.
    pub codes: Vec<Bytes>,
    /// RLP of the parent header and of older ones, oldest first.
    pub headers: Vec<Bytes>,
}

/// Bytes of an uncompressed public key: `04`, then x and y.
pub const PUBLIC_KEY_LENGTH: usize = 65;

/// Reads an input.
///
/// The bytes are copied once. Who has them in a [`Bytes`] already can save that
/// by [`decode_shared`].
///
/// # Errors
///
/// [`DecodeError`], if the bytes are not the canonical encoding of an input in a
/// dialect of the choice. [`StatelessOutput::undecodable`] is the answer to it.
///
/// # Examples
///
/// ```ignore
/// let input = decode(bytes, DialectChoice::default())?;
/// assert_eq!(encode(&input)?, bytes);
/// ```
pub fn decode(bytes: &[u8], choice: DialectChoice) -> Result<StatelessInput, DecodeError> {
    // A wrong schema id is refused before anything is copied.
    choice.identify(bytes)?;
    decode_shared(&Bytes::copy_from_slice(bytes), choice)
}

/// Reads an input whose byte strings will be windows on `source`.
///
/// # Errors
///
/// As [`decode`].
///
/// # Panics
///
/// Never: requests that were decoded have a root.
pub fn decode_shared(source: &Bytes, choice: DialectChoice) -> Result<StatelessInput, DecodeError> {
    let (dialect, start) = choice.identify(source)?;
    let mut input = StatelessInput::decode_body(source, &source[start..], dialect)?;
    input.new_payload_request_root =
        input.hash_new_payload_request().expect("requests that were decoded are whole and in order");
    Ok(input)
}

/// Writes an input in its dialect.
///
/// Limits are not looked at: what exceeds one is written as it is, and refused by
/// [`decode`].
///
/// # Errors
///
/// [`EncodeError`], if the dialect has no bytes for it.
pub fn encode(input: &StatelessInput) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::new();
    if input.dialect.has_schema_id() {
        out.extend_from_slice(&SCHEMA_ID.to_be_bytes());
    }
    input.encode_body(&mut out)?;
    Ok(out)
}

impl StatelessInput {
    /// The same input in another dialect.
    ///
    /// Public keys are dropped where the dialect has none, and are an empty list
    /// where it has them but this input does not.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], if the dialect has no place for a request.
    pub fn into_dialect(mut self, dialect: Dialect) -> Result<Self, EncodeError> {
        self.dialect = dialect;
        self.public_keys = dialect.has_public_keys().then(|| self.public_keys.unwrap_or_default());
        self.new_payload_request_root = self.hash_new_payload_request()?;
        Ok(self)
    }

    /// Computes the `hash_tree_root` of the `NewPayloadRequest`.
    ///
    /// A list over its limit has no root; for one the result means nothing.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], if the dialect has no place for a request. Inputs that
    /// were decoded and not changed never fail.
    pub fn hash_new_payload_request(&self) -> Result<B256, EncodeError> {
        let schema = self.dialect.schema();
        let hashes = self.versioned_hashes.iter().map(|hash| hash.0);
        let fields = [
            self.payload.root(schema),
            root::list(hashes, schema.versioned_hashes),
            self.parent_beacon_block_root.0,
            requests::root(&self.execution_requests, schema)?,
        ];
        Ok(B256::new(root::container(fields, false)))
    }

    /// Reads what follows the schema id. The root is left to be computed.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], if the bytes are not the canonical encoding.
    fn decode_body(source: &Bytes, bytes: &[u8], dialect: Dialect) -> Result<Self, DecodeError> {
        let (field, length) = (Field::StatelessInput, dialect.fixed_length());
        let [request, witness] = [(0, Field::NewPayloadRequest), (4, Field::Witness)];
        let keys = (16, Field::PublicKeys);
        let (request, witness, keys) = if dialect.has_public_key_list() {
            let offsets = [request, witness, keys];
            let [request, witness, keys] = reader::variable_fields(field, bytes, length, offsets)?;
            (request, witness, keys)
        } else {
            let [request, witness] = reader::variable_fields(field, bytes, length, [request, witness])?;
            (request, witness, &[][..])
        };

        let schema = dialect.schema();
        let mut input = Self::decode_request(source, request, dialect)?;
        input.chain_id = Fixed(&bytes[8..]).u64();
        input.witness = ExecutionWitness::decode(source, witness, schema)?;
        input.public_keys = decode_public_keys(keys, dialect)?;
        Ok(input)
    }

    /// Reads the `NewPayloadRequest`. Nothing else of the input is there yet.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], if the bytes are not the canonical encoding.
    fn decode_request(source: &Bytes, bytes: &[u8], dialect: Dialect) -> Result<Self, DecodeError> {
        let schema = dialect.schema();
        let offsets =
            [(0, Field::ExecutionPayload), (4, Field::VersionedHashes), (40, Field::ExecutionRequests)];
        let [payload, hashes, requests] =
            reader::variable_fields(Field::NewPayloadRequest, bytes, 44, offsets)?;
        let payload = ExecutionPayload::decode(source, payload, schema)?;
        let hashes = reader::fixed_items(Field::VersionedHashes, hashes, schema.versioned_hashes)?;
        Ok(Self {
            dialect,
            chain_id: 0,
            payload,
            versioned_hashes: hashes.iter().copied().map(B256::new).collect(),
            parent_beacon_block_root: B256::new(Fixed(&bytes[8..]).bytes()),
            execution_requests: requests::decode(source, requests, schema)?,
            witness: ExecutionWitness::default(),
            public_keys: None,
            new_payload_request_root: B256::ZERO,
        })
    }

    /// Appends what follows the schema id.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], if the dialect has no bytes for it.
    fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let present = self.public_keys.is_some();
        if present != self.dialect.has_public_keys() {
            return Err(EncodeError::PublicKeys { dialect: self.dialect, present });
        }
        let mut container = Container::new(out);
        let request = container.offset();
        let witness = container.offset();
        container.u64(self.chain_id);
        let keys = self.dialect.has_public_key_list().then(|| container.offset());

        self.encode_request(container.field(request)?)?;
        self.witness.encode(container.field(witness)?)?;
        if let Some(keys) = keys {
            let out = container.field(keys)?;
            out.extend_from_slice(self.public_keys.as_deref().unwrap_or_default().as_flattened());
        }
        Ok(())
    }

    /// Appends the `NewPayloadRequest`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`], if the dialect has no bytes for it.
    fn encode_request(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut container = Container::new(out);
        let payload = container.offset();
        let hashes = container.offset();
        container.fixed(self.parent_beacon_block_root.as_slice());
        let requests = container.offset();

        self.payload.encode(container.field(payload)?)?;
        container.field(hashes)?.extend(self.versioned_hashes.iter().flatten());
        let schema = self.dialect.schema();
        requests::encode(&self.execution_requests, schema, container.field(requests)?)
    }
}

impl ExecutionWitness {
    /// Reads the witness.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], if the bytes are not the canonical encoding.
    fn decode(source: &Bytes, bytes: &[u8], schema: &Schema) -> Result<Self, DecodeError> {
        let offsets = [(0, Field::State), (4, Field::Codes), (8, Field::Headers)];
        let [state, codes, headers] = reader::variable_fields(Field::Witness, bytes, 12, offsets)?;
        let list = |field, bytes, (items, item): (Capacity, usize)| {
            reader::byte_strings(source, field, bytes, items, Some(item))
        };
        Ok(Self {
            state: list(Field::State, state, schema.state)?,
            codes: list(Field::Codes, codes, schema.codes)?,
            headers: list(Field::Headers, headers, schema.headers)?,
        })
    }

    /// Appends the witness.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OffsetTooLarge`].
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let lists = [&self.state, &self.codes, &self.headers];
        let mut container = Container::new(out);
        let slots = lists.map(|_| container.offset());
        for (slot, list) in slots.into_iter().zip(lists) {
            writer::byte_strings(container.field(slot)?, list)?;
        }
        Ok(())
    }
}

/// Reads the list of public keys, if the dialect has a use for it.
///
/// # Errors
///
/// [`DecodeError::PartialItem`], or [`DecodeError::TooLong`] where the list has to
/// be empty.
fn decode_public_keys(
    bytes: &[u8],
    dialect: Dialect,
) -> Result<Option<Vec<[u8; PUBLIC_KEY_LENGTH]>>, DecodeError> {
    let field = Field::PublicKeys;
    if dialect.has_public_keys() {
        let keys = reader::fixed_items(field, bytes, Capacity::Progressive)?;
        Ok(Some(keys.to_vec()))
    } else if bytes.is_empty() {
        Ok(None)
    } else {
        Err(DecodeError::TooLong { field, limit: 0, length: bytes.len() })
    }
}

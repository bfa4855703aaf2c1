//! What EXECUTE answers: `StatelessValidationResult`.
//!
//! ```text
//!  0                          32   33           41          43
//!  ├── new_payload_request_root ┼ ok ┼ chain_id LE ┼ id LE ──┤
//! ```
//!
//! All fields are fixed, so the bytes are always the same many: 43, or 41 in
//! the dialect that has no schema id.

use alloy_primitives::B256;

use super::Dialect;
use super::dialect::{DialectChoice, SCHEMA_ID};

/// The verdict on an input that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatelessOutput {
    /// `hash_tree_root` of the `NewPayloadRequest`: says which block was judged.
    pub root: B256,
    /// Whether the block is valid.
    pub successful: bool,
    /// The chain id the input gave.
    pub chain_id: u64,
    /// The dialect the input was in, and the output will be.
    pub dialect: Dialect,
}

impl StatelessOutput {
    /// The bytes of the output.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.dialect.output_length());
        bytes.extend_from_slice(self.root.as_slice());
        bytes.push(u8::from(self.successful));
        bytes.extend_from_slice(&self.chain_id.to_le_bytes());
        if self.dialect.has_schema_id() {
            bytes.extend_from_slice(&SCHEMA_ID.to_le_bytes());
        }
        bytes
    }

    /// The answer to an input that does not decode: zeros, and nothing else.
    pub fn undecodable(choice: impl Into<DialectChoice>) -> Vec<u8> {
        vec![0; choice.into().output_length()]
    }
}

//! A block in JSON: as a node's RPC gives it, or as RLP in hex.
//!
//! What a node answers can be put in as it came, with its envelope: `{"jsonrpc": "2.0", "id": 1, "result": …}`.
//!
//! What is wrong here is the caller's to mend, and says nothing of the block: transactions of which there are only
//! hashes, or fields that do not hash to the hash they came with.

use std::borrow::Cow;

use alloy_primitives::{B256, hex};
use alloy_rlp::Decodable;
use alloy_rpc_types_eth::BlockTransactions;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::input::InputError;
use crate::block::{Block, SignedTransaction};

/// A block as a node's RPC gives it.
type RpcBlock = alloy_rpc_types_eth::Block<alloy_rpc_types_eth::Transaction<SignedTransaction>>;

/// A block, and what JSON leaves out of it.
#[derive(Debug)]
pub(crate) struct BlockJson {
    /// The block.
    pub(crate) block: Block,
    /// Hashes of ommers that are not in the block, since RPC gives no more of them.
    pub(crate) left_out: Vec<B256>,
}

impl BlockJson {
    /// Reads the block.
    ///
    /// # Errors
    ///
    /// [`InputError::Json`], [`InputError::Answer`], [`InputError::Hex`], [`InputError::Block`],
    /// [`InputError::TransactionHashes`] or [`InputError::BlockHash`].
    pub(crate) fn read(json: &RawValue) -> Result<Self, InputError> {
        let json = opened("block", json)?;
        let invalid = |error: serde_json::Error| InputError::json(&format_args!("block: {error}"));
        if json.get().starts_with('"') {
            let text: Cow<'_, str> = serde_json::from_str(json.get()).map_err(invalid)?;
            let bytes = hex::decode(text.as_ref()).map_err(InputError::Hex)?;
            return Ok(Self { block: decode_whole(&bytes)?, left_out: Vec::new() });
        }
        from_rpc(serde_json::from_str(json.get()).map_err(invalid)?)
    }
}

/// The error in a node's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AnswerError {
    /// Its number.
    code: i64,
    /// What the node said.
    message: String,
}

impl AnswerError {
    /// The error, when `field` holds it.
    pub(super) fn in_field(self, field: &'static str) -> InputError {
        InputError::Answer { field, code: self.code, message: InputError::shortened(self.message) }
    }
}

/// A node's answer. Nothing else in it is kept, however much there is.
#[derive(Deserialize)]
struct Answer<'a> {
    /// What the answer holds.
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    /// Why there is no result.
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// What a node's answer holds; anything else as it is.
fn opened<'a>(field: &'static str, json: &'a RawValue) -> Result<&'a RawValue, InputError> {
    let Ok(answer) = serde_json::from_str::<Answer<'a>>(json.get()) else { return Ok(json) };
    if let Some(error) = answer.error {
        return Err(serde_json::from_str::<AnswerError>(error.get()).unwrap_or_default().in_field(field));
    }
    Ok(answer.result.unwrap_or(json))
}

/// Decodes a block that must take all of `bytes`.
fn decode_whole(bytes: &[u8]) -> Result<Block, InputError> {
    let mut rest = bytes;
    let block = Block::decode(&mut rest).map_err(InputError::Block)?;
    if rest.is_empty() { Ok(block) } else { Err(InputError::Block(alloy_rlp::Error::UnexpectedLength)) }
}

/// The block without what RPC adds to it.
fn from_rpc(block: RpcBlock) -> Result<BlockJson, InputError> {
    if !matches!(block.transactions, BlockTransactions::Full(_)) {
        return Err(InputError::TransactionHashes);
    }
    let claimed = block.header.hash;
    let left_out = block.uncles.clone();
    let block = block.into_consensus().map_transactions(|transaction| transaction.inner.into_inner());
    let computed = block.header.hash_slow();
    if computed != claimed {
        return Err(InputError::BlockHash { computed, claimed });
    }
    Ok(BlockJson { block, left_out })
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use serde_json::{Value, json};

    use super::*;

    /// An empty block, as a node gives it.
    fn empty_block() -> Value {
        let block = alloy_rpc_types_eth::Block::from_consensus(Block::default(), None);
        serde_json::to_value::<RpcBlock>(block.map_transactions(|_: SignedTransaction| unreachable!()))
            .unwrap()
    }

    /// Reads the block.
    fn read(json: Value) -> Result<BlockJson, InputError> {
        BlockJson::read(&to_raw_value(&json).unwrap())
    }

    /// What reading says.
    fn error(json: Value) -> String {
        read(json).unwrap_err().to_string()
    }

    #[test]
    fn an_answer_can_be_put_in_with_its_envelope() {
        let rlp = hex::encode_prefixed(alloy_rlp::encode(Block::default()));
        for block in [empty_block(), rlp.into()] {
            for json in [
                block.clone(),
                json!({"jsonrpc": "2.0", "id": 1, "result": block}),
                json!({"error": null, "result": block}),
            ] {
                assert_eq!(read(json).unwrap().block, Block::default());
            }
        }
    }

    #[test]
    fn an_answer_that_is_an_error_says_so() {
        let answer = json!({"jsonrpc": "2.0", "error": {"code": -32601, "message": "no such method"}});
        assert_eq!(error(answer), "block: the node answered with error -32601: no such method");
        assert_eq!(error(json!({"error": "odd"})), "block: the node answered with error 0: ");
        let long = json!({"error": {"code": 1, "message": "é".repeat(10_000)}});
        assert!(error(long).len() < 1_000);
    }

    /// The parser quotes what it did not expect.
    #[test]
    fn a_message_is_short_however_long_the_block_is() {
        assert!(error(json!({"uncles": "é".repeat(10_000)})).len() < 1_000);
    }

    #[test]
    fn hashes_of_transactions_are_not_transactions() {
        let mut block = empty_block();
        block["transactions"] = json!([B256::ZERO]);
        assert!(error(block.clone()).contains("only the hashes of its transactions"));
        block.as_object_mut().unwrap().remove("transactions");
        assert!(error(block).contains("only the hashes of its transactions"));
    }

    #[test]
    fn a_block_must_hash_to_the_hash_it_came_with() {
        let mut block = empty_block();
        let computed = Block::default().header.hash_slow();
        block["hash"] = json!(B256::repeat_byte(7));
        let error = error(block);
        assert!(error.contains(&computed.to_string()), "{error}");
        assert!(error.contains(&B256::repeat_byte(7).to_string()), "{error}");
    }
}

//! A block with the witness that a node gives for it, as JSON.
//!
//! The witness is what `debug_executionWitness` returns: `{state, codes, headers, keys?}`, headers as RLP, oldest
//! first (reth), or as objects, parent first (geth). Around it stand the block, as RLP or as `eth_getBlockByNumber`
//! returns it with whole transactions, and the chain id:
//!
//! ```json
//! {"chainId": 1, "block": "0xf9…", "witness": {"state": ["0xf8…"], "codes": [], "headers": ["0xf9…"]}}
//! ```
//!
//! Block and witness may stand in the envelope in which the node sent them (`{"jsonrpc": "2.0", "result": …}`).
//!
//! Where no header is at hand, `preStateRoot` (and `blockHashes`, from the parent's back) stand for
//! them: the caller then vouches for the pre-state, and the block is not compared with its parent.

use alloy_consensus::Header;
use alloy_genesis::ChainConfig;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::block_json::{AnswerError, BlockJson};
use super::input::{self, InputError};
use super::json;
use super::wire::ExecutionWitness;
use crate::block::Block;
use crate::chain::Chain;
use crate::error::WitnessError;
use crate::pre_state::Ancestors;

/// The largest chain configuration that is read, in bytes of JSON.
const CONFIG_SIZE_MAX: usize = 1 << 20;

/// A block with its witness.
#[derive(Debug)]
#[non_exhaustive]
pub struct BlockWitness {
    /// The chain the block is of.
    pub chain: Chain,
    /// The block.
    pub block: Block,
    /// Nodes, codes, headers.
    pub witness: ExecutionWitness,
    /// Stands for the parent where the witness has no headers.
    pub parent: Option<TrustedParent>,
}

/// What the caller vouches for where no header is at hand.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TrustedParent {
    /// State root of the parent.
    pub pre_state_root: B256,
    /// Hashes of the last ancestors, from the parent's back.
    pub block_hashes: Vec<B256>,
}

impl TrustedParent {
    /// The ancestors of the block with this header.
    ///
    /// # Errors
    ///
    /// [`WitnessError::ParentHash`] if the first is not the parent that the header names.
    pub(super) fn ancestors(&self, header: &Header) -> Result<Ancestors, WitnessError> {
        match self.block_hashes.first() {
            Some(&found) if found != header.parent_hash => {
                Err(WitnessError::ParentHash { expected: header.parent_hash, found })
            }
            _ => Ok((0..header.number).rev().zip(self.block_hashes.iter().copied()).collect()),
        }
    }
}

impl BlockWitness {
    /// A block of `chain` with its witness, whose last header is the parent's.
    pub fn new(chain: Chain, block: Block, witness: ExecutionWitness) -> Self {
        Self { chain, block, witness, parent: None }
    }

    /// Reads the JSON; `chain` is asked for, and goes before a configuration in the file.
    ///
    /// # Errors
    ///
    /// [`InputError`], but for [`InputError::Wire`].
    pub fn from_json(json: &[u8], chain: Option<&Chain>) -> Result<Self, InputError> {
        let file: File<'_> = json::parse(json)?;
        let chain_id = file.chain_id.map(|Number(id)| id);
        let chain = match (chain, file.config) {
            (Some(chain), _) => input::asked_for(chain, chain_id)?.clone(),
            (None, Some(config)) => Chain::from_config(&read_config(config)?),
            (None, None) => chain_id.and_then(Chain::built_in).ok_or(InputError::UnknownChain(chain_id))?,
        };
        let BlockJson { block, left_out } = BlockJson::read(file.block)?;
        // Ommers are rewarded, so without them the post-state cannot come out right.
        if !left_out.is_empty() {
            return Err(InputError::Ommers);
        }
        let witness = file.witness.opened()?;
        let block_hashes = file.block_hashes.unwrap_or_default();
        let parent = file.pre_state_root.map(|pre_state_root| TrustedParent { pre_state_root, block_hashes });
        Ok(Self { chain, block, witness, parent })
    }
}

/// The chain configuration. What it says that nobody knows is kept as well, and could be anything.
fn read_config(json: &RawValue) -> Result<ChainConfig, InputError> {
    if json.get().len() > CONFIG_SIZE_MAX {
        return Err(InputError::Json(format!("config: larger than {CONFIG_SIZE_MAX} bytes")));
    }
    serde_json::from_str(json.get()).map_err(|error| InputError::json(&error))
}

/// The headers with the parent's last. geth names the parent first.
fn oldest_first(mut headers: Vec<Bytes>) -> Vec<Bytes> {
    let number = |rlp: Option<&Bytes>| Header::decode(&mut rlp?.as_ref()).ok().map(|header| header.number);
    if number(headers.first()) > number(headers.last()) {
        headers.reverse();
    }
    headers
}

/// The JSON file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    /// Chain id.
    chain_id: Option<Number>,
    /// A geth-style chain configuration.
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    /// The block.
    #[serde(borrow)]
    block: &'a RawValue,
    /// The witness; `result` is its name in a JSON-RPC answer.
    #[serde(borrow, alias = "executionWitness", alias = "result")]
    witness: WitnessJson<'a>,
    /// State root of the parent.
    pre_state_root: Option<B256>,
    /// Hashes of ancestors, from the parent's back.
    block_hashes: Option<Vec<B256>>,
}

/// An execution witness, or a node's answer that holds one. Whatever else it holds (`keys`) is not needed.
///
/// An answer is told by its fields, not tried first: a witness is megabytes.
#[derive(Deserialize)]
struct WitnessJson<'a> {
    /// RLP of trie nodes.
    state: Option<Vec<Bytes>>,
    /// Codes.
    codes: Option<Vec<Bytes>>,
    /// Headers, oldest first or parent first.
    #[serde(borrow, default)]
    headers: Vec<&'a RawValue>,
    /// What the answer holds.
    #[serde(borrow)]
    result: Option<Box<WitnessJson<'a>>>,
    /// Why there is no result.
    error: Option<AnswerError>,
}

impl WitnessJson<'_> {
    /// The witness.
    fn opened(self) -> Result<ExecutionWitness, InputError> {
        if let Some(error) = self.error {
            return Err(error.in_field("witness"));
        }
        if let Some(result) = self.result {
            return result.opened();
        }
        let missing = |field| InputError::Json(format!("witness: missing field `{field}`"));
        Ok(ExecutionWitness {
            state: self.state.ok_or_else(|| missing("state"))?,
            codes: self.codes.ok_or_else(|| missing("codes"))?,
            headers: oldest_first(self.headers.into_iter().map(header_rlp).collect::<Result<_, _>>()?),
        })
    }
}

/// The RLP of a header in either form.
fn header_rlp(json: &RawValue) -> Result<Bytes, InputError> {
    let invalid = |error: serde_json::Error| InputError::json(&format_args!("witness: header: {error}"));
    if json.get().starts_with('"') {
        return serde_json::from_str(json.get()).map_err(invalid);
    }
    let header: Header = serde_json::from_str(json.get()).map_err(invalid)?;
    let mut rlp = Vec::with_capacity(header.length());
    header.encode(&mut rlp);
    Ok(rlp.into())
}

/// A number, as JSON number or as hex or decimal text.
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<'a> {
            Number(u64),
            Text(std::borrow::Cow<'a, str>),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16),
                None => text.parse(),
            }
            .map(Self)
            .map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// reth gives the oldest first, geth the parent first.
    #[test]
    fn headers_come_in_either_order() {
        let header = |number| Bytes::from(alloy_rlp::encode(Header { number, ..Header::default() }));
        let expected: Vec<Bytes> = [7, 8, 9].map(header).into();
        assert_eq!(oldest_first(expected.clone()), expected);
        assert_eq!(oldest_first(expected.iter().rev().cloned().collect()), expected);
        assert_eq!(oldest_first(Vec::new()), Vec::<Bytes>::new());
    }

    /// A file with this witness.
    fn file(witness: &str) -> Result<BlockWitness, InputError> {
        file_for(witness, None)
    }

    /// The same, read by someone who has asked for a chain.
    fn file_for(witness: &str, chain: Option<&Chain>) -> Result<BlockWitness, InputError> {
        let block = alloy_primitives::hex::encode_prefixed(alloy_rlp::encode(Block::default()));
        let json = format!(r#"{{"chainId": 1, "block": "{block}", "witness": {witness}}}"#);
        BlockWitness::from_json(json.as_bytes(), chain)
    }

    #[test]
    fn another_chain_than_the_one_asked_for_is_an_error() {
        let witness = r#"{"state": [], "codes": []}"#;
        assert!(file_for(witness, Some(&Chain::mainnet())).is_ok());
        let hoodi = Chain::built_in(560_048).unwrap();
        let error = file_for(witness, Some(&hoodi)).unwrap_err();
        assert_eq!(error, InputError::ChainId { found: 1, expected: 560_048 });
    }

    #[test]
    fn a_witness_may_stand_in_its_envelope() {
        let witness = r#"{"state": ["0x80"], "codes": ["0x00"], "keys": [], "headers": []}"#;
        let plain = file(witness).unwrap().witness;
        assert_eq!((plain.state.len(), plain.codes.len()), (1, 1));
        let answer = format!(r#"{{"jsonrpc": "2.0", "id": 1, "result": {witness}, "error": null}}"#);
        assert_eq!(file(&answer).unwrap().witness, plain);
    }

    #[test]
    fn a_witness_that_is_an_error_or_lacks_a_part_says_so() {
        let error = |witness| file(witness).unwrap_err().to_string();
        let answer = r#"{"jsonrpc": "2.0", "error": {"code": -32000, "message": "unknown block"}}"#;
        assert_eq!(error(answer), "witness: the node answered with error -32000: unknown block");
        assert_eq!(error(r#"{"codes": []}"#), "JSON: witness: missing field `state`");
        assert_eq!(error(r#"{"state": []}"#), "JSON: witness: missing field `codes`");
    }
}

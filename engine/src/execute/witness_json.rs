//! A block with the witness that a node gives for it, as JSON.
//!
//! The witness is what `debug_executionWitness` returns: `{state, codes, headers, keys?}`, headers as RLP, oldest
//! first (reth), or as objects, parent first (geth). Around it stand the block, as RLP or as `eth_getBlockByNumber` returns it with whole
//! transactions, and the chain id:
//!
//! ```json
//! {"chainId": 1, "block": "0xf9…", "witness": {"state": ["0xf8…"], "codes": [], "headers": ["0xf9…"]}}
//! ```
//!
//! Where no header is at hand, `preStateRoot` (and `blockHashes`, from the parent's back) stand for
//! them: the caller then vouches for the pre-state, and the block is not compared with its parent.

use alloy_consensus::Header;
use alloy_genesis::ChainConfig;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use serde::Deserialize;

use super::input::InputError;
use super::wire::ExecutionWitness;
use crate::block::{Block, SignedTransaction};
use crate::chain::Chain;
use crate::error::WitnessError;
use crate::pre_state::Ancestors;

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
    /// [`WitnessError::HeaderChain`] if the first is not the parent that the header names.
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

    /// Reads the JSON; `chain` goes before the chain that the file names.
    ///
    /// # Errors
    ///
    /// [`InputError::Json`], [`InputError::Block`], [`InputError::Ommers`] or [`InputError::UnknownChain`].
    pub fn from_json(json: &[u8], chain: Option<&Chain>) -> Result<Self, InputError> {
        let file: File = serde_json::from_slice(json).map_err(|error| InputError::json(&error))?;
        let chain_id = file.chain_id.map(|Number(id)| id);
        let chain = match (chain, file.config) {
            (Some(chain), _) => chain.clone(),
            (None, Some(config)) => Chain::from_config(&config),
            (None, None) => chain_id.and_then(Chain::built_in).ok_or(InputError::UnknownChain(chain_id))?,
        };
        let block = match file.block {
            BlockJson::Rlp(bytes) => decode_whole(&bytes)?,
            // Ommers are rewarded, so without them the post-state cannot come out right.
            BlockJson::Rpc(block) if !block.uncles.is_empty() => return Err(InputError::Ommers),
            BlockJson::Rpc(block) => from_rpc(*block),
        };
        let headers = oldest_first(file.witness.headers.into_iter().map(HeaderJson::into_rlp).collect());
        let witness = ExecutionWitness { state: file.witness.state, codes: file.witness.codes, headers };
        let block_hashes = file.block_hashes.unwrap_or_default();
        let parent = file.pre_state_root.map(|pre_state_root| TrustedParent { pre_state_root, block_hashes });
        Ok(Self { chain, block, witness, parent })
    }
}

/// The headers with the parent's last. geth names the parent first.
fn oldest_first(mut headers: Vec<Bytes>) -> Vec<Bytes> {
    let number = |rlp: Option<&Bytes>| Header::decode(&mut rlp?.as_ref()).ok().map(|header| header.number);
    if number(headers.first()) > number(headers.last()) {
        headers.reverse();
    }
    headers
}

/// Decodes a block that must take all of `bytes`.
fn decode_whole(bytes: &[u8]) -> Result<Block, InputError> {
    let mut rest = bytes;
    let block = Block::decode(&mut rest).map_err(InputError::Block)?;
    if rest.is_empty() { Ok(block) } else { Err(InputError::Block(alloy_rlp::Error::UnexpectedLength)) }
}

/// A block as a node's RPC gives it.
pub(crate) type RpcBlock = alloy_rpc_types_eth::Block<alloy_rpc_types_eth::Transaction<SignedTransaction>>;

/// The block without what RPC adds to it, and without its ommers, of which RPC names the hashes only.
pub(crate) fn from_rpc(block: RpcBlock) -> Block {
    block.into_consensus().map_transactions(|transaction| transaction.inner.into_inner())
}

/// The JSON file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    /// Chain id.
    chain_id: Option<Number>,
    /// A geth-style chain configuration.
    config: Option<ChainConfig>,
    /// The block.
    block: BlockJson,
    /// The witness; `result` is its name in a JSON-RPC answer.
    #[serde(alias = "executionWitness", alias = "result")]
    witness: WitnessJson,
    /// State root of the parent.
    pre_state_root: Option<B256>,
    /// Hashes of ancestors, from the parent's back.
    block_hashes: Option<Vec<B256>>,
}

/// A block in either form.
#[derive(Deserialize)]
#[serde(untagged)]
enum BlockJson {
    /// RLP.
    Rlp(Bytes),
    /// As RPC gives it.
    Rpc(Box<RpcBlock>),
}

/// An execution witness. Whatever else it holds (`keys`) is not needed.
#[derive(Deserialize)]
struct WitnessJson {
    /// RLP of trie nodes.
    state: Vec<Bytes>,
    /// Codes.
    codes: Vec<Bytes>,
    /// Headers, oldest first or parent first.
    #[serde(default)]
    headers: Vec<HeaderJson>,
}

/// A header in either form.
#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderJson {
    /// RLP.
    Rlp(Bytes),
    /// As geth gives it.
    Object(Box<Header>),
}

impl HeaderJson {
    /// The header's RLP.
    fn into_rlp(self) -> Bytes {
        match self {
            Self::Rlp(bytes) => bytes,
            Self::Object(header) => {
                let mut rlp = Vec::with_capacity(header.length());
                header.encode(&mut rlp);
                rlp.into()
            }
        }
    }
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
}

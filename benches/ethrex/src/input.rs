//! One witness file, read and decoded before any clock runs.
//!
//! The file is JSON: the block in RLP, the witness as lists of hex strings, and
//! the values to expect. Some files have no header of the parent, only the
//! state root before the block and the hashes of its ancestors; for these a
//! parent is made up that the block may follow.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use ethrex_common::{
    H256,
    constants::GAS_PER_BLOB,
    types::{
        Block, BlockHeader, ChainConfig, ELASTICITY_MULTIPLIER,
        block_execution_witness::{RpcExecutionWitness, decode_witness_headers},
    },
};
use ethrex_rlp::{decode::RLPDecode, encode::RLPEncode};
use serde::Deserialize;

use crate::chain::chain_config;

/// What the path needs, decoded; [`Input::job`] copies it for each run.
#[derive(Debug)]
pub struct Input {
    /// The block, still in RLP: each run decodes its own.
    block_rlp: Vec<u8>,
    /// Nodes, codes and headers.
    witness: RpcExecutionWitness,
    /// The witness' headers, decoded; the parent is among them.
    headers: Vec<BlockHeader>,
    /// Hashes of ancestors by number, if the parent is made up.
    known_hashes: Option<Arc<BTreeMap<u64, H256>>>,
    /// Forks of the block's chain.
    chain_config: ChainConfig,
    /// The state root that must come out.
    pub state_root: H256,
    /// The gas that must have been used.
    pub gas_used: u64,
}

/// One run's own copy of the input.
///
/// ethrex keeps hashes and senders inside headers and transactions. A block
/// that has run once is therefore faster the second time, and never used twice
/// here.
#[derive(Debug)]
pub struct Job {
    /// The block, freshly decoded.
    pub block: Block,
    /// Nodes, codes and headers.
    pub witness: RpcExecutionWitness,
    /// The witness' headers, decoded.
    pub headers: Vec<BlockHeader>,
    /// Hashes of ancestors by number, if the parent is made up.
    pub known_hashes: Option<Arc<BTreeMap<u64, H256>>>,
    /// Forks of the block's chain.
    pub chain_config: ChainConfig,
}

impl Input {
    /// Reads and decodes a witness file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not a witness file of a known chain.
    pub fn read(path: &Path) -> Result<Self> {
        let json = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_json(&json)
    }

    /// Decodes a witness file.
    ///
    /// # Errors
    ///
    /// If it is none, or of an unknown chain.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let file: WitnessFile = serde_json::from_slice(json).context("not a witness file")?;
        let block_rlp = hex::decode(file.block.trim_start_matches("0x")).context("block")?;
        let block = Block::decode(&block_rlp).context("block")?;

        let mut witness = file.witness;
        // The path does not read them; so it need not free them either.
        witness.keys.clear();
        let mut headers = decode_witness_headers(&witness.headers)?;
        let mut known_hashes = None;
        if headers.is_empty() {
            let hashes = hashes_by_number(block.header.number, &file.block_hashes);
            ensure!(!hashes.is_empty(), "the file has neither headers nor block hashes");
            let parent = plausible_parent(&block.header, file.pre_state_root, &file.block_hashes);
            witness.headers = vec![parent.encode_to_vec().into()];
            headers = vec![parent];
            known_hashes = Some(Arc::new(hashes));
        }

        Ok(Self {
            block_rlp,
            witness,
            headers,
            known_hashes,
            chain_config: chain_config(file.chain_id)?,
            state_root: file.state_root,
            gas_used: file.gas_used,
        })
    }

    /// A copy for one run.
    ///
    /// # Errors
    ///
    /// If the block does not decode; [`Input::read`] has seen that it does.
    pub fn job(&self) -> Result<Job> {
        Ok(Job {
            block: Block::decode(&self.block_rlp)?,
            witness: self.witness.clone(),
            headers: self.headers.clone(),
            known_hashes: self.known_hashes.clone(),
            chain_config: self.chain_config,
        })
    }
}

/// The file, field by field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WitnessFile {
    /// 1 or 560048.
    chain_id: u64,
    /// The block in RLP, as hex.
    block: String,
    /// Nodes, codes and headers.
    witness: RpcExecutionWitness,
    /// State root before the block.
    pre_state_root: H256,
    /// State root after the block.
    state_root: H256,
    /// Gas used by the block.
    gas_used: u64,
    /// Hashes of the ancestors, the parent's first; only where headers lack.
    #[serde(default)]
    block_hashes: Vec<H256>,
}

/// Gives each ancestor's hash its number.
fn hashes_by_number(block_number: u64, block_hashes: &[H256]) -> BTreeMap<u64, H256> {
    (0..block_number).rev().zip(block_hashes.iter().copied()).collect()
}

/// A parent that `child` may follow: full to the target in gas and blobs, so
/// that neither the base fee nor the excess of blob gas changes.
///
/// Such files exist for Prague only. From Osaka on the excess of blob gas also
/// depends on the base fee, and this parent might not do.
fn plausible_parent(child: &BlockHeader, state_root: H256, block_hashes: &[H256]) -> BlockHeader {
    /// Blobs per block that leave the excess as it is, in Prague.
    const BLOB_TARGET: u64 = 6;
    BlockHeader {
        parent_hash: block_hashes.get(1).copied().unwrap_or_default(),
        state_root,
        number: child.number - 1,
        gas_limit: child.gas_limit,
        gas_used: child.gas_limit / ELASTICITY_MULTIPLIER,
        timestamp: child.timestamp - 12,
        base_fee_per_gas: child.base_fee_per_gas,
        withdrawals_root: child.withdrawals_root,
        blob_gas_used: child.blob_gas_used.map(|_| BLOB_TARGET * u64::from(GAS_PER_BLOB)),
        excess_blob_gas: child.excess_blob_gas,
        parent_beacon_block_root: child.parent_beacon_block_root,
        requests_hash: child.requests_hash,
        ..BlockHeader::default()
    }
}

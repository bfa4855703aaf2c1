//! One block verified from its witness, by ethrex, stage by stage.
//!
//! The order and the checks are those of ethrex's guest program. Two things
//! differ, and neither changes what is computed: senders are recovered one step
//! early, so that they can be timed apart (execution then finds them in the
//! transactions), and what a run leaves behind is freed after the clock stops.
//!
//! ```text
//!  nodes, codes ─► tries ─► header, body ─► senders ─► EVM ─► tries ─► receipts
//!  └───── witness ──────┘ └ validation ─┘            └ exe ─┘└ root ┘
//! ```

use std::{collections::BTreeMap, slice, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use ethrex_common::{
    Address, H256, U256,
    types::{
        AccountState, Block, BlockHeader, ChainConfig, Code, CodeMetadata, ELASTICITY_MULTIPLIER,
        GLOBAL_SIGNER_CACHE, block_execution_witness::GuestProgramState, validate_block_body,
    },
    validate_block_access_list_hash, validate_block_pre_execution, validate_gas_used,
    validate_receipts_root_and_logs_bloom, validate_requests_hash,
};
use ethrex_crypto::NativeCrypto;
use ethrex_vm::{Evm, EvmError, GuestProgramStateWrapper, VmDatabase};

use crate::{
    input::Job,
    stages::{Stages, Stopwatch},
};

/// What one run found, and how long it took.
#[derive(Debug)]
pub struct Outcome {
    /// Times of the stages.
    pub stages: Stages,
    /// State root after the block; equals the header's.
    pub state_root: H256,
    /// Gas used by the block; equals the header's.
    pub gas_used: u64,
}

/// Forgets the senders that earlier runs have recovered.
///
/// ethrex keeps them for the life of the process, by transaction hash. Without
/// this every run but the first would recover none.
pub fn forget_senders() {
    GLOBAL_SIGNER_CACHE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
}

/// Verifies the block of `job`. Must run inside the thread pool whose threads
/// are to recover the senders.
///
/// # Errors
///
/// If the witness does not fit the parent, or the block is not valid.
pub fn verify(job: Job) -> Result<Outcome> {
    let Job { block, witness, headers, known_hashes, chain_config } = job;
    let crypto = Arc::new(NativeCrypto);
    let mut stages = Stages::default();
    let mut stopwatch = Stopwatch::start();

    let witness =
        witness.into_execution_witness(chain_config, block.header.number, &headers, crypto.as_ref())?;
    let state = GuestProgramState::from_witness(witness, crypto.as_ref())?;
    let mut state = GuestProgramStateWrapper::new(state, crypto.clone());
    let parent = match &known_hashes {
        None => checked_parent(&state, &block)?,
        Some(hashes) => made_up_parent(&state, &block, hashes)?,
    };
    ensure!(state.state_trie_root()? == parent.state_root, "the witness is of another state");
    stages.witness = stopwatch.lap();

    validate_block_body(&block.header, &block.body, crypto.as_ref())?;
    validate_block_pre_execution(&block, &parent, &chain_config, ELASTICITY_MULTIPLIER)?;
    stages.validation = stopwatch.lap();

    block
        .body
        .get_transactions_with_sender(crypto.as_ref())
        .map_err(|error| anyhow!("a sender cannot be recovered: {error}"))?;
    stages.senders = stopwatch.lap();

    let mut evm = match known_hashes {
        None => Evm::new_for_l1(state.clone(), crypto.clone()),
        Some(hashes) => Evm::new_for_l1(KnownHashes { state: state.clone(), hashes }, crypto.clone()),
    };
    let (result, access_list) = evm.execute_block(&block)?;
    let changes = evm.get_state_transitions()?;
    stages.execution = stopwatch.lap();

    state.apply_account_updates(&changes)?;
    let state_root = state.state_trie_root()?;
    ensure!(state_root == block.header.state_root, "state root {state_root:#x} is not the header's");
    stages.root = stopwatch.lap();

    validate_gas_used(result.block_gas_used, &block.header)?;
    validate_receipts_root_and_logs_bloom(&block.header, &result.receipts, crypto.as_ref())?;
    validate_requests_hash(&block.header, &chain_config, &result.requests)?;
    if let Some(access_list) = &access_list {
        let transactions = block.body.transactions.len();
        validate_block_access_list_hash(
            &block.header,
            &chain_config,
            access_list,
            transactions,
            crypto.as_ref(),
        )?;
    }
    stages.receipts = stopwatch.lap();

    Ok(Outcome { stages, state_root, gas_used: result.block_gas_used })
}

/// The parent's header, after a check that the witness' headers form a chain.
fn checked_parent(state: &GuestProgramStateWrapper, block: &Block) -> Result<BlockHeader> {
    state.initialize_block_header_hashes(slice::from_ref(block))?;
    if let Some(number) = state.get_first_invalid_block_hash()? {
        return Err(anyhow!("header {number} is not the parent of the next"));
    }
    Ok(state.get_block_parent_header(block.header.number)?)
}

/// The made-up parent, under the hash that the block names.
fn made_up_parent(
    state: &GuestProgramStateWrapper,
    block: &Block,
    hashes: &BTreeMap<u64, H256>,
) -> Result<BlockHeader> {
    let parent = state.get_block_parent_header(block.header.number)?;
    let hash = *hashes.get(&parent.number).context("the parent's hash is not known")?;
    parent.hash.set(hash).map_err(|_| anyhow!("the parent has been hashed already"))?;
    Ok(parent)
}

/// A state whose ancestors are known by their hashes alone.
#[derive(Clone)]
struct KnownHashes {
    /// Everything but the hashes.
    state: GuestProgramStateWrapper,
    /// Block hashes by number.
    hashes: Arc<BTreeMap<u64, H256>>,
}

impl VmDatabase for KnownHashes {
    fn get_account_state(&self, address: Address) -> Result<Option<AccountState>, EvmError> {
        self.state.get_account_state(address)
    }

    fn get_storage_slot(&self, address: Address, key: H256) -> Result<Option<U256>, EvmError> {
        self.state.get_storage_slot(address, key)
    }

    fn get_block_hash(&self, block_number: u64) -> Result<H256, EvmError> {
        let hash = self.hashes.get(&block_number).copied();
        hash.ok_or_else(|| EvmError::DB(format!("no hash of block {block_number}")))
    }

    fn get_chain_config(&self) -> Result<ChainConfig, EvmError> {
        self.state.get_chain_config()
    }

    fn get_account_code(&self, code_hash: H256) -> Result<Code, EvmError> {
        self.state.get_account_code(code_hash)
    }

    fn get_code_metadata(&self, code_hash: H256) -> Result<CodeMetadata, EvmError> {
        self.state.get_code_metadata(code_hash)
    }
}

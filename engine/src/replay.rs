//! Blocks with a plain pre-state: no tries, so no state root can be had.
//!
//! Gas used, and from Byzantium on receipts root and bloom, are compared with the header's. Before Byzantium
//! receipts hold state roots, so only gas used and bloom are.

use std::collections::BTreeMap;
use std::time::Instant;

use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::block::{Block, ReadyBlock};
use crate::chain::Chain;
use crate::error::{BlockError, ExecuteError};
use crate::execute::{
    BlockJson, Computation, InputError, Number, Options, Verdict, asked_for, check_alone, check_gas, compare,
    execute_block, json,
};
use crate::outcome::ReceiptsSummary;
use crate::pre_state::{Ancestors, PlainAccount, PlainState};

/// A block with its plain pre-state.
#[derive(Debug)]
pub struct PlainBlock {
    /// The chain it is of.
    chain: Chain,
    /// The block.
    block: Block,
    /// The state before it.
    pre_state: PlainState,
}

/// The JSON file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    /// Chain id; mainnet if it is left out.
    chain_id: Option<Number>,
    /// The block as `eth_getBlockByNumber` returns it, with whole transactions, or as RLP.
    #[serde(borrow)]
    block: &'a RawValue,
    /// All accounts and slots that the block reads.
    pre_state: AddressMap<AccountJson>,
    /// Hashes of ancestors, by number in decimal.
    #[serde(default)]
    block_hashes: BTreeMap<String, B256>,
}

/// An account of the pre-state.
#[derive(Deserialize)]
struct AccountJson {
    /// Wei.
    balance: U256,
    /// Nonce.
    nonce: Number,
    /// Code, if it is a contract.
    code: Option<Bytes>,
    /// Slots.
    #[serde(default)]
    storage: HashMap<U256, U256>,
}

impl PlainBlock {
    /// Reads `{chainId?, block, preState, blockHashes?}`; `chain` is asked for, if the file does not say.
    ///
    /// # Errors
    ///
    /// [`InputError`], but for [`InputError::Wire`].
    pub fn from_json(json: &[u8], chain: Option<&Chain>) -> Result<Self, InputError> {
        let file: File<'_> = json::parse(json)?;
        let chain_id = file.chain_id.map(|Number(id)| id);
        let chain = match chain {
            Some(chain) => asked_for(chain, chain_id)?.clone(),
            None => Chain::built_in(chain_id.unwrap_or(1)).ok_or(InputError::UnknownChain(chain_id))?,
        };
        let hashes = file.block_hashes.into_iter().map(|(number, hash)| Ok((number.parse::<u64>()?, hash)));
        let ancestors: Result<Ancestors, std::num::ParseIntError> = hashes.collect();
        let ancestors = ancestors.map_err(|error| InputError::json(&error))?;
        // Ommers that are left out change the state only, of which nothing is compared.
        let BlockJson { block, .. } = BlockJson::read(file.block)?;
        Ok(Self { chain, block, pre_state: plain_state(file.pre_state, ancestors) })
    }

    /// The chain, the block and the state before it.
    pub fn into_parts(self) -> (Chain, Block, PlainState) {
        (self.chain, self.block, self.pre_state)
    }

    /// Runs the block and compares what can be compared.
    pub fn run(&self, options: &Options) -> Verdict {
        options.install(|| {
            let Block { header, body } = &self.block;
            let mut verdict =
                Verdict::open(self.chain.id, header.number, header.hash_slow(), body.transactions.len());
            verdict.error = self.judge(options, &mut verdict).err();
            verdict
        })
    }

    /// Runs the block; `verdict` learns what was computed.
    fn judge(&self, options: &Options, verdict: &mut Verdict) -> Result<(), ExecuteError> {
        let Block { header, .. } = &self.block;
        let rules = self.chain.rules_at(header.number, header.timestamp);
        check_alone(&rules, header).map_err(BlockError::Header)?;
        let start = Instant::now();
        let ready = ReadyBlock::with_recovery(&rules, &self.block, None, options.recovery)?;
        verdict.stages.senders = start.elapsed();
        let start = Instant::now();
        let (outcome, counters) = execute_block(&ready, &self.pre_state, options);
        verdict.stages.execution = start.elapsed();
        verdict.counters = counters;
        let outcome = outcome?;
        verdict.computed.gas_used = Some(outcome.gas_used);
        check_gas(header, &outcome)?;
        let start = Instant::now();
        let computed = outcome.summarize_receipts();
        verdict.stages.receipts = start.elapsed();
        let rooted = rules.has(SpecId::BYZANTIUM);
        verdict.computed.receipts_root = rooted.then_some(computed.root);
        let root = if rooted { computed.root } else { header.receipts_root };
        let receipts = ReceiptsSummary { root, bloom: computed.bloom };
        let outcome = verdict.outcome.insert(outcome);
        Ok(compare(header, &Computation { outcome, state_root: None, receipts: Some(receipts) })?)
    }
}

/// The accounts of a file as a state.
fn plain_state(accounts: AddressMap<AccountJson>, ancestors: Ancestors) -> PlainState {
    let mut codes = Vec::new();
    let mut account = |(address, account): (Address, AccountJson)| {
        let AccountJson { balance, nonce: Number(nonce), code, storage } = account;
        let code = code.unwrap_or_default();
        let info = AccountInfo { balance, nonce, code_hash: keccak256(&code), ..AccountInfo::default() };
        codes.push(code);
        (address, PlainAccount { info: info.without_code(), storage })
    };
    let accounts = accounts.into_iter().map(&mut account).collect();
    PlainState::new(accounts, &codes, ancestors)
}

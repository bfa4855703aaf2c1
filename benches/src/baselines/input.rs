//! A workload, as the baselines take it.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_evm::block::calc;
use alloy_evm::{EvmEnv, FromRecoveredTx};
use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, Bytes};
use anyhow::Context as _;
use rayon::prelude::*;
use revm::context::TxEnv;
use revm::primitives::hardfork::SpecId;
use weft_engine::pre_state::PlainState;
use weft_engine::{Rules, SignedTransaction};

use crate::scene::Workload;

/// A workload, as the baselines take it: all that does not depend on the state is done.
#[derive(Debug)]
pub struct Input<'a> {
    /// The state before the block.
    pub(crate) pre_state: &'a PlainState,
    /// revm's configuration and block environment.
    pub(crate) env: EvmEnv<SpecId>,
    /// Transactions, in order.
    pub(crate) transactions: Vec<TxEnv>,
    /// System calls before the transactions.
    pub(crate) calls_before: Vec<(Address, Bytes)>,
    /// System calls after the transactions.
    pub(crate) calls_after: Vec<(Address, Bytes)>,
    /// Balances credited after the transactions.
    pub(crate) credits: AddressMap<u128>,
}

impl<'a> Input<'a> {
    /// Recovers the senders on all cores and sets up the environment.
    ///
    /// # Errors
    ///
    /// If a signature is wrong.
    pub fn new(workload: &'a Workload) -> anyhow::Result<Self> {
        let header = &workload.block.header;
        let rules = workload.rules();
        let chain = &workload.chain;
        let transactions = &workload.block.body.transactions;
        let one = |(index, transaction): (usize, &SignedTransaction)| {
            let sender = match &workload.senders {
                Some(senders) => senders[index],
                None => transaction.recover_signer().with_context(|| format!("transaction {index}"))?,
            };
            Ok(TxEnv::from_recovered_tx(transaction, sender))
        };
        let environments: anyhow::Result<Vec<TxEnv>> = transactions.par_iter().enumerate().map(one).collect();
        Ok(Self {
            pre_state: &workload.pre_state,
            env: EvmEnv::for_eth_block(header, chain, chain.id, rules.blobs),
            transactions: environments?,
            calls_before: calls_before(workload, &rules),
            calls_after: if rules.has(SpecId::PRAGUE) {
                let queues = [WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS];
                queues.map(|queue| (queue, Bytes::new())).to_vec()
            } else {
                Vec::new()
            },
            credits: credits(workload, &rules),
        })
    }
}

/// The calls that store the parent's beacon root (EIP-4788) and hash (EIP-2935).
fn calls_before(workload: &Workload, rules: &Rules) -> Vec<(Address, Bytes)> {
    let header = &workload.block.header;
    let root = header.parent_beacon_block_root.filter(|_| rules.has(SpecId::CANCUN));
    let parent = rules.has(SpecId::PRAGUE).then_some(header.parent_hash);
    let calls = [(BEACON_ROOTS_ADDRESS, root), (HISTORY_STORAGE_ADDRESS, parent)];
    calls.into_iter().filter_map(|(contract, word)| Some((contract, word?.0.into()))).collect()
}

/// Block and ommer rewards before the merge, withdrawals after.
fn credits(workload: &Workload, rules: &Rules) -> AddressMap<u128> {
    let mut credits = AddressMap::<u128>::default();
    let (header, body) = (&workload.block.header, &workload.block.body);
    if let Some(base) = rules.block_reward {
        for ommer in &body.ommers {
            let reward = calc::ommer_reward(base, header.number, ommer.number);
            *credits.entry(ommer.beneficiary).or_default() += reward;
        }
        *credits.entry(header.beneficiary).or_default() += calc::block_reward(base, body.ommers.len());
    }
    for withdrawal in body.withdrawals.iter().flatten() {
        *credits.entry(withdrawal.address).or_default() += withdrawal.amount_wei().to::<u128>();
    }
    credits
}

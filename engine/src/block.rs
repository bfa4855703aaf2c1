//! A block ready to run: header, senders, fork rules.

use std::sync::OnceLock;

use alloy_consensus::{EthereumTxEnvelope, Header, Transaction as _, TxEip4844, TxType};
use alloy_eips::eip4895::Withdrawals;
use alloy_eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA;
use alloy_evm::EvmEnv;
use alloy_primitives::U256;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;
use revm::state::bal::alloy::AlloyBal;

use crate::Recovery;
use crate::blobs;
use crate::chain::Rules;
use crate::error::{BlockError, ExecuteError, HeaderError};
use crate::senders::{self, Malleability, PublicKey};

/// A transaction as it stands in a block: signed, and without the blobs it may refer to.
pub type SignedTransaction = EthereumTxEnvelope<TxEip4844>;

/// A block as it is sent: header, transactions, ommers, withdrawals.
pub type Block = alloy_consensus::Block<SignedTransaction, Header>;

/// A block ready to run.
///
/// Only [`ReadyBlock::with_recovery`] makes one from outside, and [`ReadyBlock::new`] by way of it, so code that takes
/// this type need not ask whether the signatures were checked or which fork it is.
#[derive(Debug, Clone)]
pub struct ReadyBlock<'a> {
    /// The rules it obeys.
    pub(crate) rules: &'a Rules,
    /// Its header, whose commitments are claims still to be checked.
    pub(crate) header: &'a Header,
    /// Ommers that are rewarded.
    pub(crate) ommers: &'a [Header],
    /// Withdrawals to credit.
    pub(crate) withdrawals: &'a Withdrawals,
    /// Its transactions, in order.
    pub(crate) transactions: Vec<ReadyTransaction>,
    /// revm's configuration and block environment.
    pub(crate) env: EvmEnv<SpecId>,
    /// The access list that it came with, as RLP.
    pub(crate) access_list: Option<&'a [u8]>,
    /// What is to be believed of that, once somebody has read it.
    pub(crate) foretold: OnceLock<AlloyBal>,
}

/// A transaction ready to run.
#[derive(Debug, Clone)]
pub(crate) struct ReadyTransaction {
    /// What revm needs to know of it.
    pub(crate) env: TxEnv,
    /// Its EIP-2718 type, for the receipt.
    pub(crate) tx_type: TxType,
    /// Blob gas it takes.
    pub(crate) blob_gas: u64,
}

impl<'a> ReadyBlock<'a> {
    /// [`Self::with_recovery`] by the fastest way that this processor has.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn new(
        rules: &'a Rules,
        block: &'a Block,
        public_keys: Option<&[PublicKey]>,
    ) -> Result<Self, ExecuteError> {
        Self::with_recovery(rules, block, public_keys, Recovery::best())
    }

    /// Checks all signatures on the threads of the current pool and sets up the environment.
    ///
    /// With `public_keys`, each must be the key that signed its transaction.
    ///
    /// # Errors
    ///
    /// [`InputError`] if a key is wrong or there is not one for each transaction, [`BlockError`] if a signature is wrong
    /// or if the header's values cannot be those of a block.
    ///
    /// [`InputError`]: crate::execute::InputError
    pub fn with_recovery(
        rules: &'a Rules,
        block: &'a Block,
        public_keys: Option<&[PublicKey]>,
        recovery: Recovery,
    ) -> Result<Self, ExecuteError> {
        const NO_WITHDRAWALS: &Withdrawals = &Withdrawals::new(Vec::new());
        let malleability =
            if rules.has(SpecId::HOMESTEAD) { Malleability::Rejected } else { Malleability::Accepted };
        if !rules.has(SpecId::SPURIOUS_DRAGON)
            && let Some(index) = block.body.transactions.iter().position(is_replay_protected)
        {
            return Err(BlockError::Signature { index }.into());
        }
        let transactions =
            senders::recover_all(&block.body.transactions, public_keys, malleability, recovery)?;
        Ok(Self {
            rules,
            header: &block.header,
            ommers: &block.body.ommers,
            withdrawals: block.body.withdrawals.as_ref().unwrap_or(NO_WITHDRAWALS),
            transactions,
            env: environment(rules, &block.header).map_err(BlockError::from)?,
            access_list: None,
            foretold: OnceLock::new(),
        })
    }

    /// The same block with a block access list in RLP (EIP-7928), so that transactions need not wait for what it says
    /// that they will read. A list that is wrong takes time and changes nothing; one that says more than the transactions
    /// have gas for is not read.
    #[must_use]
    pub fn with_access_list(mut self, list: &'a [u8]) -> Self {
        self.access_list = Some(list);
        self.foretold = OnceLock::new();
        self
    }
}

/// Whether a transaction's signature names a chain, as EIP-155 allows from Spurious Dragon on.
fn is_replay_protected(transaction: &SignedTransaction) -> bool {
    transaction.is_legacy() && transaction.chain_id().is_some()
}

/// revm's configuration and block environment for the block with this header.
///
/// alloy-evm would build the same from a header it trusts; here the header may be hostile, so the blob fee is
/// computed with bounds.
fn environment(rules: &Rules, header: &Header) -> Result<EvmEnv<SpecId>, HeaderError> {
    let mut cfg = CfgEnv::new_with_spec(rules.evm).with_chain_id(rules.chain_id);
    if let Some(blobs) = &rules.blobs {
        cfg.set_max_blobs_per_tx(blobs.max_blobs_per_tx);
    }
    if rules.has(SpecId::OSAKA) {
        cfg.tx_gas_limit_cap = Some(MAX_TX_GAS_LIMIT_OSAKA);
    }
    let blob_excess_gas_and_price = match (header.excess_blob_gas, &rules.blobs) {
        (Some(excess_blob_gas), Some(params)) => Some(BlobExcessGasAndPrice {
            excess_blob_gas,
            blob_gasprice: blobs::base_fee(params, excess_blob_gas)?,
        }),
        _ => None,
    };
    let merged = rules.has(SpecId::MERGE);
    let block = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        difficulty: if merged { U256::ZERO } else { header.difficulty },
        prevrandao: merged.then_some(header.mix_hash),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        blob_excess_gas_and_price,
        slot_num: header.slot_number.unwrap_or_default(),
    };
    Ok(EvmEnv::new(cfg, block))
}

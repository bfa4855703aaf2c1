//! The gas of a block, and whether there is room for one more transaction.

use revm::context_interface::result::ResultGas;
use revm::primitives::hardfork::SpecId;

use crate::blobs;
use crate::block::{ReadyBlock, ReadyTransaction};
use crate::error::{BlockError, TransactionError};

/// The highest gas limit of a transaction, from Amsterdam on (`TX_MAX_TOTAL_GAS_LIMIT` in the reference).
const TRANSACTION_GAS_MAX: u64 = u32::MAX as u64;

/// Gas of the committed transactions, by what it counts for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GasTally {
    /// Paid for by senders, after refunds: what receipts show.
    pub(crate) paid: u64,
    /// Counted against the block's gas limit (EIP-7778: before refunds).
    pub(crate) execution: u64,
    /// Counted against the same limit for state growth (EIP-8037).
    pub(crate) state: u64,
    /// Blob gas (EIP-4844).
    pub(crate) blob: u64,
}

impl GasTally {
    /// Counts a transaction.
    pub(crate) fn add(&mut self, gas: &ResultGas, blob: u64) {
        self.paid += gas.tx_gas_used();
        self.execution += gas.block_regular_gas_used();
        self.state += gas.block_state_gas_used();
        self.blob += blob;
    }

    /// Whether a block has room for one of its transactions.
    ///
    /// # Errors
    ///
    /// [`TransactionError::GasLimitRange`], [`TransactionError::GasLimit`] or [`TransactionError::BlobGas`].
    pub(crate) fn admit(&self, block: &ReadyBlock<'_>, index: usize) -> Result<(), BlockError> {
        let ReadyTransaction { env, blob_gas, .. } = &block.transactions[index];
        let limit = block.header.gas_limit;
        let cap = block.env.cfg_env.tx_gas_limit_cap.unwrap_or(u64::MAX);
        let amsterdam = block.rules.has(SpecId::AMSTERDAM);
        let (gas_limit, used) = if amsterdam {
            // EIP-8037: gas beyond the cap can only be spent on state, which has a budget of its own.
            (env.gas_limit.min(cap), self.execution)
        } else {
            (env.gas_limit, self.paid)
        };
        if amsterdam && env.gas_limit > TRANSACTION_GAS_MAX {
            let reason = TransactionError::GasLimitRange { gas_limit: env.gas_limit };
            return Err(BlockError::Transaction { index, reason });
        }
        let short = |gas_limit, available| {
            Err(BlockError::Transaction {
                index,
                reason: TransactionError::GasLimit { gas_limit, available },
            })
        };
        let available = limit.saturating_sub(used);
        if gas_limit > available {
            return short(gas_limit, available);
        }
        let available = limit.saturating_sub(self.state);
        if amsterdam && env.gas_limit > available {
            return short(env.gas_limit, available);
        }
        let limit = block.rules.blobs.as_ref().map_or(0, blobs::max_gas);
        let available = limit.saturating_sub(self.blob);
        if *blob_gas > available {
            let reason = TransactionError::BlobGas { blob_gas: *blob_gas, available };
            return Err(BlockError::Transaction { index, reason });
        }
        Ok(())
    }
}

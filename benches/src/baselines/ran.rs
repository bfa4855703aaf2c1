//! What a baseline gives, and whether that is what the engine gives.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, Log, U256};
use revm::context_interface::result::{ExecutionResult, HaltReason};
use revm::database::{BundleAccount, BundleState};
use revm::state::{AccountInfo, EvmState};
use weft_engine::Outcome;
use weft_engine::error::{BlockError, ExecuteError};

use super::cache::Cached;
use super::input::Input;

/// What a baseline gives.
#[derive(Debug, Default)]
pub struct Ran {
    /// Receipts of the transactions, up to the first invalid one.
    receipts: Vec<Receipt>,
    /// Gas used by them.
    gas_used: u64,
    /// Index of the first transaction that is invalid.
    invalid: Option<usize>,
    /// The state it leaves.
    pub(crate) left: Left,
}

/// A receipt.
#[derive(Debug)]
struct Receipt {
    /// Whether it succeeded.
    success: bool,
    /// Gas used by this and all earlier transactions.
    cumulative_gas_used: u64,
    /// Logs, in order.
    logs: Vec<Log>,
}

/// The state that a baseline leaves, in its own form.
#[derive(Debug, Default)]
pub(crate) enum Left {
    /// Nothing: the block is invalid.
    #[default]
    Nothing,
    /// revm's journal.
    Journal(EvmState),
    /// A plain cache.
    Cache(AddressMap<Cached>),
    /// Changes with reverts.
    Bundle(Box<BundleState>),
}

/// Where a baseline and the engine differ.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// One says that the block is invalid, or at another transaction.
    Validity,
    /// Gas used by the block.
    GasUsed,
    /// The receipt of this transaction.
    Receipt(usize),
    /// The changes or reverts.
    Bundle,
    /// The final values of this account.
    Account(Address),
}

impl Ran {
    /// Nothing run yet.
    pub(crate) fn with_capacity(transactions: usize) -> Self {
        Self { receipts: Vec::with_capacity(transactions), ..Self::default() }
    }

    /// Adds the result of the next transaction.
    pub(crate) fn push(&mut self, result: ExecutionResult<HaltReason>) {
        self.gas_used += result.gas().tx_gas_used();
        self.receipts.push(Receipt {
            success: result.is_success(),
            cumulative_gas_used: self.gas_used,
            logs: result.into_logs(),
        });
    }

    /// The next transaction is invalid: the block ends.
    pub(crate) fn fail(mut self) -> Self {
        self.invalid = Some(self.receipts.len());
        self
    }

    /// Compares with what the engine gives: gas and receipts; the bundle if there is one; and if not, the final
    /// values of all that the transactions changed.
    ///
    /// # Errors
    ///
    /// The first [`Difference`].
    pub fn compare(
        &self,
        outcome: &Result<Outcome, ExecuteError>,
        input: &Input<'_>,
    ) -> Result<(), Difference> {
        let outcome = match outcome {
            Ok(outcome) if self.invalid.is_none() => outcome,
            Err(ExecuteError::Block(BlockError::Transaction { index, .. }))
                if self.invalid == Some(*index) =>
            {
                return Ok(());
            }
            Ok(_) | Err(_) => return Err(Difference::Validity),
        };
        if self.gas_used != outcome.gas_used {
            return Err(Difference::GasUsed);
        }
        let receipts = self.receipts.iter().zip(&outcome.receipts);
        let differs = receipts.clone().position(|(ours, theirs)| {
            ours.success != theirs.status.coerce_status()
                || ours.cumulative_gas_used != theirs.cumulative_gas_used
                || ours.logs != theirs.logs
        });
        if let Some(index) = differs {
            return Err(Difference::Receipt(index));
        }
        let bundle = &outcome.changes.bundle;
        match &self.left {
            Left::Bundle(ours) if **ours == *bundle => Ok(()),
            Left::Nothing | Left::Bundle(_) => Err(Difference::Bundle),
            Left::Journal(_) | Left::Cache(_) => {
                let mut changed =
                    bundle.state.iter().filter(|(address, _)| !input.credits.contains_key(*address));
                match changed.find(|(address, account)| !self.left.agrees(address, account)) {
                    Some((address, _)) => Err(Difference::Account(*address)),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Left {
    /// Whether the account at `address` has the values that the engine changed it to.
    fn agrees(&self, address: &Address, changed: &BundleAccount) -> bool {
        let info = changed.info.as_ref().map(AccountInfo::copy_without_code).filter(|info| !info.is_empty());
        let mut slots = changed.storage.iter();
        self.info(address) == info
            && (info.is_none()
                || slots.all(|(slot, value)| self.slot(address, slot) == Some(value.present_value)))
    }

    /// The account at `address`, if it exists and is not empty: the journal does not tell these two apart.
    fn info(&self, address: &Address) -> Option<AccountInfo> {
        let info = match self {
            Self::Journal(accounts) => {
                let account = accounts.get(address)?;
                // What was destroyed keeps its values until it is loaded again.
                (!account.is_selfdestructed_locally()).then_some(&account.info)
            }
            Self::Cache(accounts) => accounts.get(address)?.info.as_ref(),
            Self::Nothing | Self::Bundle(_) => None,
        };
        info.map(AccountInfo::copy_without_code).filter(|info| !info.is_empty())
    }

    /// The value of a slot of an account that exists.
    fn slot(&self, address: &Address, slot: &U256) -> Option<U256> {
        match self {
            Self::Journal(accounts) => {
                accounts.get(address)?.storage.get(slot).map(|slot| slot.present_value)
            }
            Self::Cache(accounts) => accounts.get(address)?.storage.get(slot).copied(),
            Self::Nothing | Self::Bundle(_) => None,
        }
    }
}

//! The state in which the first transaction finds the block: the pre-state with the system calls applied.

use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;

use crate::error::WitnessError;
use crate::ledger::{Entry, Ledger};
use crate::pre_state::PreState;

/// The pre-state with the system calls applied. The workers share it, and it doesn't change.
#[derive(Debug)]
pub(crate) struct StartState<'a> {
    /// State before the block.
    pre_state: &'a dyn PreState,
    /// The accounts that the system calls touched, as they left them.
    touched: AddressMap<Touched>,
}

/// An account that the system calls touched.
#[derive(Debug)]
struct Touched {
    /// The account, if there is one.
    info: Option<AccountInfo>,
    /// The slots that were looked at or written.
    slots: HashMap<U256, U256>,
    /// Whether all other slots are zero: the account was created, or removed with all it had.
    storage_known: bool,
}

impl<'a> StartState<'a> {
    /// The pre-state with what the ledger holds laid over it.
    pub(crate) fn new(pre_state: &'a dyn PreState, ledger: &Ledger<'_>) -> Self {
        let touched = |entry: &Entry| Touched {
            info: entry.now.clone(),
            slots: entry.slots.iter().map(|(key, slot)| (*key, slot.now)).collect(),
            storage_known: entry.now.is_none() || entry.status.is_storage_known(),
        };
        let touched = ledger.entries().iter().map(|entry| (entry.address, touched(entry))).collect();
        Self { pre_state, touched }
    }
}

impl PreState for StartState<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        match self.touched.get(&address) {
            Some(touched) => Ok(touched.info.clone()),
            None => self.pre_state.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let Some(touched) = self.touched.get(&address) else { return self.pre_state.storage(address, slot) };
        match touched.slots.get(&slot) {
            Some(value) => Ok(*value),
            None if touched.storage_known => Ok(U256::ZERO),
            None => self.pre_state.storage(address, slot),
        }
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        let Some(touched) = self.touched.get(&address) else { return self.pre_state.has_storage(address) };
        if touched.slots.values().any(|value| !value.is_zero()) {
            return Ok(true);
        }
        if touched.storage_known { Ok(false) } else { self.pre_state.has_storage(address) }
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.pre_state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.pre_state.block_hash(number)
    }
}

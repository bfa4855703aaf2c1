//! The state in which the first transaction finds the block: the pre-state with the system calls applied.

use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;

use crate::error::WitnessError;
use crate::ledger::Ledger;
use crate::pre_state::PreState;

/// The pre-state with the system calls applied. The workers share it, and it doesn't change.
#[derive(Debug)]
pub(crate) struct StartState<'a> {
    /// State before the block.
    pre_state: &'a dyn PreState,
    /// The accounts that the system calls touched, as they left them, with the slots that they touched.
    touched: AddressMap<(Option<AccountInfo>, HashMap<U256, U256>)>,
}

impl<'a> StartState<'a> {
    /// The pre-state with what the ledger holds laid over it.
    pub(crate) fn new(pre_state: &'a dyn PreState, ledger: &Ledger<'_>) -> Self {
        let touched = ledger
            .accounts()
            .map(|(address, account, slots)| (address, (account.cloned(), slots.collect())))
            .collect();
        Self { pre_state, touched }
    }
}

impl PreState for StartState<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        match self.touched.get(&address) {
            Some((account, _)) => Ok(account.clone()),
            None => self.pre_state.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        match self.touched.get(&address).and_then(|(_, slots)| slots.get(&slot)) {
            Some(value) => Ok(*value),
            None => self.pre_state.storage(address, slot),
        }
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        // No system call can change the answer for an account without code, and of others nobody asks.
        self.pre_state.has_storage(address)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.pre_state.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.pre_state.block_hash(number)
    }
}

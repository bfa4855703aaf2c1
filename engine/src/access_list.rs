//! The block access list (EIP-7928) in the making.
//!
//! Each change is recorded under an access index: 0 before the transactions, then one for each transaction, and one
//! more after them. What counts is the difference between the beginning and the end of an index. Before and after
//! the transactions, several commits share one: a withdrawal may credit the contract that a system call then runs.
//! revm's builder measures each account against what its own commit began with, so such commits are shown what the
//! index began with.

use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, U256};
use revm::database_interface::bal::BalState;
use revm::state::bal::BlockAccessIndex;
use revm::state::bal::alloy::AlloyBal;
use revm::state::{Account, AccountInfo};

/// The block access list in the making, if the block is to have one.
#[derive(Debug)]
pub(crate) struct AccessList {
    /// revm's builder.
    list: BalState,
    /// What accounts were when the current index began; kept where commits share it.
    start: Option<AddressMap<Start>>,
}

/// An account as it was when an index began.
#[derive(Debug)]
struct Start {
    /// Balance, nonce, code.
    info: AccountInfo,
    /// The slots that were looked at.
    slots: HashMap<U256, U256>,
}

impl AccessList {
    /// An empty list; with `wanted` false, one that stays empty and costs nothing.
    pub(crate) fn new(wanted: bool) -> Self {
        let list = if wanted { BalState::new().with_bal_builder() } else { BalState::new() };
        Self { list, start: Some(AddressMap::default()) }
    }

    /// Whether there is to be a list.
    pub(crate) fn is_wanted(&self) -> bool {
        self.list.bal_builder.is_some()
    }

    /// What is recorded from now on was done by transaction `index`, in one commit.
    pub(crate) fn begin_transaction(&mut self, index: usize) {
        self.list.bal_index = BlockAccessIndex::new(index as u64 + 1);
        self.start = None;
    }

    /// What is recorded from now on was done after all `transactions`, in any number of commits.
    pub(crate) fn begin_end(&mut self, transactions: usize) {
        self.list.bal_index = BlockAccessIndex::new(transactions as u64 + 1);
        self.start = Some(AddressMap::default());
    }

    /// Records what a commit does to an account.
    pub(crate) fn record(&mut self, address: Address, account: &Account) {
        if !self.is_wanted() {
            return;
        }
        let Some(start) = &mut self.start else { return self.list.commit_one(address, account) };
        let start = start
            .entry(address)
            .or_insert_with(|| Start { info: account.original_info(), slots: HashMap::default() });
        let mut since_start = account.clone();
        *since_start.original_info_mut() = start.info.clone();
        for (slot, value) in &mut since_start.storage {
            value.original_value = *start.slots.entry(*slot).or_insert(value.original_value);
        }
        self.list.commit_one(address, &since_start);
    }

    /// The list, if there is to be one.
    pub(crate) fn take(&mut self) -> Option<AlloyBal> {
        self.list.take_built_alloy_bal()
    }
}

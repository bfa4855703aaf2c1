//! What both engines need of the committed state, and revm's `State` in that part.
//!
//! [`crate::sequential`] commits into revm's `State`, which is the specification; [`crate::parallel`] into the
//! [`crate::ledger::Ledger`], which gives the same in less time. [`crate::commit::BlockRun`] drives either.

use alloy_primitives::{Address, B256, U256};
use revm::DatabaseCommit;
use revm::bytecode::Bytecode;
use revm::database::states::bundle_state::BundleRetention;
use revm::database::{BundleState, State};
use revm::database_interface::bal::EvmDatabaseError;
use revm::state::AccountInfo;

use crate::error::{ExecuteError, Fault, WitnessError};
use crate::evm::StateDb;
use crate::pre_state::{PreState, PreStateDb};

/// The state that the committed transactions leave, with what has changed since the block began.
pub(crate) trait BlockState: StateDb + DatabaseCommit {
    /// The error of the whole block for an error of this state.
    fn blame(error: Self::Error) -> ExecuteError;

    /// The account, if there is one.
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError>;

    /// A code that the block brought: it answers for its hash from now on.
    fn add_code(&mut self, hash: B256, code: &Bytecode);

    /// Adds to a balance if that is all there is to it; false, and no change, if it takes a commit of the account.
    fn credit(&mut self, address: Address, amount: U256) -> Result<bool, WitnessError>;

    /// All changes so far, without reverts.
    fn changes_so_far(&self) -> BundleState;

    /// All changes, with reverts. The state is of no use afterwards.
    fn take_changes(&mut self) -> BundleState;
}

/// revm's state over the pre-state of a block.
pub(crate) type RevmState<'a> = State<PreStateDb<'a>>;

/// revm's state for a block of which nothing has run.
pub(crate) fn revm_state(pre_state: &dyn PreState) -> RevmState<'_> {
    State::builder().with_database(PreStateDb(pre_state)).with_bundle_update().build()
}

impl StateDb for RevmState<'_> {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        let cached = self.load_cache_account(address).map_err(EvmDatabaseError::Database)?;
        let mut slots = cached.account.iter().flat_map(|account| account.storage.values());
        if slots.any(|value| !value.is_zero()) {
            return Ok(true);
        }
        if cached.status.was_destroyed() {
            Ok(false)
        } else {
            self.database.0.has_storage(address).map_err(EvmDatabaseError::Database)
        }
    }
}

impl BlockState for RevmState<'_> {
    /// `State` adds lookups in an access list to its database's errors; they are never made here.
    fn blame(error: EvmDatabaseError<WitnessError>) -> ExecuteError {
        match error {
            EvmDatabaseError::Database(error) => error.into(),
            EvmDatabaseError::Bal(error) => ExecuteError::Fault(Fault::Evm(error.to_string())),
        }
    }

    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        Ok(self.load_cache_account(address)?.account_info())
    }

    fn add_code(&mut self, hash: B256, code: &Bytecode) {
        self.cache.contracts.entry(hash).or_insert_with(|| code.clone());
    }

    fn credit(&mut self, _address: Address, _amount: U256) -> Result<bool, WitnessError> {
        Ok(false)
    }

    fn changes_so_far(&self) -> BundleState {
        let mut bundle = BundleState::default();
        if let Some(transitions) = &self.transition_state {
            bundle.apply_transitions_and_create_reverts(transitions.clone(), BundleRetention::PlainState);
        }
        bundle
    }

    fn take_changes(&mut self) -> BundleState {
        self.merge_transitions(BundleRetention::Reverts);
        self.take_bundle()
    }
}

//! What both engines need of the committed state, and revm's `State` in that part.
//!
//! [`crate::sequential`] commits into revm's `State`, which is the specification; [`crate::parallel`] into the
//! [`crate::ledger::Ledger`], which gives the same in less time. [`crate::commit::BlockRun`] drives either.

use alloy_primitives::map::AddressSet;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use revm::bytecode::Bytecode;
use revm::database::states::bundle_state::BundleRetention;
use revm::database::{AccountStatus, BundleAccount, BundleState, State};
use revm::database_interface::bal::EvmDatabaseError;
use revm::state::{AccountInfo, EvmState};
use revm::{Database, DatabaseCommit};

use crate::error::{ExecuteError, Fault, WitnessError};
use crate::evm::StateDb;
use crate::pre_state::{PreState, PreStateDb};

/// What a transaction is committed to.
pub(crate) trait Committing {
    /// The account, if there is one.
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError>;

    /// A code that the block brought: it answers for its hash from now on.
    fn add_code(&mut self, hash: B256, code: &Bytecode);

    /// Adds to a balance if that is all there is to it; false, and no change, if it takes a commit of the account.
    fn credit(&mut self, address: Address, amount: U256) -> Result<bool, WitnessError>;

    /// Makes what a transaction left of the accounts it touched part of the state.
    fn commit(&mut self, accounts: EvmState);
}

/// The state that the committed transactions leave, with what has changed since the block began.
pub(crate) trait BlockState: StateDb + Committing {
    /// The error of the whole block for an error of this state.
    fn blame(error: Self::Error) -> ExecuteError;

    /// All changes, with reverts. The state is of no use afterwards.
    fn take_changes(&mut self) -> BundleState;
}

/// revm's state over the pre-state of a block.
///
/// `State` takes an account that has neither nonce nor code, once it has changed, for one that the block has made, and
/// all storage that it has not seen for zero. Only a genesis makes an account that has storage and neither of the
/// two; but it can have been given a balance since, and code by EIP-7702. So the state is asked once more where
/// `State` would not.
#[derive(Debug)]
pub(crate) struct RevmState<'a> {
    /// revm's.
    state: State<PreStateDb<'a>>,
    /// The accounts that the block has really made, or removed.
    renewed: AddressSet,
}

/// revm's state for a block of which nothing has run.
pub(crate) fn revm_state(pre_state: &dyn PreState) -> RevmState<'_> {
    let state = State::builder().with_database(PreStateDb(pre_state)).with_bundle_update().build();
    RevmState { state, renewed: AddressSet::default() }
}

impl Database for RevmState<'_> {
    type Error = EvmDatabaseError<WitnessError>;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        self.state.basic(address)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Self::Error> {
        self.state.code_by_hash(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        let pre_state = self.state.database.0;
        let cached = self.state.load_cache_account(address).map_err(EvmDatabaseError::Database)?;
        if cached.status == AccountStatus::InMemoryChange
            && !self.renewed.contains(&address)
            && let Some(account) = &mut cached.account
            && !account.storage.contains_key(&slot)
        {
            let value = pre_state.storage(address, slot).map_err(EvmDatabaseError::Database)?;
            account.storage.insert(slot, value);
        }
        self.state.storage(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Self::Error> {
        self.state.block_hash(number)
    }
}

impl StateDb for RevmState<'_> {
    fn has_storage(&mut self, address: Address) -> Result<bool, Self::Error> {
        let cached = self.state.load_cache_account(address).map_err(EvmDatabaseError::Database)?;
        let mut slots = cached.account.iter().flat_map(|account| account.storage.values());
        if slots.any(|value| !value.is_zero()) {
            return Ok(true);
        }
        if cached.status.was_destroyed() {
            Ok(false)
        } else {
            self.state.database.0.has_storage(address).map_err(EvmDatabaseError::Database)
        }
    }
}

impl Committing for RevmState<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        Ok(self.state.load_cache_account(address)?.account_info())
    }

    fn add_code(&mut self, hash: B256, code: &Bytecode) {
        self.state.cache.contracts.entry(hash).or_insert_with(|| code.clone());
    }

    fn credit(&mut self, _address: Address, _amount: U256) -> Result<bool, WitnessError> {
        Ok(false)
    }

    fn commit(&mut self, accounts: EvmState) {
        let renewed = accounts.iter().filter(|(_, account)| {
            let is_new = account.is_created() || account.is_selfdestructed() || account.is_empty();
            account.is_touched() && is_new
        });
        self.renewed.extend(renewed.map(|(address, _)| *address));
        self.state.commit(accounts);
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

    fn take_changes(&mut self) -> BundleState {
        self.state.merge_transitions(BundleRetention::Reverts);
        let mut bundle = self.state.take_bundle();
        // Of an account that is new and has no code, revm lists the code of no bytes, but not where a creation that failed
        // has had the account in the journal forget it (`create_account_checkpoint`). Here it is always listed.
        if bundle.state.values().any(has_lost_or_never_had_code) {
            bundle.contracts.entry(KECCAK256_EMPTY).or_default();
        }
        bundle
    }
}

/// Whether an account has no code, and was not there before or had one.
fn has_lost_or_never_had_code(account: &BundleAccount) -> bool {
    let is_bare = |info: &AccountInfo| info.is_empty_code_hash();
    account.info.as_ref().is_some_and(is_bare) && !account.original_info.as_ref().is_some_and(is_bare)
}

//! The state that one incarnation sees: what lower transactions wrote, over the state before the block.

use core::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::context::DBErrorMarker;
use revm::state::AccountInfo;
use weft_scheduler::{Blocked, TxIndex, View};

use crate::desk::OwnDesk;
use crate::error::WitnessError;
use crate::evm::StateDb;
use crate::location::{Location, TIPPED_MAX, Value};
use crate::pre_state::PreState;

/// Why a read gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ViewError {
    /// It met an estimate. Not an error of ours or of the block; one only while it crosses revm.
    #[error("blocked on a lower transaction")]
    Blocked(Blocked),
    /// The pre-state has no answer.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl DBErrorMarker for ViewError {}

impl From<Blocked> for ViewError {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(blocked)
    }
}

/// State before the stretch; of the beneficiary's account, state as the committed transactions left it. That one moves on
/// with every commit.
pub(crate) trait CommittedState: Sync {
    /// How many transactions of the block are committed.
    fn count(&self) -> u32;

    /// The account, if there is one, without its code.
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError>;

    /// Value of a slot.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError>;

    /// Whether any slot of the account is not zero.
    fn has_storage(&self, address: Address) -> Result<bool, WitnessError>;

    /// The code with this hash, if an earlier stretch has brought it.
    fn code(&self, hash: B256) -> Option<Bytecode>;
}

/// revm's database for the incarnations that one worker runs, one after the other.
pub(crate) struct ViewDb<'b> {
    /// Writes of lower transactions; fills the read set.
    pub(crate) view: View<'b, Location, Value>,
    /// State before the block: codes, and hashes of its ancestors.
    pub(crate) pre_state: &'b dyn PreState,
    /// Whose account is only known in block order.
    pub(crate) beneficiary: Address,
    /// The beneficiary as this incarnation saw it, if lower transactions may still tip it.
    pub(crate) tipped: Option<AccountInfo>,
    /// The incarnation must not see the beneficiary before every tip is there.
    pub(crate) pinned: bool,
    /// State beneath the stretch.
    pub(crate) committed: &'b dyn CommittedState,
    /// The first transaction of the stretch.
    pub(crate) first: u32,
    /// Which lower transaction was the last to wipe an account's storage, for accounts of which this incarnation has asked:
    /// it asks for each slot.
    pub(crate) wipes: AddressMap<Option<TxIndex>>,
    /// Whether any run of the stretch has wiped an account.
    pub(crate) likely_wiped: &'b AtomicBool,
    /// Which worker it is.
    pub(crate) worker: usize,
    /// What this worker has of its own.
    pub(crate) desk: OwnDesk<'b>,
}

impl ViewDb<'_> {
    /// An incarnation of a transaction sent by `caller` starts.
    pub(crate) fn begin(&mut self, caller: Address) {
        self.wipes.clear();
        self.tipped = None;
        // Who sends a transaction must be able to pay for it.
        self.pinned = caller == self.beneficiary;
    }

    /// The beneficiary's account. A run ahead of the frontier sees it as it is committed by now, and goes on as long as
    /// it makes no difference that lower transactions will have added to its balance.
    ///
    /// They add, or else they leave a mark that a validation finds; and the run has seen the mark that belongs to the
    /// account, since it sees none that is not committed.
    fn beneficiary_account(&mut self) -> Result<Option<AccountInfo>, ViewError> {
        if self.view.is_final() || self.pinned {
            self.view.await_frontier()?;
            return Ok(self.committed.account(self.beneficiary)?);
        }
        let mark = self.view.read(&Location::Beneficiary)?;
        let committed = self.committed.count();
        // An account without a balance is another thing than one with: what it is now is not what it will be.
        if let Ok(Some(account)) = self.committed.account(self.beneficiary)
            && !account.is_empty()
            && account.balance < TIPPED_MAX
            && !matches!(mark, Some(Value::By(marker)) if self.first + marker.0 >= committed)
        {
            self.tipped = Some(account.clone());
            return Ok(Some(account));
        }
        Err(self.view.abandon().into())
    }

    /// Which lower transaction was the last to wipe this account's storage, if one did. As long as no run of the stretch has
    /// wiped any, it is presumed that none did; then it is looked up.
    fn wiped(&mut self, address: Address) -> Result<Option<TxIndex>, Blocked> {
        if let Some(known) = self.wipes.get(&address) {
            return Ok(*known);
        }
        let location = Location::Wipe(address);
        // ORDERING: whoever began when the wipe was counted as a surprise sees it, since it was noted before; whoever began
        // before that is replayed, and finds out what was presumed.
        let likely = self.likely_wiped.load(Ordering::Relaxed);
        let presumed = !likely && self.view.presume_unwritten(&location)?;
        let found = if presumed { None } else { self.view.read(&location)? };
        let wiped = if let Some(Value::By(wiped)) = found { Some(wiped) } else { None };
        self.wipes.insert(address, wiped);
        Ok(wiped)
    }
}

impl Database for ViewDb<'_> {
    type Error = ViewError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, ViewError> {
        if address == self.beneficiary {
            return self.beneficiary_account();
        }
        let committed = self.committed;
        let load = || Ok::<_, ViewError>(Value::Account(committed.account(address)?));
        match self.view.read_or(&Location::Account(address), load)? {
            Value::Account(account) => Ok(account),
            Value::Slot(..) | Value::By(_) | Value::Code(_) => Ok(None),
        }
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, ViewError> {
        if let Some(code) = self.desk.codes.get(hash) {
            return Ok(code);
        }
        // What a hash stands for cannot change, so the pre-state's code needs no look at the block's, and one that an
        // earlier stretch brought none at this one's.
        let absent = match self.pre_state.code(hash) {
            Ok(code) => return Ok(self.desk.codes.note(hash, code, 1)),
            Err(absent) => absent,
        };
        if let Some(code) = self.committed.code(hash) {
            return Ok(self.desk.codes.note(hash, code, 1));
        }
        match self.view.read(&Location::Code(hash))? {
            Some(Value::Code(code)) => Ok(code),
            _ => Err(absent.into()),
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, ViewError> {
        if address == self.beneficiary {
            self.view.await_frontier()?;
            return Ok(self.committed.storage(address, slot)?);
        }
        let location = Location::Slot(address, slot);
        if let Some(wiped) = self.wiped(address)? {
            return match self.view.read(&location)? {
                Some(Value::Slot(value, Some(writer))) if writer >= wiped => Ok(value),
                _ => Ok(U256::ZERO),
            };
        }
        let committed = self.committed;
        let load = || Ok::<_, ViewError>(Value::Slot(committed.storage(address, slot)?, None));
        match self.view.read_or(&location, load)? {
            Value::Slot(value, _) => Ok(value),
            Value::Account(_) | Value::By(_) | Value::Code(_) => Ok(U256::ZERO),
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, ViewError> {
        Ok(self.pre_state.block_hash(number)?)
    }
}

impl StateDb for ViewDb<'_> {
    fn has_storage(&mut self, address: Address) -> Result<bool, ViewError> {
        if address == self.beneficiary {
            self.view.await_frontier()?;
            return Ok(self.committed.has_storage(address)?);
        }
        // Asked of accounts without code only: their storage can be wiped, and by no means written.
        Ok(self.wiped(address)?.is_none() && self.committed.has_storage(address)?)
    }

    fn pin_balance(&mut self, address: Address) -> Result<(), ViewError> {
        if address == self.beneficiary {
            self.pinned = true;
            if self.tipped.is_some() {
                return Err(self.view.abandon().into());
            }
        }
        Ok(())
    }
}

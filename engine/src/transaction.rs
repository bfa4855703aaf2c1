//! One transaction through revm: in goes its environment, out come its result and the state it leaves.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;

use alloy_eips::eip4788::SYSTEM_ADDRESS;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, Bytes, U256};
use revm::context::journal::JournalInner;
use revm::context::{ContextSetters, ContextTr, JournalEntry, TxEnv};
use revm::context_interface::context::take_error;
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction};
use revm::context_interface::{Block, JournalTr, Transaction};
use revm::handler::{EvmTr, FrameResult, Handler, MainnetHandler, SystemCallTx};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, EvmState};

use crate::error::{BlockError, ExecuteError, Fault, TransactionError};
use crate::evm::{EthEvm, StateDb};
use crate::ledger::Written;
use crate::location::tip;
use crate::sample::Sample;

/// What running one transaction gives.
#[derive(Debug)]
pub(crate) struct Transacted {
    /// Success, revert or halt, with gas and logs.
    pub(crate) result: ExecutionResult<HaltReason>,
    /// Every account and slot it touched, with the values before and after.
    pub(crate) state: EvmState,
    /// What the beneficiary is still owed, if the run left it to the commit.
    pub(crate) unpaid_reward: Option<U256>,
}

impl Transacted {
    /// Leaves to the commit whatever the run has given to the beneficiary, whose account was `before` then. False, and
    /// no change, if the run has done anything else to it.
    pub(crate) fn leave_tip(&mut self, beneficiary: Address, before: &AccountInfo) -> bool {
        let tip = self.state.get(&beneficiary).and_then(|account| tip(account, before));
        if tip.is_some() {
            self.state.remove(&beneficiary);
            self.unpaid_reward = tip;
        }
        tip.is_some()
    }
}

/// Runs a transaction and pays the beneficiary.
pub(crate) fn transact<'t, DB: StateDb>(
    evm: &mut EthEvm<'t, DB>,
    transaction: &'t TxEnv,
) -> Result<Transacted, EVMError<DB::Error>> {
    evm.ctx().set_tx(transaction);
    let result = RewardHandler::new(false).run(evm);
    let state = evm.ctx().journal_mut().finalize();
    Ok(Transacted { result: result?, state, unpaid_reward: None })
}

/// Runs a transaction and leaves the beneficiary unpaid, unless the run itself touched the beneficiary.
///
/// Every transaction pays the beneficiary. If each run wrote that balance, no two could run side by side; so a
/// speculative run only says how much it owes, and the commit pays in block order.
pub(crate) fn transact_unpaid<'t, DB: StateDb>(
    evm: &mut EthEvm<'t, DB>,
    transaction: &'t TxEnv,
) -> Result<Transacted, EVMError<DB::Error>> {
    let mut handler = RewardHandler::new(true);
    evm.ctx().set_tx(transaction);
    let result = handler.run(evm);
    let state = evm.ctx().journal_mut().finalize();
    Ok(Transacted { result: result?, state, unpaid_reward: handler.unpaid.get() })
}

/// What running a transaction gives whose accounts stay in the EVM's journal.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Success, revert or halt, with gas and logs.
    pub(crate) result: ExecutionResult<HaltReason>,
    /// What the beneficiary is still owed, if the journal has no account of his.
    pub(crate) unpaid_reward: Option<U256>,
    /// It has created no account, removed none that was there, and set no code.
    pub(crate) changes_values_only: bool,
}

/// What is noted of transactions whose accounts stay in the EVM's journal.
#[derive(Debug, Default)]
pub(crate) enum Notes {
    /// Nothing.
    #[default]
    None,
    /// What they change, as long as they change values only.
    Written(Written),
    /// What they read and change.
    Sample(Box<Sample>),
}

/// As [`transact_unpaid`], and what the transaction leaves of the accounts stays in the EVM for the next one. Adds to the
/// notes. From Byzantium on.
pub(crate) fn transact_kept<'t, DB: StateDb>(
    evm: &mut EthEvm<'t, DB>,
    transaction: &'t TxEnv,
    notes: &mut Notes,
) -> Result<Kept, EVMError<DB::Error>> {
    let taken = RefCell::new(core::mem::take(notes));
    let mut handler = RewardHandler { keeps: true, notes: taken, ..RewardHandler::new(true) };
    evm.ctx().set_tx(transaction);
    let result = handler.run(evm);
    let (unpaid_reward, changes_values_only) = (handler.unpaid.get(), handler.changes_values_only.get());
    *notes = handler.notes.into_inner();
    Ok(Kept { result: result?, unpaid_reward, changes_values_only })
}

/// Whether a transaction that is over has created no account, removed none that was there, and set no code. One that
/// touches what is not there leaves it so, and nobody has touched it then.
fn changes_values_only(journal: &mut JournalInner<JournalEntry>, caller: Address) -> bool {
    let JournalInner { journal, state, .. } = journal;
    // A sender has a nonce.
    let is_left = |state: &EvmState, address: &Address| {
        *address == caller || state.get(address).is_some_and(|account| !account.is_empty())
    };
    journal.iter().all(|entry| match entry {
        JournalEntry::AccountDestroyed { .. }
        | JournalEntry::AccountCreated { .. }
        | JournalEntry::CodeChange { .. } => false,
        JournalEntry::BalanceChange { address, old_balance } => {
            old_balance.is_zero() || is_left(state, address)
        }
        JournalEntry::BalanceTransfer { balance, from, to } => {
            balance.is_zero() || is_left(state, from) && is_left(state, to)
        }
        JournalEntry::AccountTouched { address } => {
            if *address != caller
                && let Some(account) = state.get_mut(address)
                && account.is_empty()
                && account.is_loaded_as_not_existing()
            {
                account.unmark_touch();
            }
            true
        }
        JournalEntry::AccountWarmed { .. }
        | JournalEntry::NonceChange { .. }
        | JournalEntry::NonceBump { .. }
        | JournalEntry::StorageChanged { .. }
        | JournalEntry::StorageWarmed { .. }
        | JournalEntry::TransientStorageChange { .. } => true,
    })
}

/// What a transaction that is over has done to an account or a slot.
enum Deed {
    /// Looked at an account.
    ReadAccount(Address),
    /// Looked at a slot.
    ReadSlot(Address, U256),
    /// Changed the balance or the nonce of an account.
    ChangedAccount(Address),
    /// Changed a slot.
    ChangedSlot(Address, U256),
}

/// Tells what a transaction that is over has done and not taken back, as far as it changes values only.
#[inline]
fn each_deed(journal: &JournalInner<JournalEntry>, mut tell: impl FnMut(Deed)) {
    for entry in &journal.journal {
        match entry {
            JournalEntry::AccountWarmed { address } => tell(Deed::ReadAccount(*address)),
            JournalEntry::StorageWarmed { address, key } => tell(Deed::ReadSlot(*address, *key)),
            JournalEntry::BalanceChange { address, .. }
            | JournalEntry::NonceChange { address, .. }
            | JournalEntry::NonceBump { address } => tell(Deed::ChangedAccount(*address)),
            JournalEntry::BalanceTransfer { balance, from, to } if !balance.is_zero() => {
                tell(Deed::ChangedAccount(*from));
                tell(Deed::ChangedAccount(*to));
            }
            JournalEntry::StorageChanged { address, key, .. } => tell(Deed::ChangedSlot(*address, *key)),
            JournalEntry::BalanceTransfer { .. }
            | JournalEntry::AccountTouched { .. }
            | JournalEntry::TransientStorageChange { .. }
            // These do more than change values.
            | JournalEntry::AccountDestroyed { .. }
            | JournalEntry::AccountCreated { .. }
            | JournalEntry::CodeChange { .. } => {}
        }
    }
}

/// Notes what a transaction that is over has changed, other than the account of its sender.
fn note_written(journal: &JournalInner<JournalEntry>, caller: Address, written: &mut Written) {
    each_deed(journal, |deed| match deed {
        Deed::ChangedAccount(address) if address != caller => written.note_account(address),
        Deed::ChangedSlot(address, slot) => written.note_slot(address, slot),
        Deed::ChangedAccount(_) | Deed::ReadAccount(_) | Deed::ReadSlot(..) => {}
    });
}

/// Notes what a transaction that is over has read and changed, other than the account of the beneficiary, whom each pays.
fn note_sample(
    journal: &JournalInner<JournalEntry>,
    transaction: &TxEnv,
    beneficiary: Address,
    sample: &mut Sample,
) {
    // Who sends a transaction and whom it calls need not be looked at in it.
    sample.note_account(transaction.caller);
    transaction.kind.to().into_iter().for_each(|recipient| sample.note_account_read(*recipient));
    each_deed(journal, |deed| match deed {
        Deed::ReadAccount(address) if address != beneficiary => sample.note_account_read(address),
        Deed::ChangedAccount(address) if ![transaction.caller, beneficiary].contains(&address) => {
            sample.note_account(address);
        }
        Deed::ReadSlot(address, slot) => sample.note_slot_read(address, slot),
        Deed::ChangedSlot(address, slot) => sample.note_slot(address, slot),
        Deed::ReadAccount(_) | Deed::ChangedAccount(_) => {}
    });
}

/// Calls a system contract: no fee, no nonce, gas of its own (EIP-4788).
pub(crate) fn call_system<DB: StateDb>(
    database: DB,
    env: &EvmEnv<SpecId>,
    contract: Address,
    data: Bytes,
) -> Result<(ExecutionResult<HaltReason>, EvmState), EVMError<DB::Error>> {
    let transaction = TxEnv::new_system_tx_with_caller(SYSTEM_ADDRESS, contract, data);
    let mut evm = EthEvm::new(database, env);
    evm.ctx().set_tx(&transaction);
    let result: Result<_, EVMError<DB::Error>> = MainnetHandler::default().run_system_call(&mut evm);
    let state = evm.ctx().journal_mut().finalize();
    Ok((result?, state))
}

/// revm's mainnet handler, but for the beneficiary's reward.
///
/// revm multiplies price and gas in 128 bits, which a sender of a made-up state can be rich enough to overflow.
struct RewardHandler<'t, DB> {
    /// Leave the reward to the commit, unless the run has looked at the beneficiary.
    deferred: bool,
    /// Say what kind of changes the run has made.
    keeps: bool,
    /// What the beneficiary is still owed.
    unpaid: Cell<Option<U256>>,
    /// The run has created no account, removed none that was there, and set no code.
    changes_values_only: Cell<bool>,
    /// What was noted before, and of this run.
    notes: RefCell<Notes>,
    /// The handler's EVM is typed by its database and where its transactions are kept.
    _evm: PhantomData<(&'t TxEnv, DB)>,
}

impl<DB> RewardHandler<'_, DB> {
    /// A handler for one transaction.
    fn new(deferred: bool) -> Self {
        Self {
            deferred,
            keeps: false,
            unpaid: Cell::new(None),
            changes_values_only: Cell::new(false),
            notes: RefCell::default(),
            _evm: PhantomData,
        }
    }
}

impl<'t, DB: StateDb> Handler for RewardHandler<'t, DB> {
    type Evm = EthEvm<'t, DB>;
    type Error = EVMError<DB::Error>;
    type HaltReason = HaltReason;

    fn reward_beneficiary(&self, evm: &mut Self::Evm, result: &mut FrameResult) -> Result<(), Self::Error> {
        let context = evm.ctx();
        // revm goes on to the fees before it reports what the database could not answer, and there the database may
        // fail again. The first failure is the one that both engines report.
        take_error::<Self::Error, _>(context.error())?;
        let beneficiary = context.block().beneficiary();
        let base_fee = u128::from(context.block().basefee());
        let price = context.tx().effective_gas_price(base_fee);
        // EIP-1559: the base fee is burned.
        let price = if context.cfg().spec().is_enabled_in(SpecId::LONDON) {
            price.saturating_sub(base_fee)
        } else {
            price
        };
        let gas = result.gas();
        let used = gas.used().saturating_sub(gas.reservoir());
        let reward = U256::from(price) * U256::from(used);
        if self.deferred && !context.journal().state.contains_key(&beneficiary) {
            self.unpaid.set(Some(reward));
        } else {
            context.journal_mut().load_account_mut(beneficiary)?.incr_balance(reward);
        }
        if self.keeps {
            let transaction: &TxEnv = context.tx();
            let caller = transaction.caller;
            match &mut *self.notes.borrow_mut() {
                Notes::None => {}
                Notes::Written(written) => note_written(context.journal(), caller, written),
                Notes::Sample(sample) => note_sample(context.journal(), transaction, beneficiary, sample),
            }
            self.changes_values_only.set(changes_values_only(context.journal_mut(), caller));
        }
        Ok(())
    }
}

/// Sorts revm's error for transaction `index` by whose fault it is.
pub(crate) fn blame<E>(
    index: usize,
    error: EVMError<E>,
    database: impl FnOnce(E) -> ExecuteError,
) -> ExecuteError {
    match error {
        EVMError::Transaction(reason) => invalid(index, reason),
        EVMError::Header(reason) => ExecuteError::Fault(Fault::Evm(reason.to_string())),
        EVMError::Database(error) => database(error),
        EVMError::Custom(reason) => ExecuteError::Fault(Fault::Evm(reason)),
        EVMError::CustomAny(reason) => ExecuteError::Fault(Fault::Evm(reason.to_string())),
    }
}

/// The error of a transaction that breaks one of revm's rules.
fn invalid(index: usize, reason: InvalidTransaction) -> ExecuteError {
    BlockError::Transaction { index, reason: TransactionError::Invalid(reason) }.into()
}

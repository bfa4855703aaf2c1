//! Transactions one after the other, on an EVM whose journal keeps what it has loaded.
//!
//! revm can hand over the accounts after each transaction, or keep them in its journal for the next. To hand them over,
//! to make them part of the ledger and to load them again takes a fifth of a swap's time. So they stay, and go into the
//! ledger when there are many, or when the stretch is over. A transaction that does more than change values (it creates
//! or removes an account, or sets a code) goes into the ledger at once, everything before it first, and the journal
//! begins anew. So it does after each transaction if somebody wants to see steps.
//!
//! Of accounts that are in the journal, the journal knows what they are; of all others, the ledger.
//!
//! # Invariants
//!
//! - **J1.** In the end the ledger is as if each transaction had been committed on its own, and no transaction can tell
//!   the difference. What revm's `State` says of an account that is only given other values does not depend on how often
//!   that happens. `tests/determinism/kept.rs` compares rows of transactions of every kind with `sequential`, which keeps
//!   nothing.

use core::ops::Range;

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::context::journal::JournalInner;
use revm::context::{ContextTr, JournalEntry, TxEnv};
use revm::context_interface::JournalTr;
use revm::context_interface::result::{ExecutionResult, HaltReason};
use revm::handler::EvmTr;
use revm::state::{Account, AccountInfo, AccountStatus, EvmState};

use crate::block::ReadyBlock;
use crate::block_state::Committing;
use crate::commit::{BlockRun, Summary};
use crate::error::{ExecuteError, WitnessError};
use crate::evm::EthEvm;
use crate::hash_ahead::{AHEAD, HashesAhead};
use crate::ledger::{Ledger, Written};
use crate::trace::{Recorder, Trace, Work};
use crate::transaction::{self, Transacted, blame};
use crate::transfer::Transfer;

/// How many accounts are kept: as many as a core has near.
const KEPT_MAX: usize = 384;

/// Runs some transactions of a block, and makes what they do part of the block and of the ledger.
///
/// # Errors
///
/// The first of them in block order.
pub(crate) fn run_in_order(
    block: &ReadyBlock<'_>,
    run: &mut BlockRun<'_>,
    ledger: &mut Ledger<'_>,
    indices: Range<u32>,
    trace: Option<&Trace>,
) -> Result<(), ExecuteError> {
    let mut recorder = Recorder::new(trace, Some(0));
    let mut state = KeptState::new(ledger, block, !run.is_watching(), None);
    let end = indices.end as usize;
    for tx in indices.clone() {
        let index = tx as usize;
        if ((tx - indices.start) as usize).is_multiple_of(AHEAD) {
            let next = &block.transactions[index..end.min(index + AHEAD)];
            state.look_ahead(next.iter().map(|ready| &ready.env));
        }
        let ran = match run.admit(index) {
            Ok(()) => state.run(index, &block.transactions[index].env),
            Err(error) => Err(error.into()),
        };
        recorder.note(Work::Execution(tx));
        match ran {
            Ok(Ran::Ordinary { summary, reward }) => {
                run.commit_summary(&mut state, index, summary, reward)?;
            }
            Ok(Ran::Other(transacted)) => {
                run.decide(state.ledger(), index, Ok(*transacted))?;
            }
            Err(error) => {
                run.decide(state.ledger(), index, Err(error))?;
            }
        }
        recorder.note(Work::Commit(tx, 1));
        state.settle_if_full();
        // It may be that the block stops here.
        if run.left() == 0 {
            break;
        }
    }
    state.settle();
    Ok(())
}

/// What a transaction has left for its commit.
pub(crate) enum Ran {
    /// It has only changed values; the accounts have them.
    Ordinary {
        /// What is to be said of it.
        summary: Summary,
        /// What the beneficiary is still owed.
        reward: Option<U256>,
    },
    /// All that it has changed, which is not part of the state yet. Everything before it is in the ledger.
    Other(Box<Transacted>),
}

/// The state between two transactions.
pub(crate) struct KeptState<'r, 'l, 't> {
    /// The EVM, with the accounts that it has loaded.
    evm: EthEvm<'t, &'r mut Ledger<'l>>,
    /// The accounts stay in the EVM.
    keeps: bool,
    /// What was changed, if that is wanted of transactions that only change values.
    written: Option<Written>,
    /// What the next transactions will likely hash. It is learnt anew in each stretch.
    ahead: HashesAhead,
}

impl<'r, 'l, 't> KeptState<'r, 'l, 't> {
    /// The state as the ledger has it. It `keeps` accounts in the EVM if nobody wants to see them, and adds to what was
    /// `written`.
    pub(crate) fn new(
        ledger: &'r mut Ledger<'l>,
        block: &ReadyBlock<'_>,
        keeps: bool,
        written: Option<Written>,
    ) -> Self {
        let evm = EthEvm::new(ledger, &block.env).with_memo();
        Self { evm, keeps, written, ahead: HashesAhead::default() }
    }

    /// Is told what the next transactions are, [`AHEAD`] of them at once: so what they hash can be hashed together. Returns
    /// whether that seems to pay.
    pub(crate) fn look_ahead(&mut self, next: impl Iterator<Item = &'t TxEnv>) -> bool {
        let pays = self.ahead.pays();
        if pays {
            let memo = self.evm.memo();
            self.ahead.hash_for(next, memo);
            memo.listen();
        }
        pays
    }

    /// Runs the next transaction.
    pub(crate) fn run(&mut self, index: usize, transaction: &'t TxEnv) -> Result<Ran, ExecuteError> {
        let failed = |error| blame(index, error, ExecuteError::from);
        if !self.keeps {
            let transacted = transaction::transact_unpaid(&mut self.evm, transaction).map_err(failed)?;
            self.learn(transaction);
            return Ok(Ran::Other(Box::new(transacted)));
        }
        if let Some(transfer) = Transfer::of(&mut self.evm, transaction)
            && self.transfer(&transfer)
        {
            if let (Some(written), Some(recipient)) = (&mut self.written, transfer.recipient) {
                written.note_account(recipient);
            }
            return Ok(Ran::Ordinary { summary: transfer.summary(), reward: Some(transfer.reward) });
        }
        let written = self.written.take();
        let kept = transaction::transact_kept(&mut self.evm, transaction, written).map_err(failed)?;
        self.written = kept.written;
        self.learn(transaction);
        if kept.changes_values_only && !self.ledger().has_shown_an_empty_account() {
            return Ok(Ran::Ordinary { summary: Summary::of(kept.result), reward: kept.unpaid_reward });
        }
        Ok(Ran::Other(Box::new(self.part_with(kept.result, kept.unpaid_reward))))
    }

    /// Learns what a transaction has hashed, if it is the first on the EVM since the last look ahead.
    fn learn(&mut self, transaction: &TxEnv) {
        if let Some(asked) = self.evm.memo().asked() {
            self.ahead.learn(transaction, asked);
        }
    }

    /// Makes a transfer; false, and no change, if its sender cannot pay or it is none after all, or the pre-state has no
    /// answer.
    fn transfer(&mut self, transfer: &Transfer) -> bool {
        let (ledger, journal) = self.evm.database_and_journal();
        let accounts = &journal.state;
        if !accounts.contains_key(&transfer.sender)
            && transfer.recipient.is_none_or(|recipient| !accounts.contains_key(&recipient))
        {
            return ledger.transfer(transfer);
        }
        let made = transfer_in(journal, ledger, transfer).is_some();
        // To the next transaction both are cold again.
        journal.discard_tx();
        made
    }

    /// Empties the journal: what was so before the last transaction goes into the ledger, and the rest is what that one
    /// has changed.
    fn part_with(&mut self, result: ExecutionResult<HaltReason>, unpaid_reward: Option<U256>) -> Transacted {
        let journal = self.evm.ctx().journal_mut();
        // The number of the next one.
        let next = journal.transaction_id.get();
        let mut state = EvmState::default();
        let mut before = EvmState::default();
        for (address, mut account) in journal.finalize() {
            if account.transaction_id.get() + 1 == next {
                before.insert(address, take_before(&mut account, next));
                state.insert(address, account);
            } else {
                before.insert(address, account);
            }
        }
        self.ledger().absorb(before);
        Transacted { result, state, unpaid_reward }
    }

    /// Puts what the journal keeps into the ledger if it is more than is worth keeping, and returns whether it is.
    pub(crate) fn settle_if_full(&mut self) -> bool {
        let is_full = self.evm.ctx().journal_mut().state.len() >= KEPT_MAX;
        if is_full {
            self.settle();
        }
        is_full
    }

    /// Puts what the journal keeps into the ledger, and says what was written.
    pub(crate) fn finish(mut self) -> Option<Written> {
        self.settle();
        self.written
    }

    /// Puts what the journal keeps into the ledger.
    fn settle(&mut self) {
        let (ledger, journal) = self.evm.database_and_journal();
        ledger.absorb(journal.state.drain());
    }

    /// The ledger.
    pub(crate) fn ledger(&mut self) -> &mut Ledger<'l> {
        self.evm.database()
    }
}

/// Makes a transfer between accounts of which the journal has one, and has both then; `None` if it cannot be made.
fn transfer_in(
    journal: &mut JournalInner<JournalEntry>,
    ledger: &mut Ledger<'_>,
    transfer: &Transfer,
) -> Option<()> {
    let left = transfer.left(&journal.load_account(ledger, transfer.sender).ok()?.info)?;
    if let Some(address) = transfer.recipient {
        let sum = transfer.sum(Some(&journal.load_account(ledger, address).ok()?.info))?;
        let recipient = journal.state.get_mut(&address)?;
        recipient.info.balance = sum;
        recipient.mark_touch();
    }
    let sender = journal.state.get_mut(&transfer.sender)?;
    sender.info.balance = left;
    sender.info.nonce += 1;
    sender.mark_touch();
    Some(())
}

/// Takes from an account what it was before the last transaction, which has looked at it. What is left is what revm would
/// have handed over of that transaction alone.
fn take_before(account: &mut Account, next: usize) -> Account {
    let mut before = Account::default().with_info(account.original_info()).with_touched_mark();
    for (slot, value) in &account.storage {
        let mut earlier = value.clone();
        if value.transaction_id.get() + 1 == next {
            earlier.present_value = value.original_value;
        }
        before.storage.insert(*slot, earlier);
    }
    account.storage.retain(|_, value| value.transaction_id.get() + 1 == next);
    // An earlier transaction may have made it.
    if !before.is_empty() {
        account.status -= AccountStatus::LoadedAsNotExisting;
    }
    before
}

/// Where a transaction has only changed values, its commit pays the beneficiary, and no more.
impl Committing for KeptState<'_, '_, '_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.settle();
        self.ledger().account(address)
    }

    fn add_code(&mut self, hash: B256, code: &Bytecode) {
        self.ledger().add_code(hash, code);
    }

    fn credit(&mut self, address: Address, amount: U256) -> Result<bool, WitnessError> {
        if let Some(account) = self.evm.ctx().journal_mut().state.get_mut(&address) {
            account.info.balance = account.info.balance.checked_add(amount).unwrap_or(account.info.balance);
            account.mark_touch();
            return Ok(!account.is_empty());
        }
        let ledger = self.ledger();
        // To touch an account that is not empty changes nothing, nor does it if there is none.
        Ok(ledger.credit(address, amount)?
            || !ledger.account(address)?.is_some_and(|account| account.is_empty()))
    }

    fn commit(&mut self, accounts: EvmState) {
        self.settle();
        self.ledger().commit(accounts);
    }
}

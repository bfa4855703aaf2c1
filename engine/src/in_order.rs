//! Transactions one after the other, on an EVM whose journal keeps what it has loaded.
//!
//! revm can hand over the accounts after each transaction, or keep them in its journal for the next. To hand them over,
//! to make them part of the ledger and to load them again takes a fifth of a swap's time. So they stay, and go into the
//! ledger when there are many, or before anybody else runs. A transaction that does more than change values (it creates
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
use std::time::Instant;

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
use crate::ledger::Ledger;
use crate::sample::{Sample, Sampling};
use crate::trace::{Recorder, Trace, Work};
use crate::transaction::{self, Notes, Transacted, blame};
use crate::transfer::Transfer;

/// How many accounts are kept: as many as a core has near.
const KEPT_MAX: usize = 384;

/// What the EVM keeps from one stretch in order to the next. Nobody may look at the ledger before it is
/// [settled](Self::settle).
#[derive(Debug, Default)]
pub(crate) struct Loaded(Option<JournalInner<JournalEntry>>);

impl Loaded {
    /// Puts it into the ledger.
    pub(crate) fn settle(&mut self, ledger: &mut Ledger<'_>) {
        if let Some(journal) = &mut self.0 {
            ledger.absorb(journal.state.drain());
        }
    }
}

/// Runs some transactions of a block, and makes what they do part of the block and of what is loaded above the ledger. Notes
/// what is wanted of the last of them, and runs no more if that is enough.
///
/// # Errors
///
/// The first of them in block order.
pub(crate) fn run_in_order(
    block: &ReadyBlock<'_>,
    run: &mut BlockRun<'_>,
    ledger: &mut Ledger<'_>,
    loaded: &mut Loaded,
    indices: Range<u32>,
    sampling: Option<Sampling>,
    trace: Option<&Trace>,
) -> Result<Option<Box<Sample>>, ExecuteError> {
    let mut recorder = Recorder::new(trace, Some(0));
    let mut state = KeptState::new(ledger, block, !run.is_watching(), Notes::None);
    state.go_on_with(loaded);
    let end = indices.end as usize;
    let mut first_end = None;
    for tx in indices.clone() {
        let index = tx as usize;
        if sampling.is_some_and(|sampling| indices.end - tx == sampling.last) {
            state.notes = Notes::Sample(Box::new(Sample::new()));
        }
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
        let sampled = state.end_sampled();
        let is_enough = sampling.is_some_and(|sampling| {
            sampling.is_enough(first_end.get_or_insert_with(Instant::now).elapsed(), sampled)
        });
        // It may be that the block stops here.
        if is_enough || run.left() == 0 {
            break;
        }
    }
    Ok(match state.leave_to(loaded) {
        Notes::Sample(sample) => Some(sample),
        Notes::None | Notes::Written(_) => None,
    })
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
    /// What is noted of transactions that only change values.
    notes: Notes,
    /// What the next transactions will likely hash. It is learnt anew in each stretch.
    ahead: HashesAhead,
}

impl<'r, 'l, 't> KeptState<'r, 'l, 't> {
    /// The state as the ledger has it. It `keeps` accounts in the EVM if nobody wants to see them, and adds to the notes
    /// then.
    pub(crate) fn new(ledger: &'r mut Ledger<'l>, block: &ReadyBlock<'_>, keeps: bool, notes: Notes) -> Self {
        let evm = EthEvm::new(ledger, &block.env).with_memo();
        Self { evm, keeps, notes, ahead: HashesAhead::default() }
    }

    /// The accounts are those that an earlier stretch in order has left, if there was one.
    fn go_on_with(&mut self, loaded: &mut Loaded) {
        if let Some(journal) = loaded.0.take() {
            *self.evm.database_and_journal().1 = journal;
        }
    }

    /// Leaves the accounts to the next stretch in order, and hands the notes over.
    fn leave_to(mut self, loaded: &mut Loaded) -> Notes {
        loaded.0 = Some(core::mem::take(self.evm.database_and_journal().1));
        self.notes
    }

    /// The last transaction is over, in case a sample is taken. Returns how many that has.
    fn end_sampled(&mut self) -> u32 {
        let Notes::Sample(sample) = &mut self.notes else { return 0 };
        sample.end_transaction();
        sample.txs()
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
            match &mut self.notes {
                Notes::None => {}
                Notes::Written(written) => {
                    transfer.recipient.into_iter().for_each(|address| written.note_account(address));
                }
                Notes::Sample(sample) => {
                    sample.note_account(transfer.sender);
                    transfer.recipient.into_iter().for_each(|address| sample.note_account(address));
                }
            }
            return Ok(Ran::Ordinary { summary: transfer.summary(), reward: Some(transfer.reward) });
        }
        let kept = transaction::transact_kept(&mut self.evm, transaction, &mut self.notes).map_err(failed)?;
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

    /// Puts what the journal keeps into the ledger, and hands the notes over.
    pub(crate) fn finish(mut self) -> Notes {
        self.settle();
        self.notes
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

#[cfg(test)]
mod tests {
    use alloy_consensus::{Header, Signed, TxLegacy};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::map::HashMap;
    use alloy_primitives::{Bytes, Signature, TxKind, keccak256};

    use super::*;
    use crate::block::{Block, SignedTransaction};
    use crate::chain::Chain;
    use crate::pre_state::{Ancestors, PlainAccount, PlainState};
    use crate::sequential;
    use crate::setup::Setup;

    /// Adds one to a slot.
    const COUNT: &[u8] = &[0x5f, 0x54, 0x60, 0x01, 0x01, 0x5f, 0x55];

    /// A sample of twelve calls, of which the `nth` is one of a contract that has this number, behind a stretch of four.
    fn sample(contract: impl Fn(u8) -> u8, data: &'static [u8]) -> Sample {
        let transaction = |nth: u8| {
            let to = TxKind::Call(Address::repeat_byte(contract(nth)));
            let value = U256::from(u8::from(data.is_empty()));
            let call = TxLegacy { to, value, gas_limit: 100_000, input: data.into(), ..TxLegacy::default() };
            // Of another transaction, the same signature is somebody else's.
            let signature = Signature::new(U256::ONE, U256::from(2 + nth), false);
            SignedTransaction::Legacy(Signed::new_unhashed(call, signature))
        };
        let header = Header { gas_limit: 30_000_000, base_fee_per_gas: Some(0), ..Header::default() };
        let mut block = Block::uncle(header);
        block.body.transactions = (1..=16).map(transaction).collect();
        let rules = Chain::at_fork(1, EthereumHardfork::Shanghai).rules_at(1, 1);
        let block = ReadyBlock::new(&rules, &block, None).unwrap();
        let account = |address, code: &[u8]| {
            let balance = U256::from(9);
            let info = AccountInfo { balance, code_hash: keccak256(code), ..AccountInfo::default() };
            (address, PlainAccount { info: info.without_code(), storage: HashMap::default() })
        };
        let code = if data.is_empty() { &[] } else { COUNT };
        let contracts = (1..=16).map(|number| account(Address::repeat_byte(number), code));
        let senders = block.transactions.iter().map(|ready| account(ready.env.caller, &[]));
        let accounts = contracts.chain(senders).collect();
        let pre_state = PlainState::new(accounts, &[Bytes::from_static(COUNT)], Ancestors::default());
        let mut ledger = Ledger::new(&block, &pre_state, 1);
        let mut run = BlockRun::begin(&block, &mut ledger, Setup::default()).unwrap();
        let mut loaded = Loaded::default();
        let [before, sample] = [0..4, 4..16].map(|indices| {
            let sampling = (indices.start > 0).then_some(Sampling { last: 12, most: None });
            run_in_order(&block, &mut run, &mut ledger, &mut loaded, indices, sampling, None).unwrap()
        });
        assert!(before.is_none());
        loaded.settle(&mut ledger);
        assert_eq!(run.finish(&mut ledger), sequential::run(&block, &pre_state));
        *sample.unwrap()
    }

    #[test]
    fn a_sample_sees_who_writes_what_others_read() {
        for data in [&[][..], &[1]] {
            let chain = sample(|_| 1, data);
            assert_eq!((chain.txs(), chain.is_chain()), (12, true));
            assert!(!sample(|nth| nth, data).is_chain());
        }
    }
}

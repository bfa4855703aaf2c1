//! The same outcome as [`crate::sequential`], on all cores.
//!
//! Workers run transactions speculatively, each on what lower transactions have written so far; the scheduler
//! validates what they read and hands results over in block order to the same `BlockRun` that the sequential
//! engine drives. A result that stood on stale reads is thrown away with everything in it, errors included.
//!
//! # Invariants
//!
//! - **E1.** The outcome, or the error, is that of [`crate::sequential::run`], byte for byte, for any number of
//!   workers. `tests/conformance` compares them on every fixture, `tests/determinism` on blocks made
//!   to set them apart.
//! - **E2.** The beneficiary's account is only written in block order. A run that has seen it out of order has seen
//!   nothing of it that depends on the order.

use core::cmp::Reverse;
use core::ops::Range;

use alloy_primitives::map::{AddressMap, AddressSet, HashMap};
use alloy_primitives::{Address, B256, TxKind, U256};
use parking_lot::RwLock;
use revm::bytecode::Bytecode;
use revm::context::TxEnv;
use revm::context_interface::result::EVMError;
use revm::state::AccountInfo;
use weft_scheduler::{
    Block, Blocked, Commit, Execution, Executor, Pace, RUN_OVERHEAD, Stats, Stretch, TxIndex, View,
};

use crate::block::{ReadyBlock, ReadyTransaction};
use crate::commit::BlockRun;
use crate::counters::Counters;
use crate::error::{ExecuteError, Fault, WitnessError};
use crate::evm::EthEvm;
use crate::foresight::Foresight;
use crate::ledger::Ledger;
use crate::location::{Location, Value, write_set};
use crate::outcome::Outcome;
use crate::pre_state::PreState;
use crate::sequential;
use crate::setup::Setup;
use crate::simulate::Rehearsal;
use crate::trace::{Trace, Work};
use crate::transaction::{self, Transacted, blame};
use crate::view::{CommittedState, ViewDb, ViewError};

/// Runs a block on its pre-state with the threads of the current rayon pool.
///
/// # Errors
///
/// As [`crate::sequential::run`].
pub fn run(block: &ReadyBlock<'_>, pre_state: &dyn PreState) -> (Result<Outcome, ExecuteError>, Counters) {
    run_with(block, pre_state, Setup::default())
}

/// As [`run`], in another way.
///
/// # Errors
///
/// As [`crate::sequential::run`].
pub fn run_with(
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    setup: Setup<'_>,
) -> (Result<Outcome, ExecuteError>, Counters) {
    let workers = setup.rehearsal.map_or_else(rayon::current_num_threads, Rehearsal::workers);
    let workers = workers.min(block.transactions.len());
    let _span = tracing::debug_span!("transactions", workers, count = block.transactions.len()).entered();
    let mut ledger = Ledger::new(block, pre_state);
    let mut counters = Counters::default();
    let run = match BlockRun::begin(block, &mut ledger, setup) {
        Ok(run) => run,
        Err(error) => return (Err(error), counters),
    };
    let mut committed = CommittedPart {
        committer: RwLock::new(Committer { run, state: ledger, error: None }),
        pre_state,
        familiar: None,
    };
    // Nobody looks ahead of one worker.
    let list = block.access_list.filter(|_| workers > 1);
    let foresight = list.map(Foresight::decode);
    let mut pace = if setup.restless {
        Pace::restless(workers)
    } else {
        Pace::new(workers)
            .expecting(block.transactions.iter().map(|transaction| expected_cost(&transaction.env)))
    };
    loop {
        let done = committed.committer.get_mut();
        let (first, left) = (done.run.decided(), done.run.left());
        if left == 0 || done.error.is_some() {
            break;
        }
        let measured = setup.rehearsal.and_then(|rehearsal| rehearsal.stretch(left));
        match measured.unwrap_or_else(|| pace.next_stretch(left)) {
            Stretch::InOrder(length) => {
                counters.in_order(length);
                tracing::trace!(first, length, "stretch in order");
                done.error = run_in_order(block, done, first..first + length, setup.trace).err();
                if let Some(rehearsal) = setup.rehearsal {
                    rehearsal.note_in_order(first, length);
                }
            }
            Stretch::Speculative(length) => {
                committed.begin_stretch(block.header.beneficiary);
                let executor =
                    BlockExecutor { block, foresight: foresight.as_ref(), committed: &committed, first };
                let stats = match setup.rehearsal {
                    Some(rehearsal) => executor.rehearse(length, &pace, workers, rehearsal),
                    None => executor.run(length, &pace, workers, setup.trace),
                };
                match stats {
                    Ok(counts) => {
                        pace.note(&counts);
                        counters.speculative(&counts);
                        tracing::trace!(first, length, ?counts, "speculative stretch");
                    }
                    Err(fault) => {
                        // A bug of ours is no property of the block: the specification decides, and the counters tell.
                        debug_assert!(false, "the scheduler failed: {fault}");
                        counters.fallbacks += 1;
                        tracing::error!(%fault, "the scheduler failed; the block runs again in order");
                        let told = committed.committer.into_inner().run.told();
                        return (sequential::run_telling_from(told, block, pre_state, setup), counters);
                    }
                }
            }
        }
    }
    let Committer { run, mut state, error } = committed.committer.into_inner();
    let outcome = match error {
        Some(error) => Err(error),
        None => run.finish(&mut state),
    };
    (outcome, counters)
}

/// Runs some transactions one after the other: there is nothing to speculate on, or it does not pay.
fn run_in_order(
    block: &ReadyBlock<'_>,
    committer: &mut Committer<'_>,
    indices: Range<u32>,
    trace: Option<&Trace>,
) -> Result<(), ExecuteError> {
    let Committer { run, state, .. } = committer;
    let mut recorder = trace.map(|trace| trace.recorder(Some(0)));
    let mut evm = EthEvm::new(state, &block.env);
    for tx in indices {
        let index = tx as usize;
        let transacted = run.admit(index).map_err(ExecuteError::from).and_then(|()| {
            transaction::transact_unpaid(&mut evm, &block.transactions[index].env)
                .map_err(|error| blame(index, error, ExecuteError::from))
        });
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Execution(tx));
        }
        run.decide(*evm.database(), index, transacted)?;
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Commit(tx, 1));
        }
        // It may be that the block stops here.
        if run.left() == 0 {
            break;
        }
    }
    Ok(())
}

/// A stretch of the block, as the scheduler drives it.
struct BlockExecutor<'s, 'a> {
    /// The block.
    block: &'a ReadyBlock<'a>,
    /// What its access list says, if it came with one.
    foresight: Option<&'s Foresight>,
    /// State before the stretch, and then as the stretch is committed.
    committed: &'s CommittedPart<'a>,
    /// The stretch's first transaction. The scheduler counts from here.
    first: u32,
}

impl BlockExecutor<'_, '_> {
    /// Runs `length` transactions, or fewer if speculation does not pay, on the threads of the current pool.
    fn run(
        &self,
        length: u32,
        pace: &Pace,
        workers: usize,
        trace: Option<&Trace>,
    ) -> Result<Stats, weft_scheduler::Fault> {
        let scheduler = self.prepare(length, pace, workers);
        let work = |worker| match trace.map(|trace| trace.recorder(Some(worker))) {
            Some(mut recorder) => scheduler.work_watched(worker, |step| recorder.note_step(step, self.first)),
            None => scheduler.work(worker),
        };
        rayon::scope(|scope| {
            let work = &work;
            for worker in 1..workers {
                scope.spawn(move |_| work(worker));
            }
            // The helpers may come late or not at all. At the end, this thread runs those that have not started, and
            // they find the stretch over.
            work(0);
        });
        scheduler.finish()
    }

    /// As [`Self::run`], on virtual cores.
    fn rehearse(
        &self,
        length: u32,
        pace: &Pace,
        workers: usize,
        rehearsal: &Rehearsal<'_>,
    ) -> Result<Stats, weft_scheduler::Fault> {
        // Who measures wants nobody to begin early.
        let hinted = if rehearsal.measures() { 1 } else { workers };
        rehearsal.drive(self.first, length, workers, || self.prepare(length, pace, hinted))
    }

    /// The stretch with all that is foreseen of it.
    fn prepare(&self, length: u32, pace: &Pace, workers: usize) -> Block<'_, Self> {
        let mut scheduler = pace.block(self, length);
        if let Some(foresight) = self.foresight {
            let stretch = self.first..self.first + length;
            let beneficiary = self.block.header.beneficiary;
            for (tx, writes) in foresight.of_stretch(stretch, self.committed, beneficiary) {
                let writes = writes.into_iter().map(|(location, value)| (location, Some(value)));
                scheduler.predict(tx, writes.collect());
            }
        } else {
            for (tx, sender) in self.repeated_senders(length) {
                scheduler.predict(tx, vec![(Location::Account(sender), None)]);
            }
        }
        scheduler.group(&self.callees(length));
        scheduler.start_early(&self.longest(length, workers));
        scheduler
    }

    /// The transactions whose sender sends another one later, which will find a nonce that this one has written.
    fn repeated_senders(&self, length: u32) -> Vec<(TxIndex, Address)> {
        let mut last: AddressMap<TxIndex> = AddressMap::default();
        let senders = (0..length).map(|tx| (TxIndex(tx), self.transaction(TxIndex(tx)).env.caller));
        senders.filter_map(|(tx, sender)| Some((last.insert(sender, tx)?, sender))).collect()
    }

    /// Groups the transactions by whom they call.
    fn callees(&self, length: u32) -> Vec<u32> {
        let mut numbers: HashMap<TxKind, u32> = HashMap::default();
        let mut count = 0..;
        let mut number = |tx| {
            *numbers
                .entry(self.transaction(TxIndex(tx)).env.kind)
                .or_insert_with(|| count.next().unwrap_or(0))
        };
        (0..length).map(&mut number).collect()
    }

    /// Transactions that may take so long that it matters when they begin, by the gas that they may use: more than a
    /// fourth of a worker's share.
    fn longest(&self, length: u32, workers: usize) -> Vec<TxIndex> {
        let gas = |tx: &TxIndex| self.transaction(*tx).env.gas_limit;
        let all: u128 = (0..length).map(|tx| u128::from(gas(&TxIndex(tx)))).sum();
        let long = |tx: &TxIndex| u128::from(gas(tx)) * 4 * workers as u128 > all;
        let mut longest: Vec<TxIndex> = (0..length).map(TxIndex).filter(long).collect();
        longest.sort_by_key(|tx| Reverse(gas(tx)));
        longest
    }

    /// Where a transaction of the stretch stands in the block.
    fn index(&self, tx: TxIndex) -> usize {
        (self.first + tx.0) as usize
    }

    /// A transaction of the stretch.
    fn transaction(&self, tx: TxIndex) -> &ReadyTransaction {
        &self.block.transactions[self.index(tx)]
    }
}

/// The committed part of the block, and what ended it.
struct Committer<'a> {
    /// The committed part.
    run: BlockRun<'a>,
    /// The state it leaves.
    state: Ledger<'a>,
    /// The first error in block order.
    error: Option<ExecuteError>,
}

/// The committed part, behind the lock that commits take, and what lies beneath it.
struct CommittedPart<'a> {
    /// The committed part.
    committer: RwLock<Committer<'a>>,
    /// State before the block. It is asked without the lock: that takes long.
    pre_state: &'a dyn PreState,
    /// The accounts that the block had to do with before the stretch, if there are few, and the beneficiary. Whoever
    /// looks beneath a stretch sees any other as it is in the pre-state, and need not ask the committed part.
    familiar: Option<AddressSet>,
}

impl CommittedPart<'_> {
    /// More familiar accounts than this are not listed: to make the list would take longer than to do without.
    const FAMILIAR_MAX: usize = 64;

    /// A stretch begins.
    fn begin_stretch(&mut self, beneficiary: Address) {
        let known = self.committer.get_mut().state.addresses();
        self.familiar = (known.len() <= Self::FAMILIAR_MAX).then(|| known.chain([beneficiary]).collect());
    }

    /// Whether the block had nothing to do with this account before the stretch.
    fn is_unfamiliar(&self, address: &Address) -> bool {
        self.familiar.as_ref().is_some_and(|familiar| !familiar.contains(address))
    }
}

impl CommittedState for CommittedPart<'_> {
    fn count(&self) -> u32 {
        self.committer.read().run.decided()
    }

    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        if self.is_unfamiliar(&address) {
            return self.pre_state.account(address);
        }
        let known = self.committer.read().state.known(address).map(|entry| entry.now.clone());
        known.map_or_else(|| self.pre_state.account(address), Ok)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        if self.is_unfamiliar(&address) {
            return self.pre_state.storage(address, slot);
        }
        let known = self.committer.read().state.known_slot(address, slot);
        known.map_or_else(|| self.pre_state.storage(address, slot), Ok)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        if self.is_unfamiliar(&address) {
            return self.pre_state.has_storage(address);
        }
        let known = self.committer.read().state.knows_storage(address);
        known.map_or_else(|| self.pre_state.has_storage(address), Ok)
    }

    fn code(&self, hash: B256) -> Option<Bytecode> {
        self.committer.read().state.known_code(hash)
    }
}

impl Executor for BlockExecutor<'_, '_> {
    type Key = Location;
    type Value = Value;
    type Output = Result<Box<Transacted>, ExecuteError>;
    type Scratch<'b>
        = EthEvm<'b, ViewDb<'b>>
    where
        Self: 'b;

    fn scratch<'b>(&'b self, _worker: usize, view: View<'b, Location, Value>) -> Self::Scratch<'b> {
        let database = ViewDb {
            view,
            pre_state: self.committed.pre_state,
            beneficiary: self.block.header.beneficiary,
            committed: self.committed,
            first: self.first,
            any_wipe: None,
            tipped: None,
            pinned: false,
        };
        EthEvm::new(database, &self.block.env)
    }

    fn view<'s, 'b>(&'b self, evm: &'s mut Self::Scratch<'b>) -> &'s mut View<'b, Location, Value> {
        &mut evm.database().view
    }

    fn execute<'b>(
        &'b self,
        evm: &mut Self::Scratch<'b>,
        tx: TxIndex,
    ) -> Result<Execution<Location, Value, Self::Output>, Blocked> {
        let index = self.index(tx);
        let environment = &self.transaction(tx).env;
        evm.database().begin(environment.caller);
        match transaction::transact_unpaid(evm, environment) {
            Ok(mut transacted) => {
                if let Some(before) = evm.database().tipped.take()
                    && !transacted.leave_tip(self.block.header.beneficiary, &before)
                {
                    return Err(evm.database().view.abandon());
                }
                let writes = write_set(tx, &transacted.state, self.block.header.beneficiary);
                Ok(Execution { writes, cost: cost(&transacted), output: Ok(Box::new(transacted)) })
            }
            Err(EVMError::Database(ViewError::Blocked(blocked))) => Err(blocked),
            Err(error) => {
                let error = blame(index, error, |error| match error {
                    ViewError::Witness(error) => error.into(),
                    ViewError::Blocked(_) => Fault::Evm("a blocked read was swallowed".to_owned()).into(),
                });
                Ok(Execution { writes: Vec::new(), cost: 0, output: Err(error) })
            }
        }
    }

    fn commit(&self, tx: TxIndex, output: Self::Output) -> Commit {
        let index = self.index(tx);
        let Committer { run, state, error } = &mut *self.committed.committer.write();
        let transacted = run.admit(index).map_err(ExecuteError::from).and(output);
        match run.decide(state, index, transacted.map(|transacted| *transacted)) {
            Ok(true) => Commit::Continue,
            Ok(false) if run.left() == 0 => Commit::Stop,
            // It may have run and written: that there is no room for it is only known now.
            Ok(false) => Commit::Discard,
            Err(first) => {
                *error = Some(first);
                Commit::Stop
            }
        }
    }
}

/// How long a transaction takes in order: a plain transfer takes half as long as what the scheduler adds to it, and
/// every 4,000 units of gas beyond that as long as what it adds. Measured with `benches/`, `raw/independent` and
/// `swap/independent`.
fn cost(transacted: &Transacted) -> u32 {
    cost_of_gas(transacted.result.tx_gas_used())
}

/// How long a transaction may take that has not run.
fn expected_cost(transaction: &TxEnv) -> u32 {
    cost_of_gas(if transaction.data.is_empty() { 0 } else { transaction.gas_limit })
}

/// How long a transaction takes that uses so much gas.
fn cost_of_gas(gas: u64) -> u32 {
    const TRANSFER: u32 = RUN_OVERHEAD / 2;
    const GAS_PER_COST: u64 = 4_000 / RUN_OVERHEAD as u64;
    TRANSFER.saturating_add(u32::try_from(gas.saturating_sub(21_000) / GAS_PER_COST).unwrap_or(u32::MAX))
}

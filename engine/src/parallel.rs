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

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, U256};
use parking_lot::Mutex;
use revm::Database;
use revm::context_interface::result::EVMError;
use revm::state::AccountInfo;
use weft_scheduler::{Blocked, Commit, Execution, Executor, TxIndex, View};

use crate::block::ReadyBlock;
use crate::block_state::BlockState;
use crate::commit::BlockRun;
use crate::error::{ExecuteError, Fault, WitnessError};
use crate::evm::{EthEvm, StateDb};
use crate::ledger::Ledger;
use crate::location::{Location, Value, write_set};
use crate::outcome::Outcome;
use crate::pre_state::PreState;
use crate::sequential;
use crate::start_state::StartState;
use crate::trace::{Trace, Work};
use crate::transaction::{self, Transacted, blame};
use crate::view::{CommittedState, ViewDb, ViewError};

/// What the run did, for those who watch: no part of the outcome, and different from run to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Incarnations run, first ones and repetitions.
    pub executions: u64,
    /// Incarnations thrown away.
    pub aborts: u64,
    /// Blocks that the specification ran in the end, because the scheduler broke one of its own rules. Anything but
    /// zero is a bug of ours to report.
    pub fallbacks: u64,
}

/// Runs a block on its pre-state with the threads of the current rayon pool.
///
/// # Errors
///
/// As [`crate::sequential::run`].
///
/// # Panics
///
/// Never: a block of four billion transactions does not fit in memory.
pub fn run(block: &ReadyBlock<'_>, pre_state: &dyn PreState) -> (Result<Outcome, ExecuteError>, Counters) {
    run_traced(block, pre_state, None)
}

/// As [`run`], and records who did what and when.
///
/// # Errors
///
/// As [`crate::sequential::run`].
///
/// # Panics
///
/// Never: a block of four billion transactions does not fit in memory.
pub fn run_traced(
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    trace: Option<&Trace>,
) -> (Result<Outcome, ExecuteError>, Counters) {
    let transactions = block.transactions.len();
    let workers = rayon::current_num_threads().min(transactions);
    let mut state = Ledger::new(block, pre_state);
    let run = match BlockRun::begin(block, &mut state) {
        Ok(run) => run,
        Err(error) => return (Err(error), Counters::default()),
    };
    if workers < 2 {
        let counters = Counters { executions: transactions as u64, ..Counters::default() };
        return (run_in_order(block, run, state, trace), counters);
    }
    let start = StartState::new(pre_state, &state);
    let committer = Committed(Mutex::new(Committer { run, state, error: None }));
    let executor = BlockExecutor { block, pre_state: &start, committer };
    let indices = u32::try_from(transactions).expect("a transaction takes more than a byte of memory");
    let mut scheduler = weft_scheduler::Block::new(&executor, indices, workers);
    for (tx, sender) in repeated_senders(block) {
        scheduler.predict(tx, vec![Location::Account(sender)]);
    }
    let work = |worker| match trace.map(|trace| trace.recorder(Some(worker))) {
        Some(mut recorder) => scheduler.work_watched(worker, |step| recorder.note_step(step)),
        None => scheduler.work(worker),
    };
    rayon::scope(|scope| {
        let work = &work;
        for worker in 1..workers {
            scope.spawn(move |_| work(worker));
        }
        // The helpers may come late or not at all. At the end, this thread runs those that have not started, and
        // they find the block over.
        work(0);
    });
    let counts = match scheduler.finish() {
        Ok(counts) => counts,
        Err(fault) => {
            // A bug of ours is no property of the block: the specification decides, and the counters tell.
            debug_assert!(false, "the scheduler failed: {fault}");
            let counters = Counters { fallbacks: 1, executions: transactions as u64, aborts: 0 };
            return (sequential::run(block, pre_state), counters);
        }
    };
    let Committer { run, mut state, error } = executor.committer.0.into_inner();
    let outcome = match error {
        Some(error) => Err(error),
        None => run.finish(&mut state),
    };
    (outcome, Counters { executions: counts.executions, aborts: counts.aborts, fallbacks: 0 })
}

/// The transactions whose sender sends another one later, which will find a nonce that this one has written.
fn repeated_senders(block: &ReadyBlock<'_>) -> Vec<(TxIndex, Address)> {
    let mut last: AddressMap<TxIndex> = AddressMap::default();
    let senders = block.transactions.iter().map(|transaction| transaction.env.caller);
    let sent = (0..).map(TxIndex).zip(senders);
    sent.filter_map(|(tx, sender)| Some((last.insert(sender, tx)?, sender))).collect()
}

/// Runs a block with one worker: there is nothing to speculate on.
fn run_in_order(
    block: &ReadyBlock<'_>,
    mut run: BlockRun<'_>,
    state: Ledger<'_>,
    trace: Option<&Trace>,
) -> Result<Outcome, ExecuteError> {
    let mut recorder = trace.map(|trace| trace.recorder(Some(0)));
    let mut evm = EthEvm::new(state, &block.env);
    for (index, transaction) in block.transactions.iter().enumerate() {
        run.admit(index)?;
        let tx = run.committed();
        let transacted = transaction::transact_unpaid(&mut evm, &transaction.env)
            .map_err(|error| blame(index, error, ExecuteError::from))?;
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Execution(tx));
        }
        run.commit(evm.database(), index, transacted)?;
        if let Some(recorder) = &mut recorder {
            recorder.note(Work::Commit(tx, 1));
        }
    }
    run.finish(evm.database())
}

/// The block, as the scheduler drives it.
struct BlockExecutor<'a> {
    /// The block.
    block: &'a ReadyBlock<'a>,
    /// State after the system calls and before the first transaction.
    pre_state: &'a StartState<'a>,
    /// Takes results in block order.
    committer: Committed<'a>,
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

/// The committed part, behind the lock that commits take: the state that a run at the frontier sees.
struct Committed<'a>(Mutex<Committer<'a>>);

impl CommittedState for Committed<'_> {
    fn account(&self, address: Address) -> Result<(u32, Option<AccountInfo>), WitnessError> {
        let Committer { run, state, .. } = &mut *self.0.lock();
        Ok((run.committed(), state.account(address)?))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.0.lock().state.storage(address, slot)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.0.lock().state.has_storage(address)
    }
}

impl Executor for BlockExecutor<'_> {
    type Key = Location;
    type Value = Value;
    type Output = Result<Box<Transacted>, ExecuteError>;
    type Scratch<'b>
        = EthEvm<ViewDb<'b>>
    where
        Self: 'b;

    fn scratch<'b>(&'b self, _worker: usize, view: View<'b, Location, Value>) -> EthEvm<ViewDb<'b>> {
        let database = ViewDb {
            view,
            pre_state: self.pre_state,
            beneficiary: self.block.header.beneficiary,
            committed: &self.committer,
            any_wipe: None,
            tipped: None,
            pinned: false,
        };
        EthEvm::new(database, &self.block.env)
    }

    fn view<'s, 'b>(&'b self, evm: &'s mut EthEvm<ViewDb<'b>>) -> &'s mut View<'b, Location, Value> {
        &mut evm.database().view
    }

    fn execute<'b>(
        &'b self,
        evm: &mut EthEvm<ViewDb<'b>>,
        tx: TxIndex,
    ) -> Result<Execution<Location, Value, Self::Output>, Blocked> {
        let index = tx.0 as usize;
        let environment = &self.block.transactions[index].env;
        evm.database().begin(environment.caller);
        match transaction::transact_unpaid(evm, environment) {
            Ok(mut transacted) => {
                if let Some(before) = evm.database().tipped.take()
                    && !transacted.leave_tip(self.block.header.beneficiary, &before)
                {
                    return Err(evm.database().view.abandon());
                }
                let writes = write_set(tx, &transacted.state, self.block.header.beneficiary);
                Ok(Execution { writes, output: Ok(Box::new(transacted)) })
            }
            Err(EVMError::Database(ViewError::Blocked(blocked))) => Err(blocked),
            Err(error) => {
                let error = blame(index, error, |error| match error {
                    ViewError::Witness(error) => error.into(),
                    ViewError::Blocked(_) => Fault::Evm("a blocked read was swallowed".to_owned()).into(),
                });
                Ok(Execution { writes: Vec::new(), output: Err(error) })
            }
        }
    }

    fn commit(&self, tx: TxIndex, output: Self::Output) -> Commit {
        let index = tx.0 as usize;
        let Committer { run, state, error } = &mut *self.committer.0.lock();
        let committed = run
            .admit(index)
            .map_err(ExecuteError::from)
            .and(output)
            .and_then(|transacted| run.commit(state, index, *transacted));
        match committed {
            Ok(()) => Commit::Continue,
            Err(first) => {
                *error = Some(first);
                Commit::Stop
            }
        }
    }
}

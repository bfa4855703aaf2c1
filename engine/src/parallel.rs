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

use core::cell::OnceCell;
use core::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use parking_lot::{Mutex, RwLock};
use rayon::prelude::*;
use revm::Database;
use revm::bytecode::Bytecode;
use revm::context_interface::result::EVMError;
use revm::state::AccountInfo;
use weft_scheduler::{
    Block, Blocked, Commit, Execution, Executor, Pace, Stats, Stretch, TxIndex, View, WorkspaceOf,
};

use crate::alike;
use crate::block::{ReadyBlock, ReadyTransaction};
use crate::commit::{BlockRun, Summary, is_watched};
use crate::counters::Counters;
use crate::course::Course;
use crate::desk::{Desk, OwnDesk};
use crate::error::{ExecuteError, Fault, WitnessError};
use crate::evm::EthEvm;
use crate::expected::{self, ListWorth};
use crate::foresight::Foresight;
use crate::in_order::run_in_order;
use crate::ledger::{About, Base, EffectLog, Effects, Ledger, OpenStretch, WORTH_SHARING};
use crate::location::{Location, Value, are_ordinary, write_set};
use crate::outcome::Outcome;
use crate::pre_state::PreState;
use crate::sequential;
use crate::setup::Setup;
use crate::simulate::Rehearsal;
use crate::strands::{Outlook, Strands, Way};
use crate::trace::Trace;
use crate::transaction::{self, Transacted, blame};
use crate::transfer::Transfer;
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
    let Plan { pace, list, way } = plan(block, is_watched(block, &setup), workers, &setup);
    let looks_at_the_clock = setup.rehearsal.is_none() && !setup.restless;
    let mut course = Course::new(pace, looks_at_the_clock);
    // Who fills it alone is faster with one part.
    let is_in_order = course.pace().is_in_order(u32::try_from(block.transactions.len()).unwrap_or(u32::MAX));
    let mut ledger = Ledger::new(block, pre_state, if is_in_order { 1 } else { workers });
    let mut counters = Counters::default();
    let mut run = match BlockRun::begin(block, &mut ledger, setup) {
        Ok(run) => run,
        Err(error) => return (Err(error), counters),
    };
    let foresight = OnceCell::new();
    let mut workspace = None;
    let desks: Vec<Mutex<Desk>> = (0..workers).map(|_| Mutex::default()).collect();
    let mut strands = Strands::new(workers, outlook(&run, &setup), way);
    while run.left() > 0 {
        let (first, left) = (run.decided(), run.left());
        if let Some(length) = course.stretch_if_nothing_meets(left) {
            match strands.run(block, &mut run, &mut ledger, length, &mut counters, &setup) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => return (Err(error), counters),
            }
        }
        // Strands that have failed are nobody else's fault.
        let (start, gas) = (Instant::now(), run.gas_paid());
        let measured = setup.rehearsal.and_then(|rehearsal| rehearsal.stretch(left));
        let planned = measured.unwrap_or_else(|| course.next_stretch(left));
        let stretch = strands.probe(planned, || block.foretold());
        match stretch {
            Stretch::InOrder(length) => {
                counters.in_order(length);
                tracing::trace!(first, length, "stretch in order");
                let indices = first..first + length;
                let ran = run_in_order(block, &mut run, &mut ledger, indices, setup.trace);
                if let Some(rehearsal) = setup.rehearsal {
                    rehearsal.note_in_order(first, length);
                }
                if let Err(error) = ran {
                    return (Err(error), counters);
                }
                // The first few of a block say little.
                if stretch == planned {
                    course.note_in_order(run.gas_paid() - gas, start.elapsed());
                }
                strands.note_in_order();
            }
            Stretch::Speculative(length) => {
                let read = || Foresight::read(block, pre_state);
                let foresight = list.map(|_| {
                    foresight.get_or_init(|| match setup.rehearsal {
                        Some(rehearsal) => rehearsal.foresee(read),
                        None => read(),
                    })
                });
                let is_watched = run.is_watching();
                let Ledger { base, open, .. } = ledger;
                let executor = BlockExecutor {
                    block,
                    foresight,
                    beneath: Beneath {
                        base,
                        beneficiary: block.header.beneficiary,
                        committer: RwLock::new(Committer { run, open, error: None }),
                    },
                    first,
                    is_watched,
                    looks_at_the_clock,
                    rehearsal: setup.rehearsal,
                    likely_wiped: AtomicBool::new(false),
                    desks: &desks,
                };
                let room = workspace.take().unwrap_or_default();
                let (stats, mut room) = match setup.rehearsal {
                    Some(rehearsal) => executor.rehearse(length, course.pace(), workers, room, rehearsal),
                    None => executor.run(length, course.pace(), workers, room, setup.trace),
                };
                let Beneath { base, committer, .. } = executor.beneath;
                let Committer { run: done, open, error } = committer.into_inner();
                (run, ledger) = (done, Ledger::from_parts(base, open));
                let stats = match stats {
                    Ok(stats) => stats,
                    Err(fault) => return fall_back(&fault, counters, run.told(), block, pre_state, setup),
                };
                counters.speculative(&stats);
                strands.note(&stats);
                tracing::trace!(first, length, ?stats, "speculative stretch");
                if let Some(error) = error {
                    return (Err(error), counters);
                }
                let committed = run.decided() - first;
                clear_away(&mut room, &mut ledger, &desks, committed, workers, setup.rehearsal);
                workspace = Some(room);
                course.note(stats, run.gas_paid() - gas, start.elapsed());
            }
        }
    }
    (run.finish(&mut ledger), counters)
}

/// Runs a block again in order, of whose first transactions somebody has been told: a bug of ours is no property of the
/// block. So the specification decides, and the counters tell.
fn fall_back(
    fault: &weft_scheduler::Fault,
    mut counters: Counters,
    told: usize,
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    setup: Setup<'_>,
) -> (Result<Outcome, ExecuteError>, Counters) {
    debug_assert!(false, "the scheduler failed: {fault}");
    counters.fallbacks += 1;
    tracing::error!(%fault, "the scheduler failed; the block runs again in order");
    (sequential::run_telling_from(told, block, pre_state, setup), counters)
}

/// A stretch is over of which so many transactions are committed: what they did goes into the ledger, and what the scheduler
/// has of them is forgotten.
fn clear_away(
    room: &mut WorkspaceOf<BlockExecutor<'_, '_>>,
    ledger: &mut Ledger<'_>,
    desks: &[Mutex<Desk>],
    committed: u32,
    workers: usize,
    rehearsal: Option<&Rehearsal<'_>>,
) {
    let mut merge = |threads| put_into(ledger, desks, threads);
    match rehearsal {
        Some(rehearsal) => rehearsal.merge(committed, merge),
        // It takes less than to wake somebody.
        None if committed < WORTH_SHARING => {
            room.tidy();
            merge(1);
        }
        None => {
            rayon::join(|| room.tidy(), || merge(workers));
        }
    }
}

/// Puts what the workers' runs did in a stretch that is over into the ledger, on so many threads.
fn put_into(ledger: &mut Ledger<'_>, desks: &[Mutex<Desk>], threads: usize) {
    let mut logs: Vec<EffectLog> =
        desks.iter().map(|desk| core::mem::take(&mut desk.lock().effects)).collect();
    ledger.end_stretch(&mut logs, threads);
    for (desk, log) in desks.iter().zip(logs) {
        desk.lock().effects = log;
    }
}

/// Whether strands are likely to hold, before anything has run. They show nobody the accounts of a transaction, which is
/// what somebody wants to see where the header commits to an access list, and are not what is measured of the scheduler.
fn outlook(run: &BlockRun<'_>, setup: &Setup<'_>) -> Outlook {
    if run.is_watching() || setup.rehearsal.is_some_and(|rehearsal| !rehearsal.simulates()) {
        Outlook::Bad
    } else if setup.restless {
        Outlook::Restless
    } else {
        Outlook::Open
    }
}

/// What is decided of a block before it runs.
struct Plan<'a> {
    /// How long stretches are, and whether they speculate.
    pace: Pace,
    /// The block's access list, if it is worth the scheduler's while to follow it.
    list: Option<&'a [u8]>,
    /// How strands are split, which follow the list if it is worth theirs.
    way: Way<'a>,
}

/// Decides how to run a block with so many workers.
fn plan<'a>(block: &ReadyBlock<'a>, is_watching: bool, workers: usize, setup: &Setup<'_>) -> Plan<'a> {
    let way = |follow_list| if follow_list { Way::Unread } else { Way::Families };
    let list = block.access_list;
    if setup.restless {
        return Plan { pace: Pace::restless(workers), list, way: way(list.is_some()) };
    }
    // Who measures has a plan of his own.
    if workers < 2 || setup.rehearsal.is_some_and(Rehearsal::measures) {
        return Plan { pace: Pace::new(workers), list, way: way(false) };
    }
    let costs = expected::costs(block, is_watching);
    let worth = list.map(|list| ListWorth::of(list.len(), &costs));
    Plan {
        list: list.filter(|_| worth.is_some_and(|worth| worth.pays_in_the_scheduler(workers))),
        way: way(worth.is_some_and(|worth| worth.pays_in_strands(workers))),
        pace: Pace::new(workers).expecting(costs.into_iter()),
    }
}

/// A stretch of the block, as the scheduler drives it.
struct BlockExecutor<'s, 'a> {
    /// The block.
    block: &'a ReadyBlock<'a>,
    /// What its access list says, if it came with one.
    foresight: Option<&'s Foresight>,
    /// State before the stretch, and what is being committed.
    beneath: Beneath<'a>,
    /// The stretch's first transaction. The scheduler counts from here.
    first: u32,
    /// Somebody wants to see the accounts of each transaction when it is committed.
    is_watched: bool,
    /// What runs cost is told by the clock, and not by their gas alone.
    looks_at_the_clock: bool,
    /// Who knows what the clock would say.
    rehearsal: Option<&'a Rehearsal<'a>>,
    /// Whether any run has wiped an account.
    likely_wiped: AtomicBool,
    /// What each worker has of its own.
    desks: &'s [Mutex<Desk>],
}

impl BlockExecutor<'_, '_> {
    /// Runs `length` transactions, or fewer if speculation does not pay, on the threads of the current pool.
    fn run(
        &self,
        length: u32,
        pace: &Pace,
        workers: usize,
        room: WorkspaceOf<Self>,
        trace: Option<&Trace>,
    ) -> (Result<Stats, weft_scheduler::Fault>, WorkspaceOf<Self>) {
        let scheduler = self.prepare(length, pace, workers, room);
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
        scheduler.finish_and_keep()
    }

    /// As [`Self::run`], on virtual cores.
    fn rehearse(
        &self,
        length: u32,
        pace: &Pace,
        workers: usize,
        room: WorkspaceOf<Self>,
        rehearsal: &Rehearsal<'_>,
    ) -> (Result<Stats, weft_scheduler::Fault>, WorkspaceOf<Self>) {
        // Who measures wants nobody to begin early.
        let hinted = if rehearsal.measures() { 1 } else { workers };
        rehearsal.drive(self.first, length, workers, || self.prepare(length, pace, hinted, room))
    }

    /// The stretch with all that is foreseen of it.
    fn prepare(&self, length: u32, pace: &Pace, workers: usize, room: WorkspaceOf<Self>) -> Block<'_, Self> {
        let predict = || {
            let mut scheduler = pace.block(self, length, room);
            let predictor = scheduler.predictor();
            if let Some(foresight) = self.foresight {
                (0..length).into_par_iter().map(TxIndex).for_each(|tx| {
                    let writes = foresight.of(self.index(tx), tx);
                    predictor.predict(tx, writes.map(|(location, value)| (location, Some(value))).collect());
                });
            } else {
                for (tx, sender) in self.repeated_senders(length) {
                    predictor.predict(tx, vec![(Location::Account(sender), None)]);
                }
            }
            scheduler
        };
        let transactions = (0..length).map(|tx| &self.transaction(TxIndex(tx)).env);
        let compare = || (alike::groups(transactions), self.longest(length, workers));
        let (mut scheduler, (groups, longest)) = rayon::join(predict, compare);
        scheduler.group(&groups);
        scheduler.start_early(&longest);
        scheduler
    }

    /// The transactions whose sender sends another one later, which will find a nonce that this one has written.
    fn repeated_senders(&self, length: u32) -> Vec<(TxIndex, Address)> {
        let mut last: AddressMap<TxIndex> = AddressMap::default();
        last.reserve(length as usize);
        let senders = (0..length).map(|tx| (TxIndex(tx), self.transaction(TxIndex(tx)).env.caller));
        senders.filter_map(|(tx, sender)| Some((last.insert(sender, tx)?, sender))).collect()
    }

    /// Transactions that may take so long that it matters when they begin.
    fn longest(&self, length: u32, workers: usize) -> Vec<TxIndex> {
        let limits: Vec<u64> = (0..length).map(|tx| self.transaction(TxIndex(tx)).env.gas_limit).collect();
        expected::longest(&limits, self.block.header.gas_used, workers)
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
    /// What it has done in this stretch.
    open: OpenStretch<'a>,
    /// The first error in block order.
    error: Option<ExecuteError>,
}

/// What lies beneath a stretch.
struct Beneath<'a> {
    /// What the block did before.
    base: Base<'a>,
    /// Whose account is the committer's.
    beneficiary: Address,
    /// What is being committed.
    committer: RwLock<Committer<'a>>,
}

impl Beneath<'_> {
    /// Asks about an account.
    fn ask<R>(&self, address: Address, question: impl FnOnce(About<'_>) -> R) -> R {
        if address == self.beneficiary {
            question(self.committer.read().open.about_the_beneficiary())
        } else {
            question(self.base.about(address))
        }
    }
}

impl CommittedState for Beneath<'_> {
    fn count(&self) -> u32 {
        self.committer.read().run.decided()
    }

    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.ask(address, |about| about.account())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.ask(address, |about| about.storage(slot))
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.ask(address, |about| about.has_storage())
    }

    fn code(&self, hash: B256) -> Option<Bytecode> {
        self.base.known_code(hash).cloned()
    }
}

/// What a run has left for its commit.
#[derive(Debug)]
enum Done {
    /// The accounts as revm leaves them: somebody wants to see them, or they are not ordinary.
    Accounts(Box<Transacted>),
    /// What is to be said of them, and no more.
    Effects {
        /// For the block.
        summary: Summary,
        /// For the beneficiary.
        reward: Option<U256>,
        /// For the ledger.
        effects: Effects,
        /// Whose log has them.
        worker: usize,
    },
}

/// Makes a transfer, if it can be paid and is one.
///
/// # Errors
///
/// [`Blocked`] if an account is about to change.
fn make_transfer(
    database: &mut ViewDb<'_>,
    transfer: &Transfer,
) -> Result<Option<Execution<Location, Value, Result<Done, ExecuteError>>>, Blocked> {
    let mut find = |address| match database.basic(address) {
        Ok(found) => Ok(Some(found)),
        Err(ViewError::Blocked(blocked)) => Err(blocked),
        // revm may not come so far as to ask for it.
        Err(ViewError::Witness(_)) => Ok(None),
    };
    let Some(Some(sender)) = find(transfer.sender)? else { return Ok(None) };
    let Some(left) = transfer.left(&sender) else { return Ok(None) };
    let mut accounts = Vec::with_capacity(2);
    let info = AccountInfo { balance: left, nonce: sender.nonce + 1, ..sender.copy_without_code() };
    accounts.push((transfer.sender, Some(sender), info));
    if let Some(address) = transfer.recipient {
        let Some(found) = find(address)? else { return Ok(None) };
        let Some(balance) = transfer.sum(found.as_ref()) else { return Ok(None) };
        // A new account has the empty code, and not none.
        let info =
            AccountInfo { balance, ..found.as_ref().map(AccountInfo::copy_without_code).unwrap_or_default() };
        accounts.push((address, found, info));
    }
    let write = |(address, _, info): &(Address, _, AccountInfo)| {
        (Location::Account(*address), Value::Account(Some(info.copy_without_code())))
    };
    let writes = accounts.iter().map(write).collect();
    let effects = database.desk.effects.note_accounts(accounts);
    let (summary, reward) = (transfer.summary(), Some(transfer.reward));
    let done = Done::Effects { summary, reward, effects, worker: database.worker };
    Ok(Some(Execution { writes, cost: expected::TRANSFER, output: Ok(done) }))
}

impl Executor for BlockExecutor<'_, '_> {
    type Key = Location;
    type Value = Value;
    type Output = Result<Done, ExecuteError>;
    type Scratch<'b>
        = EthEvm<'b, ViewDb<'b>>
    where
        Self: 'b;

    fn scratch<'b>(&'b self, worker: usize, view: View<'b, Location, Value>) -> Self::Scratch<'b> {
        let database = ViewDb {
            view,
            pre_state: self.beneath.base.pre_state(),
            beneficiary: self.block.header.beneficiary,
            committed: &self.beneath,
            first: self.first,
            any_wipe: None,
            likely_wiped: &self.likely_wiped,
            worker,
            desk: OwnDesk::take(&self.desks[worker]),
            tipped: None,
            pinned: false,
        };
        EthEvm::new(database, &self.block.env).with_memo()
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
        let start = self.looks_at_the_clock.then(Instant::now);
        evm.database().begin(environment.caller);
        if !self.is_watched
            && let Some(transfer) = Transfer::of(evm, environment)
            // The beneficiary's account is another matter.
            && ![Some(transfer.sender), transfer.recipient].contains(&Some(self.block.header.beneficiary))
            && let Some(done) = make_transfer(evm.database(), &transfer)?
        {
            return Ok(done);
        }
        match transaction::transact_unpaid(evm, environment) {
            Ok(mut transacted) => {
                if let Some(before) = evm.database().tipped.take()
                    && !transacted.leave_tip(self.block.header.beneficiary, &before)
                {
                    return Err(evm.database().view.abandon());
                }
                let writes = write_set(tx, &mut transacted.state, self.block.header.beneficiary);
                if writes.iter().any(|(location, _)| *location == Location::AnyWipe) {
                    // ORDERING: a hint.
                    self.likely_wiped.store(true, Ordering::Relaxed);
                }
                let gas = transacted.result.tx_gas_used();
                let by_gas = expected::cost_of_run(gas, &transacted.state, self.block.rules);
                let time = match start {
                    Some(start) => Some(start.elapsed()),
                    None => self.rehearsal.and_then(|rehearsal| rehearsal.run_time(index)),
                };
                let cost = time.map_or(by_gas, |time| {
                    let read =
                        transacted.state.values().map(|account| 1 + account.storage.len()).sum::<usize>();
                    expected::cost_of_time(time, read + writes.len(), by_gas)
                });
                let done = if self.is_watched
                    || !are_ordinary(&mut transacted.state, self.block.header.beneficiary)
                {
                    Done::Accounts(Box::new(transacted))
                } else {
                    let Transacted { result, state, unpaid_reward: reward } = transacted;
                    let database = evm.database();
                    let effects = database.desk.effects.note(state);
                    Done::Effects { summary: Summary::of(result), reward, effects, worker: database.worker }
                };
                Ok(Execution { writes, cost, output: Ok(done) })
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
        let Committer { run, open, error } = &mut *self.beneath.committer.write();
        let decided = match run.admit(index).map_err(ExecuteError::from).and(output) {
            Ok(Done::Effects { summary, reward, effects, worker }) => {
                open.push(worker, effects);
                run.commit_summary(open, index, summary, reward).map(|()| true)
            }
            Ok(Done::Accounts(transacted)) => run.decide(open, index, Ok(*transacted)),
            Err(error) => run.decide(open, index, Err(error)),
        };
        match decided {
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

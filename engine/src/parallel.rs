//! The same outcome as [`crate::sequential`], on all cores.
//!
//! A block is run stretch by stretch, each on one of three ways:
//!
//! ```text
//!  in order       one thread, in the plain loop                                   in_order.rs
//!  speculatively  all threads, each on what lower transactions have written so    stretch.rs
//!                 far; the scheduler validates what they read, and hands results
//!                 over in block order
//!  in strands     rows that seem to have nothing to do with each other, one to    strands.rs
//!                 each thread; compared when all are over
//! ```
//!
//! All hand over to the same `BlockRun` that the sequential engine drives. What stood on stale reads is thrown away with
//! everything in it, errors included. Which way is taken is a decision about time: no outcome depends on it.
//!
//! # Invariants
//!
//! - **E1.** The outcome, or the error, is that of [`crate::sequential::run`], byte for byte, for any number of
//!   workers. `tests/conformance` compares them on every fixture, `tests/determinism` on blocks made
//!   to set them apart.
//! - **E2.** The beneficiary's account is only written in block order. A run that has seen it out of order has seen
//!   nothing of it that depends on the order.

use core::cell::OnceCell;
use std::time::Instant;

use parking_lot::Mutex;
use weft_scheduler::{Pace, Stretch, WorkspaceOf};

use crate::block::ReadyBlock;
use crate::commit::{BlockRun, is_watched};
use crate::counters::Counters;
use crate::course::Course;
use crate::desk::Desk;
use crate::error::ExecuteError;
use crate::expected::{self, ListWorth};
use crate::foresight::Foresight;
use crate::in_order::{Loaded, run_in_order};
use crate::ledger::{EffectLog, Ledger, WORTH_SHARING};
use crate::outcome::Outcome;
use crate::pre_state::PreState;
use crate::sequential;
use crate::setup::Setup;
use crate::simulate::Rehearsal;
use crate::strands::{Outlook, Strands, Way};
use crate::stretch::BlockExecutor;
use crate::watch::Watch;

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
    let mut watch = Watch::new(setup.rehearsal.is_some());
    let Plan { pace, costs, list, way } = plan(block, is_watched(block, &setup), workers, &setup);
    if let Some(rehearsal) = setup.rehearsal {
        rehearsal.note_plan(watch.lap());
    }
    let by_the_clock = setup.timing().is_by_the_clock();
    let mut course = Course::new(pace, workers, costs, by_the_clock);
    // Who fills it alone is faster with one part.
    let is_in_order = course.pace().is_in_order(u32::try_from(block.transactions.len()).unwrap_or(u32::MAX));
    let mut ledger = Ledger::new(block, pre_state, if is_in_order { 1 } else { workers });
    let mut counters = Counters::default();
    let mut run = match BlockRun::begin(block, &mut ledger, setup) {
        Ok(run) => run,
        Err(error) => return (Err(error), counters),
    };
    let foresight = OnceCell::new();
    let mut loaded = Loaded::default();
    let mut workspace = None;
    let desks: Vec<Mutex<Desk>> = (0..workers).map(|_| Mutex::default()).collect();
    let (outlook, way) = way.map_or((Outlook::Bad, Way::Families), |way| (outlook(&run, &setup), way));
    let mut strands = Strands::new(workers, outlook, way);
    while run.left() > 0 {
        let (first, left) = (run.decided(), run.left());
        let time = by_the_clock.then(|| strands.elapsed());
        if strands.are_likely(first, left, time)
            && let Some(length) = course.stretch_if_nothing_meets(left)
        {
            loaded.settle(&mut ledger);
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
                let indices = first..first + length;
                let sampling = course.sampling().filter(|_| stretch == planned);
                let ran =
                    run_in_order(block, &mut run, &mut ledger, &mut loaded, indices, sampling, setup.trace);
                counters.in_order(run.decided() - first);
                tracing::trace!(first, count = run.decided() - first, "stretch in order");
                if let Some(rehearsal) = setup.rehearsal {
                    rehearsal.note_in_order(first, length);
                }
                let sample = match ran {
                    Ok(sample) => sample,
                    Err(error) => return (Err(error), counters),
                };
                // The first few of a block say little.
                if stretch == planned && sampling.is_none_or(|sampling| sampling.most.is_none()) {
                    course.note_in_order(left, length, run.gas_paid() - gas, start.elapsed());
                }
                if let Some(sample) = sample.filter(|_| run.left() > 0) {
                    strands.note_sample(course.note_sample(run.left(), &sample));
                }
                strands.note_in_order();
            }
            Stretch::Speculative(length) => {
                loaded.settle(&mut ledger);
                let read = || Foresight::read(block, pre_state);
                let foresight = list.map(|_| {
                    foresight.get_or_init(|| match setup.rehearsal {
                        Some(rehearsal) => rehearsal.foresee(read),
                        None => read(),
                    })
                });
                let executor = BlockExecutor::new(block, foresight, run, ledger, setup.timing(), &desks);
                let room = workspace.take().unwrap_or_default();
                let (stats, mut room) = executor.run(length, course.pace(), workers, room, &setup);
                let error;
                (run, ledger, error) = executor.into_parts();
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
    loaded.settle(&mut ledger);
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

/// A block of so many transactions is over before strands that follow a list are long. Measured with `simulate` and the
/// witnesses of mainnet blocks 24628608 and 24647140: strands make eight threads 1.9 to 2.0 times as fast as one, the
/// scheduler 3.8 to 4.5.
const SHORT: usize = 512;

/// Up to so many are faster in the scheduler too, where that suits them. Measured with `benches/`, `simulate --access-list`
/// on 32 cores, strands and scheduler: mainnet block 13217637 1.5 and 4.2 times as fast as one, 17666333 1.2 and 2.5,
/// `adversarial/early-conflict` 10 and 24.
const MEDIUM: usize = 2_048;

/// What is decided of a block before it runs.
struct Plan<'a> {
    /// How long stretches are, and whether they speculate.
    pace: Pace,
    /// What transactions are expected to cost, if samples of them say whether to speculate: who is foretold what others do
    /// need not wait for them.
    costs: Vec<u32>,
    /// The block's access list, if it is worth the scheduler's while to follow it.
    list: Option<&'a [u8]>,
    /// How strands are split, which follow the list if it is worth theirs. None where the scheduler follows it: who is
    /// foretold what others do shows no conflict, and rows that are split without the list have many.
    way: Option<Way<'a>>,
}

/// Decides how to run a block with so many workers.
fn plan<'a>(block: &ReadyBlock<'a>, is_watching: bool, workers: usize, setup: &Setup<'_>) -> Plan<'a> {
    let list = block.access_list;
    if setup.restless {
        let way = if list.is_some() { Way::Unread } else { Way::Families };
        return Plan { pace: Pace::restless(workers), costs: Vec::new(), list, way: Some(way) };
    }
    // Who measures has a plan of his own.
    if workers < 2 || setup.rehearsal.is_some_and(Rehearsal::measures) {
        return Plan { pace: Pace::new(workers), costs: Vec::new(), list, way: None };
    }
    let costs = expected::costs(block, is_watching);
    let worth = list.map(|list| ListWorth::of(list.len(), &costs));
    let pays_in_the_scheduler = worth.is_some_and(|worth| worth.pays_in_the_scheduler(workers));
    let pays_in_strands = worth.is_some_and(|worth| worth.pays_in_strands(workers));
    let suits_the_scheduler = pays_in_the_scheduler && worth.is_some_and(ListWorth::suits_the_scheduler);
    // Strands begin when some have run, and are no longer than those: too late for a short block.
    let strands_from = if suits_the_scheduler { MEDIUM } else { SHORT };
    let way = if block.transactions.len() > strands_from && pays_in_strands {
        Some(Way::Unread)
    } else {
        (!pays_in_the_scheduler).then_some(Way::Families)
    };
    let list = list.filter(|_| pays_in_the_scheduler);
    let pace = Pace::new(workers).expecting(costs.iter().copied());
    let takes_samples = matches!(way, Some(Way::Families)) && !is_watching;
    Plan { pace, costs: if takes_samples { costs } else { Vec::new() }, list, way }
}

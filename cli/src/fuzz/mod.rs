//! `weft fuzz`: blocks made up from seeds, each run in order and on every number of threads.
//!
//! ```text
//! seed ─► feature ─► scene ─► transactions ─► case ─► compare ─► same? next seed
//!                                               ▲        │ no
//!                                               └ shrink ◄┘
//! ```
//!
//! A seed says everything: block `n` of seed `s` is the block of seed `s + n`.

mod account_for;
mod assembler;
mod case;
mod compare;
mod contracts;
mod delay;
mod feature;
mod gas;
mod generate;
mod invalid;
mod people;
mod plan;
mod precompiles;
mod programs;
mod random;
mod scene;
mod shrink;
mod summary;
#[cfg(test)]
mod tests;
mod transactions;
mod watchdog;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use self::case::Case;
use self::compare::{Matrix, message};
use self::summary::Summary;
use self::watchdog::Watchdog;
use crate::arguments::FuzzArguments;
use crate::console::Console;
use crate::report::Status;

/// Blocks that are run if neither their number nor a time is given.
const DEFAULT_BLOCKS: u64 = 1_000;
/// How often those who see no bar hear how far it is.
const NEWS: Duration = Duration::from_mins(1);
/// How often a smaller block is tried before it counts as one that does not differ.
const SHRINK_TRIES: usize = 12;
/// Longest time to look for a smaller block.
const SHRINK_TIME: Duration = Duration::from_mins(2);

/// Runs blocks until one differs, or until there were enough.
///
/// # Errors
///
/// If the system gives no threads.
pub(crate) fn run(arguments: &FuzzArguments) -> anyhow::Result<Status> {
    let threads = arguments.threads.iter().copied().map(NonZeroUsize::get);
    let matrix = Matrix::new(threads, arguments.repeat.get())?;
    let watchdog = Watchdog::start();
    let console = Console::for_many();
    let start = Instant::now();
    let blocks = match (arguments.blocks, arguments.time) {
        (Some(blocks), _) => blocks,
        (None, Some(_)) => u64::MAX,
        (None, None) => DEFAULT_BLOCKS,
    };
    let mut summary = Summary::default();
    let mut news = NEWS;
    for (block, seed) in (0..blocks).map(|block| (block, arguments.seed.wrapping_add(block))) {
        let elapsed = start.elapsed();
        if console.is_hidden() && elapsed >= news {
            news = elapsed + NEWS;
            let (minutes, failed) = (elapsed.as_secs() / 60, summary.failed);
            console
                .note(format_args!("{block} blocks in {minutes} min, {failed} differ; next is seed {seed}"));
        }
        if arguments.time.is_some_and(|time| elapsed >= time) {
            break;
        }
        watchdog.begin(seed);
        console.item_done();
        console.working_on(&format!("seed {seed}"));
        match run_seed(seed, &matrix) {
            Ok((case, tally)) => summary.add(&case, tally),
            Err(failure) if arguments.keep_going => {
                summary.failed += 1;
                console.line(format_args!("FAILED seed {seed}: {}", failure.reason));
            }
            Err(failure) => {
                console.clear_bar();
                watchdog.begin(seed);
                failure.show(&console, &matrix, arguments);
                return Ok(Status::Invalid);
            }
        }
    }
    console.clear_bar();
    summary.show(&console, arguments, start.elapsed());
    Ok(if summary.failed == 0 { Status::Valid } else { Status::Invalid })
}

/// A block that differs.
struct Failure {
    /// Its seed.
    seed: u64,
    /// The block, if it could be made at all.
    case: Option<Box<Case>>,
    /// What differs.
    reason: String,
}

/// Makes the block of a seed and runs it.
fn run_seed(seed: u64, matrix: &Matrix) -> Result<(Case, compare::Tally), Failure> {
    let case = catch_unwind(AssertUnwindSafe(|| generate::case(seed))).map_err(|panic| Failure {
        seed,
        case: None,
        reason: format!("panic while the block was made: {}", message(&*panic)),
    })?;
    match matrix.run(&case) {
        Ok(tally) => Ok((case, tally)),
        Err(reason) => Err(Failure { seed, case: Some(Box::new(case)), reason }),
    }
}

impl Failure {
    /// Shows the block, made as small as it gets, and how to see it again.
    fn show(self, console: &Console, matrix: &Matrix, arguments: &FuzzArguments) {
        let Self { seed, case, reason } = self;
        let (case, smallest) = match case {
            Some(case) => {
                let (case, reason) = shrink::shrink(&case, reason.clone(), matrix, SHRINK_TRIES, SHRINK_TIME);
                (Some(case), reason)
            }
            None => (None, reason.clone()),
        };
        let threads = arguments.threads.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let replay = format!("weft fuzz --seed {seed} --blocks 1 --threads {threads} --repeat 100");
        let text = case.map(|case| case.to_string());
        if arguments.json {
            let line = serde_json::json!({
                "seed": seed, "error": reason, "smallest_error": smallest, "smallest": text, "replay": replay,
            });
            console.line(line);
            return;
        }
        console.line(format_args!("FAILED seed {seed}: {reason}"));
        console.line(format_args!("smallest block that differs: {smallest}"));
        console.line(text.unwrap_or_default());
        console.line(format_args!("replay: {replay}"));
    }
}

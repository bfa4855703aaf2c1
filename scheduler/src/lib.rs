//! Block-STM over any key, value and executor (Gelashvili et al., arXiv 2203.06871), with a rolling commit.
//!
//! A block is a list of transactions whose outcome must be that of running them in order. Workers run them
//! speculatively, all at once:
//!
//! 1. A run reads through a [`View`]: the value written by the highest lower transaction, or the pre-state. Each read
//!    is recorded with its origin. What it writes goes into the multi-version memory, under its [`Version`].
//! 2. A *validation* replays the reads of a finished run. If a location now holds another value, the run is *aborted*:
//!    its writes become *estimates*, and the transaction runs again as the next [`Incarnation`].
//! 3. A run that meets an estimate would most likely be aborted, so it is given up and waits for the transaction that
//!    left the estimate.
//! 4. The lowest transaction that is not committed stands at the *frontier*. Everything below it is final, so its run
//!    needs one last validation and no more; a run that starts at the frontier needs none. Whoever finishes it hands
//!    its output to the executor, and the frontier moves on.
//! 5. A speculative run that finds itself at the frontier is validated there and then, and goes on as a final one.
//! 6. Where speculation does not pay, the block ends before its time, and the caller goes on in order for a while; see
//!    [`Pace`].
//! 7. The caller may say what it foresees: what transactions will write, which take long, which resemble each other.
//!    That decides who runs when, and never what comes out.
//!
//! The transaction at the frontier never waits, so every block ends, whatever its conflicts.
//!
//! ```
//! use std::sync::Mutex;
//! use weft_scheduler::{Block, Blocked, Commit, Execution, Executor, TxIndex, View};
//!
//! /// Each transaction adds its index to one counter.
//! struct Sum(Mutex<Vec<u64>>);
//!
//! impl Executor for Sum {
//!     type Key = &'static str;
//!     type Value = u64;
//!     type Output = u64;
//!     type Scratch<'b> = View<'b, &'static str, u64>;
//!
//!     fn scratch<'b>(&'b self, _worker: usize, view: Self::Scratch<'b>) -> Self::Scratch<'b> {
//!         view
//!     }
//!
//!     fn view<'s, 'b>(&'b self, scratch: &'s mut Self::Scratch<'b>) -> &'s mut Self::Scratch<'b> {
//!         scratch
//!     }
//!
//!     fn execute<'b>(
//!         &'b self,
//!         view: &mut Self::Scratch<'b>,
//!         tx: TxIndex,
//!     ) -> Result<Execution<&'static str, u64, u64>, Blocked> {
//!         let sum = view.read(&"sum")?.unwrap_or(0) + u64::from(tx.0);
//!         Ok(Execution { writes: vec![("sum", sum)], cost: 100, output: sum })
//!     }
//!
//!     fn commit(&self, _tx: TxIndex, output: u64) -> Commit {
//!         self.0.lock().unwrap().push(output);
//!         Commit::Continue
//!     }
//! }
//!
//! let sums = Sum(Mutex::default());
//! let block = Block::new(&sums, 5, 2);
//! std::thread::scope(|threads| {
//!     threads.spawn(|| block.work(1));
//!     block.work(0);
//! });
//! assert_eq!(block.finish().unwrap().committed, 5);
//! assert_eq!(sums.0.into_inner().unwrap(), [0, 1, 3, 6, 10]);
//! ```
//!
//! # Invariants
//!
//! - **B1.** The outputs committed, and their order, are those of running the transactions in order.
//! - **B2.** Each transaction is committed at most once, and none behind one that stopped the block.
//! - **B3.** Every block ends, with any number of workers from one on: all of it is committed, or the executor has
//!   stopped it, or speculation did not pay.
//!
//! `tests/programs.rs` checks them on random programs, and `models/` with model checkers in place of the system's threads
//! and locks. The modules have invariants of their own.
//!
//! Read `status.rs`, `location.rs` and `mv_memory.rs`, then `read_set.rs` and `view.rs`; `cursor.rs`, `likeness.rs`,
//! `scheduler.rs`, `commit.rs` and `idle.rs` decide who runs; `worker.rs` puts them together; `pace.rs` cuts what
//! it is given, and `round.rs` says whether it pays. `simulate.rs` runs the same workers on virtual cores.

#![forbid(unsafe_code)]

mod commit;
mod cursor;
mod executor;
mod fault;
mod idle;
mod likeness;
mod location;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod mv_memory;
mod pace;
mod planted;
mod read_set;
mod round;
mod scheduler;
pub mod simulate;
mod stats;
mod status;
mod sync;
mod transaction;
mod version;
mod view;
mod watch;
mod worker;

pub use executor::{Commit, Execution, Executor};
pub use fault::Fault;
pub use pace::{LENIENCY, Pace, RUN_OVERHEAD, STRETCH_MAX, Stretch, overhead};
pub use scheduler::Workspace;
pub use stats::Stats;
pub use version::{Blocked, Incarnation, Origin, TxIndex, Version};
pub use view::View;
pub use worker::{Block, Predictor, Step, Worker, WorkspaceOf};

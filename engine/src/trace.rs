//! What each worker did and when, for those who look for lost time. No part of any outcome.
//!
//! ```
//! use weft_engine::execute::Options;
//! use weft_engine::trace::Trace;
//!
//! let trace = Trace::default();
//! let options = Options::with_threads(2)?.with_trace(trace.clone());
//! // … execute::run(&input, &options) …
//! assert!(trace.lanes().is_empty(), "nothing has run");
//! # Ok::<(), weft_engine::error::Fault>(())
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weft_scheduler::{Step, TxIndex};

/// A record that fills up while blocks run. Clones share it.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The beginning of time.
    start: Instant,
    /// What has been recorded, by lane.
    lanes: Arc<Mutex<Vec<Lane>>>,
}

/// What one worker did while one block ran, or the stages of a block.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Lane {
    /// Whose lane it is: `None` for the stages.
    pub worker: Option<usize>,
    /// What was done, in order of time.
    pub spans: Vec<Span>,
}

/// One piece of work.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Span {
    /// What it was.
    pub work: Work,
    /// When it began, since the trace was made.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
}

/// What a worker can be seen doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// A stage of the pipeline.
    Stage(&'static str),
    /// A run that came to its end.
    Execution(u32),
    /// A run that was given up: it met an estimate, has to wait for the frontier, or must not be in a row.
    Wait(u32),
    /// A validation that found the reads of a run unchanged.
    Validation(u32),
    /// A validation that found them changed; or that the rows have not held of which the run was part.
    Abort(u32),
    /// So many transactions handed over, the first with this index.
    Commit(u32, u32),
    /// What is done at once for several transactions that run in rows: splitting them, and on the way of each row.
    Upkeep(&'static str),
}

impl Default for Trace {
    fn default() -> Self {
        Self { start: Instant::now(), lanes: Arc::default() }
    }
}

impl Trace {
    /// What has been recorded so far.
    pub fn lanes(&self) -> Vec<Lane> {
        self.lanes.lock().clone()
    }
}

/// Writes one lane of a trace, if there is one; the lane joins it when the recorder is dropped.
#[derive(Debug)]
pub(crate) struct Recorder<'a>(Option<Open<'a>>);

/// A lane that is being written.
#[derive(Debug)]
struct Open<'a> {
    /// Where it goes.
    trace: &'a Trace,
    /// What has been seen.
    lane: Lane,
    /// The end of the last thing seen.
    now: Instant,
}

impl<'a> Recorder<'a> {
    /// A recorder for a worker, or for the stages.
    pub(crate) fn new(trace: Option<&'a Trace>, worker: Option<usize>) -> Self {
        let open = |trace| Open { trace, lane: Lane { worker, spans: Vec::new() }, now: Instant::now() };
        Self(trace.map(open))
    }

    /// Something was just done, and had begun when the last thing ended.
    pub(crate) fn note(&mut self, work: Work) {
        let Some(Open { trace, lane, now }) = &mut self.0 else { return };
        let start = core::mem::replace(now, Instant::now());
        lane.spans.push(Span { work, start: start - trace.start, duration: *now - start });
    }

    /// What was just done is none of this lane's.
    pub(crate) fn skip(&mut self) {
        if let Some(Open { now, .. }) = &mut self.0 {
            *now = Instant::now();
        }
    }

    /// A worker has made a step in a stretch that begins with transaction `origin`.
    pub(crate) fn note_step(&mut self, step: Step, origin: u32) {
        let index = |TxIndex(tx)| origin + tx;
        let work = match step {
            Step::Executed(tx) => Work::Execution(index(tx)),
            Step::Suspended(tx) => Work::Wait(index(tx)),
            Step::Validated(tx) => Work::Validation(index(tx)),
            Step::Aborted(tx) => Work::Abort(index(tx)),
            Step::Committed { first, count } => Work::Commit(index(first), count),
            // Looking for work is not work.
            Step::Claimed(_) | Step::Idle | Step::Done | _ => return self.skip(),
        };
        self.note(work);
    }
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        if let Some(Open { trace, lane, .. }) = self.0.take() {
            trace.lanes.lock().push(lane);
        }
    }
}

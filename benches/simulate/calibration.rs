//! What two real threads do, against one.

use std::num::NonZeroUsize;
use std::time::Instant;

use serde::Serialize;
use weft_engine::ReadyBlock;
use weft_engine::execute::Options;
use weft_engine::pre_state::PreState;
use weft_engine::trace::{Trace, Work};
use weft_engine::{Setup, parallel};

/// The least of several runs, in milliseconds: as with the costs, what else the machine does only adds.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(clippy::struct_field_names, reason = "units go last")]
pub(crate) struct Measured {
    /// On one thread.
    pub(crate) one_ms: f64,
    /// On two.
    pub(crate) two_ms: f64,
    /// Of both threads' time on two, what went into runs, given up ones included.
    pub(crate) runs_ms: f64,
    /// The same for validations.
    pub(crate) validations_ms: f64,
    /// The same for commits.
    pub(crate) commits_ms: f64,
}

/// Runs a block on one thread and on two, in turn.
pub(crate) fn measure(
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    rounds: NonZeroUsize,
) -> anyhow::Result<Measured> {
    let arms = [Options::with_threads(1)?, Options::with_threads(2)?];
    let mut times = [Vec::new(), Vec::new()];
    // The first round warms up.
    for round in 0..=rounds.get() {
        for (options, times) in arms.iter().zip(&mut times) {
            let (outcome, time) = options.install(|| {
                let start = Instant::now();
                let outcome = parallel::run(block, pre_state);
                (outcome, start.elapsed())
            });
            drop(outcome);
            if round > 0 {
                times.push(time.as_secs_f64() * 1e3);
            }
        }
    }
    let least = |times: Vec<f64>| times.into_iter().fold(f64::INFINITY, f64::min);
    let mut parts = [(); 3].map(|()| Vec::new());
    for _ in 0..rounds.get() {
        let traced = traced(block, pre_state, &arms[1]);
        parts.iter_mut().zip(traced).for_each(|(times, time)| times.push(time));
    }
    let [one_ms, two_ms] = times.map(least);
    let [runs_ms, validations_ms, commits_ms] = parts.map(least);
    Ok(Measured { one_ms, two_ms, runs_ms, validations_ms, commits_ms })
}

/// What goes into runs, validations and commits of one run.
fn traced(block: &ReadyBlock<'_>, pre_state: &dyn PreState, options: &Options) -> [f64; 3] {
    let trace = Trace::default();
    let setup = Setup::default().with_trace(Some(&trace));
    drop(options.install(|| parallel::run_with(block, pre_state, setup)));
    let mut parts = [0.0; 3];
    for span in trace.lanes().iter().flat_map(|lane| &lane.spans) {
        let part = match span.work {
            Work::Execution(_) | Work::Wait(_) | Work::Upkeep(_) => 0,
            Work::Validation(_) | Work::Abort(_) => 1,
            Work::Commit(..) => 2,
            Work::Stage(_) | _ => continue,
        };
        parts[part] += span.duration.as_secs_f64() * 1e3;
    }
    parts
}

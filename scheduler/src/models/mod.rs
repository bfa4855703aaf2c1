//! The kernel under model checkers: the code that ships, with their locks and atomics in place of the system's.
//!
//! - [loom](https://docs.rs/loom) runs a scene again and again: in each order of its steps that it finds to make a
//!   difference, and with each value that the orderings of C11 allow a load to see.
//! - [shuttle](https://docs.rs/shuttle) draws schedules, at random or by PCT (Burckhardt et al., ASPLOS 2010: a bug that
//!   takes few switches at the right places is found with a known probability), with every step in one order for all.
//!
//! Scenes of two or three threads and one protocol run under both: `idle`, `status`, `commit`, `cursor`; and `pair`, a
//! block of two transactions. Whole blocks run under shuttle: `blocks`.
//!
//! They need each other. Shuttle knows no memory but the strongest. Loom, when it looks for orders that make a
//! difference, compares a step with the last one on the same object alone; if that was by the same thread, it overlooks
//! a race with the one before. (So a worker looked behind the last transaction, and only shuttle saw it.) It also takes
//! every lock for a fence, so of the orderings only those are tested that no lock makes up for. Neither wakes a sleeper
//! without a reason.
//!
//! | bug (`planted.rs`) | found by |
//! |---|---|
//! | `SkipValidation` | `commit`, `blocks` |
//! | `LoseEstimate` | `blocks` |
//! | `CommitOutOfOrder` | `commit`, `blocks` |
//! | `NoSecondLook` | `commit`, `blocks` |
//! | `StaleIncarnation` | `status`, `blocks` |
//! | `DroppedWakeUp` | `idle`, `blocks` |
//! | `MissingFence` | `idle`, under loom |
//!
//! `just models` runs all of them, `just bugs` plants each bug and fails unless it is found within a minute. (`bugs` in a
//! module are those tests.)

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "who plants a bug wants to know how soon it was found")]

use core::time::Duration;
use std::{panic::catch_unwind, time::Instant};

use crate::planted::{Bug, plant};

#[cfg(not(loom))]
mod blocks;
mod commit;
mod cursor;
#[cfg(not(loom))]
mod draw;
mod idle;
mod pair;
mod status;

/// Checks a scene: under loom on every schedule that it finds to make a difference.
#[cfg(loom)]
fn check(scene: impl Fn() + Send + Sync + 'static) {
    loom::model(scene);
}

/// Checks a scene: under shuttle on schedules of both kinds.
#[cfg(not(loom))]
fn check(scene: impl Fn() + Send + Sync + Copy + 'static) {
    draw::explore_at_random(draw::executions() / 2, scene);
    draw::explore_few_switches(3, draw::executions() / 2, scene);
}

/// As [`check`], but under loom with up to so many preemptions, or with what `LOOM_MAX_PREEMPTIONS` says if that is
/// less: for a scene that has too many others.
fn bounded(preemptions: usize, scene: impl Fn() + Send + Sync + Copy + 'static) {
    #[cfg(loom)]
    {
        let mut builder = loom::model::Builder::new();
        let bound = builder.preemption_bound.map_or(preemptions, |bound| bound.min(preemptions));
        builder.preemption_bound = Some(bound);
        builder.check(scene);
    }
    #[cfg(not(loom))]
    {
        let _ = preemptions;
        check(scene);
    }
}

/// Plants a bug, and fails unless `model` fails within a minute.
fn finds(bug: Bug, model: fn()) {
    plant(bug);
    let start = Instant::now();
    let found = catch_unwind(model);
    let elapsed = start.elapsed();
    let Err(panic) = found else { panic!("{bug:?} was not found in {elapsed:.1?}") };
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    println!("found {bug:?} in {elapsed:.1?}: {}", text.unwrap_or_default());
    assert!(elapsed < Duration::from_mins(1), "too late");
}

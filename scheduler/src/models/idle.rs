//! Lying down while the block ends, or while work is made: I1 and I2.
//!
//! ```text
//!  worker             worker             main
//!  ──────             ──────             ────
//!  announce           announce           ended := true
//!  look at `ended`    look at `ended`    wake_all
//!  sleep, withdraw    sleep, withdraw
//! ```
//!
//! A worker that slept through the end would be a deadlock, which loom reports.

use std::sync::Arc;

use super::{bounded, check, finds};
use crate::{
    idle::Idle,
    planted::Bug,
    sync::{AtomicBool, Ordering, thread},
};

/// What the threads share.
struct Scene {
    /// The protocol.
    idle: Idle,
    /// What is left at A. Relaxed, as the protocol must not lean on whoever ends the block.
    ended: AtomicBool,
}

impl Scene {
    /// Nobody sleeps and nothing has ended.
    fn new() -> Arc<Self> {
        Arc::new(Self { idle: Idle::new(), ended: AtomicBool::new(false) })
    }

    /// Starts a worker that finds nothing to do, and may have been woken for nothing.
    fn start(self: &Arc<Self>) -> thread::JoinHandle<()> {
        let scene = Arc::clone(self);
        thread::spawn(move || while !scene.lie_down() {})
    }

    /// A worker that finds nothing to do. Returns whether it has seen the end.
    fn lie_down(&self) -> bool {
        let ticket = self.idle.announce();
        if self.ended.load(Ordering::Relaxed) {
            self.idle.withdraw(ticket);
            return true;
        }
        self.idle.sleep(ticket);
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends it all.
    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.idle.wake_all();
    }
}

#[test]
fn i1_i2_nobody_sleeps_through_the_end() {
    check(sleep_through_the_end::<1>);
}

/// With up to three preemptions.
#[test]
fn i1_i2_no_two_sleep_through_the_end() {
    bounded(3, sleep_through_the_end::<2>);
}

/// So many workers lie down while the end comes.
fn sleep_through_the_end<const WORKERS: usize>() {
    let scene = Scene::new();
    let workers = [(); WORKERS].map(|()| {
        let scene = Arc::clone(&scene);
        thread::spawn(move || assert!(scene.lie_down(), "woken by the end, so it is to be seen"))
    });
    scene.end();
    for worker in workers {
        worker.join().unwrap();
    }
}

/// Work that is made meanwhile wakes one, all, or nobody; the end still comes through.
#[test]
fn i1_i2_hold_while_work_is_made() {
    for all in [false, true] {
        check(move || {
            let scene = Scene::new();
            let worker = scene.start();
            let other = Arc::clone(&scene);
            let maker = thread::spawn(move || other.idle.nudge(all));
            scene.end();
            maker.join().unwrap();
            worker.join().unwrap();
        });
    }
}

mod bugs {
    use super::*;

    #[test]
    fn a_dropped_wake_up_is_found() {
        finds(Bug::DroppedWakeUp, i1_i2_nobody_sleeps_through_the_end);
    }

    /// Shuttle knows no memory but the strongest.
    #[cfg(loom)]
    #[test]
    fn a_missing_fence_is_found() {
        finds(Bug::MissingFence, i1_i2_nobody_sleeps_through_the_end);
    }
}

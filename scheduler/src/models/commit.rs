//! Workers that finish transactions at the frontier all at once: P1 to P3, and M4.
//!
//! ```text
//!  worker            worker            watcher
//!  ──────            ──────            ───────
//!  publish 0         publish 1         reads the frontier, then what was handed over
//!  try for the turn  try for the turn
//!
//!  publish 0, writes `a`   1 reads `a`, publish 1
//! ```

use std::sync::{Arc, Mutex as Log};

use super::{
    check, finds,
    status::{Toy, block, claims, nothing_at_a, publish},
};
use crate::{
    executor::Commit,
    planted::Bug,
    read_set::ReadSet,
    stats::Stats,
    sync::{AtomicU32, Ordering, thread},
    version::{Blocked, TxIndex},
    view::View,
};

/// A block, and what was handed over of it.
struct Scene {
    /// The protocol.
    block: Toy,
    /// How many outcomes. Relaxed, so that only the frontier can order it.
    count: AtomicU32,
    /// Whose.
    committed: Log<Vec<u32>>,
}

impl Scene {
    /// A block of so many transactions.
    fn new(txs: u32) -> Arc<Self> {
        Arc::new(Self { block: block(txs), count: AtomicU32::new(0), committed: Log::default() })
    }

    /// Hands over what can be.
    fn commit(&self, how: Commit) {
        let take = |_, output| {
            self.count.fetch_add(1, Ordering::Relaxed);
            self.committed.lock().unwrap().push(output);
            how
        };
        self.block.commit_prefix(&mut Stats::default(), take).unwrap();
    }

    /// P2, seen from outside.
    fn watch(&self) -> u32 {
        let frontier = self.block.prefix().frontier().0;
        assert!(self.count.load(Ordering::Relaxed) >= frontier, "P2: outcomes before the frontier passes");
        frontier
    }
}

/// Two transactions: one worker ends 1, which has read `reads`, another one 0 with its `writes`, and both hand over
/// what can be.
fn race(reads: ReadSet<char, u32>, writes: &[(char, u32)], how: Commit) -> Arc<Scene> {
    let scene = Scene::new(2);
    let [zero, one] = <[_; 2]>::try_from(claims(&scene.block)).unwrap();
    let other = Arc::clone(&scene);
    let worker = thread::spawn(move || {
        publish(&other.block, one, reads, &[]);
        other.commit(how);
    });
    publish(&scene.block, zero, ReadSet::default(), writes);
    scene.commit(how);
    worker.join().unwrap();
    scene
}

/// Whoever is refused the turn leaves nobody behind.
#[test]
fn p1_p2_all_is_committed_once_and_in_order() {
    check(|| {
        let scene = race(ReadSet::since(0), &[], Commit::Continue);
        assert_eq!(*scene.committed.lock().unwrap(), [0, 1]);
        assert!(scene.block.prefix().has_ended());
    });
}

/// The frontier never goes back, and what was handed over is there for whoever sees it move.
#[test]
fn p1_p2_hold_for_whoever_watches() {
    check(|| {
        let scene = Scene::new(2);
        let [zero, one] = <[_; 2]>::try_from(claims(&scene.block)).unwrap();
        publish(&scene.block, zero, ReadSet::default(), &[]);
        publish(&scene.block, one, ReadSet::since(0), &[]);
        let workers = [(); 2].map(|()| {
            let other = Arc::clone(&scene);
            thread::spawn(move || other.commit(Commit::Continue))
        });
        assert!(scene.watch() <= scene.watch(), "P1");
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(*scene.committed.lock().unwrap(), [0, 1]);
    });
}

/// 1 has read what 0 then writes, so it must not be committed as it is.
#[test]
fn p2_a_void_run_is_not_committed() {
    check(|| {
        let scene = race(nothing_at_a(), &[('a', 1)], Commit::Continue);
        assert_eq!(*scene.committed.lock().unwrap(), [0]);
        assert_eq!(claims(&scene.block).len(), 1, "it runs again");
    });
}

/// 1 reads what 0 writes meanwhile. If it has not seen the write, it must not be committed as it is.
#[test]
fn m4_a_read_beside_a_write_is_found_out() {
    check(|| {
        let scene = Scene::new(2);
        let [zero, one] = <[_; 2]>::try_from(claims(&scene.block)).unwrap();
        let other = Arc::clone(&scene);
        let worker = thread::spawn(move || {
            let mut view = View::new(other.block.memory(), other.block.prefix());
            view.open(TxIndex(1), ReadSet::default());
            let seen = view.read_or(&'a', || Ok::<_, Blocked>(0));
            let (reads, wait) = view.close();
            if let Some(wait) = wait {
                other.block.block(one, wait).unwrap();
            } else {
                publish(&other.block, one, reads, &[]);
            }
            other.commit(Commit::Continue);
            seen.ok()
        });
        publish(&scene.block, zero, ReadSet::default(), &[('a', 1)]);
        scene.commit(Commit::Continue);
        let seen = worker.join().unwrap();
        scene.commit(Commit::Continue);
        let committed = scene.committed.lock().unwrap().len();
        assert_eq!(committed, if seen == Some(1) { 2 } else { 1 }, "{seen:?}");
    });
}

#[test]
fn p3_nothing_is_handed_over_behind_a_stop() {
    check(|| {
        let scene = race(ReadSet::since(0), &[], Commit::Stop);
        assert_eq!(*scene.committed.lock().unwrap(), [0]);
        assert!(scene.block.prefix().has_ended());
    });
}

mod bugs {
    use super::*;

    #[test]
    fn a_skipped_validation_is_found() {
        finds(Bug::SkipValidation, p2_a_void_run_is_not_committed);
    }

    #[test]
    fn a_surprise_not_counted_is_found() {
        finds(Bug::UncountedSurprise, m4_a_read_beside_a_write_is_found_out);
    }

    #[test]
    fn a_second_look_not_taken_is_found() {
        finds(Bug::NoSecondLook, p1_p2_all_is_committed_once_and_in_order);
    }

    #[test]
    fn a_commit_out_of_order_is_found() {
        finds(Bug::CommitOutOfOrder, p1_p2_hold_for_whoever_watches);
    }
}

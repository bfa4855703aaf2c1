//! Who may run a transaction, and that no restart is lost: S1, S2 and the lists of those who wait.
//!
//! ```text
//!  worker                    worker
//!  ──────                    ──────
//!  claim, finish             claim, finish        one transaction, whoever comes first
//!  abort, release            abort, release
//!
//!  publish 0                 block 1 on 0         1 is released, whichever comes first
//!  publish 0, commit         block 1 on the frontier
//!  publish 0, writes `a`     validate 1, has read `a`
//! ```

use std::sync::{Arc, Mutex as Log};

use super::{check, finds};
use crate::{
    executor::{Commit, Execution},
    mv_memory::Place,
    planted::Bug,
    read_set::ReadSet,
    round::Round,
    scheduler::{Scheduler, Task, Workspace},
    stats::Stats,
    status::{ExecutionClaim, TxStatus},
    sync::{Mutex, thread},
    transaction::Footprint,
    version::{Incarnation, TxIndex, Version},
    view::Wait,
};

/// A block whose outputs are the indices of its transactions.
pub(super) type Toy = Scheduler<char, u32, u32>;

/// A block of which nothing has been run.
pub(super) fn block(txs: u32) -> Toy {
    Scheduler::new(txs, Round::steady(2), 4, Workspace::default())
}

/// The claims that are to be had, lowest first.
pub(super) fn claims(block: &Toy) -> Vec<ExecutionClaim<Place>> {
    let mut claims = Vec::new();
    while let Some(task) = block.next_task(&mut Stats::default()).unwrap() {
        match task {
            Task::Execute(claim) => claims.push(claim),
            Task::Validate(tx) => {
                block.validate(tx, &mut Stats::default()).unwrap();
            }
        }
    }
    claims
}

/// Ends a run with these writes.
pub(super) fn publish(
    block: &Toy,
    claim: ExecutionClaim<Place>,
    reads: ReadSet<char, u32>,
    writes: &[(char, u32)],
) {
    let footprint = Box::new(Footprint { reads, written: Vec::new() });
    let execution = Execution { writes: writes.to_vec(), cost: 100, output: claim.version().tx.0 };
    block.publish(claim, footprint, execution, &mut Stats::default()).unwrap();
}

/// What a run has read that found nothing at `a`.
pub(super) fn nothing_at_a() -> ReadSet<char, u32> {
    let mut reads = ReadSet::since(0);
    reads.presume('a');
    reads
}

/// Commits what can be, and returns whom.
pub(super) fn commit(block: &Toy) -> Vec<u32> {
    let mut committed = Vec::new();
    let take = |_, output| {
        committed.push(output);
        Commit::Continue
    };
    block.commit_prefix(&mut Stats::default(), take).unwrap();
    committed
}

/// Two workers do with one transaction whatever they may.
#[test]
fn s1_s2_each_incarnation_is_claimed_once_and_in_turn() {
    check(|| {
        let scene = Arc::new((Mutex::new(TxStatus::<char, ()>::new()), Log::new(Vec::new())));
        let work = |scene: &(Mutex<TxStatus<char, ()>>, Log<Vec<Version>>)| {
            let (status, claimed) = scene;
            for _ in 0..2 {
                let claim = status.lock().claim(TxIndex(1));
                if let Some(claim) = claim {
                    claimed.lock().unwrap().push(claim.version());
                    status.lock().finish(claim, ()).unwrap();
                }
                let suspension = status.lock().abort(TxIndex(1), |_, ()| vec!['a']);
                if let Some(suspension) = suspension {
                    status.lock().release(suspension).unwrap();
                }
            }
        };
        let other = Arc::clone(&scene);
        let worker = thread::spawn(move || work(&other));
        work(&scene);
        worker.join().unwrap();

        let claimed = scene.1.lock().unwrap();
        let incarnations: Vec<u32> = claimed.iter().map(|version| version.incarnation.0).collect();
        assert!(
            incarnations.iter().copied().eq(0..incarnations.len().try_into().unwrap()),
            "{incarnations:?}"
        );
        assert!(
            matches!(*scene.0.lock(), TxStatus::Ready { .. } | TxStatus::Executed { .. }),
            "nobody is left in between"
        );
    });
}

/// 1 has met an estimate of 0, which finishes meanwhile.
#[test]
fn who_waits_for_a_run_is_entered_in_time_or_not_at_all() {
    check(|| {
        let block = Arc::new(block(2));
        let [zero, one] = <[_; 2]>::try_from(claims(&block)).unwrap();
        let other = Arc::clone(&block);
        let waiter = thread::spawn(move || other.block(one, Wait::Execution(TxIndex(0))).unwrap());
        publish(&block, zero, ReadSet::default(), &[('a', 1)]);
        waiter.join().unwrap();
        assert_eq!(versions(&claims(&block)), [(1, 1)]);
    });
}

/// 1 wants to be at the frontier, which comes meanwhile.
#[test]
fn who_waits_for_a_commit_is_entered_in_time_or_not_at_all() {
    check(|| {
        let block = Arc::new(block(2));
        let [zero, one] = <[_; 2]>::try_from(claims(&block)).unwrap();
        let other = Arc::clone(&block);
        let waiter = thread::spawn(move || other.block(one, Wait::Frontier).unwrap());
        publish(&block, zero, ReadSet::default(), &[]);
        assert_eq!(commit(&block), [0]);
        waiter.join().unwrap();
        assert_eq!(versions(&claims(&block)), [(1, 1)]);
    });
}

/// 1 has read what 0 writes meanwhile, and two look whether it still holds: it runs once more, and only once.
#[test]
fn who_is_aborted_runs_again_once() {
    check(|| {
        let block = Arc::new(block(3));
        let [zero, one, two] = <[_; 3]>::try_from(claims(&block)).unwrap();
        publish(&block, one, nothing_at_a(), &[('b', 1)]);
        publish(&block, two, ReadSet::since(0), &[]);
        let other = Arc::clone(&block);
        let validator = thread::spawn(move || other.validate(TxIndex(1), &mut Stats::default()).unwrap());
        publish(&block, zero, ReadSet::default(), &[('a', 1)]);
        let mut committed = commit(&block);
        validator.join().unwrap();

        let mut again = claims(&block);
        assert_eq!(versions(&again), [(1, 1)]);
        publish(&block, again.remove(0), ReadSet::default(), &[('b', 2)]);
        committed.extend(commit(&block));
        assert_eq!(committed, [0, 1, 2]);
    });
}

/// Transactions and incarnations.
fn versions(claims: &[ExecutionClaim<Place>]) -> Vec<(u32, u32)> {
    let pair = |claim: &ExecutionClaim<Place>| {
        let Version { tx: TxIndex(tx), incarnation: Incarnation(incarnation) } = claim.version();
        (tx, incarnation)
    };
    claims.iter().map(pair).collect()
}

mod bugs {
    use super::*;

    #[test]
    fn a_stale_incarnation_is_found() {
        finds(Bug::StaleIncarnation, s1_s2_each_incarnation_is_claimed_once_and_in_turn);
    }
}

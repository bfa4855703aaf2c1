//! Workers that take from the same cursor, list and queue: C1, C3 and C4.

use std::sync::Arc;

use super::check;
use crate::{
    cursor::{Cursor, Doubts, Early, Restarts},
    sync::thread,
    version::TxIndex,
};

/// Runs `part` twice, side by side, and returns what both of them give.
fn twice<S: Send + Sync + 'static>(scene: &Arc<S>, part: fn(&S) -> Vec<u32>) -> [Vec<u32>; 2] {
    let other = Arc::clone(scene);
    let thread = thread::spawn(move || part(&other));
    let mine = part(scene);
    [mine, thread.join().unwrap()]
}

/// All of it, sorted.
fn sorted(parts: impl IntoIterator<Item = Vec<u32>>) -> Vec<u32> {
    let mut all: Vec<u32> = parts.into_iter().flatten().collect();
    all.sort_unstable();
    all
}

#[test]
fn c1_an_index_is_handed_out_once() {
    check(|| {
        let parts = twice(&Arc::new(Cursor::default()), |cursor| {
            core::iter::from_fn(|| cursor.take(TxIndex(0), TxIndex(3))).map(|tx| tx.0).collect()
        });
        assert!(parts.iter().all(|part| part.is_sorted()));
        assert_eq!(sorted(parts), [0, 1, 2]);
    });
}

/// One takes while another adds: whoever is added is handed out afterwards.
#[test]
fn c2_nothing_in_doubt_is_skipped() {
    check(|| {
        let doubts = Arc::new(Doubts::default());
        doubts.add(TxIndex(1), TxIndex(3));
        let other = Arc::clone(&doubts);
        let worker = thread::spawn(move || other.take(TxIndex(0), TxIndex(9)).unwrap().0);
        doubts.add(TxIndex(0), TxIndex(2));
        let taken = worker.join().unwrap();
        let rest: Vec<u32> =
            core::iter::from_fn(|| doubts.take(TxIndex(0), TxIndex(9))).map(|tx| tx.0).collect();
        match taken {
            0 => assert_eq!(rest, [1, 2], "added before"),
            _ => assert_eq!(rest, [0, 1, 2], "added after"),
        }
    });
}

#[test]
fn c3_whoever_is_put_in_is_handed_out() {
    check(|| {
        let restarts = Arc::new(Restarts::new());
        let other = Arc::clone(&restarts);
        let thread = thread::spawn(move || {
            other.push(TxIndex(4));
            other.push(TxIndex(2));
            other.pop().map(|tx| tx.0)
        });
        restarts.push(TxIndex(3));
        let mut all = vec![restarts.pop().map(|tx| tx.0), thread.join().unwrap()];
        assert_ne!(restarts.lowest(), TxIndex(u32::MAX), "the hint knows of the third");
        all.push(restarts.pop().map(|tx| tx.0));
        assert_eq!(restarts.lowest(), TxIndex(u32::MAX));
        assert_eq!(sorted([all.into_iter().flatten().collect()]), [2, 3, 4]);
    });
}

#[test]
fn c4_a_transaction_begins_once_in_its_turn_or_before() {
    check(|| {
        let scene = Arc::new(Early::new(&[TxIndex(1), TxIndex(2)]));
        let other = Arc::clone(&scene);
        let ahead = thread::spawn(move || {
            core::iter::from_fn(|| other.take(TxIndex(1))).map(|tx| tx.0).collect::<Vec<_>>()
        });
        let in_turn = (0..3).filter(|tx| scene.begin(TxIndex(*tx))).collect();
        assert_eq!(sorted([in_turn, ahead.join().unwrap()]), [0, 1, 2]);
    });
}

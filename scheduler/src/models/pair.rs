//! A whole block of two transactions on two workers, from the first step to the last: B1 to B3 with the memory that
//! the orderings allow.
//!
//! Each transaction adds one to what it reads, so the second must be void if it ran before the first was over. Loom sees
//! all schedules with up to three preemptions; without that bound there are too many.

use std::sync::{Arc, Mutex as Log};

use super::bounded;
use crate::{Block, Blocked, Commit, Execution, Executor, TxIndex, View, sync::thread};

/// Two transactions that add one to the same counter.
struct Pair;

/// What was committed in this execution; they run one after the other.
static COMMITTED: Log<Vec<(u32, u32)>> = Log::new(Vec::new());

impl Executor for Pair {
    type Key = char;
    type Value = u32;
    type Output = u32;
    type Scratch<'b> = View<'b, char, u32>;

    fn scratch<'b>(&'b self, _worker: usize, view: View<'b, char, u32>) -> View<'b, char, u32> {
        view
    }

    fn view<'s, 'b>(&'b self, scratch: &'s mut View<'b, char, u32>) -> &'s mut View<'b, char, u32> {
        scratch
    }

    fn execute<'b>(
        &'b self,
        view: &mut View<'b, char, u32>,
        _tx: TxIndex,
    ) -> Result<Execution<char, u32, u32>, Blocked> {
        let sum = view.read(&'a')?.unwrap_or(0) + 1;
        Ok(Execution { writes: vec![('a', sum)], cost: 100, output: sum })
    }

    fn commit(&self, tx: TxIndex, output: u32) -> Commit {
        COMMITTED.lock().unwrap().push((tx.0, output));
        Commit::Continue
    }
}

#[test]
fn b1_b2_b3_two_workers_end_a_chain_of_two() {
    bounded(3, || {
        COMMITTED.lock().unwrap().clear();
        let block = Arc::new(Block::new(&Pair, 2, 2));
        let other = Arc::clone(&block);
        let helper = thread::spawn(move || other.work(1));
        block.work(0);
        helper.join().unwrap();
        let block = Arc::into_inner(block).expect("the helper is gone");
        assert_eq!(block.finish().unwrap().committed, 2);
        assert_eq!(*COMMITTED.lock().unwrap(), [(0, 1), (1, 2)]);
    });
}

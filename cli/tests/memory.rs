//! How much memory an input takes: its bytes and all that judging it allocates, at the most at any time.
//!
//! The heap is counted, so the kind of allocator and the machine make no difference. What a vector had before it grew
//! counts until it is copied. Tables that a process has once are made before. There is one heap for all threads, so this
//! is no harness with tests beside each other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "what was measured is for people")]

use alloy_rlp::Encodable;
use peak_alloc::PeakAlloc;
use weft_engine::execute::{self, ExecuteInput, Options, ReadOptions, Verdict};
use weft_tests::{files, folder, read};

#[path = "../src/example/mod.rs"]
#[expect(dead_code, unused_imports, reason = "its tests run where it is part of the command")]
mod example;
#[path = "../src/world.rs"]
#[expect(dead_code, reason = "the fuzzer uses more of it")]
mod world;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Times the input.
const RATIO: usize = 3;
/// What a transaction takes at the most besides its bytes and logs: its environment and sender, its receipt, two
/// accounts of the ledger, what has changed of them, and what a list foresees.
const TRANSACTION: usize = 6 << 10;
/// What each worker has of its own, whatever it runs: an EVM with stacks for as deep as calls go, 32 KiB each, and
/// remembered hashes.
const WORKER: usize = 512 << 10;
/// What a block has: the parts of the multi-version memory and of the ledger, before anything is in them.
const BLOCK: usize = 384 << 10;

/// What judging an input took.
struct Taken {
    /// Bytes of block and witness.
    input: usize,
    /// Bytes of the logs, which a block can have many of for little input.
    logs: usize,
    /// Transactions.
    transactions: usize,
    /// The most bytes at any time, the input among them.
    peak: usize,
}

impl Taken {
    /// Reads and judges an input that the caller holds as long as it is read.
    fn of(bytes: &[u8], options: &Options) -> Self {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let input = ExecuteInput::read(bytes.to_vec().into(), &ReadOptions::default()).unwrap();
        let verdict = execute::run(&input, options);
        let peak = HEAP.peak_usage() - before;
        assert_eq!(verdict.error, None);
        let transactions = input.transactions();
        Self { input: size(&input, bytes), logs: logs(&verdict), transactions, peak }
    }

    /// What it may take on so many threads.
    fn most(&self, threads: usize) -> usize {
        let workers = threads.min(self.transactions);
        RATIO * (self.input + self.logs) + self.transactions * TRANSACTION + workers * WORKER + BLOCK
    }
}

/// Bytes of block and witness: those given, or if they were JSON, those that it says.
fn size(input: &ExecuteInput, bytes: &[u8]) -> usize {
    let ExecuteInput::Witness(input) = input else { return bytes.len() };
    let witness = &input.witness;
    let parts = [&witness.state, &witness.codes, &witness.headers];
    input.block.length() + parts.into_iter().flatten().map(|part| part.len()).sum::<usize>()
}

/// Bytes of the logs.
fn logs(verdict: &Verdict) -> usize {
    let receipts = &verdict.outcome.as_ref().unwrap().receipts;
    receipts.iter().flat_map(|receipt| &receipt.logs).map(Encodable::length).sum()
}

fn main() {
    let mut inputs = vec![("example".to_owned(), example::input().unwrap())];
    for path in folder("witness").iter().flat_map(|folder| files(folder)) {
        inputs.push((path.file_name().unwrap().to_string_lossy().into_owned(), read(&path)));
    }
    println!(
        "{:24} {:>7} {:>9} {:>8} {:>4} {:>9} {:>9}",
        "file", "threads", "input", "logs", "txs", "peak", "most"
    );
    let mut exceeded = Vec::new();
    for threads in [1, 2, 8] {
        let options = Options::with_threads(threads).unwrap().prepared();
        for (name, bytes) in &inputs {
            // The first time, tables are made.
            Taken::of(bytes, &options);
            let taken = Taken::of(bytes, &options);
            let Taken { input, logs, transactions, peak } = taken;
            let most = taken.most(threads);
            println!("{name:24} {threads:>7} {input:>9} {logs:>8} {transactions:>4} {peak:>9} {most:>9}");
            if peak > most {
                exceeded.push(format!("{name} on {threads} threads"));
            }
        }
    }
    assert!(exceeded.is_empty(), "{exceeded:?} take more");
}

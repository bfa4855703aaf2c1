//! A pre-state that takes its time, so that workers meet each other in other places in every run.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;
use weft_engine::error::WitnessError;
use weft_engine::pre_state::PreState;

/// A pre-state whose reads take a while, each another.
#[derive(Debug)]
pub(super) struct Delayed<'a> {
    /// What answers.
    inner: &'a dyn PreState,
    /// Delays are drawn from it.
    seed: u64,
    /// How many reads there were.
    reads: AtomicU64,
}

impl<'a> Delayed<'a> {
    /// Delays the reads of `inner`.
    pub(super) fn new(inner: &'a dyn PreState, seed: u64) -> Self {
        Self { inner, seed, reads: AtomicU64::new(0) }
    }

    /// Waits.
    fn wait(&self) {
        // ORDERING: relaxed; only the number matters, and nothing is published with it.
        let read = self.reads.fetch_add(1, Ordering::Relaxed);
        let mut word = (self.seed ^ read).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        word ^= word >> 32;
        // A few seeds do not wait at all, a few give the core away more often.
        let eager = self.seed % 4;
        match (word >> 8) % 16 {
            _ if eager == 0 => {}
            0 => thread::sleep(Duration::from_micros(word % 30)),
            1..=3 => thread::yield_now(),
            4..=7 if eager == 1 => thread::yield_now(),
            4..=10 => (0..word % 3_000).for_each(|_| hint::spin_loop()),
            _ => {}
        }
    }
}

impl PreState for Delayed<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.wait();
        self.inner.account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.wait();
        self.inner.storage(address, slot)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.wait();
        self.inner.has_storage(address)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.wait();
        self.inner.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.wait();
        self.inner.block_hash(number)
    }
}

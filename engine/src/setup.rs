//! How to run a block: what to do with transactions that cannot be part of it, and who watches.

use core::fmt;
use std::time::{Duration, Instant};

use weft_trie::StateChanges;

use crate::error::TransactionError;
use crate::outcome::TransactionReceipt;
use crate::simulate::Rehearsal;
use crate::trace::Trace;

/// How to run a block. Both engines give the same for the same setup.
///
/// ```
/// use weft_engine::{InvalidTransactions, Setup};
///
/// let watch = |committed: weft_engine::Committed<'_>| println!("{}", committed.index);
/// let setup = Setup::default().with_invalid(InvalidTransactions::Skip).with_on_commit(&watch);
/// ```
#[derive(Clone, Copy, Default)]
#[non_exhaustive]
pub struct Setup<'a> {
    /// What to do with a transaction that cannot be part of the block.
    pub invalid: InvalidTransactions,
    /// Whom to tell of each transaction as it becomes part of the block, in block order, while others still run.
    ///
    /// It is called once for each, by one thread at a time, and transactions wait meanwhile. Where rows of transactions
    /// run apart from each other, it hears of them only when all of a stretch are over. It must not panic, nor wait for a
    /// rayon job or for another thread of the pool: that one may be waiting for the commit to end.
    pub on_commit: Option<&'a OnCommit<'a>>,
    /// Whether to keep what each transaction changed ([`crate::Outcome::steps`]) where the receipts do not need it.
    pub steps: bool,
    /// Where to record who did what and when.
    pub trace: Option<&'a Trace>,
    /// Change between speculation and running in order every few transactions. For tests: it makes rare what is common
    /// and common what is rare.
    pub restless: bool,
    /// Take gas for time wherever the clock would say whether speculation pays, as who is restless does. For tests: how
    /// much of a block runs on which way is the same each time then, unless transactions meet or a thread comes late.
    pub by_gas: bool,
    /// Run on virtual cores instead of threads.
    pub(crate) rehearsal: Option<&'a Rehearsal<'a>>,
}

/// Who says how long a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timing<'a> {
    /// The clock.
    Clock,
    /// Somebody who knows what it would say.
    Rehearsal(&'a Rehearsal<'a>),
    /// Nobody: gas stands for time.
    Gas,
}

impl Timing<'_> {
    /// Whether the clock does.
    pub(crate) const fn is_by_the_clock(self) -> bool {
        matches!(self, Self::Clock)
    }

    /// A run begins.
    pub(crate) fn begin(self) -> Option<Instant> {
        self.is_by_the_clock().then(Instant::now)
    }

    /// How long the run of a transaction took that has begun then.
    pub(crate) fn took(self, start: Option<Instant>, index: usize) -> Option<Duration> {
        match self {
            Self::Clock => start.map(|start| start.elapsed()),
            Self::Rehearsal(rehearsal) => rehearsal.run_time(index),
            Self::Gas => None,
        }
    }
}

/// See [`Setup::on_commit`].
pub type OnCommit<'a> = dyn Fn(Committed<'_>) + Sync + 'a;

/// A transaction that has become part of the block.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Committed<'a> {
    /// Its place among the transactions that were given.
    pub index: usize,
    /// Its receipt.
    pub receipt: &'a TransactionReceipt,
    /// What it changed, where there are steps ([`crate::Outcome::steps`]); with the first, what preceded it.
    pub changes: Option<&'a StateChanges>,
}

/// What to do with a transaction that cannot be part of the block: it has a wrong nonce, its sender cannot pay, or the
/// block has no room for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InvalidTransactions {
    /// The block is invalid: for validation.
    #[default]
    Reject,
    /// It is left out, and the block goes on with the next: for chains that order first and execute afterwards.
    Skip,
    /// The block ends before it: for building.
    Stop,
}

/// A transaction that is no part of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// Its place among the transactions that were given.
    pub index: usize,
    /// Why.
    pub reason: TransactionError,
}

impl<'a> Setup<'a> {
    /// The same setup with another way to treat invalid transactions.
    #[must_use]
    pub const fn with_invalid(mut self, invalid: InvalidTransactions) -> Self {
        self.invalid = invalid;
        self
    }

    /// The same setup with somebody to tell of each transaction.
    #[must_use]
    pub const fn with_on_commit(mut self, on_commit: &'a OnCommit<'a>) -> Self {
        self.on_commit = Some(on_commit);
        self
    }

    /// The same setup, keeping what each transaction changed.
    #[must_use]
    pub const fn with_steps(mut self) -> Self {
        self.steps = true;
        self
    }

    /// The same setup with a trace to fill.
    #[must_use]
    pub const fn with_trace(mut self, trace: Option<&'a Trace>) -> Self {
        self.trace = trace;
        self
    }

    /// The same setup on virtual cores.
    #[must_use]
    pub(crate) const fn with_rehearsal(mut self, rehearsal: &'a Rehearsal<'a>) -> Self {
        self.rehearsal = Some(rehearsal);
        self
    }

    /// The same setup, restless.
    #[must_use]
    pub const fn restless(mut self) -> Self {
        self.restless = true;
        self
    }

    /// The same setup, with gas in place of time.
    #[must_use]
    pub const fn by_gas(mut self) -> Self {
        self.by_gas = true;
        self
    }

    /// Who says how long a run took.
    pub(crate) fn timing(&self) -> Timing<'a> {
        match self.rehearsal {
            Some(rehearsal) => Timing::Rehearsal(rehearsal),
            None if self.by_gas || self.restless => Timing::Gas,
            None => Timing::Clock,
        }
    }
}

impl fmt::Debug for Setup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invalid, on_commit, steps, trace, restless, by_gas, rehearsal } = self;
        f.debug_struct("Setup")
            .field("invalid", invalid)
            .field("on_commit", &on_commit.is_some())
            .field("steps", steps)
            .field("trace", trace)
            .field("restless", restless)
            .field("by_gas", by_gas)
            .field("rehearsal", &rehearsal.is_some())
            .finish()
    }
}

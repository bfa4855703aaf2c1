//! What goes wrong by a bug: of this crate, of the executor, or of whoever drives the workers.
//!
//! A fault is never an outcome of the block. It ends the block, [`crate::Block::finish`] returns it, and the caller
//! falls back to running in order. A transaction that fails by its own doing is an ordinary output and no fault.

use core::fmt;

use crate::version::TxIndex;

/// A bug, found at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The executor, a key or a value panicked while this transaction was run, validated or committed.
    Panicked {
        /// The transaction at hand.
        tx: TxIndex,
    },
    /// The executor reported `Blocked` although no read of that run was, so nothing would ever wake the transaction.
    BlockedWithoutCause {
        /// The transaction that was run.
        tx: TxIndex,
    },
    /// A worker was dropped between two steps, while it held the claim on this transaction.
    Abandoned {
        /// The transaction that nobody else may run.
        tx: TxIndex,
    },
    /// The block was asked for its result before any worker had reached its end.
    Unfinished {
        /// How many transactions were committed by then.
        committed: u32,
    },
    /// A simulated block would never come to its end.
    Stalled,
    /// An invariant of this crate does not hold.
    BrokenInvariant {
        /// Its number, as in the documentation of the modules.
        invariant: &'static str,
        /// The transaction where this was noticed.
        tx: TxIndex,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { tx } => write!(f, "panic at {tx}"),
            Self::BlockedWithoutCause { tx } => {
                write!(f, "{tx} was reported blocked, but none of its reads was")
            }
            Self::Abandoned { tx } => write!(f, "the worker that claimed {tx} is gone"),
            Self::Unfinished { committed } => write!(f, "no worker reached the end; {committed} committed"),
            Self::Stalled => write!(f, "the simulated block does not come to its end"),
            Self::BrokenInvariant { invariant, tx } => {
                write!(f, "invariant {invariant} does not hold at {tx}")
            }
        }
    }
}

impl std::error::Error for Fault {}

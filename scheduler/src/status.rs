//! Where one transaction stands, and the only moves it may make.
//!
//! ```text
//!             claim                finish               commit
//!  Ready(i) ────────► Executing(i) ───────► Executed(i) ───────► Committed
//!      ▲                   │                     │
//!      │                   │ block               │ abort
//!      │     release       ▼                     │
//!      └── i := i+1 ── Aborted(i) ◄──────────────┘
//! ```
//!
//! What a state knows lives in that state: only `Executed` holds the run's reads, writes and output, and the locations
//! where an earlier run left estimates travel with whoever may replace them.
//!
//! Two values stand for duties. An [`ExecutionClaim`] is held from `claim` to `finish` or `block`, a [`Suspension`]
//! from `block` or `abort` to `release`. Neither can be cloned, so each state has one party that may leave it.
//!
//! # Invariants
//!
//! - **S1.** Each incarnation is claimed at most once.
//! - **S2.** The incarnation changes only at `release`, and only by one.
//! - **S3.** `Committed` is final.
//!
//! The tests below check all three, `models/status.rs` the first two with workers that race; `tests/programs.rs` checks
//! whole blocks.

use core::mem;

use crate::{
    fault::Fault,
    planted::planted,
    version::{Incarnation, TxIndex, Version},
};

/// Where one transaction stands. `K` is a location, `R` what a finished run leaves behind.
#[derive(Debug)]
pub(crate) enum TxStatus<K, R> {
    /// The incarnation may be run by anybody.
    Ready {
        /// The one to run.
        incarnation: Incarnation,
        /// Where earlier runs left estimates.
        estimates: Vec<K>,
    },
    /// Somebody holds the claim.
    Executing {
        /// The one that runs.
        incarnation: Incarnation,
    },
    /// The run is over and its writes are in the multi-version memory.
    Executed {
        /// The one that ran.
        incarnation: Incarnation,
        /// What it saw and left behind.
        run: R,
    },
    /// The run is void. Somebody holds the suspension.
    Aborted {
        /// The one that is void.
        incarnation: Incarnation,
        /// Where earlier runs left estimates.
        estimates: Vec<K>,
    },
    /// The outcome is final and has been handed over.
    Committed,
}

/// The right, and the duty, to run one incarnation.
///
/// Claims cannot be cloned, and every finishing move consumes one. Finishing twice, or without having started, does
/// not compile.
#[must_use = "a dropped claim leaves its transaction in `Executing` for good"]
#[derive(Debug)]
pub(crate) struct ExecutionClaim<K> {
    /// The run that this claim stands for.
    version: Version,
    /// Where earlier runs left estimates. The claim alone may replace or remove them.
    estimates: Vec<K>,
}

/// The duty to release one aborted transaction once its reason to wait is gone.
#[must_use = "a dropped suspension leaves its transaction in `Aborted` for good"]
#[derive(Debug)]
pub(crate) struct Suspension(Version);

impl<K, R> TxStatus<K, R> {
    /// How every transaction begins.
    pub(crate) const fn new() -> Self {
        Self::Ready { incarnation: Incarnation(0), estimates: Vec::new() }
    }

    /// Before the first run: where it will likely write, and estimates stand already.
    pub(crate) fn predict(&mut self, keys: Vec<K>) {
        if let Self::Ready { estimates, .. } = self {
            estimates.extend(keys);
        }
    }

    /// `Ready(i)` → `Executing(i)`, or `None` if another worker got there first.
    pub(crate) fn claim(&mut self, tx: TxIndex) -> Option<ExecutionClaim<K>> {
        let Self::Ready { incarnation, estimates } = self else { return None };
        let version = Version { tx, incarnation: *incarnation };
        let estimates = mem::take(estimates);
        // INVARIANT S1: the caller holds the lock, so test and set are one.
        *self = Self::Executing { incarnation: version.incarnation };
        Some(ExecutionClaim { version, estimates })
    }

    /// `Executing(i)` → `Executed(i)`.
    ///
    /// # Errors
    ///
    /// A fault if the claim is not for this transaction's current run.
    pub(crate) fn finish(&mut self, claim: ExecutionClaim<K>, run: R) -> Result<(), Fault> {
        let incarnation = self.check_claim(&claim)?;
        *self = Self::Executed { incarnation, run };
        Ok(())
    }

    /// `Executing(i)` → `Aborted(i)`: the run met an estimate, or wants to wait, or has not begun. It has written nothing.
    ///
    /// # Errors
    ///
    /// A fault if the claim is not for this transaction's current run.
    pub(crate) fn block(&mut self, claim: ExecutionClaim<K>) -> Result<Suspension, Fault> {
        let incarnation = self.check_claim(&claim)?;
        *self = Self::Aborted { incarnation, estimates: claim.estimates };
        Ok(Suspension(claim.version))
    }

    /// What the last run left behind, if it is over and not void.
    pub(crate) const fn executed(&self) -> Option<&R> {
        match self {
            Self::Executed { run, .. } => Some(run),
            Self::Ready { .. } | Self::Executing { .. } | Self::Aborted { .. } | Self::Committed => None,
        }
    }

    /// The same, to be changed.
    pub(crate) const fn executed_mut(&mut self) -> Option<&mut R> {
        match self {
            Self::Executed { run, .. } => Some(run),
            Self::Ready { .. } | Self::Executing { .. } | Self::Aborted { .. } | Self::Committed => None,
        }
    }

    /// `Executed(i)` → `Aborted(i)`: the run failed validation. `estimates` turns its writes into estimates and says
    /// where they are. `None`, and no move, in any other state.
    pub(crate) fn abort(
        &mut self,
        tx: TxIndex,
        estimates: impl FnOnce(Version, R) -> Vec<K>,
    ) -> Option<Suspension> {
        let (incarnation, run) = self.take_executed()?;
        let version = Version { tx, incarnation };
        *self = Self::Aborted { incarnation, estimates: estimates(version, run) };
        Some(Suspension(version))
    }

    /// `Aborted(i)` → `Ready(i+1)`.
    ///
    /// # Errors
    ///
    /// A fault if the suspension is not for this transaction's current run.
    pub(crate) fn release(&mut self, suspension: Suspension) -> Result<(), Fault> {
        let Self::Aborted { incarnation, estimates } = self else {
            return Err(broken("S2", suspension.tx()));
        };
        if *incarnation != suspension.0.incarnation {
            return Err(broken("S2", suspension.tx()));
        }
        let next = if planted!(StaleIncarnation) { *incarnation } else { incarnation.next() };
        *self = Self::Ready { incarnation: next, estimates: mem::take(estimates) };
        Ok(())
    }

    /// `Executed(i)` → `Committed`, handing over what the run left behind. `None`, and no move, in any other state.
    pub(crate) fn commit(&mut self) -> Option<R> {
        self.take_executed().map(|(_, run)| run)
    }

    /// Moves out of `Executed` into `Committed`; the caller may go on to `Aborted`.
    fn take_executed(&mut self) -> Option<(Incarnation, R)> {
        self.executed()?;
        let Self::Executed { incarnation, run } = mem::replace(self, Self::Committed) else { return None };
        Some((incarnation, run))
    }

    /// The incarnation in `Executing`, if `claim` is the claim on it.
    fn check_claim(&self, claim: &ExecutionClaim<K>) -> Result<Incarnation, Fault> {
        match self {
            Self::Executing { incarnation } if *incarnation == claim.version.incarnation => Ok(*incarnation),
            Self::Executing { .. }
            | Self::Ready { .. }
            | Self::Executed { .. }
            | Self::Aborted { .. }
            | Self::Committed => Err(broken("S1", claim.version.tx)),
        }
    }
}

impl<K> ExecutionClaim<K> {
    /// The run that this claim stands for.
    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// Where earlier runs left estimates: to be replaced or removed when this run's writes are applied.
    pub(crate) fn take_estimates(&mut self) -> Vec<K> {
        mem::take(&mut self.estimates)
    }
}

impl Suspension {
    /// Whose duty to wait this is.
    pub(crate) const fn tx(&self) -> TxIndex {
        self.0.tx
    }

    /// The incarnation that will run once it is released.
    pub(crate) const fn next_incarnation(&self) -> Incarnation {
        self.0.incarnation.next()
    }
}

/// The fault for a broken invariant.
pub(crate) const fn broken(invariant: &'static str, tx: TxIndex) -> Fault {
    Fault::BrokenInvariant { invariant, tx }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TX: TxIndex = TxIndex(7);

    type Status = TxStatus<char, &'static str>;

    /// A transaction whose run `i` is executed, reached by the legal moves alone.
    fn executed(incarnation: u32) -> Status {
        let mut status = Status::new();
        for _ in 0..incarnation {
            let claim = status.claim(TX).unwrap();
            let suspension = status.block(claim).unwrap();
            status.release(suspension).unwrap();
        }
        let claim = status.claim(TX).unwrap();
        assert_eq!(claim.version(), Version { tx: TX, incarnation: Incarnation(incarnation) });
        status.finish(claim, "run").unwrap();
        status
    }

    #[test]
    fn s1_an_incarnation_is_claimed_once() {
        let mut status = Status::new();
        let claim = status.claim(TX).unwrap();
        assert!(status.claim(TX).is_none());
        status.finish(claim, "run").unwrap();
        assert!(status.claim(TX).is_none());
    }

    #[test]
    fn s1_a_claim_on_another_run_is_a_fault() {
        let mut other = executed(3);
        let suspension = other.abort(TX, |_, _| Vec::new()).unwrap();
        other.release(suspension).unwrap();
        let stray = other.claim(TX).unwrap();

        let mut status = Status::new();
        let _claim = status.claim(TX).unwrap();
        assert_eq!(status.finish(stray, "run"), Err(broken("S1", TX)));
    }

    #[test]
    fn s2_only_release_changes_the_incarnation_and_only_by_one() {
        let mut status = executed(1);
        let suspension = status
            .abort(TX, |version, run| {
                assert_eq!((version.incarnation, run), (Incarnation(1), "run"));
                vec!['a']
            })
            .unwrap();
        assert_eq!(suspension.next_incarnation(), Incarnation(2));
        assert!(status.claim(TX).is_none(), "not before it is released");
        status.release(suspension).unwrap();

        let mut claim = status.claim(TX).unwrap();
        assert_eq!(claim.version().incarnation, Incarnation(2));
        assert_eq!(claim.take_estimates(), ['a'], "the claim knows the estimates of the run before");
    }

    #[test]
    fn s2_a_suspension_of_another_run_is_a_fault() {
        let mut other = executed(4);
        let stray = other.abort(TX, |_, _| Vec::new()).unwrap();
        let mut status = executed(0);
        let _suspension = status.abort(TX, |_, _| Vec::new()).unwrap();
        assert_eq!(status.release(stray), Err(broken("S2", TX)));
    }

    #[test]
    fn s3_committed_is_final() {
        let mut status = executed(0);
        assert_eq!(status.commit(), Some("run"));
        assert_eq!(status.commit(), None);
        assert!(status.claim(TX).is_none());
        assert!(status.abort(TX, |_, _| Vec::new()).is_none());
        assert!(matches!(status, TxStatus::Committed));
    }

    #[test]
    fn a_blocked_run_keeps_the_estimates_of_the_run_before() {
        let mut status = executed(0);
        let suspension = status.abort(TX, |_, _| vec!['a', 'b']).unwrap();
        status.release(suspension).unwrap();
        let claim = status.claim(TX).unwrap();
        let suspension = status.block(claim).unwrap();
        status.release(suspension).unwrap();
        assert_eq!(status.claim(TX).unwrap().take_estimates(), ['a', 'b']);
    }
}

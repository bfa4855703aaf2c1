//! Bugs to be planted in the kernel, to see that the models find them.
//!
//! Only the tests under a model checker can plant them. In every other build `planted!(…)` is the word `false`, and
//! nothing of this is left. `models/` says who finds which.

/// What is wrong.
#[cfg(all(test, any(loom, shuttle)))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A transaction is committed without a last validation: those ahead of the frontier are all there is.
    SkipValidation,
    /// A write where somebody has read something else is not counted as a surprise.
    UncountedSurprise,
    /// Of the writes of a void run, the first stands as if it had not been aborted.
    LoseEstimate,
    /// The turn to commit is given back, and the frontier passes, before the outcome is handed over.
    CommitOutOfOrder,
    /// Whoever gives the turn back does not look once more.
    NoSecondLook,
    /// A transaction runs again under the version of its void run.
    StaleIncarnation,
    /// A worker that was woken while it lay down sleeps all the same.
    DroppedWakeUp,
    /// A worker that lies down looks once more, but without the fence: it may see what was before.
    MissingFence,
}

#[cfg(all(test, any(loom, shuttle)))]
std::thread_local! {
    /// The bug that this test has planted. Checkers run a model's threads on the thread of its test.
    static PLANTED: core::cell::Cell<Option<Bug>> = const { core::cell::Cell::new(None) };
}

/// Plants a bug for the rest of this test.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn plant(bug: Bug) {
    PLANTED.set(Some(bug));
}

/// Whether this bug is planted.
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted.
#[cfg(all(test, any(loom, shuttle)))]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_planted($crate::planted::Bug::$bug)
    };
}

/// Whether this bug is planted: no.
#[cfg(not(all(test, any(loom, shuttle))))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

pub(crate) use planted;

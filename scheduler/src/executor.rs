//! What the caller plugs in: how to run one transaction, and what to do with its final outcome.

use core::{fmt::Debug, hash::Hash};

use crate::{
    version::{Blocked, TxIndex},
    view::View,
};

/// How to run one transaction, and what to do with its final outcome.
pub trait Executor: Sync {
    /// The name of a location. Locations are the same if and only if their keys are equal.
    type Key: Clone + Eq + Hash + Send + Sync + Debug;
    /// What a location holds. A read is still valid when the location holds an equal value.
    type Value: Clone + PartialEq + Send + Sync + Debug;
    /// What one run produces besides its writes, such as the material for a receipt, or why the transaction failed.
    type Output: Send + Debug;
    /// What one worker keeps between runs, such as an EVM. It holds the worker's view, so that an EVM can have it for
    /// its database, and nothing need be made anew for each run.
    type Scratch<'b>
    where
        Self: 'b;

    /// Makes the scratch of one worker, when it first runs a transaction.
    fn scratch<'b>(&'b self, worker: usize, view: View<'b, Self::Key, Self::Value>) -> Self::Scratch<'b>;

    /// The view that `scratch` was made with.
    fn view<'s, 'b>(&'b self, scratch: &'s mut Self::Scratch<'b>)
    -> &'s mut View<'b, Self::Key, Self::Value>;

    /// Runs one transaction once. What it reads of the block goes through the view, and what it writes is returned.
    ///
    /// Must be a function of the transaction and of the values read. May be called several times for a transaction,
    /// from several threads, and with values that no run in order would see; only the last call counts. It must end
    /// for any values.
    ///
    /// # Errors
    ///
    /// [`Blocked`], and only the one that the view returned. A transaction that fails by its own doing is an ordinary
    /// output.
    fn execute<'b>(
        &'b self,
        scratch: &mut Self::Scratch<'b>,
        tx: TxIndex,
    ) -> Result<Execution<Self::Key, Self::Value, Self::Output>, Blocked>;

    /// Takes the final outcome of `tx`: in block order, each exactly once, one at a time. When it returns, and not
    /// before, transactions above may find themselves at the frontier.
    fn commit(&self, tx: TxIndex, output: Self::Output) -> Commit;
}

/// What one run produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution<K, V, O> {
    /// What it wrote. If a location comes twice, the last value counts.
    pub writes: Vec<(K, V)>,
    /// How long the run takes in order, in sixteenths of what the scheduler adds to any ([`RUN_OVERHEAD`]): a guess. It
    /// decides whether speculation pays, and never what comes out.
    ///
    /// [`RUN_OVERHEAD`]: crate::RUN_OVERHEAD
    pub cost: u32,
    /// What else it produced.
    pub output: O,
}

/// Whether the block goes on behind a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Commit {
    /// The next one may commit.
    Continue,
    /// The next one may commit, and this one has written nothing: whatever it has is taken back.
    Discard,
    /// The block ends here, for instance because it is invalid. No later transaction commits.
    Stop,
}

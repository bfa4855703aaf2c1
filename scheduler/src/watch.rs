//! What happens inside a worker's step, for whoever keeps the time of it: the simulator, or a clock.

use crate::version::TxIndex;

/// Is told what a worker does within its steps. It may keep the worker waiting: no lock but the turn to commit is held
/// meanwhile, and nobody waits for that.
pub(crate) trait Watch {
    /// A run of `tx` begins.
    fn run_begins(&self, tx: TxIndex);
    /// The run is about to read.
    fn reads(&self);
    /// The run is over and about to be published, or, if it was `suspended`, to be taken back.
    fn run_ends(&self, suspended: bool);
    /// The outcome of `tx` is final and about to be handed over.
    fn commits(&self, tx: TxIndex);
}

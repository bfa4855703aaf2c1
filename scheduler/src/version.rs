//! Who ran, and for the how-manieth time: the names by which values are known.

use core::fmt;

/// Position of a transaction in its block, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxIndex(pub u32);

/// Which run of one transaction, from 0. A transaction that was aborted runs again as the next incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u32);

/// One run of one transaction. It names every value that this run wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The transaction that ran.
    pub tx: TxIndex,
    /// Which of its runs.
    pub incarnation: Incarnation,
}

/// Whose value a read saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The value written by this run, which was the highest below the reader.
    Version(Version),
    /// No lower transaction wrote the location: the reader used what lies beneath the block.
    PreState,
}

/// A read met an estimate, or the run asked to wait: it cannot go on before this lower transaction has.
///
/// This is a result and not an error. The executor hands it back unchanged, and the run is repeated later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Blocked(pub TxIndex);

impl TxIndex {
    /// The transaction right behind this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Incarnation {
    /// Stands for the run that a value was foreseen of. No transaction runs so often.
    pub(crate) const FORESEEN: Self = Self(u32::MAX);

    /// The run after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for TxIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "transaction {}", self.0)
    }
}

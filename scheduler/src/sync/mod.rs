//! The only door to `std::sync`, `parking_lot`, and whatever else would hide a choice from a model checker.
//!
//! The rest of the crate names no lock and no atomic but these. Built with `--cfg loom` or `--cfg shuttle`, they are
//! that checker's own (`checked.rs`), with the same faces: what the models in `models/` test is the code that ships.

#[cfg(any(loom, shuttle))]
mod checked;
#[cfg(not(any(loom, shuttle)))]
mod shipped;

pub(crate) use core::sync::atomic::Ordering;

#[cfg(any(loom, shuttle))]
pub(crate) use checked::*;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use shipped::*;

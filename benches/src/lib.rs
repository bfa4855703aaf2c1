//! Workloads, and sequential baselines to measure the engine against.
//!
//! ```text
//! workloads ─► Workload ─► Input ─┬─► baselines::journal, cache, state   revm's own loops, no engine of ours
//!              block, pre-state   └─► ReadyBlock ─► weft_engine::parallel
//! ```
//!
//! Every workload is a function of its parameters: people, keys and choices come from seeds. What is measured is
//! running the transactions; signatures are made and checked before.

#![forbid(unsafe_code)]

pub mod baselines;
mod contracts;
mod person;
mod random;
mod scene;
pub mod workloads;

pub use scene::Workload;
pub use workloads::{Plan, Scale, catalogue};

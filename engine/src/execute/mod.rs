//! EXECUTE: from bytes to verdict (EIP-8079, EIP-8025).
//!
//! ```text
//! bytes ─► wire, witness_json ─► ExecuteInput ─► pipeline ─► Verdict ─► output bytes
//!          decode only                           headers: the chain of ancestors
//!                                                payload: the block that a payload stands for
//!                                                rules:   the header against its parent
//!                                                expected: accounts to look up before the run
//!                                                compare: what the header commits to
//! ```
//!
//! The order of checks is the reference's (execution-specs, `tests-zkevm@v21.0.0`): headers, payload, header
//! against parent, execution, comparisons; but all keys and signatures come before execution. The output bytes don't
//! show which check failed; the [`Verdict`] does.

mod block_json;
mod cache;
mod compare;
mod expected;
mod headers;
mod input;
pub(crate) mod json;
mod payload;
mod pipeline;
mod rules;
mod verdict;
pub mod wire;
mod witness_json;

pub use cache::Cache;
pub use input::{ExecuteInput, InputError, ReadOptions};
pub use pipeline::{Engine, Options, run};
pub use verdict::{Computed, Stages, Verdict};
pub use witness_json::{BlockWitness, TrustedParent};

pub(crate) use block_json::BlockJson;
pub(crate) use compare::{Computation, check_gas, compare};
pub(crate) use input::asked_for;
pub(crate) use pipeline::execute_block;
pub(crate) use rules::check_alone;
pub(crate) use witness_json::Number;

//! The EVM on Block-STM and a partial trie.
//!
//! A native rollup proves nothing: Ethereum re-executes each of its blocks through the `EXECUTE` precompile
//! (EIP-8079), statelessly, from a witness. This crate does that on all cores:
//!
//! ```no_run
//! use weft_engine::execute::{self, ExecuteInput, Options};
//!
//! let bytes = std::fs::read("block.ssz")?;
//! let input = ExecuteInput::read(bytes.into(), &Default::default())?;
//! let verdict = execute::run(&input, &Options::with_threads(8)?.prepared());
//! assert!(verdict.valid());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The way of a block:
//!
//! ```text
//! execute/  bytes ─► input ─► headers, payload, rules ─► ReadyBlock ─┐
//!                                                                   ▼
//! sequential │ parallel ─► transaction ─► commit, in block order ─► Outcome ─► roots, comparisons ─► Verdict
//! ```
//!
//! Read `sequential` first: it is the specification. `commit` says what a transaction does to its block,
//! `parallel` does the same on all cores, `execute` puts bytes in front and a verdict behind.

#![forbid(unsafe_code)]

mod access_list;
mod alike;
mod blobs;
pub mod block;
mod block_state;
mod blooms;
pub mod chain;
mod codes;
mod commit;
mod counters;
mod course;
mod deposits;
mod desk;
pub mod error;
mod evm;
pub mod execute;
mod expected;
mod families;
mod foresight;
mod gas;
mod hash_ahead;
mod hash_memo;
mod in_order;
mod ledger;
mod listed;
mod location;
pub mod outcome;
mod own_codes;
pub mod parallel;
pub mod pre_state;
pub mod replay;
mod sample;
mod senders;
pub mod sequential;
mod setup;
pub mod simulate;
mod strands;
mod stretch;
pub mod trace;
mod transaction;
mod transfer;
mod view;
mod watch;

pub use block::{Block, ReadyBlock, SignedTransaction};
pub use chain::{Chain, Rules};
pub use counters::Counters;
pub use outcome::Outcome;
pub use senders::PublicKey;
pub use setup::{Committed, InvalidTransactions, LeftOut, OnCommit, Setup};
pub use weft_recover::Backend as Recovery;

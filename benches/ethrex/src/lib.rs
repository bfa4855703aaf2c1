//! ethrex's stateless path on the witness files that Weft is measured with.
//!
//! ethrex is an independent Ethereum client with its own EVM and its own trie.
//! This package runs what its guest program runs, through its published crates,
//! and times it, so that Weft's figures stand beside somebody else's.
//!
//! - [`input`] reads a witness file. Nothing in it is timed.
//! - [`chain`] says when each fork of mainnet and hoodi begins.
//! - [`stateless`] verifies one block from its witness. All of it is timed.
//! - [`stages`] is the table of times, and its wire form.
//! - [`transfers`] makes a block of plain transfers.
//! - [`statistics`] is the median and the geometric mean.
//!
//! Three programs use it: `ethrex-stateless` times ethrex alone; `compare` runs
//! it and `weft` in turns; `transfers` writes a block for them.

pub mod chain;
pub mod input;
pub mod stages;
pub mod stateless;
pub mod statistics;
pub mod transfers;

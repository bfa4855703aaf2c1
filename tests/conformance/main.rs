//! Real blocks and public fixtures, with every engine and thread count.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod blocks;
mod stateless;
mod wire;

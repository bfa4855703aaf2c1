//! Tests of the trie from outside, by subject.
//!
//! Comments name the invariant (T1 to T10, see the crate's page) a test checks.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod corner_cases;
mod differential;
mod fixtures;
mod fuzz;
mod hostile;
mod states;
mod support;
mod threads;
mod world;

//! Blocks made to set engines apart: each must give what running in order gives, for any number of threads.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bare_storage;
mod edges;
mod invalid;
mod kept;
mod listed;
mod made;
mod peers;
mod strands;
mod transfers;

//! What can be asked of the simulator.

use std::num::NonZeroUsize;

use clap::Parser;
use regex::Regex;

/// Runs the benchmark's workloads on virtual cores, with what their transactions take on this machine.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
pub(crate) struct Arguments {
    /// Only workloads whose name matches.
    #[arg(long, value_name = "REGEX")]
    pub(crate) filter: Option<Regex>,
    /// Part of the full size that generated workloads have.
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// Numbers of virtual cores.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "2,8,32", value_parser = workers)]
    pub(crate) threads: Vec<usize>,
    /// Which of the likely courses of events.
    #[arg(long, default_value_t)]
    pub(crate) seed: u64,
    /// How often each cost is measured; the least counts.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Each block comes with its access list (EIP-7928), as in Amsterdam.
    #[arg(long)]
    pub(crate) access_list: bool,
    /// Also run each block on one real thread and on two, so many times in turn, and compare.
    #[arg(long, value_name = "ROUNDS")]
    pub(crate) calibrate: Option<NonZeroUsize>,
    /// Only measure what waiting and waking take on this machine.
    #[arg(long)]
    pub(crate) kernel: bool,
    /// One JSON object per workload instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads a number of virtual cores.
fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(workers @ 1..=1_024) => Ok(workers),
        _ => Err("a number from 1 to 1024".to_owned()),
    }
}

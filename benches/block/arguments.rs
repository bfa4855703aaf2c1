//! What can be asked of the benchmark.

use std::num::NonZeroUsize;

use clap::Parser;
use regex::Regex;

/// Runs blocks on revm's sequential loops and on Weft, in turn, and compares the times.
#[derive(Debug, Parser)]
#[command(name = "block")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct Arguments {
    /// Only workloads whose name matches.
    #[arg(long, value_name = "REGEX")]
    pub(crate) filter: Option<Regex>,
    /// Rounds after the warm-up; times are medians over them.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Part of the full size that generated workloads have.
    #[arg(long, value_name = "PART", default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// Numbers of threads that Weft runs on.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2", value_parser = at_least_one)]
    pub(crate) threads: Vec<usize>,
    /// Weft gets each block with its access list (EIP-7928), as in Amsterdam.
    #[arg(long)]
    pub(crate) access_list: bool,
    /// The table shows CPU time of the process instead of wall time.
    #[arg(long)]
    pub(crate) cpu: bool,
    /// One JSON object per workload instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Only the names of the workloads.
    #[arg(long)]
    pub(crate) list: bool,
}

/// A number of threads.
fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse::<NonZeroUsize>().map(NonZeroUsize::get).map_err(|error| error.to_string())
}

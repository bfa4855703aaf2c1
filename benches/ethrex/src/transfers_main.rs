//! `transfers FILE [--transfers N] [--accounts N]`: writes a block of plain
//! transfers with its witness.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use clap::Parser;
use ethrex_bench::transfers::{Size, make};

/// Makes a block of plain transfers with its witness, for `compare` and `weft execute`.
#[derive(Debug, Parser)]
#[command(name = "transfers")]
struct Arguments {
    /// Where to write it, as JSON.
    file: PathBuf,
    /// Transactions, each from another account to another.
    #[arg(long, default_value_t = 2_000)]
    transfers: u32,
    /// Accounts in the state; twice as many as transactions at least.
    #[arg(long, default_value_t = 100_000)]
    accounts: u32,
}

fn main() -> Result<()> {
    let Arguments { file, transfers, accounts } = Arguments::parse();
    let made = make(Size { transfers, accounts })?;
    fs::write(&file, serde_json::to_vec(&made)?).with_context(|| format!("cannot write {}", file.display()))
}

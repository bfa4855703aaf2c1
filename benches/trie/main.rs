//! The trie benchmark: from a witness and changes to the state root, stage by stage.
//!
//! ```text
//! make or load a case ─► rounds: every arm in turn, root compared ─► the best of each stage ─► a table
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a command speaks on its standard streams")]

mod arms;
mod case;
mod floor;
mod junk;
mod make;
mod resident;
mod save;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use comfy_table::{CellAlignment, Table};
use std::path::PathBuf;
use weft_trie::Backend;

use arms::{Input, Stages};
use case::Case;

/// The allocator of the `weft` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the way from a witness and changes to the state root.
#[derive(Debug, Parser)]
struct Arguments {
    /// Accounts in the state.
    #[arg(long, default_value_t = 100_000)]
    accounts: usize,
    /// Accounts that change.
    #[arg(long, default_value_t = 1000)]
    changed: usize,
    /// Read the case from a file; if there is none, make the case and write the file.
    #[arg(long)]
    file: Option<PathBuf>,
    /// How often each arm runs; the best counts.
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// Numbers of threads for Weft.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// What to hash with, instead of the best that the processor has.
    #[arg(long)]
    backend: Option<Kernel>,
    /// Instead of all that, verify a witness of 16 MiB of entries of this many bytes, and see what memory it takes.
    #[arg(long)]
    junk: Option<usize>,
    /// Instead of a witness, a state that stays in memory, of accounts alone, with a block in each round.
    #[arg(long)]
    resident: bool,
    /// Leave out the other tries.
    #[arg(long)]
    alone: bool,
    /// Print a line of JSON for each arm, and nothing else.
    #[arg(long)]
    json: bool,
}

/// A way of hashing.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kernel {
    /// Eight messages at once.
    Avx512,
    /// Four messages at once.
    Avx2,
    /// One by one.
    Portable,
}

impl From<Kernel> for Backend {
    fn from(kernel: Kernel) -> Self {
        match kernel {
            Kernel::Avx512 => Self::Avx512,
            Kernel::Avx2 => Self::Avx2,
            Kernel::Portable => Self::Portable,
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(kernel) = arguments.backend {
        Backend::from(kernel).prefer();
    }
    if let Some(length) = arguments.junk {
        println!("{}", junk::junk(length.max(1))?);
        return Ok(());
    }
    if arguments.resident {
        return resident(&arguments);
    }
    let case = case(&arguments)?;
    let input = Input::new(&case);
    let floor = floor::Floor::new(&case, &input)?;
    let pools = arguments.threads.iter().map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(*threads).build()?;
        Ok((format!("weft, {threads} threads"), pool))
    });
    let pools: Vec<(String, rayon::ThreadPool)> = pools.collect::<anyhow::Result<_>>()?;
    let mut best: Vec<(String, Stages)> = Vec::new();
    for round in 0..=arguments.rounds {
        let mut runs = Vec::new();
        for (name, pool) in &pools {
            runs.push((name.clone(), pool.install(|| arms::weft(&case, &input))?));
        }
        if !arguments.alone {
            runs.push(("eth_trie 0.6".to_owned(), arms::eth_trie(&case)?));
        }
        // The first round warms up.
        match round {
            0 | 1 => best = runs,
            _ => best.iter_mut().zip(runs).for_each(|((_, best), (_, run))| *best = best.least(&run)),
        }
    }
    if arguments.json {
        for (arm, stages) in &best {
            println!("{}", serde_json::json!({ "arm": arm, "stages": stages }));
        }
        return Ok(());
    }
    let bytes: usize = case.nodes.iter().map(Vec::len).sum();
    let (accounts, leaves, nodes) = (case.accounts, case.leaves(), case.nodes.len());
    println!("{accounts} accounts, {leaves} leaves changed, {nodes} nodes, {bytes} bytes");
    println!("{floor}");
    println!("{}", table(&best, &case, floor.milliseconds()));
    Ok(())
}

/// Changes a state in memory, block after block, on one thread.
fn resident(arguments: &Arguments) -> anyhow::Result<()> {
    let keccak = |bytes: &[u8]| alloy_primitives::keccak256(bytes).0;
    let chain = resident::Chain {
        accounts: u64::try_from(arguments.accounts)?,
        changed: u64::try_from(arguments.changed)?,
        keccak,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let (milliseconds, root) = pool.install(|| arms::resident(&chain, arguments.rounds.into()))?;
    if arguments.json {
        println!("{}", serde_json::json!({ "milliseconds": milliseconds, "root": root.to_string() }));
    } else {
        let nanoseconds = milliseconds * 1e6 / f64::from(u32::try_from(chain.changed)?);
        println!("{milliseconds:.2} ms, {nanoseconds:.0} ns for each changed account");
    }
    Ok(())
}

/// The case of the file, or one that is made.
fn case(arguments: &Arguments) -> anyhow::Result<Case> {
    match &arguments.file {
        Some(file) if file.exists() => Case::load(file).with_context(|| file.display().to_string()),
        file => {
            let case = make::make(arguments.accounts, arguments.changed)?;
            if let Some(file) = file {
                case.save(file).with_context(|| file.display().to_string())?;
            }
            Ok(case)
        }
    }
}

/// The figures, a row to the arm. The first arm is what the others are compared with.
fn table(arms: &[(String, Stages)], case: &Case, floor: f64) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "total ms", "index", "read", "root", "ns/leaf", "× floor", "× first"]);
    let first = arms.first().map_or(0.0, |(_, stages)| stages.total());
    let leaves = u32::try_from(case.leaves()).map_or(f64::INFINITY, f64::from);
    for (name, stages) in arms {
        let total = stages.total();
        let figure = |figure: f64| format!("{figure:.2}");
        let nanoseconds = format!("{:.0}", total * 1e6 / leaves);
        let stages = [total, stages.index, stages.read, stages.root].map(figure);
        let ratios = [total / floor, total / first].map(figure);
        let row = [name.clone()].into_iter().chain(stages).chain([nanoseconds]).chain(ratios);
        table.add_row(row);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

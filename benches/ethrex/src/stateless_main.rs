//! `ethrex-stateless FILE… [--runs N] [--threads N]`: times ethrex's stateless
//! path and prints one JSON line per file.

use std::{
    io::{Write, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ethrex_bench::{
    input::Input,
    stages::{Measured, Report, Spread, micros},
    stateless::{Outcome, forget_senders, verify},
    statistics::median,
};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The allocator that `weft` uses, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times ethrex's stateless path on witness files.
#[derive(Debug, Parser)]
#[command(name = "ethrex-stateless")]
struct Arguments {
    /// Witness files, as JSON.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Runs per file that count; one more goes before them as a warm-up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Threads that recover senders [default: `RAYON_NUM_THREADS`, or all cores].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// Leave the warm-up out.
    #[arg(long)]
    cold: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let pool = ThreadPoolBuilder::new()
        .num_threads(arguments.threads)
        .stack_size(16 << 20)
        .build()
        .context("no thread pool")?;

    let mut exit_code = ExitCode::SUCCESS;
    for path in &arguments.files {
        let measured = measure(path, &arguments, &pool);
        let error = measured.as_ref().err().map(|error| format!("{error:#}"));
        if error.is_some() {
            exit_code = ExitCode::FAILURE;
        }
        let report =
            Report { file: path.display().to_string(), ok: error.is_none(), error, measured: measured.ok() };
        writeln!(stdout(), "{}", serde_json::to_string(&report)?)?;
    }
    Ok(exit_code)
}

/// Runs one file as often as asked. A single run that fails fails them all.
fn measure(path: &Path, arguments: &Arguments, pool: &ThreadPool) -> Result<Measured> {
    let input = Input::read(path)?;
    if !arguments.cold {
        run(&input, pool)?;
    }
    let outcomes = (0..arguments.runs).map(|_| run(&input, pool)).collect::<Result<Vec<Outcome>>>()?;

    let fastest =
        outcomes.iter().min_by_key(|outcome| outcome.stages.total()).expect("clap asks for one run at least");
    let totals: Vec<f64> = outcomes.iter().map(|outcome| micros(outcome.stages.total())).collect();
    Ok(Measured {
        state_root: format!("{:#x}", fastest.state_root),
        gas_used: fastest.gas_used,
        stages_us: fastest.stages.into(),
        total_us: Spread {
            min: micros(fastest.stages.total()),
            median: median(&totals).expect("there is one run at least"),
        },
        runs: totals.len(),
        threads: pool.current_num_threads(),
    })
}

/// Runs one file once, on a fresh copy, with nothing remembered.
///
/// The whole run happens on a thread of the pool: so there are never more
/// threads than asked for, and the first signature waits for nobody to wake up.
fn run(input: &Input, pool: &ThreadPool) -> Result<Outcome> {
    let job = input.job()?;
    forget_senders();
    let outcome = pool.install(|| verify(job))?;
    ensure!(outcome.state_root == input.state_root, "the state root is not the file's");
    ensure!(outcome.gas_used == input.gas_used, "the gas used is not the file's");
    Ok(outcome)
}

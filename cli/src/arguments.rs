//! What can be asked of the command.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum, value_parser};
use weft_engine::execute::wire::{Dialect, DialectChoice};
use weft_engine::execute::{Cache, Engine, Options};
use weft_engine::{Chain, Recovery};

/// Re-executes Ethereum blocks statelessly, on all cores.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge inputs of EXECUTE: re-execute each block from its witness and compare everything its header says.
    Execute(ExecuteArguments),
    /// Run blocks on a plain pre-state and compare gas, receipts root and logs bloom.
    Replay(ReplayArguments),
    /// Run blockchain tests of EEST and ethereum/tests, each sequentially and on every number of threads.
    Blocktest(BlocktestArguments),
    /// Run blocks made up from seeds in order and on every number of threads, and compare everything.
    Fuzz(FuzzArguments),
    /// Run blocks on virtual cores, with what their transactions take here, and say how fast they would be.
    Simulate(SimulateArguments),
}

/// Arguments of `execute`.
#[derive(Debug, Args)]
pub(crate) struct ExecuteArguments {
    /// Files: a `StatelessInput` as SSZ or hex text, or JSON with a block and its execution witness. `-` is
    /// standard input. Without any, a built-in example is generated and judged.
    pub(crate) files: Vec<PathBuf>,
    /// How to run.
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Wire form of SSZ inputs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dialect: DialectArgument,
    /// Judge each input this many times and report the fastest stages.
    #[arg(long, default_value = "1", hide = true)]
    pub(crate) repeat: NonZeroUsize,
    /// Write what each worker did, and when, as JSON for Chrome's or Perfetto's trace viewer; of the sequential engine, the
    /// stages.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    /// Files: JSON with a block and its pre-state, plain or compressed with gzip. `-` is standard input.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How to run.
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// Arguments of `blocktest`.
#[derive(Debug, Args)]
pub(crate) struct BlocktestArguments {
    /// Files (JSON, plain or compressed), archives (tar, plain or compressed), or folders of them.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Numbers of threads for the parallel engine.
    #[arg(long, value_parser = thread_count, value_delimiter = ',', default_values = ["1", "2", "8"])]
    pub(crate) threads: Vec<NonZeroUsize>,
    /// Only tests whose name matches this regular expression.
    #[arg(long, value_name = "REGEX")]
    pub(crate) run: Option<String>,
    /// Only tests whose names stand in this file, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) names: Option<PathBuf>,
    /// Who recovers signers.
    #[command(flatten)]
    pub(crate) signers: SignerArguments,
    /// Print one JSON object per test and line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `fuzz`.
#[derive(Debug, Args)]
pub(crate) struct FuzzArguments {
    /// Seed of the first block; each block behind it has the next one.
    #[arg(long, default_value_t)]
    pub(crate) seed: u64,
    /// How many blocks. [default: 1000, or as many as fit in the time]
    #[arg(long)]
    pub(crate) blocks: Option<u64>,
    /// How long: `90s`, `5m`, `1h`.
    #[arg(long, value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// Numbers of threads for the parallel engine.
    #[arg(long, value_parser = thread_count, value_delimiter = ',', default_values = ["1", "2", "3", "8", "64"])]
    pub(crate) threads: Vec<NonZeroUsize>,
    /// Run each block this many times on 2 and on 3 threads.
    #[arg(long, default_value = "3")]
    pub(crate) repeat: NonZeroUsize,
    /// Go on after a difference: name its seed, and make nothing smaller.
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    /// Files as `execute` or `replay` take them. `-` is standard input. Without any, a built-in example is generated.
    pub(crate) files: Vec<PathBuf>,
    /// Numbers of virtual cores.
    #[arg(long, value_parser = thread_count, value_delimiter = ',',
        default_values = ["1", "2", "4", "8", "16", "32", "64", "128"])]
    pub(crate) threads: Vec<NonZeroUsize>,
    /// Which of the likely courses of events.
    #[arg(long, default_value_t)]
    pub(crate) seed: u64,
    /// How often each cost is measured; the least counts.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Blocks that come without an access list (EIP-7928) get the one that they would have in Amsterdam.
    #[arg(long)]
    pub(crate) access_list: bool,
    /// Who recovers signers.
    #[command(flatten)]
    pub(crate) signers: SignerArguments,
    /// Print one JSON object per input and line.
    #[arg(long)]
    pub(crate) json: bool,
    /// The chain: `mainnet`, `hoodi`, or a file with a geth-style genesis or chain configuration.
    #[arg(long)]
    chain: Option<String>,
    /// Wire form of SSZ inputs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dialect: DialectArgument,
}

impl SimulateArguments {
    /// The chain asked for.
    ///
    /// # Errors
    ///
    /// If its file cannot be read.
    pub(crate) fn chain(&self) -> anyhow::Result<Option<Chain>> {
        chain(self.chain.as_deref())
    }
}

/// Reads a duration: a number and its unit.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(format!("unknown unit {unit}, expected s, m or h")),
    };
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

/// How to run.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Number of threads, up to 1024. [default: all cores]
    #[arg(long, value_parser = thread_count)]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Which engine runs the transactions. The outcome is the same.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) engine: EngineArgument,
    /// Who recovers signers.
    #[command(flatten)]
    signers: SignerArguments,
    /// Remember up to this many MiB of nodes and codes from one input to the next, of which a fifth is taken at once. The
    /// outcome is the same.
    #[arg(long, value_name = "MIB", default_value_t, value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    cache: u32,
    /// Print one JSON object per input and line.
    #[arg(long)]
    pub(crate) json: bool,
    /// The chain: `mainnet`, `hoodi`, or a file with a geth-style genesis or chain configuration. For SSZ inputs
    /// it also demands that the fork be active.
    #[arg(long)]
    chain: Option<String>,
}

/// Which engine runs the transactions.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum EngineArgument {
    /// Block-STM on all threads.
    #[default]
    Parallel,
    /// One after the other.
    Sequential,
}

impl EngineArgument {
    /// The engine's name, as it is given on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Sequential => "sequential",
        }
    }
}

impl From<EngineArgument> for Engine {
    fn from(engine: EngineArgument) -> Self {
        match engine {
            EngineArgument::Parallel => Self::Parallel,
            EngineArgument::Sequential => Self::Sequential,
        }
    }
}

/// Who recovers signers.
#[derive(Debug, Args)]
pub(crate) struct SignerArguments {
    /// How signers are recovered. They are the same.
    #[arg(long, value_enum, default_value_t)]
    recover: RecoverArgument,
}

/// How signers are recovered.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum RecoverArgument {
    /// The fastest that this processor has.
    #[default]
    Auto,
    /// Eight signatures at once, with AVX-512 IFMA.
    Ifma,
    /// One by one, by libsecp256k1.
    Libsecp256k1,
}

impl SignerArguments {
    /// What is asked for.
    ///
    /// # Errors
    ///
    /// If this processor lacks it.
    pub(crate) fn recovery(&self) -> anyhow::Result<Recovery> {
        let recovery = match self.recover {
            RecoverArgument::Auto => Recovery::best(),
            RecoverArgument::Ifma => Recovery::Ifma,
            RecoverArgument::Libsecp256k1 => Recovery::Libsecp256k1,
        };
        anyhow::ensure!(recovery.is_available(), "--recover ifma: this processor has no AVX-512 IFMA");
        Ok(recovery)
    }
}

/// Wire form of SSZ inputs, named after the releases of the reference's tests.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum DialectArgument {
    /// v21.0.0 or v21.0.1, told apart by the first offset.
    #[default]
    Current,
    /// Without public keys.
    #[value(name = "v21.0.1")]
    V21_0_1,
    /// With public keys.
    #[value(name = "v21.0.0", alias = "v0.8.2")]
    V21_0_0,
    /// Without schema id, 41 bytes of output.
    #[value(name = "v0.3.3")]
    V0_3_3,
}

impl From<DialectArgument> for DialectChoice {
    fn from(dialect: DialectArgument) -> Self {
        match dialect {
            DialectArgument::Current => Self::Current,
            DialectArgument::V21_0_1 => Self::Only(Dialect::V21_0_1),
            DialectArgument::V21_0_0 => Self::Only(Dialect::V21_0_0),
            DialectArgument::V0_3_3 => Self::Only(Dialect::V0_3_3),
        }
    }
}

impl RunArguments {
    /// The engine's options.
    ///
    /// # Errors
    ///
    /// If the chain cannot be read, the processor lacks what is asked for, or the system gives no threads.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let threads = self.threads.unwrap_or(cores).get();
        let options = Options::with_pinned_threads(threads)?
            .with_engine(self.engine.into())
            .with_recovery(self.signers.recovery()?)
            .prepared();
        let options = match self.cache {
            0 => options,
            mebibytes => options.with_cache(Cache::new((mebibytes as usize).saturating_mul(1 << 20))),
        };
        Ok(match self.chain()? {
            Some(chain) => options.with_expected_chain(chain),
            None => options,
        })
    }

    /// The chain asked for.
    ///
    /// # Errors
    ///
    /// If its file cannot be read.
    pub(crate) fn chain(&self) -> anyhow::Result<Option<Chain>> {
        chain(self.chain.as_deref())
    }
}

/// The chain of this name, or in this file.
fn chain(name: Option<&str>) -> anyhow::Result<Option<Chain>> {
    Ok(match name {
        None => None,
        Some("mainnet") => Some(Chain::mainnet()),
        Some("hoodi") => Some(Chain::hoodi()),
        Some(path) => Some(read_chain(path).with_context(|| format!("chain {path}"))?),
    })
}

/// The most threads that can be asked for: each takes a stack, and more than there are cores bring nothing.
const THREADS_MAX: usize = 1_024;

/// Reads a number of threads.
fn thread_count(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(threads) if threads.get() <= THREADS_MAX => Ok(threads),
        _ => Err(format!("a number from 1 to {THREADS_MAX}")),
    }
}

/// Reads a genesis file or a bare chain configuration.
fn read_chain(path: &str) -> anyhow::Result<Chain> {
    let text = std::fs::read(path)?;
    let mut json: serde_json::Value = serde_json::from_slice(&text)?;
    if let Some(config) = json.get_mut("config") {
        json = config.take();
    }
    Ok(Chain::from_config(&serde_json::from_value(json)?))
}

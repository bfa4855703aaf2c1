//! `compare --weft PATH FILE…`: ethrex's stateless path and Weft's, in turns.
//!
//! For each file and each round both programs run once at each number of
//! threads, one after the other, so that whatever else the machine does falls
//! on both alike. Times exclude decoding on both sides. The medians over the
//! rounds go into the table.

use std::{
    io::{Write, stdout},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Parser;
use ethrex_bench::{
    stages::Report,
    statistics::{geometric_mean, median},
};
use serde::Deserialize;

/// Runs ethrex and Weft in turns on witness files and prints a table.
#[derive(Debug, Parser)]
#[command(name = "compare")]
struct Arguments {
    /// Witness files, as JSON.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The `weft` program.
    #[arg(long, value_name = "PATH")]
    weft: PathBuf,
    /// The `ethrex-stateless` program [default: beside this one].
    #[arg(long, value_name = "PATH")]
    ethrex: Option<PathBuf>,
    /// Numbers of threads to compare at.
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Rounds: how often each program starts, per file and number of threads.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Runs inside one `ethrex-stateless`, after its own warm-up; the fastest
    /// counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Let `weft` repeat in its process as well, as often as ethrex does.
    #[arg(long)]
    warm_up: bool,
    /// Let ethrex run once in its process, unprepared, as `weft` does.
    #[arg(long, conflicts_with = "warm_up")]
    cold: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let contest = Contest::new(&arguments)?;
    let mut out = stdout().lock();

    writeln!(out, "| file | {}weft {} |", contest.header(), contest.scaling_name())?;
    writeln!(out, "|---|{}---:|", "---:|---:|---:|".repeat(contest.threads.len()))?;
    let mut rows = Vec::new();
    for file in &arguments.files {
        let name = file.file_stem().unwrap_or(file.as_os_str()).display().to_string();
        match contest.play(file) {
            Ok(row) => {
                writeln!(out, "| {name} | {}", row.cells())?;
                rows.push(row);
            }
            Err(error) => writeln!(out, "| {name} | failed: {error:#} |")?,
        }
    }
    if let Some(mean) = Means::of(&rows) {
        writeln!(out, "| geometric mean {}", mean.cells())?;
    }
    let complete = rows.len() == arguments.files.len();
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Both programs, and how to run them.
struct Contest {
    /// The `ethrex-stateless` program.
    ethrex: PathBuf,
    /// The `weft` program.
    weft: PathBuf,
    /// Numbers of threads, as given.
    threads: Vec<usize>,
    /// Starts of each program.
    rounds: u32,
    /// Runs that count inside one start of ethrex.
    repeat: u32,
    /// Who repeats inside one process.
    warmth: Warmth,
}

/// Which of the two programs repeats inside one process, and so has warm
/// caches when its fastest run is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Warmth {
    /// Only ethrex does.
    EthrexOnly,
    /// Both do.
    Both,
    /// Neither does.
    Neither,
}

impl Warmth {
    /// What the flags ask for.
    fn of(arguments: &Arguments) -> Self {
        match (arguments.warm_up, arguments.cold) {
            (true, _) => Self::Both,
            (false, true) => Self::Neither,
            (false, false) => Self::EthrexOnly,
        }
    }
}

impl Contest {
    /// Finds both programs.
    fn new(arguments: &Arguments) -> Result<Self> {
        let ethrex = match &arguments.ethrex {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("ethrex-stateless"),
        };
        for program in [&ethrex, &arguments.weft] {
            ensure!(program.is_file(), "there is no program at {}", program.display());
        }
        Ok(Self {
            ethrex,
            weft: arguments.weft.clone(),
            threads: arguments.threads.clone(),
            rounds: arguments.runs,
            repeat: arguments.repeat,
            warmth: Warmth::of(arguments),
        })
    }

    /// Column titles, three for each number of threads.
    fn header(&self) -> String {
        let titles = |t: &usize| format!("ethrex {t}T ms | weft {t}T ms | ratio | ");
        self.threads.iter().map(titles).collect()
    }

    /// The last column: how much Weft gains from the first number of threads
    /// to the last.
    fn scaling_name(&self) -> String {
        let name = |t: Option<&usize>| t.map_or_else(String::new, |t| format!("{t}T"));
        format!("{}/{}", name(self.threads.first()), name(self.threads.last()))
    }

    /// All rounds on one file.
    fn play(&self, file: &Path) -> Result<Row> {
        let mut times = vec![(Vec::new(), Vec::new()); self.threads.len()];
        for _ in 0..self.rounds {
            for (&threads, (ethrex_times, weft_times)) in self.threads.iter().zip(&mut times) {
                let ethrex = self.run_ethrex(file, threads).context("ethrex")?;
                let weft = self.run_weft(file, threads).context("weft")?;
                if let Some(root) = &weft.state_root {
                    ensure!(*root == ethrex.state_root, "the state roots differ");
                }
                ethrex_times.push(ethrex.micros);
                weft_times.push(weft.micros);
            }
        }
        let pair = |(ethrex, weft): &(Vec<f64>, Vec<f64>)| {
            Some(Pair { ethrex: median(ethrex)? / 1e3, weft: median(weft)? / 1e3 })
        };
        let pairs = times.iter().map(pair).collect::<Option<_>>().context("no rounds")?;
        Ok(Row { pairs })
    }

    /// One start of ethrex: its fastest run, or its only one.
    fn run_ethrex(&self, file: &Path, threads: usize) -> Result<EthrexResult> {
        let mut command = Command::new(&self.ethrex);
        command.arg(file);
        command.args(["--threads", &threads.to_string()]);
        if self.warmth == Warmth::Neither {
            command.args(["--runs", "1", "--cold"]);
        } else {
            command.args(["--runs", &self.repeat.to_string()]);
        }
        let report: Report = first_json(&command.output()?)?;
        let measured =
            report.measured.ok_or_else(|| anyhow!(report.error.unwrap_or_else(|| "no times".into())))?;
        Ok(EthrexResult { state_root: measured.state_root, micros: measured.total_us.min })
    }

    /// One start of Weft: its only run, or its fastest.
    fn run_weft(&self, file: &Path, threads: usize) -> Result<WeftResult> {
        let mut command = Command::new(&self.weft);
        command.arg("execute").arg(file);
        command.args(["--json", "--threads", &threads.to_string()]);
        if self.warmth == Warmth::Both {
            // The run that warms ethrex up is one more.
            command.args(["--repeat", &(self.repeat + 1).to_string()]);
        }
        let output = command.output()?;
        ensure!(output.status.success(), "{}", complaint(&output));
        let report: WeftReport = first_json(&output)?;
        let micros = report.stages_us.total - report.stages_us.decode;
        ensure!(micros > 0.0, "the times make no sense");
        Ok(WeftResult { state_root: report.state_root, micros })
    }
}

/// The first JSON value that a program printed.
fn first_json<T: for<'de> Deserialize<'de>>(output: &Output) -> Result<T> {
    let mut values = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    values.next().with_context(|| complaint(output))?.context("unexpected output")
}

/// How a program ended, and what it said about it.
fn complaint(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    format!("{}: {}", output.status, stderr.trim())
}

/// What counts of a start of ethrex.
struct EthrexResult {
    /// The computed state root.
    state_root: String,
    /// Total without decoding.
    micros: f64,
}

/// What counts of a start of Weft.
struct WeftResult {
    /// The computed state root, if Weft says it.
    state_root: Option<String>,
    /// Total without decoding.
    micros: f64,
}

/// What this program reads of Weft's output.
#[derive(Deserialize)]
struct WeftReport {
    /// Times in microseconds.
    stages_us: WeftStages,
    /// The computed state root.
    #[serde(default, alias = "stateRoot")]
    state_root: Option<String>,
}

/// The two of Weft's times that count here.
#[derive(Deserialize)]
struct WeftStages {
    /// JSON and RLP.
    decode: f64,
    /// Everything, decoding included.
    total: f64,
}

/// Times of one file, in milliseconds, for each number of threads.
struct Row {
    /// In the order of the threads.
    pairs: Vec<Pair>,
}

/// One file at one number of threads.
#[derive(Clone, Copy)]
struct Pair {
    /// ethrex's time.
    ethrex: f64,
    /// Weft's time.
    weft: f64,
}

impl Pair {
    /// How often Weft fits into ethrex's time; above 1, Weft is faster.
    fn ratio(self) -> f64 {
        self.ethrex / self.weft
    }
}

impl Row {
    /// Weft's time at the first number of threads over that at the last.
    fn scaling(&self) -> Option<f64> {
        Some(self.pairs.first()?.weft / self.pairs.last()?.weft)
    }

    /// The row's cells, without the name.
    fn cells(&self) -> String {
        let times = |p: &Pair| format!("{:.2} | {:.2} | {:.2} | ", p.ethrex, p.weft, p.ratio());
        let pairs: String = self.pairs.iter().map(times).collect();
        format!("{pairs}{:.2} |", self.scaling().unwrap_or(1.0))
    }
}

/// Geometric means over all files.
struct Means {
    /// Ratio of the two programs, for each number of threads.
    ratios: Vec<f64>,
    /// Weft's gain from threads.
    scaling: f64,
}

impl Means {
    /// `None` if no file succeeded.
    fn of(rows: &[Row]) -> Option<Self> {
        let count = rows.first()?.pairs.len();
        let ratio_at = |i: usize| {
            let ratios: Vec<f64> = rows.iter().map(|row| row.pairs[i].ratio()).collect();
            geometric_mean(&ratios)
        };
        let scalings: Vec<f64> = rows.iter().filter_map(Row::scaling).collect();
        Some(Self {
            ratios: (0..count).map(ratio_at).collect::<Option<_>>()?,
            scaling: geometric_mean(&scalings)?,
        })
    }

    /// The last row's cells, without the name.
    fn cells(&self) -> String {
        let ratio = |ratio: &f64| format!("| | | {ratio:.2} ");
        let ratios: String = self.ratios.iter().map(ratio).collect();
        format!("{ratios}| {:.2} |", self.scaling)
    }
}

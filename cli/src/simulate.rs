//! `weft simulate`: how fast blocks would run on cores that are not there.
//!
//! Costs are measured here and now, so the figures differ a little from run to run; for one set of costs, a seed gives
//! the same figures each time.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use weft_engine::error::ExecuteError;
use weft_engine::execute::{self, ExecuteInput, Options, ReadOptions, Verdict};
use weft_engine::replay::PlainBlock;
use weft_engine::simulate::{Plan, Report, Simulator};

use crate::arguments::SimulateArguments;
use crate::console::Console;
use crate::report::Status;
use crate::{example, source};

/// Simulates every file, or the example.
///
/// # Errors
///
/// If the run cannot be set up.
pub(crate) fn run(arguments: &SimulateArguments) -> anyhow::Result<Status> {
    let mut plan = Plan::default();
    plan.workers = arguments.threads.iter().map(|threads| threads.get()).collect();
    (plan.seed, plan.rounds, plan.access_list) = (arguments.seed, arguments.rounds, arguments.access_list);
    let mut read_options = ReadOptions::default();
    (read_options.dialect, read_options.chain) = (arguments.dialect.into(), arguments.chain()?);
    let simulator = Simulator::new(plan);
    // What is measured runs on one thread.
    let options = Options::with_threads(1)?
        .with_recovery(arguments.signers.recovery()?)
        .prepared()
        .with_simulator(simulator.clone());
    let simulation = Run {
        arguments,
        read_options,
        options,
        simulator,
        console: Console::for_items(arguments.files.len()),
    };
    if arguments.files.is_empty() {
        return Ok(simulation.judge("built-in example", example::input()?));
    }
    Ok(source::for_each(&arguments.files, &simulation.console, |file, path| match source::read(path) {
        Ok(bytes) => simulation.judge(file, bytes),
        Err(error) => simulation.unreadable(file, &format!("{error:#}")),
    }))
}

/// What the simulations of all files have in common.
struct Run<'a> {
    /// What was asked for.
    arguments: &'a SimulateArguments,
    /// How to read inputs.
    read_options: ReadOptions,
    /// How to judge them.
    options: Options,
    /// Where the simulation's result lies then.
    simulator: Simulator,
    /// Where to speak.
    console: Console,
}

impl Run<'_> {
    /// Simulates one input.
    fn judge(&self, file: &str, bytes: Vec<u8>) -> Status {
        let verdict = match self.verdict(bytes) {
            Ok(verdict) => verdict,
            Err(error) => return self.unreadable(file, &format!("input: {error:#}")),
        };
        if let Some(report) = self.simulator.take_report() {
            if self.arguments.json {
                self.console.line(self.object(file, &verdict, &report));
            } else {
                self.console.line(self.table(file, &verdict, &report));
            }
        }
        let Some(error) = verdict.error else { return Status::Valid };
        self.console.note(format_args!("weft: {file}: {error}"));
        if matches!(error, ExecuteError::Fault(_)) { Status::Fault } else { Status::Invalid }
    }

    /// Judges an input of either kind.
    fn verdict(&self, bytes: Vec<u8>) -> anyhow::Result<Verdict> {
        // A plain pre-state is in JSON, and no witness.
        if bytes.trim_ascii_start().starts_with(b"{")
            && let Ok(block) = PlainBlock::from_json(&bytes, self.read_options.chain.as_ref())
        {
            return Ok(block.run(&self.options));
        }
        let input = ExecuteInput::read(bytes.into(), &self.read_options)?;
        Ok(execute::run(&input, &self.options))
    }

    /// Says that a file cannot be read.
    fn unreadable(&self, file: &str, error: &str) -> Status {
        self.console.note(format_args!("weft: {file}: {error}"));
        Status::Unreadable
    }

    /// The report for programs.
    fn object(&self, file: &str, verdict: &Verdict, report: &Report) -> Value {
        let predictions: Vec<Value> = report
            .predictions
            .iter()
            .map(|prediction| {
                let spent = prediction.spent;
                json!({
                    "threads": prediction.workers,
                    "time_us": micros(prediction.time),
                    "speedup": report.speedup(prediction),
                    "bound": report.bound(prediction.workers),
                    "executions_per_tx": report.executions_per_transaction(prediction),
                    "aborts": prediction.aborts,
                    "in_order": prediction.in_order,
                    "one_core_us": micros(prediction.alone),
                    "between_stretches_us": micros(prediction.between),
                    "all_cores_us": {
                        "runs": micros(spent.runs), "waits": micros(spent.waits),
                        "validations": micros(spent.validations), "commits": micros(spent.commits),
                        "claims": micros(spent.claims), "idle": micros(spent.idle),
                    },
                })
            })
            .collect();
        let kernel = report.kernel;
        json!({
            "file": file,
            "chain_id": verdict.chain_id,
            "block_number": verdict.block_number,
            "txs": report.transactions,
            "access_list": report.foreseen,
            "seed": self.arguments.seed,
            "measured": {
                "in_order_us": micros(report.work),
                "critical_path_us": micros(report.critical_path),
                "kernel_ns": {
                    "claim": kernel.claim, "look": kernel.look, "pause": kernel.pause, "yield": kernel.yield_now,
                    "ring": kernel.ring, "wake": kernel.wake, "hand_out": kernel.hand_out, "begin": kernel.begin,
                },
            },
            "simulated": predictions,
        })
    }

    /// The report for people.
    fn table(&self, file: &str, verdict: &Verdict, report: &Report) -> String {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        table.set_header([
            "threads",
            "simulated ms",
            "simulated speed-up",
            "bound",
            "of it",
            "executions/tx",
        ]);
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for prediction in &report.predictions {
            let (speedup, bound) = (report.speedup(prediction), report.bound(prediction.workers));
            table.add_row([
                prediction.workers.to_string(),
                format!("{:.3}", micros(prediction.time) / 1e3),
                format!("{speedup:.2}"),
                format!("{bound:.2}"),
                format!("{:.0} %", 100.0 * speedup / bound),
                format!("{:.3}", report.executions_per_transaction(prediction)),
            ]);
        }
        format!(
            "{file}\nblock {} of chain {}, {} transactions{}; measured: {:.3} ms in order, {:.3} ms critical path; \
             simulated with seed {}:\n{table}",
            verdict.block_number,
            verdict.chain_id,
            report.transactions,
            if report.foreseen { " with an access list" } else { "" },
            micros(report.work) / 1e3,
            micros(report.critical_path) / 1e3,
            self.arguments.seed,
        )
    }
}

/// Nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^52")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

//! The table, and the rows that it is made of.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, presets};
use serde::Serialize;
use weft_engine::simulate::{Prediction, Simulation};

use crate::arguments::Arguments;
use crate::calibration::Measured;

/// How one workload would do. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Name of the workload.
    workload: String,
    /// Number of transactions.
    transactions: usize,
    /// All of it in order, as the sum of what was measured.
    in_order_ms: f64,
    /// The longest chain.
    critical_path_ms: f64,
    /// Sums of what was measured.
    costs_ms: BTreeMap<&'static str, f64>,
    /// What the kernel takes, in nanoseconds.
    kernel_ns: String,
    /// By number of cores.
    simulated: Vec<Simulated>,
    /// What real threads do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measured: Option<Measured>,
}

/// How one workload would do on some cores.
#[derive(Debug, Serialize)]
struct Simulated {
    /// How many cores.
    threads: usize,
    /// How long it would take.
    ms: f64,
    /// How many times as fast as in order.
    speedup: f64,
    /// No more than this can be.
    bound: f64,
    /// Runs per transaction.
    executions_per_tx: f64,
    /// Void runs per transaction.
    aborts_per_tx: f64,
    /// Part of the transactions that ran in order.
    in_order: f64,
    /// Part of them that ran in strands.
    in_strands: f64,
    /// What all cores together spend their time on, in shares of that time.
    shares: BTreeMap<&'static str, f64>,
}

impl Row {
    /// A row of which nothing is simulated yet.
    pub(crate) fn new(workload: &str, transactions: usize, simulation: &Simulation<'_>) -> Self {
        let costs = simulation.costs();
        Self {
            workload: workload.to_owned(),
            transactions,
            in_order_ms: millis(costs.work()),
            critical_path_ms: millis(costs.critical_path()),
            costs_ms: costs.sums().into_iter().map(|(name, time)| (name, millis(time))).collect(),
            kernel_ns: format!("{:?}", costs.kernel()),
            simulated: Vec::new(),
            measured: None,
        }
    }

    /// Adds a prediction.
    pub(crate) fn push(&mut self, simulation: &Simulation<'_>, prediction: &Prediction) {
        let costs = simulation.costs();
        let all = number(prediction.time) * number(prediction.workers as u64);
        let spent = prediction.spent;
        let one = [
            ("between", prediction.between),
            ("alone", prediction.alone),
            ("runs", spent.runs),
            ("waits", spent.waits),
            ("validations", spent.validations),
            ("commits", spent.commits),
            ("claims", spent.claims),
            ("idle", spent.idle),
        ];
        let transactions = number(self.transactions.max(1) as u64);
        self.simulated.push(Simulated {
            threads: prediction.workers,
            ms: millis(prediction.time),
            speedup: number(costs.work()) / number(prediction.time.max(1)),
            bound: number(costs.work()) / number(costs.bound(prediction.workers).max(1)),
            executions_per_tx: number(prediction.executions) / transactions,
            aborts_per_tx: number(prediction.aborts) / transactions,
            in_order: number(prediction.in_order.into()) / transactions,
            in_strands: number(prediction.in_strands) / transactions,
            shares: one.into_iter().map(|(name, time)| (name, number(time) / all)).collect(),
        });
    }
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty table.
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::ASCII_MARKDOWN);
        let mut header: Vec<String> = ["workload", "txs", "in order ms", "path ms"].map(Into::into).to_vec();
        for threads in &arguments.threads {
            header.extend([format!("simulated ×{threads}"), "bound".to_owned(), "runs/tx".to_owned()]);
        }
        if arguments.calibrate.is_some() {
            header.extend(["measured ×2", "simulated / measured"].map(Into::into));
        }
        table.set_header(header);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Row) {
        let mut cells = vec![row.workload.clone(), row.transactions.to_string()];
        cells.extend([row.in_order_ms, row.critical_path_ms].map(|ms| format!("{ms:.3}")));
        for simulated in &row.simulated {
            let Simulated { speedup, bound, executions_per_tx, .. } = simulated;
            cells.extend([format!("{speedup:.2}"), format!("{bound:.1}"), format!("{executions_per_tx:.3}")]);
        }
        if let Some(Measured { one_ms, two_ms, .. }) = row.measured {
            let measured = one_ms / two_ms;
            let two = row.simulated.iter().find(|simulated| simulated.threads == 2);
            let ratio = two.map(|two| format!("{:.2}", two.speedup / measured));
            cells.extend([format!("{measured:.2}"), ratio.unwrap_or_default()]);
        }
        self.0.add_row(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Nanoseconds as milliseconds.
fn millis(nanos: u64) -> f64 {
    number(nanos) / 1e6
}

/// A number to divide.
#[expect(clippy::cast_precision_loss, reason = "times and counts are far below 2^52")]
fn number(number: u64) -> f64 {
    number as f64
}

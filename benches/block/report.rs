//! The table, and the rows that it is made of.

use std::fmt;

use comfy_table::{CellAlignment, presets};
use serde::Serialize;

use crate::arms::Measured;

/// How one workload did.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Name of the workload.
    pub(crate) workload: String,
    /// Number of transactions.
    pub(crate) transactions: usize,
    /// Gas used; zero if the block is invalid.
    pub(crate) gas_used: u64,
    /// How each arm did.
    pub(crate) arms: Vec<Measured>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    /// Rows so far.
    rows: comfy_table::Table,
    /// Ratios of each row, in the order of their columns.
    ratios: Vec<Vec<f64>>,
    /// Numbers of threads that have columns.
    threads: Vec<usize>,
    /// Show CPU time.
    cpu: bool,
}

impl Table {
    /// A table with columns for Weft on these numbers of threads.
    pub(crate) fn new(threads: &[usize], cpu: bool) -> Self {
        let mut rows = comfy_table::Table::new();
        rows.load_preset(presets::ASCII_MARKDOWN);
        let mut header: Vec<String> = ["workload", "txs", "Mgas", "J ms", "S ms"].map(Into::into).to_vec();
        for threads in threads {
            header.extend([format!("weft-{threads} ms"), "×S".to_owned(), "×J".to_owned()]);
        }
        header.extend(["runs/tx", "aborts/tx", "in order/tx"].map(Into::into));
        rows.set_header(header);
        for column in rows.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        Self { rows, ratios: Vec::new(), threads: threads.to_vec(), cpu }
    }

    /// Adds a row. J is the faster of `journal` and `cache`; what was counted is that of the last number of threads.
    pub(crate) fn push(&mut self, row: &Row) {
        let of = |arm: &str| row.arms.iter().find(|measured| measured.arm == arm);
        let ms = |arm: &str| {
            let took = of(arm).map(|measured| measured.median).unwrap_or_default();
            if self.cpu { took.cpu_ms } else { took.wall_ms }
        };
        let (journal, state) = (ms("journal").min(ms("cache")), ms("state"));
        let mut cells = vec![row.workload.clone(), row.transactions.to_string()];
        cells.push(format!("{}", row.gas_used / 1_000_000));
        cells.extend([journal, state].map(digits));
        let mut ratios = Vec::new();
        let mut counted = None;
        for threads in &self.threads {
            let arm = format!("weft-{threads}");
            let weft = ms(&arm);
            let faster = [state / weft, journal / weft];
            cells.push(digits(weft));
            cells.extend(faster.map(|ratio| format!("{ratio:.2}")));
            ratios.extend(faster);
            counted = of(&arm);
        }
        let counts = counted
            .map(|measured| [measured.executions_per_tx, measured.aborts_per_tx, measured.in_order_per_tx]);
        cells.extend(counts.into_iter().flatten().map(|count| format!("{:.3}", count.unwrap_or_default())));
        self.rows.add_row(cells);
        self.ratios.push(ratios);
    }

    /// The geometric mean of each ratio, in which 2 and 1/2 cancel out.
    fn means(&self) -> Vec<f64> {
        let Ok(rows) = u32::try_from(self.ratios.len()) else { return Vec::new() };
        let mean = |column: usize| {
            let logarithms = self.ratios.iter().map(|ratios| ratios[column].ln());
            (logarithms.sum::<f64>() / f64::from(rows)).exp()
        };
        (0..2 * self.threads.len()).map(mean).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = vec!["geometric mean".to_owned()];
        last.resize(5, String::new());
        for means in self.means().chunks(2) {
            last.push(String::new());
            last.extend(means.iter().map(|mean| format!("{mean:.2}")));
        }
        let mut rows = self.rows.clone();
        rows.add_row(last);
        rows.fmt(f)
    }
}

/// Milliseconds with three or four digits that count.
fn digits(ms: f64) -> String {
    let places = if ms >= 100.0 {
        0
    } else if ms >= 10.0 {
        1
    } else if ms >= 1.0 {
        2
    } else {
        4
    };
    format!("{ms:.places$}")
}

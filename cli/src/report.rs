//! Verdicts for people (a table) and for programs (a line of JSON).

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{Table, presets};
use serde_json::{Map, Value};
use weft_engine::error::ExecuteError;
use weft_engine::execute::Verdict;

use crate::arguments::EngineArgument;
use crate::console::Console;

/// The fields of a JSON line, in order.
const FIELDS: [&str; 18] = [
    "file",
    "valid",
    "error",
    "output",
    "new_payload_request_root",
    "chain_id",
    "block_number",
    "block_hash",
    "state_root",
    "receipts_root",
    "gas_used",
    "txs",
    "engine",
    "threads",
    "stages_us",
    "executions",
    "aborts",
    "counters",
];

/// How it ended, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Status {
    /// All blocks are valid.
    Valid,
    /// Some block is not.
    Invalid,
    /// Some input cannot be read.
    Unreadable,
    /// A bug of ours: nothing can be said of some block.
    Fault,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Valid => 0,
            Status::Invalid => 1,
            Status::Unreadable => 2,
            Status::Fault => 3,
        })
    }
}

/// How verdicts are shown.
#[derive(Debug)]
pub(crate) struct Report {
    /// Where to.
    pub(crate) console: Console,
    /// As JSON instead of a table.
    pub(crate) json: bool,
    /// Which engine ran.
    pub(crate) engine: EngineArgument,
    /// On how many threads.
    pub(crate) threads: usize,
}

impl Report {
    /// Shows a verdict on `file`, and says why on standard error if it is not valid.
    pub(crate) fn verdict(&self, file: &str, verdict: &Verdict) -> Status {
        if self.json {
            self.console.line(self.verdict_json(file, verdict));
        } else {
            self.console.line(self.verdict_table(file, verdict));
        }
        match &verdict.error {
            None => Status::Valid,
            Some(error) => {
                self.console.note(format_args!("weft: {file}: {error}"));
                if matches!(error, ExecuteError::Fault(_)) { Status::Fault } else { Status::Invalid }
            }
        }
    }

    /// Shows that `file` cannot be read; `output` is what EXECUTE answers to it, if its bytes are known.
    pub(crate) fn unreadable(&self, file: &str, error: &str, output: Option<&[u8]>) -> Status {
        if self.json {
            let mut object = self.blank(file);
            object["valid"] = false.into();
            object["error"] = error.into();
            object["output"] = output.map(hex).into();
            self.console.line(Value::Object(object));
        }
        self.console.note(format_args!("weft: {file}: {error}"));
        Status::Unreadable
    }

    /// The verdict as an object.
    fn verdict_json(&self, file: &str, verdict: &Verdict) -> Value {
        let computed = verdict.computed;
        let mut object = self.blank(file);
        object["valid"] = verdict.valid().into();
        object["error"] = verdict.error.as_ref().map(ToString::to_string).into();
        object["output"] = verdict.output.map(|output| hex(&output.to_bytes())).into();
        object["new_payload_request_root"] = verdict.output.map(|output| output.root.to_string()).into();
        object["chain_id"] = verdict.chain_id.into();
        object["block_number"] = verdict.block_number.into();
        object["block_hash"] = verdict.block_hash.to_string().into();
        object["state_root"] = computed.state_root.map(|root| root.to_string()).into();
        object["receipts_root"] = computed.receipts_root.map(|root| root.to_string()).into();
        object["gas_used"] = computed.gas_used.into();
        object["txs"] = verdict.transactions.into();
        let mut stages: Map<String, Value> = verdict
            .stages
            .named()
            .map(|(name, time)| (name.to_owned(), micros(time).into()))
            .into_iter()
            .collect();
        stages.insert("total".to_owned(), micros(verdict.stages.total()).into());
        object["stages_us"] = stages.into();
        object["executions"] = verdict.counters.executions.into();
        object["aborts"] = verdict.counters.aborts.into();
        object["counters"] = Value::Object(
            verdict
                .counters
                .named()
                .map(|(name, count)| (name.to_owned(), count.into()))
                .into_iter()
                .collect(),
        );
        Value::Object(object)
    }

    /// All fields, unknown but for those of the command itself.
    fn blank(&self, file: &str) -> Map<String, Value> {
        let mut object = Map::new();
        for field in FIELDS {
            object.insert(field.to_owned(), Value::Null);
        }
        object["file"] = file.into();
        object["engine"] = self.engine.name().into();
        object["threads"] = self.threads.into();
        object
    }

    /// The verdict as a table.
    fn verdict_table(&self, file: &str, verdict: &Verdict) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("input", file.to_owned());
        row(
            "verdict",
            match &verdict.error {
                None => "valid".to_owned(),
                Some(error) => format!("INVALID, {error}"),
            },
        );
        row("block", format!("{} of chain {}", verdict.block_number, verdict.chain_id));
        row("block hash", verdict.block_hash.to_string());
        let unknown = || "not computed".to_owned();
        let root = |root: Option<alloy_primitives::B256>| root.map_or_else(unknown, |root| root.to_string());
        row("state root", root(verdict.computed.state_root));
        row("receipts root", root(verdict.computed.receipts_root));
        row("transactions", grouped(verdict.transactions as u64));
        row("gas used", verdict.computed.gas_used.map_or_else(unknown, grouped));
        row("engine", format!("{}, threads: {}", self.engine.name(), self.threads));
        let counters = verdict.counters;
        let [executions, aborts, in_order] =
            [counters.executions, counters.aborts, counters.in_order].map(grouped);
        row("executions", format!("{executions}, in order: {in_order}, aborts: {aborts}"));
        for (name, time) in verdict.stages.named() {
            row(name, millis(time));
        }
        row("total", millis(verdict.stages.total()));
        if let Some(gas) = verdict.computed.gas_used {
            row(
                "speed",
                format!(
                    "{} executing, {} in all",
                    speed(gas, verdict.stages.execution),
                    speed(gas, verdict.stages.total())
                ),
            );
        }
        table
    }
}

/// Bytes as hex text.
fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode_prefixed(bytes)
}

/// Whole microseconds.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds, for people.
fn millis(time: Duration) -> String {
    format!("{:>9.3} ms", time.as_secs_f64() * 1e3)
}

/// Gas per second, for people.
fn speed(gas: u64, time: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mgas = gas as f64 / 1e6;
    format!("{:.0} Mgas/s", mgas / time.as_secs_f64().max(1e-9))
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let head = digits.len() % 3;
    let mut text = digits[..head].to_owned();
    for group in digits.as_bytes()[head..].chunks(3) {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(group.iter().map(|&digit| char::from(digit)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_stand_apart() {
        let cases = [(0, "0"), (7, "7"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}

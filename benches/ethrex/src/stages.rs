//! The table of times of one run, and the lines that the programs exchange.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long each stage of one run took. Stages follow each other; nothing is
/// counted twice and nothing between them is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages {
    /// Hash and decode the nodes, link them to tries, hash the codes, check
    /// the headers and the state root before the block.
    pub witness: Duration,
    /// The block's header against its parent, and its body against its header.
    pub validation: Duration,
    /// Recover the senders.
    pub senders: Duration,
    /// Run the transactions and collect the changes.
    pub execution: Duration,
    /// Apply the changes to the tries and hash what changed.
    pub root: Duration,
    /// Gas, receipts root, bloom and requests against the header.
    pub receipts: Duration,
}

impl Stages {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.witness + self.validation + self.senders + self.execution + self.root + self.receipts
    }
}

/// Measures one stage after another.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts the first stage.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Ends a stage, and starts the next in the same instant.
    pub fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.0;
        self.0 = now;
        lap
    }
}

/// [`Stages`] in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct StagesMicros {
    /// See [`Stages::witness`].
    pub witness: f64,
    /// See [`Stages::validation`].
    pub validation: f64,
    /// See [`Stages::senders`].
    pub senders: f64,
    /// See [`Stages::execution`].
    pub execution: f64,
    /// See [`Stages::root`].
    pub root: f64,
    /// See [`Stages::receipts`].
    pub receipts: f64,
    /// See [`Stages::total`].
    pub total: f64,
}

impl From<Stages> for StagesMicros {
    fn from(stages: Stages) -> Self {
        Self {
            witness: micros(stages.witness),
            validation: micros(stages.validation),
            senders: micros(stages.senders),
            execution: micros(stages.execution),
            root: micros(stages.root),
            receipts: micros(stages.receipts),
            total: micros(stages.total()),
        }
    }
}

/// Microseconds with one decimal.
pub fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

/// One line of `ethrex-stateless`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The witness file.
    pub file: String,
    /// Whether every run gave the state root and the gas that the file states.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Times and results, if ok.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// What the runs of one file gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The computed state root, as hex.
    pub state_root: String,
    /// Gas used by the block.
    pub gas_used: u64,
    /// Stages of the fastest run, so that they add up.
    pub stages_us: StagesMicros,
    /// Totals over all runs.
    pub total_us: Spread,
    /// Runs counted; the warm-up is not.
    pub runs: usize,
    /// Threads that recover senders.
    pub threads: usize,
}

/// Where the totals lie, in microseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The fastest run.
    pub min: f64,
    /// The middle run.
    pub median: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up() {
        let ms = Duration::from_millis;
        let stages = Stages {
            witness: ms(1),
            validation: ms(2),
            senders: ms(4),
            execution: ms(8),
            root: ms(16),
            receipts: ms(32),
        };
        assert_eq!(stages.total(), ms(63));
        assert!((StagesMicros::from(stages).total - 63_000.0).abs() < 0.1);
    }

    #[test]
    fn a_failed_report_survives_the_wire() {
        let report = Report { file: "a".into(), ok: false, error: Some("why".into()), measured: None };
        let line = serde_json::to_string(&report).expect("plain data");
        let back: Report = serde_json::from_str(&line).expect("our own line");
        assert!(!back.ok && back.measured.is_none());
    }
}

//! What is compared: three loops of revm's, and Weft on several numbers of threads.

use std::thread;

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use weft_benches::Workload;
use weft_benches::baselines::{Input, Ran, cache, journal, state};
use weft_engine::execute::Options;
use weft_engine::{Counters, ReadyBlock, Rules, parallel, sequential, simulate};

use crate::clock::{Took, median, shortest, time};

/// What is compared.
#[derive(Debug)]
pub(crate) struct Arms {
    /// In the order in which a round begins.
    all: Vec<Arm>,
    /// The threads on which the baselines run, and Weft where it has one, in turn by rounds: one on each CPU, since one CPU
    /// may be slower than another for minutes. What a thread has made is freed there, or its allocator would have to ask
    /// the system for more each time.
    alone: Vec<Options>,
}

/// One way to run a block.
#[derive(Debug)]
enum Arm {
    /// revm's journal, never emptied.
    Journal,
    /// A plain cache.
    Cache,
    /// revm's `State` with bundle and reverts.
    State,
    /// Weft, on threads of its own or, if it has none, on that of the baselines.
    Weft(Option<Box<Options>>),
}

/// A workload, ready for every arm.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    /// The workload.
    workload: &'a Workload,
    /// As the baselines take it.
    input: Input<'a>,
    /// As the engine takes it.
    ready: ReadyBlock<'a>,
}

/// How one arm did.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// Which arm: `journal`, `cache`, `state`, `weft-1`, …
    pub(crate) arm: String,
    /// The middle of the rounds.
    pub(crate) median: Took,
    /// The shortest of the rounds.
    pub(crate) min: Took,
    /// Executions per transaction, on average over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) executions_per_tx: Option<f64>,
    /// Aborts per transaction, on average over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aborts_per_tx: Option<f64>,
    /// The part of the transactions that ran in order, on average over the rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_order_per_tx: Option<f64>,
}

impl<'a> Prepared<'a> {
    /// The access list that the block would have come with in Amsterdam. A block that is invalid has none.
    pub(crate) fn access_list(&self) -> Vec<u8> {
        simulate::access_list(&self.ready, &self.workload.pre_state).unwrap_or_default()
    }

    /// The same, with an access list for Weft.
    pub(crate) fn with_access_list(mut self, list: &'a [u8]) -> Self {
        self.ready = self.ready.with_access_list(list);
        self
    }
}

impl Arms {
    /// The baselines, and Weft on these numbers of threads.
    pub(crate) fn new(threads: &[usize]) -> anyhow::Result<Self> {
        let mut all = vec![Arm::Journal, Arm::Cache, Arm::State];
        for threads in threads {
            all.push(match threads {
                1 => Arm::Weft(None),
                _ => Arm::Weft(Some(Box::new(Options::with_pinned_threads(*threads)?))),
            });
        }
        Ok(Self { all, alone: alone()? })
    }

    /// Checks the signatures and does all else that is not to be measured.
    #[expect(clippy::unused_self, reason = "preparing is a step of the arms, like those after it")]
    pub(crate) fn prepare<'a>(
        &self,
        workload: &'a Workload,
        rules: &'a Rules,
    ) -> anyhow::Result<Prepared<'a>> {
        let ready = ReadyBlock::new(rules, &workload.block, None)?;
        Ok(Prepared { workload, input: Input::new(workload)?, ready })
    }

    /// Runs every arm once, compares what they give and returns the gas used.
    pub(crate) fn verify(&self, block: &Prepared<'_>) -> anyhow::Result<u64> {
        let Prepared { workload, input, ready } = block;
        let expected = sequential::run(ready, &workload.pre_state);
        for arm in &self.all {
            let weft = |options: &Options| {
                if options.install(|| parallel::run(ready, &workload.pre_state)).0 != expected {
                    bail!("{}: {} gives another outcome", workload.name, arm.name());
                }
                Ok(())
            };
            let ran = match arm {
                Arm::Journal => journal::run(input)?,
                Arm::Cache => cache::run(input)?,
                Arm::State => state::run(input)?,
                Arm::Weft(options) => {
                    weft(options.as_deref().unwrap_or(&self.alone[0]))?;
                    continue;
                }
            };
            ran.compare(&expected, input)
                .map_err(|difference| anyhow!("{difference:?}"))
                .with_context(|| format!("{}: {} gives another outcome", workload.name, arm.name()))?;
        }
        Ok(expected.map_or(0, |outcome| outcome.gas_used))
    }

    /// Runs all arms in turn, so many rounds; each round begins with another arm.
    pub(crate) fn measure(&self, block: &Prepared<'_>, rounds: u32) -> anyhow::Result<Vec<Measured>> {
        let count = self.all.len();
        let mut times = vec![Vec::new(); count];
        let mut counters = vec![Counters::default(); count];
        for round in 0..rounds as usize {
            let alone = &self.alone[round % self.alone.len()];
            for turn in 0..count {
                let arm = (round + turn) % count;
                let (took, counted) = self.all[arm].run(block, alone)?;
                times[arm].push(took);
                counters[arm].executions += counted.executions;
                counters[arm].aborts += counted.aborts;
                counters[arm].in_order += counted.in_order;
            }
        }
        let transactions = block.workload.block.body.transactions.len().max(1);
        let runs = f64::from(rounds) * count_of(transactions as u64);
        let measured = self.all.iter().zip(times).zip(counters).map(|((arm, times), counters)| {
            let per_tx = |number| matches!(arm, Arm::Weft(_)).then(|| count_of(number) / runs);
            Measured {
                arm: arm.name(),
                median: median(&times),
                min: shortest(&times),
                executions_per_tx: per_tx(counters.executions),
                aborts_per_tx: per_tx(counters.aborts),
                in_order_per_tx: per_tx(counters.in_order),
            }
        });
        Ok(measured.collect())
    }
}

impl Arm {
    /// Its name in the table and in JSON.
    fn name(&self) -> String {
        match self {
            Self::Journal => "journal".to_owned(),
            Self::Cache => "cache".to_owned(),
            Self::State => "state".to_owned(),
            Self::Weft(options) => {
                format!("weft-{}", options.as_deref().map_or(1, Options::threads))
            }
        }
    }

    /// Runs the block once; all but Weft on more threads do so on the thread of `alone`.
    fn run(&self, block: &Prepared<'_>, alone: &Options) -> anyhow::Result<(Took, Counters)> {
        let Prepared { workload, input, ready } = block;
        let weft = |options: &Options| {
            options.install(|| {
                let ((_outcome, counters), took) = warm(|| parallel::run(ready, &workload.pre_state));
                (took, counters)
            })
        };
        match self {
            Self::Journal => baseline(alone, || journal::run(input)),
            Self::Cache => baseline(alone, || cache::run(input)),
            Self::State => baseline(alone, || state::run(input)),
            Self::Weft(options) => Ok(weft(options.as_deref().unwrap_or(alone))),
        }
    }
}

/// A thread on each CPU that this process may use.
fn alone() -> anyhow::Result<Vec<Options>> {
    let on = |cpu| {
        // On Linux, a thread's threads may use the CPUs that it may use itself.
        let pinned = thread::spawn(move || {
            if !core_affinity::set_for_current(cpu) {
                bail!("the system pins no thread to {cpu:?}");
            }
            Ok(Options::with_threads(1)?)
        });
        pinned.join().map_err(|_| anyhow!("a thread has panicked"))?
    };
    let alone: Vec<Options> = core_affinity::get_core_ids()
        .unwrap_or_default()
        .into_iter()
        .map(on)
        .collect::<anyhow::Result<_>>()?;
    Ok(if alone.is_empty() { vec![Options::with_threads(1)?] } else { alone })
}

/// Runs a baseline on the thread of `alone`.
fn baseline<E>(alone: &Options, run: impl Fn() -> Result<Ran, E> + Send) -> anyhow::Result<(Took, Counters)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let took = alone.install(|| {
        let (ran, took) = warm(run);
        ran.map(|_| took)
    })?;
    Ok((took, Counters::default()))
}

/// Runs the same twice, and measures the second time: so it is no matter who had the caches before. The first result is
/// dropped before, the second after.
fn warm<T>(run: impl Fn() -> T) -> (T, Took) {
    drop(run());
    time(run)
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count_of(number: u64) -> f64 {
    number as f64
}

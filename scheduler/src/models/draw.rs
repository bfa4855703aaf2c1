//! How shuttle draws schedules: `WEFT_EXECUTIONS` says how many, `WEFT_SEED` where they begin.

use std::env;

use shuttle::{
    Config, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

/// A block takes some hundreds; one that takes more does not end.
const STEPS_MAX: usize = 50_000;

/// How many schedules to draw.
pub(super) fn executions() -> usize {
    usize::try_from(number("WEFT_EXECUTIONS", 10_000)).expect("a number that fits")
}

/// At each step, whoever may run is as likely to.
pub(super) fn explore_at_random(executions: usize, scene: impl Fn() + Send + Sync + 'static) {
    explore(RandomScheduler::new_from_seed(seed(), executions), scene);
}

/// Whoever has the highest priority runs, and priorities change so many times.
pub(super) fn explore_few_switches(
    depth: usize,
    executions: usize,
    scene: impl Fn() + Send + Sync + 'static,
) {
    explore(PctScheduler::new_from_seed(seed(), depth, executions), scene);
}

/// Runs a scene on the schedules of this kind.
fn explore(scheduler: impl Scheduler + 'static, scene: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(scene);
}

/// Where to begin.
fn seed() -> u64 {
    number("WEFT_SEED", 0)
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

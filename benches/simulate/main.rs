//! The simulator on the benchmark's workloads: how fast they would run on more cores than there are, and how well the
//! simulation of two agrees with two.
//!
//! ```text
//! for each workload:  make ─► measure its costs ─► simulate each number of cores ─► a row
//!                                               └─► --calibrate: run on real threads, in turn with one
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on its standard streams")]

mod arguments;
mod calibration;
mod report;

use clap::Parser;
use weft_benches::{Plan, Scale, Workload, catalogue};
use weft_engine::simulate::{self, Simulation};
use weft_engine::{ReadyBlock, outcome};

use arguments::Arguments;
use report::{Row, Table};

/// The allocator of the `weft` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.kernel {
        println!("{:?}", simulate::measure_kernel()?);
        return Ok(());
    }
    let chosen = |plan: &Plan| arguments.filter.as_ref().is_none_or(|filter| filter.is_match(&plan.name));
    let plans = catalogue(Scale::new(arguments.scale)?).into_iter().filter(chosen);
    let mut table = Table::new(&arguments);
    for plan in plans {
        eprintln!("{}", plan.name);
        let row = simulate_one(&plan.make()?, &arguments)?;
        if arguments.json {
            println!("{}", serde_json::to_string(&row)?);
        } else {
            table.push(&row);
        }
    }
    if !arguments.json {
        println!("{table}");
    }
    Ok(())
}

/// Simulates one workload.
fn simulate_one(workload: &Workload, arguments: &Arguments) -> anyhow::Result<Row> {
    let rules = workload.rules();
    let mut block = ReadyBlock::new(&rules, &workload.block, None)?;
    let list;
    if arguments.access_list {
        // A block that is invalid has no list.
        list = simulate::access_list(&block, &workload.pre_state).unwrap_or_default();
        block = block.with_access_list(&list);
    }
    let simulation = Simulation::new(&block, &workload.pre_state, arguments.rounds)?;
    let transactions = match simulation.outcome() {
        Ok(outcome::Outcome { receipts, .. }) => receipts.len(),
        Err(_) => workload.block.body.transactions.len(),
    };
    let mut row = Row::new(&workload.name, transactions, &simulation);
    for &workers in &arguments.threads {
        row.push(&simulation, &simulation.run(workers, arguments.seed)?);
    }
    if let Some(rounds) = arguments.calibrate {
        row.measured = Some(calibration::measure(&block, &workload.pre_state, rounds)?);
    }
    Ok(row)
}

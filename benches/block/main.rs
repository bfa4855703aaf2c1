//! The block benchmark: how fast blocks run on Weft, and how fast on revm alone.
//!
//! ```text
//! for each workload:  make ─► every arm once, outcomes compared ─► rounds: every arm in turn ─► medians ─► a row
//! ```

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on its standard streams")]

mod arguments;
mod arms;
mod clock;
mod report;

use clap::Parser;
use weft_benches::{Plan, Scale, catalogue};

use arguments::Arguments;
use arms::Arms;
use report::{Row, Table};

/// The allocator of the `weft` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let chosen = |plan: &Plan| arguments.filter.as_ref().is_none_or(|filter| filter.is_match(&plan.name));
    let plans = catalogue(Scale::new(arguments.scale)?).into_iter().filter(chosen);
    if arguments.list {
        plans.for_each(|plan| println!("{}", plan.name));
        return Ok(());
    }
    let arms = Arms::new(&arguments.threads)?;
    let mut table = Table::new(&arguments.threads, arguments.cpu);
    for plan in plans {
        eprintln!("{}", plan.name);
        let row = measure(&plan, &arms, &arguments)?;
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

/// Makes a workload and measures it.
fn measure(plan: &Plan, arms: &Arms, arguments: &Arguments) -> anyhow::Result<Row> {
    let workload = plan.make()?;
    let rules = workload.rules();
    let mut block = arms.prepare(&workload, &rules)?;
    let list;
    if arguments.access_list {
        list = block.access_list();
        block = block.with_access_list(&list);
    }
    let gas_used = arms.verify(&block)?;
    let arms = arms.measure(&block, arguments.rounds)?;
    Ok(Row { workload: workload.name, transactions: workload.block.body.transactions.len(), gas_used, arms })
}

//! The `weft` command.

#![forbid(unsafe_code)]

mod arguments;
mod blocktest;
mod console;
mod example;
mod execute;
mod fuzz;
mod replay;
mod report;
mod simulate;
mod source;
mod trace;
mod world;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use console::Console;

/// Witness nodes and receipts are many small allocations from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Execute(arguments) => execute::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Blocktest(arguments) => blocktest::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
    };
    match done {
        Ok(status) => status.into(),
        Err(error) => {
            Console::for_items(1).note(format_args!("weft: {error:#}"));
            report::Status::Unreadable.into()
        }
    }
}

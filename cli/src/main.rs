//! The `weft` command.

#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks on its standard streams")]

mod arguments;
mod blocktest;
mod example;
mod execute;
mod fuzz;
mod replay;
mod report;
mod source;
mod world;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// Witness nodes and receipts are many small allocations from many threads; see ARCHITECTURE.md for the figures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Execute(arguments) => execute::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Blocktest(arguments) => blocktest::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
    };
    match done {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("weft: {error:#}");
            report::Status::Unreadable.into()
        }
    }
}

//! `weft execute`: judges inputs of EXECUTE.

use std::time::Instant;

use weft_engine::execute::wire::StatelessOutput;
use weft_engine::execute::{self, ExecuteInput, Options, ReadOptions, Verdict};
use weft_engine::trace::Trace;

use crate::arguments::ExecuteArguments;
use crate::console::Console;
use crate::example;
use crate::report::{Report, Status};
use crate::{source, trace};

/// Judges every file.
///
/// # Errors
///
/// If the run cannot be set up, or its trace not be written.
pub(crate) fn run(arguments: &ExecuteArguments) -> anyhow::Result<Status> {
    let mut options = arguments.run.options()?;
    options.trace = arguments.trace.is_some().then(Trace::default);
    let worst = judge_all(arguments, &options)?;
    if let (Some(path), Some(trace)) = (&arguments.trace, &options.trace) {
        trace::write(path, trace)?;
    }
    Ok(worst)
}

/// Judges every file, or the example.
fn judge_all(arguments: &ExecuteArguments, options: &Options) -> anyhow::Result<Status> {
    let mut read_options = ReadOptions::default();
    read_options.dialect = arguments.dialect.into();
    read_options.chain = arguments.run.chain()?;
    let report = Report {
        console: Console::for_items(arguments.files.len()),
        json: arguments.run.json,
        engine: arguments.run.engine,
        threads: options.threads(),
    };
    if arguments.files.is_empty() {
        let bytes = example::input()?;
        return Ok(judge("built-in example", bytes, arguments, &read_options, options, &report));
    }
    Ok(source::for_each(&arguments.files, &report.console, |file, path| match source::read(path) {
        Ok(bytes) => judge(file, bytes, arguments, &read_options, options, &report),
        Err(error) => report.unreadable(file, &format!("{error:#}"), None),
    }))
}

/// Judges one input.
fn judge(
    file: &str,
    bytes: Vec<u8>,
    arguments: &ExecuteArguments,
    read_options: &ReadOptions,
    options: &Options,
    report: &Report,
) -> Status {
    let start = Instant::now();
    let input = match ExecuteInput::read(bytes.into(), read_options) {
        Ok(input) => input,
        Err(error) => {
            // Whatever does not decode: no JSON and no hex text is an input of EXECUTE either.
            let sentinel = StatelessOutput::undecodable(read_options.dialect);
            return report.unreadable(file, &format!("input: {error}"), Some(&sentinel));
        }
    };
    let decode = start.elapsed();
    let mut verdict = execute::run(&input, options);
    for _ in 1..arguments.repeat.get() {
        keep_fastest(&mut verdict, execute::run(&input, options));
    }
    verdict.stages.decode = decode;
    report.verdict(file, &verdict)
}

/// Takes over the stages of a repeated run if it was faster in total.
fn keep_fastest(verdict: &mut Verdict, again: Verdict) {
    if again.stages.total() < verdict.stages.total() {
        verdict.stages = again.stages;
    }
}

//! `weft replay`: runs blocks on a plain pre-state.

use std::time::Instant;

use weft_engine::replay::PlainBlock;

use crate::arguments::ReplayArguments;
use crate::console::Console;
use crate::report::{Report, Status};
use crate::source;

/// Replays every file.
///
/// # Errors
///
/// If the run cannot be set up.
pub(crate) fn run(arguments: &ReplayArguments) -> anyhow::Result<Status> {
    let options = arguments.run.options()?;
    let chain = arguments.run.chain()?;
    let report = Report {
        console: Console::for_items(arguments.files.len()),
        json: arguments.run.json,
        engine: arguments.run.engine,
        threads: options.threads(),
    };
    Ok(source::for_each(&arguments.files, &report.console, |file, path| {
        let start = Instant::now();
        match source::read(path).and_then(|json| Ok(PlainBlock::from_json(&json, chain.as_ref())?)) {
            Ok(block) => {
                let decode = start.elapsed();
                let mut verdict = block.run(&options);
                verdict.stages.decode = decode;
                report.verdict(file, &verdict)
            }
            Err(error) => report.unreadable(file, &format!("input: {error:#}"), None),
        }
    }))
}

//! `weft replay`: runs blocks on a plain pre-state.

use std::time::Instant;

use weft_engine::replay::PlainBlock;

use crate::arguments::ReplayArguments;
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
    let report =
        Report { json: arguments.run.json, engine: arguments.run.engine, threads: options.threads() };
    let mut worst = Status::Valid;
    for path in &arguments.files {
        let file = path.display().to_string();
        let start = Instant::now();
        let block = source::read(path).and_then(|json| Ok(PlainBlock::from_json(&json, chain.as_ref())?));
        let status = match block {
            Ok(block) => {
                let decode = start.elapsed();
                let mut verdict = block.run(&options);
                verdict.stages.decode = decode;
                report.verdict(&file, &verdict)
            }
            Err(error) => report.unreadable(&file, &format!("input: {error:#}"), None),
        };
        worst = worst.max(status);
    }
    Ok(worst)
}

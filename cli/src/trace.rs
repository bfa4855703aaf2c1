//! A trace as the JSON that Chrome's and Perfetto's trace viewers read: one lane per worker, one for the stages.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};
use weft_engine::trace::{Lane, Span, Trace, Work};

/// Writes the trace of one block or of several, one behind the other.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write(path: &Path, trace: &Trace) -> anyhow::Result<()> {
    let lanes = trace.lanes();
    let names = lanes.iter().map(|lane| {
        let name = lane.worker.map_or_else(|| "stages".to_owned(), |worker| format!("worker {worker}"));
        json!({ "ph": "M", "name": "thread_name", "pid": 0, "tid": number(lane), "args": { "name": name } })
    });
    let spans = lanes.iter().flat_map(|lane| lane.spans.iter().map(|span| event(number(lane), span)));
    let events: Vec<Value> = names.chain(spans).collect();
    let file = File::create(path).with_context(|| path.display().to_string())?;
    serde_json::to_writer(BufWriter::new(file), &json!({ "displayTimeUnit": "ns", "traceEvents": events }))
        .with_context(|| path.display().to_string())
}

/// Where a lane is drawn: the stages on top.
fn number(lane: &Lane) -> usize {
    lane.worker.map_or(0, |worker| worker + 1)
}

/// One piece of work as an event with a beginning and a duration.
fn event(lane: usize, span: &Span) -> Value {
    let (category, name, tx) = match span.work {
        Work::Stage(stage) => ("stage", stage.to_owned(), None),
        Work::Execution(tx) => ("execution", format!("execute {tx}"), Some(tx)),
        Work::Wait(tx) => ("wait", format!("wait {tx}"), Some(tx)),
        Work::Validation(tx) => ("validation", format!("validate {tx}"), Some(tx)),
        Work::Abort(tx) => ("abort", format!("abort {tx}"), Some(tx)),
        Work::Commit(first, 1) => ("commit", format!("commit {first}"), Some(first)),
        Work::Commit(first, count) => {
            let last = first + count.saturating_sub(1);
            ("commit", format!("commit {first} to {last}"), Some(first))
        }
        Work::Upkeep(what) => ("upkeep", what.to_owned(), None),
        _ => ("other", "other".to_owned(), None),
    };
    let micros = |duration: std::time::Duration| duration.as_secs_f64() * 1e6;
    json!({
        "ph": "X", "cat": category, "name": name, "pid": 0, "tid": lane,
        "ts": micros(span.start), "dur": micros(span.duration), "args": { "transaction": tx },
    })
}

//! `weft blocktest`: runs blockchain tests of EEST and ethereum/tests.

mod archive;
mod fixture;
mod run;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use regex::Regex;
use serde_json::{Value, json};
use weft_engine::execute::{Engine, Options};

use self::fixture::Fixture;
use self::run::Ending;
use crate::arguments::BlocktestArguments;
use crate::console::Console;
use crate::report::Status;

/// Runs all tests at the paths.
///
/// # Errors
///
/// If the run cannot be set up. A path that cannot be read is reported, and the others are run.
pub(crate) fn run(arguments: &BlocktestArguments) -> anyhow::Result<Status> {
    let mut session = Session::new(arguments)?;
    let mut worst = Status::Valid;
    for path in &arguments.paths {
        if let Err(error) = archive::visit(path, &mut |name, contents| session.run_file(name, contents)) {
            session.console.note(format_args!("weft: {error:#}"));
            worst = Status::Unreadable;
        }
    }
    Ok(session.end().max(worst))
}

/// A run over many tests.
struct Session {
    /// Engines and thread counts; the specification first.
    matrix: Vec<Options>,
    /// Only tests whose name matches.
    pattern: Option<Regex>,
    /// Only tests with these names.
    names: Option<HashSet<String>>,
    /// Print a line of JSON per test.
    json: bool,
    /// Where to say how it goes.
    console: Console,
    /// Tests that passed.
    passed: u64,
    /// Tests that failed.
    failed: u64,
    /// Tests that were skipped, by reason.
    skipped: BTreeMap<String, u64>,
}

impl Session {
    /// Nothing run yet.
    fn new(arguments: &BlocktestArguments) -> anyhow::Result<Self> {
        let recovery = arguments.signers.recovery()?;
        let on = |threads| anyhow::Ok(Options::with_threads(threads)?.with_recovery(recovery).prepared());
        let mut matrix = vec![on(1)?.with_engine(Engine::Sequential)];
        for &threads in &arguments.threads {
            let options = on(threads.get())?;
            if threads.get() > 1 {
                matrix.push(options.clone().with_engine(Engine::Restless));
            }
            matrix.push(options);
        }
        let names = arguments.names.as_deref().map(read_names).transpose()?;
        Ok(Self {
            matrix,
            pattern: arguments.run.as_deref().map(Regex::new).transpose()?,
            names,
            json: arguments.json,
            console: Console::for_many(),
            passed: 0,
            failed: 0,
            skipped: BTreeMap::new(),
        })
    }

    /// Runs the tests of one file.
    fn run_file(&mut self, file: &str, contents: &[u8]) {
        self.console.working_on(file);
        let Ok(tests) = serde_json::from_slice::<BTreeMap<String, Value>>(contents) else {
            self.note(file, Ending::Failed("the file is not a JSON object".to_owned()));
            return;
        };
        for (name, test) in tests {
            let wanted = self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&name))
                && self.names.as_ref().is_none_or(|names| names.contains(&name));
            if !wanted || name == "_info" {
                continue;
            }
            let ending = if test.get("blocks").is_none() {
                Ending::Skipped("not a blockchain test".to_owned())
            } else {
                match serde_json::from_value::<Fixture>(test) {
                    Ok(fixture) => run::run(&fixture, &self.matrix),
                    Err(error) => Ending::Failed(format!("the test does not read: {error}")),
                }
            };
            self.note(&name, ending);
        }
    }

    /// Takes down how a test ended.
    fn note(&mut self, name: &str, ending: Ending) {
        self.console.item_done();
        if self.json {
            let (skipped, error) = match &ending {
                Ending::Passed => (None, None),
                Ending::Skipped(reason) => (Some(reason), None),
                Ending::Failed(error) => (None, Some(error)),
            };
            let passed = matches!(ending, Ending::Passed);
            let line = json!({"test": name, "passed": passed, "skipped": skipped, "error": error});
            self.console.line(line);
        }
        match ending {
            Ending::Passed => self.passed += 1,
            Ending::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
            Ending::Failed(error) => {
                self.failed += 1;
                self.console.note(format_args!("FAILED {name}: {error}"));
            }
        }
    }

    /// Says how it went.
    fn end(self) -> Status {
        self.console.clear_bar();
        for (reason, count) in &self.skipped {
            self.console.note(format_args!("skipped {count}: {reason}"));
        }
        let skipped: u64 = self.skipped.values().sum();
        let summary = format!("{} passed, {} failed, {skipped} skipped", self.passed, self.failed);
        if self.json {
            self.console.note(summary);
        } else {
            self.console.line(summary);
        }
        if self.passed + self.failed + skipped == 0 {
            self.console.note("weft: no test found");
            return Status::Unreadable;
        }
        if self.failed == 0 { Status::Valid } else { Status::Invalid }
    }
}

/// The names in a file, one a line.
fn read_names(path: &Path) -> anyhow::Result<HashSet<String>> {
    Ok(std::fs::read_to_string(path)?.lines().map(|line| line.trim().to_owned()).collect())
}

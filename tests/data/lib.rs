//! Where tests find real blocks and conformance fixtures, and the matrix in which they run them.
//!
//! The data is not part of the repository: it lies in `$WEFT_DATA`, or beside the checkout in `../shared`, each with
//! a folder `data`. Without it a test says what it skipped, and passes.

#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "tests say what they skip")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy_primitives::hex;
use serde_json::Value;
use weft_engine::execute::{Cache, Engine, Options, Verdict};

/// One input of EXECUTE and the output it has to give.
#[derive(Debug)]
pub struct Case {
    /// Where it is from.
    pub name: String,
    /// `statelessInputBytes`.
    pub input: Vec<u8>,
    /// `statelessOutputBytes`.
    pub output: Vec<u8>,
}

/// The folder of this name in the data, if there is data.
///
/// # Panics
///
/// If there is data, but not this folder: then the test would pass for nothing.
pub fn folder(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("WEFT_DATA").map_or(beside, PathBuf::from).join("data");
    if !root.is_dir() {
        eprintln!("skipped: no {} ($WEFT_DATA names the folder above `data`)", root.display());
        return None;
    }
    let folder = root.join(name);
    assert!(folder.is_dir(), "{} is missing", folder.display());
    Some(folder)
}

/// All files in a folder and below, sorted by name.
///
/// # Panics
///
/// If the folder cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder stays as it is").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Reads a file, unpacked if it ends in `.gz` or `.xz`.
///
/// # Panics
///
/// If it cannot be read or unpacked.
pub fn read(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).expect("the file is there");
    let mut unpacked = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked),
        Some("xz") => liblzma::read::XzDecoder::new(&bytes[..]).read_to_end(&mut unpacked),
        _ => return bytes,
    }
    .expect("the file is whole");
    unpacked
}

/// All inputs with their outputs in the JSON files of a folder of the data; none if there is no data.
///
/// # Panics
///
/// If there is data and no case in it, or if a file cannot be read.
pub fn cases(name: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let Some(folder) = folder(name) else { return cases };
    for path in files(&folder) {
        if path.to_string_lossy().contains(".json") {
            let json: Value = serde_json::from_slice(&read(&path)).expect("the file is JSON");
            collect("", &json, &mut cases);
        }
    }
    assert!(!cases.is_empty(), "{} holds no case", folder.display());
    cases
}

/// Appends every object that has both an input and an output.
fn collect(name: &str, value: &Value, cases: &mut Vec<Case>) {
    let bytes = |key: &str| value[key].as_str().map(|text| hex::decode(text).expect("the fixture is hex"));
    if let (Some(input), Some(output)) = (bytes("statelessInputBytes"), bytes("statelessOutputBytes")) {
        cases.push(Case { name: name.to_owned(), input, output });
    } else if let Some(object) = value.as_object() {
        for (key, value) in object {
            let name = if key == "blocks" { name } else { key };
            collect(name, value, cases);
        }
    } else if let Some(array) = value.as_array() {
        for value in array {
            collect(name, value, cases);
        }
    }
}

/// The engines and thread counts that must agree, the specification first.
///
/// # Panics
///
/// If the system gives no threads.
pub fn matrix() -> Vec<Options> {
    // Small blocks are to be recovered in lanes as well.
    let options = |threads| Options::with_threads(threads).expect("there are threads").prepared();
    let mut matrix = vec![options(1).with_engine(Engine::Sequential)];
    matrix.extend([1, 2, 3, 8].map(options));
    matrix.extend([2, 8].map(|threads| options(threads).with_engine(Engine::Restless)));
    // One cache for all that a test judges.
    matrix.push(options(2).with_cache(Cache::new(1 << 24)));
    matrix
}

/// Judges with every engine and thread count, checks that all say the same, and returns it.
///
/// # Panics
///
/// If two differ in anything but timings and counters.
pub fn judge_all(name: &str, matrix: &[Options], judge: impl Fn(&Options) -> Verdict) -> Verdict {
    let expected = judge(&matrix[0]);
    for options in &matrix[1..] {
        let verdict = judge(options);
        let threads = options.threads();
        assert_eq!(verdict.error, expected.error, "{name}: error on {threads} threads");
        assert_eq!(verdict.output, expected.output, "{name}: output on {threads} threads");
        assert_eq!(verdict.computed, expected.computed, "{name}: roots on {threads} threads");
        assert_eq!(verdict.outcome, expected.outcome, "{name}: outcome on {threads} threads");
    }
    expected
}

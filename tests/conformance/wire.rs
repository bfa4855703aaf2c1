//! The wire forms against inputs and outputs that others made.
//!
//! The data lies outside the repository, in `$WEFT_DATA` or `../shared/data`
//! beside it; its README says where each folder is from. Each test counts what it
//! looked at, so that a folder that is missing or empty fails it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use alloy_primitives::{B256, hex};
use serde_json::Value;
use weft_engine::execute::wire::{
    Dialect, DialectChoice, StatelessInput, StatelessOutput, decode, encode,
};

/// Inputs in the current dialects: valid, invalid and undecodable blocks.
#[test]
fn v21_decodes_or_fails_as_expected() {
    let choice = DialectChoice::Current;
    let (mut decoded, mut refused) = (0, 0);
    for case in cases("zkevm-v21") {
        if case.output == StatelessOutput::undecodable(choice) {
            assert!(decode(&case.input, choice).is_err(), "{}: decodes", case.name);
            refused += 1;
        } else {
            let input = check(&case, choice);
            assert_eq!(input.dialect, Dialect::V21_0_0, "{}", case.name);
            check_without_keys(&case, input);
            decoded += 1;
        }
    }
    assert_eq!((decoded, refused), (3448, 149));
}

/// Inputs of the oldest dialect that has public fixtures.
#[test]
fn v0_3_3_decodes() {
    let count = cases("zkevm-v0.3.3")
        .iter()
        .map(|case| check(case, Dialect::V0_3_3.into()))
        .filter(|input| !input.witness.headers.is_empty())
        .count();
    assert_ne!(count, 0);
}

/// One input of an earlier release that shares the bytes of v21.0.0.
#[test]
fn v0_8_2_decodes() {
    let cases = cases("zkevm-v0.8.2");
    assert!(!cases.is_empty());
    for case in cases {
        check(&case, Dialect::V21_0_0.into());
    }
}

/// Cutting real inputs short or making them longer never goes unnoticed.
///
/// Only a whole key may be appended to, or cut from, an input with keys: that is
/// another valid input.
#[test]
fn no_slack_in_real_inputs() {
    for case in cases("zkevm-v0.8.2") {
        let choice = DialectChoice::Current;
        let keys = check(&case, choice).public_keys.expect("the dialect has keys").len();
        for length in 0..case.input.len() {
            let missing = case.input.len() - length;
            let whole_keys = missing.is_multiple_of(65) && missing / 65 <= keys;
            let result = decode(&case.input[..length], choice);
            assert_eq!(result.is_ok(), whole_keys, "{length} bytes");
        }
        let mut longer = case.input.clone();
        longer.push(0);
        assert!(decode(&longer, choice).is_err());
    }
}

/// Decodes one input, and checks root, chain id and that encoding gives it back.
fn check(case: &Case, choice: DialectChoice) -> StatelessInput {
    let input = decode(&case.input, choice)
        .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let output = StatelessOutput {
        root: input.new_payload_request_root,
        successful: case.output[32] == 1,
        chain_id: input.chain_id,
        dialect: input.dialect,
    };
    assert_eq!(output.root, B256::from_slice(&case.output[..32]), "{}: root", case.name);
    assert_eq!(output.to_bytes(), case.output, "{}: output", case.name);
    assert_eq!(encode(&input).unwrap(), case.input, "{}: encoding", case.name);
    input
}

/// Drops the public keys, and checks that all else stays as it was.
fn check_without_keys(case: &Case, with_keys: StatelessInput) {
    let expected = with_keys.into_dialect(Dialect::V21_0_1).unwrap();
    let bytes = encode(&expected).unwrap();
    let input = decode(&bytes, DialectChoice::Current).unwrap();
    assert_eq!(input, expected, "{}: without keys", case.name);
    assert_eq!(input.new_payload_request_root[..], case.output[..32], "{}", case.name);
    assert!(decode(&bytes, Dialect::V21_0_0.into()).is_err(), "{}", case.name);
}

/// One input and the output it has to give.
struct Case {
    /// Where it is from.
    name: String,
    /// `statelessInputBytes`.
    input: Vec<u8>,
    /// `statelessOutputBytes`.
    output: Vec<u8>,
}

/// All cases in a folder of the data, and the folders in it.
fn cases(folder: &str) -> Vec<Case> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("WEFT_DATA").map_or(default, PathBuf::from);
    let mut files = Vec::new();
    collect_files(&root.join(folder), &mut files);
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        if let Some(text) = read_json(&file) {
            collect_cases(&file.display().to_string(), &text, &mut cases);
        }
    }
    cases
}

/// Appends the files below a folder.
fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Reads a `.json` or `.json.xz`; other files are notes.
fn read_json(file: &Path) -> Option<Value> {
    let name = file.to_str()?;
    let bytes = fs::read(file).unwrap();
    if name.ends_with(".json.xz") {
        let mut text = Vec::new();
        liblzma::read::XzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
        Some(serde_json::from_slice(&text).unwrap())
    } else {
        name.ends_with(".json").then(|| serde_json::from_slice(&bytes).unwrap())
    }
}

/// Appends every object that has both an input and an output.
fn collect_cases(name: &str, value: &Value, cases: &mut Vec<Case>) {
    if let (Some(input), Some(output)) =
        (value["statelessInputBytes"].as_str(), value["statelessOutputBytes"].as_str())
    {
        let (input, output) = (hex::decode(input).unwrap(), hex::decode(output).unwrap());
        cases.push(Case { name: name.to_owned(), input, output });
    } else if let Some(object) = value.as_object() {
        for (key, value) in object {
            collect_cases(&format!("{name} {key}"), value, cases);
        }
    } else if let Some(array) = value.as_array() {
        for value in array {
            collect_cases(name, value, cases);
        }
    }
}

//! EXECUTE's fixtures: inputs in the precompile's own form, and the exact bytes of the output.

use std::collections::HashSet;

use weft_engine::error::ExecuteError;
use weft_engine::execute::wire::{self, Dialect, DialectChoice, StatelessOutput};
use weft_engine::execute::{self, ExecuteInput, InputError, Options, ReadOptions};
use weft_tests::{Case, cases, folder, judge_all, matrix, read};

/// The output bytes for an input, the same from every engine.
fn output(name: &str, input: Vec<u8>, dialect: DialectChoice, matrix: &[Options]) -> Vec<u8> {
    let mut read_options = ReadOptions::default();
    read_options.dialect = dialect;
    match ExecuteInput::read(input.into(), &read_options) {
        Err(_) => StatelessOutput::undecodable(dialect),
        Ok(input) => {
            let verdict = judge_all(name, matrix, |options| execute::run(&input, options));
            verdict.output.unwrap().to_bytes()
        }
    }
}

/// All inputs of the newest dialect, valid, invalid and undecodable, with and without public keys.
#[test]
fn v21_outputs_are_exact() {
    let matrix = matrix();
    let cases = cases("zkevm-v21");
    for Case { name, input, output: expected } in &cases {
        let choice = DialectChoice::Current;
        assert_eq!(&output(name, input.clone(), choice, &matrix), expected, "{name}");
    }
    if !cases.is_empty() {
        assert!(cases.len() >= 3_500, "{} cases", cases.len());
    }
}

/// The same inputs without their public keys give the same, but where the defect is in the keys.
#[test]
fn v21_outputs_do_not_depend_on_public_keys() {
    let matrix = &matrix()[..3];
    let mut compared = 0;
    let cases = cases("zkevm-v21");
    for Case { name, input, output: expected } in &cases {
        let Ok(with_keys) = wire::decode(input, DialectChoice::Current) else { continue };
        let judged = execute::run(&ExecuteInput::Stateless(Box::new(with_keys.clone())), &matrix[0]);
        let in_the_keys = matches!(
            judged.error,
            Some(ExecuteError::Input(InputError::PublicKey { .. } | InputError::PublicKeyCount { .. }))
        );
        if in_the_keys {
            continue;
        }
        let bytes = wire::encode(&with_keys.into_dialect(Dialect::V21_0_1).unwrap()).unwrap();
        assert_eq!(&output(name, bytes, DialectChoice::Current, matrix), expected, "{name}");
        compared += 1;
    }
    assert!(cases.is_empty() || compared > 3_000, "{compared} compared");
}

/// The older dialect: exact where revm's Osaka has its gas, else root, chain id and verdicts that gas cannot change.
#[test]
fn v0_3_3_outputs_are_exact_where_gas_agrees() {
    let Some(folder) = folder("zkevm-v0.3.3") else { return };
    let matrix = matrix();
    let list = String::from_utf8(read(&folder.join("osaka-compatible.txt"))).unwrap();
    let compatible: HashSet<&str> = list.lines().map(str::trim).collect();
    let mut exact = 0;
    for Case { name, input, output: expected } in cases("zkevm-v0.3.3") {
        let found = output(&name, input, DialectChoice::Only(Dialect::V0_3_3), &matrix);
        assert_eq!(found[..32], expected[..32], "{name}: root");
        assert_eq!(found[33..], expected[33..], "{name}: chain id");
        assert!(expected[32] == 1 || found[32] == 0, "{name}: valid where the reference says invalid");
        if compatible.contains(name.as_str()) {
            assert_eq!(found, expected, "{name}");
            exact += 1;
        }
    }
    assert!(exact >= compatible.len(), "{exact} blocks compared");
}

/// One block in the form of an earlier release.
#[test]
fn v0_8_2_output_is_exact() {
    let matrix = matrix();
    for Case { name, input, output: expected } in cases("zkevm-v0.8.2") {
        assert_eq!(output(&name, input, Dialect::V21_0_0.into(), &matrix), expected, "{name}");
    }
}

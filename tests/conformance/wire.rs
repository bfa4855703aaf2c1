//! The wire forms against inputs and outputs that others made.
//!
//! Each test counts what it looked at, so that a folder that is empty fails it.

use alloy_primitives::B256;
use weft_engine::execute::wire::{Dialect, DialectChoice, StatelessInput, StatelessOutput, decode, encode};
use weft_tests::{Case, cases};

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
    assert!((decoded, refused) == (0, 0) || (decoded >= 3448 && refused >= 149));
}

/// Inputs of the oldest dialect that has public fixtures.
#[test]
fn v0_3_3_decodes() {
    let cases = cases("zkevm-v0.3.3");
    let inputs = cases.iter().map(|case| check(case, Dialect::V0_3_3.into()));
    let with_parent = inputs.filter(|input| !input.witness.headers.is_empty()).count();
    assert!(cases.is_empty() || with_parent > 0);
}

/// One input of an earlier release that shares the bytes of v21.0.0.
#[test]
fn v0_8_2_decodes() {
    for case in cases("zkevm-v0.8.2") {
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
    let input = decode(&case.input, choice).unwrap_or_else(|error| panic!("{}: {error}", case.name));
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

//! Each limit: met, and exceeded by one.

use alloy_primitives::{B256, Bytes};

use super::super::{DecodeError, Dialect, Field, StatelessInput, decode, encode};
use super::{empty, strings, withdrawal};

/// Items of the witness, and its headers, in the current dialects.
#[test]
fn witness() {
    for dialect in [Dialect::V21_0_1, Dialect::V21_0_0] {
        let item = |length| strings(&[1, length]);
        check_item(dialect, Field::State, 1 << 10, |input, n| input.witness.state = item(n));
        check_item(dialect, Field::Codes, 1 << 16, |input, n| input.witness.codes = item(n));
        check_item(dialect, Field::Headers, 1 << 10, |input, n| input.witness.headers = item(n));
    }
}

/// The same in v0.3.3.
#[test]
fn witness_v0_3_3() {
    let dialect = Dialect::V0_3_3;
    let item = |length| strings(&[1, length]);
    check_item(dialect, Field::State, 1 << 20, |input, n| input.witness.state = item(n));
    check_item(dialect, Field::Codes, 1 << 24, |input, n| input.witness.codes = item(n));
    check_item(dialect, Field::Headers, 1 << 10, |input, n| input.witness.headers = item(n));
    check_count(dialect, Field::Codes, 1 << 16, |input, n| input.witness.codes = empties(n));
    check_count(dialect, Field::State, 1 << 20, |input, n| input.witness.state = empties(n));
}

/// Headers and extra data are bounded in every dialect.
#[test]
fn everywhere() {
    for dialect in super::DIALECTS {
        check_count(dialect, Field::Headers, 256, |input, n| input.witness.headers = empties(n));
        check_bytes(dialect, Field::ExtraData, 32, |input, bytes| input.payload.extra_data = bytes);
    }
}

/// The payload is bounded only in v0.3.3.
#[test]
fn payload_v0_3_3() {
    let dialect = Dialect::V0_3_3;
    check_bytes(dialect, Field::BlockAccessList, 1 << 24, |input, bytes| {
        input.payload.block_access_list = bytes;
    });
    check_count(dialect, Field::Withdrawals, 1 << 16, |input, n| {
        input.payload.withdrawals = vec![withdrawal(1); n];
    });
    check_count(dialect, Field::VersionedHashes, 1 << 12, |input, n| {
        input.versioned_hashes = vec![B256::ZERO; n];
    });
    check_count(dialect, Field::ExecutionRequests, 16, |input, n| {
        input.execution_requests = empties(n);
    });
    check_item(dialect, Field::ExecutionRequests, 1 << 20, |input, n| {
        input.execution_requests = strings(&[1, n]);
    });
}

/// A public key is 65 bytes, not one less or more.
#[test]
fn public_key() {
    let input = empty(Dialect::V21_0_0);
    for length in 1..200_usize {
        let mut bytes = encode(&input).unwrap();
        bytes.extend(vec![4; length]);
        let decoded = decode(&bytes, Dialect::V21_0_0.into());
        assert_eq!(decoded.is_ok(), length.is_multiple_of(65), "{length}");
    }
}

/// v0.3.3 has a list of public keys that must be empty.
#[test]
fn public_key_v0_3_3() {
    let mut bytes = encode(&empty(Dialect::V0_3_3)).unwrap();
    bytes.extend([4, 0, 0, 0]);
    let error = DecodeError::TooLong { field: Field::PublicKeys, limit: 0, length: 4 };
    assert_eq!(decode(&bytes, Dialect::V0_3_3.into()), Err(error));
}

/// Checks the limit on the second item's bytes.
fn check_item(dialect: Dialect, field: Field, limit: usize, set: impl Fn(&mut StatelessInput, usize)) {
    let error = DecodeError::ItemTooLong { field, index: 1, limit, length: limit + 1 };
    check(dialect, limit, error, set);
}

/// Checks the limit on the number of items.
fn check_count(dialect: Dialect, field: Field, limit: usize, set: impl Fn(&mut StatelessInput, usize)) {
    let error = DecodeError::TooManyItems { field, limit, count: limit + 1 };
    check(dialect, limit, error, set);
}

/// Checks the limit on a byte string.
fn check_bytes(dialect: Dialect, field: Field, limit: usize, set: impl Fn(&mut StatelessInput, Bytes)) {
    let error = DecodeError::TooLong { field, limit, length: limit + 1 };
    check(dialect, limit, error, |input, n| set(input, vec![7; n].into()));
}

/// At the limit the input decodes, and one past it gives this error.
fn check(dialect: Dialect, limit: usize, error: DecodeError, set: impl Fn(&mut StatelessInput, usize)) {
    let mut input = empty(dialect);
    set(&mut input, limit);
    let decoded = decode(&encode(&input).unwrap(), dialect.into()).unwrap();
    assert_eq!(decoded.witness, input.witness);
    assert_eq!(decoded.payload, input.payload);
    set(&mut input, limit + 1);
    assert_eq!(decode(&encode(&input).unwrap(), dialect.into()), Err(error));
}

/// Byte strings of no length.
fn empties(count: usize) -> Vec<Bytes> {
    vec![Bytes::new(); count]
}

//! Which dialect an input is taken for, and what comes out in each.

use alloy_primitives::{B256, Bytes};

use super::super::{
    DecodeError, Dialect, DialectChoice, EncodeError, Field, StatelessOutput, decode, decode_shared, encode,
};
use super::{DIALECTS, sample};

/// The first offset decides, and decides alone.
#[test]
fn first_offset() {
    for dialect in [Dialect::V21_0_1, Dialect::V21_0_0] {
        let mut bytes = encode(&sample(dialect)).unwrap();
        assert_eq!(decode(&bytes, DialectChoice::Current).unwrap().dialect, dialect);
        for first_offset in (0..64).filter(|offset| ![16, 20].contains(offset)) {
            bytes[2] = first_offset;
            let first_offset = first_offset.into();
            let error = DecodeError::UnknownDialect { first_offset };
            assert_eq!(decode(&bytes, DialectChoice::Current), Err(error));
        }
    }
}

/// The first offset of one dialect before the body of the other.
#[test]
fn exchanged_first_offset() {
    for (dialect, other) in [(Dialect::V21_0_1, 20), (Dialect::V21_0_0, 16)] {
        let mut bytes = encode(&sample(dialect)).unwrap();
        bytes[2] = other;
        assert!(decode(&bytes, DialectChoice::Current).is_err());
    }
}

/// A choice of one dialect accepts no other.
#[test]
fn only_the_chosen() {
    for dialect in DIALECTS {
        let bytes = encode(&sample(dialect)).unwrap();
        for choice in DIALECTS {
            assert_eq!(decode(&bytes, choice.into()).is_ok(), choice == dialect);
        }
    }
    let old = encode(&sample(Dialect::V0_3_3)).unwrap();
    assert!(decode(&old, DialectChoice::Current).is_err());
}

/// Every other schema id, byte orders included, is refused by name.
#[test]
fn schema_id() {
    let mut bytes = encode(&sample(Dialect::V21_0_1)).unwrap();
    for found in [0, 1, 0x0115, 0x1500, 0x1502, 0x1401, 0x1601, u16::MAX] {
        bytes[..2].copy_from_slice(&found.to_be_bytes());
        let error = DecodeError::SchemaId { found, expected: 0x1501 };
        assert_eq!(decode(&bytes, DialectChoice::Current), Err(error.clone()));
        assert_eq!(decode(&bytes, Dialect::V21_0_1.into()), Err(error));
    }
    for length in [0, 1] {
        let error = DecodeError::TooShort { field: Field::SchemaId, needed: 2, length };
        assert_eq!(decode(&bytes[..length], DialectChoice::Current), Err(error));
    }
}

/// Dropping the keys leaves the root as it is; the old dialect has another.
#[test]
fn roots() {
    let [newest, with_keys, oldest] = DIALECTS.map(|d| sample(d).new_payload_request_root);
    assert_eq!(newest, with_keys);
    assert_ne!(newest, oldest);
}

/// Keys are encoded where they belong, or not at all.
#[test]
fn keys_and_dialect_agree() {
    for dialect in DIALECTS {
        let mut input = sample(dialect);
        let present = !dialect.has_public_keys();
        input.public_keys = present.then(Vec::new);
        assert_eq!(encode(&input), Err(EncodeError::PublicKeys { dialect, present }));
    }
}

/// Windows on shared bytes hold what copies hold.
#[test]
fn shared() {
    let input = sample(Dialect::V21_0_1);
    let bytes = Bytes::from(encode(&input).unwrap());
    let decoded = decode_shared(&bytes, DialectChoice::Current).unwrap();
    assert_eq!(decoded, input);
    assert!(bytes.as_ptr_range().contains(&decoded.witness.headers[0].as_ptr()));
}

/// Outputs, byte by byte.
#[test]
fn output() {
    let of = |dialect| StatelessOutput {
        root: B256::repeat_byte(0xee),
        successful: true,
        chain_id: 0x0102_0304_0506_0708,
        dialect,
    };
    let old = [&[0xee; 32][..], &[1, 8, 7, 6, 5, 4, 3, 2, 1]].concat();
    let current = [&old[..], &[0x01, 0x15]].concat();
    assert_eq!(of(Dialect::V0_3_3).to_bytes(), old);
    assert_eq!(of(Dialect::V21_0_0).to_bytes(), current);
    assert_eq!(of(Dialect::V21_0_1).to_bytes(), current);
    assert_eq!(StatelessOutput::undecodable(DialectChoice::Current), [0; 43]);
    assert_eq!(StatelessOutput::undecodable(Dialect::V0_3_3), [0; 41]);
}

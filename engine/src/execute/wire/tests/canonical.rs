//! W1 to W4: what decodes is what the encoder writes, and nothing else.

use super::super::{DecodeError, Dialect, Field, decode, encode};
use super::{DIALECTS, empty, reference, sample};

/// Decoding and encoding undo each other.
#[test]
fn round_trip() {
    for dialect in DIALECTS {
        for input in [sample(dialect), empty(dialect)] {
            let bytes = encode(&input).unwrap();
            assert_eq!(decode(&bytes, dialect.into()), Ok(input));
        }
    }
}

/// Each byte, and each number that could be an offset, a little off: either the
/// result is refused or it is the encoding of another input. libssz agrees on
/// which, and on the root.
#[test]
fn changed_bytes() {
    for dialect in DIALECTS {
        for input in [sample(dialect), empty(dialect)] {
            let original = encode(&input).unwrap();
            for at in 0..original.len() {
                for delta in [1_u32, u32::MAX, 4, 4_u32.wrapping_neg(), 1 << 31] {
                    let mut bytes = original.clone();
                    let Some(number) = bytes[at..].first_chunk_mut() else { continue };
                    *number = u32::from_le_bytes(*number).wrapping_add(delta).to_le_bytes();
                    check(&bytes, dialect);
                }
            }
        }
    }
}

/// Cut at every length, and lengthened by a few.
#[test]
fn changed_length() {
    for dialect in DIALECTS {
        for input in [sample(dialect), empty(dialect)] {
            let mut bytes = encode(&input).unwrap();
            for length in 0..bytes.len() {
                check(&bytes[..length], dialect);
            }
            for _ in 0..8 {
                bytes.push(0);
                check(&bytes, dialect);
            }
        }
    }
}

/// A trailing byte has no field to belong to, unless the last one is of bytes.
#[test]
fn trailing_byte() {
    let mut bytes = encode(&sample(Dialect::V21_0_0)).unwrap();
    bytes.push(0);
    let error = DecodeError::PartialItem { field: Field::PublicKeys, item_length: 65, length: 2 * 65 + 1 };
    assert_eq!(decode(&bytes, Dialect::V21_0_0.into()), Err(error));

    let mut bytes = encode(&empty(Dialect::V21_0_1)).unwrap();
    bytes.push(0);
    let error = DecodeError::TooShort { field: Field::Headers, needed: 4, length: 1 };
    assert_eq!(decode(&bytes, Dialect::V21_0_1.into()), Err(error));
}

/// A table of offsets that claims more items than there are bytes.
#[test]
fn forged_count() {
    let dialect = Dialect::V21_0_1;
    for offset in [0, 2, 8, u32::MAX - 3] {
        let mut bytes = encode(&empty(dialect)).unwrap();
        bytes.extend(offset.to_le_bytes());
        let error = DecodeError::OffsetTable { field: Field::Headers, offset: offset as usize, length: 4 };
        assert_eq!(decode(&bytes, dialect.into()), Err(error));
    }
}

/// Compares the verdict with libssz, and the encoding with the bytes.
fn check(bytes: &[u8], dialect: Dialect) {
    let decoded = decode(bytes, dialect.into());
    let expected = reference::root(bytes, dialect);
    match decoded {
        Ok(input) => {
            assert_eq!(Some(input.new_payload_request_root.0), expected, "{dialect:?}");
            assert_eq!(encode(&input).unwrap(), bytes, "{dialect:?}");
        }
        Err(error) => assert_eq!(expected, None, "{dialect:?}: {error}"),
    }
}

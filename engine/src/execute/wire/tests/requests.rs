//! Typed lists and EIP-7685 entries say the same.

use alloy_primitives::Bytes;

use super::super::{DecodeError, Dialect, EncodeError, Field, StatelessInput, decode, encode};
use super::{REQUEST_LENGTHS, empty, entry};

/// Any set of types survives; empty lists leave no entry behind.
#[test]
fn any_subset() {
    for subset in 0_u8..32 {
        let types = (0_u8..5).filter(|kind| subset >> kind & 1 == 1);
        let entries = types.map(|kind| entry(kind, REQUEST_LENGTHS[usize::from(kind)])).collect();
        let input = with(entries);
        let decoded = decode(&encode(&input).unwrap(), input.dialect.into()).unwrap();
        assert_eq!(decoded.execution_requests, input.execution_requests);
    }
}

/// Entries that no lists stand for.
#[test]
fn unencodable() {
    let error = |entries: &[Bytes]| encode(&with(entries.to_vec())).unwrap_err();
    let exit = || entry(4, 68);
    let unknown = EncodeError::RequestType { index: 1, found: Some(5) };
    assert_eq!(error(&[exit(), entry(5, 68)]), unknown);
    let nameless = EncodeError::RequestType { index: 0, found: None };
    assert_eq!(error(&[Bytes::new()]), nameless);
    assert_eq!(error(&[exit(), exit()]), EncodeError::RequestOrder { index: 1, found: 4 });
    let descending = EncodeError::RequestOrder { index: 1, found: 1 };
    assert_eq!(error(&[exit(), entry(1, 76)]), descending);
    for length in [0, 67, 69] {
        let partial = EncodeError::RequestLength { index: 0, item_length: 68, length };
        assert_eq!(error(&[entry(4, length)]), partial);
    }
    assert!(with(vec![entry(5, 68)]).hash_new_payload_request().is_err());
}

/// A byte too many in a list, with every offset right.
#[test]
fn partial_request() {
    let bytes = encode(&with(vec![entry(4, 68)])).unwrap();
    let witness = usize::try_from(u32::from_le_bytes(*bytes[6..].first_chunk().unwrap())).unwrap();
    let mut longer = bytes.clone();
    longer.insert(2 + witness, 0);
    longer[6..10].copy_from_slice(&u32::try_from(witness + 1).unwrap().to_le_bytes());
    let error = DecodeError::PartialItem { field: Field::BuilderExits, item_length: 68, length: 69 };
    assert_eq!(decode(&longer, Dialect::V21_0_1.into()), Err(error));
}

/// An input with these entries and little else.
fn with(execution_requests: Vec<Bytes>) -> StatelessInput {
    StatelessInput { execution_requests, ..empty(Dialect::V21_0_1) }
}

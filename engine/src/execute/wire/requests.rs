//! Execution requests: typed lists on the wire, EIP-7685 entries in the block.
//!
//! An entry is a type byte and then the requests of that type, each written as
//! its container is in SSZ, which has no variable fields. Between the two forms
//! there is thus only the type byte, and that empty lists have no entry.

use alloy_primitives::Bytes;
use libssz_merkle::Node;

use super::dialect::{Capacity, RequestForm, Schema};
use super::writer::{self, Container};
use super::{DecodeError, EncodeError, Field, reader, root};

/// One type of request: its list's name and the lengths of a request's fields.
///
/// The type byte is the position in [`KINDS`].
#[derive(Debug)]
struct Kind {
    /// Name of the list.
    field: Field,
    /// Bytes of each field of one request; all are numbers or byte vectors.
    field_lengths: &'static [usize],
}

impl Kind {
    /// Bytes of one request.
    fn length(&self) -> usize {
        self.field_lengths.iter().sum()
    }
}

/// Types 0 to 4.
const KINDS: [Kind; 5] = [
    // EIP-6110: public key, withdrawal credentials, amount, signature, index.
    Kind { field: Field::Deposits, field_lengths: &[48, 32, 8, 96, 8] },
    // EIP-7002: source address, validator's public key, amount.
    Kind { field: Field::WithdrawalRequests, field_lengths: &[20, 48, 8] },
    // EIP-7251: source address, source's and target's public key.
    Kind { field: Field::Consolidations, field_lengths: &[20, 48, 48] },
    // EIP-8282: public key, withdrawal credentials, amount, signature.
    Kind { field: Field::BuilderDeposits, field_lengths: &[48, 32, 8, 96] },
    // EIP-8282: source address, public key.
    Kind { field: Field::BuilderExits, field_lengths: &[20, 48] },
];

/// Bytes of the typed form before its first list.
const FIXED_LENGTH: usize = KINDS.len() * reader::OFFSET_LENGTH;

/// Reads the requests and returns them as EIP-7685 entries.
///
/// # Errors
///
/// [`DecodeError`], if the bytes are not their canonical encoding.
pub(super) fn decode(source: &Bytes, bytes: &[u8], schema: &Schema) -> Result<Vec<Bytes>, DecodeError> {
    match schema.requests {
        RequestForm::Typed => decode_typed(bytes),
        RequestForm::Raw { entries, entry } => {
            let field = Field::ExecutionRequests;
            reader::byte_strings(source, field, bytes, entries, entry.limit())
        }
    }
}

/// Reads one list for each type.
///
/// # Errors
///
/// [`DecodeError`], if the bytes are not their canonical encoding.
fn decode_typed(bytes: &[u8]) -> Result<Vec<Bytes>, DecodeError> {
    let offsets = core::array::from_fn(|kind| (kind * reader::OFFSET_LENGTH, KINDS[kind].field));
    let lists: [_; KINDS.len()] =
        reader::variable_fields(Field::ExecutionRequests, bytes, FIXED_LENGTH, offsets)?;
    let mut entries = Vec::new();
    for ((request_type, kind), list) in (0_u8..).zip(&KINDS).zip(lists) {
        let (field, item_length, length) = (kind.field, kind.length(), list.len());
        if !length.is_multiple_of(item_length) {
            return Err(DecodeError::PartialItem { field, item_length, length });
        }
        if !list.is_empty() {
            entries.push([&[request_type], list].concat().into());
        }
    }
    Ok(entries)
}

/// Appends the requests.
///
/// # Errors
///
/// [`EncodeError`], if an entry does not fit the dialect.
pub(super) fn encode(entries: &[Bytes], schema: &Schema, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match schema.requests {
        RequestForm::Raw { .. } => writer::byte_strings(out, entries),
        RequestForm::Typed => {
            let lists = typed_lists(entries)?;
            let mut container = Container::new(out);
            let slots = KINDS.map(|_| container.offset());
            for (slot, list) in slots.into_iter().zip(lists) {
                container.field(slot)?.extend_from_slice(list);
            }
            Ok(())
        }
    }
}

/// Takes entries apart into one run of requests for each type.
///
/// # Errors
///
/// [`EncodeError`], if an entry is not one that decoding gives.
fn typed_lists(entries: &[Bytes]) -> Result<[&[u8]; KINDS.len()], EncodeError> {
    let mut lists: [&[u8]; KINDS.len()] = [&[]; KINDS.len()];
    let mut next_type = 0;
    for (index, entry) in entries.iter().enumerate() {
        let found = entry.first().copied();
        let known = found.and_then(|found| Some((found, KINDS.get(usize::from(found))?)));
        let (found, kind) = known.ok_or(EncodeError::RequestType { index, found })?;
        if usize::from(found) < next_type {
            return Err(EncodeError::RequestOrder { index, found });
        }
        let requests = &entry[1..];
        let (item_length, length) = (kind.length(), requests.len());
        if requests.is_empty() || !length.is_multiple_of(item_length) {
            return Err(EncodeError::RequestLength { index, item_length, length });
        }
        lists[usize::from(found)] = requests;
        next_type = usize::from(found) + 1;
    }
    Ok(lists)
}

/// `hash_tree_root` of the requests.
///
/// # Errors
///
/// [`EncodeError`], if an entry does not fit the dialect. Entries that were
/// decoded always do.
pub(super) fn root(entries: &[Bytes], schema: &Schema) -> Result<Node, EncodeError> {
    match schema.requests {
        RequestForm::Raw { entries: capacity, entry } => {
            Ok(root::list(entries.iter().map(|bytes| root::byte_list(bytes, entry)), capacity))
        }
        RequestForm::Typed => {
            let lists = typed_lists(entries)?;
            let roots = core::array::from_fn::<_, { KINDS.len() }, _>(|kind| {
                let field_lengths = KINDS[kind].field_lengths;
                let requests = lists[kind].chunks_exact(KINDS[kind].length());
                let roots = requests.map(|request| root::flat_container(request, field_lengths));
                root::list(roots, Capacity::Progressive)
            });
            Ok(root::container(roots, schema.progressive_containers))
        }
    }
}

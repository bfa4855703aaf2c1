//! Reading SSZ so that only the canonical encoding is accepted.
//!
//! An SSZ value is a fixed part and then its variable fields, end to end, each
//! announced by an offset in the fixed part:
//!
//! ```text
//!  fixed part                     variable part
//!  ┌──────┬──────────┬──────────┬─────────────┬──────────────────┐
//!  │ u64  │ offset a │ offset b │ a           │ b                │
//!  └──────┴────┬─────┴────┬─────┴─────────────┴──────────────────┘
//!              │          └───────────────────▲
//!              └────────────────▲ always the end of the fixed part
//! ```
//!
//! Where the first offset is the end of the fixed part and offsets never go
//! back, the fields tile the variable part, and encoding them again gives the
//! same bytes. That is why nothing here encodes to compare:
//!
//! - **W1.** The first offset of a container is the length of its fixed part.
//! - **W2.** No offset is smaller than the one before it or larger than the value.
//! - **W3.** The first offset of a list is the length of its table of offsets; an
//!   empty list has no bytes at all.
//! - **W4.** A list of equal items is a whole number of them.
//!
//! `tests/canonical.rs` moves every offset, cuts at every length, and compares
//! each verdict with libssz, which shares no code with this file.
//!
//! Byte strings are not copied. Each is a reference-counted window on the input;
//! whoever keeps one keeps the whole input alive.

use alloy_primitives::Bytes;

use super::dialect::Capacity;
use super::{DecodeError, Field};

/// Bytes of one offset.
pub(super) const OFFSET_LENGTH: usize = 4;

/// Checks a container's offsets (W1, W2) and returns its variable fields.
///
/// `offsets` says where in the fixed part each field's offset stands.
///
/// # Errors
///
/// [`DecodeError::TooShort`] or [`DecodeError::Offset`].
pub(super) fn variable_fields<const N: usize>(
    container: Field,
    bytes: &[u8],
    fixed_length: usize,
    offsets: [(usize, Field); N],
) -> Result<[&[u8]; N], DecodeError> {
    let length = bytes.len();
    if length < fixed_length {
        return Err(DecodeError::TooShort { field: container, needed: fixed_length, length });
    }
    let mut starts = [fixed_length; N];
    let mut least = fixed_length;
    for (index, (at, field)) in offsets.into_iter().enumerate() {
        let offset = Fixed(&bytes[at..]).offset();
        let most = if index == 0 { fixed_length } else { length };
        if offset < least || offset > most {
            return Err(DecodeError::Offset { field, offset, least, most });
        }
        starts[index] = offset;
        least = offset;
    }
    Ok(core::array::from_fn(|index| {
        let end = starts.get(index + 1).copied().unwrap_or(length);
        &bytes[starts[index]..end]
    }))
}

/// Cuts a list of byte strings into its items (W2, W3).
///
/// # Errors
///
/// An offset error, or a limit that is exceeded. Nothing is allocated before the
/// count is known to fit the bytes there are.
pub(super) fn byte_strings(
    source: &Bytes,
    field: Field,
    bytes: &[u8],
    items: Capacity,
    item_limit: Option<usize>,
) -> Result<Vec<Bytes>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let first = first_offset(field, bytes)? as usize;
    let length = bytes.len();
    if first == 0 || !first.is_multiple_of(OFFSET_LENGTH) || first > length {
        return Err(DecodeError::OffsetTable { field, offset: first, length });
    }
    let count = first / OFFSET_LENGTH;
    check_count(field, count, items)?;

    let mut strings = Vec::with_capacity(count);
    let mut start = first;
    let (table, _) = bytes[OFFSET_LENGTH..first].as_chunks();
    let ends = table.iter().map(|offset| u32::from_le_bytes(*offset) as usize);
    for (index, end) in ends.chain([length]).enumerate() {
        if end < start || end > length {
            return Err(DecodeError::ItemOffset {
                field,
                index: index + 1,
                offset: end,
                least: start,
                most: length,
            });
        }
        if let Some(limit) = item_limit.filter(|limit| end - start > *limit) {
            return Err(DecodeError::ItemTooLong { field, index, limit, length: end - start });
        }
        strings.push(source.slice_ref(&bytes[start..end]));
        start = end;
    }
    Ok(strings)
}

/// A byte string that is a field of its own.
///
/// # Errors
///
/// [`DecodeError::TooLong`].
pub(super) fn byte_string(
    source: &Bytes,
    field: Field,
    bytes: &[u8],
    capacity: Capacity,
) -> Result<Bytes, DecodeError> {
    let length = bytes.len();
    match capacity.limit().filter(|limit| length > *limit) {
        Some(limit) => Err(DecodeError::TooLong { field, limit, length }),
        None => Ok(source.slice_ref(bytes)),
    }
}

/// Cuts a list of items of `N` bytes each (W4).
///
/// # Errors
///
/// [`DecodeError::PartialItem`] or [`DecodeError::TooManyItems`].
pub(super) fn fixed_items<const N: usize>(
    field: Field,
    bytes: &[u8],
    items: Capacity,
) -> Result<&[[u8; N]], DecodeError> {
    let (chunks, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(DecodeError::PartialItem { field, item_length: N, length: bytes.len() });
    }
    check_count(field, chunks.len(), items)?;
    Ok(chunks)
}

/// The offset that a value begins with.
///
/// # Errors
///
/// [`DecodeError::TooShort`].
pub(super) fn first_offset(field: Field, bytes: &[u8]) -> Result<u32, DecodeError> {
    match bytes.first_chunk() {
        Some(offset) => Ok(u32::from_le_bytes(*offset)),
        None => Err(DecodeError::TooShort { field, needed: OFFSET_LENGTH, length: bytes.len() }),
    }
}

/// Compares a list's length with its limit.
///
/// # Errors
///
/// [`DecodeError::TooManyItems`].
fn check_count(field: Field, count: usize, capacity: Capacity) -> Result<(), DecodeError> {
    match capacity.limit().filter(|limit| count > *limit) {
        Some(limit) => Err(DecodeError::TooManyItems { field, limit, count }),
        None => Ok(()),
    }
}

/// Reads a fixed part whose length has been checked, field by field.
#[derive(Debug)]
pub(super) struct Fixed<'a>(pub(super) &'a [u8]);

impl Fixed<'_> {
    /// The next `N` bytes.
    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_first_chunk().expect("the fixed part is as long as its fields");
        self.0 = rest;
        *head
    }

    /// The next 64-bit number.
    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// The next offset.
    pub(super) fn offset(&mut self) -> usize {
        u32::from_le_bytes(self.bytes()) as usize
    }
}

//! Writing SSZ: the mirror of [`super::reader`].

use alloy_primitives::Bytes;

use super::EncodeError;
use super::reader::OFFSET_LENGTH;

/// One container being written to the end of a buffer.
///
/// The fixed part comes first, with four bytes kept free for each offset; then
/// the variable fields in the same order, each filling in its own.
#[derive(Debug)]
pub(super) struct Container<'a> {
    /// Where everything goes.
    out: &'a mut Vec<u8>,
    /// Where the container starts; offsets count from here.
    start: usize,
}

impl<'a> Container<'a> {
    /// Begins a container at the end of `out`.
    pub(super) const fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start }
    }

    /// Appends a field of the fixed part.
    pub(super) fn fixed(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends a 64-bit number of the fixed part.
    pub(super) fn u64(&mut self, number: u64) {
        self.fixed(&number.to_le_bytes());
    }

    /// Keeps room for the offset of a variable field.
    #[must_use = "a slot that no field fills stays zero"]
    pub(super) fn offset(&mut self) -> Slot {
        let slot = Slot(self.out.len());
        self.fixed(&[0; OFFSET_LENGTH]);
        slot
    }

    /// The buffer, at the place where the field of this slot begins.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OffsetTooLarge`].
    pub(super) fn field(&mut self, slot: Slot) -> Result<&mut Vec<u8>, EncodeError> {
        let offset = self.out.len() - self.start;
        let bytes = u32::try_from(offset).map_err(|_| EncodeError::OffsetTooLarge { offset })?;
        self.out[slot.0..][..OFFSET_LENGTH].copy_from_slice(&bytes.to_le_bytes());
        Ok(self.out)
    }
}

/// Place of an offset that is not known yet.
#[derive(Debug)]
pub(super) struct Slot(usize);

/// Appends a list of byte strings: a table of offsets, then the strings.
///
/// # Errors
///
/// [`EncodeError::OffsetTooLarge`].
pub(super) fn byte_strings(out: &mut Vec<u8>, strings: &[Bytes]) -> Result<(), EncodeError> {
    let mut list = Container::new(out);
    let slots: Vec<_> = strings.iter().map(|_| list.offset()).collect();
    for (slot, string) in slots.into_iter().zip(strings) {
        list.field(slot)?.extend_from_slice(string);
    }
    Ok(())
}

//! The values of changed leaves, one after the other.
//!
//! A leaf that makes a long message is not copied together to be hashed: its value is kept behind room for all that a
//! leaf has before it, and the leaf is laid out where its value is.
//!
//! ```text
//!   … short value │ room ──────────────── long value ─────────────── │ short value …
//!                       └─ head of its leaf, written up to the value
//! ```
//!
//! - **V1.** There is room before each long value. It is written when its leaf is hashed, so two leaves that are not
//!   hashed yet share no long value. Values of accounts and slots are never long.
//!
//! `long_values_move` and `long_items_are_items` check V1.

use crate::keccak::SHORT_MAX;
use std::ops::Range;

/// The most bytes of a leaf before its value: the headers of the list and of both items, and the path.
const HEAD_MAX: usize = 9 + 1 + 33 + 9;

/// The fewest bytes of a long value: those of others make leaves that are short messages.
const LONG_MIN: usize = SHORT_MAX - HEAD_MAX + 1;

/// Values, and the room before long ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(Vec<u8>);

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first byte.
    start: usize,
    /// How many bytes it has.
    length: usize,
}

impl Span {
    /// The same value behind `offset` more bytes.
    pub(crate) fn moved(self, offset: usize) -> Self {
        Self { start: self.start + offset, ..self }
    }
}

impl Values {
    /// The bytes of a value.
    pub(crate) fn get(&self, span: Span) -> &[u8] {
        &self.0[span.start..span.start + span.length]
    }

    /// Keeps a value.
    pub(crate) fn keep(&mut self, value: &[u8]) -> Span {
        let write = |values: &mut Vec<u8>| values.extend_from_slice(value);
        if value.len() < LONG_MIN { self.append(write) } else { self.keep_any(write) }
    }

    /// Keeps a value that `write` appends and that is not long.
    pub(crate) fn keep_short(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let value = self.append(write);
        debug_assert!(value.length < LONG_MIN, "INVARIANT V1: it has no room before it");
        value
    }

    /// Keeps a value that `write` appends and that may be long.
    pub(crate) fn keep_any(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        self.0.resize(self.0.len() + HEAD_MAX, 0);
        self.append(write)
    }

    /// The value that `write` appends.
    fn append(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.0.len();
        write(&mut self.0);
        Span { start, length: self.0.len() - start }
    }

    /// Makes room for so many values that may be long, of so many bytes in all.
    pub(crate) fn reserve_any(&mut self, count: usize, bytes: usize) {
        self.0.reserve_exact(count * HEAD_MAX + bytes);
    }

    /// Where the leaf of a long value is, once `encode_head` has appended what stands before the value. `None` for
    /// a value that is not long.
    #[inline]
    pub(crate) fn lay_out(
        &mut self,
        value: Span,
        encode_head: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> Option<Range<usize>> {
        if value.length < LONG_MIN {
            return None;
        }
        let mut head = Vec::with_capacity(HEAD_MAX);
        encode_head(self.get(value), &mut head);
        debug_assert!(head.len() <= HEAD_MAX, "INVARIANT V1: it would overwrite another value");
        let leaf = value.start - head.len()..value.start + value.length;
        self.0[leaf.start..value.start].copy_from_slice(&head);
        Some(leaf)
    }

    /// The bytes of a leaf that is laid out.
    pub(crate) fn laid_out(&self, leaf: Range<usize>) -> &[u8] {
        &self.0[leaf]
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets what has been kept since there were so many bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Makes room for so many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes);
    }

    /// Keeps all values of another list; those move by the bytes that were here.
    pub(crate) fn absorb(&mut self, others: &Self) {
        self.0.extend_from_slice(&others.0);
    }
}

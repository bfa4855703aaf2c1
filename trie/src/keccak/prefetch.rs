//! Asking for bytes before they are needed.
//!
//! A witness is larger than a core's own caches, and its nodes are used in an order that the processor
//! cannot guess. While it computes, the next ones can be on their way.

/// Bytes that the memory gives at once.
const LINE: usize = 64;

/// Has the bytes brought near; nothing else happens.
pub(crate) fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(LINE) {
        prefetch_line(line);
    }
}

/// Has an entry of a table brought near, from the line on at which it starts.
pub(crate) fn prefetch_entry<T: ?Sized>(entry: &T) {
    prefetch_line(entry);
}

/// Has the line at which something starts brought near.
fn prefetch_line<T: ?Sized>(start: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch has no effect on the program whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(start).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = start;
}

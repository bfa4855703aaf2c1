//! Asking for bytes before they are needed.
//!
//! A witness is larger than a core's own caches, and its nodes are used in an order that the processor
//! cannot guess. While it computes, the next ones can be on their way.

/// Bytes that the memory gives at once.
const LINE: usize = 64;

/// Has the bytes brought near; nothing else happens.
pub(crate) fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(LINE) {
        prefetch_line(line.as_ptr());
    }
}

/// Has an entry of a table brought near: the line in which it starts, and the one in which it ends.
pub(crate) fn prefetch_entry<T: ?Sized>(entry: &T) {
    let start = std::ptr::from_ref(entry).cast::<u8>();
    prefetch_line(start);
    let (size, alignment) = (size_of_val(entry), align_of_val(entry));
    // What is not larger than its alignment is in one line.
    if size > alignment {
        prefetch_line(start.wrapping_add(size - 1));
    }
}

/// Has the line of an address brought near.
fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch has no effect on the program whatever the address is.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

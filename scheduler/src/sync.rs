//! The only door to `std::sync` and `parking_lot`, so that a model checker can stand in for both.
//!
//! The rest of the crate names no lock and no atomic but these.

pub(crate) use std::sync::atomic::Ordering;

/// See [`std::sync::atomic::fence`].
pub(crate) fn fence(ordering: Ordering) {
    std::sync::atomic::fence(ordering);
}

/// A flag.
pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
/// An index or a small count.
pub(crate) type AtomicU32 = std::sync::atomic::AtomicU32;
/// A sum.
pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
/// A lock for one owner. It is not poisoned by a panic: whoever panics ends the block.
pub(crate) type Mutex<T> = parking_lot::Mutex<T>;
/// The right that goes with a locked [`Mutex`].
pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
/// A lock for many readers or one writer.
pub(crate) type RwLock<T> = parking_lot::RwLock<T>;
/// Where sleepers wait.
pub(crate) type Condvar = parking_lot::Condvar;

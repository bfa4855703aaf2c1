//! What the kernel runs on.

use super::Ordering;

/// See [`std::sync::atomic::fence`].
pub(crate) fn fence(ordering: Ordering) {
    std::sync::atomic::fence(ordering);
}

/// The value of an atomic that nobody else can see.
pub(crate) fn own_value(atomic: &mut AtomicU32) -> u32 {
    *atomic.get_mut()
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
/// A lock that nobody waits for: it is taken if it is free.
pub(crate) type TryLock<T> = parking_lot::Mutex<T>;
/// The right that goes with a locked [`TryLock`].
pub(crate) type TryLockGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
/// A lock for many readers or one writer.
pub(crate) type RwLock<T> = parking_lot::RwLock<T>;
/// Where sleepers wait.
pub(crate) type Condvar = parking_lot::Condvar;
/// How long to look around before lying down.
pub(crate) type Backoff = crossbeam_utils::Backoff;
/// Picks the place of a key, and with it the lock; keyed at random, so that nobody can choose keys that share one.
pub(crate) type KeyHasher = hashbrown::DefaultHashBuilder;

//! The same for a model checker: loom's or shuttle's types behind `parking_lot`'s faces.
//!
//! Both checkers have `std`'s interface. Their locks hand out a `Result`, which is never an error here that matters: a
//! lock is poisoned by a panic, and whoever panics ends the block.

use core::{
    cell::Cell,
    hash::BuildHasherDefault,
    ops::{Deref, DerefMut},
};
use std::{hash::DefaultHasher, sync::PoisonError};

use super::Ordering;

#[cfg(loom)]
use loom as checker;
#[cfg(all(shuttle, not(loom)))]
use shuttle as checker;

pub(crate) use checker::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, fence},
    thread,
};

/// The value of an atomic that nobody else can see.
pub(crate) fn own_value(atomic: &mut AtomicU32) -> u32 {
    #[cfg(loom)]
    return atomic.with_mut(|value| *value);
    #[cfg(not(loom))]
    *atomic.get_mut()
}

/// A lock for one owner.
#[derive(Debug)]
pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

/// The right that goes with a locked [`Mutex`]. It is empty only while its owner waits for a [`Condvar`].
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T>(Option<checker::sync::MutexGuard<'a, T>>);

/// Why a guard may be asked for what it holds.
const HELD: &str = "only `Condvar::wait` takes it out, and puts it back before it returns";

impl<T> Mutex<T> {
    /// Nobody has it.
    pub(crate) fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    /// Waits for it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// What it held.
    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect(HELD)
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect(HELD)
    }
}

/// A lock that nobody waits for: it is taken if it is free.
///
/// Made of an atomic, by the steps of `parking_lot`'s `RawMutex::try_lock`. To loom, giving a lock back is no step of its
/// own, so with its `Mutex::try_lock` it would hardly ever see somebody come while the lock is held.
#[derive(Debug)]
pub(crate) struct TryLock<T> {
    /// Somebody has it.
    held: AtomicBool,
    /// What it guards; locked only while `held`.
    value: std::sync::Mutex<T>,
}

/// The right that goes with a locked [`TryLock`].
#[derive(Debug)]
pub(crate) struct TryLockGuard<'a, T> {
    /// The lock.
    lock: &'a TryLock<T>,
    /// What it guards, until the guard is dropped.
    value: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> TryLock<T> {
    /// Nobody has it.
    pub(crate) fn new(value: T) -> Self {
        Self { held: AtomicBool::new(false), value: std::sync::Mutex::new(value) }
    }

    /// Takes it if nobody has it.
    pub(crate) fn try_lock(&self) -> Option<TryLockGuard<'_, T>> {
        // ORDERING: as in `parking_lot`, so that a stale look may refuse.
        if self.held.load(Ordering::Relaxed)
            || self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return None;
        }
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        Some(TryLockGuard { lock: self, value: Some(value) })
    }
}

impl<T> Drop for TryLockGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        self.lock.held.store(false, Ordering::Release);
    }
}

impl<T> Deref for TryLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("taken out by `drop` alone")
    }
}

impl<T> DerefMut for TryLockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("taken out by `drop` alone")
    }
}

/// A lock for many readers or one writer.
#[derive(Debug)]
pub(crate) struct RwLock<T>(checker::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Nobody has it.
    pub(crate) fn new(value: T) -> Self {
        Self(checker::sync::RwLock::new(value))
    }

    /// Waits until nobody writes.
    pub(crate) fn read(&self) -> checker::sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else has it.
    pub(crate) fn write(&self) -> checker::sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where sleepers wait.
#[derive(Debug)]
pub(crate) struct Condvar(checker::sync::Condvar);

impl Condvar {
    /// Nobody waits.
    pub(crate) fn new() -> Self {
        Self(checker::sync::Condvar::new())
    }

    /// Gives the lock back, waits for the bell, and takes the lock again.
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect(HELD);
        guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Wakes one.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Looks around once more and then lies down: to look more often shows a checker nothing else.
#[derive(Debug)]
pub(crate) struct Backoff(Cell<bool>);

impl Backoff {
    /// Has not looked around.
    pub(crate) fn new() -> Self {
        Self(Cell::new(false))
    }

    /// Something was found.
    pub(crate) fn reset(&self) {
        self.0.set(false);
    }

    /// Lets another thread run.
    pub(crate) fn snooze(&self) {
        self.0.set(true);
        thread::yield_now();
    }

    /// Nothing was found for long enough.
    pub(crate) fn is_completed(&self) -> bool {
        self.0.get()
    }
}

/// Picks the place of a key, and with it the lock; the same in every run, or a schedule could not be repeated.
pub(crate) type KeyHasher = BuildHasherDefault<DefaultHasher>;

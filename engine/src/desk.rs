//! What a worker has of its own, from stretch to stretch.

use core::ops::{Deref, DerefMut};

use parking_lot::Mutex;

use crate::ledger::EffectLog;
use crate::own_codes::Met;

/// What a worker has of its own.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    /// Codes that it has met.
    pub(crate) codes: Met,
    /// What its runs did in this stretch.
    pub(crate) effects: EffectLog,
}

/// A worker's desk, while it works on a stretch.
#[derive(Debug)]
pub(crate) struct OwnDesk<'b> {
    /// The desk.
    desk: Desk,
    /// Where it is kept between stretches.
    home: &'b Mutex<Desk>,
}

impl<'b> OwnDesk<'b> {
    /// Takes a desk from where it is kept.
    pub(crate) fn take(home: &'b Mutex<Desk>) -> Self {
        Self { desk: core::mem::take(&mut home.lock()), home }
    }
}

impl Deref for OwnDesk<'_> {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.desk
    }
}

impl DerefMut for OwnDesk<'_> {
    fn deref_mut(&mut self) -> &mut Desk {
        &mut self.desk
    }
}

impl Drop for OwnDesk<'_> {
    fn drop(&mut self) {
        *self.home.lock() = core::mem::take(&mut self.desk);
    }
}

//! How long things take, for those who simulate.

use std::time::Instant;

/// Tells how long things take, if anybody wants to know.
#[derive(Debug)]
pub(crate) struct Watch(Option<Instant>);

impl Watch {
    /// A watch that starts now.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self(is_wanted.then(Instant::now))
    }

    /// Does some work, and says how many nanoseconds it took; none if nobody wants to know.
    pub(crate) fn time<R>(is_wanted: bool, work: impl FnOnce() -> R) -> (R, u64) {
        let mut watch = Self::new(is_wanted);
        let result = work();
        (result, watch.lap())
    }

    /// How many nanoseconds it has been since the last look; none if nobody wants to know.
    pub(crate) fn lap(&mut self) -> u64 {
        let Some(last) = &mut self.0 else { return 0 };
        let now = Instant::now();
        let lap = now - core::mem::replace(last, now);
        u64::try_from(lap.as_nanos()).unwrap_or(u64::MAX)
    }
}

//! Transactions whose reads and writes depend on what they read. The kernel's tests on threads run them, and its models.

/// What one transaction does, as a function of what it reads.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// First location read; its value picks the others.
    pub(crate) start: u8,
    /// How many more are read.
    pub(crate) hops: u8,
    /// Odd sums write one more location than even ones, so a stale run writes elsewhere.
    pub(crate) salt: u8,
    /// Waits for the frontier before it reads.
    pub(crate) patient: bool,
}

impl Program {
    /// Runs on any memory of so many locations.
    pub(crate) fn run<E>(
        &self,
        locations: u8,
        mut read: impl FnMut(u8) -> Result<u64, E>,
    ) -> Result<(Vec<(u8, u64)>, u64), E> {
        let mut location = self.start % locations;
        let mut sum = u64::from(self.salt);
        for _ in 0..=self.hops {
            sum = sum.wrapping_mul(31).wrapping_add(read(location)?);
            location = u8::try_from(sum % u64::from(locations)).unwrap();
        }
        let mut writes = vec![(location, sum)];
        if sum % 2 == 1 {
            writes.push(((location + 1) % locations, sum / 2));
        }
        Ok((writes, sum))
    }
}

/// Whether the writes of a transaction with this output are taken back when it is committed.
pub(crate) const fn is_discarded(output: u64) -> bool {
    output % 5 == 4
}

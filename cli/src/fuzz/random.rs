//! Everything that is left to chance, from one seed.
//!
//! Only whole words are taken from the generator and reduced here: how `rand` maps words to ranges may change from
//! release to release, and a seed must mean the same block for good.

use std::ops::RangeInclusive;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// A stream of choices.
#[derive(Debug)]
pub(super) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of this seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Any word.
    pub(super) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `end`, which must not be zero.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("a usize is at most 64 bits");
        usize::try_from(self.word() % end).expect("it is below a usize")
    }

    /// A number in a range.
    pub(super) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let word = self.word();
        let count = (range.end() - range.start()).checked_add(1);
        count.map_or(word, |count| range.start() + word % count)
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.word() % 100 < percent
    }

    /// One of a few.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_good() {
        let mut random = Random::new(1);
        let words = [random.word(), random.word(), random.word()];
        assert_eq!(words, [7_037_237_572_835_827_407, 5_440_448_899_038_119_230, 14_725_191_807_199_933_458]);
        assert!((0..1000).all(|_| (3..=5).contains(&random.within(3..=5))));
    }
}

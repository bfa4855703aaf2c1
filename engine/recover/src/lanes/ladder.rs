//! u1·G + u2·R for eight signatures at once, digit by digit from the highest.
//!
//! ```text
//!  B ─► ×32, ± kR ± lλR ± uG ± u'2^130·G ─► ×32, ± kR ± lλR ─► … ─► − 2^125·B
//!       digits of ten bits every second time
//! ```
//!
//! Every step leaves the negative of its sum. That costs nothing: what is added next takes the other sign.

use std::arch::x86_64::{__m512i, __mmask8};

use super::curve::{Jacobian, broadcast};
use super::fixed::{Fixed, MULTIPLES};
use super::table::{ENTRIES, LaneTables};
use super::words::from_rows;
use crate::glv::{DIGITS, Digits, HALF_BITS, WHOLE_BITS};

/// The digits of a signature's scalars.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors {
    /// Of u1: the factor of G.
    pub(crate) generator: Digits,
    /// Of k and l, with u2 = k + l·λ: the factors of R and λR.
    pub(crate) halves: [Digits; 2],
}

/// A sum that every step negates.
struct Ladder {
    /// The sum, or its negative.
    sum: Jacobian,
    /// Whether it is the negative: all ones, or none.
    negated: __mmask8,
}

impl Ladder {
    /// Doubles the sum.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn double(&mut self) {
        self.sum = self.sum.doubled_negated();
        self.negated = !self.negated;
    }

    /// Adds one point in each lane, or its negative.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn add(&mut self, rows: &[__m512i; 8], negative: __mmask8) {
        let (x, y) = from_rows(rows);
        self.sum = self.sum.plus_negated(&x, &y, negative ^ self.negated);
        self.negated = !self.negated;
    }
}

/// The sums; Z is zero in lanes for which a formula did not hold.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn climb(
    fixed: &Fixed,
    own: &LaneTables,
    endomorphic: &LaneTables,
    factors: &[Factors; 8],
) -> Jacobian {
    let mut ladder = Ladder { sum: broadcast(&fixed.blinding).to_jacobian(), negated: 0 };
    for digit in (0..DIGITS).rev() {
        if digit != DIGITS - 1 {
            for _ in 0..HALF_BITS {
                ladder.double();
            }
        }
        for (half, tables) in [own, endomorphic].into_iter().enumerate() {
            let mut negative = 0;
            let rows = std::array::from_fn(|lane| {
                let (entry, minus) = factors[lane].halves[half].entry::<HALF_BITS>(digit);
                negative |= __mmask8::from(minus) << lane;
                tables[lane][usize::from(entry) % ENTRIES]
            });
            ladder.add(&rows, negative);
        }
        if digit % 2 == 0 {
            for (part, table) in fixed.generator.iter().enumerate() {
                let mut negative = 0;
                let rows = std::array::from_fn(|lane| {
                    let digit = digit / 2 + part * DIGITS / 2;
                    let (entry, minus) = factors[lane].generator.entry::<WHOLE_BITS>(digit);
                    negative |= __mmask8::from(minus) << lane;
                    table[usize::from(entry) % MULTIPLES]
                });
                ladder.add(&rows, negative);
            }
        }
    }
    let unblinding = broadcast(&fixed.unblinding);
    let sum = ladder.sum.plus_negated(&unblinding.x, &unblinding.y, ladder.negated);
    debug_assert_eq!(ladder.negated, u8::MAX, "an even number of steps in all");
    sum
}

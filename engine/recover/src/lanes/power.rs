//! Roots and inverses of field elements: powers with exponents that are known.
//!
//! Both exponents begin with 223 ones, a zero and 22 ones. Ones are put together from half as many.

use super::field::Exact;

/// `x` squared `times` times. Several at once, since one squaring waits for the one before it.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn squarings<const K: usize>(x: &[Exact<1>; K], times: u32) -> [Exact<1>; K] {
    let mut x = *x;
    for _ in 0..times {
        for x in &mut x {
            *x = x.squared();
        }
    }
    x
}

/// The products of pairs.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn products<const K: usize>(x: &[Exact<1>; K], y: &[Exact<1>; K]) -> [Exact<1>; K] {
    let mut z = *x;
    for (z, y) in z.iter_mut().zip(y) {
        *z = z.times(y);
    }
    z
}

/// Powers whose exponents are ones only.
struct Ones<const K: usize> {
    /// Two ones.
    two: [Exact<1>; K],
    /// What both exponents begin with: 223 ones, a zero, 22 ones.
    head: [Exact<1>; K],
}

/// The powers that both exponents are made from.
#[target_feature(enable = "avx512f,avx512ifma")]
fn ones<const K: usize>(x: &[Exact<1>; K]) -> Ones<K> {
    let two = products(&squarings(x, 1), x);
    let three = products(&squarings(&two, 1), x);
    let six = products(&squarings(&three, 3), &three);
    let nine = products(&squarings(&six, 3), &three);
    let eleven = products(&squarings(&nine, 2), &two);
    let ones_22 = products(&squarings(&eleven, 11), &eleven);
    let ones_44 = products(&squarings(&ones_22, 22), &ones_22);
    let ones_88 = products(&squarings(&ones_44, 44), &ones_44);
    let ones_176 = products(&squarings(&ones_88, 88), &ones_88);
    let ones_220 = products(&squarings(&ones_176, 44), &ones_44);
    let ones_223 = products(&squarings(&ones_220, 3), &three);
    let head = products(&squarings(&ones_223, 23), &ones_22);
    Ones { two, head }
}

/// A square root where there is one: the power (p + 1)/4, since p ≡ 3 modulo 4.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn roots<const K: usize>(x: &[Exact<1>; K]) -> [Exact<1>; K] {
    let Ones { two, head } = ones(x);
    // The exponent ends with 0000 1100.
    squarings(&products(&squarings(&head, 6), &two), 2)
}

/// The inverse; zero for zero: the power p − 2.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn inverse(x: &Exact<1>) -> Exact<1> {
    let x = [*x];
    let Ones { two, head } = ones(&x);
    // The exponent ends with 00001 011 01.
    let power = products(&squarings(&head, 5), &x);
    let power = products(&squarings(&power, 3), &two);
    let [power] = products(&squarings(&power, 2), &x);
    power
}

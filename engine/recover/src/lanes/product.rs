//! Products of limbs: partial products in columns, and their reduction.
//!
//! These are the instructions that recovery spends its time in: 62 multiplications for a product, 42 for a square.

use std::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_cmple_epu64_mask, _mm512_madd52hi_epu64,
    _mm512_madd52lo_epu64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64,
};

use super::field::{FOLD, HIGH_MASK, Limbs, MASK, carry, splat};

/// Columns of a product before it is reduced, each 52 bits above the last.
pub(super) type Columns = [__m512i; 10];

/// Columns that hold nothing.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn no_columns() -> Columns {
    [_mm512_setzero_si512(); 10]
}

/// Adds `a`·`b` to the columns, row by row: no instruction waits for the one before it.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn with_product(columns: &Columns, a: &Limbs, b: &Limbs) -> Columns {
    let mut c = *columns;
    for i in 0..5 {
        for j in 0..5 {
            c[i + j] = _mm512_madd52lo_epu64(c[i + j], a[i], b[j]);
        }
        for j in 0..5 {
            c[i + j + 1] = _mm512_madd52hi_epu64(c[i + j + 1], a[i], b[j]);
        }
    }
    c
}

/// The columns of `a`². Products of different limbs come twice: they are summed first, and doubled.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn square(a: &Limbs) -> Columns {
    let mut c = no_columns();
    for i in 0..4 {
        for j in i + 1..5 {
            c[i + j] = _mm512_madd52lo_epu64(c[i + j], a[i], a[j]);
        }
        for j in i + 1..5 {
            c[i + j + 1] = _mm512_madd52hi_epu64(c[i + j + 1], a[i], a[j]);
        }
    }
    for column in &mut c[1..9] {
        *column = _mm512_add_epi64(*column, *column);
    }
    for i in 0..5 {
        c[2 * i] = _mm512_madd52lo_epu64(c[2 * i], a[i], a[i]);
        c[2 * i + 1] = _mm512_madd52hi_epu64(c[2 * i + 1], a[i], a[i]);
    }
    c
}

/// Columns below 2^58 whose number is below 2^520, reduced to limbs with bound 1.
///
/// The upper five are carried, which needs no masks since products ignore what is above 52 bits; they weigh 2^260 and
/// more, so they are folded with 2^260 modulo p. What then stands above 2^256 is below 2^42, and is folded too.
/// One more carry leaves it to the highest limb to be at most 2^6 too large.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn reduced(columns: &Columns) -> Limbs {
    let [r0, r1, r2, r3, r4, c5, c6, c7, c8, c9] = *columns;
    let c6 = _mm512_add_epi64(c6, _mm512_srli_epi64::<52>(c5));
    let c7 = _mm512_add_epi64(c7, _mm512_srli_epi64::<52>(c6));
    let c8 = _mm512_add_epi64(c8, _mm512_srli_epi64::<52>(c7));
    let c9 = _mm512_add_epi64(c9, _mm512_srli_epi64::<52>(c8));
    debug_assert!(_mm512_cmple_epu64_mask(c9, splat(MASK)) == u8::MAX, "the product is below 2^520");
    let fold = splat(FOLD << 4);
    let r0 = _mm512_madd52lo_epu64(r0, c5, fold);
    let r1 = _mm512_madd52lo_epu64(r1, c6, fold);
    let r2 = _mm512_madd52lo_epu64(r2, c7, fold);
    let r3 = _mm512_madd52lo_epu64(r3, c8, fold);
    let r4 = _mm512_madd52lo_epu64(r4, c9, fold);
    let r5 = _mm512_madd52hi_epu64(_mm512_setzero_si512(), c9, fold);
    let r1 = _mm512_madd52hi_epu64(r1, c5, fold);
    let r2 = _mm512_madd52hi_epu64(r2, c6, fold);
    let r3 = _mm512_madd52hi_epu64(r3, c7, fold);
    let r4 = _mm512_madd52hi_epu64(r4, c8, fold);
    let top = _mm512_add_epi64(_mm512_slli_epi64::<4>(r5), _mm512_srli_epi64::<48>(r4));
    debug_assert!(_mm512_cmple_epu64_mask(top, splat(1 << 42)) == u8::MAX, "what is left to fold is small");
    let r4 = _mm512_and_si512(r4, splat(HIGH_MASK));
    let r0 = _mm512_madd52lo_epu64(r0, top, splat(FOLD));
    let r1 = _mm512_madd52hi_epu64(r1, top, splat(FOLD));
    carry(&[r0, r1, r2, r3, r4])
}

//! Between words in memory and limbs in lanes.
//!
//! In tables a point is one row of eight words: four of x, then four of y, lowest first. A vector takes one row for
//! each lane, and rows become columns in registers: that is faster than to gather each limb from eight places.

use std::arch::x86_64::{
    __m512i, _mm512_and_si512, _mm512_loadu_si512, _mm512_or_si512, _mm512_shuffle_i64x2, _mm512_slli_epi64,
    _mm512_srli_epi64, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi64,
};

use super::field::{Exact, splat};

/// The same word of eight numbers.
pub(super) type Column = [u64; 8];

/// A point's words: x, then y, lowest first.
pub(crate) type Row = [u64; 8];

/// A register with these words.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
#[expect(unsafe_code, reason = "a load of a whole register")]
pub(super) fn load(column: &Column) -> __m512i {
    // SAFETY: the column is 64 bytes long; any alignment will do.
    unsafe { _mm512_loadu_si512(column.as_ptr().cast()) }
}

/// The words of a register.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
#[expect(unsafe_code, reason = "a store of a whole register")]
pub(super) fn store(register: __m512i) -> Column {
    let mut column = [0; 8];
    // SAFETY: the column is 64 bytes long; any alignment will do.
    unsafe { _mm512_storeu_si512(column.as_mut_ptr().cast(), register) };
    column
}

/// Numbers of 256 bits from their words.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn from_words([w0, w1, w2, w3]: [__m512i; 4]) -> Exact<1> {
    let mask = splat((1 << 52) - 1);
    // (a | b) & mask.
    let join = |a, b| _mm512_ternarylogic_epi64::<0xa8>(a, b, mask);
    Exact::new(&[
        _mm512_and_si512(w0, mask),
        join(_mm512_srli_epi64::<52>(w0), _mm512_slli_epi64::<12>(w1)),
        join(_mm512_srli_epi64::<40>(w1), _mm512_slli_epi64::<24>(w2)),
        join(_mm512_srli_epi64::<28>(w2), _mm512_slli_epi64::<36>(w3)),
        _mm512_srli_epi64::<16>(w3),
    ])
}

/// The words of numbers below 2^256.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn to_words(number: &Exact<1>) -> [__m512i; 4] {
    let [l0, l1, l2, l3, l4] = number.0;
    [
        _mm512_or_si512(l0, _mm512_slli_epi64::<52>(l1)),
        _mm512_or_si512(_mm512_srli_epi64::<12>(l1), _mm512_slli_epi64::<40>(l2)),
        _mm512_or_si512(_mm512_srli_epi64::<24>(l2), _mm512_slli_epi64::<28>(l3)),
        _mm512_or_si512(_mm512_srli_epi64::<36>(l3), _mm512_slli_epi64::<16>(l4)),
    ]
}

/// The words of numbers modulo p, in columns.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn to_columns<const M: u64>(number: &Exact<M>) -> [Column; 4] {
    let [w0, w1, w2, w3] = to_words(&number.canonical());
    [store(w0), store(w1), store(w2), store(w3)]
}

/// One row for each lane, from points.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn to_rows<const M: u64, const N: u64>(x: &Exact<M>, y: &Exact<N>) -> [__m512i; 8] {
    let ([x0, x1, x2, x3], [y0, y1, y2, y3]) = (to_words(&x.narrowed()), to_words(&y.narrowed()));
    transposed(&[x0, x1, x2, x3, y0, y1, y2, y3])
}

/// Points, from one row for each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn from_rows(rows: &[__m512i; 8]) -> (Exact<1>, Exact<1>) {
    let [x0, x1, x2, x3, y0, y1, y2, y3] = transposed(rows);
    (from_words([x0, x1, x2, x3]), from_words([y0, y1, y2, y3]))
}

/// Eight registers of eight words, rows for columns.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn transposed(rows: &[__m512i; 8]) -> [__m512i; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = *rows;
    // Pairs of words of two rows, of even columns and of odd ones.
    let [c0, c2, c4, c6] = transposed_pairs([
        _mm512_unpacklo_epi64(r0, r1),
        _mm512_unpacklo_epi64(r2, r3),
        _mm512_unpacklo_epi64(r4, r5),
        _mm512_unpacklo_epi64(r6, r7),
    ]);
    let [c1, c3, c5, c7] = transposed_pairs([
        _mm512_unpackhi_epi64(r0, r1),
        _mm512_unpackhi_epi64(r2, r3),
        _mm512_unpackhi_epi64(r4, r5),
        _mm512_unpackhi_epi64(r6, r7),
    ]);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Four registers of four pairs of words, rows for columns.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn transposed_pairs([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let ab02 = _mm512_shuffle_i64x2::<0x88>(a, b);
    let cd02 = _mm512_shuffle_i64x2::<0x88>(c, d);
    let ab13 = _mm512_shuffle_i64x2::<0xdd>(a, b);
    let cd13 = _mm512_shuffle_i64x2::<0xdd>(c, d);
    [
        _mm512_shuffle_i64x2::<0x88>(ab02, cd02),
        _mm512_shuffle_i64x2::<0x88>(ab13, cd13),
        _mm512_shuffle_i64x2::<0xdd>(ab02, cd02),
        _mm512_shuffle_i64x2::<0xdd>(ab13, cd13),
    ]
}

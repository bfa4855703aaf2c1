//! Numbers modulo p = 2^256 − 2^32 − 977, eight at once: one in each lane.
//!
//! Five limbs of 52 bits, because the instructions multiply 52 bits by 52 bits and add the low or the high half of
//! the product to 64 bits. They ignore whatever stands above the 52nd bit of a factor, without a word; so a number has
//! one of two types:
//!
//! | type | limbs | it comes from |
//! |---|---|---|
//! | [`Exact<M>`] | below 2^52 | products, [`Loose::carried`] |
//! | [`Loose<M>`] | M·2^52 at most | sums and differences |
//!
//! and only exact numbers can be multiplied. `M` bounds the number itself: at most M·(2^256 + 2^214).
//!
//! - **F1.** A formula whose numbers could grow out of their limbs does not compile: bounds are asserted in constants.
//! - **F2.** Limbs are as their type says: asserted wherever a number is made, in builds with debug assertions.
//! - **F3.** Results are those of a big-integer model, at the extremes of all limbs: `field_*` in the tests.

use std::arch::x86_64::{
    __m512i, __mmask8, _mm512_add_epi64, _mm512_and_si512, _mm512_cmpeq_epi64_mask, _mm512_cmple_epu64_mask,
    _mm512_madd52lo_epu64, _mm512_mask_add_epi64, _mm512_mask_blend_epi64, _mm512_mask_sub_epi64,
    _mm512_or_si512, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_srli_epi64,
    _mm512_sub_epi64, _mm512_test_epi64_mask,
};

use super::product::{no_columns, reduced, square, with_product};

/// Limbs of a number in each lane, lowest first.
pub(super) type Limbs = [__m512i; 5];

/// The low 52 bits.
pub(super) const MASK: u64 = (1 << 52) - 1;

/// The low 48 bits: what the highest limb holds of a number of 256 bits.
pub(super) const HIGH_MASK: u64 = (1 << 48) - 1;

/// 2^256 modulo p.
pub(super) const FOLD: u64 = 0x1_0000_03d1;

/// The limbs of p.
pub(super) const PRIME: [u64; 5] = [MASK + 1 - FOLD, MASK, MASK, MASK, HIGH_MASK];

/// The most that the highest limb of a number with bound 1 holds.
///
/// Products leave it 2^5 above 2^48 at most, and each carry after a sum adds one; formulas carry three times in a row.
const HIGH_MAX: u64 = HIGH_MASK + 1 + (1 << 6);

/// Eight numbers with limbs below 2^52.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact<const M: u64>(pub(super) Limbs);

/// Eight numbers with limbs that may be too large to multiply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loose<const M: u64>(Limbs);

/// The same word in all lanes.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn splat(word: u64) -> __m512i {
    _mm512_set1_epi64(word.cast_signed())
}

/// Limb by limb.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn sum(a: &Limbs, b: &Limbs) -> Limbs {
    let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (*a, *b);
    [
        _mm512_add_epi64(a0, b0),
        _mm512_add_epi64(a1, b1),
        _mm512_add_epi64(a2, b2),
        _mm512_add_epi64(a3, b3),
        _mm512_add_epi64(a4, b4),
    ]
}

/// `factor`·p − `a`, limb by limb.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn complement(factor: u64, a: &Limbs) -> Limbs {
    let ([p0, p1, p2, p3, p4], [a0, a1, a2, a3, a4]) = (PRIME, *a);
    [
        _mm512_sub_epi64(splat(factor * p0), a0),
        _mm512_sub_epi64(splat(factor * p1), a1),
        _mm512_sub_epi64(splat(factor * p2), a2),
        _mm512_sub_epi64(splat(factor * p3), a3),
        _mm512_sub_epi64(splat(factor * p4), a4),
    ]
}

/// What is above 52 bits goes to the next limb.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
pub(super) fn carry(limbs: &Limbs) -> Limbs {
    let [a0, a1, a2, a3, a4] = *limbs;
    let mask = splat(MASK);
    let a1 = _mm512_add_epi64(a1, _mm512_srli_epi64::<52>(a0));
    let a2 = _mm512_add_epi64(a2, _mm512_srli_epi64::<52>(a1));
    let a3 = _mm512_add_epi64(a3, _mm512_srli_epi64::<52>(a2));
    let a4 = _mm512_add_epi64(a4, _mm512_srli_epi64::<52>(a3));
    [
        _mm512_and_si512(a0, mask),
        _mm512_and_si512(a1, mask),
        _mm512_and_si512(a2, mask),
        _mm512_and_si512(a3, mask),
        a4,
    ]
}

/// Whether no lane has a limb above its bound.
#[target_feature(enable = "avx512f,avx512ifma")]
fn within(limbs: &Limbs, low: u64, high: u64) -> bool {
    let [a0, a1, a2, a3, a4] = *limbs;
    let low = splat(low);
    (_mm512_cmple_epu64_mask(a0, low)
        & _mm512_cmple_epu64_mask(a1, low)
        & _mm512_cmple_epu64_mask(a2, low)
        & _mm512_cmple_epu64_mask(a3, low)
        & _mm512_cmple_epu64_mask(a4, splat(high)))
        == u8::MAX
}

impl<const M: u64> Exact<M> {
    /// Numbers whose limbs are known to be in their bounds.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn new(limbs: &Limbs) -> Self {
        const { assert!(M < 16, "the highest limb is below 2^52 too") };
        debug_assert!(within(limbs, MASK, M * HIGH_MAX), "F2");
        Self(*limbs)
    }

    /// The same number in all lanes.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn splat(limbs: [u64; 5]) -> Self {
        Self::new(&limbs.map(|limb| splat(limb)))
    }

    /// The same with a wider bound.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn widened<const N: u64>(self) -> Exact<N> {
        const { assert!(M <= N) };
        Exact(self.0)
    }

    /// `self` + `other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn plus<const N: u64, const S: u64>(&self, other: &Exact<N>) -> Loose<S> {
        const { assert!(M + N <= S) };
        Loose::new(&sum(&self.0, &other.0))
    }

    /// `self` − `other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn minus<const N: u64, const S: u64>(&self, other: &Exact<N>) -> Loose<S> {
        const { assert!(M + N < S) };
        Loose::new(&sum(&self.0, &complement(N + 1, &other.0)))
    }

    /// `self` − `other`, where the latter is a sum.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn minus_sum<const N: u64, const S: u64>(&self, other: &Loose<N>) -> Loose<S> {
        const { assert!(M + N < S) };
        Loose::new(&sum(&self.0, &complement(N + 1, &other.0)))
    }

    /// The number, or its negative in the lanes of `negative`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn with_sign<const S: u64>(&self, negative: __mmask8) -> Loose<S> {
        const { assert!(M < S) };
        let ([p0, p1, p2, p3, p4], [a0, a1, a2, a3, a4]) = (PRIME, self.0);
        Loose::new(&[
            _mm512_mask_sub_epi64(a0, negative, splat((M + 1) * p0), a0),
            _mm512_mask_sub_epi64(a1, negative, splat((M + 1) * p1), a1),
            _mm512_mask_sub_epi64(a2, negative, splat((M + 1) * p2), a2),
            _mm512_mask_sub_epi64(a3, negative, splat((M + 1) * p3), a3),
            _mm512_mask_sub_epi64(a4, negative, splat((M + 1) * p4), a4),
        ])
    }

    /// `other` in the lanes of `lanes`, `self` in the others.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn replaced(&self, lanes: __mmask8, other: &Self) -> Self {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (self.0, other.0);
        Self([
            _mm512_mask_blend_epi64(lanes, a0, b0),
            _mm512_mask_blend_epi64(lanes, a1, b1),
            _mm512_mask_blend_epi64(lanes, a2, b2),
            _mm512_mask_blend_epi64(lanes, a3, b3),
            _mm512_mask_blend_epi64(lanes, a4, b4),
        ])
    }

    /// `self`·`other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn times<const N: u64>(&self, other: &Exact<N>) -> Exact<1> {
        const { assert!(M * N < 240) };
        Exact::new(&reduced(&with_product(&no_columns(), &self.0, &other.0)))
    }

    /// `self`².
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn squared(&self) -> Exact<1> {
        const { assert!(M * M < 240) };
        Exact::new(&reduced(&square(&self.0)))
    }

    /// `self`·`other` + `root`², reduced once.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn times_plus_square<const N: u64, const O: u64>(
        &self,
        other: &Exact<N>,
        root: &Exact<O>,
    ) -> Exact<1> {
        const { assert!(M * N + O * O < 240) };
        Exact::new(&reduced(&with_product(&square(&root.0), &self.0, &other.0)))
    }

    /// `self`·`other` + `left`·`right`, reduced once.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn times_plus_product<const N: u64, const O: u64, const P: u64>(
        &self,
        other: &Exact<N>,
        left: &Exact<O>,
        right: &Exact<P>,
    ) -> Exact<1> {
        const { assert!(M * N + O * P < 240) };
        let columns = with_product(&no_columns(), &self.0, &other.0);
        Exact::new(&reduced(&with_product(&columns, &left.0, &right.0)))
    }

    /// The same number, below 2^256.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn narrowed(&self) -> Exact<1> {
        // With bound 1, what is folded is one at most, and then the rest is small. With another, the first fold
        // leaves less than 2^256 + 2^37, and the same holds for the second.
        let once = folded(&self.0);
        Exact::new(&if M == 1 { once } else { folded(&once) })
    }

    /// The same number, below p.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn canonical(&self) -> Exact<1> {
        let narrow = self.narrowed();
        // It is p or above if adding 2^256 − p reaches 2^256; then that sum, without 2^256, is the rest.
        let [a0, a1, a2, a3, a4] = narrow.0;
        let more = carry(&[_mm512_add_epi64(a0, splat(FOLD)), a1, a2, a3, a4]);
        let [b0, b1, b2, b3, b4] = more;
        let reaches = _mm512_test_epi64_mask(b4, splat(HIGH_MASK + 1));
        narrow.replaced(reaches, &Exact::new(&[b0, b1, b2, b3, _mm512_and_si512(b4, splat(HIGH_MASK))]))
    }

    /// The lanes in which the number is zero modulo p.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn zeros(&self) -> __mmask8 {
        let [a0, a1, a2, a3, a4] = self.canonical().0;
        let all = _mm512_or_si512(_mm512_or_si512(_mm512_or_si512(a0, a1), _mm512_or_si512(a2, a3)), a4);
        _mm512_cmpeq_epi64_mask(all, _mm512_setzero_si512())
    }

    /// The lanes in which the number modulo p is odd.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn odd(&self) -> __mmask8 {
        _mm512_test_epi64_mask(self.canonical().0[0], splat(1))
    }

    /// Three halves of the number.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn three_halves<const S: u64>(&self) -> Loose<S> {
        // Odd numbers become even by p; then each limb gives its lowest bit to the limb below.
        const { assert!(2 * S > 3 * M + 2) };
        let [a0, a1, a2, a3, a4] = sum(&sum(&self.0, &self.0), &self.0);
        let [p0, p1, p2, p3, p4] = PRIME;
        let odd = _mm512_test_epi64_mask(a0, splat(1));
        let a0 = _mm512_mask_add_epi64(a0, odd, a0, splat(p0));
        let a1 = _mm512_mask_add_epi64(a1, odd, a1, splat(p1));
        let a2 = _mm512_mask_add_epi64(a2, odd, a2, splat(p2));
        let a3 = _mm512_mask_add_epi64(a3, odd, a3, splat(p3));
        let a4 = _mm512_mask_add_epi64(a4, odd, a4, splat(p4));
        Loose::new(&[half(a0, a1), half(a1, a2), half(a2, a3), half(a3, a4), _mm512_srli_epi64::<1>(a4)])
    }
}

impl<const M: u64> Loose<M> {
    /// Numbers whose limbs are known to be in their bounds.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    fn new(limbs: &Limbs) -> Self {
        const { assert!(M < 16, "carried, the highest limb is below 2^52") };
        debug_assert!(within(limbs, M << 52, M * HIGH_MAX), "F2");
        Self(*limbs)
    }

    /// The same numbers, fit to be multiplied.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn carried(&self) -> Exact<M> {
        Exact::new(&carry(&self.0))
    }

    /// `self` + `other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn plus<const N: u64, const S: u64>(&self, other: &Exact<N>) -> Loose<S> {
        const { assert!(M + N <= S) };
        Loose::new(&sum(&self.0, &other.0))
    }

    /// `self` − `other`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[inline]
    pub(super) fn minus<const N: u64, const S: u64>(&self, other: &Exact<N>) -> Loose<S> {
        const { assert!(M + N < S) };
        Loose::new(&sum(&self.0, &complement(N + 1, &other.0)))
    }
}

/// Half of a limb, and of the lowest bit of the limb above it.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn half(limb: __m512i, above: __m512i) -> __m512i {
    let bit = _mm512_slli_epi64::<51>(_mm512_and_si512(above, splat(1)));
    _mm512_add_epi64(_mm512_srli_epi64::<1>(limb), bit)
}

/// What is above 256 bits, folded to the bottom.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn folded(limbs: &Limbs) -> Limbs {
    let [a0, a1, a2, a3, a4] = *limbs;
    let a0 = _mm512_madd52lo_epu64(a0, _mm512_srli_epi64::<48>(a4), splat(FOLD));
    carry(&[a0, a1, a2, a3, _mm512_and_si512(a4, splat(HIGH_MASK))])
}

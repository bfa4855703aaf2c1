//! Four sponges at once, in AVX2 registers.

use super::{
    BlockBytes,
    lanes::{Kernel, Sponges},
    permutation::keccak_f,
};
use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_andnot_si256, _mm256_load_si256, _mm256_loadu_si256,
    _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set_epi64x, _mm256_set1_epi64x, _mm256_shuffle_epi8,
    _mm256_slli_epi64, _mm256_srli_epi64, _mm256_store_si256, _mm256_unpackhi_epi64, _mm256_unpacklo_epi64,
    _mm256_xor_si256,
};

/// Proof that the processor has AVX2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The kernel, if the processor can run it.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }
}

impl Kernel<4> for Avx2 {
    fn step(self, sponges: &mut Sponges<4>, kept: u8, blocks: [&BlockBytes; 4]) {
        // SAFETY: `self` comes from `detect`, so the processor has AVX2.
        unsafe { step(sponges, kept, blocks) }
    }
}

/// `a ^ b`.
macro_rules! xor {
    ($a:expr, $b:expr) => {
        _mm256_xor_si256($a, $b)
    };
}

/// `a ^ b ^ c ^ d ^ e`.
macro_rules! xor5 {
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        xor!(xor!(xor!($a, $b), xor!($c, $d)), $e)
    };
}

/// Each word turned left. Turns by whole bytes, and by one bit, have shorter ways.
macro_rules! rol {
    ($a:expr, 1) => {{
        let a = $a;
        _mm256_or_si256(_mm256_add_epi64(a, a), _mm256_srli_epi64::<63>(a))
    }};
    ($a:expr, 8) => {{
        let bytes = _mm256_set_epi64x(
            0x0e0d_0c0b_0a09_080f,
            0x0605_0403_0201_0007,
            0x0e0d_0c0b_0a09_080f,
            0x0605_0403_0201_0007,
        );
        _mm256_shuffle_epi8($a, bytes)
    }};
    ($a:expr, 56) => {{
        let bytes = _mm256_set_epi64x(
            0x080f_0e0d_0c0b_0a09,
            0x0007_0605_0403_0201,
            0x080f_0e0d_0c0b_0a09,
            0x0007_0605_0403_0201,
        );
        _mm256_shuffle_epi8($a, bytes)
    }};
    ($a:expr, $bits:literal) => {{
        let a = $a;
        _mm256_or_si256(_mm256_slli_epi64::<$bits>(a), _mm256_srli_epi64::<{ 64 - $bits }>(a))
    }};
}

/// `a ^ (!b & c)`.
macro_rules! chi {
    ($a:expr, $b:expr, $c:expr) => {
        xor!($a, _mm256_andnot_si256($b, $c))
    };
}

/// The same word in all lanes.
macro_rules! word {
    ($word:expr) => {
        _mm256_set1_epi64x($word.cast_signed())
    };
}

/// [`Kernel::step`] on a processor that has AVX2.
#[target_feature(enable = "avx2")]
fn step(sponges: &mut Sponges<4>, kept: u8, blocks: [&BlockBytes; 4]) {
    let mask = |lane: u8| -i64::from(kept >> lane & 1);
    let kept = _mm256_set_epi64x(mask(3), mask(2), mask(1), mask(0));
    // SAFETY: each word of `Sponges<4>` is 32 bytes long, and aligned to them by the alignment of the type.
    let load = |words: &[u64; 4]| unsafe { _mm256_load_si256(words.as_ptr().cast()) };
    let mut a: [__m256i; 25] = std::array::from_fn(|place| _mm256_and_si256(kept, load(&sponges.0[place])));
    for quarter in 0..4 {
        let rows = blocks.map(|block| {
            let words: &[u8; 32] = block[32 * quarter..].first_chunk().expect("136 bytes hold it");
            // SAFETY: `words` is 32 bytes long; any alignment will do.
            unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
        });
        for (place, column) in transposed(rows).into_iter().enumerate() {
            a[4 * quarter + place] = xor!(a[4 * quarter + place], column);
        }
    }
    let [w0, w1, w2, w3] =
        blocks.map(|block| i64::from_le_bytes(*block.last_chunk().expect("136 bytes hold it")));
    a[16] = xor!(a[16], _mm256_set_epi64x(w3, w2, w1, w0));
    keccak_f!(a, xor, xor5, rol, chi, word);
    for (words, register) in sponges.0.iter_mut().zip(a) {
        // SAFETY: as for the load above.
        unsafe { _mm256_store_si256(words.as_mut_ptr().cast(), register) }
    }
}

/// Four registers of four words, rows for columns.
#[target_feature(enable = "avx2")]
#[inline]
fn transposed([r0, r1, r2, r3]: [__m256i; 4]) -> [__m256i; 4] {
    let even01 = _mm256_unpacklo_epi64(r0, r1);
    let odd01 = _mm256_unpackhi_epi64(r0, r1);
    let even23 = _mm256_unpacklo_epi64(r2, r3);
    let odd23 = _mm256_unpackhi_epi64(r2, r3);
    [
        _mm256_permute2x128_si256::<0x20>(even01, even23),
        _mm256_permute2x128_si256::<0x20>(odd01, odd23),
        _mm256_permute2x128_si256::<0x31>(even01, even23),
        _mm256_permute2x128_si256::<0x31>(odd01, odd23),
    ]
}

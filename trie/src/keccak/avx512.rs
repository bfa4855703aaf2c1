//! Eight sponges at once, in AVX-512 registers.

use super::{
    BlockBytes,
    lanes::{Kernel, Sponges},
    permutation::keccak_f,
};
use std::arch::x86_64::{
    __m512i, _mm512_load_si512, _mm512_loadu_si512, _mm512_maskz_mov_epi64, _mm512_rol_epi64,
    _mm512_set_epi64, _mm512_set1_epi64, _mm512_shuffle_i64x2, _mm512_store_si512, _mm512_ternarylogic_epi64,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

/// Proof that the processor has AVX-512 F.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The kernel, if the processor can run it.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }
}

impl Kernel<8> for Avx512 {
    fn step(self, sponges: &mut Sponges<8>, kept: u8, blocks: [&BlockBytes; 8]) {
        // SAFETY: `self` comes from `detect`, so the processor has AVX-512 F.
        unsafe { step(sponges, kept, blocks) }
    }
}

/// `a ^ b`.
macro_rules! xor {
    ($a:expr, $b:expr) => {
        _mm512_xor_si512($a, $b)
    };
}

/// `a ^ b ^ c ^ d ^ e`.
macro_rules! xor5 {
    ($a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        _mm512_ternarylogic_epi64::<0x96>(_mm512_ternarylogic_epi64::<0x96>($a, $b, $c), $d, $e)
    };
}

/// Each word turned left.
macro_rules! rol {
    ($a:expr, $bits:literal) => {
        _mm512_rol_epi64::<$bits>($a)
    };
}

/// `a ^ (!b & c)`.
macro_rules! chi {
    ($a:expr, $b:expr, $c:expr) => {
        _mm512_ternarylogic_epi64::<0xd2>($a, $b, $c)
    };
}

/// The same word in all lanes.
macro_rules! word {
    ($word:expr) => {
        _mm512_set1_epi64($word.cast_signed())
    };
}

/// [`Kernel::step`] on a processor that has AVX-512 F.
#[target_feature(enable = "avx512f")]
fn step(sponges: &mut Sponges<8>, kept: u8, blocks: [&BlockBytes; 8]) {
    // SAFETY: each word of `Sponges<8>` is 64 bytes long and, by the alignment of the type, aligned to them.
    let load = |words: &[u64; 8]| unsafe { _mm512_load_si512(words.as_ptr().cast()) };
    let mut a: [__m512i; 25] =
        std::array::from_fn(|place| _mm512_maskz_mov_epi64(kept, load(&sponges.0[place])));
    for half in 0..2 {
        let rows = blocks.map(|block| {
            let words: &[u8; 64] = block[64 * half..].first_chunk().expect("136 bytes hold it");
            // SAFETY: `words` is 64 bytes long; any alignment will do.
            unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
        });
        for (place, column) in transposed(&rows).into_iter().enumerate() {
            a[8 * half + place] = xor!(a[8 * half + place], column);
        }
    }
    let [w0, w1, w2, w3, w4, w5, w6, w7] =
        blocks.map(|block| i64::from_le_bytes(*block.last_chunk().expect("136 bytes hold it")));
    a[16] = xor!(a[16], _mm512_set_epi64(w7, w6, w5, w4, w3, w2, w1, w0));
    keccak_f!(a, xor, xor5, rol, chi, word);
    for (words, register) in sponges.0.iter_mut().zip(a) {
        // SAFETY: as for the load above.
        unsafe { _mm512_store_si512(words.as_mut_ptr().cast(), register) }
    }
}

/// Eight registers of eight words, rows for columns.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(rows: &[__m512i; 8]) -> [__m512i; 8] {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = *rows;
    // Pairs of words of two rows, of even columns and of odd ones.
    let even = [
        _mm512_unpacklo_epi64(r0, r1),
        _mm512_unpacklo_epi64(r2, r3),
        _mm512_unpacklo_epi64(r4, r5),
        _mm512_unpacklo_epi64(r6, r7),
    ];
    let odd = [
        _mm512_unpackhi_epi64(r0, r1),
        _mm512_unpackhi_epi64(r2, r3),
        _mm512_unpackhi_epi64(r4, r5),
        _mm512_unpackhi_epi64(r6, r7),
    ];
    let [c0, c2, c4, c6] = transposed_pairs(even);
    let [c1, c3, c5, c7] = transposed_pairs(odd);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Four registers of four pairs of words, rows for columns.
#[target_feature(enable = "avx512f")]
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

//! Points that every recovery needs: multiples of the generator, and the blinding point.
//!
//! They are made at the first use, in half a millisecond, most of which goes into touching memory for the first time.
//! libsecp256k1 gives a point for each table and for the blinding, and the lanes multiply the former.
//!
//! The ladder starts at the blinding point B, so that no intermediate sum can be foreseen. It is chosen per process.
//! It cannot reach a result: at the end it is taken away again, exactly; and should a sum on the way be one that the
//! formulas cannot make, the lane is flagged and its signature goes to libsecp256k1, which gives the same answer.

use std::arch::x86_64::__m512i;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};

use super::curve::gathered;
use super::table::odd_multiples;
use super::words::{Row, to_rows};
use crate::glv::{DIGITS, HALF_BITS, WHOLE_BITS};

/// Multiples in each table of the generator.
pub(super) const MULTIPLES: usize = 1 << (WHOLE_BITS - 1);

/// Doublings of the ladder.
const DOUBLINGS: usize = HALF_BITS * (DIGITS - 1);

/// What every recovery needs.
#[derive(Debug)]
pub(super) struct Fixed {
    /// Odd multiples of G, and of 2^130·G, one a row.
    pub(super) generator: [Box<[__m512i; MULTIPLES]>; 2],
    /// Where the ladder starts.
    pub(super) blinding: Row,
    /// What the ladder has made of it, negated.
    pub(super) unblinding: Row,
}

/// The points, once they are made.
static FIXED: OnceLock<Fixed> = OnceLock::new();

/// Whether the points are made.
pub(super) fn is_made() -> bool {
    FIXED.get().is_some()
}

/// The points, made at the first call.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn fixed() -> &'static Fixed {
    FIXED.get_or_init(|| make(&random_point()))
}

/// A point that nobody outside of the process knows.
fn random_point() -> PublicKey {
    let state = RandomState::new();
    let mut bytes = [0; 32];
    for (number, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&state.hash_one(number).to_le_bytes());
    }
    // Not zero, and below the order of the group.
    bytes[0] &= 0x7f;
    bytes[31] |= 1;
    let key = SecretKey::from_byte_array(bytes).expect("in range");
    PublicKey::from_secret_key(SECP256K1, &key)
}

/// 2^`bits`.
pub(super) fn power_of_two(bits: usize) -> Scalar {
    let mut bytes = [0; 32];
    bytes[31 - bits / 8] = 1 << (bits % 8);
    Scalar::from_be_bytes(bytes).expect("below the order")
}

/// `factor`·`point`.
pub(super) fn multiple(point: &PublicKey, factor: &Scalar) -> PublicKey {
    point.mul_tweak(SECP256K1, factor).expect("neither is zero")
}

/// A point's words.
pub(super) fn row_of(point: &PublicKey) -> Row {
    let bytes = point.serialize_uncompressed();
    let word = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| bytes[1 + at + byte]));
    [word(24), word(16), word(8), word(0), word(56), word(48), word(40), word(32)]
}

/// Makes all points, with this one for blinding.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn make(blinding: &PublicKey) -> Fixed {
    let one = SecretKey::from_byte_array(Scalar::ONE.to_be_bytes()).expect("in range");
    let generator = PublicKey::from_secret_key(SECP256K1, &one);
    let upper = multiple(&generator, &power_of_two(WHOLE_BITS * DIGITS / 2));
    // Two lanes would be enough.
    let [low, high] = [generator, upper].map(|point| row_of(&point));
    let points = gathered(&[low, high, low, high, low, high, low, high]);
    let (mut of_low, mut of_high) = (Vec::with_capacity(MULTIPLES), Vec::with_capacity(MULTIPLES));
    for multiple in odd_multiples(&[points], MULTIPLES) {
        let [low, high, ..] = to_rows(&multiple.x, &multiple.y);
        of_low.push(low);
        of_high.push(high);
    }
    let table = |rows: Vec<__m512i>| rows.try_into().expect("as many as were asked for");
    Fixed {
        generator: [table(of_low), table(of_high)],
        blinding: row_of(blinding),
        unblinding: row_of(&multiple(blinding, &power_of_two(DOUBLINGS)).negate(SECP256K1)),
    }
}

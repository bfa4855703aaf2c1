//! Scalars taken apart into digits of a few bits.
//!
//! secp256k1 has an endomorphism: λ·(x, y) = (β·x, y). So u·R is k·R + l·λR, with k and l half as long as u (Gallant,
//! Lambert and Vanstone; Hankerson, Menezes and Vanstone, *Guide to Elliptic Curve Cryptography*, section 3.5).
//!
//! All digits are odd, so none is zero and no addition is ever left out: an odd number of `w` bits is a sum of all
//! powers of two below 2^w, each with a sign, and `w` signs of neighbours make a digit. The pairs (k, l) for one u
//! differ by vectors of a lattice, among which one changes the parity of k, and another that of l alone.
//!
//! - **D1.** k + l·λ = u, both odd and below 2^130 in size: `halves_*` in the tests.
//! - **D2.** Digits and their weights give the number back: `digits_*`.

use crate::scalar::Scalar;

/// Digits of every number.
pub(crate) const DIGITS: usize = 26;

/// Bits of a digit of k and of l.
pub(crate) const HALF_BITS: usize = 5;

/// Bits of a digit of a whole scalar.
pub(crate) const WHOLE_BITS: usize = 10;

/// First vector (a, −b) of the lattice of pairs that stand for zero: both odd.
const A1: [u64; 3] = [0xe86c_90e4_9284_eb15, 0x3086_d221_a7d4_6bcd, 0];
/// See [`A1`].
const MINUS_B1: [u64; 3] = [0x6f54_7fa9_0abf_e4c3, 0xe443_7ed6_010e_8828, 0];
/// Second vector: (`A2`, `A1`), of which the first is even.
const A2: [u64; 3] = [0x57c1_108d_9d44_cfd8, 0x14ca_50f7_a8e2_f3f6, 1];

/// 2^384·`A1`/n, rounded.
const G1: [u64; 4] =
    [0xe893_209a_45db_b031, 0x3daa_8a14_71e8_ca7f, 0xe86c_90e4_9284_eb15, 0x3086_d221_a7d4_6bcd];
/// 2^384·`MINUS_B1`/n, rounded.
const G2: [u64; 4] =
    [0x1571_b4ae_8ac4_7f71, 0x2212_08ac_9df5_06c6, 0x6f54_7fa9_0abf_e4c4, 0xe443_7ed6_010e_8828];

/// A number of 192 bits in two's complement, lowest word first.
type Half = [u64; 3];

/// Digits of one number: each says which odd multiple, and with which sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits([u16; DIGITS]);

impl Digits {
    /// The digits of k and l, two odd numbers with k + l·λ = `scalar`.
    pub(crate) fn of_halves(scalar: Scalar) -> [Self; 2] {
        halves(scalar).map(|[low, middle, high]| {
            // (k − 1)/2 + 2^129: the bits tell the signs of the powers of two.
            let signs = [
                low >> 1 | middle << 63,
                middle >> 1 | high << 63,
                (high >> 1 | high & 1 << 63).wrapping_add(2),
            ];
            debug_assert!(signs[2] < 4, "the halves are below 2^130");
            Self::from_signs::<3, HALF_BITS>(signs)
        })
    }

    /// The digits of a whole scalar, or of n.
    pub(crate) fn of_whole(scalar: Scalar) -> Self {
        let [a, b, c, d] = scalar.0;
        let (words, high) = if a & 1 == 1 {
            ([a, b, c, d], 0)
        } else {
            // The same modulo n, odd, and not above zero.
            let minus = scalar.negated().0;
            let mut carry = true;
            (
                minus.map(|word| {
                    let (word, over) = (!word).overflowing_add(u64::from(carry));
                    carry = over;
                    word
                }),
                u64::MAX,
            )
        };
        let [a, b, c, d] = words;
        // (u − 1)/2 + 2^259.
        let signs =
            [a >> 1 | b << 63, b >> 1 | c << 63, c >> 1 | d << 63, d >> 1 | high << 63, high.wrapping_add(8)];
        Self::from_signs::<5, WHOLE_BITS>(signs)
    }

    /// Takes the signs of all powers of two apart.
    fn from_signs<const WORDS: usize, const BITS: usize>(signs: [u64; WORDS]) -> Self {
        Self(std::array::from_fn(|digit| {
            let (word, shift) = (digit * BITS / 64, digit * BITS % 64);
            let mut bits = signs[word] >> shift;
            if shift + BITS > 64 {
                bits |= signs[word + 1] << (64 - shift);
            }
            let bits = bits & ((1 << BITS) - 1);
            u16::try_from(bits).expect("digits have at most ten bits")
        }))
    }

    /// Which odd multiple the digit means: the `i`-th is 2i + 1. And whether it is to be subtracted.
    pub(crate) fn entry<const BITS: usize>(&self, digit: usize) -> (u16, bool) {
        // The digit is 2·bits − (2^BITS − 1).
        let (bits, half) = (self.0[digit], 1 << (BITS - 1));
        if bits < half { (half - 1 - bits, true) } else { (bits - half, false) }
    }
}

/// Two odd numbers k, l of at most 130 bits with k + l·λ = `scalar` modulo n.
fn halves(scalar: Scalar) -> [Half; 2] {
    let [c1, c2] = [G1, G2].map(|factor| high_half(scalar.0, factor));
    let [low, middle, high, _] = scalar.0;
    let mut k = minus(minus([low, middle, high], times(c1, A1)), times(c2, A2));
    let mut l = minus(times(c1, MINUS_B1), times(c2, A1));
    if k[0] & 1 == 0 {
        k = plus(k, A1);
        l = minus(l, MINUS_B1);
    }
    if l[0] & 1 == 0 {
        k = plus(k, A2);
        l = plus(l, A1);
    }
    [k, l]
}

/// `a`·`b`/2^384, rounded.
fn high_half(a: [u64; 4], b: [u64; 4]) -> [u64; 2] {
    let mut product = [0_u64; 8];
    for (place, word) in a.into_iter().enumerate() {
        let mut carry = 0;
        for (sum, factor) in product[place..].iter_mut().zip(b) {
            (*sum, carry) = factor.carrying_mul_add(word, *sum, carry);
        }
        product[place + 4] = carry;
    }
    let (low, over) = product[6].overflowing_add(product[5] >> 63);
    [low, product[7] + u64::from(over)]
}

/// `a`·`b` modulo 2^192.
fn times([a0, a1]: [u64; 2], [b0, b1, b2]: Half) -> Half {
    let (low, carry) = a0.carrying_mul(b0, 0);
    let (middle, carry_a) = a0.carrying_mul_add(b1, carry, 0);
    let (middle, carry_b) = a1.carrying_mul_add(b0, middle, 0);
    let high =
        a0.wrapping_mul(b2).wrapping_add(a1.wrapping_mul(b1)).wrapping_add(carry_a).wrapping_add(carry_b);
    [low, middle, high]
}

/// `a` + `b` modulo 2^192.
fn plus(a: Half, b: Half) -> Half {
    let mut carry = false;
    std::array::from_fn(|at| {
        let (word, over) = a[at].overflowing_add(b[at]);
        let (word, over_again) = word.overflowing_add(u64::from(carry));
        carry = over | over_again;
        word
    })
}

/// `a` − `b` modulo 2^192.
fn minus(a: Half, b: Half) -> Half {
    plus(plus(a, b.map(|word| !word)), [1, 0, 0])
}

#[cfg(test)]
mod tests {
    use num_bigint::{BigInt, Sign};

    use super::*;
    use crate::scalar::ORDER;

    /// A number of words, in two's complement if it is signed.
    fn big(words: &[u64], signed: bool) -> BigInt {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend((!signed).then_some(0));
        BigInt::from_signed_bytes_le(&bytes)
    }

    /// λ.
    fn lambda() -> BigInt {
        BigInt::parse_bytes(b"5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72", 16).unwrap()
    }

    /// Scalars at which rounding may go either way, and others.
    fn scalars() -> Vec<Scalar> {
        let order = big(&ORDER.0, false);
        let mut numbers: Vec<BigInt> =
            (0..300).map(|number| BigInt::from(number) * number * number).collect();
        numbers.extend((0..256).map(|bit| BigInt::from(1) << bit));
        numbers.extend((1..200).map(|factor| lambda() * factor));
        // Halfway between points of the lattice, and beside it.
        for i in 0..20 {
            for j in 0..20 {
                let (a, b) =
                    (big(&A1, true) * i + big(&A2, true) * j, big(&A1, true) * j - big(&MINUS_B1, true) * i);
                numbers.extend((-2..=2).map(|more| &a / 2 + &b / 2 * lambda() + more));
            }
        }
        let number = |number: BigInt| {
            let number = ((number % &order) + &order) % &order;
            let digits = number.to_u64_digits().1;
            Scalar(std::array::from_fn(|at| digits.get(at).copied().unwrap_or_default()))
        };
        numbers.iter().flat_map(|n| [number(n.clone()), number(-n)]).collect()
    }

    /// The number that digits stand for.
    fn value<const BITS: usize>(digits: &Digits) -> BigInt {
        (0..DIGITS).rev().fold(BigInt::ZERO, |value, digit| {
            let (entry, negative) = digits.entry::<BITS>(digit);
            assert!(usize::from(entry) < 1 << (BITS - 1));
            let odd = BigInt::from(2 * entry + 1);
            (value << BITS) + if negative { -odd } else { odd }
        })
    }

    #[test]
    fn halves_are_short_and_odd() {
        let order = big(&ORDER.0, false);
        let limit: BigInt = BigInt::from(1) << 130;
        for scalar in scalars() {
            let [k, l] = halves(scalar).map(|half| big(&half, true));
            assert!(k.magnitude() < limit.magnitude() && l.magnitude() < limit.magnitude());
            assert!(k.bit(0) && l.bit(0));
            let rest = (k + l * lambda() - big(&scalar.0, false)) % &order;
            assert_eq!(rest.sign(), Sign::NoSign);
        }
    }

    #[test]
    fn digits_give_the_number_back() {
        let order = big(&ORDER.0, false);
        for scalar in scalars() {
            let halves = halves(scalar).map(|half| big(&half, true));
            assert_eq!(Digits::of_halves(scalar).map(|digits| value::<HALF_BITS>(&digits)), halves);
            let rest = (value::<WHOLE_BITS>(&Digits::of_whole(scalar)) - big(&scalar.0, false)) % &order;
            assert_eq!(rest.sign(), Sign::NoSign);
        }
        assert_eq!(value::<WHOLE_BITS>(&Digits::of_whole(ORDER)), order);
    }
}

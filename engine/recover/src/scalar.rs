//! Numbers modulo the order of secp256k1's group.
//!
//! Plain 64-bit code: of the work of a recovery this is a fourteenth part. Products are Montgomery's, with 2^256, so
//! that a reduction needs no division; a number is said to be *raised* if it carries the factor 2^256.

/// The order of the group (SEC 2, section 2.4.1), lowest word first.
pub(crate) const ORDER: Scalar =
    Scalar([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff]);

/// −1/n modulo 2^64, by Newton's iteration: each step doubles the number of right bits.
const MINUS_INVERSE: u64 = {
    let mut inverse = 1_u64;
    let mut step = 0;
    while step < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(ORDER.0[0].wrapping_mul(inverse)));
        step += 1;
    }
    inverse.wrapping_neg()
};

/// 2^256 − n: the number one, raised.
const ONE: Scalar = Scalar([!ORDER.0[0] + 1, !ORDER.0[1], !ORDER.0[2], !ORDER.0[3]]);

/// 2^512 modulo n: a product with it raises.
const RAISER: Scalar = {
    let mut power = ONE;
    let mut step = 0;
    while step < 256 {
        power = power.doubled();
        step += 1;
    }
    power
};

/// A number below 2^256, lowest word first; below n unless it is said that it need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar(pub(crate) [u64; 4]);

impl Scalar {
    /// The number that these bytes stand for, highest first; it may be n or above.
    pub(crate) fn from_be_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().rev().zip(bytes.as_chunks().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        Self(words)
    }

    /// The number if it may be half of a signature: not zero, and below n.
    pub(crate) fn in_range(self) -> Option<Self> {
        // The highest words nearly always tell.
        let below = self.0.iter().rev().lt(ORDER.0.iter().rev());
        (below && self.0.into_iter().any(|word| word != 0)).then_some(self)
    }

    /// The number modulo n; a number of 256 bits is below 2n.
    pub(crate) fn reduced(self) -> Self {
        self.minus_order().unwrap_or(self)
    }

    /// −`self` modulo n; n itself for zero.
    pub(crate) fn negated(self) -> Self {
        Self(difference(ORDER.0, self.0).0)
    }

    /// What is left of the number without n, or `None` if it is below n.
    const fn minus_order(self) -> Option<Self> {
        let (words, borrow) = difference(self.0, ORDER.0);
        if borrow { None } else { Some(Self(words)) }
    }

    /// 2·`self` modulo n.
    const fn doubled(self) -> Self {
        let [a, b, c, d] = self.0;
        let twice = Self([a << 1, b << 1 | a >> 63, c << 1 | b >> 63, d << 1 | c >> 63]);
        if d >> 63 == 1 {
            // 2^256 more: what is left without n is below n, and the borrow pays for it.
            return Self(difference(twice.0, ORDER.0).0);
        }
        match twice.minus_order() {
            Some(less) => less,
            None => twice,
        }
    }

    /// `self`·`other`/2^256 modulo n. One of the two may be n itself.
    pub(crate) fn product(self, other: Self) -> Self {
        let mut sum = [0_u64; 4];
        let mut over = 0_u64;
        for word in self.0 {
            let mut carry = 0;
            for (place, factor) in sum.iter_mut().zip(other.0) {
                (*place, carry) = factor.carrying_mul_add(word, *place, carry);
            }
            let (high, carried) = over.overflowing_add(carry);
            // With this multiple of n the lowest word becomes zero, and everything moves down by one.
            let multiple = sum[0].wrapping_mul(MINUS_INVERSE);
            let (_, mut carry) = ORDER.0[0].carrying_mul_add(multiple, sum[0], 0);
            for place in 1..4 {
                (sum[place - 1], carry) = ORDER.0[place].carrying_mul_add(multiple, sum[place], carry);
            }
            let carried_again;
            (sum[3], carried_again) = high.overflowing_add(carry);
            over = u64::from(carried) + u64::from(carried_again);
        }
        let sum = Self(sum);
        if over == 0 { sum.reduced() } else { Self(difference(sum.0, ORDER.0).0) }
    }

    /// 2^256·`self` modulo n.
    fn raised(self) -> Self {
        self.product(RAISER)
    }

    /// 1/`self`, both raised: the power n − 2 (Fermat), four bits at a time.
    fn inverse(self) -> Self {
        let mut powers = [ONE; 16];
        for exponent in 1..16 {
            powers[exponent] = powers[exponent - 1].product(self);
        }
        let [low, rest @ ..] = ORDER.0;
        let exponent = [low - 2, rest[0], rest[1], rest[2]];
        let mut power = ONE;
        for position in (0..64).rev() {
            for _ in 0..4 {
                power = power.product(power);
            }
            let bits = exponent[position / 16] >> (4 * (position % 16)) & 15;
            power = power.product(powers[usize::try_from(bits).expect("four bits")]);
        }
        power
    }
}

/// Replaces each number, none of them zero, by its inverse, raised: one inversion for all (Montgomery's trick).
pub(crate) fn invert_all(numbers: &mut [Scalar]) {
    if numbers.is_empty() {
        return;
    }
    let mut product = ONE;
    let before: Vec<Scalar> = numbers
        .iter_mut()
        .map(|number| {
            *number = number.raised();
            let before = product;
            product = product.product(*number);
            before
        })
        .collect();
    let mut inverse = product.inverse();
    for (number, before) in numbers.iter_mut().zip(before).rev() {
        let next = inverse.product(*number);
        *number = inverse.product(before);
        inverse = next;
    }
}

/// `a` − `b` modulo 2^256, and whether `b` is the greater.
const fn difference(a: [u64; 4], b: [u64; 4]) -> ([u64; 4], bool) {
    let mut words = [0; 4];
    let mut borrow = false;
    let mut at = 0;
    while at < 4 {
        let (word, under) = a[at].overflowing_sub(b[at]);
        let (word, under_again) = word.overflowing_sub(borrow as u64);
        words[at] = word;
        borrow = under | under_again;
        at += 1;
    }
    (words, borrow)
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    /// A number of words.
    fn big(words: &[u64]) -> BigUint {
        words.iter().rev().fold(BigUint::ZERO, |number, word| (number << 64) + word)
    }

    /// Numbers made of extreme words.
    fn extremes() -> Vec<Scalar> {
        let words =
            [0, 1, 1 << 63, u64::MAX - 1, u64::MAX, ORDER.0[0] - 1, ORDER.0[0], ORDER.0[1], ORDER.0[2]];
        let word = |number: usize, place: u32| words[number / 9_usize.pow(place) % 9];
        (0..9_usize.pow(4)).map(|number| Scalar([0, 1, 2, 3].map(|place| word(number, place)))).collect()
    }

    #[test]
    fn products_are_those_of_the_model() {
        let order = big(&ORDER.0);
        let lower = BigUint::from(2_u8).modpow(&(&order - 257_u16), &order);
        let numbers = extremes();
        for (place, a) in numbers.iter().enumerate() {
            let b = numbers[place * 7_919 % numbers.len()].reduced();
            let expected = big(&a.0) * big(&b.0) % &order * &lower % &order;
            assert_eq!(big(&a.product(b).0), expected);
            assert_eq!(big(&b.product(*a).0), expected);
            assert_eq!(big(&a.reduced().0), big(&a.0) % &order);
            assert_eq!(a.in_range().is_some(), a.0 != [0; 4] && big(&a.0) < order);
            assert_eq!(big(&b.negated().0), &order - big(&b.0));
        }
    }

    #[test]
    fn inverses_are_inverses() {
        let mut numbers: Vec<Scalar> = extremes().into_iter().filter_map(Scalar::in_range).collect();
        let before = numbers.clone();
        invert_all(&mut numbers);
        for (number, inverse) in before.into_iter().zip(numbers) {
            assert_eq!(number.product(inverse), Scalar([1, 0, 0, 0]));
        }
    }
}

//! Signatures for tests: random ones, and all that were ever thought dangerous.

use num_bigint::BigUint;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use weft_recover::{Backend, Item};

/// The order of the group.
pub(crate) fn order() -> BigUint {
    (BigUint::from(1_u8) << 256) - number("14551231950b75fc4402da1732fc9bebf")
}

/// The field's prime.
pub(crate) fn prime() -> BigUint {
    (BigUint::from(1_u8) << 256) - number("1000003d1")
}

/// λ: the endomorphism multiplies by it.
pub(crate) fn lambda() -> BigUint {
    number("5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72")
}

/// A number in hexadecimal.
fn number(hex: &str) -> BigUint {
    BigUint::parse_bytes(hex.as_bytes(), 16).expect("hexadecimal")
}

/// A number below 2^256, highest byte first.
pub(crate) fn bytes(number: &BigUint) -> [u8; 32] {
    let digits = number.to_bytes_be();
    let mut bytes = [0; 32];
    bytes[32 - digits.len()..].copy_from_slice(&digits);
    bytes
}

/// A stream of choices.
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The stream of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % end as u64).expect("below a usize")
    }

    /// Any 32 bytes.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A signature of random numbers: for every second one there is a point.
    pub(crate) fn item(&mut self) -> Item {
        let (digest, r, s) = (self.bytes(), self.bytes(), self.bytes());
        Item { digest, r, s, y_odd: self.below(2) == 1 }
    }
}

/// Scalars at which something may change: small ones, those near the order, powers of two, multiples of λ.
pub(crate) fn scalars() -> Vec<BigUint> {
    let order = order();
    let mut scalars: Vec<BigUint> = (0..=33_u8).map(BigUint::from).collect();
    scalars.extend((0..256).map(|bit| (BigUint::from(1_u8) << bit) % &order));
    scalars.extend((1..=33_u8).map(|factor| lambda() * factor % &order));
    scalars.extend((0..=3_u8).map(|more| lambda() + more));
    scalars.push((&order - 1_u8) / 2_u8);
    scalars.push(number("1f") << 125);
    let negatives: Vec<BigUint> = scalars.iter().map(|scalar| (&order - scalar) % &order).collect();
    scalars.extend(negatives);
    scalars
}

/// Words of a signature at which something may change, in range or not.
pub(crate) fn words() -> Vec<[u8; 32]> {
    let mut words = vec![[0xff; 32], [0x55; 32], [0xaa; 32]];
    let gap = prime() - order();
    for near in [BigUint::from(0_u8), order(), prime(), gap, (order() + 1_u8) / 2_u8] {
        for away in 0..6_u8 {
            words.push(bytes(&(&near + away)));
            if let Some(below) = (near >= BigUint::from(6_u8)).then(|| &near - away) {
                words.push(bytes(&below));
            }
        }
    }
    words.extend((0..256).map(|bit| bytes(&(BigUint::from(1_u8) << bit))));
    words
}

/// The signature with R = `k`·G for which the key is `u1`·G + `u2`·R; `None` if k is zero or k·G has too large an x.
pub(crate) fn chosen(k: &BigUint, u1: &BigUint, u2: &BigUint) -> Option<Item> {
    let order = order();
    let point = multiple_of_generator(k)?;
    let encoded = point.serialize();
    let r = BigUint::from_bytes_be(&encoded[1..]);
    if r >= order {
        return None;
    }
    let s = u2 * &r % &order;
    let z = (&order - u1 % &order) * &r % &order;
    Some(Item { digest: bytes(&z), r: bytes(&r), s: bytes(&s), y_odd: encoded[0] == 3 })
}

/// `k`·G.
pub(crate) fn multiple_of_generator(k: &BigUint) -> Option<PublicKey> {
    let key = SecretKey::from_byte_array(bytes(k)).ok()?;
    Some(PublicKey::from_secret_key(SECP256K1, &key))
}

/// A signature with something special about it, and otherwise random.
pub(crate) fn special(random: &mut Random, scalars: &[BigUint], words: &[[u8; 32]]) -> Item {
    let order = order();
    let mut item = random.item();
    match random.below(6) {
        0 => item.r = *random.pick(words),
        1 => item.s = *random.pick(words),
        2 => item.digest = *random.pick(words),
        3 => {
            item =
                Item { digest: *random.pick(words), r: *random.pick(words), s: *random.pick(words), ..item };
        }
        4 => {
            let any = |random: &mut Random| {
                if random.below(2) == 0 {
                    random.pick(scalars).clone()
                } else {
                    BigUint::from_bytes_be(&random.bytes()) % order.clone()
                }
            };
            let (k, u1, u2) = (any(random), any(random), any(random));
            item = chosen(&k, &u1, &u2).unwrap_or(item);
        }
        _ => {
            // u1·G and u2·R are the same, or each other's negatives, or nearly so.
            let (k, u2) = (random.pick(scalars).clone(), random.pick(scalars).clone());
            let same = &k * &u2 % &order;
            let near = match random.below(4) {
                0 => same,
                1 => &order - same,
                2 => (same + 1_u8) % &order,
                _ => (&order - same + 1_u8) % &order,
            };
            item = chosen(&k, &near, &u2).unwrap_or(item);
        }
    }
    item
}

/// Asserts that all backends give the same for these signatures, in batches of these sizes.
pub(crate) fn assert_same(items: &[Item], sizes: impl Iterator<Item = usize>, context: &str) {
    Backend::Ifma.prepare();
    let expected = Backend::Libsecp256k1.recover(items);
    let mut start = 0;
    for size in sizes {
        let end = (start + size).min(items.len());
        let keys = Backend::Ifma.recover(&items[start..end]);
        for (place, (key, expected)) in keys.iter().zip(&expected[start..end]).enumerate() {
            assert_eq!(key, expected, "{context}: place {place} of {size}: {:?}", items[start + place]);
        }
        start = end;
        if start == items.len() {
            break;
        }
    }
    assert_eq!(start, items.len(), "too few batches");
}

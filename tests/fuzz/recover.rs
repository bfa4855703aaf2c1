//! Signatures in lanes against libsecp256k1, item by item.
//!
//! ```text
//!  bytes ─► up to 40 signatures: random, of special numbers, with a chosen sum, like an earlier one
//!             │
//!             ├─► one by one: what is expected
//!             ├─► all at once, by each backend
//!             └─► split at a chosen place
//! ```
#![no_main]

#[path = "../../engine/recover/tests/support/mod.rs"]
#[expect(dead_code, reason = "here the fuzzer chooses, not a seed")]
mod support;

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use num_bigint::BigUint;
use weft_recover::{Backend, Item};

/// The longest batch: some full vectors, and a tail.
const ITEMS_MAX: usize = 40;

/// Words at which something may change, in range or not.
static WORDS: LazyLock<Vec<[u8; 32]>> = LazyLock::new(support::words);

/// Scalars at which something may change.
static SCALARS: LazyLock<Vec<BigUint>> = LazyLock::new(support::scalars);

fuzz_target!(
    // Otherwise short batches would take no lanes.
    init: Backend::best().prepare(),
    |data: &[u8]| {
        let (split, items) = batch(&mut Unstructured::new(data));
        check(&items, split);
    }
);

/// Asserts that all backends give the same.
fn check(items: &[Item], split: usize) {
    let expected: Vec<_> = items.iter().map(|item| Backend::Libsecp256k1.recover_one(item)).collect();
    for backend in Backend::ALL {
        assert_eq!(backend.recover(items), expected, "{backend:?}: {items:?}");
    }
    let (one, two) = items.split_at(split);
    let keys = [one, two].map(|items| Backend::best().recover_together(items)).concat();
    assert_eq!(keys.len(), expected.len());
    for (place, (known, expected)) in keys.iter().zip(&expected).enumerate() {
        assert!(
            known.is_none_or(|known| known == *expected),
            "place {place}, split at {split}: {known:?}, not {expected:?}: {items:?}"
        );
    }
}

/// Where to split a batch, and the batch: as long as there are choices left.
fn batch(choices: &mut Unstructured<'_>) -> (usize, Vec<Item>) {
    let split = choices.int_in_range(0..=ITEMS_MAX).unwrap_or_default();
    let mut items = Vec::with_capacity(ITEMS_MAX);
    while items.len() < ITEMS_MAX && !choices.is_empty() {
        if let Ok(item) = item(choices, &items) {
            items.push(item);
        }
    }
    (split.min(items.len()), items)
}

/// A signature.
fn item(choices: &mut Unstructured<'_>, earlier: &[Item]) -> Result<Item> {
    let y_odd = choices.arbitrary()?;
    Ok(match choices.int_in_range(0..=5)? {
        0 => Item { digest: choices.arbitrary()?, r: choices.arbitrary()?, s: choices.arbitrary()?, y_odd },
        1 => Item { digest: word(choices)?, r: word(choices)?, s: word(choices)?, y_odd },
        2 => chosen(&scalar(choices)?, &scalar(choices)?, &scalar(choices)?)?,
        3 => {
            // u1·G and u2·R are the same, or each other's negatives, or nearly so.
            let (k, u2) = (scalar(choices)?, scalar(choices)?);
            let order = support::order();
            let same = &k * &u2 % &order;
            let near = if choices.arbitrary()? { same } else { &order - same };
            chosen(&k, &((near + choices.int_in_range(0..=1_u8)?) % order), &u2)?
        }
        4 => *some(choices, earlier)?,
        _ => {
            let item = *some(choices, earlier)?;
            match choices.int_in_range(0..=3)? {
                0 => Item { digest: word(choices)?, ..item },
                1 => Item { r: word(choices)?, ..item },
                2 => Item { s: word(choices)?, ..item },
                _ => Item { y_odd, ..item },
            }
        }
    })
}

/// One of several, of which there may be none.
fn some<'i, T>(choices: &mut Unstructured<'_>, several: &'i [T]) -> Result<&'i T> {
    if several.is_empty() { Err(arbitrary::Error::IncorrectFormat) } else { choices.choose(several) }
}

/// The signature whose key is `u1`·G + `u2`·R with R = `k`·G.
fn chosen(k: &BigUint, u1: &BigUint, u2: &BigUint) -> Result<Item> {
    support::chosen(k, u1, u2).ok_or(arbitrary::Error::IncorrectFormat)
}

/// A scalar.
fn scalar(choices: &mut Unstructured<'_>) -> Result<BigUint> {
    Ok(if choices.arbitrary()? {
        choices.choose(&SCALARS)?.clone()
    } else {
        BigUint::from_bytes_be(&word(choices)?) % support::order()
    })
}

/// A number of 256 bits.
fn word(choices: &mut Unstructured<'_>) -> Result<[u8; 32]> {
    Ok(match choices.int_in_range(0..=4)? {
        0 => *choices.choose(&WORDS)?,
        1 => wrapped(&(BigUint::from_bytes_be(choices.choose(&WORDS)?) + choices.arbitrary::<u8>()?)),
        // Extremes of the limbs that a number is kept in, by itself and in lanes.
        2 => limbs(choices, 64)?,
        3 => limbs(choices, 52)?,
        _ => choices.arbitrary()?,
    })
}

/// A number made of extreme limbs of so many bits.
fn limbs(choices: &mut Unstructured<'_>, bits: u32) -> Result<[u8; 32]> {
    let mut number = BigUint::ZERO;
    for _ in 0..256_u32.div_ceil(bits) {
        let all = u64::MAX >> (64 - bits);
        let limb = *choices.choose(&[0, 1, 1 << (bits - 1), all - 1, all])?;
        number = (number << bits) + limb;
    }
    Ok(wrapped(&number))
}

/// The lowest 256 bits.
fn wrapped(number: &BigUint) -> [u8; 32] {
    support::bytes(&(number % (BigUint::from(1_u8) << 256)))
}

//! Lanes against libsecp256k1: the same keys, and the same signatures refused.
//!
//! `RECOVER_CASES` and `RECOVER_SEED` make the random tests longer, and others.

mod support;

use num_bigint::BigUint;
use support::{Random, assert_same, chosen, order, scalars, special, words};
use weft_recover::{Backend, Item};

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Runs a test of so many signatures on two threads, in rounds that each have a seed.
fn rounds(share: u64, round: impl Fn(&mut Random, u64) + Sync) {
    const ROUND: u64 = 2_000;
    let count = setting("RECOVER_CASES", 20_000).div_ceil(share * ROUND);
    let first = setting("RECOVER_SEED", 0);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let round = &round;
            scope.spawn(move || {
                for seed in (first..first + count).filter(|seed| seed % 2 == thread) {
                    round(&mut Random::new(seed), ROUND);
                }
            });
        }
    });
}

/// Sizes of batches: all sorts of them.
fn sizes(random: &mut Random) -> impl Iterator<Item = usize> {
    std::iter::repeat_with(|| {
        let limit = *random.pick(&[2, 9, 40, 300, 600]);
        1 + random.below(limit)
    })
}

#[test]
fn random_signatures_agree() {
    rounds(1, |random, count| {
        let items: Vec<Item> = (0..count).map(|_| random.item()).collect();
        assert_same(&items, sizes(random), "random");
    });
}

#[test]
fn special_signatures_agree() {
    let (scalars, words) = (scalars(), words());
    rounds(5, |random, count| {
        let items: Vec<Item> = (0..count).map(|_| special(random, &scalars, &words)).collect();
        assert_same(&items, sizes(random), "special");
    });
}

/// All that were ever thought dangerous, one at least of each kind.
fn dangerous() -> Vec<Item> {
    let order = order();
    let (scalars, words) = (scalars(), words());
    let mut random = Random::new(7);
    let plain = chosen(&BigUint::from(5_u8), &BigUint::from(6_u8), &BigUint::from(7_u8)).expect("in range");
    let mut items = Vec::new();
    for word in words {
        items.push(Item { r: word, ..plain });
        items.push(Item { s: word, ..plain });
        items.push(Item { digest: word, ..plain });
        items.push(Item { r: word, s: word, digest: word, y_odd: true });
    }
    for scalar in &scalars {
        let other = random.pick(&scalars).clone();
        items.extend(chosen(scalar, &other, &(&order - 1_u8 - &other)));
        items.extend(chosen(&other, scalar, &other));
        items.extend(chosen(&other, &other, scalar));
        // The key would be the point at infinity.
        let k = BigUint::from(3_u8);
        items.extend(chosen(&k, &((&order - scalar) * &k % &order), scalar));
        // The sum of a point and itself.
        items.extend(chosen(&k, &(scalar * &k % &order), scalar));
    }
    items
}

#[test]
fn dangerous_signatures_agree_at_every_lane() {
    let items = dangerous();
    for shift in 0..8 {
        // The batch before the first full one is shorter, so each signature comes to stand in each lane.
        let mut shifted = vec![items[0]; shift];
        shifted.extend(&items);
        assert_same(&shifted, std::iter::repeat(256), "shifted");
    }
    // One dangerous signature among good ones, at every lane; then one good among bad.
    let good = chosen(&BigUint::from(5_u8), &BigUint::from(6_u8), &BigUint::from(7_u8)).expect("in range");
    let bad = Item { r: [0; 32], ..good };
    let no_point = Item {
        r: {
            let mut r = [0; 32];
            r[31] = 5;
            r
        },
        ..good
    };
    assert!(Backend::Libsecp256k1.recover_one(&no_point).is_err());
    for item in items.iter().step_by(17).chain([&bad, &no_point]) {
        for (lane, rest) in (0..8).flat_map(|lane| [(lane, good), (lane, no_point)]) {
            let mut batch = [rest; 8];
            batch[lane] = *item;
            assert_same(&batch, std::iter::once(8), "one of eight");
        }
    }
}

#[test]
fn batches_of_every_size_agree() {
    let mut random = Random::new(11);
    let items: Vec<Item> = (0..600).map(|_| random.item()).collect();
    let expected = Backend::Libsecp256k1.recover(&items);
    let agree = |size: usize| {
        for backend in Backend::ALL {
            assert_eq!(backend.recover(&items[..size]), expected[..size], "{backend:?}, batch of {size}");
        }
    };
    // Before the tables are made, unless another test has made them, and afterwards.
    (0..24).for_each(agree);
    Backend::Ifma.prepare();
    for size in (0..=80).chain([255, 256, 257, 258, 264, 511, 512, 513, 600]) {
        agree(size);
    }
}

#[test]
fn order_and_threads_change_nothing() {
    let mut random = Random::new(13);
    let items: Vec<Item> = (0..200).map(|_| random.item()).collect();
    let keys = Backend::best().recover(&items);
    let reversed: Vec<Item> = items.iter().rev().copied().collect();
    let mut back = Backend::best().recover(&reversed);
    back.reverse();
    assert_eq!(back, keys);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(Backend::best().recover(&items), keys));
        }
    });
}

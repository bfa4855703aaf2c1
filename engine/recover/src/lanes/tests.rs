//! The field against a big-integer model, points against libsecp256k1, and ladders that meet what they cannot add.
#![expect(unsafe_code, reason = "the call behind the check of the processor")]

use num_bigint::BigUint;
use secp256k1::{PublicKey, SECP256K1, Scalar as Tweak, SecretKey};

use super::curve::{Affine, Lifted, broadcast, gathered, lifted};
use super::field::{Exact, FOLD, Limbs, Loose, PRIME};
use super::fixed::{self, MULTIPLES, row_of};
use super::table::{ENTRIES, inverses, odd_multiples};
use super::words::{Row, from_rows, from_words, load, store, to_columns, to_rows};
use super::{Factors, Kernel, LANES, Task, climb, power};
use crate::glv::Digits;
use crate::scalar::Scalar;

/// Runs a test where the processor can.
fn run(test: unsafe fn()) {
    if Kernel::detect().is_some() {
        // SAFETY: the processor has AVX-512 F and IFMA.
        unsafe { test() }
    } else {
        println!("skipped: no AVX-512 IFMA");
    }
}

/// p.
fn prime() -> BigUint {
    (BigUint::from(1_u8) << 256) - FOLD
}

/// The number in each lane, not reduced.
#[target_feature(enable = "avx512f,avx512ifma")]
fn model(limbs: &Limbs) -> Vec<BigUint> {
    let columns = limbs.map(|limb| store(limb));
    let number = |lane: usize| columns.iter().rev().fold(BigUint::ZERO, |sum, limb| (sum << 52) + limb[lane]);
    (0..LANES).map(number).collect()
}

/// Limbs from numbers that say which extreme each has, in base 8; the highest limb may be so large.
#[target_feature(enable = "avx512f,avx512ifma")]
fn extreme<const M: u64>(number: usize) -> Exact<M> {
    let low = [0, 1, 1 << 51, (1 << 52) - 2, (1 << 52) - 1, PRIME[0] - 1, PRIME[0], PRIME[0] + 1];
    let top = 1 << 48;
    let high = [0, 1, top - 1, top, top + 63, M * top - 1, M * top, M * (top + 63)];
    let column = |place: u32| {
        let pick = |lane: usize| (number + lane * 4_681) / 8_usize.pow(place) % 8;
        let choices = if place == 4 { &high } else { &low };
        load(&std::array::from_fn(|lane| choices[pick(lane)]))
    };
    Exact::new(&[column(0), column(1), column(2), column(3), column(4)])
}

/// Asserts that lanes are what the model says, modulo p, and in their bounds.
#[target_feature(enable = "avx512f,avx512ifma")]
fn assert_model<const M: u64>(found: &Exact<M>, expected: impl Fn(usize) -> BigUint) {
    let columns = found.0.map(|limb| store(limb));
    for (lane, number) in model(&found.0).iter().enumerate() {
        assert_eq!(number % prime(), expected(lane) % prime(), "lane {lane}");
        assert!(columns[..4].iter().all(|limbs| limbs[lane] < 1 << 52), "limbs");
        assert!(columns[4][lane] <= M * ((1 << 48) + 64), "highest limb");
    }
}

/// [`Loose`] numbers are seen through their carried form.
macro_rules! assert_loose {
    ($bound:literal, $found:expr, $expected:expr) => {{
        let found: Loose<$bound> = $found;
        assert_model(&found.carried(), $expected);
    }};
}

/// Every pair of extremes is one of these.
const PAIRS: usize = 8_usize.pow(5);

#[test]
fn field_products_at_extremes() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    #[expect(clippy::many_single_char_names, reason = "they are only numbers")]
    fn test() {
        for number in 0..PAIRS {
            let (a, b) = (extreme::<15>(number), extreme::<15>(number * 29 + 7));
            let (c, d) = (extreme::<7>(number * 31 + 3), extreme::<13>(number * 37 + 5));
            let (e, f) = (extreme::<9>(number * 41 + 1), extreme::<10>(number * 43 + 11));
            let [ma, mb, mc, md, me, mf] = [&a.0, &b.0, &c.0, &d.0, &e.0, &f.0].map(|limbs| model(limbs));
            assert_model(&a.times(&b), |lane| &ma[lane] * &mb[lane]);
            assert_model(&a.squared(), |lane| &ma[lane] * &ma[lane]);
            assert_model(&d.times_plus_square(&c, &e), |lane| &md[lane] * &mc[lane] + &me[lane] * &me[lane]);
            let two = a.times_plus_product(&c, &d, &f);
            assert_model(&two, |lane| &ma[lane] * &mc[lane] + &md[lane] * &mf[lane]);
        }
    }
    run(test);
}

#[test]
fn field_sums_at_extremes() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        let multiple = prime() * 16_u8;
        for number in 0..PAIRS {
            let (a, b) = (extreme::<6>(number), extreme::<5>(number * 29 + 7));
            let signs = u8::try_from(number % 256).expect("a byte");
            let (ma, mb) = (model(&a.0), model(&b.0));
            assert_loose!(11, a.plus(&b), |lane| &ma[lane] + &mb[lane]);
            assert_loose!(12, a.minus(&b), |lane| &ma[lane] + &multiple - &mb[lane]);
            let narrow = extreme::<1>(number);
            let mn = model(&narrow.0);
            let sum: Loose<7> = a.plus(&narrow);
            assert_loose!(13, b.minus_sum(&sum), |lane| &mb[lane] + &multiple - &ma[lane] - &mn[lane]);
            assert_loose!(13, sum.minus(&b), |lane| &ma[lane] + &mn[lane] + &multiple - &mb[lane]);
            assert_loose!(12, sum.plus(&b), |lane| &ma[lane] + &mn[lane] + &mb[lane]);
            assert_loose!(7, a.with_sign(signs), |lane| {
                if signs >> lane & 1 == 1 { &multiple - &ma[lane] } else { ma[lane].clone() }
            });
            let half = (prime() + 1_u8) / 2_u8;
            assert_loose!(3, narrow.three_halves(), |lane| &mn[lane] * 3_u8 * &half);
            let other = a.replaced(signs, &extreme::<6>(number + 1));
            let mo = model(&extreme::<6>(number + 1).0);
            assert_model(
                &other,
                |lane| if signs >> lane & 1 == 1 { mo[lane].clone() } else { ma[lane].clone() },
            );
        }
    }
    run(test);
}

#[test]
fn field_canonical_forms_at_extremes() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        let limit = BigUint::from(1_u8) << 256;
        for number in 0..PAIRS {
            let wide = extreme::<15>(number);
            let expected: Vec<BigUint> = model(&wide.0).into_iter().map(|number| number % prime()).collect();
            assert_eq!(model(&wide.canonical().0), expected);
            assert!(model(&wide.narrowed().0).iter().all(|number| *number < limit));
            let narrow = extreme::<1>(number);
            let narrow_model = model(&narrow.0);
            assert!(model(&narrow.narrowed().0).iter().all(|number| *number < limit));
            assert_model(&narrow.narrowed(), |lane| narrow_model[lane].clone());
            for (lane, number) in expected.iter().enumerate() {
                assert_eq!(wide.zeros() >> lane & 1 == 1, *number == BigUint::ZERO);
                assert_eq!(wide.odd() >> lane & 1 == 1, number.bit(0));
            }
        }
    }
    run(test);
}

#[test]
fn field_words_and_rows_come_back() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        for number in (0..PAIRS).step_by(7) {
            let (x, y) = (extreme::<15>(number), extreme::<1>(number * 31 + 3));
            let (mx, my) = (model(&x.0), model(&y.0));
            let (rx, ry) = from_rows(&to_rows(&x, &y));
            assert_model(&rx, |lane| mx[lane].clone());
            assert_model(&ry, |lane| my[lane].clone());
            let columns = to_columns(&x);
            assert_eq!(model(&from_words(columns.map(|column| load(&column))).0), model(&x.canonical().0));
        }
    }
    run(test);
}

#[test]
fn field_powers_at_extremes() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        let (root, inverse) = ((prime() + 1_u8) / 4_u8, prime() - 2_u8);
        for number in (0..PAIRS).step_by(331) {
            let (x, y) = (extreme::<1>(number), extreme::<1>(number * 31 + 3));
            let [mx, my] = [x, y].map(|x| model(&x.0));
            let [rx, ry] = power::roots(&[x, y]);
            assert_model(&rx, |lane| mx[lane].modpow(&root, &prime()));
            assert_model(&ry, |lane| my[lane].modpow(&root, &prime()));
            assert_model(&power::inverse(&x), |lane| mx[lane].modpow(&inverse, &prime()));
        }
        let numbers: Vec<Exact<1>> = (1..20).map(|number| Exact::splat([number, 3, 1, 0, number])).collect();
        for (number, inverse) in numbers.iter().zip(inverses(&numbers)) {
            assert_model(&number.times(&inverse), |_| BigUint::from(1_u8));
        }
    }
    run(test);
}

/// `factor`·G.
fn multiple_of_generator(factor: u64) -> PublicKey {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&factor.to_be_bytes());
    PublicKey::from_secret_key(SECP256K1, &SecretKey::from_byte_array(bytes).unwrap())
}

/// The words of the points in each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
fn rows(point: &Affine) -> [Row; LANES] {
    super::to_rows(&point.x, &point.y)
}

#[test]
fn tables_hold_the_multiples() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        let points: Vec<[PublicKey; LANES]> = (0..3)
            .map(|vector| std::array::from_fn(|lane| multiple_of_generator(1 + 100 * vector + lane as u64)))
            .collect();
        let bases: Vec<Affine> =
            points.iter().map(|points| gathered(&points.each_ref().map(row_of))).collect();
        for (points, table) in points.iter().zip(odd_multiples(&bases, ENTRIES).chunks_exact(ENTRIES)) {
            for (entry, multiples) in table.iter().enumerate() {
                let mut factor = [0; 32];
                factor[31] = u8::try_from(2 * entry + 1).unwrap();
                let factor = Tweak::from_be_bytes(factor).unwrap();
                let expected = points.map(|point| row_of(&fixed::multiple(&point, &factor)));
                assert_eq!(rows(multiples), expected, "entry {entry} of {ENTRIES}");
            }
        }
        let generator = multiple_of_generator(1);
        let made = fixed::make(&generator);
        for (table, base) in
            made.generator.iter().zip([generator, fixed::multiple(&generator, &fixed::power_of_two(130))])
        {
            let two = base.combine(&base).unwrap();
            let mut point = base;
            for (entry, row) in table.iter().enumerate() {
                assert_eq!(store(*row), row_of(&point), "entry {entry} of {MULTIPLES}");
                point = point.combine(&two).unwrap();
            }
        }
        let lambda = Tweak::from_be_bytes(LAMBDA).unwrap();
        let endomorphic = broadcast(&row_of(&generator)).endomorphism_x();
        let expected = row_of(&fixed::multiple(&generator, &lambda));
        assert_eq!(to_columns(&endomorphic).map(|column| column[0]), expected[..4]);
    }
    run(test);
}

/// λ.
const LAMBDA: [u8; 32] = [
    0x53, 0x63, 0xad, 0x4c, 0xc0, 0x5c, 0x30, 0xe0, 0xa5, 0x26, 0x1c, 0x02, 0x88, 0x12, 0x64, 0x5a, 0x12,
    0x2e, 0x22, 0xea, 0x20, 0x81, 0x66, 0x78, 0xdf, 0x02, 0x96, 0x7c, 0x1b, 0x23, 0xbd, 0x72,
];

#[test]
fn points_are_lifted_where_there_are_any() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        // The prime itself and numbers above stand for small ones.
        let xs: [u64; LANES] = [1, 2, 3, 4, 5, 6, 7, 8];
        let x = from_words([load(&xs), load(&[0; 8]), load(&[0; 8]), load(&[0; 8])]);
        for odd in [0x00, 0xff, 0x5a] {
            let [Lifted { point, found, absent }] = lifted(&[x], &[odd]);
            assert_eq!(found, !absent);
            for (lane, row) in rows(&point).iter().enumerate() {
                let mut compressed = [0; 33];
                compressed[0] = 2 + (odd >> lane & 1);
                compressed[25..].copy_from_slice(&xs[lane].to_be_bytes());
                let key = PublicKey::from_byte_array_compressed(compressed);
                assert_eq!(found >> lane & 1 == 1, key.is_ok(), "x = {}", xs[lane]);
                if let Ok(key) = key {
                    assert_eq!(*row, row_of(&key));
                }
            }
        }
    }
    run(test);
}

/// The task for u1·G + u2·R with R = `k`·G.
fn task(k: u64, u1: Scalar, u2: Scalar) -> Task {
    let factors = Factors { generator: Digits::of_whole(u1), halves: Digits::of_halves(u2) };
    Task { point: row_of(&multiple_of_generator(k)), factors }
}

#[test]
fn blinding_changes_nothing_but_which_lanes_are_flagged() {
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn test() {
        // Of small factors the first additions to the blinding point are small multiples as well, so some blinding
        // points are just what must not be added.
        let small = |number: u64| Scalar([number, 0, 0, 0]);
        let tasks: Vec<Task> =
            (0..512).map(|number| task(1 + number % 3, small(number * 5), small(1 + number * 7))).collect();
        let mut flagged = 0;
        for blinding in (1..40).chain([99, 12_345]) {
            let sums = climb(&fixed::make(&multiple_of_generator(blinding)), &tasks);
            for (number, sum) in (0..).zip(sums) {
                let expected = number * 5 + (1 + number % 3) * (1 + number * 7);
                match sum {
                    Some(sum) => assert_eq!(sum, row_of(&multiple_of_generator(expected))),
                    None => flagged += 1,
                }
            }
        }
        assert!(flagged > 100, "{flagged} lanes were flagged");
    }
    run(test);
}

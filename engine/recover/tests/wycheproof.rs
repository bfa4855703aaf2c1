//! Wycheproof's ECDSA tests for secp256k1: each signature with both parities, in every lane.

use sha2::Digest as _;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use weft_recover::{Backend, Item, PublicKey};
use wycheproof::ecdsa::{TestName, TestSet};
use wycheproof::{HashFunction, TestResult};

/// The sets.
const SETS: [TestName; 11] = [
    TestName::EcdsaSecp256k1Sha256,
    TestName::EcdsaSecp256k1Sha256Bitcoin,
    TestName::EcdsaSecp256k1Sha256P1363,
    TestName::EcdsaSecp256k1Sha3_256,
    TestName::EcdsaSecp256k1Sha3_512,
    TestName::EcdsaSecp256k1Sha512,
    TestName::EcdsaSecp256k1Sha512P1363,
    TestName::EcdsaSecp256k1Shake128,
    TestName::EcdsaSecp256k1Shake128P1363,
    TestName::EcdsaSecp256k1Shake256,
    TestName::EcdsaSecp256k1Shake256P1363,
];

/// A test whose signature is two numbers of 32 bytes.
struct Case {
    /// Set and number.
    name: String,
    /// The signature, with both parities.
    items: [Item; 2],
    /// The key that it is to be checked with.
    key: PublicKey,
    /// Whether it is that key's.
    valid: Option<bool>,
}

/// The first 32 bytes of a message's hash.
fn digest(hash: HashFunction, message: &[u8]) -> [u8; 32] {
    let first = |bytes: &[u8]| bytes[..32].try_into().expect("32 bytes");
    match hash {
        HashFunction::Sha2_256 => first(&sha2::Sha256::digest(message)),
        HashFunction::Sha2_512 => first(&sha2::Sha512::digest(message)),
        HashFunction::Sha3_256 => first(&<sha3::Sha3_256 as sha3::Digest>::digest(message)),
        HashFunction::Sha3_512 => first(&<sha3::Sha3_512 as sha3::Digest>::digest(message)),
        HashFunction::Shake128 => extended(sha3::Shake128::default().chain(message)),
        HashFunction::Shake256 => extended(sha3::Shake256::default().chain(message)),
        HashFunction::Sha1
        | HashFunction::Sha2_224
        | HashFunction::Sha2_384
        | HashFunction::Sha2_512_224
        | HashFunction::Sha2_512_256
        | HashFunction::Sha3_224
        | HashFunction::Sha3_384 => panic!("no set of secp256k1 has {hash:?}"),
    }
}

/// The first 32 bytes of an endless hash.
fn extended(hash: impl ExtendableOutput) -> [u8; 32] {
    let mut bytes = [0; 32];
    hash.finalize_xof().read(&mut bytes);
    bytes
}

/// r and s of a signature in the plain form.
fn plain(signature: &[u8]) -> Option<[[u8; 32]; 2]> {
    let (r, s) = signature.split_at_checked(32)?;
    Some([r.try_into().ok()?, s.try_into().ok()?])
}

/// r and s of a signature in DER, unless they are negative or too long.
fn der(signature: &[u8]) -> Option<[[u8; 32]; 2]> {
    let (&[0x30, length], mut rest) = signature.split_first_chunk()? else { return None };
    let mut next = || {
        let (&[2, length], numbers) = rest.split_first_chunk()? else { return None };
        let number;
        (number, rest) = numbers.split_at_checked(usize::from(length))?;
        let negative = number.first()? >> 7 == 1;
        let digits = number.strip_prefix(&[0]).unwrap_or(number);
        let mut bytes = [0; 32];
        bytes.get_mut(32_usize.checked_sub(digits.len())?..)?.copy_from_slice(digits);
        (!negative).then_some(bytes)
    };
    let numbers = [next()?, next()?];
    (rest.is_empty() && usize::from(length) == signature.len() - 2).then_some(numbers)
}

/// The cases of a set, and how many tests it has.
fn cases(name: TestName) -> (Vec<Case>, usize) {
    let set = TestSet::load(name).expect("the crate's own data");
    let (mut cases, mut count) = (Vec::new(), 0);
    for group in &set.test_groups {
        let Some(coordinates) = group.key.key.strip_prefix(&[4]) else { panic!("an uncompressed key") };
        let key = PublicKey(coordinates.try_into().expect("64 bytes"));
        for test in &group.tests {
            count += 1;
            let numbers =
                if format!("{name:?}").ends_with("P1363") { plain(&test.sig) } else { der(&test.sig) };
            let Some([r, s]) = numbers else { continue };
            let item = Item { digest: digest(group.hash, &test.msg), r, s, y_odd: false };
            let valid = match test.result {
                TestResult::Valid => Some(true),
                // Bitcoin refuses the upper half of s; here that is the caller's rule.
                TestResult::Invalid if name != TestName::EcdsaSecp256k1Sha256Bitcoin => Some(false),
                TestResult::Invalid | TestResult::Acceptable => None,
            };
            cases.push(Case {
                name: format!("{name:?} {}: {}", test.tc_id, test.comment),
                items: [item, Item { y_odd: true, ..item }],
                key,
                valid,
            });
        }
    }
    (cases, count)
}

#[test]
fn wycheproof_agrees() {
    let (mut cases_all, mut count_all) = (Vec::new(), 0);
    for name in SETS {
        let (cases, count) = cases(name);
        assert!(cases.len() > count / 3, "{name:?}: {} of {count}", cases.len());
        count_all += count;
        cases_all.extend(cases);
    }
    let items: Vec<Item> = cases_all.iter().flat_map(|case| case.items).collect();
    let expected = Backend::Libsecp256k1.recover(&items);
    for shift in 0..8 {
        let mut shifted = vec![items[0]; shift];
        shifted.extend(&items);
        assert_eq!(Backend::Ifma.recover(&shifted)[shift..], expected, "shifted by {shift}");
    }
    let mut judged = 0;
    for (case, keys) in cases_all.iter().zip(expected.as_chunks::<2>().0) {
        if let Some(valid) = case.valid {
            // A small r may stand for a point whose x is the order or above. To recover that takes a third and a
            // fourth parity, which Ethereum lacks.
            let reduced = case.items[0].r[..15] == [0; 15];
            judged += usize::from(!(valid && reduced));
            let found = keys.contains(&Ok(case.key));
            assert!(found == valid || valid && reduced, "{}", case.name);
        }
    }
    println!("{count_all} tests, {} with numbers of 32 bytes, {judged} judged", cases_all.len());
}

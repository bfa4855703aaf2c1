//! Those who sign: the same few keys for every block.

use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Signature, keccak256};
use k256::ecdsa::SigningKey;

/// How many there are.
pub(super) const COUNT: usize = 40;

/// All of them.
static PEOPLE: LazyLock<Vec<Person>> = LazyLock::new(|| (0..COUNT).map(Person::new).collect());

/// Somebody who signs.
#[derive(Debug)]
pub(super) struct Person {
    /// The key.
    key: SigningKey,
    /// Its address.
    pub(super) address: Address,
}

/// The person with this number.
pub(super) fn person(number: usize) -> &'static Person {
    &PEOPLE[number % COUNT]
}

impl Person {
    /// Makes the key with this number.
    fn new(number: usize) -> Self {
        let secret = keccak256(format!("weft fuzz {number}"));
        let key = SigningKey::from_slice(&secret.0).expect("a hash is a key, but for one in 2^128");
        let point = key.verifying_key().to_encoded_point(false);
        Self { address: Address::from_raw_public_key(&point.as_bytes()[1..]), key }
    }

    /// Signs a digest.
    pub(super) fn sign(&self, digest: B256) -> Signature {
        self.key.sign_prehash_recoverable(&digest.0).expect("a digest can be signed").into()
    }
}

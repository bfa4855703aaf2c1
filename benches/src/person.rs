//! Somebody who signs.

use alloy_consensus::SignableTransaction;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, Signature, keccak256};
use k256::ecdsa::SigningKey;
use rayon::prelude::*;

/// A key and its address.
#[derive(Debug)]
pub(crate) struct Person {
    /// The key.
    key: SigningKey,
    /// Its address.
    pub(crate) address: Address,
}

impl Person {
    /// The first so many people, made on all cores.
    pub(crate) fn several(count: usize) -> Vec<Self> {
        (0..count).into_par_iter().map(Self::new).collect()
    }

    /// The person with this number.
    fn new(number: usize) -> Self {
        let secret = keccak256(format!("weft benches {number}"));
        let key = SigningKey::from_slice(&secret.0).expect("a hash is a key, but for one in 2^128");
        let point = key.verifying_key().to_encoded_point(false);
        Self { address: Address::from_raw_public_key(&point.as_bytes()[1..]), key }
    }

    /// The signature of a transaction.
    pub(crate) fn sign(&self, transaction: &impl SignableTransaction<Signature>) -> Signature {
        self.sign_digest(&transaction.signature_hash().0)
    }

    /// Lets an account's code act for this person (EIP-7702).
    pub(crate) fn authorize(&self, authorization: Authorization) -> SignedAuthorization {
        let signature = self.sign_digest(&authorization.signature_hash().0);
        authorization.into_signed(signature)
    }

    /// The signature of a digest.
    fn sign_digest(&self, digest: &[u8; 32]) -> Signature {
        self.key.sign_prehash_recoverable(digest).expect("a digest can be signed").into()
    }
}

//! Who signed: senders of transactions and authorities of EIP-7702 delegations.
//!
//! Signatures depend on nothing but themselves, so they are checked on all cores before the block runs. All
//! recovery goes through [`recover`].

use alloy_consensus::Transaction;
use alloy_eips::eip7702::{RecoveredAuthority, RecoveredAuthorization, SignedAuthorization};
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use rayon::prelude::*;
use revm::context::TxEnv;
use revm::context::either::Either;
use revm::precompile::{Crypto, DefaultCrypto};

use crate::block::SignedTransaction;
use crate::error::BlockError;

/// Half the order of secp256k1's group: from Homestead on, `s` of a transaction must not be above it (EIP-2).
const HALF_ORDER: U256 = U256::from_limbs([
    0xdfe9_2f46_681b_20a0,
    0x5d57_6e73_57a4_501d,
    0xffff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
]);

/// An uncompressed public key: `04 ‖ x ‖ y`.
pub type PublicKey = [u8; 65];

/// Which signatures the fork accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malleability {
    /// Any `s` (Frontier).
    Accepted,
    /// `s` up to half the order (EIP-2, Homestead and later).
    Rejected,
}

/// Recovers the signer of `digest`, or `None` if there is no such signer.
pub(crate) fn recover(signature: &Signature, digest: B256, malleability: Malleability) -> Option<Address> {
    if malleability == Malleability::Rejected && signature.s() > HALF_ORDER {
        return None;
    }
    let mut rs = [0; 64];
    rs[..32].copy_from_slice(&signature.r().to_be_bytes::<32>());
    rs[32..].copy_from_slice(&signature.s().to_be_bytes::<32>());
    let word = DefaultCrypto.secp256k1_ecrecover(&rs, u8::from(signature.v()), &digest.0).ok()?;
    Some(Address::from_slice(&word[12..]))
}

/// The address of an uncompressed public key, or `None` if it does not begin with `04`.
fn address_of(key: &PublicKey) -> Option<Address> {
    let coordinates = key.strip_prefix(&[4])?;
    Some(Address::from_slice(&keccak256(coordinates)[12..]))
}

/// Recovers all senders and authorities on the threads of the current pool, in block order.
///
/// With `public_keys`, each must be the key that signed; a key cannot replace recovery, since it must also match
/// the signature's parity.
///
/// # Errors
///
/// The [`BlockError`] of the first transaction that has one.
pub(crate) fn recover_all(
    transactions: &[SignedTransaction],
    public_keys: Option<&[PublicKey]>,
    malleability: Malleability,
) -> Result<Vec<TxEnv>, BlockError> {
    if let Some(keys) = public_keys
        && keys.len() != transactions.len()
    {
        return Err(BlockError::PublicKeyCount { keys: keys.len(), transactions: transactions.len() });
    }
    let one = |(index, transaction): (usize, &SignedTransaction)| {
        let sender = recover(transaction.signature(), transaction.signature_hash(), malleability)
            .ok_or(BlockError::Signature { index })?;
        if public_keys.is_some_and(|keys| address_of(&keys[index]) != Some(sender)) {
            return Err(BlockError::PublicKey { index });
        }
        Ok(environment(transaction, sender))
    };
    let results: Vec<Result<TxEnv, BlockError>> = transactions.par_iter().enumerate().map(one).collect();
    results.into_iter().collect()
}

/// What revm needs to know of a transaction.
fn environment(transaction: &SignedTransaction, sender: Address) -> TxEnv {
    if let SignedTransaction::Eip7702(signed) = transaction {
        // alloy-evm would recover the authorities as well, one by one and with another library.
        let mut bare = signed.tx().clone();
        let authorizations = std::mem::take(&mut bare.authorization_list);
        let mut env = TxEnv::from_recovered_tx(&bare, sender);
        env.authorization_list =
            authorizations.into_iter().map(|signed| Either::Right(authorization(signed))).collect();
        return env;
    }
    TxEnv::from_recovered_tx(transaction, sender)
}

/// An EIP-7702 authorization with its authority, if its signature has one.
fn authorization(signed: SignedAuthorization) -> RecoveredAuthorization {
    let authority = signed
        .signature()
        .ok()
        .and_then(|signature| recover(&signature, signed.signature_hash(), Malleability::Rejected))
        .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
    RecoveredAuthorization::new_unchecked(signed.inner().clone(), authority)
}

/// Blob gas of a transaction; zero if it carries no blobs.
pub(crate) fn blob_gas(transaction: &SignedTransaction) -> u64 {
    transaction.blob_gas_used().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{SignableTransaction, TxLegacy};
    use alloy_primitives::{b256, uint};

    use super::*;

    /// A signature made by libsecp256k1 for key 0x46…46 (the example of EIP-155).
    fn example() -> SignedTransaction {
        let transaction = TxLegacy {
            chain_id: Some(1),
            nonce: 9,
            gas_price: 20_000_000_000,
            gas_limit: 21_000,
            to: Address::repeat_byte(0x35).into(),
            value: U256::from(10).pow(U256::from(18)),
            input: alloy_primitives::Bytes::new(),
        };
        let signature = Signature::new(
            uint!(0x28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276_U256),
            uint!(0x67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83_U256),
            false,
        );
        SignedTransaction::Legacy(transaction.into_signed(signature))
    }

    #[test]
    fn eip155_example_is_recovered() {
        let transaction = example();
        assert_eq!(
            transaction.signature_hash(),
            b256!("0xdaf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53")
        );
        let sender = recover(transaction.signature(), transaction.signature_hash(), Malleability::Rejected);
        assert_eq!(sender, Some(alloy_primitives::address!("0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F")));
    }

    #[test]
    fn high_s_is_accepted_on_frontier_only() {
        let signature = example().signature().to_owned();
        let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
        let high = Signature::new(signature.r(), order - signature.s(), !signature.v());
        let digest = example().signature_hash();
        assert_eq!(recover(&high, digest, Malleability::Rejected), None);
        assert_eq!(
            recover(&high, digest, Malleability::Accepted),
            recover(&signature, digest, Malleability::Rejected)
        );
    }

    #[test]
    fn wrong_keys_are_rejected() {
        let transactions = [example()];
        let count = recover_all(&transactions, Some(&[]), Malleability::Rejected).unwrap_err();
        assert_eq!(count, BlockError::PublicKeyCount { keys: 0, transactions: 1 });
        let key = recover_all(&transactions, Some(&[[4; 65]]), Malleability::Rejected).unwrap_err();
        assert_eq!(key, BlockError::PublicKey { index: 0 });
    }
}

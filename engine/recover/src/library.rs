//! One signature by libsecp256k1: the oracle, and the fallback.

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1};

use crate::{Item, NoKey, PublicKey};

/// The key that signed.
///
/// # Errors
///
/// [`NoKey`] if r or s is zero or not below the order, if no point has this r as its x, or if the key would be the
/// point at infinity.
pub(crate) fn recover(item: &Item) -> Result<PublicKey, NoKey> {
    let mut compact = [0; 64];
    compact[..32].copy_from_slice(&item.r);
    compact[32..].copy_from_slice(&item.s);
    let id = if item.y_odd { RecoveryId::One } else { RecoveryId::Zero };
    let signature = RecoverableSignature::from_compact(&compact, id).map_err(|_| NoKey)?;
    let key = SECP256K1.recover_ecdsa(Message::from_digest(item.digest), &signature).map_err(|_| NoKey)?;
    let [_, coordinates @ ..] = key.serialize_uncompressed();
    Ok(PublicKey(coordinates))
}

//! Hashes that one EVM has computed before.
//!
//! Solidity finds an entry of a mapping at the hash of its key and the mapping's slot: 64 bytes. Most blocks come back to
//! the same entries again and again (a pool's balances, whoever receives and then sends), and Keccak takes twenty times
//! as long as to compare the bytes.

use alloy_primitives::B256;

/// The length of what is remembered.
pub(crate) const LENGTH: usize = 64;

/// How many are remembered at most: a power of two.
const PLACES: usize = 1_024;

/// What one EVM has hashed. Each message has one place, and the last one that was there counts: whoever contrives that all
/// share one gains nothing.
#[derive(Debug, Default)]
pub(crate) struct HashMemo(Vec<([u8; LENGTH], B256)>);

impl HashMemo {
    /// The hash of a message, if it is remembered.
    pub(crate) fn get(&self, message: &[u8; LENGTH]) -> Option<B256> {
        let (known, hash) = self.0.get(place(message))?;
        (known == message).then_some(*hash)
    }

    /// Remembers a hash.
    pub(crate) fn put(&mut self, message: [u8; LENGTH], hash: B256) {
        if self.0.is_empty() {
            let zeros = [0; LENGTH];
            self.0 = vec![(zeros, alloy_primitives::keccak256(zeros)); PLACES];
        }
        self.0[place(&message)] = (message, hash);
    }
}

/// The place of a message.
fn place(message: &[u8; LENGTH]) -> usize {
    let (words, _) = message.as_chunks::<8>();
    let mixed = words.iter().fold(0u64, |mixed, word| {
        (mixed.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    #[test]
    fn what_is_remembered_is_the_hash() {
        let mut memo = HashMemo::default();
        let message = |number: usize| {
            let mut message = [0; LENGTH];
            message[24..32].copy_from_slice(&number.to_be_bytes());
            message
        };
        assert_eq!(memo.get(&message(0)), None, "nothing yet");
        memo.put(message(1), keccak256(message(1)));
        assert_eq!(memo.get(&message(0)), Some(keccak256(message(0))), "who finds zeros finds their hash");
        let mut remembered = 0;
        for round in 0..2 {
            for message in (1..3 * PLACES).map(message) {
                let hash = keccak256(message);
                remembered +=
                    usize::from(memo.get(&message).inspect(|found| assert_eq!(*found, hash)).is_some());
                memo.put(message, hash);
                assert_eq!(memo.get(&message), Some(hash), "{round}");
            }
        }
        assert!(memo.0.iter().filter(|(message, _)| *message != [0; LENGTH]).count() > PLACES / 2);
        assert!(remembered < PLACES, "{remembered}: there are more than places");
    }
}

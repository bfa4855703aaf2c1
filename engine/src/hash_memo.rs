//! Hashes that one EVM has computed before.
//!
//! Solidity finds an entry of a mapping at the hash of its key and the mapping's slot: 64 bytes. Most blocks come back to
//! the same entries again and again (a pool's balances, whoever receives and then sends), and Keccak takes twenty times
//! as long as to compare the bytes.

use alloy_primitives::{B256, b256};

/// The length of what is remembered.
pub(crate) const LENGTH: usize = 64;

/// How many are remembered at most: a power of two.
const PLACES_MAX: usize = 1_024;

/// How many places there are at first: a power of two. To lay out all takes as long as two transfers of a token.
const PLACES_MIN: usize = 16;

/// What is remembered where nothing is yet: the hash of zeros.
const OF_ZEROS: Place =
    ([0; LENGTH], b256!("0xad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5"));

/// A message and its hash.
type Place = ([u8; LENGTH], B256);

/// What one EVM has hashed. Each message has one place, and the last one that was there counts: whoever contrives that all
/// share one gains nothing.
#[derive(Debug, Default)]
pub(crate) struct HashMemo {
    /// The places; a power of two, or none.
    places: Vec<Place>,
    /// How many hashes may come until there are more places, if there can be.
    room: usize,
    /// Somebody wants to know what is asked for.
    listens: bool,
    /// What was.
    asked: Vec<[u8; LENGTH]>,
}

/// How many messages are told of one transaction at most.
const ASKED_MAX: usize = 16;

impl HashMemo {
    /// From now on it is noted what is asked for.
    pub(crate) fn listen(&mut self) {
        self.listens = true;
        self.asked.clear();
    }

    /// What was asked for since somebody wanted to know, who does no longer; `None` if nobody did.
    pub(crate) fn asked(&mut self) -> Option<&[[u8; LENGTH]]> {
        core::mem::take(&mut self.listens).then_some(&*self.asked)
    }

    /// The hash of a message, if it is remembered.
    pub(crate) fn get(&mut self, message: &[u8; LENGTH]) -> Option<B256> {
        if self.listens && self.asked.len() < ASKED_MAX {
            self.asked.push(*message);
        }
        self.find(message)
    }

    /// Whether the hash of a message is remembered.
    pub(crate) fn knows(&self, message: &[u8; LENGTH]) -> bool {
        self.find(message).is_some()
    }

    /// The hash of a message, if it is remembered.
    fn find(&self, message: &[u8; LENGTH]) -> Option<B256> {
        if self.places.is_empty() {
            return None;
        }
        let (known, hash) = &self.places[place(message, self.places.len())];
        (known == message).then_some(*hash)
    }

    /// Remembers a hash.
    pub(crate) fn put(&mut self, message: [u8; LENGTH], hash: B256) {
        if self.room == 0 && self.places.len() < PLACES_MAX {
            self.grow();
        }
        self.room = self.room.saturating_sub(1);
        let place = place(&message, self.places.len());
        self.places[place] = (message, hash);
    }

    /// Makes more places, and moves what is remembered there.
    fn grow(&mut self) {
        let count = (4 * self.places.len()).clamp(PLACES_MIN, PLACES_MAX);
        let old = core::mem::replace(&mut self.places, vec![OF_ZEROS; count]);
        for (message, hash) in old {
            self.places[place(&message, count)] = (message, hash);
        }
        self.room = count / 2;
    }
}

/// The place of a message, of so many.
fn place(message: &[u8; LENGTH], places: usize) -> usize {
    let (words, _) = message.as_chunks::<8>();
    let mixed = words.iter().fold(0u64, |mixed, word| {
        (mixed.rotate_left(29) ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    (mixed >> 32) as usize & (places - 1)
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
            for message in (1..3 * PLACES_MAX).map(message) {
                let hash = keccak256(message);
                remembered +=
                    usize::from(memo.get(&message).inspect(|found| assert_eq!(*found, hash)).is_some());
                memo.put(message, hash);
                assert_eq!(memo.get(&message), Some(hash), "{round}");
            }
        }
        assert!(memo.places.iter().filter(|(message, _)| *message != [0; LENGTH]).count() > PLACES_MAX / 2);
        assert!(remembered < PLACES_MAX, "{remembered}: there are more than places");
    }
}

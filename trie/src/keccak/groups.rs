//! Short messages, written where they are hashed.
//!
//! ```text
//!  message of 1 block  ─► ▢▢▢▢▢▢▢▢
//!             2 blocks ─► ▢▢▢▢▢▢▢▢   whichever row is full is hashed in one go,
//!             3 blocks ─► ▢▢▢▢▢▢▢▢   each place a lane
//!             4 blocks ─► ▢▢▢▢▢▢▢▢
//! ```
//!
//! What is encoded for its hash alone need not lie anywhere else: it is written to the place of its lane, padded
//! there, and still in the nearest cache when the kernel reads it.

use super::{Backend, BlockBytes, RATE, permutations};
use alloy_primitives::{B256, keccak256};

/// Blocks of the longest messages that are short.
const BLOCKS_MAX: usize = 4;

/// Bytes of the longest message that is short.
pub(crate) const SHORT_MAX: usize = BLOCKS_MAX * RATE - 1;

/// Messages hashed together: as many as the widest kernel has lanes.
pub(super) const GROUP: usize = 8;

/// Messages that wait for others of as many blocks. Each has a name, which comes back with its digest.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By the number of blocks, less one.
    groups: [Group; BLOCKS_MAX],
    /// What the messages are hashed with.
    backend: Backend,
}

/// Messages of the same number of blocks.
#[derive(Debug)]
struct Group {
    /// The messages, padded.
    messages: Vec<[BlockBytes; BLOCKS_MAX]>,
    /// Their names and lengths.
    named: Vec<(usize, usize)>,
}

impl Groups {
    /// No messages yet.
    pub(crate) fn new() -> Self {
        let group =
            |_| Group { messages: vec![[[0; RATE]; BLOCKS_MAX]; GROUP], named: Vec::with_capacity(GROUP) };
        Self { groups: std::array::from_fn(group), backend: Backend::best() }
    }

    /// Adds a message of up to [`SHORT_MAX`] bytes, which `write` writes, and says whether that fills its group.
    ///
    /// # Panics
    ///
    /// If the group is full: whoever fills one must have it hashed.
    #[must_use]
    pub(crate) fn add(&mut self, name: usize, length: usize, write: impl FnOnce(&mut [u8])) -> bool {
        let blocks = permutations(length);
        let group = &mut self.groups[blocks - 1];
        let room = group.messages[group.named.len()].as_flattened_mut();
        write(&mut room[..length]);
        room[length..blocks * RATE].fill(0);
        room[length] = 0x01;
        room[blocks * RATE - 1] |= 0x80;
        group.named.push((name, length));
        group.named.len() == GROUP
    }

    /// Hashes the messages of groups that are full. `done` gets the name, the message and the digest of each.
    pub(crate) fn hash_full(&mut self, done: impl FnMut(usize, &[u8], &B256)) {
        self.hash(GROUP, done);
    }

    /// Hashes all messages, as [`Self::hash_full`] does.
    pub(crate) fn hash_all(&mut self, done: impl FnMut(usize, &[u8], &B256)) {
        self.hash(1, done);
    }

    /// Hashes the messages of groups that have at least so many.
    fn hash(&mut self, enough: usize, mut done: impl FnMut(usize, &[u8], &B256)) {
        for (group, blocks) in self.groups.iter_mut().zip(1..) {
            if group.named.len() >= enough {
                group.hash(self.backend, blocks, &mut done);
            }
        }
    }
}

impl Group {
    /// Hashes the messages, which have so many blocks.
    fn hash(&mut self, backend: Backend, blocks: usize, mut done: impl FnMut(usize, &[u8], &B256)) {
        let mut digests = [B256::ZERO; GROUP];
        let digests = &mut digests[..self.named.len()];
        let message = |place: usize| &self.messages[place][..blocks];
        if !backend.hash_padded(message, digests) {
            for ((message, (_, length)), digest) in self.messages.iter().zip(&self.named).zip(&mut *digests) {
                *digest = keccak256(&message.as_flattened()[..*length]);
            }
        }
        for ((message, (name, length)), digest) in self.messages.iter().zip(self.named.drain(..)).zip(digests)
        {
            done(name, &message.as_flattened()[..length], digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// K1: digests are those of the messages, in groups that are full and in groups that are not.
    #[test]
    fn groups_give_keccak() {
        for backend in Backend::ALL {
            for count in [0, 1, 2, 5, 8, 9, 600] {
                let mut groups = Groups { backend, ..Groups::new() };
                let mut digests = BTreeMap::new();
                let message =
                    |name: usize| vec![u8::try_from(name % 251).expect("a byte"); name * 7 % (SHORT_MAX + 1)];
                let mut done = |name: usize, bytes: &[u8], digest: &B256| {
                    assert_eq!(bytes, message(name));
                    assert_eq!(digests.insert(name, *digest), None);
                };
                for name in 0..count {
                    let bytes = message(name);
                    if groups.add(name, bytes.len(), |room| room.copy_from_slice(&bytes)) {
                        groups.hash_full(&mut done);
                    }
                }
                groups.hash_all(&mut done);
                assert_eq!(digests.len(), count);
                assert!(digests.iter().all(|(name, digest)| *digest == keccak256(message(*name))));
            }
        }
    }
}

//! Messages whose hashes are known from before.
//!
//! Blocks that follow each other come with the same upper nodes and the same codes again. Whether bytes are the
//! same as earlier ones is seen faster than what they hash to, so a table of earlier bytes with their hashes,
//! shared between blocks, saves hashing.
//!
//! ```text
//!  message ── a few of its words, mixed with seeds ──► slot ── all bytes the same? ──► its hash
//!                                                                └── no: hash it ──► the slot expects it
//! ```
//!
//! Of most messages nothing is ever seen again, so one is kept when it comes with a second batch in a row of
//! those that belong into its slot. Somebody may send anything twice, to push out what others use. So whatever
//! was found in this *generation* of batches, or in the one before, stays; and what was never found since it
//! was put makes room for whatever comes.
//!
//! - **W1.** A hash that comes out is that of the bytes that went in: every byte is compared. So nothing can be
//!   told from an outcome about what is in the table, and whatever a witness lacks it lacks.
//! - **W2.** The table holds no more bytes than it was made for, whatever is put in.
//! - **W3.** Whoever finds the table taken does without; nobody waits.
//! - **W4.** What is found in each generation is not pushed out, whatever else comes, and however much of it.

use crate::keccak::{keccak256_batch_parallel, prefetch, prefetch_entry};
use alloy_primitives::B256;
use rayon::prelude::*;
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        RwLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Messages shorter than this are not looked up: they are hashed as fast.
const LENGTH_MIN: usize = 32;

/// Bytes of a message in the table, on average, by which the number of slots is chosen.
const LENGTH_USUAL: usize = 256;

/// Messages that are looked up on one thread.
const PIECE: usize = 512;

/// How many messages ahead of the one that is compared the next are asked for.
const AHEAD: usize = 6;

/// Batches in a generation: whoever wants to push out what is used has to send more, with nothing used in between.
const GENERATION: u32 = 16;

/// Slots that are looked at, for one message, to find what can go when there is no room.
const SWEPT_AT_ONCE: usize = 64;

/// A table of hashes, bounded in memory, for any number of threads and blocks at once.
///
/// ```
/// use alloy_primitives::keccak256;
/// use weft_trie::KnownHashes;
///
/// let known = KnownHashes::new(1 << 20);
/// let messages = [vec![1; 500], vec![2; 500]];
/// for _ in 0..3 {
///     assert_eq!(known.hash(&messages), [keccak256(&messages[0]), keccak256(&messages[1])]);
/// }
/// ```
#[derive(Debug)]
pub struct KnownHashes {
    /// What slots are chosen with, which senders of messages do not know.
    seeds: [u64; 2],
    /// How many batches there have been.
    batches: AtomicU32,
    /// What is known.
    table: RwLock<Table>,
}

/// One slot for each value that a key can have.
#[derive(Debug)]
struct Table {
    /// The messages, each in the slot of its key.
    slots: Box<[Option<Known>]>,
    /// What was put last, by slot.
    expected: Box<[Expected]>,
    /// Where the search for what can go goes on.
    hand: usize,
    /// Bytes of all messages.
    length: usize,
    /// How many these may be.
    length_max: usize,
}

/// A message that was put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    /// A part of its key.
    tag: u32,
    /// The batch it came with.
    batch: u32,
}

/// A message and its hash.
#[derive(Debug)]
struct Known {
    /// The generation in which it was found last; zero if it was not.
    found: AtomicU32,
    /// The hash.
    hash: B256,
    /// The message.
    bytes: Box<[u8]>,
}

impl KnownHashes {
    /// An empty table that takes up to about `memory` bytes, a fifth of it at once.
    pub fn new(memory: usize) -> Self {
        let random = RandomState::new();
        Self::with_seeds(memory, [random.hash_one(0), random.hash_one(1)])
    }

    /// The same, if slots are chosen with these.
    fn with_seeds(memory: usize, seeds: [u64; 2]) -> Self {
        let slot = size_of::<Option<Known>>() + size_of::<Expected>();
        let slots = (memory / (LENGTH_USUAL + slot)).max(1);
        let table = Table {
            slots: std::iter::repeat_with(|| None).take(slots).collect(),
            expected: vec![Expected::default(); slots].into(),
            hand: 0,
            length: 0,
            length_max: memory.saturating_sub(slots * slot),
        };
        Self { seeds, batches: AtomicU32::new(0), table: RwLock::new(table) }
    }

    /// The Keccak-256 of each message, in their order, on all threads of the current rayon pool.
    pub fn hash<M: AsRef<[u8]> + Sync>(&self, messages: &[M]) -> Vec<B256> {
        // ORDERING: relaxed, as all that is counted here: it decides what is kept, and no hash depends on that.
        let batch = self.batches.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let (mut hashes, unknown) = self.find(messages, generation(batch));
        let missed: Vec<&M> = unknown.iter().map(|place| &messages[*place]).collect();
        let computed = keccak256_batch_parallel(&missed);
        for (place, hash) in unknown.iter().zip(&computed) {
            hashes[*place] = *hash;
        }
        // A table that somebody else writes to, or panicked while writing, is left alone.
        if !missed.is_empty()
            && let Ok(mut table) = self.table.try_write()
        {
            for (message, hash) in missed.into_iter().zip(computed) {
                table.put(self.key(message.as_ref()), message.as_ref(), hash, batch);
            }
        }
        hashes
    }

    /// The hashes that are known, and the places of the messages whose hashes are not.
    fn find<M: AsRef<[u8]> + Sync>(&self, messages: &[M], generation: u32) -> (Vec<B256>, Vec<usize>) {
        let mut hashes = vec![B256::ZERO; messages.len()];
        let Ok(table) = self.table.try_read() else { return (hashes, (0..messages.len()).collect()) };
        let pieces = messages.par_chunks(PIECE).zip(hashes.par_chunks_mut(PIECE)).enumerate();
        let unknown = pieces.flat_map_iter(|(piece, (messages, hashes))| {
            let unknown = table.find(messages, hashes, generation, |message| self.key(message));
            unknown.into_iter().map(move |place| piece * PIECE + place)
        });
        let unknown = unknown.collect();
        (hashes, unknown)
    }

    /// A number that messages seldom share, unless somebody made them for it, who does not know where it leads.
    fn key(&self, message: &[u8]) -> u64 {
        let Some(last) = message.len().checked_sub(LENGTH_MIN) else { return 0 };
        let word = |start: usize| {
            u64::from_le_bytes(*message[start..].first_chunk().expect("the message is long enough"))
        };
        // Two words from the middle and one from near the end: what a node begins and ends with says little.
        let (one, two) = (word(last / 2 + 4) ^ word(last + 8), word(last / 3 + 12) ^ message.len() as u64);
        let (low, high) = (one ^ self.seeds[0]).carrying_mul(two ^ self.seeds[1], 0);
        low ^ high
    }
}

impl Table {
    /// The slot of a key: at the same fraction of the slots as the key is of all keys.
    fn slot(&self, key: u64) -> usize {
        let (_, slot) = key.carrying_mul(self.slots.len() as u64, 0);
        usize::try_from(slot).expect("less than the number of slots")
    }

    /// Writes the hashes that are known, and gives the places of the messages whose hashes are not.
    fn find<M: AsRef<[u8]>>(
        &self,
        messages: &[M],
        hashes: &mut [B256],
        generation: u32,
        key: impl Fn(&[u8]) -> u64,
    ) -> Vec<usize> {
        let slots: Vec<usize> = messages.iter().map(|message| self.slot(key(message.as_ref()))).collect();
        let mut unknown = Vec::new();
        for (place, (message, hash)) in messages.iter().zip(hashes).enumerate() {
            if let Some(slot) = slots.get(place + 2 * AHEAD) {
                prefetch_entry(&self.slots[*slot]);
            }
            if let Some(slot) = slots.get(place + AHEAD)
                && let Some(known) = &self.slots[*slot]
            {
                prefetch(&known.bytes);
            }
            match &self.slots[slots[place]] {
                Some(known) if *known.bytes == *message.as_ref() => {
                    *hash = known.hash;
                    // Most have been found in this generation, and their memory is not written to.
                    if known.found.load(Ordering::Relaxed) != generation {
                        known.found.store(generation, Ordering::Relaxed);
                    }
                }
                Some(_) | None => unknown.push(place),
            }
        }
        unknown
    }

    /// Puts a message into its slot if an earlier batch put it there, and what is in the slot can go.
    fn put(&mut self, key: u64, message: &[u8], hash: B256, batch: u32) {
        let slot = self.slot(key);
        // The slot follows from the other half of the key.
        let tag = u32::try_from(key & u64::from(u32::MAX)).expect("32 bits");
        let before = std::mem::replace(&mut self.expected[slot], Expected { tag, batch });
        if before.tag != tag || before.batch == batch || message.len() < LENGTH_MIN {
            return;
        }
        let generation = generation(batch);
        if self.clear(slot, generation) && self.make_room(message.len(), generation) {
            self.length += message.len();
            self.slots[slot] = Some(Known { found: AtomicU32::new(0), hash, bytes: message.into() });
        }
    }

    /// Empties a slot, unless what is in it is used, and says whether it is empty.
    fn clear(&mut self, slot: usize, generation: u32) -> bool {
        if let Some(known) = &mut self.slots[slot] {
            if known.is_used(generation) {
                return false;
            }
            self.length -= known.bytes.len();
            self.slots[slot] = None;
        }
        true
    }

    /// Lets go of what is not used until there is room for so many bytes, and says whether there is.
    fn make_room(&mut self, length: usize, generation: u32) -> bool {
        for _ in 0..SWEPT_AT_ONCE {
            if self.length + length <= self.length_max {
                return true;
            }
            self.clear(self.hand, generation);
            self.hand = (self.hand + 1) % self.slots.len();
        }
        self.length + length <= self.length_max
    }
}

impl Known {
    /// Whether it was found in this generation, or in the one before.
    fn is_used(&mut self, generation: u32) -> bool {
        let found = *self.found.get_mut();
        found != 0 && generation.wrapping_sub(found) <= 1
    }
}

/// The generation of a batch, not zero.
fn generation(batch: u32) -> u32 {
    batch / GENERATION + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    /// `count` messages of many lengths, numbered from `first`.
    fn messages(first: u32, count: u32) -> Vec<Vec<u8>> {
        let message = |number: u32| {
            let digest = keccak256(number.to_be_bytes());
            digest.iter().copied().cycle().take(number as usize * 37 % 700).collect()
        };
        (first..first + count).map(message).collect()
    }

    /// W1: hashes are right, whatever was there before and however small the table is.
    #[test]
    fn hashes_are_those_of_the_messages() {
        for memory in [0, 100, 10_000, 1 << 20] {
            let known = KnownHashes::new(memory);
            for first in [0, 0, 0, 500, 0, 500, 500, 900] {
                let messages = messages(first, 1000);
                let expected: Vec<B256> = messages.iter().map(keccak256).collect();
                assert_eq!(known.hash(&messages), expected);
            }
        }
    }

    /// W1: messages of the same key, which differ where the key doesn't look, are told apart.
    #[test]
    fn every_byte_counts() {
        let known = KnownHashes::new(1 << 20);
        let message = messages(17, 1).remove(0);
        for place in 0..message.len() {
            let mut other = message.clone();
            other[place] ^= 1;
            for _ in 0..3 {
                assert_eq!(known.hash(&[&message, &other]), [keccak256(&message), keccak256(&other)]);
            }
        }
    }

    /// W2: what is put in leaves when other things come, and never takes more than there is.
    #[test]
    fn memory_is_bounded() {
        let known = KnownHashes::new(20_000);
        for first in (0..20_000).step_by(25) {
            for _ in 0..3 {
                known.hash(&messages(first, 50));
            }
            let table = known.table.read().expect("nobody panicked");
            let held: usize = table.slots.iter().flatten().map(|known| known.bytes.len()).sum();
            assert_eq!(held, table.length);
            assert!((1..=table.length_max).contains(&held) && table.length_max < 20_000);
        }
        let (_, unknown) = known.find(&messages(0, 50), 0);
        assert_eq!(unknown.len(), 50);
    }

    /// What comes for the third time need not be hashed, if all fits.
    #[test]
    fn the_third_time_is_free() {
        let known = KnownHashes::new(1 << 22);
        let messages: Vec<_> =
            messages(0, 100).into_iter().filter(|message| message.len() >= LENGTH_MIN).collect();
        for unknown in [messages.len(), messages.len(), 0] {
            // Two that share a slot would keep each other out.
            assert!(known.find(&messages, 1).1.len().abs_diff(unknown) <= 4);
            known.hash(&messages);
        }
    }

    /// W4: what is found in each generation is kept while anything else comes again and again, more than there is
    /// room for; and what came before is no obstacle.
    #[test]
    fn what_is_used_is_not_pushed_out() {
        let memory = 1 << 20;
        // With others, more than a few may share a slot.
        let known = KnownHashes::with_seeds(memory, [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f]);
        let used: Vec<_> =
            messages(0, 100).into_iter().filter(|message| message.len() >= LENGTH_MIN).collect();
        let junk = |round: u32| {
            let mut junk = messages(2000 * (round + 1), 2000);
            junk.push(round.to_be_bytes().repeat(memory / 32));
            junk.extend_from_within(..500);
            junk
        };
        let unknown = |messages: &[Vec<u8>]| {
            let generation = generation(known.batches.load(Ordering::Relaxed));
            known.find(messages, generation).1.len()
        };
        // Full of what nobody uses.
        for round in 0..10 {
            known.hash(&junk(round));
            known.hash(&junk(round));
        }
        for _ in 0..3 {
            known.hash(&used);
        }
        assert!(unknown(&used) <= 8, "two that share a slot keep each other out");
        let kept: Vec<_> =
            used.into_iter().filter(|message| unknown(std::slice::from_ref(message)) == 0).collect();
        for round in 10..20 {
            for _ in 0..GENERATION / 2 {
                known.hash(&junk(round));
            }
            assert_eq!(unknown(&kept), 0, "round {round}");
            known.hash(&kept);
        }
        // When it is not used any more, it goes like anything else.
        for round in 20..25 {
            for _ in 0..GENERATION / 2 {
                known.hash(&junk(round));
            }
        }
        assert!(unknown(&kept) > 0);
    }

    /// W3: a table that is taken is done without.
    #[test]
    fn nobody_waits() {
        let known = KnownHashes::new(1 << 20);
        let messages = messages(0, 100);
        let expected: Vec<B256> = messages.iter().map(keccak256).collect();
        let taken = known.table.write().expect("nobody panicked");
        assert_eq!(known.hash(&messages), expected);
        drop(taken);
        let _shared = known.table.read().expect("nobody panicked");
        assert_eq!(known.hash(&messages), expected);
    }
}

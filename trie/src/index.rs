//! Places by hash.
//!
//! Most hashes that are looked up are not there: of the sixteen children of a branch a witness has
//! one or two. Two bits in a word of a filter, which has sixteen bits or more to the entry, turn nearly all of them away
//! before they reach the table, which is open addressed and holds no hashes itself.
//!
//! Where a hash goes in the table depends on a seed that the sender of the hashes does not know, so they
//! cannot be ground to collide. Hashes that are ground to pass the filter cost no more than if there were none.
//! What is found depends on the hashes alone.

use crate::keccak::prefetch_entry;
use alloy_primitives::B256;
use std::hash::{BuildHasher, RandomState};

/// Bits of the filter for each entry.
const FILTER_BITS: usize = 16;

/// Slots of the table for each entry, at least.
const SLOTS: usize = 2;

/// Slots of a table that is expected to stay small.
const SLOTS_MIN: usize = 16;

/// Hashes inserted together, so that the slots of all are on their way when the first is.
const INSERTED_AT_ONCE: usize = 32;

/// Where in the table a hash belongs: 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

/// A map from hashes to places; the caller keeps the hashes.
#[derive(Debug)]
pub(crate) struct Index {
    /// What hashes are mixed with.
    seeds: [u64; 2],
    /// Bits of hashes that are there.
    filter: Vec<u64>,
    /// For each entry, 32 bits of its mixed hash, which say where it belongs, and its place plus one.
    slots: Vec<u64>,
    /// How many entries there are.
    length: usize,
}

impl Index {
    /// An index for `capacity` hashes, nearly all of them different.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self::with_slots(capacity, SLOTS * capacity)
    }

    /// An index for up to `capacity` hashes, many of which may be the same. It grows with those
    /// that are not.
    pub(crate) fn growing(capacity: usize) -> Self {
        Self::with_slots(capacity, 0)
    }

    /// An index with a filter for so many hashes, and with so many slots.
    fn with_slots(capacity: usize, slots: usize) -> Self {
        let random = RandomState::new();
        let filter = (FILTER_BITS * capacity).next_power_of_two().max(64) / 64;
        Self {
            seeds: [random.hash_one(0), random.hash_one(1)],
            filter: vec![0; filter],
            slots: vec![0; slots.next_power_of_two().max(SLOTS_MIN)],
            length: 0,
        }
    }

    /// How many hashes there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Whether a hash may be there; of those that are not, few may.
    #[inline]
    pub(crate) fn may_have(&self, hash: &B256) -> bool {
        let (word, [one, two]) = self.filter_bits(hash);
        let bits = self.filter[word];
        (bits >> one) & (bits >> two) & 1 == 1
    }

    /// Where to look for a hash, which is asked for meanwhile.
    pub(crate) fn approach(&self, hash: &B256) -> Tag {
        let tag = self.tag(hash);
        prefetch_entry(&self.slots[self.first_slot(tag)]);
        tag
    }

    /// The place whose hash is likely to be the one with this tag, if any is.
    pub(crate) fn likely(&self, tag: Tag) -> Option<usize> {
        self.probe(tag, |_| true).ok()
    }

    /// The place of a hash. `is_it` tells whether the hash is that of a place.
    pub(crate) fn find(&self, hash: &B256, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        if !self.may_have(hash) {
            return None;
        }
        self.probe(self.tag(hash), is_it).ok()
    }

    /// Adds the hashes from `start` on, with their places in the list, those excepted that are there already. What is
    /// there came from the part of the list before.
    pub(crate) fn insert_from(
        &mut self,
        start: usize,
        hashes: &[B256],
        is_same: impl Fn(&B256, &B256) -> bool,
    ) {
        let mut tags = Vec::with_capacity(INSERTED_AT_ONCE);
        let starts = (start..).step_by(INSERTED_AT_ONCE);
        for (first, inserted) in starts.zip(hashes[start..].chunks(INSERTED_AT_ONCE)) {
            tags.clear();
            tags.extend(inserted.iter().map(|hash| self.approach(hash)));
            for ((place, hash), tag) in (first..).zip(inserted).zip(&tags) {
                self.insert_tagged(hash, *tag, place, |other| is_same(&hashes[other], hash));
            }
        }
    }

    /// Adds a hash with its place, unless it is there already.
    pub(crate) fn insert(&mut self, hash: &B256, place: usize, is_it: impl Fn(usize) -> bool) {
        self.insert_tagged(hash, self.tag(hash), place, is_it);
    }

    /// [`Self::insert`] for a hash with this tag.
    fn insert_tagged(&mut self, hash: &B256, tag: Tag, place: usize, is_it: impl Fn(usize) -> bool) {
        let Err(mut slot) = self.probe(tag, is_it) else { return };
        if SLOTS * (self.length + 1) > self.slots.len() {
            self.grow();
            slot = self.free_slot(tag);
        }
        let (word, [one, two]) = self.filter_bits(hash);
        self.filter[word] |= 1 << one | 1 << two;
        let place = u32::try_from(place + 1).expect("fewer than 2^30 nodes");
        self.slots[slot] = u64::from(tag.0) << 32 | u64::from(place);
        self.length += 1;
    }

    /// Doubles the slots.
    fn grow(&mut self) {
        let slots = vec![0; 2 * self.slots.len()];
        for entry in std::mem::replace(&mut self.slots, slots) {
            if entry != 0 {
                let slot = self.free_slot(tag_of(entry));
                self.slots[slot] = entry;
            }
        }
    }

    /// Where the next entry with this tag goes.
    fn free_slot(&self, tag: Tag) -> usize {
        self.probe(tag, |_| false).expect_err("no place is it")
    }

    /// The place that has this tag and is it, or the free slot where it would go.
    fn probe(&self, tag: Tag, is_it: impl Fn(usize) -> bool) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = self.first_slot(tag);
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return Err(slot);
            }
            if tag_of(entry) == tag {
                let place = small(entry & u64::from(u32::MAX)) - 1;
                if is_it(place) {
                    return Ok(place);
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Where the search for a tag starts: at the same fraction of the slots as the tag is of all tags.
    fn first_slot(&self, tag: Tag) -> usize {
        small((u64::from(tag.0) * self.slots.len() as u64) >> 32)
    }

    /// Half of the hash, mixed so that nobody who does not know the seeds can tell the outcome.
    fn tag(&self, hash: &B256) -> Tag {
        let (low, high) = (word(hash, 0) ^ self.seeds[0]).carrying_mul(word(hash, 8) ^ self.seeds[1], 0);
        tag_of(low ^ high)
    }

    /// The word of the filter for a hash, and two bits in it. They come straight from the hash, since there are
    /// many to look at.
    fn filter_bits(&self, hash: &B256) -> (usize, [u64; 2]) {
        let hash = word(hash, 16);
        let word = small((hash >> 12) & (self.filter.len() as u64 - 1));
        (word, [hash & 63, hash >> 6 & 63])
    }
}

/// The tag in an entry, or of a mixed hash.
fn tag_of(entry: u64) -> Tag {
    Tag((entry >> 32) as u32)
}

/// Eight bytes of a hash.
fn word(hash: &B256, start: usize) -> u64 {
    u64::from_le_bytes(*hash[start..].first_chunk().expect("32 bytes"))
}

/// A number that is an index, or one more.
fn small(number: u64) -> usize {
    usize::try_from(number).expect("what is in memory has an address")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    /// Hashes are found where they were put, the first of equal ones, and others are not.
    #[test]
    fn hashes_have_places() {
        for count in [0, 1, 2, 1000] {
            let hashes: Vec<B256> =
                (0..count).map(|number: u32| keccak256((number / 2).to_be_bytes())).collect();
            let mut one_by_one = Index::growing(hashes.len());
            for (place, hash) in hashes.iter().enumerate() {
                one_by_one.insert(hash, place, |place| hashes[place] == *hash);
            }
            let mut as_they_come = Index::with_capacity(hashes.len());
            let mut start = 0;
            for end in [hashes.len() / 3, hashes.len() / 3, hashes.len()] {
                as_they_come.insert_from(start, &hashes[..end], |one, two| one == two);
                start = end;
            }
            for index in [one_by_one, as_they_come] {
                assert_eq!(index.len(), hashes.len().div_ceil(2));
                for (place, hash) in hashes.iter().enumerate() {
                    assert_eq!(index.find(hash, |place| hashes[place] == *hash), Some(place / 2 * 2));
                }
                for other in 1000..2000u32 {
                    let hash = keccak256(other.to_be_bytes());
                    assert_eq!(index.find(&hash, |place| hashes[place] == hash), None);
                }
            }
        }
    }
}

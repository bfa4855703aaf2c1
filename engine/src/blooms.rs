//! Blooms of a block's receipts.
//!
//! A bloom takes three bits from the hash of each address and topic. The logs of
//! a block share most of them, so each is hashed once, and all in one batch.

use std::hash::{BuildHasher, Hash};

use alloy_primitives::Bloom;
use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use weft_trie::keccak256_batch_parallel;

use crate::outcome::TransactionReceipt;

/// The bloom of each receipt.
pub(crate) fn blooms(receipts: &[TransactionReceipt]) -> Vec<Bloom> {
    let mut inputs: Vec<&[u8]> = Vec::new();
    let (mut addresses, mut topics) = (AddressMap::default(), B256Map::default());
    // The places in `inputs` of what each receipt's logs hold, one receipt after the other.
    let mut places = Vec::new();
    let mut ends = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        for log in &receipt.logs {
            places.push(place(&mut addresses, &mut inputs, &log.address));
            places.extend(log.topics().iter().map(|topic| place(&mut topics, &mut inputs, topic)));
        }
        ends.push(places.len());
    }
    let hashes = keccak256_batch_parallel(&inputs);
    let mut start = 0;
    let bloom = |end| {
        let mut bloom = Bloom::ZERO;
        for place in &places[std::mem::replace(&mut start, end)..end] {
            bloom.m3_2048_hashed(&hashes[*place]);
        }
        bloom
    };
    ends.into_iter().map(bloom).collect()
}

/// The place of `input` among `inputs`, at their end if it is not there.
fn place<'a, T: AsRef<[u8]> + Copy + Eq + Hash, S: BuildHasher>(
    places: &mut HashMap<T, usize, S>,
    inputs: &mut Vec<&'a [u8]>,
    input: &'a T,
) -> usize {
    *places.entry(*input).or_insert_with(|| {
        inputs.push(input.as_ref());
        inputs.len() - 1
    })
}

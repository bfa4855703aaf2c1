//! Hands messages to the lanes of a vector kernel so that none is idle.
//!
//! The longest messages start first. Whenever one ends, its lane takes the next,
//! so a batch ends with all lanes at work but for the last message of each.

use super::{BlockBytes, RATE, permutations, prefetch};
use alloy_primitives::{B256, keccak256};

/// Messages of up to this many blocks are sorted by counting; state nodes have up to four.
const COUNTED_BLOCKS: usize = 8;

/// The sponges of `N` lanes: the same word of all lanes lies together.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Sponges<const N: usize>(pub(super) [[u64; N]; 25]);

/// A permutation of `N` sponges at once.
pub(super) trait Kernel<const N: usize>: Copy {
    /// Clears the sponges whose bit in `kept` is zero, takes one block into each, and permutes them.
    fn step(self, sponges: &mut Sponges<N>, kept: u8, blocks: [&BlockBytes; N]);
}

/// What a lane is at work on.
#[derive(Clone, Copy, Debug, Default)]
struct Lane<'m> {
    /// The place of the message, `None` if the lane is idle.
    place: Option<usize>,
    /// The whole blocks that are left of it.
    blocks: &'m [BlockBytes],
    /// What it ends with, less than a block.
    tail: &'m [u8],
}

impl<'m> Lane<'m> {
    /// At the start of a message.
    fn new(place: usize, message: &'m [u8]) -> Self {
        let (blocks, tail) = message.as_chunks();
        Self { place: Some(place), blocks, tail }
    }
}

/// Writes the digest of each message to its place in `digests`.
pub(super) fn hash<const N: usize, K: Kernel<N>, M: AsRef<[u8]>>(
    kernel: K,
    messages: &[M],
    digests: &mut [B256],
) {
    let order = (!are_short_and_alike(messages)).then(|| longest_first(messages));
    let order = order.as_deref();
    let place = |nth: usize| order.map_or(nth, |order| order[nth] as usize);
    let alone = order.map_or(0, |order| better_alone::<N>(order, |place| blocks_of(messages, place)));
    for place in (0..alone).map(place) {
        digests[place] = keccak256(&messages[place]);
    }
    let mut waiting =
        (alone..messages.len()).map(place).map(|place| Lane::new(place, messages[place].as_ref()));
    // What the lanes take next after what they take now.
    let mut following = (alone + N..messages.len()).map(place);
    let mut lanes = [Lane::default(); N];
    let mut sponges = Sponges([[0; N]; 25]);
    let mut last_blocks = [[0; RATE]; N];
    let mut finished = u8::MAX;
    loop {
        let mut kept = !finished;
        for (number, lane) in lanes.iter_mut().enumerate() {
            if finished >> number & 1 == 1 {
                *lane = waiting.next().unwrap_or_default();
                if let Some(place) = following.next() {
                    prefetch(messages[place].as_ref());
                }
            }
        }
        // They run until the first message ends. An idle lane goes along with it.
        let at_work = lanes.iter().filter(|lane| lane.place.is_some());
        let Some(shortest) = at_work.min_by_key(|lane| lane.blocks.len()).copied() else { return };
        let run = shortest.blocks.len();
        let mut blocks = [shortest.blocks; N];
        let mut last = [&[0; RATE]; N];
        finished = 0;
        for (number, (lane, padded)) in lanes.iter_mut().zip(&mut last_blocks).enumerate() {
            if lane.place.is_some() {
                (blocks[number], lane.blocks) = lane.blocks.split_at(run);
            }
            last[number] = if let Some((block, rest)) = lane.blocks.split_first() {
                lane.blocks = rest;
                block
            } else {
                pad(lane.tail, padded);
                finished |= 1 << number;
                padded
            };
        }
        for step in 0..run {
            kernel.step(&mut sponges, kept, blocks.map(|blocks| &blocks[step]));
            kept = u8::MAX;
        }
        kernel.step(&mut sponges, kept, last);
        for (number, lane) in lanes.iter().enumerate() {
            if let Some(place) = lane.place
                && finished >> number & 1 == 1
            {
                digests[place] = squeeze(&sponges, number);
            }
        }
    }
}

/// Writes the digests of padded messages, all of the same number of blocks, and not more than there are lanes.
pub(super) fn hash_padded<'m, const N: usize, K: Kernel<N>>(
    kernel: K,
    message: impl Fn(usize) -> &'m [BlockBytes],
    digests: &mut [B256],
) {
    // An idle lane goes along with the last that is not.
    let lanes: [&[BlockBytes]; N] = std::array::from_fn(|lane| message(lane.min(digests.len() - 1)));
    let mut sponges = Sponges([[0; N]; 25]);
    for step in 0..lanes[0].len() {
        let kept = if step == 0 { 0 } else { u8::MAX };
        kernel.step(&mut sponges, kept, lanes.map(|blocks| &blocks[step]));
    }
    for (lane, digest) in digests.iter_mut().enumerate() {
        *digest = squeeze(&sponges, lane);
    }
}

/// Whether the messages have the same number of blocks, and few: then they can stay as they are.
fn are_short_and_alike<M: AsRef<[u8]>>(messages: &[M]) -> bool {
    let mut blocks = messages.iter().map(|message| permutations(message.as_ref().len()));
    let first = blocks.next().unwrap_or_default();
    first <= COUNTED_BLOCKS && blocks.all(|others| others == first)
}

/// The places of the messages, those with the most blocks first.
fn longest_first<M: AsRef<[u8]>>(messages: &[M]) -> Vec<u32> {
    let place = |index: usize| u32::try_from(index).expect("fewer than 2^32 messages");
    let blocks = |message: &M| permutations(message.as_ref().len());
    let mut longer = Vec::new();
    // How many messages have each number of blocks; then, where they go.
    let mut starts = [0; COUNTED_BLOCKS];
    for (index, message) in messages.iter().enumerate() {
        match blocks(message) {
            count if count <= COUNTED_BLOCKS => starts[count - 1] += 1,
            count => longer.push((count, place(index))),
        }
    }
    longer.sort_unstable_by(|one, two| two.cmp(one));
    let mut start = longer.len();
    for count in starts.iter_mut().rev() {
        start += std::mem::replace(count, start);
    }
    let mut order = vec![0; messages.len()];
    for (slot, (_, index)) in order.iter_mut().zip(&longer) {
        *slot = *index;
    }
    for (index, message) in messages.iter().enumerate() {
        let count = blocks(message);
        if count <= COUNTED_BLOCKS {
            let start = &mut starts[count - 1];
            order[*start] = place(index);
            *start += 1;
        }
    }
    order
}

/// How many of the messages, longest first, are so much longer than the others that
/// the lanes would wait for them: one by one, they are done sooner.
fn better_alone<const N: usize>(order: &[u32], blocks: impl Fn(u32) -> usize) -> usize {
    let Some(longest) = order.first() else { return 0 };
    if blocks(*longest) <= COUNTED_BLOCKS {
        return 0;
    }
    let mut work: usize = order.iter().map(|place| blocks(*place)).sum();
    for (alone, place) in order.iter().enumerate() {
        let here = blocks(*place);
        let next = order.get(alone + 1).map_or(0, |place| blocks(*place));
        // A step of all lanes takes half again as long as one block alone.
        if 2 * here + 3 * next.max((work - here) / N) >= 3 * here.max(work / N) {
            return alone;
        }
        work -= here;
    }
    order.len()
}

/// Blocks of the message at a place.
fn blocks_of<M: AsRef<[u8]>>(messages: &[M], place: u32) -> usize {
    permutations(messages[place as usize].as_ref().len())
}

/// Writes the last block of a message: the rest of it, and the padding of Keccak (not of SHA-3).
fn pad(rest: &[u8], block: &mut BlockBytes) {
    *block = [0; RATE];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 0x01;
    block[RATE - 1] |= 0x80;
}

/// The digest in one lane.
fn squeeze<const N: usize>(sponges: &Sponges<N>, lane: usize) -> B256 {
    let mut digest = B256::ZERO;
    for (bytes, words) in digest.chunks_exact_mut(8).zip(&sponges.0) {
        bytes.copy_from_slice(&words[lane].to_le_bytes());
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Counts steps and hashes nothing.
    #[derive(Clone, Copy)]
    struct Counter<'a>(&'a Cell<usize>);

    impl Kernel<4> for Counter<'_> {
        fn step(self, _: &mut Sponges<4>, _: u8, _: [&BlockBytes; 4]) {
            self.0.set(self.0.get() + 1);
        }
    }

    /// Steps for messages of these lengths in four lanes.
    fn steps(lengths: &[usize]) -> usize {
        let messages: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
        let steps = Cell::new(0);
        hash(Counter(&steps), &messages, &mut vec![B256::ZERO; messages.len()]);
        steps.get()
    }

    /// K2: there are as many steps as lanes times blocks, or as the longest message has blocks.
    #[test]
    fn lanes_stay_full() {
        assert_eq!(steps(&[]), 0);
        assert_eq!(steps(&[0; 4]), 1);
        assert_eq!(steps(&[135; 5]), 2);
        assert_eq!(steps(&[136; 4]), 2);
        // One message of 100 blocks, and 300 of one: the short ones take the other lanes in turn.
        // With none beside it, the long one is hashed alone.
        let mut lengths = vec![1; 300];
        lengths[150] = 100 * RATE - 1;
        assert_eq!(steps(&lengths), 100);
        assert_eq!(steps(&lengths[100..200]), 25);
        // Bytecodes of all lengths.
        let lengths: Vec<usize> = (0..200).map(|index| index * 7919 % 24576).collect();
        let blocks: usize = lengths.iter().map(|&length| permutations(length)).sum();
        assert!(steps(&lengths) <= blocks.div_ceil(4) + 2);
    }

    #[test]
    fn the_longest_come_first() {
        let lengths = [0, 5000, 136, 271, 1100, 9999, 135, 1087, 1088];
        let messages: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0; length]).collect();
        assert_eq!(longest_first(&messages), [5, 1, 8, 4, 7, 2, 3, 0, 6]);
    }
}

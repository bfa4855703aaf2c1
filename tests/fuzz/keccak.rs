//! Keccak-256 of many messages at once, on every backend, against one by one.
//!
//! ```text
//!  bytes ─► up to 40 messages ─┬─► one by one: what is expected
//!                              ├─► each backend, in lanes
//!                              ├─► in pieces, on one thread and on two
//!                              └─► as a list, whose trie is hashed on one thread and on two ◄─► alloy's trie
//! ```
#![no_main]

use std::sync::LazyLock;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::root::ordered_trie_root_encoded;
use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use rayon::{ThreadPool, ThreadPoolBuilder};
use weft_trie::{Backend, keccak256_batch, keccak256_batch_parallel, ordered_root};

/// The longest batch: some full vectors, and a tail.
const MESSAGES_MAX: usize = 40;

/// Bytes that the sponge takes in before each permutation.
const RATE: usize = 136;

/// One thread, which hashes nodes where it writes them, and two, which do not.
static POOLS: LazyLock<[ThreadPool; 2]> = LazyLock::new(|| {
    [1, 2].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("few threads"))
});

fuzz_target!(|data: &[u8]| {
    check(&messages(&mut Unstructured::new(data)));
});

/// Asserts that all backends, and all ways to them, give the same.
fn check(messages: &[Bytes]) {
    let expected: Vec<B256> = messages.iter().map(keccak256).collect();
    let root = ordered_trie_root_encoded(messages);
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_available()) {
        let mut digests = vec![B256::ZERO; messages.len()];
        backend.hash(messages, &mut digests);
        for (message, (digest, expected)) in messages.iter().zip(digests.iter().zip(&expected)) {
            assert_eq!(digest, expected, "{backend:?}, {} bytes: {message}", message.len());
        }
        backend.prefer();
        assert_eq!(keccak256_batch(messages), expected, "{backend:?}, preferred");
        for pool in &*POOLS {
            let digests = pool.install(|| keccak256_batch_parallel(messages));
            assert_eq!(digests, expected, "{backend:?}, {pool:?}");
            let list = pool.install(|| ordered_root(messages.iter().cloned()));
            assert_eq!(list, root, "{backend:?}, as a list, {pool:?}");
        }
    }
}

/// Messages of all sorts of lengths, as long as there are choices left.
fn messages(choices: &mut Unstructured<'_>) -> Vec<Bytes> {
    let mut messages = Vec::with_capacity(MESSAGES_MAX);
    while messages.len() < MESSAGES_MAX && !choices.is_empty() {
        messages.extend(message(choices));
    }
    messages
}

/// A few bytes again and again, no two of them the same for long.
fn message(choices: &mut Unstructured<'_>) -> Result<Bytes> {
    let length = length(choices)?;
    let bytes: [u8; 8] = choices.arbitrary()?;
    let mut message: Vec<u8> = bytes.into_iter().cycle().take(length).collect();
    for (block, bytes) in message.chunks_mut(RATE).enumerate() {
        bytes[0] ^= block.to_le_bytes()[0];
    }
    Ok(message.into())
}

/// A length: short, near the end of a block, or long.
fn length(choices: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match choices.int_in_range(0..=2)? {
        0 => choices.int_in_range(0..=600)?,
        1 => (choices.int_in_range(0..=24)? * RATE + choices.int_in_range(0..=4)?).saturating_sub(2),
        _ => choices.int_in_range(0..=20_000)?,
    })
}

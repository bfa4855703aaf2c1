//! K1 on every backend that this processor has.

use super::{Backend, keccak256_batch, keccak256_batch_parallel};
use alloy_primitives::{B256, keccak256};
use proptest::prelude::*;

/// `length` bytes that depend on `seed`.
fn message(length: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let byte = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(byte).collect()
}

/// Every backend, and both public functions, give what alloy gives.
fn check(messages: &[Vec<u8>]) {
    let expected: Vec<B256> = messages.iter().map(keccak256).collect();
    for backend in Backend::ALL {
        let mut digests = vec![B256::ZERO; messages.len()];
        backend.hash(messages, &mut digests);
        assert_eq!(digests, expected, "{backend:?}");
    }
    assert_eq!(keccak256_batch(messages), expected);
}

/// All lengths together, in both orders.
#[test]
fn backends_agree_on_lengths() {
    let mut messages: Vec<_> = (0..=600).map(|length| message(length, length)).collect();
    check(&messages);
    messages.reverse();
    check(&messages);
}

/// Every length in every lane of a batch of equals.
#[test]
fn backends_agree_on_equal_lengths() {
    for length in 0..=600 {
        check(&(0..8).map(|seed| message(length, seed)).collect::<Vec<_>>());
    }
}

/// Ends of blocks, in every lane, among messages of other lengths.
#[test]
fn backends_agree_on_ends_of_blocks() {
    for length in [0, 1, 135, 136, 137, 271, 272, 273, 407, 408, 409, 1087, 1088, 1089] {
        for lane in 0..8 {
            let other = |index| message(if index == lane { length } else { 100 * index }, index);
            check(&(0..8).map(other).collect::<Vec<_>>());
        }
    }
}

#[test]
fn backends_agree_on_sizes_of_batches() {
    for size in 0..=40 {
        check(&(0..size).map(|index| message(index * 331 % 1000, index)).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn backends_agree_on_anything(
        messages in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..140),
                (0usize..30_000, any::<usize>()).prop_map(|(length, seed)| message(length, seed)),
            ],
            0..60,
        ),
    ) {
        check(&messages);
    }
}

/// Pieces come together in order, whatever their number and however uneven the messages.
#[test]
fn pieces_keep_the_order() {
    let mut messages: Vec<_> = (0..5000).map(|index| message(index * 37 % 700, index)).collect();
    messages[17] = message(3_000_000, 17);
    let expected: Vec<B256> = messages.iter().map(keccak256).collect();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a small pool");
        assert_eq!(pool.install(|| keccak256_batch_parallel(&messages)), expected);
        assert_eq!(pool.install(|| keccak256_batch_parallel(&messages[17..18])), expected[17..18]);
        assert!(pool.install(|| keccak256_batch_parallel::<Vec<u8>>(&[])).is_empty());
    }
}

/// A backend that the processor lacks does not run.
#[test]
fn the_best_is_available() {
    assert!(Backend::best().is_available());
    assert!(Backend::Portable.is_available());
}

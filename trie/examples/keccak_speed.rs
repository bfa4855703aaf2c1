//! What a permutation costs on each way of hashing, in nanoseconds; the best of many rounds.

use alloy_primitives::{B256, keccak256};
use std::{hint::black_box, time::Instant};
use weft_trie::Backend;

/// Rounds, of which the best counts.
const ROUNDS: usize = 300;

/// The shortest time that `work` takes, per each of `count` things.
fn best(count: usize, mut work: impl FnMut()) -> f64 {
    let nanoseconds = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e9
    };
    let best = (0..ROUNDS).map(nanoseconds).fold(f64::INFINITY, f64::min);
    best / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[expect(clippy::print_stdout, reason = "a program that prints a table")]
fn main() {
    println!("ns per permutation    alloy one by one{:>12}{:>12}{:>12}", "AVX-512", "AVX2", "portable");
    let cases: [(&str, Vec<usize>); 6] = [
        ("32 bytes", vec![32; 1024]),
        ("100 bytes", vec![100; 1024]),
        ("full branches", vec![532; 256]),
        ("nodes of all lengths", (0..512).map(|index| 33 + index * 67 % 500).collect()),
        ("two messages", vec![100; 2]),
        ("codes", (0..40).map(|index| index * 7919 % 24_576).collect()),
    ];
    for (name, lengths) in cases {
        let messages: Vec<Vec<u8>> = lengths.iter().map(|&length| vec![0xa5; length]).collect();
        let permutations = lengths.iter().map(|length| length / 136 + 1).sum();
        let mut digests = vec![B256::ZERO; messages.len()];
        let single = best(permutations, || {
            for message in &messages {
                black_box(keccak256(message));
            }
        });
        let cells = Backend::ALL.map(|backend| {
            if !backend.is_available() {
                return format!("{:>12}", "-");
            }
            format!("{:>12.1}", best(permutations, || backend.hash(black_box(&messages), &mut digests)))
        });
        println!("{name:<22}{single:>16.1}{}", cells.concat());
    }
}

//! How long recovery takes, by batch size; best of many windows.
#![expect(clippy::print_stdout, reason = "it is a command")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use secp256k1::{Message, SECP256K1, SecretKey};
use weft_recover::{Backend, Item};

/// Signatures made from numbers.
fn items(count: usize) -> Vec<Item> {
    (0..count)
        .map(|number| {
            let mut secret = [7; 32];
            secret[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
            let key = SecretKey::from_byte_array(secret).expect("in range");
            let mut digest = [3; 32];
            digest[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let (id, compact) =
                SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest), &key).serialize_compact();
            let (r, s) = compact.split_at(32);
            let half = |bytes: &[u8]| bytes.try_into().expect("32 bytes");
            Item { digest, r: half(r), s: half(s), y_odd: i32::from(id) & 1 == 1 }
        })
        .collect()
}

/// Microseconds per signature, best of many.
fn micros(backend: Backend, items: &[Item]) -> f64 {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(400) {
        let start = Instant::now();
        black_box(backend.recover(black_box(items)));
        best = best.min(start.elapsed());
    }
    best.as_secs_f64() * 1e6 / items.len() as f64
}

fn main() {
    let items = items(1_024);
    let start = Instant::now();
    black_box(Backend::Ifma.recover(&items[..8]));
    println!("first call: {:?}", start.elapsed());
    for size in [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 32, 64, 128, 256, 1_024] {
        let library = micros(Backend::Libsecp256k1, &items[..size]);
        let lanes = micros(Backend::Ifma, &items[..size]);
        println!("{size:5}: libsecp256k1 {library:6.2}  ifma {lanes:6.2}  {:5.2} times", library / lanes);
    }
    for backend in Backend::ALL {
        assert_eq!(backend.recover(&items), Backend::Libsecp256k1.recover(&items));
    }
}

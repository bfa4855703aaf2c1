//! How long recovery takes: microseconds per signature, by batch size, the best of many windows.
//!
//! ```sh
//! cargo run --release -p weft-recover --example measure
//! ```
#![expect(clippy::print_stdout, reason = "it is a command")]

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use secp256k1::{Message, SECP256K1, SecretKey};
use weft_recover::{Backend, Item, NoKey, PublicKey};

/// How long each figure is measured.
const WINDOW: Duration = Duration::from_millis(400);

/// So long at least is each time that is taken, so that the clock's own is lost in it.
const TIME_MIN: Duration = Duration::from_micros(20);

/// Ways to be out of range.
const OUT_OF_RANGE: [(&str, fn(&Item) -> Item); 5] = [
    ("r zero", |item| Item { r: [0; 32], ..*item }),
    ("r too large", |item| Item { r: [0xff; 32], ..*item }),
    ("s zero", |item| Item { s: [0; 32], ..*item }),
    ("s too large", |item| Item { s: [0xff; 32], ..*item }),
    ("both too large", |item| Item { r: [0xff; 32], s: [0xff; 32], ..*item }),
];

/// Signatures made with keys and digests that are made from numbers.
fn signatures(count: u64) -> Vec<Item> {
    let signature = |number: u64| {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&(number + 1).to_be_bytes());
        let key = SecretKey::from_byte_array(secret).expect("in range");
        let mut digest = [3; 32];
        digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest), &key);
        let (id, compact) = signature.serialize_compact();
        let [r, s] = [0, 32].map(|start| std::array::from_fn(|byte| compact[start + byte]));
        Item { digest, r, s, y_odd: i32::from(id) & 1 == 1 }
    };
    (0..count).map(signature).collect()
}

/// The keys by libsecp256k1 alone, with nothing around it.
#[inline(never)]
fn one_by_one(items: &[Item]) -> Vec<Result<PublicKey, NoKey>> {
    items.iter().map(|item| Backend::Libsecp256k1.recover_one(item)).collect()
}

/// Microseconds per signature by libsecp256k1 alone and by the best backend, measured in turn.
fn micros(items: &[Item]) -> [f64; 2] {
    let backend = Backend::best();
    let time = |together: bool, calls: u32| {
        let start = Instant::now();
        for _ in 0..calls {
            let items = black_box(items);
            black_box(if together { backend.recover(items) } else { one_by_one(items) });
        }
        start.elapsed()
    };
    let mut calls = 1;
    while time(true, calls).min(time(false, calls)) < TIME_MIN {
        calls *= 2;
    }
    let mut shortest = [Duration::MAX; 2];
    let begin = Instant::now();
    while begin.elapsed() < WINDOW {
        for (together, shortest) in [false, true].into_iter().zip(&mut shortest) {
            *shortest = time(together, calls).min(*shortest);
        }
    }
    let signatures = calls * u32::try_from(items.len()).expect("not many");
    shortest.map(|shortest| shortest.as_secs_f64() * 1e6 / f64::from(signatures))
}

/// Prints both figures of a batch.
fn print(name: &str, items: &[Item]) {
    let [library, best] = micros(items);
    println!("{name:>24}  libsecp256k1 {library:7.3}  best {best:7.3}  {:5.2} times", library / best);
}

/// Signatures per second on so many threads, in the best of many short windows.
fn rate(threads: usize, items: &[Item]) -> f64 {
    // Each thread takes so many batches in a window, and says when it began and when it was done.
    const BATCHES: usize = 4;
    let work = |gate: &Barrier| {
        gate.wait();
        let start = Instant::now();
        for _ in 0..BATCHES {
            black_box(Backend::best().recover(black_box(items)));
        }
        (start, Instant::now())
    };
    let window = || {
        let gate = Barrier::new(threads);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&gate))).collect();
            let times = workers.into_iter().map(|worker| worker.join().expect("it ends"));
            let (start, end) = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).expect("one at least");
            end - start
        })
    };
    let best = (0..400).map(|_| window()).min().expect("one at least");
    f64::from(u32::try_from(threads * BATCHES * items.len()).expect("not many")) / best.as_secs_f64()
}

fn main() {
    Backend::best().prepare();
    let items = signatures(1_024);
    for (name, backend) in [("libsecp256k1", Backend::Libsecp256k1), ("lanes", Backend::best())] {
        for which in ["first", "second"] {
            let start = Instant::now();
            black_box(backend.recover(&items[..64]));
            println!("{which} batch of 64, {name}: {:?}", start.elapsed());
        }
    }
    for size in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 24, 32, 64, 128, 256, 257, 1_024] {
        print(&format!("{size} signatures"), &items[..size]);
    }
    // No point has 5 as its x.
    let mut five = [0; 32];
    five[31] = 5;
    let without_point = |item: &Item| Item { r: five, ..*item };
    for size in [3, 4, 8, 16, 64, 256] {
        let none: Vec<Item> = items[..size].iter().map(without_point).collect();
        print(&format!("{size} without a point"), &none);
        for good in [1, 2] {
            let mut few = none.clone();
            few[..good].copy_from_slice(&items[..good]);
            print(&format!("{size}, {good} with a point"), &few);
        }
    }
    for size in [1, 2, 3, 4, 8, 16, 64, 256] {
        for (what, out_of_range) in OUT_OF_RANGE {
            let none: Vec<Item> = items[..size].iter().map(out_of_range).collect();
            print(&format!("{size}, {what}"), &none);
        }
        let none: Vec<Item> = items[..size].iter().map(|item| Item { s: [0; 32], ..*item }).collect();
        for good in (1..size).filter(|good| [1, 2, size / 2].contains(good)) {
            let mut few = none.clone();
            few[..good].copy_from_slice(&items[..good]);
            print(&format!("{size}, {good} in range"), &few);
        }
    }
    let (one, two) = (rate(1, &items[..256]), rate(2, &items[..256]));
    println!("per second: {one:.0} on one core, {two:.0} on two, {:.2} times", two / one);
}

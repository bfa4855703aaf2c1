//! From signatures to vectors and back.
//!
//! ```text
//!  items ─► in range? ─► u1, u2 (one inversion for a chunk) ─► vectors of eight ─► keys
//!              │ no                        └ a short tail ┐        │ flagged
//!              └──────────────────────► libsecp256k1 ◄────┴────────┘
//! ```
//!
//! - **R1.** Lanes never refuse a signature: what they cannot recover, libsecp256k1 recovers or refuses.
//! - **R2.** A signature in whatever lane or batch gives the same: nothing that belongs to one signature is shared but inverses,
//!   and those are exact.
//!
//! The worst that a batch can hold is a signature that goes through the lanes and then to libsecp256k1: 1.15 times
//! what the latter takes alone. It is not known how to make one, since the ladder starts at a point that is chosen
//! per process.

use crate::glv::Digits;
use crate::lanes::{Factors, Kernel, LANES, Point, Task};
use crate::scalar::{Scalar, invert_all};
use crate::{Item, NoKey, PublicKey, library};

/// Signatures that share inversions: with more, the tables outgrow the second-level cache.
const CHUNK: usize = 256;

/// So many signatures are worth a vector that is not full, beside others that are.
const TAIL_MIN: usize = 2;

/// So many are worth it alone.
const ALONE_MIN: usize = 3;

/// A signature with r and s in range.
struct Candidate {
    /// Its place among the results.
    place: usize,
    /// r.
    r: Scalar,
    /// s.
    s: Scalar,
}

/// The key of each signature, in order.
pub(crate) fn recover(kernel: Kernel, items: &[Item]) -> Vec<Result<PublicKey, NoKey>> {
    let mut keys = vec![Err(NoKey); items.len()];
    let candidates: Vec<Candidate> = items.iter().enumerate().filter_map(candidate).collect();
    for chunk in candidates.chunks(CHUNK) {
        recover_chunk(kernel, items, chunk, &mut keys);
    }
    keys
}

/// The signature, if its numbers are in range.
fn candidate((place, item): (usize, &Item)) -> Option<Candidate> {
    let r = Scalar::from_be_bytes(&item.r).in_range()?;
    let s = Scalar::from_be_bytes(&item.s).in_range()?;
    Some(Candidate { place, r, s })
}

/// Recovers a chunk, all that is worth it in lanes.
fn recover_chunk(
    kernel: Kernel,
    items: &[Item],
    chunk: &[Candidate],
    keys: &mut [Result<PublicKey, NoKey>],
) {
    let tail = chunk.len() % LANES;
    let worth = if chunk.len() < LANES { ALONE_MIN } else { TAIL_MIN };
    let (together, rest) = chunk.split_at(if tail < worth { chunk.len() - tail } else { chunk.len() });
    for candidate in rest {
        keys[candidate.place] = library::recover(&items[candidate.place]);
    }
    if together.is_empty() {
        return;
    }
    let tasks = tasks(items, together);
    let last = tasks[tasks.len() - 1];
    // The last vector is filled up with the last signature.
    let vector = |tasks: &[Task]| std::array::from_fn(|lane| tasks.get(lane).copied().unwrap_or(last));
    let vectors: Vec<[Task; LANES]> = tasks.chunks(LANES).map(vector).collect();
    let points = kernel.run(&vectors);
    for (candidate, point) in together.iter().zip(points.as_flattened()) {
        keys[candidate.place] = match point {
            Some(point) => Ok(key(point)),
            None => library::recover(&items[candidate.place]),
        };
    }
}

/// What the lanes have to do for each signature: Q = −z/r·G + s/r·R (SEC 1, section 4.1.6).
fn tasks(items: &[Item], candidates: &[Candidate]) -> Vec<Task> {
    let mut inverses: Vec<Scalar> = candidates.iter().map(|candidate| candidate.r).collect();
    invert_all(&mut inverses);
    let task = |(candidate, inverse): (&Candidate, Scalar)| {
        let item = &items[candidate.place];
        let z = Scalar::from_be_bytes(&item.digest).reduced();
        let generator = Digits::of_whole(z.negated().product(inverse));
        let halves = Digits::of_halves(candidate.s.product(inverse));
        Task { x: candidate.r.0, odd: item.y_odd, factors: Factors { generator, halves } }
    };
    candidates.iter().zip(inverses).map(task).collect()
}

/// The bytes of a point.
fn key(point: &Point) -> PublicKey {
    let mut bytes = [0; 64];
    let words = point.x.iter().rev().chain(point.y.iter().rev());
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    PublicKey(bytes)
}

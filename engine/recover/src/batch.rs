//! From signatures to vectors and back.
//!
//! ```text
//!  items ─► in range? ─► R? ─► u1, u2 (one inversion for a chunk) ─► vectors of eight ─► keys
//!             │ no        │ no, proved: refused    └ a short tail ┐      │ flagged
//!             └───────────│─────────► libsecp256k1 ◄──────────────┴──────┘
//! ```
//!
//! - **B1.** Lanes refuse no signature without proof: what they can neither recover nor disprove is libsecp256k1's.
//! - **B2.** A signature gives the same in whatever lane, chunk or order: neighbours share nothing but inversions, and
//!   those are exact.
//!
//! `tests/differential.rs` checks both.
//!
//! # What the worst input costs
//!
//! Against libsecp256k1 alone, which takes 38 µs for a key and 4 µs to find that there is no R:
//!
//! - Numbers out of range take no lane.
//! - A signature without R costs a root in lanes, 0.5 µs in a full vector and 5 µs alone in one; its lane is given to
//!   another before the tables are built. So a batch can be made up to 1.2 times slower than by libsecp256k1 only by
//!   leaving so few with an R that they are not worth a vector: one of four.
//! - A flagged signature costs both, 1.15 times. Nobody knows how to make one: the ladder starts at a point that is
//!   chosen per process.

use crate::glv::Digits;
use crate::lanes::{Factors, Found, Kernel, LANES, Row, Sought, Task};
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
    if items.len() < ALONE_MIN {
        return items.iter().map(library::recover).collect();
    }
    // Whatever is out of range stays refused.
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

/// Splits off what is not worth a vector.
fn without_tail<T>(all: &[T]) -> (&[T], &[T]) {
    let tail = all.len() % LANES;
    let worth = if all.len() < LANES { ALONE_MIN } else { TAIL_MIN };
    all.split_at(if tail < worth { all.len() - tail } else { all.len() })
}

/// Recovers a chunk, all that is worth it in lanes.
fn recover_chunk(kernel: Kernel, items: &[Item], chunk: &[Candidate], keys: &mut [Result<PublicKey, NoKey>]) {
    let (together, tail) = without_tail(chunk);
    let mut rest: Vec<usize> = tail.iter().map(|candidate| candidate.place).collect();
    let sought = |candidate: &Candidate| Sought { x: candidate.r.0, odd: items[candidate.place].y_odd };
    let found = kernel.lift(&together.iter().map(sought).collect::<Vec<_>>());
    let mut lifted = Vec::with_capacity(together.len());
    for (candidate, found) in together.iter().zip(found) {
        match found {
            Found::Point(point) => lifted.push((candidate, point)),
            Found::Nothing => keys[candidate.place] = Err(NoKey),
            Found::Unknown => rest.push(candidate.place),
        }
    }
    let (together, tail) = without_tail(&lifted);
    rest.extend(tail.iter().map(|(candidate, _)| candidate.place));
    let sums = kernel.climb(&tasks(items, together));
    for ((candidate, _), sum) in together.iter().zip(sums) {
        match sum {
            Some(sum) => keys[candidate.place] = Ok(key(&sum)),
            None => rest.push(candidate.place),
        }
    }
    for place in rest {
        keys[place] = library::recover(&items[place]);
    }
}

/// What the lanes have to do for each signature: Q = −z/r·G + s/r·R (SEC 1, section 4.1.6).
fn tasks(items: &[Item], lifted: &[(&Candidate, Row)]) -> Vec<Task> {
    let mut inverses: Vec<Scalar> = lifted.iter().map(|(candidate, _)| candidate.r).collect();
    invert_all(&mut inverses);
    let task = |((candidate, point), inverse): (&(&Candidate, Row), Scalar)| {
        let z = Scalar::from_be_bytes(&items[candidate.place].digest).reduced();
        let generator = Digits::of_whole(z.negated().product(inverse));
        let halves = Digits::of_halves(candidate.s.product(inverse));
        Task { point: *point, factors: Factors { generator, halves } }
    };
    lifted.iter().zip(inverses).map(task).collect()
}

/// The bytes of a point.
fn key(point: &Row) -> PublicKey {
    let mut bytes = [0; 64];
    let (x, y) = point.split_at(4);
    for (bytes, word) in bytes.chunks_exact_mut(8).zip(x.iter().rev().chain(y.iter().rev())) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    PublicKey(bytes)
}

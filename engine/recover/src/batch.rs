//! From signatures to vectors and back.
//!
//! ```text
//!  items ─► r, s in range? ─► lift: R ─► u1, u2 (one inversion for a chunk) ─► climb ─► keys
//!               │ no           │    │        └─ a short tail ─┐                 │
//!            refused      refused   └─ unknown ─────────► libsecp256k1 ◄─ flagged
//!                      (with proof)
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
//! - Numbers out of range take no lane. To see that they are takes less than libsecp256k1's own look.
//! - A signature without R costs a root in lanes: 0.5 µs in a full vector, 5 µs alone in one. Its lane is given to
//!   another before the tables are built. The worst is one of three, which leaves two for libsecp256k1: 1.07 times.
//! - A flagged signature costs both, 1.15 times. Nobody knows how to make one: the ladder starts at a point that is
//!   chosen per process.
//! - The tables of the generator are made beforehand ([`crate::Backend::prepare`]), or by a chunk that gains by it alone:
//!   24 signatures that have a point. Until then a chunk in which fewer have one has been lifted for nothing.

use crate::glv::Digits;
use crate::lanes::{Factors, Found, Kernel, LANES, Row, Sought, Task};
use crate::scalar::{Scalar, invert_all};
use crate::{Item, NoKey, PublicKey};

/// Signatures that share inversions: with more, the tables outgrow the second-level cache.
const CHUNK: usize = 256;

/// So many signatures are worth a vector that is not full, beside others that are.
const TAIL_MIN: usize = 2;

/// So many are worth it alone.
pub(crate) const ALONE_MIN: usize = 3;

/// So many signatures that have a point pay for the tables of the generator, which take half a millisecond once.
const TABLES_MIN: usize = 24;

/// A signature with r and s in range.
struct Candidate {
    /// Its place among the results.
    place: usize,
    /// r.
    r: Scalar,
    /// s.
    s: Scalar,
}

/// What is known of a signature once the lanes are done: nothing, if it is left to libsecp256k1.
type Known = Option<Result<PublicKey, NoKey>>;

/// The key of each signature that is worth a lane and can be recovered in one, in order; `None` if they are too few
/// as long as nothing is prepared, or if this processor has no lanes.
pub(crate) fn recover(items: &[Item]) -> Option<Vec<Known>> {
    let kernel = Kernel::detect()?;
    // Whoever makes the tables must gain by it himself.
    let pays = |signatures: usize| kernel.is_prepared() || signatures >= TABLES_MIN;
    if !pays(items.len()) {
        return None;
    }
    let climb =
        |tasks: &[Task]| if pays(tasks.len()) { kernel.climb(tasks) } else { vec![None; tasks.len()] };
    Some(recover_by(|sought| kernel.lift(sought), climb, items))
}

/// [`recover`] by what stands for the kernel's two halves.
fn recover_by(
    lift: impl Fn(&[Sought]) -> Vec<Found>,
    climb: impl Fn(&[Task]) -> Vec<Option<Row>>,
    items: &[Item],
) -> Vec<Known> {
    // Whatever is out of range stays refused.
    let mut keys = vec![Some(Err(NoKey)); items.len()];
    let candidates: Vec<Candidate> = items.iter().enumerate().filter_map(candidate).collect();
    for chunk in candidates.chunks(CHUNK) {
        for place in recover_chunk(&lift, &climb, items, chunk, &mut keys) {
            keys[place] = None;
        }
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

/// Recovers of a chunk what is worth it, in lanes. The places of the others are left to libsecp256k1.
fn recover_chunk(
    lift: impl Fn(&[Sought]) -> Vec<Found>,
    climb: impl Fn(&[Task]) -> Vec<Option<Row>>,
    items: &[Item],
    chunk: &[Candidate],
    keys: &mut [Known],
) -> Vec<usize> {
    let (together, tail) = without_tail(chunk);
    let mut rest: Vec<usize> = tail.iter().map(|candidate| candidate.place).collect();
    let sought = |candidate: &Candidate| Sought { x: candidate.r.0, odd: items[candidate.place].y_odd };
    let found = lift(&together.iter().map(sought).collect::<Vec<_>>());
    let mut lifted = Vec::with_capacity(together.len());
    for (candidate, found) in together.iter().zip(found) {
        match found {
            Found::Point(point) => lifted.push((candidate, point)),
            Found::Nothing => keys[candidate.place] = Some(Err(NoKey)),
            Found::Unknown => rest.push(candidate.place),
        }
    }
    let (together, tail) = without_tail(&lifted);
    rest.extend(tail.iter().map(|(candidate, _)| candidate.place));
    let sums = climb(&tasks(items, together));
    for ((candidate, _), sum) in together.iter().zip(sums) {
        match sum {
            Some(sum) => keys[candidate.place] = Some(Ok(key(&sum))),
            None => rest.push(candidate.place),
        }
    }
    rest
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library;

    /// Signatures of which every second one has a point.
    fn items() -> Vec<Item> {
        let item = |number: u8| {
            let mut r = [number; 32];
            r[0] = 0;
            Item { digest: [number; 32], r, s: [7; 32], y_odd: number.is_multiple_of(3) }
        };
        (1..=250).map(item).collect()
    }

    #[test]
    fn what_lanes_cannot_do_is_done_all_the_same() {
        let Some(kernel) = Kernel::detect() else { return println!("skipped: no AVX-512 IFMA") };
        let items = items();
        let expected: Vec<_> = items.iter().map(library::recover).collect();
        assert!(expected.iter().any(Result::is_ok) && expected.iter().any(Result::is_err));
        for every in 1..=9 {
            let lift = |sought: &[Sought]| {
                let mut found = kernel.lift(sought);
                found.iter_mut().step_by(every).for_each(|found| *found = Found::Unknown);
                found
            };
            let climb = |tasks: &[Task]| {
                let mut sums = kernel.climb(tasks);
                sums.iter_mut().step_by(every).for_each(|sum| *sum = None);
                sums
            };
            let kernel_lift = |sought: &[Sought]| kernel.lift(sought);
            let kernel_climb = |tasks: &[Task]| kernel.climb(tasks);
            let assert_keys = |found: Vec<Known>, what: &str| {
                assert!(found.contains(&None), "every {every} {what}");
                let keys = found.into_iter().zip(&items);
                let keys: Vec<_> =
                    keys.map(|(known, item)| known.unwrap_or_else(|| library::recover(item))).collect();
                assert_eq!(keys, expected, "every {every} {what}");
            };
            assert_keys(recover_by(lift, kernel_climb, &items), "unknown");
            assert_keys(recover_by(kernel_lift, climb, &items), "flagged");
            assert_keys(recover_by(lift, climb, &items), "both");
        }
    }

    #[test]
    fn few_that_have_a_point_are_left_alone() {
        let Some(kernel) = Kernel::detect() else { return println!("skipped: no AVX-512 IFMA") };
        kernel.prepare();
        let (good, bad): (Vec<Item>, Vec<Item>) =
            items().into_iter().partition(|item| library::recover(item).is_ok());
        for size in 3..=40 {
            for count in 0..=3 {
                let mut batch = bad[..size].to_vec();
                // Wherever they are.
                for (place, item) in good[..count].iter().enumerate() {
                    batch[place * (size - 1) / 2] = *item;
                }
                let known = recover(&batch).expect("enough of them");
                let left = known.iter().filter(|known| known.is_none()).count();
                // Of nine, the last stands apart from the start; it is the third that has a point.
                let apart = usize::from(size % LANES == 1 && size > LANES);
                let expected = if count < ALONE_MIN { count + apart } else { apart * ALONE_MIN };
                assert_eq!(left, expected, "of {size}, {count} have a point");
            }
        }
    }

    #[test]
    fn short_tails_are_left_out() {
        for (length, together) in [(0, 0), (2, 0), (3, 3), (8, 8), (9, 8), (10, 10), (17, 16), (255, 255)] {
            let all = vec![(); length];
            let (kept, tail) = without_tail(&all);
            assert_eq!((kept.len(), tail.len()), (together, length - together));
        }
    }
}

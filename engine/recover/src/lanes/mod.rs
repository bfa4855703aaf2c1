//! Recovery in lanes: AVX-512 with IFMA, eight signatures in a vector.
//!
//! ```text
//!  x of R ─► y (curve, power) ─► odd multiples of R (table) ─► u1·G + u2·R (ladder) ─► affine ─► key
//!     │                                                              │
//!     └── no such point ──────────────► flagged ◄──── Z = 0 ─────────┘
//! ```
//!
//! - **L1.** No instruction runs that the processor lacks: a [`Kernel`] can be had only from its `detect`.
//! - **L2.** A flagged lane disturbs no other: where there is no point, the generator takes its place before anything
//!   is shared, and a Z of zero is replaced by one before Z is inverted.
//!
//! `unsafe` is confined to loads and stores of whole registers in `words.rs`, and the one call from code for any
//! processor into code for this one below.

mod curve;
mod field;
mod fixed;
mod ladder;
mod power;
mod table;
#[cfg(test)]
mod tests;
mod words;

use std::arch::x86_64::__m512i;

use curve::{Affine, Jacobian, lifted};
use field::Exact;
use fixed::Fixed;
pub(crate) use ladder::Factors;
use words::{Column, from_words, load, to_columns};

/// Signatures in a vector.
pub(crate) const LANES: usize = 8;

/// A recovery: u1·G + u2·R.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// x of R, lowest word first.
    pub(crate) x: [u64; 4],
    /// Whether y of R is odd.
    pub(crate) odd: bool,
    /// Digits of u1 and u2.
    pub(crate) factors: Factors,
}

/// A point's coordinates, lowest word first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// x.
    pub(crate) x: [u64; 4],
    /// y.
    pub(crate) y: [u64; 4],
}

/// Proof that the processor has AVX-512 F and IFMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel(());

impl Kernel {
    /// The kernel, if the processor can run it.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")).then_some(Self(()))
    }

    /// The point of each task; `None` for those that lanes cannot do.
    #[expect(unsafe_code, reason = "the call behind the check of the processor")]
    pub(crate) fn run(self, tasks: &[[Task; LANES]]) -> Vec<[Option<Point>; LANES]> {
        // SAFETY: `self` comes from `detect`, so the processor has AVX-512 F and IFMA.
        unsafe { run(tasks) }
    }
}

/// [`Kernel::run`] on a processor that can.
#[target_feature(enable = "avx512f,avx512ifma")]
fn run(tasks: &[[Task; LANES]]) -> Vec<[Option<Point>; LANES]> {
    run_with(fixed::fixed(), tasks)
}

/// [`run`] with these points.
#[target_feature(enable = "avx512f,avx512ifma")]
fn run_with(fixed: &Fixed, tasks: &[[Task; LANES]]) -> Vec<[Option<Point>; LANES]> {
    let (points, found) = points(tasks);
    let multiples = table::odd_multiples(&points);
    let [mut own, mut endomorphic] = [[[field::splat(0); table::ENTRIES]; LANES]; 2];
    let mut sums = Vec::with_capacity(tasks.len());
    for (tasks, multiples) in tasks.iter().zip(&multiples) {
        table::to_lane_tables(multiples, &mut own, &mut endomorphic);
        sums.push(ladder::climb(fixed, &own, &endomorphic, &tasks.map(|task| task.factors)));
    }
    to_points(&sums, &found)
}

/// R of each task, and the lanes in which there is one; the generator is in the others.
#[target_feature(enable = "avx512f,avx512ifma")]
fn points(tasks: &[[Task; LANES]]) -> (Vec<Affine>, Vec<u8>) {
    let (mut points, mut found) = (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
    let mut push = |(point, lanes): (Affine, u8)| {
        points.push(point.or_generator(lanes));
        found.push(lanes);
    };
    // Two vectors at once: while one squaring waits for the last, the other goes on.
    let (pairs, rest) = tasks.as_chunks::<2>();
    for [one, two] in pairs {
        lifted(&[xs(one), xs(two)], &[odd(one), odd(two)]).into_iter().for_each(&mut push);
    }
    for one in rest {
        lifted(&[xs(one)], &[odd(one)]).into_iter().for_each(&mut push);
    }
    (points, found)
}

/// x of R in each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
fn xs(tasks: &[Task; LANES]) -> Exact<1> {
    let column = |word: usize| -> __m512i { load(&tasks.map(|task| task.x[word])) };
    from_words([column(0), column(1), column(2), column(3)])
}

/// The lanes in which y is to be odd.
fn odd(tasks: &[Task; LANES]) -> u8 {
    tasks.iter().rev().fold(0, |lanes, task| lanes << 1 | u8::from(task.odd))
}

/// The affine coordinates of sums that are not flagged.
#[target_feature(enable = "avx512f,avx512ifma")]
fn to_points(sums: &[Jacobian], found: &[u8]) -> Vec<[Option<Point>; LANES]> {
    let one = Exact::<1>::splat([1, 0, 0, 0, 0]);
    let zs: Vec<(Exact<1>, u8)> = sums
        .iter()
        .map(|sum| {
            let zeros = sum.z.zeros();
            (sum.z.replaced(zeros, &one), zeros)
        })
        .collect();
    let inverses = table::inverses(&zs.iter().map(|(z, _)| *z).collect::<Vec<_>>());
    let mut points = Vec::with_capacity(sums.len());
    for (((sum, inverse), (_, zeros)), found) in sums.iter().zip(&inverses).zip(&zs).zip(found) {
        let square = inverse.squared();
        let x = to_columns(&sum.x.times(&square));
        let y = to_columns(&sum.y.times(&square.times(inverse)));
        let lane_of = |columns: &[Column; 4], lane: usize| columns.map(|column| column[lane]);
        let good = found & !zeros;
        points.push(std::array::from_fn(|lane| {
            (good >> lane & 1 == 1).then(|| Point { x: lane_of(&x, lane), y: lane_of(&y, lane) })
        }));
    }
    points
}

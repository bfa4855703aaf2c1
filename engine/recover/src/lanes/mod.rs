//! Recovery in lanes: AVX-512 with IFMA, eight signatures in a vector.
//!
//! ```text
//!  lift:   x of R ─► power ─► R, or proof that there is none
//!  climb:  R ─► odd multiples of R (table) ─► u1·G + u2·R (ladder) ─► affine
//!                                              └── Z = 0 ──► flagged
//! ```
//!
//! - **L1.** No instruction runs that the processor lacks: a [`Kernel`] can be had only from its `detect`.
//! - **L2.** A flagged lane disturbs no other: a Z of zero is replaced by one before all are inverted together.
//!   Nothing else that is inverted can be zero, since small multiples of a point differ.
//!
//! `unsafe` is confined to loads and stores of whole registers in `words.rs`, and the one call from code for any
//! processor into code for this one below.

mod curve;
mod field;
mod fixed;
mod ladder;
mod power;
mod product;
mod table;
#[cfg(test)]
mod tests;
mod words;

use curve::{Jacobian, Lifted, gathered};
use field::Exact;
use fixed::Fixed;
pub(crate) use ladder::Factors;
pub(crate) use words::Row;
use words::{from_words, load, to_columns};

/// Signatures in a vector.
pub(crate) const LANES: usize = 8;

/// A point to be looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought {
    /// Its x, lowest word first.
    pub(crate) x: [u64; 4],
    /// Whether its y is odd.
    pub(crate) odd: bool,
}

/// What was found of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The point.
    Point(Row),
    /// There is no such point.
    Nothing,
    /// Neither could be shown.
    Unknown,
}

/// A recovery: u1·G + u2·R.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    /// R.
    pub(crate) point: Row,
    /// Digits of u1 and u2.
    pub(crate) factors: Factors,
}

/// Proof that the processor has AVX-512 F and IFMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel(());

impl Kernel {
    /// The kernel, if the processor can run it.
    pub(crate) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")).then_some(Self(()))
    }

    /// Whether the tables of the generator are made, which takes half a millisecond.
    #[expect(clippy::unused_self, reason = "there are no tables without a kernel")]
    pub(crate) fn is_prepared(self) -> bool {
        fixed::is_made()
    }

    /// Makes the tables of the generator, if nobody has made them.
    #[expect(unsafe_code, clippy::unused_self, reason = "the call behind the check of which `self` is proof")]
    pub(crate) fn prepare(self) {
        // SAFETY: `self` comes from `detect`, so the processor has AVX-512 F and IFMA.
        unsafe { fixed::fixed() };
    }

    /// The points with these x.
    #[expect(unsafe_code, clippy::unused_self, reason = "the call behind the check of which `self` is proof")]
    pub(crate) fn lift(self, sought: &[Sought]) -> Vec<Found> {
        // SAFETY: `self` comes from `detect`, so the processor has AVX-512 F and IFMA.
        unsafe { lift(sought) }
    }

    /// The sum that each task asks for; `None` if the ladder cannot make it.
    #[expect(unsafe_code, clippy::unused_self, reason = "the call behind the check of which `self` is proof")]
    pub(crate) fn climb(self, tasks: &[Task]) -> Vec<Option<Row>> {
        // SAFETY: `self` comes from `detect`, so the processor has AVX-512 F and IFMA.
        unsafe { climb(fixed::fixed(), tasks) }
    }
}

/// Vectors of eight; the last is filled up with the last one.
fn vectors<T: Copy>(items: &[T]) -> Vec<[T; LANES]> {
    let vector = |items: &[T]| std::array::from_fn(|lane| items[lane.min(items.len() - 1)]);
    items.chunks(LANES).map(vector).collect()
}

/// [`Kernel::lift`] on a processor that can.
#[target_feature(enable = "avx512f,avx512ifma")]
fn lift(sought: &[Sought]) -> Vec<Found> {
    let vectors = vectors(sought);
    let mut found = Vec::with_capacity(vectors.len() * LANES);
    // Two vectors at once: while one squaring waits for the last, the other goes on.
    let (pairs, rest) = vectors.as_chunks::<2>();
    for [one, two] in pairs {
        let lifted = curve::lifted(&[xs(one), xs(two)], &[odd(one), odd(two)]);
        found.extend_from_slice(lifted.map(|lifted| to_found(&lifted)).as_flattened());
    }
    for one in rest {
        let [lifted] = curve::lifted(&[xs(one)], &[odd(one)]);
        found.extend(to_found(&lifted));
    }
    found.truncate(sought.len());
    found
}

/// x of R in each lane.
#[target_feature(enable = "avx512f,avx512ifma")]
fn xs(sought: &[Sought; LANES]) -> Exact<1> {
    from_words([0, 1, 2, 3].map(|word: usize| load(&sought.map(|sought| sought.x[word]))))
}

/// The lanes in which y is to be odd.
fn odd(sought: &[Sought; LANES]) -> u8 {
    sought.iter().rev().fold(0, |lanes, sought| lanes << 1 | u8::from(sought.odd))
}

/// What was found, lane by lane.
#[target_feature(enable = "avx512f,avx512ifma")]
fn to_found(lifted: &Lifted) -> [Found; LANES] {
    let rows = to_rows(&lifted.point.x, &lifted.point.y);
    std::array::from_fn(|lane| {
        if lifted.found >> lane & 1 == 1 {
            Found::Point(rows[lane])
        } else if lifted.absent >> lane & 1 == 1 {
            Found::Nothing
        } else {
            Found::Unknown
        }
    })
}

/// [`Kernel::climb`] on a processor that can, with these points.
#[target_feature(enable = "avx512f,avx512ifma")]
fn climb(fixed: &Fixed, tasks: &[Task]) -> Vec<Option<Row>> {
    let vectors = vectors(tasks);
    let mut points = Vec::with_capacity(vectors.len());
    for vector in &vectors {
        points.push(gathered(&vector.map(|task| task.point)));
    }
    let multiples = table::odd_multiples(&points, table::ENTRIES);
    let [mut own, mut endomorphic] = [[[field::splat(0); table::ENTRIES]; LANES]; 2];
    let mut sums = Vec::with_capacity(vectors.len());
    for (vector, multiples) in vectors.iter().zip(multiples.chunks_exact(table::ENTRIES)) {
        table::to_lane_tables(multiples, &mut own, &mut endomorphic);
        sums.push(ladder::climb(fixed, &own, &endomorphic, &vector.map(|task| task.factors)));
    }
    let mut found = to_affine(&sums);
    found.truncate(tasks.len());
    found
}

/// The affine coordinates of sums, lane by lane; `None` where Z is zero.
#[target_feature(enable = "avx512f,avx512ifma")]
fn to_affine(sums: &[Jacobian]) -> Vec<Option<Row>> {
    let one = Exact::<1>::splat([1, 0, 0, 0, 0]);
    let (mut zs, mut flags) = (Vec::with_capacity(sums.len()), Vec::with_capacity(sums.len()));
    for sum in sums {
        let zeros = sum.z.zeros();
        zs.push(sum.z.replaced(zeros, &one));
        flags.push(zeros);
    }
    let mut points = Vec::with_capacity(sums.len() * LANES);
    for ((sum, inverse), flags) in sums.iter().zip(table::inverses(&zs)).zip(flags) {
        let square = inverse.squared();
        let rows = to_rows(&sum.x.times(&square), &sum.y.times(&square.times(&inverse)));
        points.extend((0..LANES).map(|lane| (flags >> lane & 1 == 0).then_some(rows[lane])));
    }
    points
}

/// A row for each lane, of coordinates below p.
#[target_feature(enable = "avx512f,avx512ifma")]
fn to_rows(x: &Exact<1>, y: &Exact<1>) -> [Row; LANES] {
    let (x, y) = (to_columns(x), to_columns(y));
    std::array::from_fn(|lane| {
        std::array::from_fn(|word| if word < 4 { x[word][lane] } else { y[word - 4][lane] })
    })
}

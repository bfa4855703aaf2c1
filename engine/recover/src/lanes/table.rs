//! Odd multiples of points: of each signature's own point R, and of the generator (`fixed.rs`).
//!
//! A table grows in layers: with the odd multiples below 2^i and the multiple 2^i itself at hand, adding them gives
//! the odd ones below 2^(i+1). Additions of points with Z = 1 need an inverse each; all those of a layer, over all
//! vectors, share one.

use std::arch::x86_64::__m512i;

use super::curve::Affine;
use super::field::Exact;
use super::power;
use super::words::to_rows;

/// Multiples of a point that a table of five-bit digits holds: R, 3R, …, 31R.
pub(super) const ENTRIES: usize = 16;

/// One table for each lane, a row for each multiple.
pub(super) type LaneTables = [[__m512i; ENTRIES]; 8];

/// The inverses of numbers that are not zero: one inversion for all (Montgomery's trick).
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn inverses<const M: u64>(numbers: &[Exact<M>]) -> Vec<Exact<1>> {
    if numbers.is_empty() {
        return Vec::new();
    }
    let mut product = Exact::<1>::splat([1, 0, 0, 0, 0]);
    let mut inverses = Vec::with_capacity(numbers.len());
    for number in numbers {
        inverses.push(product);
        product = product.times(number);
    }
    let mut inverse = power::inverse(&product);
    for (number, before) in numbers.iter().zip(&mut inverses).rev() {
        *before = before.times(&inverse);
        inverse = inverse.times(number);
    }
    inverses
}

/// So many odd multiples of each point: P, 3P, 5P, … of the first, then those of the next. Their number is a power
/// of two.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn odd_multiples(points: &[Affine], entries: usize) -> Vec<Affine> {
    let mut tables = Vec::with_capacity(points.len() * entries);
    for point in points {
        tables.resize(tables.len() + entries, *point);
    }
    let mut powers = points.to_vec();
    let mut runs = Vec::with_capacity(points.len() * (entries / 2 + 1));
    // How many odd multiples are ready; the first layer doubles only.
    let mut ready = 0;
    while ready < entries {
        let last = 2 * ready == entries;
        runs.clear();
        for (table, power) in tables.chunks_exact(entries).zip(&powers) {
            for point in &table[..ready] {
                runs.push(point.run_to(power));
            }
            if !last {
                runs.push(power.run_to_self());
            }
        }
        let mut inverses = inverses(&runs).into_iter();
        let mut next = || inverses.next().expect("one for each run");
        for (table, power) in tables.chunks_exact_mut(entries).zip(&mut powers) {
            let (before, after) = table.split_at_mut(ready);
            for (point, sum) in before.iter().zip(after) {
                *sum = point.plus(power, &next());
            }
            if !last {
                *power = power.doubled(&next());
            }
        }
        ready = (2 * ready).max(1);
    }
    tables
}

/// Rows for the multiples of R, and for those of λR.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn to_lane_tables(multiples: &[Affine], own: &mut LaneTables, endomorphic: &mut LaneTables) {
    for (entry, point) in multiples.iter().enumerate() {
        for (table, row) in own.iter_mut().zip(to_rows(&point.x, &point.y)) {
            table[entry] = row;
        }
        for (table, row) in endomorphic.iter_mut().zip(to_rows(&point.endomorphism_x(), &point.y)) {
            table[entry] = row;
        }
    }
}

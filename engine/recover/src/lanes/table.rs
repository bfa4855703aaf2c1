//! Odd multiples of points: of each signature's own point R, and of the generator.
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

/// R, 3R, …, 31R in each lane.
pub(super) type OddMultiples = [Affine; ENTRIES];

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

/// The odd multiples of each point.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn odd_multiples(points: &[Affine]) -> Vec<OddMultiples> {
    let mut tables: Vec<OddMultiples> = points.iter().map(|point| [*point; ENTRIES]).collect();
    let mut powers = points.to_vec();
    let mut runs = Vec::with_capacity(points.len() * (ENTRIES / 2 + 1));
    // How many odd multiples there are; the first layer doubles only.
    let mut known = 0;
    while known < ENTRIES {
        let last = 2 * known == ENTRIES;
        runs.clear();
        for (table, power) in tables.iter().zip(&powers) {
            for point in &table[..known] {
                runs.push(point.run_to(power));
            }
            if !last {
                runs.push(power.run_to_self());
            }
        }
        let mut inverses = inverses(&runs).into_iter();
        let mut next = || inverses.next().expect("one for each run");
        for (table, power) in tables.iter_mut().zip(&mut powers) {
            for place in 0..known {
                table[known + place] = table[place].plus(power, &next());
            }
            if !last {
                *power = power.doubled(&next());
            }
        }
        known = (2 * known).max(1);
    }
    tables
}

/// Rows for the multiples of R, and for those of λR.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn to_lane_tables(multiples: &OddMultiples, own: &mut LaneTables, endomorphic: &mut LaneTables) {
    for (entry, point) in multiples.iter().enumerate() {
        for (table, row) in own.iter_mut().zip(to_rows(&point.x, &point.y)) {
            table[entry] = row;
        }
        for (table, row) in endomorphic.iter_mut().zip(to_rows(&point.endomorphism_x(), &point.y)) {
            table[entry] = row;
        }
    }
}

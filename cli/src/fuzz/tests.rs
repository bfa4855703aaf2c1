//! A few hundred seeds, and proof that a difference is found.

use weft_engine::Counters;
use weft_engine::error::ExecuteError;
use weft_engine::pre_state::PreState;
use weft_engine::{Outcome, ReadyBlock, parallel};

use super::*;

#[test]
fn two_hundred_seeds_agree() {
    let matrix = Matrix::new([1, 2, 3, 8], 2).unwrap();
    let mut summary = Summary::default();
    for seed in 0..200 {
        match run_seed(seed, &matrix) {
            Ok((case, tally)) => summary.add(&case, tally),
            Err(failure) => panic!("seed {seed}: {}", failure.reason),
        }
    }
    assert!(summary.invalid < 100, "{} blocks of 200 are invalid", summary.invalid);
    assert!(summary.aborts > 0, "nothing was ever thrown away");
}

/// Seeds on which the engines once differed: an empty account with storage that is touched, goes, and comes back; and
/// a transaction for which the witness lacks both a slot and the beneficiary.
#[test]
fn seeds_that_once_differed_agree() {
    let matrix = Matrix::new([2, 3], 3).unwrap();
    for seed in [2_000_164, 2_000_768, 2_001_932, 2_002_289, 2_002_517, 2_003_033, 2_005_084] {
        if let Err(failure) = run_seed(seed, &matrix) {
            panic!("seed {seed}: {}", failure.reason);
        }
    }
}

#[test]
fn a_seed_is_always_the_same_block() {
    for seed in 0..50 {
        let text = generate::case(seed).to_string();
        assert_eq!(text, generate::case(seed).to_string());
    }
}

/// The parallel engine, but that it loses the last log of a block.
fn forgetful(block: &ReadyBlock<'_>, state: &dyn PreState) -> (Result<Outcome, ExecuteError>, Counters) {
    let (mut outcome, counters) = parallel::run(block, state);
    if let Ok(outcome) = &mut outcome
        && let Some(receipt) = outcome.receipts.iter_mut().rev().find(|receipt| !receipt.logs.is_empty())
    {
        receipt.logs.pop();
    }
    (outcome, counters)
}

#[test]
fn a_planted_difference_is_found_and_made_small() {
    let mut matrix = Matrix::new([2], 1).unwrap();
    matrix.subjects = [forgetful; 2];
    let found = (0..1_000).find_map(|seed| run_seed(seed, &matrix).err()).unwrap();
    let case = found.case.unwrap();
    assert!(found.reason.contains("receipt"), "{}", found.reason);
    let (smallest, reason) = shrink::shrink(&case, found.reason, &matrix, 1, Duration::from_secs(30));
    assert_eq!(smallest.transactions.len(), 1, "{smallest}");
    assert!(reason.contains("receipt 0"), "{reason}");
    assert!(smallest.world.accounts().count() <= case.world.accounts().count());
}

/// The parallel engine, but that it panics.
fn brittle(_: &ReadyBlock<'_>, _: &dyn PreState) -> (Result<Outcome, ExecuteError>, Counters) {
    panic!("planted")
}

#[test]
fn a_panic_is_a_difference() {
    let mut matrix = Matrix::new([2], 1).unwrap();
    matrix.subjects = [brittle; 2];
    let found = run_seed(1, &matrix).err().unwrap();
    assert!(found.reason.contains("planted"), "{}", found.reason);
}

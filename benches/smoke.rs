//! Every workload at a small scale: all baselines and the engine on several threads give the same.

use anyhow::Context;
use weft_benches::baselines::{Difference, Input, cache, journal, state};
use weft_benches::{Scale, catalogue};
use weft_engine::execute::Options;
use weft_engine::pre_state::PreState as _;
use weft_engine::simulate::{Prediction, Simulation, access_list};
use weft_engine::{ReadyBlock, parallel, sequential};

#[test]
fn engines_and_baselines_agree_on_every_workload() {
    for plan in catalogue(Scale::new(0.005).unwrap()) {
        let workload = plan.make().unwrap();
        let rules = workload.rules();
        let ready = ReadyBlock::new(&rules, &workload.block, None).unwrap();
        let expected = sequential::run(&ready, &workload.pre_state);
        for threads in [2, 3] {
            let options = Options::with_threads(threads).unwrap();
            let (outcome, _) = options.install(|| parallel::run(&ready, &workload.pre_state));
            assert_eq!(outcome, expected, "{} on {threads} threads", workload.name);
        }
        let input = Input::new(&workload).unwrap();
        let runs = [journal::run(&input).unwrap(), cache::run(&input).unwrap(), state::run(&input).unwrap()];
        for (ran, baseline) in runs.into_iter().zip(["journal", "cache", "state"]) {
            assert_eq!(ran.compare(&expected, &input), Ok(()), "{} in the {baseline}", workload.name);
        }
        if workload.name != "adversarial/bad-nonce-first" && !workload.name.starts_with("mainnet/") {
            let outcome = expected.unwrap();
            let failed = outcome.receipts.iter().position(|receipt| !receipt.status.coerce_status());
            assert_eq!(failed, None, "{}: a transaction failed", workload.name);
        }
    }
}

#[test]
fn t1_t2_a_simulation_is_the_same_each_time_and_comes_to_the_same_outcome() {
    for plan in catalogue(Scale::new(0.005).unwrap()) {
        let workload = plan.make().unwrap();
        let rules = workload.rules();
        let block = ReadyBlock::new(&rules, &workload.block, None).unwrap();
        let list = access_list(&block, &workload.pre_state).unwrap_or_default();
        for block in [block.clone(), block.with_access_list(&list)] {
            let simulation = Simulation::new(&block, &workload.pre_state, 1).unwrap();
            let costs = simulation.costs();
            // Each run compares its outcome with the one in order, or fails.
            let run = |workers, seed| simulation.run(workers, seed).unwrap();
            assert_eq!(run(1, 0).time, costs.work(), "{}: one worker is the loop", workload.name);
            // Real blocks are not scaled, and there are many.
            let numbers = if workload.name.starts_with("mainnet/") { &[7][..] } else { &[2, 7, 32] };
            for &workers in numbers {
                assert_eq!(run(workers, 3), run(workers, 3), "{} on {workers} workers", workload.name);
            }
        }
    }
}

/// Simulates a workload on so many workers, with its access list or without, and says how many transactions it has.
fn simulate(name: &str, scale: f64, is_listed: bool, workers: usize) -> anyhow::Result<(Prediction, u64)> {
    let plans = catalogue(Scale::new(scale)?);
    let workload = plans.iter().find(|plan| plan.name == name).context("no such workload")?.make()?;
    let rules = workload.rules();
    let block = ReadyBlock::new(&rules, &workload.block, None)?;
    let list = access_list(&block, &workload.pre_state)?;
    let block = if is_listed { block.with_access_list(&list) } else { block };
    let simulation = Simulation::new(&block, &workload.pre_state, 1)?;
    Ok((simulation.run(workers, 0)?, workload.block.body.transactions.len() as u64))
}

#[test]
fn what_keeps_apart_or_is_listed_is_simulated_in_strands() {
    for (name, is_listed) in [("erc20/independent", false), ("erc20/chain", false), ("erc20/chain", true)] {
        let (prediction, transactions) = simulate(name, 0.05, is_listed, 4).unwrap();
        let most = if name == "erc20/independent" || is_listed { transactions } else { 0 };
        assert!((most / 2..=most).contains(&prediction.in_strands), "{name}: {}", prediction.in_strands);
    }
}

#[test]
fn a_short_block_with_a_list_runs_side_by_side() {
    let (prediction, _) = simulate("small/swap/64", 1.0, true, 8).unwrap();
    assert_eq!((prediction.in_order, prediction.in_strands, prediction.executions), (0, 0, 64));
}

#[test]
fn whoever_foresees_all_runs_once() {
    let (prediction, transactions) = simulate("erc20/chain", 0.02, true, 8).unwrap();
    assert_eq!(prediction.executions, transactions);
}

#[test]
fn a_true_list_foresees_what_changes() {
    // A list belongs to Amsterdam; in old blocks of mainnet, empty accounts stay (EIP-161).
    for plan in catalogue(Scale::new(0.005).unwrap()).iter().filter(|plan| !plan.name.starts_with("mainnet/"))
    {
        let workload = plan.make().unwrap();
        let rules = workload.rules();
        let block = ReadyBlock::new(&rules, &workload.block, None).unwrap();
        let Ok(outcome) = sequential::run(&block, &workload.pre_state) else { continue };
        let list = access_list(&block, &workload.pre_state).unwrap();
        let foreseen = block.with_access_list(&list).foreseen_changes(&workload.pre_state);
        // A list also names what has been changed back in the end.
        let was = |address, slot| workload.pre_state.storage(address, slot).unwrap();
        for (address, change) in outcome.changes.to_trie().accounts {
            let foreseen = &foreseen.accounts[&address];
            assert_eq!(foreseen.account, change.account, "{}: {address}", workload.name);
            for (slot, value) in &foreseen.storage {
                let expected = change.storage.get(slot).copied().unwrap_or_else(|| was(address, *slot));
                assert_eq!(*value, expected, "{}: slot {slot} of {address}", workload.name);
            }
            assert!(
                change.storage.keys().all(|slot| foreseen.storage.contains_key(slot)),
                "{}",
                workload.name
            );
        }
    }
}

#[test]
fn a_difference_is_noticed() {
    let make = |name: &str| {
        let plans = catalogue(Scale::new(0.001).unwrap());
        plans.iter().find(|plan| plan.name == name).unwrap().make().unwrap()
    };
    let (one, other) = (make("raw/fresh"), make("raw/chain"));
    let rules = other.rules();
    let ready = ReadyBlock::new(&rules, &other.block, None).unwrap();
    let expected = sequential::run(&ready, &other.pre_state);
    let input = Input::new(&one).unwrap();
    let differences = [journal::run(&input).unwrap(), cache::run(&input).unwrap()]
        .map(|ran| ran.compare(&expected, &input).unwrap_err());
    assert!(differences.iter().all(|difference| matches!(difference, Difference::Account(_))));
    let difference = state::run(&input).unwrap().compare(&expected, &input);
    assert_eq!(difference, Err(Difference::Bundle));
}

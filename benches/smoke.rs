//! Every workload at a small scale: all baselines and the engine on several threads give the same.

use weft_benches::baselines::{Difference, Input, cache, journal, state};
use weft_benches::{Scale, catalogue};
use weft_engine::execute::Options;
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

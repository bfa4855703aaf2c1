//! Runs a block in order and on every number of threads, and compares everything that comes out.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use alloy_primitives::{B256, U256};
use alloy_rlp::Decodable;
use revm::state::bal::alloy::AlloyBal;
use weft_engine::Counters;
use weft_engine::error::ExecuteError;
use weft_engine::execute::Options;
use weft_engine::pre_state::PreState;
use weft_engine::{
    Committed, InvalidTransactions, Outcome, ReadyBlock, Setup, parallel, sequential, simulate,
};

use super::account_for;
use super::case::{Case, State};
use super::delay::Delayed;
use super::random::Random;

/// An engine that has to agree with the specification.
pub(super) type Subject = fn(&ReadyBlock<'_>, &dyn PreState) -> (Result<Outcome, ExecuteError>, Counters);

/// Runs blocks on every number of threads.
#[derive(Debug, Clone)]
pub(super) struct Matrix {
    /// The engines that have to agree. They take turns.
    pub(super) subjects: [Subject; 2],
    /// Threads, made once.
    pub(super) pools: Vec<Options>,
    /// How often each engine runs a block on 2 and 3 threads; once on any other number.
    pub(super) repetitions: usize,
}

/// What running a block on the whole matrix showed.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Tally {
    /// Whether the block is valid.
    pub(super) valid: bool,
    /// Whether the block is rejected because its witness lacks something.
    pub(super) starved: bool,
    /// Transactions that succeed in a valid block.
    pub(super) succeeded: u64,
    /// Transactions that revert or halt in a valid block.
    pub(super) failed: u64,
    /// Runs of the engine.
    pub(super) runs: u64,
    /// Incarnations run.
    pub(super) executions: u64,
    /// Incarnations thrown away.
    pub(super) aborts: u64,
}

impl Matrix {
    /// The parallel engine on these numbers of threads.
    ///
    /// # Errors
    ///
    /// If the system gives no threads.
    pub(super) fn new(threads: impl IntoIterator<Item = usize>, repetitions: usize) -> anyhow::Result<Self> {
        let options = |threads| Ok(Options::with_threads(threads)?.prepared());
        let pools = threads.into_iter().map(options).collect::<anyhow::Result<_>>()?;
        Ok(Self { subjects: [parallel::run, restless], pools, repetitions })
    }

    /// Runs a block; says what differs, if anything does.
    ///
    /// # Errors
    ///
    /// The difference, in words.
    pub(super) fn run(&self, case: &Case) -> Result<Tally, String> {
        let rules = case.rules();
        let block = case.block();
        let state = case.state().map_err(|error| format!("no state: {error}"))?;
        // What is wrong with a signature is found before any engine runs.
        let Ok(ready) = ReadyBlock::new(&rules, &block, None) else { return Ok(Tally::default()) };
        let expected = caught("sequential", || sequential::run(&ready, state.get()))?;
        if let Err(error @ ExecuteError::Fault(_)) = &expected {
            return Err(format!("sequential: {error}"));
        }
        let mut tally = Tally {
            valid: expected.is_ok(),
            starved: matches!(expected, Err(ExecuteError::Witness(_))),
            ..Tally::default()
        };
        let expected_roots = roots(&state, &ready, &expected);
        if let Ok(outcome) = &expected {
            for receipt in &outcome.receipts {
                let succeeded = receipt.status.coerce_status();
                *(if succeeded { &mut tally.succeeded } else { &mut tally.failed }) += 1;
            }
            caught("account", || account_for::check(case, outcome, expected_roots.as_ref()))??;
        }
        // What the transactions will do, said right, nearly right, and wrong.
        let list = expected.as_ref().ok().and_then(|_| access_list(&ready, state.get()));
        let lists = list.map_or_else(Vec::new, |list| {
            let random = || Random::new(case.delays);
            let (inexact, misleading) = (inexact(list.clone(), random()), misleading(list.clone(), random()));
            [list, inexact, misleading].map(alloy_rlp::encode).to_vec()
        });
        let mut variants = vec![ready.clone()];
        variants.extend(lists.iter().map(|list| ready.clone().with_access_list(list)));
        // Not every pool comes to all of them: each case begins with another one.
        let shift = usize::try_from(case.delays % 4).unwrap_or_default();
        for pool in &self.pools {
            let threads = pool.threads();
            let repetitions = if [2, 3].contains(&threads) { self.repetitions } else { 1 };
            for repetition in 0..2 * repetitions {
                let subject = self.subjects[repetition % 2];
                let ready = &variants[(repetition / 2 + shift) % variants.len()];
                let name = format!("{threads} threads, run {repetition}");
                let seed = case.delays.wrapping_add(u64::try_from(repetition).unwrap_or_default());
                let delayed = Delayed::new(state.get(), seed);
                let (found, counters) = caught(&name, || pool.install(|| subject(ready, &delayed)))?;
                tally.runs += 1;
                tally.executions += counters.executions;
                tally.aborts += counters.aborts;
                if found != expected {
                    return Err(format!("{name}: {}", difference(&expected, &found)));
                }
                if repetition == 0 && expected_roots.is_some() {
                    for ready in &variants {
                        let found_roots = caught(&name, || pool.install(|| roots(&state, ready, &found)))?;
                        if found_roots != expected_roots {
                            return Err(format!(
                                "{name}: roots {found_roots:?}, in order {expected_roots:?}"
                            ));
                        }
                    }
                }
            }
        }
        for invalid in [InvalidTransactions::Skip, InvalidTransactions::Stop] {
            self.run_leaving_out(invalid, case, &ready, state.get())?;
        }
        Ok(tally)
    }

    /// Runs a block without the transactions that cannot be part of it, and listens to what is committed.
    fn run_leaving_out(
        &self,
        invalid: InvalidTransactions,
        case: &Case,
        block: &ReadyBlock<'_>,
        state: &dyn PreState,
    ) -> Result<(), String> {
        let heard = |run: &dyn Fn(Setup<'_>) -> Result<Outcome, ExecuteError>| {
            let told = Mutex::new(Vec::new());
            let listen = |committed: Committed<'_>| {
                let changes = committed.changes.cloned();
                told.lock().unwrap_or_else(PoisonError::into_inner).push((
                    committed.index,
                    committed.receipt.clone(),
                    changes,
                ));
            };
            let setup = Setup::default().with_invalid(invalid).with_steps().with_on_commit(&listen);
            let found = run(setup);
            (found, told.into_inner().unwrap_or_else(PoisonError::into_inner))
        };
        let expected = caught("sequential", || heard(&|setup| sequential::run_with(block, state, setup)))?;
        for pool in &self.pools {
            let name = format!("{} threads, {invalid:?}", pool.threads());
            let delayed = Delayed::new(state, case.delays);
            let run = |mut setup: Setup<'_>| {
                setup.restless = case.delays.is_multiple_of(2);
                parallel::run_with(block, &delayed, setup).0
            };
            let found = caught(&name, || pool.install(|| heard(&run)))?;
            if found.0 != expected.0 {
                return Err(format!("{name}: {}", difference(&expected.0, &found.0)));
            }
            if found.1 != expected.1 {
                return Err(format!("{name}: told of {:?}, in order {:?}", found.1, expected.1));
            }
        }
        Ok(())
    }
}

/// The parallel engine, changing between speculation and running in order every few transactions.
fn restless(block: &ReadyBlock<'_>, state: &dyn PreState) -> (Result<Outcome, ExecuteError>, Counters) {
    parallel::run_with(block, state, Setup::default().restless())
}

/// The access list that a block has, or would have in Amsterdam.
fn access_list(ready: &ReadyBlock<'_>, pre_state: &dyn PreState) -> Option<AlloyBal> {
    let list = simulate::access_list(ready, pre_state).ok()?;
    AlloyBal::decode(&mut &*list).ok()
}

/// The same list in its order, with a few values changed, and a few changes missing.
fn inexact(mut list: AlloyBal, mut random: Random) -> AlloyBal {
    for account in &mut list {
        account.storage_changes.retain(|_| !random.chance(1));
        account.balance_changes.retain(|_| !random.chance(1));
        account.nonce_changes.retain(|_| !random.chance(1));
        for change in account.storage_changes.iter_mut().flat_map(|slot| &mut slot.changes) {
            change.new_value ^= U256::from(random.chance(2));
        }
        for change in &mut account.balance_changes {
            change.post_balance ^= U256::from(random.chance(1));
        }
    }
    list
}

/// The same list with other values, at other transactions, and without some changes. It is often out of order then.
fn misleading(mut list: AlloyBal, mut random: Random) -> AlloyBal {
    for account in &mut list {
        account.nonce_changes.retain(|_| random.chance(80));
        account.code_changes.retain(|_| random.chance(80));
        account.storage_changes.retain(|_| random.chance(80));
        for change in account.storage_changes.iter_mut().flat_map(|slot| &mut slot.changes) {
            if random.chance(30) {
                change.new_value ^= U256::from(random.below(3));
            }
            change.block_access_index.0 += u64::from(random.chance(20));
        }
        for change in &mut account.balance_changes {
            if random.chance(30) {
                change.post_balance = U256::from(random.word());
            }
            change.block_access_index.0 += u64::from(random.chance(20));
        }
    }
    list
}

/// Post-state root and receipts root, where the state is a witness.
pub(super) type Roots = Result<(B256, B256), weft_trie::WitnessError>;

/// The roots of an outcome, if there is one and the state is a witness. If the block has an access list, the state root is
/// begun with that.
fn roots(state: &State, ready: &ReadyBlock<'_>, outcome: &Result<Outcome, ExecuteError>) -> Option<Roots> {
    let (State::Witness(witness), Ok(outcome)) = (state, outcome) else { return None };
    let receipts = outcome.summarize_receipts().root;
    let mut early = witness.tries.early_state();
    early.advance(ready.foreseen_changes(&**witness));
    let state = early.settle(&outcome.changes.to_trie());
    Some(state.map(|state| (state.state_root(), receipts)))
}

/// Turns a panic into words.
fn caught<T>(name: &str, work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("{name}: panic: {}", message(&*panic)))
}

/// What a panic says.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// The first part in which two results differ, in words.
fn difference(expected: &Result<Outcome, ExecuteError>, found: &Result<Outcome, ExecuteError>) -> String {
    let (expected, found) = match (expected, found) {
        (Ok(expected), Ok(found)) => (expected, found),
        (Ok(_), Err(error)) => return format!("error {error}, in order valid"),
        (Err(error), Ok(_)) => return format!("valid, in order error {error}"),
        (Err(expected), Err(found)) => return format!("error {found}, in order {expected}"),
    };
    for (index, (one, other)) in expected.receipts.iter().zip(&found.receipts).enumerate() {
        if one != other {
            return format!("receipt {index}: {other:?}, in order {one:?}");
        }
    }
    let changed = |outcome: &Outcome| {
        let mut accounts: Vec<_> = outcome.changes.bundle.state.clone().into_iter().collect();
        accounts.sort_by_key(|(address, _)| *address);
        accounts
    };
    let (before, after) = (changed(expected), changed(found));
    for (one, other) in before.iter().zip(&after) {
        if one != other {
            return format!("account: {other:?}, in order {one:?}");
        }
    }
    let parts = [
        ("receipts", expected.receipts != found.receipts),
        ("gas used", expected.gas_used != found.gas_used),
        ("blob gas used", expected.blob_gas_used != found.blob_gas_used),
        ("requests", expected.requests != found.requests),
        ("accounts", before != after),
        ("codes", expected.changes.bundle.contracts != found.changes.bundle.contracts),
        ("reverts", expected.changes.bundle.reverts != found.changes.bundle.reverts),
        ("wiped accounts", expected.changes.wiped != found.changes.wiped),
        ("block access list", expected.block_access_list != found.block_access_list),
        ("steps", expected.steps != found.steps),
        ("transactions left out", expected.left_out != found.left_out),
    ];
    let different: Vec<&str> = parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect();
    format!("different: {}", if different.is_empty() { "something".to_owned() } else { different.join(", ") })
}

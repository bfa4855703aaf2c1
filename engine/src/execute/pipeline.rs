//! From input to verdict: the checks in the reference's order, with the time each stage takes.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy_consensus::{Eip658Value, Header};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::B256;
use rayon::ThreadPool;
use revm::primitives::hardfork::SpecId;
use weft_trie::{EarlyState, StateChanges, VerifiedWitness};

use super::cache::Cache;
use super::compare::{Computation, check_gas, compare};
use super::expected::Expected;
use super::headers::{HeaderChain, HeaderForm};
use super::input::{ExecuteInput, InputError, asked_for};
use super::verdict::{Stages, Verdict};
use super::wire::{Dialect, ExecutionWitness, StatelessInput, StatelessOutput};
use super::witness_json::{BlockWitness, TrustedParent};
use super::{payload, rules};
use crate::Recovery;
use crate::block::{Block, ReadyBlock};
use crate::chain::{Chain, Rules};
use crate::counters::Counters;
use crate::error::{BlockError, ExecuteError, Fault, WitnessError};
use crate::outcome::{Outcome, ReceiptsSummary};
use crate::parallel;
use crate::pre_state::{Codes, PreState, WitnessState};
use crate::sequential;
use crate::setup::Setup;
use crate::simulate::Simulator;
use crate::trace::{Recorder, Trace, Work};

/// Which engine runs the transactions. The outcome is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Engine {
    /// Block-STM on all threads.
    #[default]
    Parallel,
    /// One after the other.
    Sequential,
    /// As `Parallel`, and changes between speculation and running in order every few transactions, whether or not it
    /// pays. For tests: most blocks made for them are too small for anybody to speculate on.
    Restless,
}

/// How to judge an input. Nothing here changes a verdict, but for `expected_chain`, which adds a check, and `simulator`,
/// which may find a fault.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// Which engine runs the transactions.
    pub engine: Engine,
    /// How signers are recovered.
    pub recovery: Recovery,
    /// The chain that inputs in the precompile's own form must be of. With it, the fork that the input stands
    /// for must be active at the block's timestamp; the reference leaves that to the client.
    pub expected_chain: Option<Chain>,
    /// Where to record what the workers do.
    pub trace: Option<Trace>,
    /// Simulate blocks instead of running them, and judge them by what they come to in order.
    pub simulator: Option<Simulator>,
    /// What is remembered of other blocks.
    cache: Option<Cache>,
    /// The threads that all stages share.
    pool: Arc<ThreadPool>,
}

impl Options {
    /// Options for the parallel engine with this many threads; zero counts as one.
    ///
    /// The threads are made once; clones share them.
    ///
    /// # Errors
    ///
    /// [`Fault::Threads`] if the system gives no threads.
    pub fn with_threads(threads: usize) -> Result<Self, Fault> {
        Self::with_builder(pool_of(threads))
    }

    /// As [`Options::with_threads`], for a process that does little else: if there are as many threads as the process
    /// may use CPUs, each stays on one of them.
    ///
    /// Blocks are judged in milliseconds with pauses in between. A system that wakes two threads on one CPU, as Linux
    /// may where a thread last ran beside the one that wakes it, has not yet moved one of them away when all is over.
    ///
    /// # Errors
    ///
    /// As [`Options::with_threads`].
    pub fn with_pinned_threads(threads: usize) -> Result<Self, Fault> {
        let cpus = core_affinity::get_core_ids().unwrap_or_default();
        if threads != cpus.len() {
            return Self::with_threads(threads);
        }
        // A thread that cannot be pinned runs wherever the system puts it.
        Self::with_builder(pool_of(threads).start_handler(move |index| {
            if let Some(cpu) = cpus.get(index) {
                core_affinity::set_for_current(*cpu);
            }
        }))
    }

    /// Options with the threads that `builder` makes.
    fn with_builder(builder: rayon::ThreadPoolBuilder) -> Result<Self, Fault> {
        let pool = builder.build().map_err(|error| Fault::Threads(error.to_string()))?;
        Ok(Self {
            engine: Engine::default(),
            recovery: Recovery::best(),
            expected_chain: None,
            trace: None,
            simulator: None,
            cache: None,
            pool: Arc::new(pool),
        })
    }

    /// The same threads with another engine.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The same threads with another way to recover signers.
    #[must_use]
    pub fn with_recovery(mut self, recovery: Recovery) -> Self {
        self.recovery = recovery;
        self
    }

    /// The same options, and what their recovery does once in a process is done on one of the threads, while the caller
    /// still looks for a block: tables, for which half a millisecond is saved later. To be called when it is settled who
    /// recovers.
    #[must_use]
    pub fn prepared(self) -> Self {
        let recovery = self.recovery;
        self.pool.spawn(move || recovery.prepare());
        self
    }

    /// The same options with a chain to check inputs against.
    #[must_use]
    pub fn with_expected_chain(mut self, chain: Chain) -> Self {
        self.expected_chain = Some(chain);
        self
    }

    /// The same options with a trace to fill.
    #[must_use]
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The same options with a simulator in place of the engine.
    #[must_use]
    pub fn with_simulator(mut self, simulator: Simulator) -> Self {
        self.simulator = Some(simulator);
        self
    }

    /// The same options with a cache, which any number of runs may share, also at the same time.
    #[must_use]
    pub fn with_cache(mut self, cache: Cache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// Runs `work` on the threads: what is called inside and speaks of "the current pool" means them.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pool.install(work)
    }
}

/// How to make a pool of so many threads.
fn pool_of(threads: usize) -> rayon::ThreadPoolBuilder {
    rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|index| format!("weft-{index}"))
}

/// Judges an input: re-executes its block from its witness and compares everything the header commits to.
pub fn run(input: &ExecuteInput, options: &Options) -> Verdict {
    let transactions = input.transactions();
    options.install(|| match input {
        ExecuteInput::Stateless(input) => {
            let payload = &input.payload;
            let verdict =
                Verdict::open(input.chain_id, payload.block_number, payload.block_hash, transactions);
            let mut verdict = Trial::new(options, verdict)
                .judge(|trial| trial.judge_stateless(input, options.expected_chain.as_ref()));
            // A bug of ours says nothing about the block, so there is nothing to answer.
            let answered = !matches!(verdict.error, Some(ExecuteError::Fault(_)));
            verdict.output = answered.then(|| StatelessOutput {
                root: input.new_payload_request_root,
                successful: verdict.valid(),
                chain_id: input.chain_id,
                dialect: input.dialect,
            });
            verdict
        }
        ExecuteInput::Witness(input) => {
            let header = &input.block.header;
            let verdict = Verdict::open(input.chain.id, header.number, header.hash_slow(), transactions);
            Trial::new(options, verdict).judge(|trial| trial.judge_witness(input))
        }
    })
}

/// One input on its way through the checks.
struct Trial<'a> {
    /// How to judge it.
    options: &'a Options,
    /// Records the stages.
    recorder: Recorder<'a>,
    /// What can be said of it so far.
    verdict: Verdict,
}

/// Where the block starts from.
struct Start {
    /// Headers before the block, unless the caller vouches for the pre-state.
    chain: Option<HeaderChain>,
    /// The state before the block.
    pre_state: WitnessState,
}

impl<'a> Trial<'a> {
    /// Nothing done yet.
    fn new(options: &'a Options, verdict: Verdict) -> Self {
        Self { options, recorder: Recorder::new(options.trace.as_ref(), None), verdict }
    }

    /// The verdict, once the checks are through or one has failed.
    fn judge(mut self, checks: impl FnOnce(&mut Self) -> Result<(), ExecuteError>) -> Verdict {
        let Verdict { block_number, block_hash, transactions, .. } = &self.verdict;
        let span = tracing::debug_span!("execute", number = block_number, hash = %block_hash, transactions);
        let _entered = span.entered();
        self.verdict.error = checks(&mut self).err();
        let Verdict { error, counters, stages, .. } = &self.verdict;
        tracing::debug!(valid = error.is_none(), error = ?error, ?counters, ?stages, "judged");
        self.verdict
    }

    /// Judges an input in the precompile's own form.
    fn judge_stateless(&mut self, input: &StatelessInput, chain: Option<&Chain>) -> Result<(), ExecuteError> {
        let cache = self.options.cache.as_ref();
        let parent_hash = input.payload.parent_hash;
        let witness = || start(&input.witness, parent_hash, None, HeaderForm::AmsterdamOrPrevious, cache);
        let (rules, block) = timed(&mut self.verdict.stages.witness, || {
            Ok::<_, ExecuteError>((stateless_rules(input, chain)?, payload::to_block(input)))
        })?;
        match block {
            Ok(block) => {
                // Its header is made of its body.
                let body = || rules::check_size(&rules, &block);
                let ready = |recovery| {
                    let ready =
                        ReadyBlock::with_recovery(&rules, &block, input.public_keys.as_deref(), recovery)?;
                    Ok(ready.with_access_list(&input.payload.block_access_list))
                };
                self.judge_block(&rules, &block, witness, body, ready)
            }
            Err(error) => {
                // What is wrong with the witness comes first.
                witness()?;
                Err(error.into())
            }
        }
    }

    /// Judges a block with its witness.
    fn judge_witness(&mut self, input: &BlockWitness) -> Result<(), ExecuteError> {
        let header = &input.block.header;
        let rules = input.chain.rules_at(header.number, header.timestamp);
        let cache = self.options.cache.as_ref();
        let witness = || {
            let trusted = input.parent.as_ref().map(|parent| (header, parent));
            start(&input.witness, header.parent_hash, trusted, HeaderForm::Any, cache)
        };
        let body = || {
            rules::check_body(&input.block)?;
            rules::check_size(&rules, &input.block)
        };
        let ready = |recovery| ReadyBlock::with_recovery(&rules, &input.block, None, recovery);
        self.judge_block(&rules, &input.block, witness, body, ready)
    }

    /// Judges a block from the start that `witness` finds, if `body` finds nothing wrong with it, once `ready` has found
    /// who signed what. Of several errors the first in this order counts: witness, body, header, signers, execution.
    fn judge_block<'b>(
        &mut self,
        rules: &Rules,
        block: &Block,
        witness: impl FnOnce() -> Result<Start, WitnessError> + Send,
        body: impl FnOnce() -> Result<(), BlockError> + Send,
        ready: impl FnOnce(Recovery) -> Result<ReadyBlock<'b>, ExecuteError> + Send,
    ) -> Result<(), ExecuteError> {
        let begun = Instant::now();
        let recovery = self.options.recovery;
        // Neither needs the other, and where one is waiting for its slowest part the other has work to do.
        let ((start, witness_time), ready) = rayon::join(|| (witness(), begun.elapsed()), || ready(recovery));
        self.verdict.stages.witness += witness_time;
        self.verdict.stages.senders += begun.elapsed().saturating_sub(witness_time);
        let start = &start?;
        let ready = match check_header(rules, &block.header, start).map_err(ExecuteError::from).and(ready) {
            Ok(ready) => ready,
            Err(error) => return Err(body().err().map_or(error, ExecuteError::from)),
        };
        self.trace("witness and senders");
        let mut early = start.pre_state.tries.early_state();
        let ((outcome, counters), body) = timed(&mut self.verdict.stages.execution, || {
            let expected = Expected::of(&ready, &start.pre_state);
            let is_over = AtomicBool::new(false);
            let execute = || {
                let ran = execute_block(&ready, &expected, self.options);
                // ORDERING: a hint; nothing is published by it.
                is_over.store(true, Ordering::Relaxed);
                ran
            };
            if self.options.simulator.is_some() {
                // It measures how long transactions run, and is not to be disturbed.
                expected.look_up(0);
                return (execute(), body());
            }
            // What other threads do until transactions run on them too, if they ever do. Accounts of the first piece are
            // sooner with whoever runs the first transactions.
            let aside = || {
                expected.look_up(1);
                let body = body();
                // While this waits for other threads it may take the job of a worker, and come back when the stretch is
                // over. Nobody there waits for it.
                if body.is_ok() && rayon::current_num_threads() > 1 && !is_over.load(Ordering::Relaxed) {
                    early.advance(ready.foreseen_changes(&expected));
                }
                body
            };
            rayon::join(execute, aside)
        });
        self.trace("execution");
        body?;
        self.verdict.counters = counters;
        let outcome = self.verdict.outcome.insert(outcome?);
        self.verdict.computed.gas_used = Some(outcome.gas_used);
        check_gas(&block.header, outcome)?;
        let (state_root, receipts) = roots(&start.pre_state, early, outcome, &mut self.verdict.stages)?;
        self.verdict.computed.state_root = Some(state_root);
        self.verdict.computed.receipts_root = Some(receipts.root);
        let computation = Computation { outcome, state_root: Some(state_root), receipts: Some(receipts) };
        let compared = timed(&mut self.verdict.stages.receipts, || compare(&block.header, &computation));
        self.trace("roots");
        Ok(compared?)
    }

    /// A stage has ended.
    fn trace(&mut self, stage: &'static str) {
        self.recorder.note(Work::Stage(stage));
    }
}

/// Checks a header against its parent, if that is at hand.
fn check_header(rules: &Rules, header: &Header, start: &Start) -> Result<(), BlockError> {
    match &start.chain {
        Some(chain) => rules::check_header(rules, header, &chain.parent)?,
        None => rules::check_alone(rules, header)?,
    }
    Ok(())
}

/// Runs a block with one of the engines, on the threads of the current pool.
pub(crate) fn execute_block(
    block: &ReadyBlock<'_>,
    pre_state: &dyn PreState,
    options: &Options,
) -> (Result<Outcome, ExecuteError>, Counters) {
    if let Some(simulator) = &options.simulator {
        return simulator.run(block, pre_state);
    }
    match options.engine {
        Engine::Sequential => {
            let counters = Counters { executions: block.transactions.len() as u64, ..Counters::default() };
            (sequential::run(block, pre_state), counters)
        }
        Engine::Parallel | Engine::Restless => {
            let mut setup = Setup::default().with_trace(options.trace.as_ref());
            setup.restless = options.engine == Engine::Restless;
            parallel::run_with(block, pre_state, setup)
        }
    }
}

/// Post-state root, and root and bloom of the receipts; before Byzantium also the state roots between transactions,
/// which go into the receipts. The state after the block may have been begun.
fn roots(
    pre_state: &WitnessState,
    early: EarlyState<'_>,
    outcome: &mut Outcome,
    stages: &mut Stages,
) -> Result<(B256, ReceiptsSummary), WitnessError> {
    let start = Instant::now();
    let mut so_far = StateChanges::default();
    for (receipt, step) in outcome.receipts.iter_mut().zip(&outcome.steps) {
        so_far.append(step.accounts.clone());
        receipt.status = Eip658Value::PostState(pre_state.tries.post_state(&so_far)?.state_root());
    }
    // A single receipt may be megabytes, and its hash keep one thread busy for longer than all the state does.
    let state = || {
        let state = early.settle(&outcome.changes.to_trie());
        (state.map(|state| state.state_root()), start.elapsed())
    };
    let ((state_root, root_time), receipts) = rayon::join(state, || outcome.summarize_receipts());
    stages.root += root_time;
    stages.receipts += start.elapsed().saturating_sub(root_time);
    Ok((state_root?, receipts))
}

/// Headers and pre-state of a witness for a block with this parent.
fn start(
    witness: &ExecutionWitness,
    parent_hash: B256,
    trusted: Option<(&Header, &TrustedParent)>,
    form: HeaderForm,
    cache: Option<&Cache>,
) -> Result<Start, WitnessError> {
    let (chain, pre_state_root, ancestors) = match trusted {
        Some((header, trusted)) if witness.headers.is_empty() => {
            (None, trusted.pre_state_root, trusted.ancestors(header)?)
        }
        _ => {
            let chain = HeaderChain::new(&witness.headers, parent_hash, form)?;
            let (root, ancestors) = (chain.parent.state_root, chain.ancestors.clone());
            (Some(chain), root, ancestors)
        }
    };
    let (tries, codes) = rayon::join(
        || VerifiedWitness::with_known(&witness.state, pre_state_root, cache.map(Cache::nodes)),
        || Codes::with_known(&witness.codes, cache.map(Cache::codes)),
    );
    Ok(Start { chain, pre_state: WitnessState { tries: tries?, codes, ancestors } })
}

/// The rules of an input in the precompile's own form: those of the fork that its dialect stands for.
fn stateless_rules(input: &StatelessInput, chain: Option<&Chain>) -> Result<Rules, ExecuteError> {
    let fork = match input.dialect {
        // Blocks of Amsterdam's first tests, whose gas is another: Osaka's EVM under Amsterdam's header.
        Dialect::V0_3_3 => EthereumHardfork::Osaka,
        Dialect::V21_0_1 | Dialect::V21_0_0 => EthereumHardfork::Amsterdam,
    };
    let (number, timestamp) = (input.payload.block_number, input.payload.timestamp);
    let chain = match chain {
        Some(chain) => Cow::Borrowed(asked_for(chain, Some(input.chain_id))?),
        None => Cow::Owned(Chain::at_fork(input.chain_id, fork)),
    };
    let mut rules = chain.rules_at(number, timestamp);
    let expected = if fork == EthereumHardfork::Osaka { SpecId::OSAKA } else { SpecId::AMSTERDAM };
    if rules.evm != expected {
        return Err(InputError::Fork { found: rules.evm, expected }.into());
    }
    rules.header = SpecId::AMSTERDAM;
    Ok(rules)
}

/// Adds the time that `work` takes to `stage`.
fn timed<T>(stage: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *stage += start.elapsed();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_threads_share_no_cpu() {
        let cpus = core_affinity::get_core_ids().expect("CPUs to run on");
        let options = Options::with_pinned_threads(cpus.len()).expect("threads");
        let mut taken = options.pool.broadcast(|_| core_affinity::get_core_ids().expect("a CPU to run on"));
        taken.sort();
        assert_eq!(taken, cpus.into_iter().map(|cpu| vec![cpu]).collect::<Vec<_>>());
    }

    #[test]
    fn another_number_of_threads_goes_where_it_likes() {
        let cpus = core_affinity::get_core_ids().expect("CPUs to run on");
        let options = Options::with_pinned_threads(cpus.len() + 1).expect("threads");
        let free = options.pool.broadcast(|_| core_affinity::get_core_ids().expect("CPUs to run on"));
        assert!(free.iter().all(|allowed| *allowed == cpus));
    }
}

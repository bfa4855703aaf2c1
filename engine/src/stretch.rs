//! A stretch of a block, as the scheduler drives it: what a run is, and what becomes of it.

use core::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use parking_lot::{Mutex, RwLock};
use rayon::prelude::*;
use revm::Database;
use revm::bytecode::Bytecode;
use revm::context_interface::result::EVMError;
use revm::state::AccountInfo;
use weft_scheduler::{
    Block, Blocked, Commit, Execution, Executor, Fault as SchedulerFault, Pace, Stats, TxIndex, View,
    WorkspaceOf,
};

use crate::alike;
use crate::block::{ReadyBlock, ReadyTransaction};
use crate::commit::{BlockRun, Summary};
use crate::desk::{Desk, OwnDesk};
use crate::error::{ExecuteError, Fault, WitnessError};
use crate::evm::EthEvm;
use crate::expected;
use crate::foresight::Foresight;
use crate::ledger::{About, Base, Effects, Ledger, OpenStretch};
use crate::location::{Location, Value, are_ordinary, write_set};
use crate::setup::{Setup, Timing};
use crate::trace::{Recorder, Trace};
use crate::transaction::{self, Transacted, blame};
use crate::transfer::Transfer;
use crate::view::{CommittedState, ViewDb, ViewError};

/// A stretch of the block, as the scheduler drives it.
pub(crate) struct BlockExecutor<'s, 'a> {
    /// The block.
    block: &'a ReadyBlock<'a>,
    /// What its access list says, if it came with one.
    foresight: Option<&'s Foresight>,
    /// State before the stretch, and what is being committed.
    beneath: Beneath<'a>,
    /// The stretch's first transaction. The scheduler counts from here.
    first: u32,
    /// Somebody wants to see the accounts of each transaction when it is committed.
    is_watched: bool,
    /// Who says how long runs took.
    timing: Timing<'a>,
    /// Whether any run of the stretch has wiped an account.
    likely_wiped: AtomicBool,
    /// What each worker has of its own.
    desks: &'s [Mutex<Desk>],
}

impl<'s, 'a> BlockExecutor<'s, 'a> {
    /// The next stretch of a block of which so much has run.
    pub(crate) fn new(
        block: &'a ReadyBlock<'a>,
        foresight: Option<&'s Foresight>,
        run: BlockRun<'a>,
        ledger: Ledger<'a>,
        timing: Timing<'a>,
        desks: &'s [Mutex<Desk>],
    ) -> Self {
        let (first, is_watched) = (run.decided(), run.is_watching());
        let Ledger { base, open, .. } = ledger;
        let committer = RwLock::new(Committer { run, open, error: None });
        let beneath = Beneath { base, beneficiary: block.header.beneficiary, committer };
        let likely_wiped = AtomicBool::new(false);
        Self { block, foresight, beneath, first, is_watched, timing, likely_wiped, desks }
    }

    /// What has run by now, and the first error in block order.
    pub(crate) fn into_parts(self) -> (BlockRun<'a>, Ledger<'a>, Option<ExecuteError>) {
        let Beneath { base, committer, .. } = self.beneath;
        let Committer { run, open, error } = committer.into_inner();
        (run, Ledger::from_parts(base, open), error)
    }

    /// Runs `length` transactions, or fewer if speculation does not pay, on the threads of the current pool or on virtual
    /// cores.
    pub(crate) fn run(
        &self,
        length: u32,
        pace: &Pace,
        workers: usize,
        room: WorkspaceOf<Self>,
        setup: &Setup<'_>,
    ) -> (Result<Stats, SchedulerFault>, WorkspaceOf<Self>) {
        match setup.rehearsal {
            Some(rehearsal) => {
                // Who measures wants nobody to begin early.
                let hinted = if rehearsal.measures() { 1 } else { workers };
                rehearsal.drive(self.first, length, workers, || self.prepare(length, pace, hinted, room))
            }
            None => self.run_on_threads(length, pace, workers, room, setup.trace),
        }
    }

    /// As [`Self::run`], on threads.
    fn run_on_threads(
        &self,
        length: u32,
        pace: &Pace,
        workers: usize,
        room: WorkspaceOf<Self>,
        trace: Option<&Trace>,
    ) -> (Result<Stats, SchedulerFault>, WorkspaceOf<Self>) {
        let scheduler = self.prepare(length, pace, workers, room);
        let work = |worker| {
            if trace.is_some() {
                let mut recorder = Recorder::new(trace, Some(worker));
                scheduler.work_watched(worker, |step| recorder.note_step(step, self.first));
            } else {
                scheduler.work(worker);
            }
        };
        rayon::scope(|scope| {
            let work = &work;
            for worker in 1..workers {
                scope.spawn(move |_| work(worker));
            }
            // The helpers may come late or not at all. At the end, this thread runs those that have not started, and
            // they find the stretch over.
            work(0);
        });
        scheduler.finish_and_keep()
    }

    /// The stretch with all that is foreseen of it.
    fn prepare(&self, length: u32, pace: &Pace, workers: usize, room: WorkspaceOf<Self>) -> Block<'_, Self> {
        let predict = || {
            let mut scheduler = pace.block(self, length, room);
            let predictor = scheduler.predictor();
            if let Some(foresight) = self.foresight {
                (0..length).into_par_iter().map(TxIndex).for_each(|tx| {
                    let writes = foresight.of(self.index(tx), tx);
                    predictor.predict(tx, writes.map(|(location, value)| (location, Some(value))).collect());
                });
            } else {
                for (tx, sender) in self.repeated_senders(length) {
                    predictor.predict(tx, vec![(Location::Account(sender), None)]);
                }
            }
            scheduler
        };
        let transactions = (0..length).map(|tx| &self.transaction(TxIndex(tx)).env);
        let compare = || (alike::groups(transactions), self.longest(length, workers));
        let (mut scheduler, (groups, longest)) = rayon::join(predict, compare);
        scheduler.group(&groups);
        scheduler.start_early(&longest);
        scheduler
    }

    /// The transactions whose sender sends another one later, which will find a nonce that this one has written.
    fn repeated_senders(&self, length: u32) -> Vec<(TxIndex, Address)> {
        let mut last: AddressMap<TxIndex> = AddressMap::default();
        last.reserve(length as usize);
        let senders = (0..length).map(|tx| (TxIndex(tx), self.transaction(TxIndex(tx)).env.caller));
        senders.filter_map(|(tx, sender)| Some((last.insert(sender, tx)?, sender))).collect()
    }

    /// Transactions that may take so long that it matters when they begin.
    fn longest(&self, length: u32, workers: usize) -> Vec<TxIndex> {
        let limits: Vec<u64> = (0..length).map(|tx| self.transaction(TxIndex(tx)).env.gas_limit).collect();
        expected::longest(&limits, self.block.header.gas_used, workers)
    }

    /// Where a transaction of the stretch stands in the block.
    fn index(&self, tx: TxIndex) -> usize {
        (self.first + tx.0) as usize
    }

    /// A transaction of the stretch.
    fn transaction(&self, tx: TxIndex) -> &ReadyTransaction {
        &self.block.transactions[self.index(tx)]
    }
}

/// The committed part of the block, and what ended it.
struct Committer<'a> {
    /// The committed part.
    run: BlockRun<'a>,
    /// What it has done in this stretch.
    open: OpenStretch<'a>,
    /// The first error in block order.
    error: Option<ExecuteError>,
}

/// What lies beneath a stretch.
struct Beneath<'a> {
    /// What the block did before.
    base: Base<'a>,
    /// Whose account is the committer's.
    beneficiary: Address,
    /// What is being committed.
    committer: RwLock<Committer<'a>>,
}

impl Beneath<'_> {
    /// Asks about an account.
    fn ask<R>(&self, address: Address, question: impl FnOnce(About<'_>) -> R) -> R {
        if address == self.beneficiary {
            question(self.committer.read().open.about_the_beneficiary())
        } else {
            question(self.base.about(address))
        }
    }
}

impl CommittedState for Beneath<'_> {
    fn count(&self) -> u32 {
        self.committer.read().run.decided()
    }

    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.ask(address, |about| about.account())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.ask(address, |about| about.storage(slot))
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.ask(address, |about| about.has_storage())
    }

    fn code(&self, hash: B256) -> Option<Bytecode> {
        self.base.known_code(hash).cloned()
    }
}

/// What a run has left for its commit.
#[derive(Debug)]
pub(crate) enum Done {
    /// The accounts as revm leaves them: somebody wants to see them, or they are not ordinary.
    Accounts(Box<Transacted>),
    /// What is to be said of them, and no more.
    Effects {
        /// For the block.
        summary: Summary,
        /// For the beneficiary.
        reward: Option<U256>,
        /// For the ledger.
        effects: Effects,
        /// Whose log has them.
        worker: usize,
    },
}

/// Makes a transfer, if it can be paid and is one.
///
/// # Errors
///
/// [`Blocked`] if an account is about to change.
fn make_transfer(
    database: &mut ViewDb<'_>,
    transfer: &Transfer,
) -> Result<Option<Execution<Location, Value, Result<Done, ExecuteError>>>, Blocked> {
    let mut find = |address| match database.basic(address) {
        Ok(found) => Ok(Some(found)),
        Err(ViewError::Blocked(blocked)) => Err(blocked),
        // revm may not come so far as to ask for it.
        Err(ViewError::Witness(_)) => Ok(None),
    };
    let Some(Some(sender)) = find(transfer.sender)? else { return Ok(None) };
    let Some(left) = transfer.left(&sender) else { return Ok(None) };
    let mut accounts = Vec::with_capacity(2);
    let info = AccountInfo { balance: left, nonce: sender.nonce + 1, ..sender.copy_without_code() };
    accounts.push((transfer.sender, Some(sender), info));
    if let Some(address) = transfer.recipient {
        let Some(found) = find(address)? else { return Ok(None) };
        let Some(balance) = transfer.sum(found.as_ref()) else { return Ok(None) };
        // A new account has the empty code, and not none.
        let info =
            AccountInfo { balance, ..found.as_ref().map(AccountInfo::copy_without_code).unwrap_or_default() };
        accounts.push((address, found, info));
    }
    let write = |(address, _, info): &(Address, _, AccountInfo)| {
        (Location::Account(*address), Value::Account(Some(info.copy_without_code())))
    };
    let writes = accounts.iter().map(write).collect();
    let effects = database.desk.effects.note_accounts(accounts);
    let (summary, reward) = (transfer.summary(), Some(transfer.reward));
    let done = Done::Effects { summary, reward, effects, worker: database.worker };
    Ok(Some(Execution { writes, cost: expected::TRANSFER, output: Ok(done) }))
}

impl Executor for BlockExecutor<'_, '_> {
    type Key = Location;
    type Value = Value;
    type Output = Result<Done, ExecuteError>;
    type Scratch<'b>
        = EthEvm<'b, ViewDb<'b>>
    where
        Self: 'b;

    fn scratch<'b>(&'b self, worker: usize, view: View<'b, Location, Value>) -> Self::Scratch<'b> {
        let database = ViewDb {
            view,
            pre_state: self.beneath.base.pre_state(),
            beneficiary: self.block.header.beneficiary,
            committed: &self.beneath,
            first: self.first,
            wipes: AddressMap::default(),
            likely_wiped: &self.likely_wiped,
            worker,
            desk: OwnDesk::take(&self.desks[worker]),
            tipped: None,
            pinned: false,
        };
        EthEvm::new(database, &self.block.env).with_memo()
    }

    fn view<'s, 'b>(&'b self, evm: &'s mut Self::Scratch<'b>) -> &'s mut View<'b, Location, Value> {
        &mut evm.database().view
    }

    fn execute<'b>(
        &'b self,
        evm: &mut Self::Scratch<'b>,
        tx: TxIndex,
    ) -> Result<Execution<Location, Value, Self::Output>, Blocked> {
        let index = self.index(tx);
        let environment = &self.transaction(tx).env;
        let start = self.timing.begin();
        evm.database().begin(environment.caller);
        if !self.is_watched
            && let Some(transfer) = Transfer::of(evm, environment)
            // The beneficiary's account is another matter.
            && ![Some(transfer.sender), transfer.recipient].contains(&Some(self.block.header.beneficiary))
            && let Some(done) = make_transfer(evm.database(), &transfer)?
        {
            return Ok(done);
        }
        match transaction::transact_unpaid(evm, environment) {
            Ok(mut transacted) => {
                if let Some(before) = evm.database().tipped.take()
                    && !transacted.leave_tip(self.block.header.beneficiary, &before)
                {
                    return Err(evm.database().view.abandon());
                }
                let writes = write_set(tx, &mut transacted.state, self.block.header.beneficiary);
                if writes.iter().any(|(location, _)| matches!(location, Location::Wipe(_))) {
                    // ORDERING: as in `ViewDb::wiped`. It comes before what the run has written is seen.
                    self.likely_wiped.store(true, Ordering::Relaxed);
                }
                let gas = transacted.result.tx_gas_used();
                let time = self.timing.took(start, index);
                let rules = self.block.rules;
                let cost = expected::cost_of_run(gas, &transacted.state, rules, writes.len(), time);
                let done = if self.is_watched
                    || !are_ordinary(&mut transacted.state, self.block.header.beneficiary)
                {
                    Done::Accounts(Box::new(transacted))
                } else {
                    let Transacted { result, state, unpaid_reward: reward } = transacted;
                    let database = evm.database();
                    let effects = database.desk.effects.note(state);
                    Done::Effects { summary: Summary::of(result), reward, effects, worker: database.worker }
                };
                Ok(Execution { writes, cost, output: Ok(done) })
            }
            Err(EVMError::Database(ViewError::Blocked(blocked))) => Err(blocked),
            Err(error) => {
                let error = blame(index, error, |error| match error {
                    ViewError::Witness(error) => error.into(),
                    ViewError::Blocked(_) => Fault::Evm("a blocked read was swallowed".to_owned()).into(),
                });
                Ok(Execution { writes: Vec::new(), cost: 0, output: Err(error) })
            }
        }
    }

    fn commit(&self, tx: TxIndex, output: Self::Output) -> Commit {
        let index = self.index(tx);
        let Committer { run, open, error } = &mut *self.beneath.committer.write();
        let decided = match run.admit(index).map_err(ExecuteError::from).and(output) {
            Ok(Done::Effects { summary, reward, effects, worker }) => {
                open.push(worker, effects);
                run.commit_summary(open, index, summary, reward).map(|()| true)
            }
            Ok(Done::Accounts(transacted)) => run.decide(open, index, Ok(*transacted)),
            Err(error) => run.decide(open, index, Err(error)),
        };
        match decided {
            Ok(true) => Commit::Continue,
            Ok(false) if run.left() == 0 => Commit::Stop,
            // It may have run and written: that there is no room for it is only known now.
            Ok(false) => Commit::Discard,
            Err(first) => {
                *error = Some(first);
                Commit::Stop
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Header, Signed, TxLegacy};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::map::HashMap;
    use alloy_primitives::{Bytes, Signature, TxKind, keccak256};

    use super::*;
    use crate::block::{Block, SignedTransaction};
    use crate::chain::Chain;
    use crate::pre_state::{Ancestors, PlainAccount, PlainState};
    use crate::simulate::Simulation;

    /// Pays with 20,000 gas of memory, and adds one to a slot.
    const COUNT: &[u8] = &[0x5f, 0x62, 0x01, 0x38, 0x80, 0x53, 0x5f, 0x54, 0x60, 0x01, 0x01, 0x5f, 0x55];
    /// Destroys itself for its caller.
    const DIE: &[u8] = &[0x33, 0xff];

    /// Before London, blocks were full of contracts that were destroyed because that gave gas back (gas tokens).
    #[test]
    fn a_contract_that_is_destroyed_concerns_nobody_who_does_not_read_its_storage() {
        const MANY: u8 = 240;
        let transaction = |number: u8| {
            let to = TxKind::Call(Address::repeat_byte(number));
            let call = TxLegacy { to, gas_limit: 100_000, input: vec![1].into(), ..TxLegacy::default() };
            // Of another transaction, the same signature is somebody else's.
            let signature = Signature::new(U256::ONE, U256::from(2), false);
            SignedTransaction::Legacy(Signed::new_unhashed(call, signature))
        };
        let account = |number: u8| {
            let code = if number.is_multiple_of(3) { DIE } else { COUNT };
            let info = AccountInfo { nonce: 1, code_hash: keccak256(code), ..AccountInfo::default() };
            (
                Address::repeat_byte(number),
                PlainAccount { info: info.without_code(), storage: HashMap::default() },
            )
        };
        let codes = [COUNT, DIE].map(Bytes::from_static);
        let pre_state = PlainState::new((1..=MANY).map(account).collect(), &codes, Ancestors::default());
        let header = Header { gas_limit: 30_000_000, base_fee_per_gas: Some(0), ..Header::default() };
        let mut block = Block::uncle(header);
        block.body.transactions = (1..=MANY).map(transaction).collect();
        let rules = Chain::at_fork(1, EthereumHardfork::Shanghai).rules_at(1, 1);
        let block = ReadyBlock::new(&rules, &block, None).unwrap();
        let simulation = Simulation::new(&block, &pre_state, 1).unwrap();
        let outcome = simulation.outcome().as_ref().unwrap();
        assert_eq!(outcome.changes.wiped.len(), usize::from(MANY / 3));
        let ran = simulation.run(8, 0).unwrap();
        assert!(ran.in_order < u32::from(MANY / 2), "it does not pay: {ran:?}");
        assert_eq!((ran.executions, ran.aborts), (u64::from(MANY), 0));
    }
}

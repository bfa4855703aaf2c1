//! The committed state of a block: what each account and slot is now, and what it was when the block began.
//!
//! revm's `State` keeps every account twice, as it is and as it has changed, and copies it at each transaction; for
//! small transactions that costs more than running them. Here an account is one entry of a dense list, changed in
//! place, and what the block has changed is put together once per account, when the block ends.
//!
//! The accounts are cut into parts by their addresses. While transactions run in order, each changes the ledger when it
//! is committed. While they run ahead of each other, nothing changes but the beneficiary's account, which nearly all of
//! them pay: what the others did is kept until the stretch is over, and goes into the parts side by side. So a run that
//! looks beneath its stretch needs no lock, and a commit takes hardly any time. Strands run on ledgers of their own above
//! this one, which it takes over (`strands.rs`).
//!
//! # Invariants
//!
//! - **L1.** The changes, reverts and statuses are those of revm's `State` after the same commits. An entry is what
//!   `CacheAccount` and `TransitionAccount` are together; the rules by which they follow a commit are revm's, and so
//!   is the code that makes changes and reverts of an entry. The tests below compare them over random commits, and
//!   `tests/` over every fixture, where `sequential` commits into `State`.

use alloy_primitives::map::{B256Map, Entry as MapEntry};
use alloy_primitives::{Address, B256, U256};
use rayon::prelude::*;
use revm::Database;
use revm::bytecode::Bytecode;
use revm::database::BundleState;
use revm::database::states::StorageSlot;
use revm::state::{Account, AccountInfo, EvmState};

use crate::block::ReadyBlock;
use crate::block_state::{BlockState, Committing};
use crate::error::{ExecuteError, WitnessError};
use crate::evm::StateDb;
use crate::own_codes::{Met, USES_BY_STRAND};
use crate::pre_state::PreState;
use crate::transfer::Transfer;
use crate::watch::Watch;

mod apart;
mod changes;
mod effects;
mod entry;
mod part;
#[cfg(test)]
mod tests;
mod written;

pub(crate) use effects::{EffectLog, Effects};
pub(crate) use entry::{About, Entry};
use part::Part;
pub(crate) use written::Written;

/// How many parts there are at most: a power of two.
const PARTS_MAX: usize = 64;

/// So many accounts are worth a part of their own.
const PART: usize = 64;

/// So many transactions go into the parts before others can help.
pub(crate) const WORTH_SHARING: u32 = 128;

/// The committed state of a block.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    /// All accounts but one.
    pub(crate) base: Base<'a>,
    /// That one.
    pub(crate) open: OpenStretch<'a>,
    /// Somebody has been shown an account that is there and empty.
    has_shown_an_empty_account: bool,
    /// Codes that a strand has met, if it is one's.
    met: Option<Met>,
}

/// What a strand has seen and changed, and what its worker keeps for the next one; or room for both.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The accounts.
    parts: Box<[Part]>,
    /// What it has changed, also for a while.
    written: Written,
    /// Codes that its worker has met.
    met: Met,
}

/// Accounts that a block touches without a transaction: system contracts, who pays for them, withdrawals.
const OWN_ACCOUNTS: usize = 32;

/// The accounts that don't change while a stretch runs.
#[derive(Debug)]
pub(crate) struct Base<'a> {
    /// Answers what is not here yet.
    pre_state: &'a dyn PreState,
    /// The accounts, by a part of their addresses.
    parts: Box<[Part]>,
    /// Codes that the block brought.
    codes: B256Map<Bytecode>,
}

/// The beneficiary's account, and what is to go into the others when the stretch is over.
#[derive(Debug)]
pub(crate) struct OpenStretch<'a> {
    /// Answers if the account is not here yet.
    pre_state: &'a dyn PreState,
    /// Whose it is.
    beneficiary: Address,
    /// His account.
    part: Part,
    /// What the committed transactions of the stretch did, and in whose log that is, if it is a worker's.
    pending: Vec<(Option<usize>, Effects)>,
    /// What is in no worker's log.
    log: EffectLog,
    /// Codes that they brought.
    codes: B256Map<Bytecode>,
}

impl<'a> Ledger<'a> {
    /// The ledger of a block of which nothing has run, for so many threads.
    pub(crate) fn new(block: &ReadyBlock<'_>, pre_state: &'a dyn PreState, threads: usize) -> Self {
        // Most transactions bring a sender and a recipient, and the block some accounts of its own.
        let accounts = 2 * block.transactions.len() + OWN_ACCOUNTS;
        let parts = if threads == 1 { 1 } else { (accounts / PART).clamp(1, PARTS_MAX) };
        Self::with_parts(pre_state, block.header.beneficiary, parts, accounts)
    }

    /// A ledger of so many parts, or as many more as it takes to a power of two, with room for so many accounts.
    pub(crate) fn with_parts(
        pre_state: &'a dyn PreState,
        beneficiary: Address,
        parts: usize,
        accounts: usize,
    ) -> Self {
        let mut parts: Box<[Part]> = (0..parts.next_power_of_two()).map(|_| Part::default()).collect();
        reserve(&mut parts, accounts);
        Self::in_parts(pre_state, beneficiary, parts)
    }

    /// The ledger of a strand of so many transactions, in the room of an earlier one.
    pub(crate) fn of_strand(
        pre_state: &'a dyn PreState,
        beneficiary: Address,
        room: Seen,
        transactions: usize,
    ) -> Self {
        debug_assert!(room.parts.iter().all(|part| part.len() == 0), "it has been taken over");
        let Seen { mut parts, met, .. } = room;
        reserve(&mut parts, 2 * transactions);
        Self { met: Some(met), ..Self::in_parts(pre_state, beneficiary, parts) }
    }

    /// A ledger of which nothing is known, in these parts.
    fn in_parts(pre_state: &'a dyn PreState, beneficiary: Address, parts: Box<[Part]>) -> Self {
        let base = Base { pre_state, parts, codes: B256Map::default() };
        let open = OpenStretch {
            pre_state,
            beneficiary,
            part: Part::default(),
            pending: Vec::new(),
            log: EffectLog::default(),
            codes: B256Map::default(),
        };
        Self::from_parts(base, open)
    }

    /// Whether the beneficiary's account has been asked for.
    pub(crate) fn knows_the_beneficiary(&self) -> bool {
        self.open.part.len() != 0
    }

    /// What a strand has seen, which has changed so much.
    pub(crate) fn into_seen(self, written: Written) -> Seen {
        Seen { parts: self.base.parts, written, met: self.met.unwrap_or_default() }
    }

    /// A ledger put together again after a stretch.
    pub(crate) const fn from_parts(base: Base<'a>, open: OpenStretch<'a>) -> Self {
        Self { base, open, has_shown_an_empty_account: false, met: None }
    }

    /// Whether anybody has been shown an account that is there and empty, since the last stretch: it goes when it is
    /// touched (EIP-161).
    pub(crate) const fn has_shown_an_empty_account(&self) -> bool {
        self.has_shown_an_empty_account
    }

    /// The part that an account belongs to.
    fn part(&mut self, address: Address) -> &mut Part {
        if address == self.open.beneficiary { &mut self.open.part } else { self.base.part_mut(address) }
    }

    /// The entry of an account, looked up in the pre-state if it is asked for the first time.
    fn load(&mut self, address: Address) -> Result<&mut Entry, WitnessError> {
        let pre_state = self.base.pre_state;
        self.part(address).load(address, pre_state)
    }

    /// Makes a transfer part of the state; false, and no change, if its sender cannot pay or it is none after all, or the
    /// pre-state has no answer.
    pub(crate) fn transfer(&mut self, transfer: &Transfer) -> bool {
        self.try_transfer(transfer).is_some()
    }

    /// The same; `None` for false.
    fn try_transfer(&mut self, transfer: &Transfer) -> Option<()> {
        let pre_state = self.base.pre_state;
        let sender = self.part(transfer.sender);
        let place = sender.place(transfer.sender, pre_state).ok()?;
        let left = transfer.left(sender.at(place).now.as_ref()?)?;
        if let Some(address) = transfer.recipient {
            let recipient = self.load(address).ok()?;
            let sum = transfer.sum(recipient.now.as_ref())?;
            recipient.set_balance(sum);
        }
        self.part(transfer.sender).at(place).pay(left);
        Some(())
    }

    /// Takes over what ordinary transactions have left of accounts that the ledger has shown them: values, and nothing
    /// else.
    pub(crate) fn absorb(&mut self, accounts: impl IntoIterator<Item = (Address, Account)>) {
        for (address, account) in accounts {
            self.part(address).absorb(address, account);
        }
    }

    /// A stretch is over: what its transactions did, as the workers' logs have it, goes into the parts, on so many threads
    /// of the current pool. The logs are empty then.
    pub(crate) fn end_stretch(&mut self, logs: &mut [EffectLog], threads: usize) {
        let OpenStretch { pending, log: own, codes, .. } = &mut self.open;
        self.base.codes.extend(codes.drain());
        let parts = &mut self.base.parts;
        let threads = if pending.len() < WORTH_SHARING as usize { 1 } else { threads };
        let (count, share) = (parts.len(), parts.len().div_ceil(threads));
        let apply = |(nth, parts): (usize, &mut [Part])| {
            let first = nth * share;
            for (worker, effects) in &*pending {
                let (accounts, slots) = worker.map_or(&*own, |worker| &logs[worker]).of(effects);
                for effect in accounts {
                    let at = part_of(effect.address, count).checked_sub(first);
                    if let Some(part) = at.and_then(|at| parts.get_mut(at)) {
                        part.apply(effect, slots);
                    }
                }
            }
        };
        if threads == 1 {
            apply((0, parts));
        } else {
            parts.par_chunks_mut(share).enumerate().for_each(apply);
        }
        pending.clear();
        logs.iter_mut().chain([own]).for_each(EffectLog::clear);
    }
}

/// State as the block has left it before the stretch, as those see it who run ahead of each other.
impl PreState for Base<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.about(address).account()
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.about(address).storage(slot)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.about(address).has_storage()
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        match self.known_code(hash) {
            Some(code) => Ok(code.clone()),
            None => self.pre_state.code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.pre_state.block_hash(number)
    }
}

/// Takes room for so many accounts in empty parts.
fn reserve(parts: &mut [Part], accounts: usize) {
    let each = accounts / parts.len();
    // Some parts get more than others.
    let room = if parts.len() == 1 { each } else { each + each / 4 };
    for part in parts {
        part.reserve(room);
    }
}

/// What is known of an account that belongs to one of these parts.
fn known(parts: &[Part], address: Address) -> Option<&Entry> {
    parts[part_of(address, parts.len())].known(address)
}

/// The part, of so many, that an account belongs to.
fn part_of(address: Address, parts: usize) -> usize {
    usize::from(address[19]) & (parts - 1)
}

impl Base<'_> {
    /// Room for what a strand sees.
    pub(crate) fn room(&self) -> Seen {
        let parts = self.parts.iter().map(|_| Part::default()).collect();
        Seen { parts, written: Written::default(), met: Met::default() }
    }

    /// Takes over what strands have left that [are apart](Seen::are_apart), and ran above these accounts. What is left of it
    /// is room. Says how long it took for the part that took longest, if it `is_timed`.
    pub(crate) fn take_over(&mut self, strands: &mut [Seen], is_timed: bool) -> u64 {
        let mut of_parts: Vec<Vec<&mut Part>> = self.parts.iter().map(|_| Vec::new()).collect();
        for strand in strands {
            of_parts.iter_mut().zip(&mut strand.parts).for_each(|(of_part, part)| of_part.push(part));
        }
        let parts = self.parts.par_iter_mut().zip(of_parts);
        let times = parts.map(|(part, strands)| {
            let take_over = || strands.into_iter().for_each(|strand| part.take_over(strand));
            Watch::time(is_timed, take_over).1
        });
        times.max().unwrap_or_default()
    }

    /// What can be said of an account that is not the beneficiary's.
    pub(crate) fn about(&self, address: Address) -> About<'_> {
        About { address, entry: known(&self.parts, address), pre_state: self.pre_state }
    }

    /// State before the block.
    pub(crate) const fn pre_state(&self) -> &dyn PreState {
        self.pre_state
    }

    /// The part that an account belongs to.
    fn part_mut(&mut self, address: Address) -> &mut Part {
        let at = part_of(address, self.parts.len());
        &mut self.parts[at]
    }

    /// The code with this hash, if an earlier stretch has brought it.
    pub(crate) fn known_code(&self, hash: B256) -> Option<&Bytecode> {
        self.codes.get(&hash)
    }
}

impl Seen {
    /// Whether no strand has changed what another has seen. All ran above the same accounts, and have changed no more than
    /// values.
    pub(crate) fn are_apart(strands: &[Self]) -> bool {
        apart::are_apart(strands)
    }

    /// All that it has seen.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.parts.iter().flat_map(Part::entries)
    }

    /// What it has seen of an account.
    pub(crate) fn known(&self, address: Address) -> Option<&Entry> {
        known(&self.parts, address)
    }
}

impl OpenStretch<'_> {
    /// What can be said of the beneficiary's account.
    pub(crate) fn about_the_beneficiary(&self) -> About<'_> {
        let entry = self.part.known(self.beneficiary);
        About { address: self.beneficiary, entry, pre_state: self.pre_state }
    }

    /// What a transaction of the stretch did that has just been committed is in this worker's log. None of the accounts
    /// is the beneficiary's.
    pub(crate) fn push(&mut self, worker: usize, effects: Effects) {
        self.pending.push((Some(worker), effects));
    }
}

impl Database for Ledger<'_> {
    type Error = WitnessError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        let now = self.load(address)?.now.clone();
        self.has_shown_an_empty_account |= now.as_ref().is_some_and(AccountInfo::is_empty);
        Ok(now)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, WitnessError> {
        if let Some(own) = self.met.as_ref().and_then(|met| met.get(hash)) {
            return Ok(own);
        }
        let code = match self.base.known_code(hash) {
            Some(code) => code.clone(),
            None => self.base.pre_state.code(hash)?,
        };
        Ok(match &mut self.met {
            Some(met) => met.note(hash, code, USES_BY_STRAND),
            None => code,
        })
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let pre_state = self.base.pre_state;
        let entry = self.load(address)?;
        if entry.now.is_none() {
            return Ok(U256::ZERO);
        }
        match entry.slots.entry(slot) {
            MapEntry::Occupied(kept) => Ok(kept.get().present_value),
            MapEntry::Vacant(_) if entry.storage_known => Ok(U256::ZERO),
            MapEntry::Vacant(vacant) => {
                let found = pre_state.storage(address, slot)?;
                Ok(vacant.insert(StorageSlot::new(found)).present_value)
            }
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, WitnessError> {
        self.base.pre_state.block_hash(number)
    }
}

impl StateDb for Ledger<'_> {
    fn has_storage(&mut self, address: Address) -> Result<bool, WitnessError> {
        let known = self.load(address)?.knows_storage();
        known.map_or_else(|| self.base.pre_state.has_storage(address), Ok)
    }
}

/// In order: every commit is there for the next transaction.
impl Committing for Ledger<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.basic(address)
    }

    fn add_code(&mut self, hash: B256, code: &Bytecode) {
        self.base.codes.entry(hash).or_insert_with(|| code.clone());
    }

    fn credit(&mut self, address: Address, amount: U256) -> Result<bool, WitnessError> {
        // An amount of zero touches an account that may be empty.
        let credits = !amount.is_zero();
        if credits {
            self.load(address)?.credit(amount);
        }
        Ok(credits)
    }

    fn commit(&mut self, accounts: EvmState) {
        for (address, account) in accounts {
            self.part(address).commit(address, account);
        }
    }
}

/// In a stretch: only the beneficiary's account changes, and can be asked for.
impl Committing for OpenStretch<'_> {
    fn account(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        debug_assert_eq!(address, self.beneficiary, "commits ask for nobody else");
        Ok(self.part.load(address, self.pre_state)?.now.clone())
    }

    fn add_code(&mut self, hash: B256, code: &Bytecode) {
        self.codes.entry(hash).or_insert_with(|| code.clone());
    }

    fn credit(&mut self, address: Address, amount: U256) -> Result<bool, WitnessError> {
        debug_assert_eq!(address, self.beneficiary, "commits credit nobody else");
        let credits = !amount.is_zero();
        if credits {
            self.part.load(address, self.pre_state)?.credit(amount);
        }
        Ok(credits)
    }

    fn commit(&mut self, mut accounts: EvmState) {
        if let Some(account) = accounts.remove(&self.beneficiary) {
            self.part.commit(self.beneficiary, account);
        }
        self.pending.push((None, self.log.note(accounts)));
    }
}

impl BlockState for Ledger<'_> {
    fn blame(error: WitnessError) -> ExecuteError {
        error.into()
    }

    fn take_changes(&mut self) -> BundleState {
        changes::take(self.base.parts.iter_mut().chain([&mut self.open.part]))
    }
}

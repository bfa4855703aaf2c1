//! The tries that are compared: each gets the same nodes, reads every key that changes, changes all, and
//! gives the root.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use anyhow::{Context, ensure};
use eth_trie::{DB as _, EthTrie, MemoryDB, Trie as _};
use rayon::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use weft_trie::{AccountChange, AccountFields, SparseTrie, StateChanges, Witness, WitnessError};

use crate::case::{Case, Change};
use crate::resident::Chain;

/// Accounts that are read together, with their slots.
const ACCOUNTS_AT_ONCE: usize = 32;

/// Milliseconds of the stages.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Stages {
    /// From nodes to a trie: hash, index, check.
    pub(crate) index: f64,
    /// Every key read, by its hash.
    pub(crate) read: f64,
    /// Everything changed, and the root.
    pub(crate) root: f64,
}

impl Stages {
    /// All of them.
    pub(crate) fn total(&self) -> f64 {
        self.index + self.read + self.root
    }

    /// The shorter of two times for each stage.
    pub(crate) fn least(&self, other: &Self) -> Self {
        Self {
            index: self.index.min(other.index),
            read: self.read.min(other.read),
            root: self.root.min(other.root),
        }
    }
}

/// A stopwatch for stages: it counts the time of the calling thread, or that on the wall.
struct Stopwatch {
    /// Which clock it reads.
    clock: ClockId,
    /// When it was read last.
    last: Duration,
}

impl Stopwatch {
    /// A stopwatch for work that the calling thread does alone. Others may use its core meanwhile.
    fn of_thread() -> Self {
        Self::new(ClockId::ThreadCPUTime)
    }

    /// A stopwatch for work on several threads.
    fn on_the_wall() -> Self {
        Self::new(ClockId::Monotonic)
    }

    /// A stopwatch with this clock.
    fn new(clock: ClockId) -> Self {
        Self { clock, last: time(clock) }
    }

    /// Milliseconds since the last time.
    fn lap(&mut self) -> f64 {
        let now = time(self.clock);
        let took = now.saturating_sub(self.last);
        self.last = now;
        took.as_secs_f64() * 1e3
    }
}

/// What a clock shows.
fn time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// A case as Weft takes it.
#[derive(Debug)]
pub(crate) struct Input {
    /// The nodes, one after the other in memory.
    pub(crate) nodes: Vec<Bytes>,
    /// What changes.
    changes: StateChanges,
    /// The key of each account that changes, with those of its slots.
    keys: Vec<(B256, Vec<B256>)>,
}

impl Input {
    /// Makes it ready.
    pub(crate) fn new(case: &Case) -> Self {
        // As an input that is decoded in place has them.
        let all: Bytes = case.nodes.concat().into();
        let mut start = 0;
        let nodes = case.nodes.iter().map(|node| {
            let node = start..start + node.len();
            start = node.end;
            all.slice(node)
        });
        let nodes = nodes.collect();
        let changes = case.changes.iter().map(|change| {
            let fields = |(nonce, balance)| AccountFields {
                nonce,
                balance: U256::from(balance),
                code_hash: KECCAK_EMPTY,
            };
            let slots = change.slots.iter();
            let storage = slots
                .map(|slot| (U256::from_be_bytes(slot.number), U256::from_be_bytes(slot.value)))
                .collect();
            let account = change.account.map(fields);
            (Address::from(change.address), AccountChange { account, storage_wiped: false, storage })
        });
        let changes = changes.collect();
        let slots = |change: &Change| change.slots.iter().map(|slot| slot.key.into()).collect();
        let keys = case.changes.iter().map(|change| (change.hashed_address.into(), slots(change)));
        Self { nodes, changes, keys: keys.collect() }
    }

    /// What changes.
    pub(crate) fn changes(&self) -> &StateChanges {
        &self.changes
    }
}

/// Weft, on the current pool.
pub(crate) fn weft(case: &Case, input: &Input) -> anyhow::Result<Stages> {
    let alone = rayon::current_num_threads() == 1;
    // The other tries get their keys hashed.
    let changes = input.changes.keyed();
    // And their nodes to keep.
    let witness = Witness::new(input.nodes.clone());
    let mut stopwatch = if alone { Stopwatch::of_thread() } else { Stopwatch::on_the_wall() };
    let witness = witness.verify(case.pre_root.into())?;
    let index = stopwatch.lap();
    let read = |(account, slots): &(B256, Vec<B256>)| -> Result<(), WitnessError> {
        let Some(found) = witness.account_by_hash(*account)? else { return Ok(()) };
        if !slots.is_empty() {
            let storage = witness.storage_trie(*account, found.storage_root)?;
            for slot in slots {
                black_box(storage.get(*slot)?);
            }
        }
        Ok(())
    };
    // As whoever knows all keys before he reads them can have it.
    let read_all = |keys: &[(B256, Vec<B256>)]| {
        witness.bring_near(keys.iter().map(|(account, slots)| (account, &slots[..])));
        keys.iter().try_for_each(read)
    };
    if alone {
        input.keys.chunks(ACCOUNTS_AT_ONCE).try_for_each(read_all)?;
    } else {
        input.keys.par_chunks(ACCOUNTS_AT_ONCE).try_for_each(read_all)?;
    }
    let read = stopwatch.lap();
    let state = witness.post_state_keyed(&changes)?;
    let state_root = state.state_root();
    let root = stopwatch.lap();
    ensure!(state_root == B256::from(case.post_root), "Weft found another root");
    Ok(Stages { index, read, root })
}

/// A state in memory to which blocks are applied: milliseconds of the fastest, and the root after the last.
pub(crate) fn resident(chain: &Chain, blocks: u64) -> anyhow::Result<(f64, B256)> {
    let mut trie = SparseTrie::empty();
    trie.apply(chain.start().into_iter().map(|(key, leaf)| (key.into(), Some(leaf.into()))))?;
    let mut best = f64::INFINITY;
    for number in 1..=blocks {
        let block = chain.block(number);
        let set = block.set.into_iter().map(|(key, leaf)| (key.into(), Some(Bytes::from(leaf))));
        let removed = block.removed.into_iter().map(|key| (key.into(), None));
        let changes: Vec<(B256, Option<Bytes>)> = set.chain(removed).collect();
        let mut stopwatch = Stopwatch::of_thread();
        trie.apply(changes)?;
        black_box(trie.root());
        best = best.min(stopwatch.lap());
    }
    Ok((best, trie.root()))
}

/// `eth_trie`, on the calling thread.
pub(crate) fn eth_trie(case: &Case) -> anyhow::Result<Stages> {
    let nodes = case.nodes.clone();
    let mut stopwatch = Stopwatch::of_thread();
    let database = Arc::new(MemoryDB::new(false));
    for node in nodes {
        database.insert(keccak256(&node).as_slice(), node)?;
    }
    let index = stopwatch.lap();
    let open = |root: B256| -> anyhow::Result<_> {
        let database = Arc::clone(&database);
        Ok(if root == EMPTY_ROOT_HASH {
            EthTrie::new(database)
        } else {
            EthTrie::from(database, root.0.into())?
        })
    };
    let mut accounts = open(case.pre_root.into())?;
    let mut tries = HashMap::new();
    for change in &case.changes {
        let leaf = accounts.get(&change.hashed_address)?;
        let account = leaf.map(alloy_rlp::decode_exact::<TrieAccount>).transpose()?;
        let storage_root = account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        if !change.slots.is_empty() {
            let storage = open(storage_root)?;
            for slot in &change.slots {
                black_box(storage.get(&slot.key)?);
            }
            tries.insert(change.hashed_address, storage);
        }
    }
    let read = stopwatch.lap();
    // Removals come last, so that no branch collapses that an insertion would have saved.
    for change in case.changes.iter().filter(|change| change.account.is_some()) {
        let storage = tries.get_mut(&change.hashed_address).context("it was read")?;
        for slot in change.slots.iter().filter(|slot| slot.value != [0; 32]) {
            storage.insert(&slot.key, &alloy_rlp::encode(U256::from_be_bytes(slot.value)))?;
        }
        for slot in change.slots.iter().filter(|slot| slot.value == [0; 32]) {
            storage.remove(&slot.key)?;
        }
        let (nonce, balance) = change.account.unwrap_or_default();
        let account = TrieAccount {
            nonce,
            balance: U256::from(balance),
            storage_root: storage.root_hash()?.0.into(),
            code_hash: KECCAK_EMPTY,
        };
        accounts.insert(&change.hashed_address, &alloy_rlp::encode(account))?;
    }
    for change in case.changes.iter().filter(|change| change.account.is_none()) {
        accounts.remove(&change.hashed_address)?;
    }
    let state_root = accounts.root_hash()?;
    let root = stopwatch.lap();
    ensure!(state_root.0 == case.post_root, "eth_trie found another root");
    Ok(Stages { index, read, root })
}

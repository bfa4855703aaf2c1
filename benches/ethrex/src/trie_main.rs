//! ethrex's trie on a case of Weft's trie benchmark, and Weft's trie on the same in turns.
//!
//! The nodes become tries, every key that changes is read, everything is changed, and the root is
//! computed, in the order and by the functions of ethrex's guest program. Time is that of the thread,
//! as in Weft's benchmark.

#![expect(clippy::print_stdout, reason = "a command speaks on its standard streams")]

#[path = "../../trie/case.rs"]
mod case;
#[path = "../../trie/resident.rs"]
mod resident;

use std::{
    collections::BTreeMap,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ethrex_common::{
    H256, U256,
    constants::EMPTY_TRIE_HASH,
    types::{AccountState, block_execution_witness::collect_accounts_from_embedded_trie},
};
use ethrex_crypto::{Crypto, NativeCrypto};
use ethrex_rlp::{decode::RLPDecode, encode::RLPEncode};
use ethrex_trie::{FxHashMap, Node, NodeRef, Trie};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, de::DeserializeOwned};

use case::Case;

/// The allocator of Weft's benchmark.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures ethrex's trie.
#[derive(Debug, Parser)]
struct Arguments {
    /// The case, as Weft's `trie --file` writes it.
    #[arg(required_unless_present = "resident")]
    file: Option<PathBuf>,
    /// Instead of a case, a state that stays in memory: its accounts, and those that each block changes.
    #[arg(long, num_args = 2, value_names = ["ACCOUNTS", "CHANGED"])]
    resident: Option<Vec<u64>>,
    /// How often each program's turn comes; the best counts.
    #[arg(long, default_value_t = 3)]
    turns: u32,
    /// Rounds in each turn.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Weft's benchmark, as `cargo build --release -p weft-benches` leaves it in the checkout.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/release/trie"))]
    weft: PathBuf,
}

/// Milliseconds of the stages.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Stages {
    /// From nodes to tries.
    index: f64,
    /// Every key read.
    read: f64,
    /// Everything changed, and the root.
    root: f64,
}

/// What Weft's benchmark says of one arm.
#[derive(Debug, Clone, Deserialize)]
struct Arm {
    /// Its name.
    arm: String,
    /// Its stages.
    stages: Stages,
}

impl Stages {
    /// All stages.
    fn total(&self) -> f64 {
        self.index + self.read + self.root
    }

    /// The shorter of two times for each stage.
    fn least(self, other: Self) -> Self {
        Self {
            index: self.index.min(other.index),
            read: self.read.min(other.read),
            root: self.root.min(other.root),
        }
    }
}

/// What Weft's benchmark says of a state in memory.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Resident {
    /// Milliseconds of the fastest block.
    milliseconds: f64,
    /// The root after the last.
    root: H256,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some([accounts, changed]) = arguments.resident.as_deref() {
        return compare_resident(&arguments, *accounts, *changed);
    }
    let file = arguments.file.as_deref().context("no file")?;
    let case = Case::load(file).with_context(|| file.display().to_string())?;
    let mut best: Option<Stages> = None;
    let mut weft: Vec<Arm> = Vec::new();
    for _ in 0..arguments.turns {
        for _ in 0..arguments.rounds {
            let stages = run(&case)?;
            best = Some(best.map_or(stages, |best| best.least(stages)));
        }
        for (place, arm) in weft_turn(&arguments, file)?.into_iter().enumerate() {
            match weft.get_mut(place) {
                Some(best) => best.stages = best.stages.least(arm.stages),
                None => weft.push(arm),
            }
        }
    }
    let best = best.context("no turns")?;
    println!("{} accounts, {} leaves changed, {} nodes", case.accounts, case.leaves(), case.nodes.len());
    let row = |name: &str, stages: Stages| {
        let Stages { index, read, root } = stages;
        let (total, ratio) = (stages.total(), best.total() / stages.total());
        println!(
            "{name:<18}{total:>9.2} ms = index {index:.2} + read {read:.2} + root {root:.2}; ethrex takes {ratio:.2} times that"
        );
    };
    row("ethrex-trie 31", best);
    for arm in &weft {
        row(&arm.arm, arm.stages);
    }
    Ok(())
}

/// Runs Weft's benchmark on the same file.
fn weft_turn(arguments: &Arguments, file: &Path) -> Result<Vec<Arm>> {
    let mut command = Command::new(&arguments.weft);
    command.arg("--file").arg(file).args(["--alone", "--rounds", &arguments.rounds.to_string()]);
    weft_lines(arguments, command)
}

/// The lines of JSON that Weft's benchmark gives.
fn weft_lines<T: DeserializeOwned>(arguments: &Arguments, mut command: Command) -> Result<Vec<T>> {
    let output = command.arg("--json").output().with_context(|| {
        format!("{}, made by `cargo build --release -p weft-benches`", arguments.weft.display())
    })?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = std::str::from_utf8(&output.stdout)?.lines();
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Changes a state in memory block after block, and lets Weft do the same in turns.
fn compare_resident(arguments: &Arguments, accounts: u64, changed: u64) -> Result<()> {
    let chain = resident::Chain { accounts, changed, keccak: |bytes| NativeCrypto.keccak256(bytes) };
    let (mut ethrex, mut weft) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..arguments.turns {
        let (milliseconds, root) = run_resident(&chain, arguments.rounds.into())?;
        ethrex = ethrex.min(milliseconds);
        let mut command = Command::new(&arguments.weft);
        command.arg("--resident").args(["--rounds", &arguments.rounds.to_string()]);
        command.args(["--accounts", &accounts.to_string(), "--changed", &changed.to_string()]);
        for line in weft_lines::<Resident>(arguments, command)? {
            ensure!(line.root == root, "the roots differ");
            weft = weft.min(line.milliseconds);
        }
    }
    println!("{accounts} accounts in memory, {changed} changed by each block");
    println!(
        "ethrex-trie 31 {ethrex:.2} ms, weft {weft:.2} ms; ethrex takes {:.2} times that",
        ethrex / weft
    );
    Ok(())
}

/// Milliseconds of the fastest block on ethrex's trie, and the root after the last.
fn run_resident(chain: &resident::Chain, blocks: u64) -> Result<(f64, H256)> {
    let crypto = NativeCrypto;
    let mut trie = Trie::new_temp();
    for (key, leaf) in chain.start() {
        trie.insert(key.to_vec(), leaf)?;
    }
    let (mut best, mut root) = (f64::INFINITY, trie.hash_no_commit(&crypto));
    for number in 1..=blocks {
        let block = chain.block(number);
        let start = now();
        for (key, leaf) in block.set {
            trie.insert(key.to_vec(), leaf)?;
        }
        for key in &block.removed {
            trie.remove(key)?;
        }
        root = trie.hash_no_commit(&crypto);
        best = best.min(now().saturating_sub(start).as_secs_f64() * 1e3);
    }
    Ok((best, root))
}

/// One run.
fn run(case: &Case) -> Result<Stages> {
    let crypto = NativeCrypto;
    let encoded = case.nodes.clone();
    let mut last = now();
    let mut lap = || {
        let before = std::mem::replace(&mut last, now());
        last.saturating_sub(before).as_secs_f64() * 1e3
    };
    let nodes: FxHashMap<H256, Node> = encoded
        .into_iter()
        .filter_map(|bytes| Some((H256(crypto.keccak256(&bytes)), Node::decode(&bytes).ok()?)))
        .collect();
    let root = embedded(&nodes, H256(case.pre_root))?;
    let mut storage_tries = BTreeMap::new();
    for (account, storage_root) in collect_accounts_from_embedded_trie(&root, &nodes, &crypto) {
        if storage_root != *EMPTY_TRIE_HASH && nodes.contains_key(&storage_root) {
            storage_tries.insert(account, Trie::new_temp_with_root(embedded(&nodes, storage_root)?.into()));
        }
    }
    let mut accounts = Trie::new_temp_with_root(root.into());
    let index = lap();
    for change in &case.changes {
        black_box(accounts.get(&change.hashed_address)?);
        if let Some(storage) = storage_tries.get(&H256(change.hashed_address)) {
            for slot in &change.slots {
                black_box(storage.get(&slot.key)?);
            }
        }
    }
    let read = lap();
    // Removals come last, so that no branch collapses that an insertion would have saved.
    for change in case.changes.iter().filter(|change| change.account.is_some()) {
        let mut account = match accounts.get(&change.hashed_address)? {
            Some(leaf) => AccountState::decode(&leaf)?,
            None => AccountState::default(),
        };
        let (nonce, balance) = change.account.unwrap_or_default();
        (account.nonce, account.balance) = (nonce, U256::from(balance));
        let storage = storage_tries.entry(H256(change.hashed_address)).or_default();
        for slot in change.slots.iter().filter(|slot| slot.value != [0; 32]) {
            let value = U256::from_big_endian(&slot.value);
            storage.insert(slot.key.to_vec(), value.encode_to_vec())?;
        }
        for slot in change.slots.iter().filter(|slot| slot.value == [0; 32]) {
            storage.remove(&slot.key)?;
        }
        account.storage_root = storage.hash_no_commit(&crypto);
        accounts.insert(change.hashed_address.to_vec(), account.encode_to_vec())?;
    }
    for change in case.changes.iter().filter(|change| change.account.is_none()) {
        accounts.remove(&change.hashed_address)?;
    }
    let state_root = accounts.hash_no_commit(&crypto);
    let root = lap();
    ensure!(state_root == H256(case.post_root), "ethrex found another root");
    Ok(Stages { index, read, root })
}

/// The trie with this root, with all nodes that are there.
fn embedded(nodes: &FxHashMap<H256, Node>, root: H256) -> Result<Node> {
    match Trie::get_embedded_root_committed(nodes, root, &NativeCrypto, 64)? {
        NodeRef::Node(node, _) => Ok((*node).clone()),
        NodeRef::Hash(_) => anyhow::bail!("the root is not there"),
    }
}

/// Time of this thread so far.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

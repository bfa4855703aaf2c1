//! Witnesses made wrong on purpose, on one and two threads and with every backend of the hash: they never panic, and
//! what comes out is the same; of good ones, it is what a trie built afresh gives. They are too small for threads to share
//! them, but for what changes: tests of whole witnesses see that.
//!
//! ```text
//!  bytes ─► a small state ─► its nodes ─► some changed, dropped, repeated ─► hashes above them put right ─► the root
//!                                                                                                            │
//!                              reads, changes, roots: values or errors ◄── one thread, two, each backend ◄───┘
//! ```
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use rayon::{ThreadPool, ThreadPoolBuilder};
use weft_trie::{
    AccountChange, AccountFields, Backend, StateChanges, VerifiedWitness, Witness, WitnessError,
};

/// The most accounts, and the most slots of each.
const ENTRIES_MAX: usize = 12;

/// How many hashes are followed to where they are referred to.
const RELINKED_MAX: usize = 64;

/// What a reference begins with (RLP): a word of 32 bytes.
const WORD_CODE: u8 = 0xa0;

/// One thread, and two.
static POOLS: LazyLock<[ThreadPool; 2]> = LazyLock::new(|| {
    [1, 2].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("few threads"))
});

/// What is read of a state: its accounts, their slots, and its root with the changes.
type Seen = (Vec<Read<Option<TrieAccount>>>, Vec<Read<U256>>, Read<B256>);

/// A value, or why there is none.
type Read<T> = std::result::Result<T, WitnessError>;

/// A witness with a root, and what to do with it.
struct Case {
    /// The nodes, good and bad.
    nodes: Vec<Bytes>,
    /// The root they are tied to.
    root: B256,
    /// What the state was made of.
    state: StateChanges,
    /// What is changed.
    changes: StateChanges,
    /// The root with the changes, of a trie built afresh; `None` if nodes were spoiled.
    expected: Option<B256>,
}

fuzz_target!(|data: &[u8]| {
    if let Ok(case) = case(&mut Unstructured::new(data)) {
        check(&case);
    }
});

/// Asserts that what is seen depends on neither threads nor backend.
fn check(case: &Case) {
    let mut first = None;
    for backend in Backend::ALL {
        backend.prefer();
        for pool in &*POOLS {
            let seen = pool.install(|| seen(case));
            assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{backend:?}, {pool:?}");
            if let Some(expected) = case.expected {
                assert_eq!(seen.map(|(_, _, root)| root), Ok(Ok(expected)), "{backend:?}, {pool:?}");
            }
        }
    }
}

/// What is seen of the witness.
fn seen(case: &Case) -> Read<Seen> {
    let witness = VerifiedWitness::of(&case.nodes, case.root)?;
    let accounts = case.state.accounts.keys().map(|address| witness.account(*address)).collect();
    let slots = case.state.accounts.iter().flat_map(|(address, change)| {
        change.storage.keys().map(|slot| witness.storage(*address, *slot)).collect::<Vec<_>>()
    });
    let root = witness.post_state(&case.changes).map(|state| state.state_root());
    Ok((accounts, slots.collect(), root))
}

/// A witness of a small state.
fn case(choices: &mut Unstructured<'_>) -> Result<Case> {
    let state = changes(choices)?;
    let nothing = Witness::new(vec![]).verify(EMPTY_ROOT_HASH).expect("an empty trie");
    let post_state = nothing.post_state(&state).expect("nothing is missing");
    let wanted: Vec<(Address, Vec<B256>)> = state
        .accounts
        .iter()
        .map(|(address, change)| (*address, change.storage.keys().map(|slot| (*slot).into()).collect()))
        .collect();
    let mut nodes = post_state.multiproof(&wanted).expect("all of it is known").into_nodes();
    let mut root = post_state.state_root();
    let spoilt = choices.int_in_range(0..=4)?;
    for _ in 0..spoilt {
        if !nodes.is_empty() {
            spoil(choices, &mut nodes, &mut root)?;
        }
    }
    let changes = changes(choices)?;
    let mut all = state.clone();
    all.append(changes.accounts.clone());
    let afresh = || nothing.post_state(&all).expect("nothing is missing").state_root();
    let expected = (spoilt == 0).then(afresh);
    Ok(Case { nodes, root, state, changes, expected })
}

/// Accounts with slots; the same keys come again in every state.
fn changes(choices: &mut Unstructured<'_>) -> Result<StateChanges> {
    let count = choices.int_in_range(0..=ENTRIES_MAX)?;
    (0..count)
        .map(|_| {
            let address = Address::with_last_byte(choices.int_in_range(0..=15)?);
            let fields = AccountFields {
                nonce: choices.arbitrary::<u8>()?.into(),
                balance: U256::from(choices.arbitrary::<u64>()?),
                code_hash: B256::repeat_byte(choices.arbitrary()?),
            };
            let slots = choices.int_in_range(0..=ENTRIES_MAX)?;
            let slot = |_| -> Result<_> {
                let key = U256::from(choices.int_in_range(0..=15_u8)?);
                Ok((key, U256::from(choices.int_in_range(0..=300_u16)?)))
            };
            let storage: BTreeMap<U256, U256> = (0..slots).map(slot).collect::<Result<_>>()?;
            let account = choices.ratio(7, 8)?.then_some(fields);
            Ok((address, AccountChange { account, storage_wiped: choices.ratio(1, 8)?, storage }))
        })
        .collect()
}

/// Spoils a node; what refers to it refers to what it has become, if that is chosen.
fn spoil(choices: &mut Unstructured<'_>, nodes: &mut Vec<Bytes>, root: &mut B256) -> Result<()> {
    let place = choices.choose_index(nodes.len())?;
    let mut node = nodes[place].to_vec();
    let at = choices.choose_index(node.len() + 1)?;
    match choices.int_in_range(0..=6)? {
        0 => node.truncate(at),
        1 => node.insert(at, choices.arbitrary()?),
        2 => drop(node.drain(..at)),
        3 if at < node.len() => node[at] = choices.arbitrary()?,
        4 if at < node.len() => node[at] ^= 1 << choices.int_in_range(0..=7)?,
        5 => {
            // It refers to another than before.
            let other = keccak256(choices.choose(nodes)?);
            let is_reference = |at: &usize| node[at - 1] == WORD_CODE;
            let references: Vec<usize> = (1..node.len().saturating_sub(31)).filter(is_reference).collect();
            if !references.is_empty() {
                let at = *choices.choose(&references)?;
                node[at..at + 32].copy_from_slice(other.as_slice());
            }
        }
        _ => {
            drop(nodes.swap_remove(place));
            return Ok(());
        }
    }
    let node = Bytes::from(node);
    if choices.ratio(1, 4)? {
        nodes.push(node);
    } else {
        relink(nodes, place, node, root);
    }
    Ok(())
}

/// Replaces a node, and its hash wherever it is referred to, up to the root.
fn relink(nodes: &mut [Bytes], place: usize, node: Bytes, root: &mut B256) {
    let mut changed = vec![(keccak256(&nodes[place]), keccak256(&node))];
    nodes[place] = node;
    // Nodes that were made to refer to each other would go on forever.
    for _ in 0..RELINKED_MAX {
        let Some((from, to)) = changed.pop() else { return };
        if *root == from {
            *root = to;
        }
        for node in nodes.iter_mut() {
            if let Some(at) = node.windows(32).position(|word| word == from) {
                let (before, after) = (&node[..at], &node[at + 32..]);
                let relinked = Bytes::from([before, to.as_slice(), after].concat());
                changed.push((keccak256(&*node), keccak256(&relinked)));
                *node = relinked;
            }
        }
    }
}

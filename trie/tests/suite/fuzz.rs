//! Made-up tries, changes and witnesses, each from one seed, against two tries that somebody else wrote.
//!
//! Alloy's `HashBuilder` says what a root is, `eth_trie` makes the nodes and the paths, and changes its own trie the
//! same way. Each seed leaves out some of what could happen (a *swarm*), so that rare things meet each other.
//!
//! `FUZZ_CASES` says how many seeds, `FUZZ_SEED` which is the first; a failure names its seed.

use crate::support::{
    ACCOUNT, EMPTY, FullTrie, Leaves, branch, extension, leaf, long_slot, nibbles, reference, reference_root,
    slot, storage_trie, storage_witness,
};
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{Nibbles, TrieAccount, nodes::RlpNode, proof::verify_proof};
use eth_trie::{EthTrie, MemoryDB, Trie};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};
use weft_trie::{KnownHashes, VerifiedWitness, WitnessError};

/// What may take long at most, with the witnesses that are made here: a few thousand nodes.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Changes of several keys; `None` removes.
type Batch = BTreeMap<B256, Option<Bytes>>;

/// Choices that follow from a seed (xorshift).
struct Choices(u64);

impl Choices {
    /// Those of a seed.
    fn new(seed: u64) -> Self {
        let digest = keccak256(seed.to_be_bytes());
        Self(u64::from_be_bytes(*digest.first_chunk().unwrap()) | 1)
    }

    /// Any number.
    fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below another.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.any() >> 16).unwrap() % end
    }

    /// Whether something of so many in a hundred happens.
    fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    fn one_of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }
}

/// What can happen in one case.
#[expect(clippy::struct_excessive_bools, reason = "each thing happens or not, whatever the others do")]
struct Swarm {
    /// Whether keys share prefixes that somebody chose, instead of being hashes.
    shared_prefixes: bool,
    /// Whether values are short, so that nodes are inlined.
    short_values: bool,
    /// Whether values are long.
    long_values: bool,
    /// Of a hundred changes, how many remove.
    removals: usize,
    /// Whether a batch may remove all there is.
    wipes: bool,
    /// Whether changes meet keys that are not there.
    absent_keys: bool,
    /// Whether the witness has only what is needed.
    partial: bool,
    /// Whether it has junk, duplicates, and another order too.
    junk: bool,
}

impl Swarm {
    /// Half of it happens.
    fn new(choices: &mut Choices) -> Self {
        let short_values = choices.happens(50);
        Self {
            shared_prefixes: choices.happens(50),
            short_values,
            long_values: !short_values || choices.happens(50),
            removals: *choices.one_of(&[0, 10, 50, 95]),
            wipes: choices.happens(20),
            absent_keys: choices.happens(50),
            partial: choices.happens(50),
            junk: choices.happens(50),
        }
    }

    /// A key: a hash, or one that leaves another key at a nibble of somebody's choice.
    fn key(&self, choices: &mut Choices, others: &[B256]) -> B256 {
        if !self.shared_prefixes || others.is_empty() || choices.happens(10) {
            return keccak256(choices.any().to_be_bytes());
        }
        let mut key = *choices.one_of(others);
        let anywhere = choices.below(64);
        let place = *choices.one_of(&[0, 1, 2, 31, 32, 61, 62, 63, anywhere]);
        let bit = 1 << choices.below(4);
        key[place / 2] ^= if place.is_multiple_of(2) { bit << 4 } else { bit };
        key
    }

    /// A value.
    fn value(&self, choices: &mut Choices) -> Bytes {
        let number = choices.any() % 4 + 1;
        match (self.short_values, self.long_values) {
            (true, false) => slot(number).unwrap(),
            (true, true) if choices.happens(50) => slot(number << (8 * choices.below(7))).unwrap(),
            _ => long_slot(u8::try_from(number).unwrap()),
        }
    }

    /// Leaves.
    fn leaves(&self, choices: &mut Choices) -> Leaves {
        let count = *choices.one_of(&[0, 1, 2, 3, 8, 30, 100]);
        let mut keys = Vec::new();
        let mut leaves = Leaves::new();
        for _ in 0..count {
            let key = self.key(choices, &keys);
            keys.push(key);
            leaves.insert(key, self.value(choices));
        }
        leaves
    }

    /// Changes.
    fn batch(&self, choices: &mut Choices, leaves: &Leaves) -> Batch {
        let keys: Vec<B256> = leaves.keys().copied().collect();
        if self.wipes && choices.happens(30) {
            return keys.into_iter().map(|key| (key, None)).collect();
        }
        let mut batch = Batch::new();
        for _ in 0..*choices.one_of(&[0, 1, 2, 5, 20, 60]) {
            let is_new = keys.is_empty() || self.absent_keys && choices.happens(40);
            let key = if is_new { self.key(choices, &keys) } else { *choices.one_of(&keys) };
            let change = (!choices.happens(self.removals)).then(|| self.value(choices));
            batch.insert(key, change);
        }
        batch
    }
}

/// The leaves after the changes.
fn after(leaves: &Leaves, batch: &Batch) -> Leaves {
    let mut after = leaves.clone();
    for (key, value) in batch {
        match value {
            Some(value) => after.insert(*key, value.clone()),
            None => after.remove(key),
        };
    }
    after
}

/// The root as `eth_trie` changes it.
fn other_root(leaves: &Leaves, batch: &Batch) -> B256 {
    let mut trie = EthTrie::new(Arc::new(MemoryDB::new(true)));
    for (key, value) in leaves {
        trie.insert(key.as_slice(), value).unwrap();
    }
    trie.root_hash().unwrap();
    for (key, value) in batch {
        match value {
            Some(value) => trie.insert(key.as_slice(), value).unwrap(),
            None => {
                trie.remove(key.as_slice()).unwrap();
            }
        }
    }
    B256::from_slice(trie.root_hash().unwrap().as_slice())
}

/// Adds what does no harm: what no node refers to, everything again, in another order.
fn add_junk(choices: &mut Choices, nodes: &mut Vec<Bytes>) {
    nodes.extend(nodes.clone());
    for _ in 0..choices.below(20) {
        let mut junk =
            nodes.get(choices.below(nodes.len().max(1))).map_or_else(Vec::new, |node| node.to_vec());
        match choices.below(4) {
            0 => junk.truncate(choices.below(junk.len() + 1)),
            1 => junk.extend([0x80; 600]),
            2 if !junk.is_empty() => {
                let place = choices.below(junk.len());
                junk[place] ^= 1 << choices.below(8);
            }
            _ => junk = vec![0xf8; choices.below(700)],
        }
        // It counts if it happens to be a node that is missing; no hash says so.
        nodes.insert(choices.below(nodes.len() + 1), junk.into());
    }
}

/// The witness of a storage trie with this root.
fn witness_of(root: B256, nodes: &[Bytes]) -> VerifiedWitness {
    storage_witness(root, nodes.iter().cloned()).unwrap()
}

/// T2, T6, T8, T9, T10 of one trie that changes some times.
fn changes_of_a_trie(choices: &mut Choices, swarm: &Swarm) {
    let mut leaves = swarm.leaves(choices);
    let full = FullTrie::new(leaves.clone());
    let batches: Vec<Batch> = (0..=choices.below(3))
        .scan(leaves.clone(), |leaves, _| {
            let batch = swarm.batch(choices, leaves);
            *leaves = after(leaves, &batch);
            Some(batch)
        })
        .collect();
    let root = if leaves.is_empty() { EMPTY } else { full.root };
    let mut nodes: Vec<Bytes> = full.nodes.values().cloned().collect();
    if swarm.partial {
        nodes = full.paths(batches.iter().flat_map(|batch| batch.keys().copied())).into_values().collect();
    }
    if swarm.junk {
        add_junk(choices, &mut nodes);
    }
    // Whoever lacks a sibling says which, stays as he was, and can go on when he gets it.
    'again: loop {
        let witness = witness_of(root, &nodes);
        let mut trie = match storage_trie(&witness) {
            Ok(trie) => trie,
            Err(WitnessError::MissingNode { hash, .. })
                if swarm.partial && batches.iter().all(Batch::is_empty) =>
            {
                nodes.push(full.nodes[&hash].clone());
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        assert_eq!(trie.root(), root);
        let before = leaves.clone();
        for batch in &batches {
            let was = trie.root();
            match trie.apply(batch.clone()) {
                Ok(()) => {}
                Err(WitnessError::MissingNode { hash, .. }) => {
                    assert!(swarm.partial && trie.root() == was);
                    nodes.push(full.nodes[&hash].clone());
                    leaves = before;
                    continue 'again;
                }
                Err(error) => panic!("{error}"),
            }
            let changed = after(&leaves, batch);
            assert_eq!(trie.root(), reference_root(&changed));
            assert_eq!(trie.root(), other_root(&leaves, batch));
            leaves = changed;
            for key in batch.keys() {
                let value = leaves.get(key).map(|value| value.to_vec());
                assert_eq!(trie.get(*key).unwrap(), value.as_deref());
                let proof = trie.proof(*key).unwrap();
                verify_proof(trie.root(), Nibbles::unpack(key), value, &proof).unwrap();
            }
        }
        return;
    }
}

/// T2, T5: an absent key is proven absent, by alloy too, or the node that is missing is named.
fn reads_of_a_partial_trie(choices: &mut Choices, swarm: &Swarm) {
    let leaves = swarm.leaves(choices);
    if leaves.is_empty() {
        return;
    }
    let full = FullTrie::new(leaves.clone());
    let keys: Vec<B256> = leaves.keys().copied().collect();
    let mut nodes: Vec<Bytes> = full.nodes.values().filter(|_| !choices.happens(20)).cloned().collect();
    if swarm.junk {
        add_junk(choices, &mut nodes);
    }
    let witness = witness_of(full.root, &nodes);
    let has = |hash: &B256| nodes.iter().any(|node| keccak256(node) == *hash);
    let trie = match storage_trie(&witness) {
        Ok(trie) => trie,
        Err(error) => {
            assert!(
                matches!(error, WitnessError::MissingNode { hash, .. } if hash == full.root && !has(&hash))
            );
            return;
        }
    };
    for _ in 0..20 {
        let key = if choices.happens(50) { *choices.one_of(&keys) } else { swarm.key(choices, &keys) };
        let value = leaves.get(&key).map(|value| value.to_vec());
        match trie.get(key) {
            Ok(found) => {
                assert_eq!(found, value.as_deref());
                let proof = trie.proof(key).unwrap();
                verify_proof(full.root, Nibbles::unpack(key), value, &proof).unwrap();
            }
            Err(WitnessError::MissingNode { hash, .. }) => {
                assert!(full.nodes.contains_key(&hash) && !has(&hash));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// T3, T4, T5: nodes of all kinds, put together so that no trie looks like it, end in time, in the same way from any
/// number of threads and whatever hashes are known.
fn hostile_witness(choices: &mut Choices, known: &KnownHashes) {
    let mut nodes: Vec<Bytes> =
        vec![leaf(&nibbles(&[0; 3]), &long_slot(1)), leaf(&nibbles(&[]), &long_slot(2))];
    for _ in 0..*choices.one_of(&[10, 100, 2000]) {
        // Mostly on top of the last ones, so that chains get deep.
        let recent = nodes.len().saturating_sub(*choices.one_of(&[1, 2, 10, usize::MAX]));
        let mut child = || {
            let node = &nodes[recent + choices.below(nodes.len() - recent)];
            match choices.below(12) {
                0 => RlpNode::word_rlp(&keccak256([7])),
                1 => RlpNode::word_rlp(&keccak256(node)),
                _ => reference(node),
            }
        };
        let (one, two) = (child(), child());
        let node = match choices.below(5) {
            0 => extension(&Nibbles::from_nibbles(vec![3; 1 + choices.below(5)]), &one),
            1 => branch(&std::array::from_fn::<_, 16, _>(|nibble| (nibble, one.clone()))),
            2 => leaf(&Nibbles::from_nibbles(vec![1; choices.below(65)]), &long_slot(3)),
            _ => branch(&[(choices.below(8), one), (8 + choices.below(8), two)]),
        };
        let mut node = node.to_vec();
        if choices.happens(3) {
            let place = choices.below(node.len());
            node[place] ^= 1 << choices.below(8);
        }
        nodes.push(node.into());
    }
    let root = keccak256(nodes.last().unwrap());
    let keys: Vec<B256> = (0..10).map(|_| keccak256(choices.any().to_be_bytes())).collect();
    let outcome = |known: Option<&KnownHashes>| {
        let account = TrieAccount { storage_root: root, ..TrieAccount::default() };
        let state = leaf(&Nibbles::unpack(ACCOUNT), &alloy_rlp::encode(account));
        let nodes: Vec<Bytes> = nodes.iter().cloned().chain([state.clone()]).collect();
        let witness = VerifiedWitness::with_known(&nodes, keccak256(&state), known).unwrap();
        let mut trie = storage_trie(&witness)?;
        let read: Vec<_> =
            keys.iter().map(|key| trie.get(*key).map(|value| value.map(<[u8]>::to_vec))).collect();
        let changed = trie.apply(keys.iter().map(|key| (*key, Some(long_slot(9)))));
        Ok::<_, WitnessError>((read, changed, trie.root()))
    };
    let timed = |known| {
        let start = Instant::now();
        (outcome(known), start.elapsed())
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let (alone, took) = timed(None);
    let (again, took_again) = timed(Some(known));
    assert_eq!(again, alone);
    assert_eq!(pool.install(|| outcome(None)), alone);
    assert_eq!(pool.install(|| outcome(Some(known))), alone);
    // Whoever shares the machine may hold one of them up.
    let took = took.min(took_again);
    assert!(took < TIME_MAX, "{took:?}");
}

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// As many seeds as asked for.
#[test]
fn seeds() {
    let first = number("FUZZ_SEED", 0);
    let known = KnownHashes::new(1 << 20);
    for seed in first..first + number("FUZZ_CASES", 2000) {
        let case = || {
            let choices = &mut Choices::new(seed);
            let swarm = Swarm::new(choices);
            changes_of_a_trie(choices, &swarm);
            reads_of_a_partial_trie(choices, &swarm);
            if seed.is_multiple_of(8) {
                hostile_witness(choices, &known);
            }
        };
        assert!(catch_unwind(AssertUnwindSafe(case)).is_ok(), "FUZZ_SEED={seed} FUZZ_CASES=1 fails");
    }
}

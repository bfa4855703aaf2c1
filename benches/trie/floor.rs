//! The hashing floor: what it would take to hash the nodes of the witness and those that changed, and do
//! nothing else.

use alloy_primitives::{B256, keccak256};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;
use weft_trie::{Witness, keccak256_batch};

use crate::arms::Input;
use crate::case::Case;

/// Bytes of a full branch.
const FULL_BRANCH: usize = 532;

/// Full branches that are hashed together to see what a permutation takes.
const BATCH: u32 = 256;

/// How often they are hashed; the best counts.
const ROUNDS: usize = 300;

/// How much hashing there is on one thread.
#[derive(Debug)]
pub(crate) struct Floor {
    /// Permutations for the nodes of the witness.
    witness: usize,
    /// Permutations for the nodes that changed.
    changed: usize,
    /// Nanoseconds that a permutation takes.
    nanoseconds: f64,
}

impl Floor {
    /// Counts the permutations of a case, and measures one.
    ///
    /// # Errors
    ///
    /// If the changes cannot be made.
    pub(crate) fn new(case: &Case, input: &Input) -> anyhow::Result<Self> {
        let witness = Witness::new(input.nodes.clone()).verify(case.pre_root.into())?;
        let state = witness.post_state(input.changes())?;
        // A node that changed is on the way to a key that changed, and not in the witness.
        let before: BTreeMap<B256, usize> =
            input.nodes.iter().map(|node| (keccak256(node), node.len())).collect();
        let mut after = BTreeMap::new();
        for change in &case.changes {
            let slots: Vec<B256> = change.slots.iter().map(|slot| slot.number.into()).collect();
            let proof = state.account_proof(change.address.into(), &slots)?;
            let nodes = proof.proof.into_iter().chain(proof.storage.into_iter().flat_map(|slot| slot.proof));
            after.extend(nodes.map(|node| (keccak256(&node), node.len())));
        }
        after.retain(|hash, _| !before.contains_key(hash));
        let permutations =
            |nodes: &BTreeMap<B256, usize>| nodes.values().map(|length| length / 136 + 1).sum();
        Ok(Self {
            witness: permutations(&before),
            changed: permutations(&after),
            nanoseconds: nanoseconds_per_permutation(),
        })
    }

    /// The floor in milliseconds.
    pub(crate) fn milliseconds(&self) -> f64 {
        let permutations = u32::try_from(self.witness + self.changed).map_or(f64::INFINITY, f64::from);
        permutations * self.nanoseconds / 1e6
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "floor {:.2} ms: {} permutations of the witness and {} of what changed, {:.1} ns each",
            self.milliseconds(),
            self.witness,
            self.changed,
            self.nanoseconds
        )
    }
}

/// What a permutation takes when full branches are hashed, nothing else runs, and all is in the cache.
fn nanoseconds_per_permutation() -> f64 {
    let messages = vec![vec![0xa5; FULL_BRANCH]; BATCH as usize];
    let round = |_| {
        let start = Instant::now();
        std::hint::black_box(keccak256_batch(&messages));
        start.elapsed().as_secs_f64() * 1e9
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min) / f64::from(4 * BATCH)
}

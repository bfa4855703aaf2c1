//! Many readers at once, and pools of any size.

use crate::{
    support::{branch, filling, leaf, nibbles, reference, rlp},
    world::{World, address, assert_proven, fields, removed, set, slots},
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::TrieAccount;
use rayon::prelude::*;
use std::thread;
use weft_trie::{StateChanges, VerifiedWitness, Witness, WitnessError};

/// Enough accounts for a witness that is hashed in parallel.
fn world() -> World {
    let storage = |index: u64| slots([(0, index + 1), (1, 2), (index, 3)]);
    let account = |index: u64| {
        let address = Address::from_word(B256::from(U256::from(index)));
        (address, (fields(index), storage(index)))
    };
    World((0..400).map(account).collect())
}

/// A pool with this many threads.
fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Asserts that the calls answer alike, one after the other on a witness of their own
/// and from eight threads in different orders on a shared one.
fn assert_order_free<T: PartialEq + std::fmt::Debug + Sync>(
    calls: usize,
    witness: impl Fn() -> VerifiedWitness,
    call: impl Fn(&VerifiedWitness, usize) -> T + Sync,
) {
    let expected: Vec<T> = (0..calls).map(|index| call(&witness(), index)).collect();
    let shared = witness();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (shared, expected, call) = (&shared, &expected, &call);
            scope.spawn(move || {
                for step in 0..calls {
                    let index = match thread % 2 {
                        0 => (step + thread * calls / 8) % calls,
                        _ => (thread * calls / 8 + calls - 1 - step) % calls,
                    };
                    assert_eq!(call(shared, index), expected[index]);
                }
            });
        }
    });
}

/// T5: reads, with values, absences and missing nodes among them.
#[test]
fn reads_do_not_depend_on_order_or_threads() {
    let world = world();
    // Every seventh node is missing, save the root.
    let mut nodes = world.nodes();
    let mut index = 0;
    nodes.retain(|hash, _| {
        index += 1;
        index % 7 != 0 || *hash == world.root()
    });
    let nodes: Vec<Bytes> = nodes.into_values().collect();
    let witness = || Witness::new(nodes.clone()).verify(world.root()).unwrap();
    let read = |witness: &VerifiedWitness, index: usize| {
        let index = U256::from(index);
        let address = Address::from_word(B256::from(index / U256::from(2)));
        (witness.account(address), witness.storage(address, index % U256::from(3)))
    };
    let results: Vec<_> = (0..100).map(|index| read(&witness(), index)).collect();
    assert!(results.iter().any(|(account, _)| account.is_err()));
    assert!(results.iter().any(|(_, slot)| matches!(slot, Ok(value) if !value.is_zero())));
    assert!(results.iter().any(|(account, slot)| account.is_ok() && slot.is_err()));
    assert_order_free(100, witness, read);
}

/// T5: the check of a storage trie has the same verdict for all, also where tries share nodes.
#[test]
fn verdicts_do_not_depend_on_order_or_threads() {
    // Each trie shares its malformed part with the next; only the first one has it twice.
    let bad = leaf(&nibbles(&[0; 61]), &[0x80]);
    let shared = branch(&[(0, reference(&bad)), (1, reference(&leaf(&nibbles(&[0; 61]), &[5])))]);
    let mut nodes = vec![bad, leaf(&nibbles(&[0; 61]), &[5]), shared.clone()];
    let mut children = vec![];
    for account in 0..8usize {
        let middle = branch(&[(account, reference(&shared)), (15, reference(&shared))]);
        let root = branch(&[(account + 1, reference(&middle)), (0, reference(&middle))]);
        let value = TrieAccount { storage_root: keccak256(&root), ..TrieAccount::default() };
        let owner = leaf(&nibbles(&[0; 63]), &rlp(value));
        children.push((account, reference(&owner)));
        nodes.extend([middle, root, owner]);
    }
    let state = branch(&children);
    let root = keccak256(&state);
    nodes.push(state);
    let witness = || Witness::new(nodes.clone()).verify(root).unwrap();
    assert_order_free(8, witness, |witness, account| {
        let mut hashed = B256::ZERO;
        hashed[0] = u8::try_from(account).unwrap() << 4;
        let storage_root = witness.account_by_hash(hashed).unwrap().unwrap().storage_root;
        let error = witness.storage_trie(hashed, storage_root).map(drop).unwrap_err();
        assert!(matches!(error, WitnessError::BadNode { account: Some(owner), .. } if owner == hashed));
        error
    });
}

/// T5: a pool of any size hashes the same witness and finds the same root; also of a witness so large that what is
/// needed is brought near (N1).
#[test]
fn pools_of_any_size_agree() {
    let world = world();
    let nodes: Vec<Bytes> = world.nodes().into_values().collect();
    assert!(nodes.iter().map(|node| node.len()).sum::<usize>() > 64 * 1024);
    let changes: StateChanges = world
        .0
        .keys()
        .enumerate()
        .map(|(index, address)| match index % 5 {
            0 => (*address, removed()),
            _ => (*address, set(7, slots([(0, 0), (1, 8), (2, 9)]))),
        })
        .collect();
    let expected = world.after(&changes).root();
    let large = [&nodes[..], &filling()].concat();
    for nodes in [nodes, large] {
        for threads in [1, 2, 3, 8] {
            pool(threads).install(|| {
                let witness = Witness::new(nodes.clone()).verify(world.root()).unwrap();
                assert_eq!(witness.post_state(&changes).unwrap().state_root(), expected);
            });
        }
    }
}

/// T5, T9, T10: what parts have been made in is not seen: not in a root with few children or none, not in what is read
/// and proven, nor in what comes on top.
#[test]
fn parts_are_not_seen_in_the_state() {
    let world = world();
    let witness = || Witness::new(world.nodes().into_values().collect()).verify(world.root()).unwrap();
    let all = || world.0.keys().copied();
    let first_nibble = |address: &Address| keccak256(address)[0] >> 4;
    let later: StateChanges =
        all().step_by(7).map(|address| (address, set(9, slots([(1, 0), (5, 6)])))).collect();
    let kept: [(&str, Box<dyn Fn(&Address) -> bool>); 5] = [
        ("all", Box::new(|_| true)),
        ("those below two nibbles", Box::new(|address| first_nibble(address) < 2)),
        ("those below one nibble", Box::new(|address| first_nibble(address) == 4)),
        ("one", Box::new(|address| Some(*address) == all().next())),
        ("none", Box::new(|_| false)),
    ];
    for (name, is_kept) in kept {
        let change = |address: Address| {
            (address, if is_kept(&address) { set(7, slots([(0, 0), (1, 8), (2, 9)])) } else { removed() })
        };
        let changes: StateChanges = all().map(change).collect();
        let after = world.after(&changes);
        for threads in [1, 2, 5] {
            pool(threads).install(|| {
                let witness = witness();
                let mut state = witness.post_state(&changes).unwrap();
                assert_eq!(state.state_root(), after.root(), "{name}");
                let slots: Vec<B256> = (0..3).map(|slot| U256::from(slot).into()).collect();
                for address in all().step_by(11) {
                    assert_eq!(state.account(address).unwrap(), after.account(address), "{name}");
                    assert_proven(&state.account_proof(address, &slots).unwrap(), after.root());
                }
                state.append(&later).unwrap();
                assert_eq!(state.state_root(), after.after(&later).root(), "{name}");
                // Of one that nobody has read.
                let mut state = witness.post_state(&changes).unwrap();
                state.append(&later).unwrap();
                assert_eq!(state.state_root(), after.after(&later).root(), "{name}");
                // F1: all of it foreseen, then more, or less.
                let mut both = changes.clone();
                both.append(later.accounts.clone());
                for (foreseen, due) in
                    [(&changes, &changes), (&changes, &both), (&both, &changes), (&later, &both)]
                {
                    let mut early = witness.early_state();
                    early.advance(foreseen.clone());
                    let state = early.settle(due).unwrap();
                    assert_eq!(state.state_root(), world.after(due).root(), "{name}");
                }
            });
        }
    }
}

/// T5: who joins the parts waits for other threads, and may run another reader meanwhile.
#[test]
fn many_read_a_state_that_was_made_in_parts() {
    let world = world();
    let changes: StateChanges =
        world.0.keys().map(|address| (*address, set(7, slots([(0, 0), (1, 8), (2, 9)])))).collect();
    let after = world.after(&changes);
    let witness = Witness::new(world.nodes().into_values().collect()).verify(world.root()).unwrap();
    let pool = pool(5);
    for _ in 0..40 {
        pool.install(|| {
            let state = witness.post_state(&changes).unwrap();
            let addresses: Vec<Address> = world.0.keys().copied().take(60).collect();
            addresses.into_par_iter().with_max_len(1).for_each(|address| {
                assert_eq!(
                    state.storage(address, U256::from(1)).unwrap(),
                    after.slot(address, U256::from(1))
                );
            });
        });
    }
}

/// T5: of many errors in the changes, a pool of any size reports the same.
#[test]
fn pools_of_any_size_report_the_same_error() {
    let world = world();
    // No storage trie at all, so that every account fails; the lowest address counts.
    let nodes: Vec<Bytes> = world.state_trie().nodes.into_values().collect();
    let changes: StateChanges = world.0.keys().map(|address| (*address, set(7, slots([(1, 8)])))).collect();
    for threads in [1, 2, 3, 8] {
        for _ in 0..20 {
            let error = pool(threads).install(|| {
                let witness = Witness::new(nodes.clone()).verify(world.root()).unwrap();
                witness.post_state(&changes).map(drop).unwrap_err()
            });
            let WitnessError::MissingNode { account, .. } = error else { panic!("{error}") };
            assert_eq!(account, Some(keccak256(address(0))));
        }
    }
}

/// T5: one storage trie with most of the changes is changed in parts, and then makes the same root; also if
/// few of its slots remain, or its root collapses.
#[test]
fn a_large_storage_trie_is_changed_in_parts() {
    let many = |value: u64| (0..600).map(move |slot| (U256::from(slot), U256::from(value)));
    let mut world = world();
    world.0.insert(address(200), (fields(1), many(1).collect()));
    let nodes: Vec<Bytes> = world.nodes().into_values().collect();
    let witness = || Witness::new(nodes.clone()).verify(world.root()).unwrap();
    let all_but = |kept: u64| many(0).filter(|(slot, _)| *slot >= U256::from(kept)).collect();
    for storage in [many(2).collect(), all_but(0), all_but(1), all_but(5), many(1).collect()] {
        let changes: StateChanges = [
            (address(200), set(9, storage)),
            (address(3), removed()),
            (address(4), set(8, slots([(1, 0), (7, 7)]))),
        ]
        .into_iter()
        .collect();
        let after = world.after(&changes);
        for threads in [1, 2, 3, 8] {
            pool(threads).install(|| {
                let witness = witness();
                let state = witness.post_state(&changes).unwrap();
                assert_eq!(state.state_root(), after.root(), "{threads} threads");
                for slot in [0, 1, 4, 599].map(U256::from) {
                    assert_eq!(state.storage(address(200), slot).unwrap(), after.slot(address(200), slot));
                }
                let slots = [0, 4, 7].map(|slot| B256::from(U256::from(slot)));
                for proven in [200, 3, 4, 5].map(address) {
                    assert_proven(&state.account_proof(proven, &slots).unwrap(), after.root());
                }
            });
        }
    }
}

/// T5: errors are the same for any number of threads, whichever node is missing and whatever else changes.
#[test]
fn pools_of_any_size_miss_the_same_node() {
    let world = world();
    let changes: StateChanges = world
        .0
        .keys()
        .enumerate()
        .map(|(index, address)| match index % 3 {
            0 => (*address, removed()),
            _ => (*address, set(7, slots([(0, 0), (1, 8), (2, 9)]))),
        })
        .collect();
    let nodes = world.nodes();
    let lacking = |dropped: &B256| {
        let nodes = nodes.iter().filter(|(hash, _)| *hash != dropped).map(|(_, node)| node.clone());
        let witness = Witness::new(nodes.collect()).verify(world.root())?;
        witness.post_state(&changes).map(|state| state.state_root())
    };
    let pools = [1, 2, 5].map(pool);
    for dropped in nodes.keys().step_by(29) {
        let [alone, others @ ..] = pools.each_ref().map(|pool| pool.install(|| lacking(dropped)));
        for other in others {
            assert_eq!(other, alone, "without {dropped}");
        }
    }
}

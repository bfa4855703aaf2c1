//! The changes of a block, made to the state trie and the storage tries: alone or in parts, to the state before the block
//! or to one that has been changed before.
//!
//! Of each run of accounts, sorted by key:
//!
//! ```text
//!  bring near ─► read ─► storage tries ─► hash ─► accounts ─► state trie ─► hash
//! ```
//!
//! - **C1.** In parts the outcome is that of one: they share no node, and each is worked through in the order of the
//!   keys. `pools_of_any_size_agree`, `parts_are_not_seen_in_the_state`.
//! - **C2.** Of several errors that of the lowest address counts, whoever meets it first; those of the state
//!   trie come after all others, in the order of its keys. `pools_of_any_size_report_the_same_error`.

use crate::{
    account::read_account,
    arena::{Arena, Child, Place},
    error::WitnessError,
    key::order,
    keyed::{KeyedChange, KeyedChanges},
    parts::{Joined, Leaves, Parts, Ranked, split},
    root::Threads,
    sparse::TrieView,
    state::AccountFields,
    update::Change,
    witness::VerifiedWitness,
};
use alloy_primitives::{B256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use std::sync::OnceLock;

/// Accounts and slots below which waking a thread costs more than it saves: some 1,500 permutations.
const PARALLEL_KEYS_MIN: usize = 96;

/// Accounts whose tries are brought near together.
const ACCOUNTS_NEAR: usize = 32;

/// The tries after the changes.
#[derive(Clone, Debug)]
pub(crate) struct Changed<'w> {
    /// The nodes that changed, hashed.
    pub(crate) arena: Arena<'w>,
    /// The root of the state trie.
    pub(crate) root: Child,
    /// Accounts whose slots changed, sorted, with the roots of their storage tries.
    pub(crate) storage: Vec<(B256, Child)>,
}

/// The tries after the changes, as far as the root needs them.
#[derive(Clone, Debug)]
pub(crate) enum Made<'w> {
    /// In one arena.
    Whole(Changed<'w>),
    /// In parts.
    Parts {
        /// The root.
        root: B256,
        /// The parts of the state trie.
        parts: Box<Parts<'w>>,
        /// The storage tries that were changed before.
        before: Box<Joined<'w>>,
        /// All of it in one arena, once somebody has asked for more than the root.
        whole: OnceLock<Changed<'w>>,
    },
}

/// The state that changes are made to.
#[derive(Clone, Copy, Debug)]
enum Base<'a, 'w> {
    /// The state before the block.
    Before(&'w VerifiedWitness),
    /// That state with changes, whose nodes are in the arena, hashed.
    After {
        /// The state before the block.
        witness: &'w VerifiedWitness,
        /// As [`Changed::root`].
        root: Child,
        /// As [`Changed::storage`].
        storage: &'a [(B256, Child)],
    },
}

/// Makes the changes of a block.
///
/// # Errors
///
/// As [`VerifiedWitness::post_state`].
pub(crate) fn changed<'w>(
    witness: &'w VerifiedWitness,
    changes: &KeyedChanges<'_>,
) -> Result<Made<'w>, WitnessError> {
    let mut keyed: Vec<KeyedChange<'_>> = changes.accounts().collect();
    let root = witness.root.filter(|root| witness.store.shape(*root).is_branch());
    let all: usize = keyed.iter().map(KeyedChange::work).sum();
    let result = match root {
        Some(root) if rayon::current_num_threads() > 1 && all >= PARALLEL_KEYS_MIN => {
            change_in_parts(witness, root, &mut keyed, all)
        }
        Some(_) | None => change_alone(witness, &keyed).map(Made::Whole),
    };
    result.map_err(|ranked| ranked.error)
}

/// Makes all changes on the calling thread.
fn change_alone<'w>(witness: &'w VerifiedWitness, keyed: &[KeyedChange<'_>]) -> Result<Changed<'w>, Ranked> {
    let mut arena = Arena::over(&witness.store);
    let Leaves { changes, storage } = change_accounts(&mut arena, Base::Before(witness), keyed)?;
    let root = witness.root.map_or(Child::NONE, Child::supplied);
    let root = arena.update(root, None, &changes).map_err(Ranked::last)?;
    arena.hash(Threads::One);
    Ok(Changed { arena, root, storage })
}

/// Makes changes to a state that has been changed before, on the calling thread.
///
/// # Errors
///
/// As [`VerifiedWitness::post_state`]. The tries are then as they were.
pub(crate) fn change_again<'w>(
    witness: &'w VerifiedWitness,
    made: &mut Made<'w>,
    changes: &KeyedChanges<'_>,
) -> Result<(), WitnessError> {
    let keyed: Vec<KeyedChange<'_>> = changes.accounts().collect();
    let Changed { arena, root, storage: earlier } = made.whole_mut();
    let base = Base::After { witness, root: *root, storage: earlier };
    let before = arena.lengths();
    let storage = change_accounts(arena, base, &keyed)
        .map_err(|ranked| ranked.error)
        .and_then(|Leaves { changes, storage }| {
            *root = arena.update(*root, None, &changes)?;
            Ok(storage)
        })
        .inspect_err(|_| arena.cut(before))?;
    arena.hash(Threads::One);
    // Where no slot has changed this time, the trie of an earlier time counts, unless it was wiped.
    let mut tries: B256Map<Child> = earlier.drain(..).collect();
    for KeyedChange { hashed_address, change, .. } in &keyed {
        if change.storage_wiped || change.account.is_none() {
            tries.remove(hashed_address);
        }
    }
    tries.extend(storage);
    earlier.extend(tries);
    earlier.sort_unstable_by(|(one, _), (two, _)| order(one, two));
    Ok(())
}

/// Makes the changes in parts, on the threads of the current pool.
fn change_in_parts<'w>(
    witness: &'w VerifiedWitness,
    root: usize,
    keyed: &mut [KeyedChange<'_>],
    all: usize,
) -> Result<Made<'w>, Ranked> {
    let mut before = Joined { arena: Arena::over(&witness.store), storage: Vec::new() };
    let mut errors = Vec::new();
    let large = (all / (2 * rayon::current_num_threads())).max(PARALLEL_KEYS_MIN);
    for keyed in keyed.iter_mut().filter(|keyed| keyed.work() > large) {
        match change_large_storage(&mut before.arena, witness, keyed) {
            Ok(None) => {}
            Ok(Some(root)) => {
                keyed.storage_root = Some(before.arena.root(root));
                before.storage.push((keyed.hashed_address, root));
            }
            Err(error) => errors.push(keyed.ranked(error)),
        }
    }
    let shares = split(keyed, |keyed| &keyed.hashed_address, KeyedChange::work);
    let parts = Parts::change(witness, None, root, shares, |arena, share| {
        change_accounts(arena, Base::Before(witness), share)
    });
    match parts {
        Ok(parts) if errors.is_empty() => Ok(match parts.root() {
            Some(root) => {
                let (parts, before) = (Box::new(parts), Box::new(before));
                Made::Parts { root, parts, before, whole: OnceLock::new() }
            }
            None => Made::Whole(parts.join(before)?),
        }),
        parts => {
            errors.extend(parts.err());
            Err(errors.into_iter().min_by_key(|error| error.rank).expect("there is at least this error"))
        }
    }
}

/// Changes a storage trie that is a good part of all there is to do, in parts. Its root; `None` if it had
/// better be changed like others.
fn change_large_storage<'w>(
    arena: &mut Arena<'w>,
    witness: &'w VerifiedWitness,
    keyed: &KeyedChange<'_>,
) -> Result<Option<Child>, WitnessError> {
    let base = Base::Before(witness);
    let Some((account, storage)) = keyed.account(base, arena)? else { return Ok(None) };
    let Place::Supplied(root) = base.storage(keyed.hashed_address, &account, storage)?.place() else {
        return Ok(None);
    };
    if !witness.store.shape(root).is_branch() {
        return Ok(None);
    }
    let mut slots: Vec<_> = keyed.slots().collect();
    slots.sort_unstable_by_key(|(key, _)| *key);
    let shares = split(&slots, |(key, _)| key, |_| 1);
    let account = Some(keyed.hashed_address);
    let parts = Parts::change(witness, account, root, shares, |arena, share| {
        let change = |(key, value): &(B256, _)| Change { key: *key, value: arena.keep_slot(*value) };
        Ok(Leaves { changes: share.iter().map(change).collect(), storage: Vec::new() })
    });
    let own = Joined { arena: Arena::over(&witness.store), storage: Vec::new() };
    let changed = parts.and_then(|parts| parts.join(own)).map_err(|ranked| ranked.error)?;
    Ok(Some(arena.absorb(&[&changed.arena])[0].child(changed.root)))
}

impl<'w> Made<'w> {
    /// The state root.
    pub(crate) fn state_root(&self) -> B256 {
        match self {
            Self::Whole(changed) => changed.arena.root(changed.root),
            Self::Parts { root, .. } => *root,
        }
    }

    /// The tries in one arena.
    pub(crate) fn whole(&self) -> &Changed<'w> {
        match self {
            Self::Whole(changed) => changed,
            Self::Parts { parts, before, whole, .. } => {
                if let Some(changed) = whole.get() {
                    return changed;
                }
                // Not while the cell is locked: who waits for other threads may run another reader meanwhile. Two who
                // meet here make the same.
                let changed = join(parts, before);
                whole.get_or_init(|| changed)
            }
        }
    }

    /// The tries in one arena, to be changed.
    fn whole_mut(&mut self) -> &mut Changed<'w> {
        if let Self::Parts { parts, before, whole, .. } = self {
            *self = Self::Whole(whole.take().unwrap_or_else(|| join(parts, before)));
        }
        match self {
            Self::Whole(changed) => changed,
            Self::Parts { .. } => unreachable!("they have just been joined"),
        }
    }
}

/// Parts that have a root, in one arena.
fn join<'w>(parts: &Parts<'w>, before: &Joined<'w>) -> Changed<'w> {
    parts.join(before.clone()).expect("a root that keeps several children needs none of them")
}

/// Makes the changes of some accounts, sorted by key, whose storage tries are hashed together, and gives
/// their leaves.
///
/// # Errors
///
/// As [`VerifiedWitness::post_state`], that of the account with the lowest address.
fn change_accounts<'w>(
    arena: &mut Arena<'w>,
    base: Base<'_, 'w>,
    keyed: &[KeyedChange<'_>],
) -> Result<Leaves, Ranked> {
    let mut lowest: Option<Ranked> = None;
    let mut accounts = Vec::with_capacity(keyed.len());
    let mut slots = Vec::new();
    arena.reserve(keyed.iter().map(KeyedChange::work).sum());
    for near in keyed.chunks(ACCOUNTS_NEAR) {
        // Otherwise it is the update that begins at a changed root, and brings near what is below.
        if let Base::Before(witness) = base {
            witness.bring_near(near.iter().map(|keyed| (&keyed.hashed_address, keyed.slots_ahead())));
        }
        for keyed in near {
            match change_account(arena, base, keyed, &mut slots) {
                Ok(account) => accounts.push(account),
                Err(error) => {
                    let ranked = keyed.ranked(error);
                    if lowest.as_ref().is_none_or(|lowest| ranked.rank < lowest.rank) {
                        lowest = Some(ranked);
                    }
                }
            }
        }
    }
    if let Some(lowest) = lowest {
        return Err(lowest);
    }
    arena.hash(Threads::One);
    let mut storage = Vec::new();
    let leaf = |(keyed, (account, trie)): (&KeyedChange<'_>, (Option<TrieAccount>, Option<Child>))| {
        let key = keyed.hashed_address;
        let Some(mut account) = account else { return Change { key, value: None } };
        if let Some(trie) = trie {
            account.storage_root = arena.root(trie);
            storage.push((key, trie));
        }
        Change { key, value: Some(arena.keep_account(&account)) }
    };
    let changes = keyed.iter().zip(accounts).map(leaf).collect();
    Ok(Leaves { changes, storage })
}

/// Makes the changes of one account: the account, with the storage root that it had, or that is known; and
/// the root of its storage trie, if that changed here. `slots` is room to work in.
///
/// # Errors
///
/// As [`VerifiedWitness::post_state`], for this account.
fn change_account<'w>(
    arena: &mut Arena<'w>,
    base: Base<'_, 'w>,
    keyed: &KeyedChange<'_>,
    slots: &mut Vec<Change>,
) -> Result<(Option<TrieAccount>, Option<Child>), WitnessError> {
    let Some((mut account, storage)) = keyed.account(base, arena)? else { return Ok((None, None)) };
    if let Some(storage_root) = keyed.storage_root {
        account.storage_root = storage_root;
        return Ok((Some(account), None));
    }
    if keyed.hashed_slots.is_empty() {
        return Ok((Some(account), None));
    }
    let root = base.storage(keyed.hashed_address, &account, storage)?;
    slots.clear();
    slots.extend(keyed.slots().map(|(key, value)| Change { key, value: arena.keep_slot(value) }));
    slots.sort_unstable_by(|one, two| order(&one.key, &two.key));
    let root = arena.update(root, Some(keyed.hashed_address), slots)?;
    Ok((Some(account), Some(root)))
}

impl<'w> Base<'_, 'w> {
    /// An account, and where the root of its storage trie is if the account leads there. A leaf that changed leads
    /// nowhere; then the root is found by its hash.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the witness does not say.
    fn account(
        self,
        arena: &Arena<'w>,
        hashed_address: B256,
    ) -> Result<Option<(TrieAccount, Option<usize>)>, WitnessError> {
        match self {
            Self::Before(witness) => witness.account_with_storage(hashed_address),
            Self::After { root, .. } => {
                let account = read_account(TrieView { arena, root, account: None }, hashed_address)?;
                Ok(account.map(|account| (account, None)))
            }
        }
    }

    /// The root of the storage trie of an account, which may be an account that has just lost its storage; `place` is
    /// where the account leads.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::storage_trie`].
    fn storage(
        self,
        hashed_address: B256,
        account: &TrieAccount,
        place: Option<usize>,
    ) -> Result<Child, WitnessError> {
        if account.storage_root == EMPTY_ROOT_HASH {
            return Ok(Child::NONE);
        }
        let witness = match self {
            Self::Before(witness) => witness,
            Self::After { witness, storage, .. } => {
                if let Ok(found) = storage.binary_search_by(|(other, _)| order(other, &hashed_address)) {
                    return Ok(storage[found].1);
                }
                witness
            }
        };
        let place = match place {
            Some(place) => Some(witness.linked_storage_root(hashed_address, place)?),
            None => witness.storage_root(hashed_address, account.storage_root)?,
        };
        Ok(place.map_or(Child::NONE, Child::supplied))
    }
}

impl KeyedChange<'_> {
    /// The account afterwards, with the root from which its storage starts, and where that is if the account led
    /// to it; `None` if it is removed.
    ///
    /// # Errors
    ///
    /// As [`Base::account`].
    fn account<'w>(
        &self,
        base: Base<'_, 'w>,
        arena: &Arena<'w>,
    ) -> Result<Option<(TrieAccount, Option<usize>)>, WitnessError> {
        let before = base.account(arena, self.hashed_address)?;
        let Some(AccountFields { nonce, balance, code_hash }) = self.change.account else { return Ok(None) };
        let (storage_root, storage) = match before {
            Some((account, storage)) if !self.change.storage_wiped => (account.storage_root, storage),
            Some(_) | None => (EMPTY_ROOT_HASH, None),
        };
        Ok(Some((TrieAccount { nonce, balance, storage_root, code_hash }, storage)))
    }

    /// An error of this account with its rank.
    fn ranked(&self, error: WitnessError) -> Ranked {
        Ranked { rank: self.order, error }
    }
}

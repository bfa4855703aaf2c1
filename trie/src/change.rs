//! The changes of a block, made to the state trie and the storage tries.
//!
//! ```text
//!  accounts by first nibble      of each part, on its own thread and in its own arena
//!  ┌─ 0 ─┬─ 1..4 ─┬─ … ─┐        read ─► storage tries ─► hash ─► accounts ─► its children of the root ─► hash
//!                                    ├── hashes of all parts ──► the root
//!                                    └── all parts, if anybody asks for more ──► one arena
//! ```
//!
//! - **C1.** The parts share no node, and each is worked through in the order of the keys, so the outcome is
//!   that of one part. `pools_of_any_size_agree`.
//! - **C2.** Of several errors that of the lowest address counts, whoever meets it first; those of the state
//!   trie come after all others, in the order of its keys. `pools_of_any_size_report_the_same_error`.

use crate::{
    account::read_account,
    arena::{Arena, Child, Place},
    error::WitnessError,
    key::{nibble, order},
    keyed::{KeyedChange, KeyedChanges},
    root::Threads,
    sparse::TrieView,
    state::AccountFields,
    update::{Change, OpenBranch, Update},
    witness::VerifiedWitness,
};
use alloy_primitives::{B256, map::B256Map};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use rayon::prelude::*;
use std::{ops::RangeInclusive, sync::OnceLock};

/// Accounts and slots below which waking a thread costs more than it saves: some 1,500 permutations.
const PARALLEL_KEYS_MIN: usize = 96;

/// Parts for each thread: fewer end at different times, more have fewer nodes of the same height to hash.
const PARTS: usize = 4;

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
        /// The parts.
        parts: Box<Parts<'w>>,
        /// All of them in one arena, once somebody has asked for more than the root.
        joined: OnceLock<Changed<'w>>,
    },
}

/// A trie whose root was a supplied branch, changed in parts.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'w> {
    /// Where the parts are joined.
    arena: Arena<'w>,
    /// As in [`Changed`], for what is in that arena.
    storage: Vec<(B256, Child)>,
    /// Names the trie in errors.
    account: Option<B256>,
    /// The root before.
    root: usize,
    /// The nodes of the parts, hashed.
    arenas: Vec<Arena<'w>>,
    /// What each has done.
    shares: Vec<Part>,
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

/// An error with its rank: of several, the one with the lowest counts.
#[derive(Debug)]
struct Ranked {
    /// The order of the account, or [`LAST`].
    rank: usize,
    /// What is wrong.
    error: WitnessError,
}

/// The rank of errors in the state trie.
const LAST: usize = usize::MAX;

/// What a part has done to its share of a trie.
#[derive(Clone, Debug)]
struct Part {
    /// The root as this part sees it.
    root: OpenBranch,
    /// The nibbles of the root that are this part's.
    nibbles: RangeInclusive<usize>,
    /// As in [`Changed`].
    storage: Vec<(B256, Child)>,
}

/// Accounts ready for the state trie.
#[derive(Debug)]
struct Leaves {
    /// The leaves, sorted by key.
    changes: Vec<Change>,
    /// As in [`Changed`].
    storage: Vec<(B256, Child)>,
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
/// As [`VerifiedWitness::post_state`]. The roots are then as they were.
pub(crate) fn change_again<'w>(
    witness: &'w VerifiedWitness,
    made: &mut Made<'w>,
    changes: &KeyedChanges<'_>,
) -> Result<(), WitnessError> {
    let keyed: Vec<KeyedChange<'_>> = changes.accounts().collect();
    let Changed { arena, root, storage: earlier } = made.whole_mut();
    let base = Base::After { witness, root: *root, storage: earlier };
    let leaves = change_accounts(arena, base, &keyed).map_err(|ranked| ranked.error)?;
    *root = arena.update(*root, None, &leaves.changes)?;
    arena.hash(Threads::One);
    // Where no slot has changed this time, the trie of an earlier time counts, unless it was wiped.
    let mut tries: B256Map<Child> = earlier.drain(..).collect();
    for KeyedChange { hashed_address, change, .. } in &keyed {
        if change.storage_wiped || change.account.is_none() {
            tries.remove(hashed_address);
        }
    }
    tries.extend(leaves.storage);
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
    let mut arena = Arena::over(&witness.store);
    let mut storage = Vec::new();
    let mut errors = Vec::new();
    let large = (all / (2 * rayon::current_num_threads())).max(PARALLEL_KEYS_MIN);
    for keyed in keyed.iter_mut().filter(|keyed| keyed.work() > large) {
        match change_large_storage(&mut arena, witness, keyed) {
            Ok(None) => {}
            Ok(Some(root)) => {
                keyed.storage_root = Some(arena.root(root));
                storage.push((keyed.hashed_address, root));
            }
            Err(error) => errors.push(keyed.ranked(error)),
        }
    }
    let parts = parts(keyed, |keyed| &keyed.hashed_address, KeyedChange::work);
    let made = update_in_parts(witness, None, root, parts, |arena, part| {
        change_accounts(arena, Base::Before(witness), part)
    });
    match made {
        Ok(parts) if errors.is_empty() => {
            let parts = Parts { arena, storage, ..parts };
            Ok(match parts.root() {
                Some(root) => Made::Parts { root, parts: Box::new(parts), joined: OnceLock::new() },
                None => Made::Whole(parts.join()?),
            })
        }
        made => {
            errors.extend(made.err());
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
    let parts = parts(&slots, |(key, _)| key, |_| 1);
    let account = Some(keyed.hashed_address);
    let changed = update_in_parts(witness, account, root, parts, |arena, part| {
        let change = |(key, value): &(B256, _)| Change { key: *key, value: arena.keep_slot(*value) };
        Ok(Leaves { changes: part.iter().map(change).collect(), storage: Vec::new() })
    });
    let changed = changed.and_then(|parts| parts.join()).map_err(|ranked| ranked.error)?;
    Ok(Some(arena.absorb(&[changed.arena])[0].child(changed.root)))
}

/// Changes a trie whose root is a supplied branch in parts, each with the keys that begin with some nibbles.
/// `leaves` gives the changes of a part, all of whose other nodes are hashed.
fn update_in_parts<'w, P: Sync>(
    witness: &'w VerifiedWitness,
    account: Option<B256>,
    root: usize,
    parts: Vec<(RangeInclusive<usize>, &[P])>,
    leaves: impl Fn(&mut Arena<'w>, &[P]) -> Result<Leaves, Ranked> + Sync,
) -> Result<Parts<'w>, Ranked> {
    let store = &witness.store;
    let branch = OpenBranch::supplied(root, store.shape(root).children);
    let run = |(nibbles, part): (RangeInclusive<usize>, &[P])| {
        let mut arena = Arena::over(store);
        let Leaves { changes, storage } = leaves(&mut arena, part)?;
        let mut root = branch;
        Update { arena: &mut arena, account }.children(&mut root, 0, &changes).map_err(Ranked::last)?;
        arena.hash(Threads::One);
        Ok((arena, Part { root, nibbles, storage }))
    };
    // All results are kept and looked through in order: rayon would return
    // whichever error it meets first.
    let results: Vec<Result<(Arena<'w>, Part), Ranked>> = parts.into_par_iter().map(run).collect();
    let (mut arenas, mut shares) = (Vec::new(), Vec::new());
    let mut lowest: Option<Ranked> = None;
    for result in results {
        match result {
            Ok((own, part)) => {
                arenas.push(own);
                shares.push(part);
            }
            Err(error) if lowest.as_ref().is_none_or(|lowest| error.rank < lowest.rank) => {
                lowest = Some(error);
            }
            Err(_) => {}
        }
    }
    if let Some(lowest) = lowest {
        return Err(lowest);
    }
    Ok(Parts { arena: Arena::over(store), storage: Vec::new(), account, root, arenas, shares })
}

impl<'w> Parts<'w> {
    /// The root, of the hashes of its children alone; `None` if a branch with a single child would be left, since what
    /// becomes of that depends on the child.
    fn root(&self) -> Option<B256> {
        let mut arena = Arena::over(self.arena.store());
        let branch = self.branch(|part, child| match child.place() {
            Place::Changed(index) => arena.adopt_reference(self.arenas[part].references[index]),
            Place::Loose(index) => arena.adopt_reference(self.arenas[part].loose[index]),
            Place::None | Place::Kept | Place::Supplied(_) => child,
        });
        if branch.is_left_with_one() {
            return None;
        }
        let root = self.close(&mut arena, &branch).ok()?;
        Some(arena.root(root))
    }

    /// All parts in one arena.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the root is left with a single child that was not supplied.
    fn join(&self) -> Result<Changed<'w>, Ranked> {
        let mut arena = self.arena.clone();
        let moved = arena.absorb(&self.arenas);
        let branch = self.branch(|part, child| moved[part].child(child));
        let root = self.close(&mut arena, &branch)?;
        let mut storage = self.storage.clone();
        for (moved, part) in moved.iter().zip(&self.shares) {
            storage.extend(part.storage.iter().map(|(account, root)| (*account, moved.child(*root))));
        }
        storage.sort_unstable_by(|(one, _), (two, _)| order(one, two));
        Ok(Changed { arena, root, storage })
    }

    /// [`Self::join`] of parts that have a root without it.
    fn joined(&self) -> Changed<'w> {
        self.join().expect("a root that keeps several children needs none of them")
    }

    /// The root with the children that the parts give it; `child` says where that of a part, by number, is now.
    fn branch(&self, mut child: impl FnMut(usize, Child) -> Child) -> OpenBranch {
        let mut branch = OpenBranch::supplied(self.root, self.arena.store().shape(self.root).children);
        for (number, part) in self.shares.iter().enumerate() {
            for nibble in part.nibbles.clone() {
                match part.root.place(nibble) {
                    Place::Kept => {}
                    Place::None | Place::Changed(_) | Place::Supplied(_) | Place::Loose(_) => {
                        branch.set(nibble, child(number, part.root.children[nibble]));
                    }
                }
            }
            branch.has_changed |= part.root.has_changed;
        }
        // All children are hashed.
        branch.height = 0;
        branch
    }

    /// Makes the root of the branch, and hashes it.
    ///
    /// # Errors
    ///
    /// As [`Self::join`].
    fn close(&self, arena: &mut Arena<'w>, branch: &OpenBranch) -> Result<Child, Ranked> {
        let closed = Update { arena, account: self.account }.closed_root(branch, Child::supplied(self.root));
        let root = closed.map_err(Ranked::last)?;
        arena.hash(Threads::One);
        Ok(root)
    }
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
            Self::Parts { parts, joined, .. } => joined.get_or_init(|| parts.joined()),
        }
    }

    /// The tries in one arena, to be changed.
    fn whole_mut(&mut self) -> &mut Changed<'w> {
        if let Self::Parts { parts, joined, .. } = self {
            *self = Self::Whole(joined.take().unwrap_or_else(|| parts.joined()));
        }
        match self {
            Self::Whole(changed) => changed,
            Self::Parts { .. } => unreachable!("they have just been joined"),
        }
    }
}

/// Sorted things in runs of about equal work, [`PARTS`] for each thread of the current pool, with the nibbles at
/// which their keys begin. Keys that begin with the same nibble stay together.
fn parts<T>(
    sorted: &[T],
    key: impl Fn(&T) -> &B256,
    work: impl Fn(&T) -> usize,
) -> Vec<(RangeInclusive<usize>, &[T])> {
    let first = |thing: &T| nibble(key(thing), 0);
    let enough = sorted.iter().map(&work).sum::<usize>().div_ceil(PARTS * rayon::current_num_threads());
    let mut parts = Vec::new();
    let (mut start, mut end, mut gathered) = (0, 0, 0);
    for group in sorted.chunk_by(|one, two| first(one) == first(two)) {
        end += group.len();
        gathered += group.iter().map(&work).sum::<usize>();
        if gathered >= enough || end == sorted.len() {
            let part = &sorted[start..end];
            parts.push((first(&part[0])..=first(&part[part.len() - 1]), part));
            (start, gathered) = (end, 0);
        }
    }
    parts
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
    for keyed in keyed {
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
    /// An account, and where the root of its storage trie is if the account leads there.
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

impl Ranked {
    /// An error of the state trie.
    fn last(error: WitnessError) -> Self {
        Self { rank: LAST, error }
    }
}

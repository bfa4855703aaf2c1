//! A trie that several threads change, each its share of the keys.
//!
//! ```text
//!  keys by first nibble       each share on a thread and in an arena of its own
//!  ┌─ 0 ─┬─ 1..4 ─┬─ … ─┐     leaves ─► its children of the root ─► hash
//!                                 ├── hashes of all shares ──► the root
//!                                 └── all shares, if anybody asks for more ──► one arena
//! ```
//!
//! The shares have no node in common but the root. So its hash needs only the hashes of their children; whoever wants to
//! read, or to change more, has them joined first.

use crate::{
    arena::{Arena, Child, Place},
    change::Changed,
    error::WitnessError,
    key::{nibble, order},
    open_branch::OpenBranch,
    root::Threads,
    update::{Change, Update},
    witness::VerifiedWitness,
};
use alloy_primitives::B256;
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Shares for each thread: fewer end at different times, more have fewer nodes of the same height to hash.
const SHARES: usize = 4;

/// A trie whose root was a supplied branch, changed in parts.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'w> {
    /// The state before.
    witness: &'w VerifiedWitness,
    /// Names the trie in errors.
    account: Option<B256>,
    /// The root before.
    root: usize,
    /// What became of each share.
    shares: Vec<Share<'w>>,
}

/// What became of a share.
#[derive(Clone, Debug)]
struct Share<'w> {
    /// Its nodes, hashed.
    arena: Arena<'w>,
    /// The root as seen from here.
    root: OpenBranch,
    /// The nibbles of the root that belong to it.
    nibbles: RangeInclusive<usize>,
    /// As in [`Changed`].
    storage: Vec<(B256, Child)>,
}

/// Tries that have been joined already: where others come to.
#[derive(Clone, Debug)]
pub(crate) struct Joined<'w> {
    /// Their nodes, hashed.
    pub(crate) arena: Arena<'w>,
    /// As in [`Changed`].
    pub(crate) storage: Vec<(B256, Child)>,
}

/// Leaves ready for a trie, all of whose other nodes are hashed.
#[derive(Debug)]
pub(crate) struct Leaves {
    /// The leaves, sorted by key.
    pub(crate) changes: Vec<Change>,
    /// As in [`Changed`].
    pub(crate) storage: Vec<(B256, Child)>,
}

/// An error with its rank: of several, the one with the lowest counts.
#[derive(Debug)]
pub(crate) struct Ranked {
    /// The order of the account, or [`LAST`].
    pub(crate) rank: usize,
    /// What is wrong.
    pub(crate) error: WitnessError,
}

/// The rank of errors in the state trie.
const LAST: usize = usize::MAX;

impl<'w> Parts<'w> {
    /// Changes a trie whose root is a supplied branch, each of the shares with the keys that begin with some nibbles.
    /// `leaves` gives the changes of a share.
    pub(crate) fn change<P: Sync>(
        witness: &'w VerifiedWitness,
        account: Option<B256>,
        root: usize,
        shares: Vec<(RangeInclusive<usize>, &[P])>,
        leaves: impl Fn(&mut Arena<'w>, &[P]) -> Result<Leaves, Ranked> + Sync,
    ) -> Result<Self, Ranked> {
        let store = &witness.store;
        let branch = OpenBranch::supplied(root, store.shape(root).children);
        let run = |(nibbles, share): (RangeInclusive<usize>, &[P])| {
            let mut arena = Arena::over(store);
            let Leaves { changes, storage } = leaves(&mut arena, share)?;
            let mut root = branch;
            Update { arena: &mut arena, account }.children(&mut root, 0, &changes).map_err(Ranked::last)?;
            arena.hash(Threads::One);
            Ok(Share { arena, root, nibbles, storage })
        };
        // All results are kept and looked through in order: rayon would return
        // whichever error it meets first.
        let results: Vec<Result<Share<'w>, Ranked>> = shares.into_par_iter().map(run).collect();
        let mut done = Vec::with_capacity(results.len());
        let mut lowest: Option<Ranked> = None;
        for result in results {
            match result {
                Ok(share) => done.push(share),
                Err(error) if lowest.as_ref().is_none_or(|lowest| error.rank < lowest.rank) => {
                    lowest = Some(error);
                }
                Err(_) => {}
            }
        }
        lowest.map_or(Ok(Self { witness, account, root, shares: done }), Err)
    }

    /// The root, of the hashes of its children alone; `None` if a branch with a single child would be left, since what
    /// becomes of that depends on the child.
    pub(crate) fn root(&self) -> Option<B256> {
        let mut arena = Arena::over(&self.witness.store);
        // What the root writes for a child is all that is asked of it, so a loose reference stands for the child.
        let branch = self.branch(|share, child| match child.place() {
            Place::Changed(index) => arena.adopt_reference(self.shares[share].arena.references[index]),
            Place::Loose(index) => arena.adopt_reference(self.shares[share].arena.loose[index]),
            Place::None | Place::Kept | Place::Supplied(_) => child,
        });
        if branch.is_left_with_one() {
            return None;
        }
        let root = self.close(&mut arena, &branch).expect("no child takes the place of the root");
        Some(arena.root(root))
    }

    /// All shares in the arena of what has been joined already.
    ///
    /// # Errors
    ///
    /// [`WitnessError::MissingNode`] if the root is left with a single child that was not supplied.
    pub(crate) fn join(&self, joined: Joined<'w>) -> Result<Changed<'w>, Ranked> {
        let Joined { mut arena, mut storage } = joined;
        let arenas: Vec<&Arena<'w>> = self.shares.iter().map(|share| &share.arena).collect();
        let moved = arena.absorb(&arenas);
        for (moved, share) in moved.iter().zip(&self.shares) {
            storage.extend(share.storage.iter().map(|(account, root)| (*account, moved.child(*root))));
        }
        storage.sort_unstable_by(|(one, _), (two, _)| order(one, two));
        let branch = self.branch(|share, child| moved[share].child(child));
        let root = self.close(&mut arena, &branch)?;
        Ok(Changed { arena, root, storage })
    }

    /// The root with the children that the shares give it; `child` says where that of a share, by number, is now.
    fn branch(&self, mut child: impl FnMut(usize, Child) -> Child) -> OpenBranch {
        let mut branch = OpenBranch::supplied(self.root, self.witness.store.shape(self.root).children);
        for (number, share) in self.shares.iter().enumerate() {
            for nibble in share.nibbles.clone() {
                match share.root.place(nibble) {
                    Place::Kept => {}
                    Place::None | Place::Changed(_) | Place::Supplied(_) | Place::Loose(_) => {
                        branch.set(nibble, child(number, share.root.children[nibble]));
                    }
                }
            }
            branch.has_changed |= share.root.has_changed;
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

impl Ranked {
    /// An error of the state trie.
    pub(crate) fn last(error: WitnessError) -> Self {
        Self { rank: LAST, error }
    }
}

/// Sorted things in runs of about equal work, [`SHARES`] for each thread of the current pool, with the nibbles at
/// which their keys begin. Keys that begin with the same nibble stay together.
pub(crate) fn split<T>(
    sorted: &[T],
    key: impl Fn(&T) -> &B256,
    work: impl Fn(&T) -> usize,
) -> Vec<(RangeInclusive<usize>, &[T])> {
    let first = |thing: &T| nibble(key(thing), 0);
    let enough = sorted.iter().map(&work).sum::<usize>().div_ceil(SHARES * rayon::current_num_threads());
    let mut shares = Vec::new();
    let (mut start, mut end, mut gathered) = (0, 0, 0);
    for group in sorted.chunk_by(|one, two| first(one) == first(two)) {
        end += group.len();
        gathered += group.iter().map(&work).sum::<usize>();
        if gathered >= enough || end == sorted.len() {
            let share = &sorted[start..end];
            shares.push((first(&share[0])..=first(&share[share.len() - 1]), share));
            (start, gathered) = (end, 0);
        }
    }
    shares
}

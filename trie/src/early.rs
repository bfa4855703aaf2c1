//! A post-state that is begun before all changes are known.
//!
//! Its nodes can be hashed while the block still runs: with what the transactions that are over have changed, or with
//! what an access list says. Most of that is right in the end, and what is not is put right before the root is told.
//!
//! - **F1.** What comes out, a state or an error, is what [`VerifiedWitness::post_state`] gives for the changes of the
//!   block, whatever was foreseen. `what_was_foreseen_changes_nothing`, `parts_are_not_seen_in_the_state`.

use crate::{
    error::WitnessError,
    state::{AccountChange, AccountFields, SparseState, StateChanges},
    witness::VerifiedWitness,
};
use alloy_primitives::Address;

/// A post-state in the making.
///
/// ```
/// use alloy_primitives::{Address, U256};
/// use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
/// use weft_trie::{AccountChange, AccountFields, StateChanges, Witness};
///
/// let owner_of = |balance| {
///     let fields = AccountFields { nonce: 0, balance: U256::from(balance), code_hash: KECCAK_EMPTY };
///     let change = AccountChange { account: Some(fields), ..AccountChange::default() };
///     StateChanges::from_iter([(Address::ZERO, change)])
/// };
/// let pre_state = Witness::new(vec![]).verify(EMPTY_ROOT_HASH)?;
/// let mut early = pre_state.early_state();
/// early.advance(owner_of(1));
/// let post_state = early.settle(&owner_of(2))?;
/// assert_eq!(post_state.state_root(), pre_state.post_state(&owner_of(2))?.state_root());
/// # Ok::<(), weft_trie::WitnessError>(())
/// ```
#[derive(Debug)]
pub struct EarlyState<'w> {
    /// The state before the block.
    witness: &'w VerifiedWitness,
    /// What has been foreseen.
    foreseen: StateChanges,
    /// The pre-state with that; `None` if nothing has, or if some of it could not be made.
    state: Option<SparseState<'w>>,
}

impl VerifiedWitness {
    /// The state after a block of which no change is known yet.
    pub fn early_state(&self) -> EarlyState<'_> {
        EarlyState { witness: self, foreseen: StateChanges::default(), state: None }
    }
}

impl<'w> EarlyState<'w> {
    /// Makes changes that the block will likely have made, in addition to those foreseen before: the first on the threads
    /// of the current pool, later ones on the calling one.
    pub fn advance(&mut self, likely: StateChanges) {
        if likely.accounts.is_empty() {
            return;
        }
        if self.foreseen.accounts.is_empty() {
            self.state = self.witness.post_state(&likely).ok();
            self.foreseen = likely;
            return;
        }
        // Once something could not be made, nothing is.
        self.state = self.state.take().and_then(|state| appended(state, &likely));
        self.foreseen.append(likely.accounts);
    }

    /// The state after the block, all of whose changes are `changes`.
    ///
    /// # Errors
    ///
    /// As [`VerifiedWitness::post_state`].
    pub fn settle(self, changes: &StateChanges) -> Result<SparseState<'w>, WitnessError> {
        let witness = self.witness;
        self.put_right(changes).map_or_else(|| witness.post_state(changes), Ok)
    }

    /// The state with what `changes` says, if it takes less than to begin anew, and the witness has all that it takes.
    fn put_right(self, changes: &StateChanges) -> Option<SparseState<'w>> {
        let Self { witness, foreseen, state } = self;
        let state = state?;
        // One thread puts right, all begin anew.
        let mut left = work(changes) / (2 * rayon::current_num_threads());
        let mut amends = StateChanges::default();
        for (address, foreseen, due) in merged(&foreseen, changes) {
            let amend = match (foreseen, due) {
                (foreseen, due) if foreseen == due => Amend::Nothing,
                (Some(foreseen), due) => amend(witness, *address, foreseen, due)?,
                (None, due) => due.cloned().map_or(Amend::Nothing, Amend::Change),
            };
            if let Amend::Change(amend) = amend {
                left = left.checked_sub(1 + amend.storage.len())?;
                amends.accounts.insert(*address, amend);
            }
        }
        if amends.accounts.is_empty() { Some(state) } else { appended(state, &amends) }
    }
}

/// What is to become of an account for it to be right.
enum Amend {
    /// It is.
    Nothing,
    /// This.
    Change(AccountChange),
}

/// The state with further changes, if they can be made.
fn appended<'w>(mut state: SparseState<'w>, changes: &StateChanges) -> Option<SparseState<'w>> {
    state.append(changes).ok()?;
    Some(state)
}

/// The accounts of either, in order, with what becomes of each in both.
fn merged<'c>(
    one: &'c StateChanges,
    other: &'c StateChanges,
) -> impl Iterator<Item = (&'c Address, Option<&'c AccountChange>, Option<&'c AccountChange>)> {
    let (mut one, mut other) = (one.accounts.iter().peekable(), other.accounts.iter().peekable());
    std::iter::from_fn(move || {
        let address = match (one.peek(), other.peek()) {
            (Some((first, _)), Some((second, _))) => *first.min(second),
            (Some((address, _)), None) | (None, Some((address, _))) => *address,
            (None, None) => return None,
        };
        let of_one = one.next_if(|(next, _)| *next == address).map(|(_, change)| change);
        let of_other = other.next_if(|(next, _)| *next == address).map(|(_, change)| change);
        Some((address, of_one, of_other))
    })
}

/// How much there is to do, in keys.
fn work(changes: &StateChanges) -> usize {
    changes.accounts.values().map(|change| 1 + change.storage.len()).sum()
}

/// What it takes to have an account of which one thing was foreseen and another, or nothing, comes; `None` if that
/// cannot be had.
fn amend(
    witness: &VerifiedWitness,
    address: Address,
    foreseen: &AccountChange,
    due: Option<&AccountChange>,
) -> Option<Amend> {
    let due = match due {
        Some(due) => due.clone(),
        None => unchanged(witness, address)?,
    };
    if due.account.is_none() || due.storage_wiped {
        return Some(Amend::Change(due));
    }
    if foreseen.account.is_none() || foreseen.storage_wiped {
        // The storage that it had is not there any more.
        return None;
    }
    let AccountChange { account, mut storage, .. } = due;
    for (slot, value) in &foreseen.storage {
        if storage.get(slot) == Some(value) {
            storage.remove(slot);
        } else if !storage.contains_key(slot) {
            storage.insert(*slot, witness.storage(address, *slot).ok()?);
        }
    }
    if storage.is_empty() && account == foreseen.account {
        return Some(Amend::Nothing);
    }
    Some(Amend::Change(AccountChange { account, storage_wiped: false, storage }))
}

/// An account as it was before the block; `None` if the witness does not say.
fn unchanged(witness: &VerifiedWitness, address: Address) -> Option<AccountChange> {
    let account = witness.account(address).ok()?;
    let account = account.map(|account| AccountFields {
        nonce: account.nonce,
        balance: account.balance,
        code_hash: account.code_hash,
    });
    Some(AccountChange { account, ..AccountChange::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Witness;
    use alloy_primitives::U256;
    use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};
    use std::collections::BTreeMap;

    /// An account with this balance, and what its first slots become.
    fn account(balance: u64, slots: &[u64]) -> AccountChange {
        let fields = AccountFields { nonce: 1, balance: U256::from(balance), code_hash: KECCAK_EMPTY };
        let storage: BTreeMap<_, _> =
            (0..).map(U256::from).zip(slots.iter().map(|value| U256::from(*value))).collect();
        AccountChange { account: Some(fields), storage_wiped: false, storage }
    }

    /// Changes of accounts by number.
    fn changes(of: impl IntoIterator<Item = (u8, AccountChange)>) -> StateChanges {
        of.into_iter().map(|(number, change)| (Address::with_last_byte(number), change)).collect()
    }

    /// Whether what was foreseen is put right, or thrown away; the outcome is checked by the way.
    fn is_put_right(witness: &VerifiedWitness, foreseen: &[StateChanges], changes: &StateChanges) -> bool {
        let early = || {
            let mut early = witness.early_state();
            for likely in foreseen {
                early.advance(likely.clone());
            }
            early
        };
        let expected = witness.post_state(changes).unwrap().state_root();
        assert_eq!(early().settle(changes).unwrap().state_root(), expected);
        early().put_right(changes).is_some_and(|state| state.state_root() == expected)
    }

    #[test]
    fn what_is_mostly_right_is_put_right() {
        let nothing = Witness::new(vec![]).verify(EMPTY_ROOT_HASH).unwrap();
        let before = changes((0..40).map(|number| (number, account(1, &[5, 6, 7]))));
        let state = nothing.post_state(&before).unwrap();
        let wanted: Vec<_> = (0..41)
            .map(|number| {
                (Address::with_last_byte(number), (0..4).map(|slot| U256::from(slot).into()).collect())
            })
            .collect();
        let nodes = state.multiproof(&wanted).unwrap().into_nodes();
        let witness = Witness::new(nodes).verify(state.state_root()).unwrap();

        let due = || (0..20).map(|number| (number, account(2, &[0, 8])));
        let whole = changes(due());
        assert!(is_put_right(&witness, &[changes(due())], &whole), "all of it");
        assert!(
            is_put_right(&witness, &[changes(due().take(9)), changes(due().skip(9).take(8))], &whole),
            "a prefix"
        );
        assert!(!is_put_right(&witness, &[changes(due().take(9))], &whole), "too little");
        let other = [
            (3, account(2, &[0, 9, 9])),
            (30, account(7, &[1])),
            (40, account(1, &[])),
            (31, AccountChange::default()),
        ];
        let wrong = |number: usize| [changes(due()), changes([other[number].clone()])];
        assert!(is_put_right(&witness, &wrong(0), &whole), "another value, and one slot too many");
        assert!(is_put_right(&witness, &wrong(1), &whole), "an account too many");
        assert!(is_put_right(&witness, &wrong(2), &whole), "one that is not there");
        assert!(!is_put_right(&witness, &wrong(3), &whole), "its storage is gone");
        let wiped = AccountChange { storage_wiped: true, ..account(2, &[0, 8]) };
        assert!(!is_put_right(&witness, &[changes(due()), changes([(5, wiped.clone())])], &whole));
        let whole = changes(due().chain([(5, wiped), (6, AccountChange::default())]));
        assert!(is_put_right(&witness, &[changes(due())], &whole), "wiped, removed");
        assert!(!is_put_right(&witness, &[], &whole), "nothing foreseen");
    }
}

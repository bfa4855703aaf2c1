//! Some of the accounts of a block.

use core::convert::Infallible;

use alloy_primitives::Address;
use alloy_primitives::map::{AddressMap, Entry as MapEntry};
use revm::state::{Account, AccountInfo};

use super::effects::{self, Effect, Fate, SlotEffect};
use super::entry::Entry;
use crate::error::WitnessError;
use crate::pre_state::PreState;

/// Some of the accounts of a block.
///
/// ```text
///  index: address ─► 3        entries: … │ 3: before, now, status, slots │ …
/// ```
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Where each account's entry is.
    index: AddressMap<Place>,
    /// The accounts, in the order in which they were first asked for.
    entries: Vec<Entry>,
}

/// Where an account's entry is within its part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(u32);

impl Place {
    /// The place behind these.
    fn behind(entries: &[Entry]) -> Self {
        Self(u32::try_from(entries.len()).expect("an entry takes more than a byte of memory"))
    }
}

impl Part {
    /// Takes room for so many accounts.
    pub(super) fn reserve(&mut self, accounts: usize) {
        self.index.reserve(accounts);
        self.entries.reserve(accounts);
    }

    /// How many accounts there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of an account, if nobody need ask the pre-state for it.
    pub(crate) fn known(&self, address: Address) -> Option<&Entry> {
        let place = self.index.get(&address)?;
        Some(&self.entries[place.0 as usize])
    }

    /// Where the entry of an account is, which is looked up in the pre-state if it is asked for the first time.
    ///
    /// # Errors
    ///
    /// That of the pre-state.
    pub(super) fn place(
        &mut self,
        address: Address,
        pre_state: &dyn PreState,
    ) -> Result<Place, WitnessError> {
        self.locate(address, || Ok(Entry::new(address, pre_state.account(address)?)))
    }

    /// The entry at a place.
    pub(super) fn at(&mut self, place: Place) -> &mut Entry {
        &mut self.entries[place.0 as usize]
    }

    /// The entry of an account, looked up in the pre-state if it is asked for the first time.
    ///
    /// # Errors
    ///
    /// That of the pre-state.
    pub(super) fn load(
        &mut self,
        address: Address,
        pre_state: &dyn PreState,
    ) -> Result<&mut Entry, WitnessError> {
        let place = self.place(address, pre_state)?;
        Ok(self.at(place))
    }

    /// Makes what a transaction did to an account part of the state.
    pub(super) fn commit(&mut self, address: Address, mut account: Account) {
        if let Some(fate) = Fate::of(&account) {
            // It may have run on another view of the state. What it found there is what the block found, or the account
            // would have been committed before.
            let entry = self.known_or(address, || effects::found(&mut account));
            entry.follow(fate, account.info, effects::changed_slots(&account.storage));
        }
    }

    /// The same for what was put down of it.
    pub(super) fn apply(&mut self, effect: &Effect, slots: &[SlotEffect]) {
        let entry = self.known_or(effect.address, || effect.found.clone());
        entry.follow(effect.fate, effect.info.clone(), slots[effect.slots.clone()].iter().copied());
    }

    /// Takes over what ordinary transactions have left of an account that is known.
    pub(super) fn absorb(&mut self, address: Address, account: Account) {
        // An empty one was touched, and is not there.
        if account.is_touched()
            && !account.is_empty()
            && let Some(place) = self.index.get(&address)
        {
            self.entries[place.0 as usize].absorb(account.info, account.storage);
        }
    }

    /// Takes over what a row of transactions has left that found the accounts as they are here, and has changed no more than
    /// values. The other part is empty then.
    pub(super) fn take_over(&mut self, other: &mut Self) {
        other.index.clear();
        for mut entry in other.entries.drain(..) {
            match self.index.entry(entry.address) {
                MapEntry::Occupied(place) => self.entries[place.get().0 as usize].go_on_as(&mut entry),
                MapEntry::Vacant(vacant) => {
                    vacant.insert(Place::behind(&self.entries));
                    self.entries.push(entry);
                }
            }
        }
    }

    /// The accounts.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The accounts, in pieces of so many.
    pub(super) fn pieces(&mut self, accounts: usize) -> impl Iterator<Item = &mut [Entry]> {
        self.entries.chunks_mut(accounts)
    }

    /// The entry of an account, which the block finds like this if it is not known yet.
    fn known_or(&mut self, address: Address, found: impl FnOnce() -> Option<AccountInfo>) -> &mut Entry {
        let Ok(place) = self.locate(address, || Ok::<_, Infallible>(Entry::new(address, found())));
        self.at(place)
    }

    /// Where the entry of an account is, or the one that `make` makes if there is none.
    fn locate<E>(&mut self, address: Address, make: impl FnOnce() -> Result<Entry, E>) -> Result<Place, E> {
        Ok(match self.index.entry(address) {
            MapEntry::Occupied(place) => *place.get(),
            MapEntry::Vacant(vacant) => {
                let entry = make()?;
                let place = *vacant.insert(Place::behind(&self.entries));
                self.entries.push(entry);
                place
            }
        })
    }
}

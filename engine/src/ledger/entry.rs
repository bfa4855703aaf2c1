//! One account of the ledger, and how a commit changes it.

use alloy_primitives::map::{Entry as MapEntry, U256Map};
use alloy_primitives::{Address, B256, U256};
use revm::bytecode::Bytecode;
use revm::database::states::StorageSlot;
use revm::database::states::reverts::AccountInfoRevert;
use revm::database::{AccountRevert, AccountStatus, BundleAccount, RevertToSlot, TransitionAccount};
use revm::state::{AccountInfo, EvmStorage};

use super::effects::{Fate, SlotEffect};
use crate::error::WitnessError;
use crate::pre_state::PreState;

/// One account.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Whose it is.
    pub(crate) address: Address,
    /// As the block found it.
    pub(crate) before: Option<AccountInfo>,
    /// What was to be said of it when the block found it.
    pub(crate) status_before: AccountStatus,
    /// As it is.
    pub(crate) now: Option<AccountInfo>,
    /// What revm's `State` would say of it.
    pub(crate) status: AccountStatus,
    /// A commit has changed it, or may have.
    pub(crate) changed: bool,
    /// All storage that is not among the slots is zero: there was no account before the block, or the block has made it
    /// or removed it. revm's status is no answer: it takes an account with neither nonce nor code for a new one.
    pub(crate) storage_known: bool,
    /// Its storage was destroyed in this block.
    pub(crate) storage_destroyed: bool,
    /// The slots read or written, as they are and as they were before the block's first change to them, or since the
    /// account was last destroyed. Empty if there is no account.
    pub(crate) slots: U256Map<StorageSlot>,
}

/// What can be said of an account: by its entry, or else by the state before the block.
#[derive(Debug)]
pub(crate) struct About<'k> {
    /// Whose it is.
    pub(super) address: Address,
    /// The entry, if nobody need ask for the account.
    pub(super) entry: Option<&'k Entry>,
    /// Whom to ask.
    pub(super) pre_state: &'k dyn PreState,
}

impl About<'_> {
    /// The account, if there is one, without its code.
    pub(crate) fn account(&self) -> Result<Option<AccountInfo>, WitnessError> {
        let known = self.entry.map(|entry| entry.now.as_ref().map(AccountInfo::copy_without_code));
        known.map_or_else(|| self.pre_state.account(self.address), Ok)
    }

    /// Value of a slot.
    pub(crate) fn storage(&self, slot: U256) -> Result<U256, WitnessError> {
        let known = self.entry.and_then(|entry| entry.known_slot(slot));
        known.map_or_else(|| self.pre_state.storage(self.address, slot), Ok)
    }

    /// Whether any slot is not zero.
    pub(crate) fn has_storage(&self) -> Result<bool, WitnessError> {
        let known = self.entry.and_then(Entry::knows_storage);
        known.map_or_else(|| self.pre_state.has_storage(self.address), Ok)
    }
}

impl Entry {
    /// An account as the block finds it.
    pub(crate) fn new(address: Address, found: Option<AccountInfo>) -> Self {
        let (found, status) = match found {
            None => (None, AccountStatus::LoadedNotExisting),
            Some(info) if info.is_empty() => (Some(AccountInfo::default()), AccountStatus::LoadedEmptyEIP161),
            Some(info) => (Some(info), AccountStatus::Loaded),
        };
        Self {
            address,
            before: found.clone(),
            status_before: status,
            now: found,
            status,
            changed: false,
            storage_known: status == AccountStatus::LoadedNotExisting,
            storage_destroyed: false,
            slots: U256Map::default(),
        }
    }

    /// The value of a slot, if nobody need ask the pre-state for it.
    pub(super) fn known_slot(&self, slot: U256) -> Option<U256> {
        match self.slots.get(&slot) {
            Some(kept) => Some(kept.present_value),
            None => self.storage_known.then_some(U256::ZERO),
        }
    }

    /// Whether the account has storage, if nobody need ask the pre-state for it.
    pub(super) fn knows_storage(&self) -> Option<bool> {
        if self.slots.values().any(|slot| !slot.present_value.is_zero()) {
            return Some(true);
        }
        self.status.was_destroyed().then_some(false)
    }

    /// Follows what a transaction has made of the account: what it is, if it is at all, and which slots were changed.
    pub(super) fn follow(&mut self, fate: Fate, info: AccountInfo, slots: impl Iterator<Item = SlotEffect>) {
        match fate {
            Fate::Changed => self.change(info, slots),
            Fate::Created => self.create(info, slots),
            Fate::Destroyed => self.destroy(),
            Fate::Emptied => self.clear_empty(),
        }
    }

    /// The account lives on with other values.
    fn change(&mut self, mut info: AccountInfo, slots: impl Iterator<Item = SlotEffect>) {
        self.mark_changed();
        // Whoever ran on another view of the state may not have met the code, but it is still there.
        if let (None, Some(now)) = (&info.code, &mut self.now)
            && now.code_hash == info.code_hash
        {
            info.code = now.code.take();
        }
        self.now = Some(info);
        self.set_slots(slots);
    }

    /// The account lives on with these values, or with the same.
    pub(super) fn absorb(&mut self, info: AccountInfo, storage: EvmStorage) {
        let mut changed = self.now.as_ref() != Some(&info);
        for (slot, value) in storage {
            match self.slots.entry(slot) {
                MapEntry::Occupied(mut kept) => {
                    let kept = &mut kept.get_mut().present_value;
                    changed |= *kept != value.present_value;
                    *kept = value.present_value;
                }
                // The ledger does not keep the zeros of accounts whose storage it knows.
                MapEntry::Vacant(vacant) => {
                    if !value.present_value.is_zero() {
                        vacant.insert(StorageSlot::new_changed(U256::ZERO, value.present_value));
                        changed = true;
                    }
                }
            }
        }
        if changed {
            self.change(info, core::iter::empty());
        }
    }

    /// The account lives on with another balance.
    pub(super) fn set_balance(&mut self, balance: U256) {
        self.mark_changed();
        self.now.get_or_insert_default().balance = balance;
    }

    /// Adds to the balance, if there is room.
    pub(super) fn credit(&mut self, amount: U256) {
        self.mark_changed();
        let info = self.now.get_or_insert_default();
        info.balance = info.balance.checked_add(amount).unwrap_or(info.balance);
    }

    /// The account lives on with another balance and the next nonce.
    pub(super) fn pay(&mut self, balance: U256) {
        self.set_balance(balance);
        self.now.get_or_insert_default().nonce += 1;
    }

    /// The account is about to live on with other values.
    fn mark_changed(&mut self) {
        let had_no_nonce_and_code = self.now.as_ref().is_some_and(AccountInfo::has_no_code_and_nonce);
        self.status = self.status.on_changed(had_no_nonce_and_code);
        self.changed = true;
    }

    /// The account is made anew, on nothing or on a bare balance.
    fn create(&mut self, info: AccountInfo, slots: impl Iterator<Item = SlotEffect>) {
        // What was read of its storage does not count for the account that is made.
        self.slots.retain(|_, slot| slot.is_changed());
        self.storage_known = true;
        self.status = self.status.on_created();
        self.now = Some(info);
        self.changed = true;
        self.set_slots(slots);
    }

    /// The account destroys itself.
    fn destroy(&mut self) {
        // What never was cannot be destroyed.
        let changed = self.status != AccountStatus::LoadedNotExisting;
        self.status = self.status.on_selfdestructed();
        self.remove(changed);
    }

    /// The account is removed for being empty (EIP-161).
    fn clear_empty(&mut self) {
        let changed = !matches!(
            self.status,
            AccountStatus::LoadedNotExisting | AccountStatus::Destroyed | AccountStatus::DestroyedAgain
        );
        self.status = self.status.on_touched_empty_post_eip161();
        self.remove(changed);
    }

    /// The account is gone.
    fn remove(&mut self, changed: bool) {
        self.now = None;
        self.slots.clear();
        self.storage_known = true;
        self.changed |= changed;
        self.storage_destroyed |= changed;
    }

    /// Takes over the slots that a transaction changed.
    fn set_slots(&mut self, slots: impl Iterator<Item = SlotEffect>) {
        for SlotEffect { slot, original, present } in slots {
            let kept = self.slots.entry(slot).or_insert(StorageSlot::new(original));
            kept.present_value = present;
        }
    }

    /// Goes on from here as another entry of the same account does, which found it as it is here, and has changed no more
    /// than values.
    pub(super) fn go_on_as(&mut self, other: &mut Self) {
        if other.changed
            && let Some(info) = other.now.take()
        {
            let changed = other.slots.iter().filter(|(_, slot)| slot.is_changed());
            let effect = |(slot, value): (&U256, &StorageSlot)| SlotEffect {
                slot: *slot,
                original: value.previous_or_original_value,
                present: value.present_value,
            };
            self.change(info, changed.map(effect));
        }
    }

    /// The code that the account has now and had not before. It may be the one of no bytes.
    pub(super) fn new_code(&self) -> Option<(B256, Bytecode)> {
        let now = self.now.as_ref()?;
        if self.before.as_ref().is_some_and(|before| before.code_hash == now.code_hash) {
            return None;
        }
        let code = if now.is_empty_code_hash() { Some(Bytecode::default()) } else { now.code.clone() };
        code.map(|code| (now.code_hash, code))
    }

    /// How to undo what has become of the account; `None` if there is nothing to say of it. [`Self::take_account`] is all
    /// that the entry is good for afterwards.
    #[inline]
    pub(super) fn take_revert(&mut self) -> Option<AccountRevert> {
        if !matches!(self.status, AccountStatus::Changed | AccountStatus::InMemoryChange) {
            let transition = self.take_transition();
            let account = transition.present_bundle_account();
            (self.before, self.now) = (account.original_info, account.info);
            (self.slots, self.status) = (account.storage, account.status);
            return transition.create_revert();
        }
        // What revm does with accounts that nobody has destroyed, which are nearly all, without the copies that it
        // takes for the others.
        let account = if self.status_before == AccountStatus::LoadedNotExisting {
            AccountInfoRevert::DeleteIt
        } else if self.before == self.now {
            AccountInfoRevert::DoNothing
        } else {
            AccountInfoRevert::RevertTo(self.before.clone().unwrap_or_default())
        };
        self.slots.retain(|_, slot| slot.is_changed());
        let reverts =
            self.slots.iter().map(|(key, slot)| (*key, RevertToSlot::Some(slot.previous_or_original_value)));
        let revert = AccountRevert {
            account,
            storage: reverts.collect(),
            previous_status: self.status_before,
            wipe_storage: false,
        };
        (!revert.is_empty()).then_some(revert)
    }

    /// What has become of the account.
    #[inline]
    pub(super) fn take_account(&mut self) -> BundleAccount {
        let (before, now) = (self.before.take(), self.now.take());
        BundleAccount::new(before, now, core::mem::take(&mut self.slots), self.status)
    }

    /// The entry as revm's `State` would keep it.
    fn take_transition(&mut self) -> TransitionAccount {
        TransitionAccount {
            info: self.now.take(),
            status: self.status,
            previous_info: self.before.take(),
            previous_status: self.status_before,
            storage: self.slots.drain().filter(|(_, slot)| slot.is_changed()).collect(),
            storage_was_destroyed: self.storage_destroyed,
        }
    }
}

//! What a transaction did to the accounts that it touched, as little of it as the ledger needs.
//!
//! revm leaves a map of accounts, each with a map of its slots, what was only read among them. A run ahead of the
//! frontier is put down in the log of the worker that has the maps in its cache. So whoever makes it part of the ledger
//! later, on another core, reads straight on and frees nothing. What a void run did stays in the log, and nobody looks
//! at it.

use core::ops::Range;

use alloy_primitives::{Address, U256};
use revm::state::{Account, AccountInfo, EvmState, EvmStorage};

/// What one worker's runs did in a stretch, one after the other.
#[derive(Debug, Default)]
pub(crate) struct EffectLog {
    /// The accounts that they touched.
    accounts: Vec<Effect>,
    /// The slots that they changed, one account's after the other's.
    slots: Vec<SlotEffect>,
}

/// What one transaction did: its accounts in the log.
#[derive(Debug)]
pub(crate) struct Effects(Range<usize>);

/// What a transaction did to one account.
#[derive(Debug)]
pub(super) struct Effect {
    /// Whose it is.
    pub(super) address: Address,
    /// What has become of it.
    pub(super) fate: Fate,
    /// What it was, without its code.
    pub(super) found: Option<AccountInfo>,
    /// What it is; of an account that is gone this says nothing. With the code only if the transaction brought it.
    pub(super) info: AccountInfo,
    /// Which of the changed slots are its own.
    pub(super) slots: Range<usize>,
}

/// What a transaction did to one slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotEffect {
    /// Which one it is.
    pub(super) slot: U256,
    /// Its value before.
    pub(super) original: U256,
    /// Its value after.
    pub(super) present: U256,
}

/// What a transaction makes of an account that it touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It lives on with other values, or with the same.
    Changed,
    /// It was made anew.
    Created,
    /// It has destroyed itself.
    Destroyed,
    /// It is empty, and so it goes (EIP-161).
    Emptied,
}

impl Fate {
    /// What has become of an account; `None` if it was not touched.
    pub(super) fn of(account: &Account) -> Option<Self> {
        if !account.is_touched() {
            None
        } else if account.is_selfdestructed() {
            Some(Self::Destroyed)
        } else if account.is_created() {
            Some(Self::Created)
        } else if account.is_empty() {
            Some(Self::Emptied)
        } else {
            Some(Self::Changed)
        }
    }
}

/// What an account was before the transaction that has left it like this, without its code.
pub(super) fn found(account: &mut Account) -> Option<AccountInfo> {
    (!account.is_loaded_as_not_existing()).then(|| account.original_info_mut().copy_without_code())
}

/// Of an account's slots, those that its transaction changed.
pub(super) fn changed_slots(storage: &EvmStorage) -> impl Iterator<Item = SlotEffect> {
    storage.iter().filter(|(_, value)| value.is_changed()).map(|(slot, value)| SlotEffect {
        slot: *slot,
        original: value.original_value,
        present: value.present_value,
    })
}

impl EffectLog {
    /// Puts down what a run did that has left these accounts.
    pub(crate) fn note(&mut self, state: EvmState) -> Effects {
        let start = self.accounts.len();
        for (address, mut account) in state {
            let Some(fate) = Fate::of(&account) else { continue };
            let first = self.slots.len();
            self.slots.extend(changed_slots(&account.storage));
            let found = found(&mut account);
            let brought = found.as_ref().is_none_or(|found| found.code_hash != account.info.code_hash);
            let info = if brought { account.info } else { account.info.copy_without_code() };
            self.accounts.push(Effect { address, fate, found, info, slots: first..self.slots.len() });
        }
        Effects(start..self.accounts.len())
    }

    /// Puts down what a run did that has only changed these accounts: which ones, what they were, what they are.
    pub(crate) fn note_accounts(
        &mut self,
        accounts: impl IntoIterator<Item = (Address, Option<AccountInfo>, AccountInfo)>,
    ) -> Effects {
        let start = self.accounts.len();
        let changed =
            |(address, found, info)| Effect { address, fate: Fate::Changed, found, info, slots: 0..0 };
        self.accounts.extend(accounts.into_iter().map(changed));
        Effects(start..self.accounts.len())
    }

    /// What one transaction did, account by account, and the slots of all of them.
    pub(super) fn of(&self, effects: &Effects) -> (&[Effect], &[SlotEffect]) {
        (&self.accounts[effects.0.clone()], &self.slots)
    }

    /// Empties the log.
    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.slots.clear();
    }
}

//! What a row of transactions has changed, also where it has changed it back since.

use std::sync::OnceLock;

use alloy_primitives::map::{AddressSet, HashSet};
use alloy_primitives::{Address, U256};

/// What a row of transactions has changed, in the order in which it has. The accounts that have sent one of them are not
/// listed: a nonce does not go back.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Accounts whose balance has changed.
    accounts: Vec<Address>,
    /// Slots.
    slots: Vec<(Address, U256)>,
    /// The same accounts, for those who ask once all are there.
    accounts_found: OnceLock<AddressSet>,
    /// The same slots.
    slots_found: OnceLock<HashSet<(Address, U256)>>,
}

impl Written {
    /// The balance of an account has changed.
    pub(crate) fn note_account(&mut self, address: Address) {
        self.accounts.push(address);
    }

    /// A slot has.
    pub(crate) fn note_slot(&mut self, address: Address, slot: U256) {
        self.slots.push((address, slot));
    }

    /// Whether the balance of an account has changed. Nothing more may be noted afterwards.
    pub(super) fn has_account(&self, address: Address) -> bool {
        self.accounts_found.get_or_init(|| self.accounts.iter().copied().collect()).contains(&address)
    }

    /// Whether a slot has. Nothing more may be noted afterwards.
    pub(super) fn has_slot(&self, address: Address, slot: U256) -> bool {
        self.slots_found.get_or_init(|| self.slots.iter().copied().collect()).contains(&(address, slot))
    }
}

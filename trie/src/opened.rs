//! The accounts whose storage is being read.
//!
//! Blocks read many slots of few accounts. What a slot needs of its account is
//! remembered from the first read on, so that the others walk one trie, not two.

use crate::error::WitnessError;
use alloy_primitives::{Address, B256, map::AddressMap};
use std::sync::{PoisonError, RwLock};

/// Parts of the map, each behind a lock of its own.
const SHARDS: usize = 16;

/// What reads of a slot need of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenedAccount {
    /// Its key in the state trie.
    pub(crate) hashed_address: B256,
    /// The root of its storage trie.
    pub(crate) storage_root: B256,
}

/// Accounts by address, `None` for those that provably do not exist.
///
/// An entry depends on the witness alone, so it does not matter which thread
/// makes it. Errors are not remembered: they come again.
#[derive(Debug, Default)]
pub(crate) struct OpenedAccounts([RwLock<AddressMap<Option<OpenedAccount>>>; SHARDS]);

impl OpenedAccounts {
    /// What is remembered of an account, or what `read` says.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub(crate) fn get_or_read(
        &self,
        address: Address,
        read: impl FnOnce() -> Result<Option<OpenedAccount>, WitnessError>,
    ) -> Result<Option<OpenedAccount>, WitnessError> {
        let shard = &self.0[usize::from(address[19]) % SHARDS];
        // A map of which an insertion panicked is still a map.
        if let Some(known) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&address) {
            return Ok(*known);
        }
        let account = read()?;
        shard.write().unwrap_or_else(PoisonError::into_inner).insert(address, account);
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T5: errors are given to everybody who asks, other answers are found once.
    #[test]
    fn answers_are_remembered_and_errors_are_not() {
        let opened = OpenedAccounts::default();
        let address = Address::repeat_byte(1);
        let error = WitnessError::RootMissing { pre_state_root: B256::ZERO, received: 0 };
        for _ in 0..2 {
            assert_eq!(opened.get_or_read(address, || Err(error.clone())), Err(error.clone()));
        }
        let account = OpenedAccount { hashed_address: B256::ZERO, storage_root: B256::ZERO };
        assert_eq!(opened.get_or_read(address, || Ok(Some(account))), Ok(Some(account)));
        assert_eq!(opened.get_or_read(address, || Err(error.clone())), Ok(Some(account)));
        let other = Address::repeat_byte(2);
        assert_eq!(opened.get_or_read(other, || Ok(None)), Ok(None));
        assert_eq!(opened.get_or_read(other, || Err(error)), Ok(None));
    }
}

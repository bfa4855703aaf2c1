//! The state before the block: where every read ends that no transaction of the block has answered.

use std::fmt::Debug;

use alloy_consensus::constants::EMPTY_ROOT_HASH;
use alloy_primitives::map::{AddressMap, HashMap};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use revm::Database;
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;
use weft_trie::VerifiedWitness;

pub use crate::codes::Codes;
use crate::error::WitnessError;

/// State that a block starts from. Reads are shared by all workers and always give the same answer.
pub trait PreState: Sync + Debug {
    /// The account at `address`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if the state neither holds the account nor proves its absence.
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError>;

    /// Value of a storage slot; zero if it was never written.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if the state neither holds the slot nor proves its absence.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError>;

    /// Whether any slot of the account is not zero.
    ///
    /// # Errors
    ///
    /// [`WitnessError`] if the state neither holds the account nor proves its absence.
    fn has_storage(&self, address: Address) -> Result<bool, WitnessError>;

    /// The code with this hash.
    ///
    /// # Errors
    ///
    /// [`WitnessError::CodeMissing`] if no code has the hash.
    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError>;

    /// Hash of an ancestor among the last 256 blocks.
    ///
    /// # Errors
    ///
    /// [`WitnessError::AncestorMissing`] if it is not known.
    fn block_hash(&self, number: u64) -> Result<B256, WitnessError>;
}

/// Hashes of ancestors, by number.
#[derive(Debug, Default, Clone)]
pub struct Ancestors(HashMap<u64, B256>);

impl FromIterator<(u64, B256)> for Ancestors {
    fn from_iter<I: IntoIterator<Item = (u64, B256)>>(hashes: I) -> Self {
        Self(hashes.into_iter().collect())
    }
}

impl Ancestors {
    /// Hash of the ancestor with this number.
    fn get(&self, number: u64) -> Result<B256, WitnessError> {
        self.0.get(&number).copied().ok_or(WitnessError::AncestorMissing { number })
    }
}

/// Pre-state proved by a witness.
#[derive(Debug)]
pub struct WitnessState {
    /// Tries, checked from the pre-state root.
    pub tries: VerifiedWitness,
    /// Codes sent with them.
    pub codes: Codes,
    /// Hashes of the headers sent with them.
    pub ancestors: Ancestors,
}

impl WitnessState {
    /// The account whose address has this hash.
    pub(crate) fn account_by_hash(&self, hashed_address: B256) -> Result<Option<AccountInfo>, WitnessError> {
        Ok(self.tries.account_by_hash(hashed_address)?.map(|account| AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            ..AccountInfo::default().without_code()
        }))
    }
}

impl PreState for WitnessState {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.account_by_hash(keccak256(address))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        Ok(self.tries.storage(address, slot)?)
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        let account = self.tries.account(address)?;
        Ok(account.is_some_and(|account| account.storage_root != EMPTY_ROOT_HASH))
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.codes.get(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.ancestors.get(number)
    }
}

/// One account of a plain pre-state.
#[derive(Debug, Clone, Default)]
pub struct PlainAccount {
    /// Balance, nonce and code hash.
    pub info: AccountInfo,
    /// Slots that are not zero.
    pub storage: HashMap<U256, U256>,
}

/// Pre-state held in memory, unproved: all of it is there, and what is not there is empty.
#[derive(Debug, Default)]
pub struct PlainState {
    /// Accounts by address.
    accounts: AddressMap<PlainAccount>,
    /// Codes of the accounts.
    codes: Codes,
    /// Hashes of ancestors.
    ancestors: Ancestors,
}

impl PlainState {
    /// A state of these accounts with these codes.
    pub fn new(accounts: AddressMap<PlainAccount>, codes: &[Bytes], ancestors: Ancestors) -> Self {
        Self { accounts, codes: Codes::new(codes), ancestors }
    }
}

impl PreState for PlainState {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        Ok(self.accounts.get(&address).map(|account| account.info.clone()))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let account = self.accounts.get(&address);
        Ok(account.and_then(|account| account.storage.get(&slot)).copied().unwrap_or_default())
    }

    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        let account = self.accounts.get(&address);
        Ok(account.is_some_and(|account| account.storage.values().any(|value| !value.is_zero())))
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.codes.get(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.ancestors.get(number)
    }
}

/// A pre-state as revm's database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PreStateDb<'a>(pub(crate) &'a dyn PreState);

impl Database for PreStateDb<'_> {
    type Error = WitnessError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        self.0.account(address)
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.0.code(hash)
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        self.0.storage(address, slot)
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, WitnessError> {
        self.0.block_hash(number)
    }
}

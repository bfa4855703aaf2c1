//! What a block access list says of accounts and slots (EIP-7928): what they are before each transaction.
//!
//! So a row of transactions can begin anywhere, on the state that the list claims. The claim is as good as any other:
//! afterwards, [`ListedChanges::agree`] compares what the row has found with what the rows before it have left.

use core::ops::Range;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use rayon::prelude::*;
use revm::bytecode::Bytecode;
use revm::database::states::StorageSlot;
use revm::state::AccountInfo;
use revm::state::bal::alloy::{
    AlloyAccountChanges, AlloyBal, AlloyBalanceChange, AlloyCodeChange, AlloyNonceChange, AlloyStorageChange,
};

use crate::error::WitnessError;
use crate::ledger::{Base, Entry, Seen};
use crate::pre_state::PreState;

/// An account with more changed slots has a directory of them; up to here a search touches two or three lines of memory.
const SLOTS_IN_LINE: usize = 16;

/// So many accounts are worth waking another thread: to look through them takes some 10 µs.
const ACCOUNTS_AT_ONCE: usize = 512;

/// Where keys are in a list that is in their order, by their first bits. Addresses and most slots are hashes, so with as
/// many bits as make one place for each key, a search begins next to its end. Whoever contrives that all keys begin alike
/// has them searched from the middle on.
#[derive(Debug)]
struct Directory {
    /// How many bits make a beginning.
    bits: u32,
    /// Where each beginning starts, and behind them all the end.
    starts: Vec<usize>,
}

/// What a list says that changes, by location.
#[derive(Debug)]
pub(crate) struct ListedChanges<'l> {
    /// All of it, in order.
    list: &'l AlloyBal,
    /// Where each account is.
    accounts: Directory,
    /// Where each slot is, of accounts with many.
    slots: AddressMap<Directory>,
}

/// What a list says that changes of an account.
#[derive(Debug, Clone, Copy)]
struct ListedAccount<'l> {
    /// All of it, in order.
    changes: &'l AlloyAccountChanges,
    /// Where each slot is, if there are many.
    slots: Option<&'l Directory>,
}

/// What some transactions change of an account, but for its storage: the last change of each kind, and by whom.
#[derive(Debug, Clone, Copy)]
struct LastChanges {
    /// Of the balance.
    balance: Option<(usize, U256)>,
    /// Of the nonce.
    nonce: Option<(usize, u64)>,
    /// Of the code, which no row changes: so what is listed of it is of no use to any.
    code: Option<usize>,
}

/// State before some transaction, if the list is right.
#[derive(Debug)]
pub(crate) struct StateBefore<'s> {
    /// State before some earlier transaction, as it is.
    base: &'s Base<'s>,
    /// What has changed since.
    listed: &'s ListedChanges<'s>,
    /// By which transactions.
    by: Range<usize>,
}

/// A row of transactions that began where the list says the ones before it would end.
#[derive(Debug)]
pub(crate) struct Row<'s> {
    /// Which ones they are.
    pub(crate) transactions: Range<usize>,
    /// What they have seen and changed: no more than values.
    pub(crate) seen: &'s Seen,
}

impl<'l> ListedChanges<'l> {
    /// What a list says, read on the threads of the current pool; `None` if it says nothing, or is not in the order that
    /// EIP-7928 asks for.
    pub(crate) fn read(list: &'l AlloyBal) -> Option<Self> {
        let is_in_order = !list.is_empty()
            && list.is_sorted_by(|one, other| one.address < other.address)
            && list.par_iter().with_min_len(ACCOUNTS_AT_ONCE).all(is_in_order);
        if !is_in_order {
            return None;
        }
        let has_many = |account: &&AlloyAccountChanges| account.storage_changes.len() > SLOTS_IN_LINE;
        let directory = |account: &AlloyAccountChanges| {
            let slots = account.storage_changes.iter().map(|slot| head_of_slot(slot.slot));
            (account.address, Directory::of(slots))
        };
        let slots = list.par_iter().filter(has_many).map(directory).collect::<Vec<_>>().into_iter().collect();
        let accounts = Directory::of(list.iter().map(|account| head_of_address(account.address)));
        Some(Self { list, accounts, slots })
    }

    /// What the list says of an account, if it says anything.
    fn of(&self, address: Address) -> Option<ListedAccount<'_>> {
        let range = self.accounts.range(head_of_address(address));
        let near = &self.list[range];
        let changes = &near[near.binary_search_by_key(&address, |account| account.address).ok()?];
        let has_many = changes.storage_changes.len() > SLOTS_IN_LINE;
        Some(ListedAccount { changes, slots: if has_many { self.slots.get(&address) } else { None } })
    }

    /// State before a transaction, where `base` is the state before an earlier one.
    pub(crate) fn state_before<'s>(&'s self, base: &'s Base<'s>, by: Range<usize>) -> StateBefore<'s> {
        StateBefore { base, listed: self, by }
    }

    /// Whether rows of transactions, each of which ends where the next begins, have found what those before them have left.
    ///
    /// The first row begins on the state that is there. Suppose that all rows before some row have found what is true. What
    /// that row has found is the state before them, with the last change that the list says one of them makes. The one that
    /// is to make it has seen the place, and has left there what the list says. No row between them has left anything else:
    /// it would have seen the place, and the list would say so. So this row has found what is true as well.
    ///
    /// It takes for granted what rows do: they change nothing but values, so that no code comes and no storage goes, and
    /// where the list says so a row comes to no end; they don't know the beneficiary; and what they have seen is in their
    /// ledger, but for the slots of accounts that are not there. A change by nobody, before the first transaction or behind
    /// the last, is in no row.
    pub(crate) fn agree(&self, rows: &[Row<'_>]) -> bool {
        rows.par_iter().all(|row| row.seen.entries().all(|entry| self.agrees(row, entry, rows)))
    }

    /// The same for what one row has seen of one account.
    fn agrees(&self, row: &Row<'_>, entry: &Entry, rows: &[Row<'_>]) -> bool {
        let Some(listed) = self.of(entry.address) else {
            return entry.before == entry.now && !entry.slots.values().any(StorageSlot::is_changed);
        };
        let own = &row.transactions;
        let earlier = rows.first().map_or(own.start, |first| first.transactions.start)..own.start;
        // What another row has seen of the account.
        let seen_by = |tx: usize| {
            let at = rows.partition_point(|row| row.transactions.end <= tx);
            rows.get(at).and_then(|row| row.seen.known(entry.address))
        };
        let before = entry.before.as_ref().map(AccountInfo::copy_without_code);
        let changes = listed.changes_by(own);
        changes.code.is_none()
            && changes.make_of(before) == entry.now
            && listed.changes_by(&earlier).by_whom().all(|tx| seen_by(tx).is_some())
            && entry.slots.iter().all(|(slot, value)| {
                let changes = listed.slot(*slot);
                let left = last_by(changes, own)
                    .map_or(value.previous_or_original_value, |(_, change)| change.new_value);
                let writer = last_by(changes, &earlier);
                let has_seen = |tx| seen_by(tx).is_some_and(|entry| entry.slots.contains_key(slot));
                left == value.present_value && writer.is_none_or(|(tx, _)| has_seen(tx))
            })
    }
}

impl<'l> ListedAccount<'l> {
    /// The changes of a slot.
    fn slot(&self, slot: U256) -> &'l [AlloyStorageChange] {
        let all = &self.changes.storage_changes;
        let range = self.slots.map_or(0..all.len(), |slots| slots.range(head_of_slot(slot)));
        let near = &all[range];
        let found = near.binary_search_by_key(&slot, |listed| listed.slot);
        found.map(|at| &*near[at].changes).unwrap_or_default()
    }

    /// What these transactions change.
    fn changes_by(&self, by: &Range<usize>) -> LastChanges {
        let AlloyAccountChanges { balance_changes, nonce_changes, code_changes, .. } = self.changes;
        let balance = last_by(balance_changes, by);
        let nonce = last_by(nonce_changes, by);
        let code = last_by(code_changes, by);
        LastChanges {
            balance: balance.map(|(tx, change)| (tx, change.post_balance)),
            nonce: nonce.map(|(tx, change)| (tx, change.new_nonce)),
            code: code.map(|(tx, _)| tx),
        }
    }
}

impl LastChanges {
    /// What they make of an account, its code aside.
    fn make_of(&self, found: Option<AccountInfo>) -> Option<AccountInfo> {
        let Self { balance, nonce, .. } = *self;
        if balance.is_none() && nonce.is_none() {
            return found;
        }
        let mut info = found.unwrap_or_default();
        info.balance = balance.map_or(info.balance, |(_, balance)| balance);
        info.nonce = nonce.map_or(info.nonce, |(_, nonce)| nonce);
        // An empty account does not stay (EIP-161).
        (!info.is_empty()).then_some(info)
    }

    /// Who has made them.
    fn by_whom(&self) -> impl Iterator<Item = usize> {
        let (balance, nonce) = (self.balance.map(|(tx, _)| tx), self.nonce.map(|(tx, _)| tx));
        [balance, nonce].into_iter().flatten()
    }
}

impl Directory {
    /// Of keys in their order, of which these are the heads.
    fn of(heads: impl ExactSizeIterator<Item = u64>) -> Self {
        let bits = heads.len().next_power_of_two().ilog2().max(1);
        let places = 1_usize << bits;
        let mut starts = Vec::with_capacity(places + 1);
        let count = heads.len();
        for (at, head) in heads.enumerate() {
            let place = usize::try_from(head >> (64 - bits)).unwrap_or(places);
            if starts.len() <= place {
                starts.resize(place + 1, at);
            }
        }
        starts.resize(places + 1, count);
        Self { bits, starts }
    }

    /// Where the keys are that begin like this one.
    fn range(&self, head: u64) -> Range<usize> {
        let place = usize::try_from(head >> (64 - self.bits)).unwrap_or(0);
        self.starts[place]..self.starts[place + 1]
    }
}

/// The first bits of an address.
fn head_of_address(address: Address) -> u64 {
    address.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head))
}

/// The first bits of a slot.
const fn head_of_slot(slot: U256) -> u64 {
    slot.as_limbs()[3]
}

/// Whether what a list says of an account is in the order that EIP-7928 asks for.
fn is_in_order(account: &AlloyAccountChanges) -> bool {
    let AlloyAccountChanges { storage_changes, balance_changes, nonce_changes, code_changes, .. } = account;
    storage_changes.is_sorted_by(|one, other| one.slot < other.slot)
        && storage_changes.iter().all(|slot| are_in_order(&slot.changes))
        && are_in_order(balance_changes)
        && are_in_order(nonce_changes)
        && are_in_order(code_changes)
}

impl PreState for StateBefore<'_> {
    fn account(&self, address: Address) -> Result<Option<AccountInfo>, WitnessError> {
        let found = self.base.account(address)?;
        let Some(listed) = self.listed.of(address) else { return Ok(found) };
        let changes = listed.changes_by(&self.by);
        if changes.code.is_some() {
            // Nobody has it yet.
            let hash = found.unwrap_or_default().code_hash;
            return Err(WitnessError::CodeMissing { hash });
        }
        Ok(changes.make_of(found))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, WitnessError> {
        let changes = self.listed.of(address).map(|listed| listed.slot(slot)).unwrap_or_default();
        match last_by(changes, &self.by) {
            Some((_, change)) => Ok(change.new_value),
            None => self.base.storage(address, slot),
        }
    }

    /// Only accounts without code are asked about, before a creation, and no row changes the storage of those.
    fn has_storage(&self, address: Address) -> Result<bool, WitnessError> {
        self.base.has_storage(address)
    }

    fn code(&self, hash: B256) -> Result<Bytecode, WitnessError> {
        self.base.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, WitnessError> {
        self.base.block_hash(number)
    }
}

/// A change that a list has.
trait Change {
    /// Who has made it: nobody before the first transaction is 0, and the first transaction 1.
    fn index(&self) -> u64;
}

macro_rules! changes {
    ($($change:ty),+) => {
        $(impl Change for $change {
            fn index(&self) -> u64 {
                self.block_access_index.0
            }
        })+
    };
}

changes!(AlloyStorageChange, AlloyBalanceChange, AlloyNonceChange, AlloyCodeChange);

/// Whether changes come in the order of their transactions, of which each makes one at most.
fn are_in_order(changes: &[impl Change]) -> bool {
    changes.is_sorted_by(|one, other| one.index() < other.index())
}

/// The last of the changes that one of these transactions makes, and which one it is.
fn last_by<'c, C: Change>(changes: &'c [C], transactions: &Range<usize>) -> Option<(usize, &'c C)> {
    // Index 0 is before the transactions.
    let behind = changes.partition_point(|change| change.index() <= transactions.end as u64);
    let change = changes[..behind].last()?;
    let tx = usize::try_from(change.index().checked_sub(1)?).ok()?;
    (tx >= transactions.start).then_some((tx, change))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Change for u64 {
        fn index(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn a_directory_finds_every_key() {
        let scattered = |count: u64| (0..count).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        let lists: [Vec<u64>; 5] = [vec![], vec![7], scattered(1_000), (0..300).collect(), vec![u64::MAX; 9]];
        for mut keys in lists {
            keys.sort_unstable();
            let directory = Directory::of(keys.iter().copied());
            for (at, key) in keys.iter().enumerate() {
                assert!(directory.range(*key).contains(&at), "{key:x}");
            }
            assert!(directory.starts.len() <= 2 * keys.len().max(1) + 1);
            assert!(directory.range(u64::MAX).end == keys.len() && directory.range(0).start == 0);
        }
    }

    #[test]
    fn the_last_change_is_that_of_the_last_who_made_one() {
        let last = |changes: &[u64], by: Range<usize>| last_by(changes, &by).map(|(tx, _)| tx);
        // Before the transactions, and by 1, 4 and 5.
        let changes = [0, 2, 5, 6];
        assert_eq!(last(&changes, 0..1), None);
        assert_eq!(last(&changes, 0..2), Some(1));
        assert_eq!(last(&changes, 1..5), Some(4));
        assert_eq!(last(&changes, 2..4), None, "the one of 1 came before");
        assert_eq!(last(&changes, 5..9), Some(5));
    }
}

//! What a block access list (EIP-7928) says that transactions will write, and what becomes of the state.
//!
//! The list comes with the block and names every change with its value. A block is only valid if it is exactly right,
//! so nearly always it is; then each transaction can run at once on the values that those below it have not written
//! yet. But it is a claim like any other. What is taken from it goes into the `MVMemory` as values of runs to come,
//! every one of them is replaced by what the run really writes, and whoever has read a wrong one runs again. A state
//! root begun with it is put right before it is told. The list is compared with the one computed, in its turn.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use rayon::prelude::*;
use revm::bytecode::Bytecode;
use revm::state::bal::alloy::{AlloyAccountChanges, AlloyBal};
use weft_scheduler::TxIndex;
use weft_trie::{AccountChange, StateChanges};

use crate::block::ReadyBlock;
use crate::location::{Location, Value};
use crate::outcome::fields;
use crate::pre_state::PreState;

/// What transactions will write.
#[derive(Debug, Default)]
pub(crate) struct Foresight {
    /// By transaction, each with what it writes. Slots don't say by whom.
    writes: Vec<Vec<(Location, Value)>>,
}

/// Gas below which nothing changes, but for what each transaction does to its sender and its recipient.
const CHANGE_COST: u64 = 2_000;

/// Bytes that a list has for each change at most, those for what is only read and for codes counted in: of 2,000 gas, a
/// slot that is read leaves 33, a code 10, and an account that is looked at 27, or somewhat more than that.
const CHANGE_BYTES_MAX: u64 = 256;

/// What changes without gas before and after the transactions: slots of system contracts, and withdrawals.
const SYSTEM_CHANGES: u64 = 256;

/// What one transaction will write to one account: which transaction, where, and what.
type Foreseen = (usize, Location, Value);

/// What one transaction does to one account.
#[derive(Debug, Default, Clone, Copy)]
struct Change<'a> {
    /// The balance after it.
    balance: Option<U256>,
    /// The nonce after it.
    nonce: Option<u64>,
    /// The code after it.
    code: Option<&'a Bytes>,
}

impl ReadyBlock<'_> {
    /// What its access list says: nothing if it has none, or one that does not decode, or that is longer or names more
    /// changes than the block has gas for. What is wrong with a list is found in its turn.
    pub(crate) fn foretold(&self) -> &AlloyBal {
        self.foretold.get_or_init(|| {
            let transactions = self.transactions.len() as u64;
            let limits = self.transactions.iter().map(|transaction| transaction.env.gas_limit);
            let gas = limits.fold(0_u64, u64::saturating_add).min(self.header.gas_limit);
            let most = gas / CHANGE_COST + 4 * transactions + SYSTEM_CHANGES;
            let is_short = |list: &&[u8]| list.len() as u64 <= most.saturating_mul(CHANGE_BYTES_MAX);
            let is_plausible = |list: &AlloyBal| list.iter().map(count_changes).sum::<usize>() as u64 <= most;
            let list = self.access_list.filter(is_short);
            let list = list.and_then(|mut list| AlloyBal::decode(&mut list).ok()).filter(is_plausible);
            list.unwrap_or_default()
        })
    }

    /// What its access list says that becomes of the state, put together on the threads of the current pool: nothing
    /// without a list, and nothing of accounts that the pre-state does not know. A claim like the list itself, good enough
    /// to begin a state with ([`weft_trie::EarlyState`]).
    pub fn foreseen_changes(&self, pre_state: &dyn PreState) -> StateChanges {
        let foreseen: Vec<(Address, AccountChange)> = self
            .foretold()
            .par_iter()
            .filter(|account| count_changes(account) > 0)
            .filter_map(|account| Some((account.address, foreseen_change(account, pre_state)?)))
            .collect();
        foreseen.into_iter().collect()
    }
}

/// What becomes of one account in the end; `None` if nobody can tell.
fn foreseen_change(account: &AlloyAccountChanges, pre_state: &dyn PreState) -> Option<AccountChange> {
    let mut info = pre_state.account(account.address).ok()?.unwrap_or_default().without_code();
    if let Some(change) = account.balance_changes.last() {
        info.balance = change.post_balance;
    }
    if let Some(change) = account.nonce_changes.last() {
        info.nonce = change.new_nonce;
    }
    if let Some(change) = account.code_changes.last() {
        info.code_hash = keccak256(&change.new_code);
    }
    let slots = account.storage_changes.iter();
    let storage = slots.filter_map(|slot| Some((slot.slot, slot.changes.last()?.new_value))).collect();
    // An empty account does not stay (EIP-161).
    let fields = (!info.is_empty()).then(|| fields(&info));
    Some(AccountChange { account: fields, storage_wiped: false, storage })
}

impl Foresight {
    /// Reads the list of a block, on the threads of the current pool.
    pub(crate) fn read(block: &ReadyBlock<'_>, pre_state: &dyn PreState) -> Self {
        let mut writes = vec![Vec::new(); block.transactions.len()];
        let beneficiary = block.header.beneficiary;
        let accounts = block.foretold().par_iter().filter(|account| account.address != beneficiary);
        let foreseen: Vec<Vec<Foreseen>> = accounts.map(|account| foreseen(account, pre_state)).collect();
        for (tx, location, value) in foreseen.into_iter().flatten() {
            if let Some(writes) = writes.get_mut(tx) {
                writes.push((location, value));
            }
        }
        Self { writes }
    }

    /// What a transaction will write, which the scheduler knows as `tx`.
    pub(crate) fn of(&self, index: usize, tx: TxIndex) -> impl Iterator<Item = (Location, Value)> {
        self.writes[index].iter().cloned().map(move |(location, value)| match value {
            Value::Slot(value, _) => (location, Value::Slot(value, Some(tx))),
            Value::Account(_) | Value::By(_) | Value::Code(_) => (location, value),
        })
    }
}

/// How many changes there are to an account.
fn count_changes(account: &AlloyAccountChanges) -> usize {
    let slots = account.storage_changes.iter().map(|slot| slot.changes.len());
    let rest = [account.balance_changes.len(), account.nonce_changes.len(), account.code_changes.len()];
    slots.chain(rest).sum()
}

/// What the transactions will write to one account.
fn foreseen(account: &AlloyAccountChanges, pre_state: &dyn PreState) -> Vec<Foreseen> {
    let mut foreseen = Vec::new();
    // Index 0 is before the transactions.
    let tx = |index: u64| usize::try_from(index.checked_sub(1)?).ok();
    let address = account.address;
    for slot in &account.storage_changes {
        for change in &slot.changes {
            if let Some(tx) = tx(change.block_access_index.0) {
                foreseen.push((tx, Location::Slot(address, slot.slot), Value::Slot(change.new_value, None)));
            }
        }
    }
    let mut changes: BTreeMap<u64, Change<'_>> = BTreeMap::new();
    for change in &account.balance_changes {
        changes.entry(change.block_access_index.0).or_default().balance = Some(change.post_balance);
    }
    for change in &account.nonce_changes {
        changes.entry(change.block_access_index.0).or_default().nonce = Some(change.new_nonce);
    }
    for change in &account.code_changes {
        changes.entry(change.block_access_index.0).or_default().code = Some(&change.new_code);
    }
    // What the witness lacks, nobody can foresee.
    let Ok(found) = pre_state.account(address) else { return foreseen };
    let mut info = found.unwrap_or_default().without_code();
    for (index, change) in changes {
        if let Some(code) = change.code {
            info.code_hash = keccak256(code);
        }
        info.balance = change.balance.unwrap_or(info.balance);
        info.nonce = change.nonce.unwrap_or(info.nonce);
        let Some(tx) = tx(index) else { continue };
        if let Some(code) = change.code
            && let Ok(code) = Bytecode::new_raw_checked(code.clone())
        {
            foreseen.push((tx, Location::Code(info.code_hash), Value::Code(code)));
        }
        let exists = !info.is_empty();
        foreseen.push((tx, Location::Account(address), Value::Account(exists.then(|| info.clone()))));
    }
    foreseen
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Header, TxLegacy};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::Signature;
    use revm::state::bal::BlockAccessIndex;
    use revm::state::bal::alloy::AlloyBalanceChange;

    use super::*;
    use crate::block::{Block, SignedTransaction};
    use crate::chain::Chain;
    use crate::pre_state::PlainState;

    /// A list takes many times its bytes once it is read, so one that cannot be true is not read any further.
    #[test]
    fn a_list_of_more_changes_than_there_is_gas_for_foresees_nothing() {
        const MOST: usize = 20_000_000 / 2_000 + 4 + 256;
        let rules = Chain::at_fork(1, EthereumHardfork::Cancun).rules_at(1, 1);
        let header = Header { gas_limit: 30_000_000, excess_blob_gas: Some(0), ..Header::default() };
        let mut block = Block::uncle(header);
        let signature = Signature::new(U256::ONE, U256::from(2), false);
        let transaction = TxLegacy { gas_limit: 20_000_000, ..TxLegacy::default() };
        let signed = alloy_consensus::Signed::new_unhashed(transaction, signature);
        block.body.transactions = vec![SignedTransaction::Legacy(signed)];
        let block = ReadyBlock::new(&rules, &block, None).unwrap();
        for (count, foreseen) in [(MOST, 1), (MOST + 1, 0)] {
            let change = AlloyBalanceChange {
                block_access_index: BlockAccessIndex::new(1),
                post_balance: U256::from(1),
            };
            let account = AlloyAccountChanges {
                address: Address::repeat_byte(7),
                balance_changes: vec![change; count],
                ..AlloyAccountChanges::default()
            };
            let list = alloy_rlp::encode(vec![account]);
            let block = block.clone().with_access_list(&list);
            let foresight = Foresight::read(&block, &PlainState::default());
            assert_eq!(foresight.of(0, TxIndex(0)).count(), foreseen, "{count} changes");
            assert_eq!(block.foreseen_changes(&PlainState::default()).accounts.len(), foreseen);
        }
        for (bytes, foreseen) in [(256 * MOST - 1_000, 1), (256 * MOST, 0)] {
            let change = AlloyBalanceChange {
                block_access_index: BlockAccessIndex::new(1),
                post_balance: U256::from(1),
            };
            let account = AlloyAccountChanges {
                address: Address::repeat_byte(7),
                balance_changes: vec![change],
                // 33 bytes each.
                storage_reads: vec![U256::MAX; bytes / 33],
                ..AlloyAccountChanges::default()
            };
            let list = alloy_rlp::encode(vec![account]);
            let block = block.clone().with_access_list(&list);
            assert_eq!(block.foreseen_changes(&PlainState::default()).accounts.len(), foreseen, "{bytes}");
        }
    }
}

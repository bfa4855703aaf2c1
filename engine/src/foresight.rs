//! What a block access list (EIP-7928) says that transactions will write.
//!
//! The list comes with the block and names every change with its value. A block is only valid if it is exactly right,
//! so nearly always it is; then each transaction can run at once on the values that those below it have not written
//! yet. But it is a claim like any other. What is taken from it goes into the `MVMemory` as values of runs to come,
//! every one of them is replaced by what the run really writes, and whoever has read a wrong one runs again. The list
//! is compared with the one computed, in its turn.

use core::ops::Range;

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use revm::bytecode::Bytecode;
use revm::state::AccountInfo;
use revm::state::bal::alloy::AlloyBal;
use weft_scheduler::TxIndex;

use crate::location::{Location, Value};
use crate::view::CommittedState;

/// What transactions will write, by access index.
#[derive(Debug, Default)]
pub(crate) struct Foresight(AlloyBal);

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

impl Foresight {
    /// Reads a list. One that does not decode foresees nothing; what is wrong with it is found in its turn.
    pub(crate) fn decode(mut list: &[u8]) -> Self {
        Self(AlloyBal::decode(&mut list).unwrap_or_default())
    }

    /// What the transactions of a stretch will write, on the state before it.
    pub(crate) fn of_stretch(
        &self,
        stretch: Range<u32>,
        before: &dyn CommittedState,
        beneficiary: Address,
    ) -> HashMap<TxIndex, Vec<(Location, Value)>> {
        let mut writes: HashMap<TxIndex, Vec<_>> = HashMap::default();
        // Index 0 is before the transactions.
        let tx = |index: u64| {
            let tx = u32::try_from(index.checked_sub(1)?).ok()?;
            stretch.contains(&tx).then(|| TxIndex(tx - stretch.start))
        };
        for account in self.0.iter().filter(|account| account.address != beneficiary) {
            let address = account.address;
            for slot in &account.storage_changes {
                for change in &slot.changes {
                    if let Some(tx) = tx(change.block_access_index.0) {
                        let value = Value::Slot(change.new_value, Some(tx));
                        writes.entry(tx).or_default().push((Location::Slot(address, slot.slot), value));
                    }
                }
            }
            let mut changes: HashMap<TxIndex, Change<'_>> = HashMap::default();
            for change in &account.balance_changes {
                if let Some(tx) = tx(change.block_access_index.0) {
                    changes.entry(tx).or_default().balance = Some(change.post_balance);
                }
            }
            for change in &account.nonce_changes {
                if let Some(tx) = tx(change.block_access_index.0) {
                    changes.entry(tx).or_default().nonce = Some(change.new_nonce);
                }
            }
            for change in &account.code_changes {
                if let Some(tx) = tx(change.block_access_index.0) {
                    changes.entry(tx).or_default().code = Some(&change.new_code);
                }
            }
            if changes.is_empty() {
                continue;
            }
            // What the witness lacks, nobody can foresee.
            let Ok(mut info) = before.account(address).map(Option::unwrap_or_default) else { continue };
            let mut changes: Vec<_> = changes.into_iter().collect();
            changes.sort_unstable_by_key(|(tx, _)| *tx);
            for (tx, change) in changes {
                let writes = writes.entry(tx).or_default();
                if let Some(code) = change.code {
                    info.code_hash = keccak256(code);
                    if let Ok(code) = Bytecode::new_raw_checked(code.clone()) {
                        writes.push((Location::Code(info.code_hash), Value::Code(code)));
                    }
                }
                info.balance = change.balance.unwrap_or(info.balance);
                info.nonce = change.nonce.unwrap_or(info.nonce);
                let exists = !info.is_empty();
                let value = Value::Account(exists.then(|| AccountInfo::copy_without_code(&info)));
                writes.push((Location::Account(address), value));
            }
        }
        writes
    }
}

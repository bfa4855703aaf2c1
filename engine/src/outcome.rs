//! What running a block gives: receipts, gas, requests, state changes, block access list.

use alloy_consensus::{Eip658Value, TxType};
use alloy_eips::eip7685::Requests;
use alloy_primitives::map::AddressSet;
use alloy_primitives::{Address, B256, Bloom, Log, U256};
use alloy_rlp::{Encodable, Header};
use rayon::prelude::*;
use revm::database::{BundleAccount, BundleState};
use revm::state::AccountInfo;
use revm::state::bal::alloy::AlloyBal;
use weft_trie::{AccountChange, AccountFields, StateChanges};

use crate::blooms::blooms;
use crate::setup::LeftOut;

/// Accounts whose changes take longer to put together than a thread to come.
const CHANGES_MIN: usize = 256;

/// What running a block gives. A function of the block and its pre-state, and of nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Receipts, in block order.
    pub receipts: Vec<TransactionReceipt>,
    /// Gas used by the block as its header counts it.
    pub gas_used: u64,
    /// Blob gas used by the block.
    pub blob_gas_used: u64,
    /// Execution requests (EIP-7685), from Prague on; empty ones are left out.
    pub requests: Requests,
    /// Changes to the state.
    pub changes: Changes,
    /// The block access list (EIP-7928), from Amsterdam on.
    pub block_access_list: Option<AlloyBal>,
    /// What each transaction changed, if the setup asks for it, and before Byzantium, whose receipts hold state roots.
    /// What precedes the first counts with it.
    pub steps: Vec<StateChanges>,
    /// Transactions that are no part of the block, in order, if the setup lets them be left out: all that cannot be, or
    /// the first, before which the block ends.
    pub left_out: Vec<LeftOut>,
}

/// Changes to the state, as revm's `State` gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Accounts, slots and codes, before and after, with reverts.
    pub bundle: BundleState,
    /// Accounts whose storage starts from nothing: created or destroyed in the block.
    pub wiped: AddressSet,
}

impl Changes {
    /// The changes as a trie takes them, put together on the threads of the current pool.
    pub fn to_trie(&self) -> StateChanges {
        // Sorted before they are made: addresses are less to move about.
        let mut accounts: Vec<(Address, &BundleAccount)> =
            self.bundle.state.iter().map(|(address, account)| (*address, account)).collect();
        accounts.sort_unstable_by_key(|(address, _)| *address);
        let accounts = accounts.into_par_iter().with_min_len(CHANGES_MIN);
        let changes = accounts.map(|(address, account)| (address, self.change(address, account)));
        changes.collect::<Vec<_>>().into_iter().collect()
    }

    /// What becomes of an account.
    fn change(&self, address: Address, account: &BundleAccount) -> AccountChange {
        let storage_wiped = self.wiped.contains(&address);
        let storage = account
            .storage
            .iter()
            // After a wipe every slot counts, also one that was set back to what it was before.
            .filter(|(_, slot)| storage_wiped || slot.is_changed())
            .map(|(slot, value)| (*slot, value.present_value))
            .collect();
        AccountChange { account: account.info.as_ref().map(fields), storage_wiped, storage }
    }
}

/// An account as a trie takes it.
pub(crate) fn fields(info: &AccountInfo) -> AccountFields {
    AccountFields { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash }
}

/// A receipt before its bloom is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionReceipt {
    /// EIP-2718 type of the transaction.
    pub tx_type: TxType,
    /// Success (EIP-658), or before Byzantium the state root after the transaction.
    pub status: Eip658Value,
    /// Gas paid for by this and all earlier transactions of the block.
    pub cumulative_gas_used: u64,
    /// Logs, in order.
    pub logs: Vec<Log>,
}

impl TransactionReceipt {
    /// Its fields as the receipts trie holds them.
    fn fields<'r>(&'r self, bloom: &'r Bloom) -> [&'r dyn Encodable; 4] {
        [&self.status, &self.cumulative_gas_used, bloom, &self.logs]
    }

    /// The header of their list.
    fn header(&self, bloom: &Bloom) -> Header {
        let fields = self.fields(bloom).into_iter();
        Header { list: true, payload_length: fields.map(Encodable::length).sum() }
    }

    /// How many bytes the receipts trie holds of it.
    fn length(&self, bloom: &Bloom) -> usize {
        usize::from(self.tx_type != TxType::Legacy) + self.header(bloom).length_with_payload()
    }

    /// Appends the receipt as the receipts trie holds it (EIP-2718).
    fn encode(&self, bloom: &Bloom, out: &mut Vec<u8>) {
        if self.tx_type != TxType::Legacy {
            out.push(self.tx_type.into());
        }
        self.header(bloom).encode(out);
        for field in self.fields(bloom) {
            field.encode(out);
        }
    }
}

/// What a header says of its receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiptsSummary {
    /// Root of the receipts.
    pub root: B256,
    /// Union of their blooms.
    pub bloom: Bloom,
}

impl Outcome {
    /// Root and bloom of the receipts: blooms and hashes on the threads of the current pool, what is hashed on this one.
    pub fn summarize_receipts(&self) -> ReceiptsSummary {
        let blooms = blooms(&self.receipts);
        let bloom = blooms.iter().fold(Bloom::ZERO, |union, bloom| union | *bloom);
        let receipts: Vec<(&TransactionReceipt, &Bloom)> = self.receipts.iter().zip(&blooms).collect();
        let root = weft_trie::ordered_root_with(
            &receipts,
            |(receipt, bloom)| receipt.length(bloom),
            |(receipt, bloom), out| receipt.encode(bloom, out),
        );
        ReceiptsSummary { root, bloom }
    }
}

impl Changes {
    /// Value of `slot` of `address` after the block, if the block changed it.
    pub fn changed_slot(&self, address: Address, slot: U256) -> Option<U256> {
        self.bundle.state.get(&address)?.storage.get(&slot).map(|value| value.present_value)
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Receipt, ReceiptEnvelope};
    use alloy_eips::eip2718::Encodable2718;
    use alloy_primitives::bytes;

    use super::*;

    /// Receipts encode as alloy encodes them, and their blooms are alloy's.
    #[test]
    fn receipts_are_those_of_alloy() {
        let log = |seed: u8, topics: u8| {
            let topics = (0..topics).map(|topic| B256::repeat_byte(31 * seed + topic));
            Log::new_unchecked(Address::repeat_byte(seed), topics.collect(), bytes!("00010203"))
        };
        let statuses =
            [Eip658Value::Eip658(true), Eip658Value::Eip658(false), Eip658Value::PostState(B256::ZERO)];
        let mut receipts = Vec::new();
        for tx_type in [TxType::Legacy, TxType::Eip2930, TxType::Eip1559, TxType::Eip4844, TxType::Eip7702] {
            for (logs, status) in [0, 7, 14].into_iter().zip(statuses) {
                let logs = (0..logs).map(|seed| log(seed % 5, seed % 5)).collect();
                receipts.push(TransactionReceipt {
                    tx_type,
                    status,
                    cumulative_gas_used: 21_000 * receipts.len() as u64,
                    logs,
                });
            }
        }
        for (receipt, bloom) in receipts.iter().zip(blooms(&receipts)) {
            let TransactionReceipt { tx_type, status, cumulative_gas_used, logs } = receipt.clone();
            let expected = Receipt { status, cumulative_gas_used, logs }.with_bloom();
            assert_eq!(bloom, expected.logs_bloom);
            let mut encoded = Vec::new();
            receipt.encode(&bloom, &mut encoded);
            assert_eq!(encoded.len(), receipt.length(&bloom));
            assert_eq!(encoded, ReceiptEnvelope::from_typed(tx_type, expected).encoded_2718());
        }
    }
}

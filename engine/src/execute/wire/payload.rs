//! The block as it travels: `ExecutionPayload`, with the block access list of
//! EIP-7928 and the slot number of EIP-7843.

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use libssz_merkle::Node;

use super::dialect::Schema;
use super::reader::{self, Fixed};
use super::writer::{self, Container};
use super::{DecodeError, EncodeError, Field, root};

/// A block's header fields and body, before anything of it is checked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the specification's field of that name")]
pub struct ExecutionPayload {
    pub parent_hash: B256,
    pub fee_recipient: Address,
    pub state_root: B256,
    pub receipts_root: B256,
    pub logs_bloom: Bloom,
    pub prev_randao: B256,
    pub block_number: u64,
    pub gas_limit: u64,
    pub gas_used: u64,
    pub timestamp: u64,
    pub extra_data: Bytes,
    pub base_fee_per_gas: U256,
    pub block_hash: B256,
    /// Each as in EIP-2718, not decoded.
    pub transactions: Vec<Bytes>,
    pub withdrawals: Vec<Withdrawal>,
    pub blob_gas_used: u64,
    pub excess_blob_gas: u64,
    /// RLP as in EIP-7928, not decoded.
    pub block_access_list: Bytes,
    pub slot_number: u64,
}

/// Bytes of the fixed part, offsets included.
const FIXED_LENGTH: usize = 540;

/// Where the offsets stand in it.
const OFFSETS: [(usize, Field); 4] = [
    (436, Field::ExtraData),
    (504, Field::Transactions),
    (508, Field::Withdrawals),
    (528, Field::BlockAccessList),
];

/// Bytes of one withdrawal.
const WITHDRAWAL_LENGTH: usize = 44;

impl ExecutionPayload {
    /// Reads the payload's own bytes, which lie within `source`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`], if they are not its canonical encoding.
    pub(super) fn decode(source: &Bytes, bytes: &[u8], schema: &Schema) -> Result<Self, DecodeError> {
        let [extra_data, transactions, withdrawals, block_access_list] =
            reader::variable_fields(Field::ExecutionPayload, bytes, FIXED_LENGTH, OFFSETS)?;
        let extra_data = reader::byte_string(source, Field::ExtraData, extra_data, schema.extra_data)?;
        let transactions = reader::byte_strings(
            source,
            Field::Transactions,
            transactions,
            schema.transactions,
            schema.transaction.limit(),
        )?;
        let withdrawals = reader::fixed_items(Field::Withdrawals, withdrawals, schema.withdrawals)?;
        let block_access_list =
            reader::byte_string(source, Field::BlockAccessList, block_access_list, schema.block_access_list)?;

        let mut payload = Self::decode_fixed(Fixed(bytes));
        payload.extra_data = extra_data;
        payload.transactions = transactions;
        payload.withdrawals = withdrawals.iter().map(decode_withdrawal).collect();
        payload.block_access_list = block_access_list;
        Ok(payload)
    }

    /// Reads the fixed part, and leaves the variable fields empty.
    ///
    /// A struct literal is evaluated in the order it is written in, which here is
    /// the order on the wire.
    fn decode_fixed(mut fixed: Fixed<'_>) -> Self {
        Self {
            parent_hash: B256::new(fixed.bytes()),
            fee_recipient: Address::new(fixed.bytes()),
            state_root: B256::new(fixed.bytes()),
            receipts_root: B256::new(fixed.bytes()),
            logs_bloom: Bloom::new(fixed.bytes()),
            prev_randao: B256::new(fixed.bytes()),
            block_number: fixed.u64(),
            gas_limit: fixed.u64(),
            gas_used: fixed.u64(),
            timestamp: fixed.u64(),
            extra_data: skip(&mut fixed),
            base_fee_per_gas: U256::from_le_bytes(fixed.bytes::<32>()),
            block_hash: B256::new(fixed.bytes()),
            transactions: skip(&mut fixed),
            withdrawals: skip(&mut fixed),
            blob_gas_used: fixed.u64(),
            excess_blob_gas: fixed.u64(),
            block_access_list: skip(&mut fixed),
            slot_number: fixed.u64(),
        }
    }

    /// Appends the payload's bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OffsetTooLarge`].
    pub(super) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut container = Container::new(out);
        container.fixed(self.parent_hash.as_slice());
        container.fixed(self.fee_recipient.as_slice());
        container.fixed(self.state_root.as_slice());
        container.fixed(self.receipts_root.as_slice());
        container.fixed(self.logs_bloom.as_slice());
        container.fixed(self.prev_randao.as_slice());
        container.u64(self.block_number);
        container.u64(self.gas_limit);
        container.u64(self.gas_used);
        container.u64(self.timestamp);
        let extra_data = container.offset();
        container.fixed(&self.base_fee_per_gas.to_le_bytes::<32>());
        container.fixed(self.block_hash.as_slice());
        let transactions = container.offset();
        let withdrawals = container.offset();
        container.u64(self.blob_gas_used);
        container.u64(self.excess_blob_gas);
        let block_access_list = container.offset();
        container.u64(self.slot_number);

        container.field(extra_data)?.extend_from_slice(&self.extra_data);
        writer::byte_strings(container.field(transactions)?, &self.transactions)?;
        container.field(withdrawals)?.extend(self.withdrawals.iter().flat_map(encode_withdrawal));
        container.field(block_access_list)?.extend_from_slice(&self.block_access_list);
        Ok(())
    }

    /// `hash_tree_root` of the payload.
    pub(super) fn root(&self, schema: &Schema) -> Node {
        let transaction_roots =
            self.transactions.iter().map(|bytes| root::byte_list(bytes, schema.transaction));
        let withdrawal_roots = self
            .withdrawals
            .iter()
            .map(|withdrawal| root::flat_container(&encode_withdrawal(withdrawal), &[8, 8, 20, 8]));
        let fields = [
            self.parent_hash.0,
            root::vector(self.fee_recipient.as_slice()),
            self.state_root.0,
            self.receipts_root.0,
            root::vector(self.logs_bloom.as_slice()),
            self.prev_randao.0,
            root::vector(&self.block_number.to_le_bytes()),
            root::vector(&self.gas_limit.to_le_bytes()),
            root::vector(&self.gas_used.to_le_bytes()),
            root::vector(&self.timestamp.to_le_bytes()),
            root::byte_list(&self.extra_data, schema.extra_data),
            self.base_fee_per_gas.to_le_bytes(),
            self.block_hash.0,
            root::list(transaction_roots, schema.transactions),
            root::list(withdrawal_roots, schema.withdrawals),
            root::vector(&self.blob_gas_used.to_le_bytes()),
            root::vector(&self.excess_blob_gas.to_le_bytes()),
            root::byte_list(&self.block_access_list, schema.block_access_list),
            root::vector(&self.slot_number.to_le_bytes()),
        ];
        root::container(fields, schema.progressive_containers)
    }
}

/// Steps over an offset; the field it stands for is filled in later.
fn skip<T: Default>(fixed: &mut Fixed<'_>) -> T {
    fixed.offset();
    T::default()
}

/// One withdrawal (EIP-4895; the amount is in Gwei).
fn decode_withdrawal(bytes: &[u8; WITHDRAWAL_LENGTH]) -> Withdrawal {
    let mut fixed = Fixed(bytes);
    Withdrawal {
        index: fixed.u64(),
        validator_index: fixed.u64(),
        address: Address::new(fixed.bytes()),
        amount: fixed.u64(),
    }
}

/// The bytes of one withdrawal.
fn encode_withdrawal(withdrawal: &Withdrawal) -> [u8; WITHDRAWAL_LENGTH] {
    let mut bytes = [0; WITHDRAWAL_LENGTH];
    bytes[..8].copy_from_slice(&withdrawal.index.to_le_bytes());
    bytes[8..16].copy_from_slice(&withdrawal.validator_index.to_le_bytes());
    bytes[16..36].copy_from_slice(withdrawal.address.as_slice());
    bytes[36..].copy_from_slice(&withdrawal.amount.to_le_bytes());
    bytes
}

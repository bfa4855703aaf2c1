//! Small inputs built by the encoder, and what becomes of them when changed.

mod canonical;
mod dialects;
mod limits;
mod reference;
mod requests;

use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Bloom, Bytes, U256};

use super::{Dialect, ExecutionPayload, ExecutionWitness, PUBLIC_KEY_LENGTH, StatelessInput};

/// Every dialect there is.
const DIALECTS: [Dialect; 3] = [Dialect::V21_0_1, Dialect::V21_0_0, Dialect::V0_3_3];

/// Bytes of one request of each type.
const REQUEST_LENGTHS: [usize; 5] = [192, 76, 116, 184, 68];

/// An input in which no field is empty or like another.
fn sample(dialect: Dialect) -> StatelessInput {
    let payload = ExecutionPayload {
        parent_hash: B256::repeat_byte(1),
        fee_recipient: Address::repeat_byte(2),
        state_root: B256::repeat_byte(3),
        receipts_root: B256::repeat_byte(4),
        logs_bloom: Bloom::repeat_byte(5),
        prev_randao: B256::repeat_byte(6),
        block_number: 7,
        gas_limit: 8,
        gas_used: 9,
        timestamp: 10,
        extra_data: strings(&[5])[0].clone(),
        base_fee_per_gas: U256::from(11) << 200,
        block_hash: B256::repeat_byte(12),
        transactions: strings(&[0, 1, 31, 32, 33, 200]),
        withdrawals: (13..16).map(withdrawal).collect(),
        blob_gas_used: 17,
        excess_blob_gas: 18,
        block_access_list: strings(&[700])[0].clone(),
        slot_number: 19,
    };
    let input = StatelessInput {
        dialect: Dialect::V21_0_0,
        chain_id: 0x1122_3344_5566_7788,
        payload,
        versioned_hashes: vec![B256::repeat_byte(20), B256::repeat_byte(21)],
        parent_beacon_block_root: B256::repeat_byte(22),
        execution_requests: (0_u8..).zip(REQUEST_LENGTHS).map(|(kind, n)| entry(kind, 2 * n)).collect(),
        witness: ExecutionWitness {
            state: strings(&[3, 0, 2]),
            codes: strings(&[4, 4]),
            headers: strings(&[6]),
        },
        public_keys: Some(vec![[23; PUBLIC_KEY_LENGTH], [24; PUBLIC_KEY_LENGTH]]),
        new_payload_request_root: B256::ZERO,
    };
    input.into_dialect(dialect).unwrap()
}

/// The same input with every list empty.
fn empty(dialect: Dialect) -> StatelessInput {
    let input = sample(dialect);
    let payload = ExecutionPayload {
        extra_data: Bytes::new(),
        transactions: Vec::new(),
        withdrawals: Vec::new(),
        block_access_list: Bytes::new(),
        ..input.payload
    };
    let bare = StatelessInput {
        payload,
        versioned_hashes: Vec::new(),
        execution_requests: Vec::new(),
        witness: ExecutionWitness::default(),
        public_keys: None,
        ..input
    };
    bare.into_dialect(dialect).unwrap()
}

/// An EIP-7685 entry of this type with this many bytes of requests.
fn entry(request_type: u8, length: usize) -> Bytes {
    let data = (0..length).map(|i| u8::try_from(i % 251).unwrap());
    [request_type].into_iter().chain(data).collect()
}

/// Byte strings of these lengths.
fn strings(lengths: &[usize]) -> Vec<Bytes> {
    lengths.iter().map(|length| vec![0xa5; *length].into()).collect()
}

/// A withdrawal made of one number.
fn withdrawal(number: u8) -> Withdrawal {
    Withdrawal {
        index: number.into(),
        validator_index: u64::MAX - u64::from(number),
        address: Address::repeat_byte(number),
        amount: u64::from(number) << 40,
    }
}

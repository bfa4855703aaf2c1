//! The block that a payload stands for.
//!
//! A payload lists the transactions as bytes and leaves out what can be computed; the header is put together from
//! both, and must hash to what the payload claims.

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{BlockBody, Header, Transaction};
use alloy_eips::eip2718::{Decodable2718, Eip2718Error};
use alloy_eips::eip4895::Withdrawals;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{B64, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use weft_trie::ordered_root_with;

use super::wire::StatelessInput;
use crate::block::{Block, SignedTransaction};
use crate::error::{BlockError, Claim, Commitment, HeaderError, TransactionDecodeError};

/// Puts the block together and checks that it hashes to the payload's block hash.
///
/// # Errors
///
/// [`BlockError`] if a transaction does not decode, if the hash differs, or if the versioned hashes are not those
/// of the blob transactions.
pub(super) fn to_block(input: &StatelessInput) -> Result<Block, BlockError> {
    let payload = &input.payload;
    if let Some(index) = payload.transactions.iter().position(|bytes| bytes.is_empty()) {
        return Err(BlockError::TransactionMalformed { index, reason: TransactionDecodeError::Empty });
    }
    // Before their root: it takes hundreds of bytes of memory for each, and what does not decode may be one byte.
    let transactions = payload
        .transactions
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            transaction(bytes).map_err(|reason| BlockError::TransactionMalformed { index, reason })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let withdrawals = Withdrawals::new(payload.withdrawals.clone());
    let header = header(input, &withdrawals)?;
    let computed = header.hash_slow();
    if computed != payload.block_hash {
        return Err(BlockError::Commitment {
            field: Commitment::BlockHash,
            computed: Claim::Hash(computed),
            claimed: Claim::Hash(payload.block_hash),
        });
    }
    let blob_hashes =
        transactions.iter().filter_map(|transaction| transaction.blob_versioned_hashes()).flatten();
    if !blob_hashes.eq(&input.versioned_hashes) {
        return Err(BlockError::VersionedHashes);
    }
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(withdrawals) };
    Ok(Block { header, body })
}

/// The Amsterdam header of a payload.
fn header(input: &StatelessInput, withdrawals: &Withdrawals) -> Result<Header, HeaderError> {
    let payload = &input.payload;
    let base_fee_per_gas = u64::try_from(payload.base_fee_per_gas)
        .map_err(|_| HeaderError::Range { field: "base_fee_per_gas" })?;
    let requests = Requests::new(input.execution_requests.clone());
    Ok(Header {
        parent_hash: payload.parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: payload.fee_recipient,
        state_root: payload.state_root,
        transactions_root: ordered_root_with(
            &payload.transactions,
            |bytes| bytes.len(),
            |bytes, out| out.extend_from_slice(bytes),
        ),
        receipts_root: payload.receipts_root,
        logs_bloom: payload.logs_bloom,
        difficulty: U256::ZERO,
        number: payload.block_number,
        gas_limit: payload.gas_limit,
        gas_used: payload.gas_used,
        timestamp: payload.timestamp,
        extra_data: payload.extra_data.clone(),
        mix_hash: payload.prev_randao,
        nonce: B64::ZERO,
        base_fee_per_gas: Some(base_fee_per_gas),
        withdrawals_root: Some(withdrawals_root(withdrawals)),
        blob_gas_used: Some(payload.blob_gas_used),
        excess_blob_gas: Some(payload.excess_blob_gas),
        parent_beacon_block_root: Some(input.parent_beacon_block_root),
        requests_hash: Some(requests.requests_hash()),
        block_access_list_hash: Some(keccak256(&payload.block_access_list)),
        slot_number: Some(payload.slot_number),
    })
}

/// Root of the withdrawals (EIP-4895).
pub(super) fn withdrawals_root(withdrawals: &Withdrawals) -> B256 {
    ordered_root_with(withdrawals, Encodable::length, |withdrawal, out| withdrawal.encode(out))
}

/// Decodes a transaction that must take all of `bytes`.
fn transaction(bytes: &Bytes) -> Result<SignedTransaction, TransactionDecodeError> {
    let mut rest = bytes.as_ref();
    let transaction = SignedTransaction::decode_2718(&mut rest).map_err(|error| match error {
        Eip2718Error::UnexpectedType(kind) => TransactionDecodeError::Type(kind),
        Eip2718Error::RlpError(error) => TransactionDecodeError::Rlp(error),
        _ => TransactionDecodeError::Rlp(alloy_rlp::Error::Custom("not a transaction")),
    })?;
    if rest.is_empty() {
        Ok(transaction)
    } else {
        Err(TransactionDecodeError::Rlp(alloy_rlp::Error::UnexpectedLength))
    }
}

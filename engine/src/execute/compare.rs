//! What a header commits to, against what its block computed to.

use alloy_consensus::Header;
use alloy_primitives::{B256, Bloom, keccak256};

use crate::error::{BlockError, Claim, Commitment};
use crate::outcome::{Outcome, ReceiptsSummary};

/// What a block computed to.
#[derive(Debug)]
pub(crate) struct Computation<'a> {
    /// Gas, requests, access list.
    pub(crate) outcome: &'a Outcome,
    /// Post-state root, where one can be had.
    pub(crate) state_root: Option<B256>,
    /// Receipts root and bloom, where they can be had.
    pub(crate) receipts: Option<ReceiptsSummary>,
}

/// Compares the gas used, which comes before everything that has to be hashed.
///
/// # Errors
///
/// [`BlockError::Commitment`].
pub(crate) fn check_gas(header: &Header, outcome: &Outcome) -> Result<(), BlockError> {
    check(Commitment::GasUsed, outcome.gas_used.into(), header.gas_used.into())
}

/// Compares everything else, in the reference's order.
///
/// # Errors
///
/// [`BlockError::Commitment`] of the first value that differs.
pub(crate) fn compare(header: &Header, computation: &Computation<'_>) -> Result<(), BlockError> {
    let Computation { outcome, state_root, receipts } = computation;
    let hash = |root: Option<B256>| root.map_or(Claim::Absent, Claim::Hash);
    let number = |number: Option<u64>| number.map_or(Claim::Absent, Claim::Number);
    let bloom = |bloom: &Bloom| Claim::Bloom(keccak256(bloom));
    if let Some(root) = state_root {
        check(Commitment::StateRoot, (*root).into(), header.state_root.into())?;
    }
    if let Some(receipts) = receipts {
        check(Commitment::ReceiptsRoot, receipts.root.into(), header.receipts_root.into())?;
        check(Commitment::LogsBloom, bloom(&receipts.bloom), bloom(&header.logs_bloom))?;
    }
    let blob_gas_used = header.blob_gas_used.map(|_| outcome.blob_gas_used);
    check(Commitment::BlobGasUsed, number(blob_gas_used), number(header.blob_gas_used))?;
    let requests_hash = header.requests_hash.map(|_| outcome.requests.requests_hash());
    check(Commitment::RequestsHash, hash(requests_hash), hash(header.requests_hash))?;
    let list_hash = outcome.block_access_list.as_ref().map(|list| keccak256(alloy_rlp::encode(list)));
    check(Commitment::BlockAccessListHash, hash(list_hash), hash(header.block_access_list_hash))
}

/// One commitment.
fn check(field: Commitment, computed: Claim, claimed: Claim) -> Result<(), BlockError> {
    if computed == claimed { Ok(()) } else { Err(BlockError::Commitment { field, computed, claimed }) }
}

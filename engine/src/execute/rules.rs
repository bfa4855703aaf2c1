//! A block's header against its parent, and its body against its header: everything that needs no execution.

use std::cmp::Ordering;

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{Header, proofs};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B64, B256, U256};
use alloy_rlp::Encodable;
use revm::primitives::hardfork::SpecId;
use weft_trie::ordered_root_with;

use super::payload::withdrawals_root;
use crate::blobs;
use crate::block::Block;
use crate::chain::Rules;
use crate::error::{BlockError, Claim, Commitment, HeaderError};

/// Bytes of the RLP of a block, from Osaka on (EIP-7934: 10 MiB less a margin of 2 MiB for the consensus layer).
const MAX_BLOCK_SIZE: usize = 8 * 1024 * 1024;
/// Lowest gas limit of a block.
const MIN_GAS_LIMIT: u64 = 5_000;
/// A gas limit may change by less than this fraction of the parent's.
const GAS_LIMIT_DIVISOR: u64 = 1_024;
/// Base fee of the first London block (EIP-1559).
const INITIAL_BASE_FEE: u64 = 1_000_000_000;
/// Bytes of `extra_data`.
const MAX_EXTRA_DATA: usize = 32;

/// Checks a header against its parent.
///
/// # Errors
///
/// The first [`HeaderError`] found.
pub(super) fn check_header(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    if header.number == 0 {
        return Err(HeaderError::Range { field: "number" });
    }
    check_blob_fields(rules, header, parent)?;
    check_gas_limit(rules, header, parent)?;
    check_base_fee(rules, header, parent)?;
    if header.timestamp <= parent.timestamp {
        return Err(HeaderError::Range { field: "timestamp" });
    }
    if parent.number.checked_add(1) != Some(header.number) {
        return Err(HeaderError::Value {
            field: "number",
            found: U256::from(header.number),
            expected: U256::from(parent.number) + U256::ONE,
        });
    }
    check_alone(rules, header)
}

/// Checks what a header must be whatever its parent is.
///
/// # Errors
///
/// [`HeaderError`] of the first field that is wrong.
pub(crate) fn check_alone(rules: &Rules, header: &Header) -> Result<(), HeaderError> {
    if header.extra_data.len() > MAX_EXTRA_DATA {
        return Err(HeaderError::Range { field: "extra_data" });
    }
    if header.gas_used > header.gas_limit {
        return Err(HeaderError::Range { field: "gas_used" });
    }
    if rules.header_has(SpecId::MERGE) {
        if !header.difficulty.is_zero() {
            return Err(HeaderError::Range { field: "difficulty" });
        }
        if header.nonce != B64::ZERO {
            return Err(HeaderError::Range { field: "nonce" });
        }
        if header.ommers_hash != EMPTY_OMMER_ROOT_HASH {
            return Err(HeaderError::Range { field: "ommers_hash" });
        }
    }
    let fields = [
        ("base_fee_per_gas", SpecId::LONDON, header.base_fee_per_gas.is_some()),
        ("withdrawals_root", SpecId::SHANGHAI, header.withdrawals_root.is_some()),
        ("blob_gas_used", SpecId::CANCUN, header.blob_gas_used.is_some()),
        ("excess_blob_gas", SpecId::CANCUN, header.excess_blob_gas.is_some()),
        ("parent_beacon_block_root", SpecId::CANCUN, header.parent_beacon_block_root.is_some()),
        ("requests_hash", SpecId::PRAGUE, header.requests_hash.is_some()),
        ("block_access_list_hash", SpecId::AMSTERDAM, header.block_access_list_hash.is_some()),
        ("slot_number", SpecId::AMSTERDAM, header.slot_number.is_some()),
    ];
    match fields.into_iter().find(|&(_, fork, present)| rules.header_has(fork) != present) {
        Some((field, ..)) => Err(HeaderError::Presence { field }),
        None => Ok(()),
    }
}

/// Excess blob gas follows from the parent (EIP-4844, EIP-7918).
fn check_blob_fields(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let Some(params) = &rules.blobs else { return Ok(()) };
    let found = header.excess_blob_gas.ok_or(HeaderError::Presence { field: "excess_blob_gas" })?;
    // The first Cancun block's parent has neither field: both count as zero.
    let expected = blobs::next_excess(
        params,
        parent.excess_blob_gas.unwrap_or_default(),
        parent.blob_gas_used.unwrap_or_default(),
        parent.base_fee_per_gas.unwrap_or_default(),
    )?;
    check_value("excess_blob_gas", found, expected)
}

/// The gas limit moves by less than 1/1024 of the parent's.
fn check_gas_limit(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let parent_limit = gas_limit_before(rules, parent);
    let change = header.gas_limit.abs_diff(parent_limit);
    if change >= parent_limit / GAS_LIMIT_DIVISOR || header.gas_limit < MIN_GAS_LIMIT {
        return Err(HeaderError::Range { field: "gas_limit" });
    }
    Ok(())
}

/// The parent's gas limit as its child sees it: London doubled it, so that the target stayed what it was.
fn gas_limit_before(rules: &Rules, parent: &Header) -> u64 {
    if rules.has(SpecId::LONDON) && parent.base_fee_per_gas.is_none() {
        parent.gas_limit.saturating_mul(2)
    } else {
        parent.gas_limit
    }
}

/// The base fee follows from the parent (EIP-1559).
fn check_base_fee(rules: &Rules, header: &Header, parent: &Header) -> Result<(), HeaderError> {
    if !rules.has(SpecId::LONDON) {
        return Ok(());
    }
    let found = header.base_fee_per_gas.ok_or(HeaderError::Presence { field: "base_fee_per_gas" })?;
    let Some(base_fee) = parent.base_fee_per_gas else {
        return check_value("base_fee_per_gas", found, INITIAL_BASE_FEE);
    };
    check_value("base_fee_per_gas", found, next_base_fee(parent.gas_used, parent.gas_limit, base_fee)?)
}

/// The base fee after a block (EIP-1559): it moves by up to an eighth with the gas used above or below the target.
///
/// A parent that nobody executed may name any numbers, so nothing wraps here.
fn next_base_fee(gas_used: u64, gas_limit: u64, base_fee: u64) -> Result<u64, HeaderError> {
    let BaseFeeParams { elasticity_multiplier, max_change_denominator } = BaseFeeParams::ethereum();
    // The gas limit was checked: the parent's is far from zero, and so is its target.
    let target = u128::from(gas_limit) / elasticity_multiplier;
    let (gas_used, base_fee) = (u128::from(gas_used), u128::from(base_fee));
    let change = base_fee * gas_used.abs_diff(target) / target / max_change_denominator;
    let next = match gas_used.cmp(&target) {
        Ordering::Greater => base_fee + change.max(1),
        Ordering::Equal => base_fee,
        Ordering::Less => base_fee - change,
    };
    u64::try_from(next).map_err(|_| HeaderError::Range { field: "base_fee_per_gas" })
}

/// A field that has one right value.
fn check_value(field: &'static str, found: u64, expected: u64) -> Result<(), HeaderError> {
    if found == expected {
        return Ok(());
    }
    Err(HeaderError::Value { field, found: U256::from(found), expected: U256::from(expected) })
}

/// Checks the size of a block (EIP-7934).
///
/// # Errors
///
/// [`BlockError::Size`].
pub(super) fn check_size(rules: &Rules, block: &Block) -> Result<(), BlockError> {
    let size = block.length();
    if rules.header_has(SpecId::OSAKA) && size > MAX_BLOCK_SIZE {
        return Err(BlockError::Size { size, limit: MAX_BLOCK_SIZE });
    }
    Ok(())
}

/// Checks that a body is the one its header commits to.
///
/// # Errors
///
/// [`BlockError::Commitment`].
pub(crate) fn check_body(block: &Block) -> Result<(), BlockError> {
    let Block { header, body } = block;
    let roots = [
        (
            Commitment::TransactionsRoot,
            ordered_root_with(&body.transactions, Encodable2718::encode_2718_len, |transaction, out| {
                transaction.encode_2718(out);
            }),
            header.transactions_root,
        ),
        (Commitment::OmmersHash, proofs::calculate_ommers_root(&body.ommers), header.ommers_hash),
    ];
    for (field, computed, claimed) in roots {
        if computed != claimed {
            return Err(BlockError::Commitment { field, computed: computed.into(), claimed: claimed.into() });
        }
    }
    let computed = body.withdrawals.as_ref().map(withdrawals_root);
    if computed != header.withdrawals_root {
        let claim = |root: Option<B256>| root.map_or(Claim::Absent, Claim::Hash);
        let (computed, claimed) = (claim(computed), claim(header.withdrawals_root));
        return Err(BlockError::Commitment { field: Commitment::WithdrawalsRoot, computed, claimed });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_fee_is_alloys_where_a_chain_can_be() {
        for gas_limit in [5_000, 30_000_000, 36_000_001] {
            for gas_used in [0, 1, gas_limit / 2, gas_limit / 2 + 1, gas_limit] {
                for base_fee in [0, 1, 7, 1_000_000_000, 500_000_000_000] {
                    let expected = alloy_eips::calc_next_block_base_fee(
                        gas_used,
                        gas_limit,
                        base_fee,
                        BaseFeeParams::ethereum(),
                    );
                    assert_eq!(next_base_fee(gas_used, gas_limit, base_fee), Ok(expected));
                }
            }
        }
    }

    /// A parent that nobody executed can have used more gas than there is.
    #[test]
    fn a_base_fee_beyond_64_bits_is_out_of_range() {
        let range = Err(HeaderError::Range { field: "base_fee_per_gas" });
        assert_eq!(next_base_fee(u64::MAX, 5_000, u64::MAX), range);
        assert_eq!(next_base_fee(u64::MAX, 30_000_000, u64::MAX / 4), range);
    }
}

//! The blob fee market on headers that may be hostile (EIP-4844, EIP-7918).
//!
//! alloy's functions compute the same on values that a real chain can reach; on others they overflow or loop for
//! a very long time. Here every step is checked.

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::U256;

use crate::error::HeaderError;

/// The error of an excess that no chain can reach.
const UNREACHABLE_EXCESS: HeaderError = HeaderError::Range { field: "excess_blob_gas" };

/// The most blob gas of a block.
pub(crate) fn max_gas(params: &BlobParams) -> u64 {
    params.max_blob_count.saturating_mul(DATA_GAS_PER_BLOB)
}

/// Price of one blob gas, in wei: `min_blob_fee · e^(excess / update_fraction)` by EIP-4844's series.
///
/// # Errors
///
/// [`HeaderError::Range`] if the price is beyond 128 bits. A chain would have to run full blocks for months with
/// nobody able to pay for them.
pub(crate) fn base_fee(params: &BlobParams, excess_blob_gas: u64) -> Result<u128, HeaderError> {
    let excess = U256::from(excess_blob_gas);
    let fraction = U256::from(params.update_fraction);
    // e^89 > 2^128: beyond it the series would only be summed to be rejected.
    if fraction.is_zero() || excess / fraction >= U256::from(89) {
        return Err(UNREACHABLE_EXCESS);
    }
    let mut sum = U256::ZERO;
    let mut term = U256::from(params.min_blob_fee) * fraction;
    let mut step = U256::ZERO;
    while !term.is_zero() {
        sum = sum.checked_add(term).ok_or(UNREACHABLE_EXCESS)?;
        step += U256::ONE;
        term = term.checked_mul(excess).ok_or(UNREACHABLE_EXCESS)? / (fraction * step);
    }
    u128::try_from(sum / fraction).map_err(|_| UNREACHABLE_EXCESS)
}

/// Excess blob gas of the block after one with these values.
///
/// # Errors
///
/// [`HeaderError::Range`] if the parent's values are none that a chain can reach.
pub(crate) fn next_excess(
    params: &BlobParams,
    excess_blob_gas: u64,
    blob_gas_used: u64,
    base_fee_per_gas: u64,
) -> Result<u64, HeaderError> {
    let sum = excess_blob_gas.checked_add(blob_gas_used).ok_or(UNREACHABLE_EXCESS)?;
    let Some(above_target) = sum.checked_sub(params.target_blob_count.saturating_mul(DATA_GAS_PER_BLOB))
    else {
        return Ok(0);
    };
    if params.blob_base_cost == 0 {
        return Ok(above_target);
    }
    // EIP-7918: while execution costs more than the blobs, the excess falls slower.
    let execution_cost = U256::from(params.blob_base_cost) * U256::from(base_fee_per_gas);
    let blob_cost = U256::from(DATA_GAS_PER_BLOB) * U256::from(base_fee(params, excess_blob_gas)?);
    if execution_cost <= blob_cost {
        return Ok(above_target);
    }
    // A chain's configuration may name any numbers.
    let above = u128::from(params.max_blob_count.saturating_sub(params.target_blob_count));
    let growth = u128::from(blob_gas_used) * above / u128::from(params.max_blob_count.max(1));
    u64::try_from(u128::from(excess_blob_gas) + growth).map_err(|_| UNREACHABLE_EXCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_alloy_where_a_chain_can_be() {
        for params in [BlobParams::cancun(), BlobParams::prague(), BlobParams::osaka(), BlobParams::bpo2()] {
            for excess in [0, 1, 131_072, 2_621_440, 10_000_000, 100_000_000, 200_000_000] {
                assert_eq!(base_fee(&params, excess), Ok(params.calc_blob_fee(excess)));
                for used in [0, 131_072, 786_432, 1_179_648] {
                    for base in [7, 1_000_000_000, 500_000_000_000] {
                        assert_eq!(
                            next_excess(&params, excess, used, base),
                            Ok(params.next_block_excess_blob_gas_osaka(excess, used, base))
                        );
                    }
                }
            }
        }
    }

    /// A configuration can name any numbers.
    #[test]
    fn a_schedule_without_blobs_divides_by_nothing() {
        let none = BlobParams { target_blob_count: 0, max_blob_count: 0, ..BlobParams::osaka() };
        assert_eq!(next_excess(&none, 5, 0, 1_000_000_000_000), Ok(5));
        let upside_down = BlobParams { target_blob_count: 9, max_blob_count: 1, ..BlobParams::osaka() };
        assert_eq!(next_excess(&upside_down, 0, 9 * 131_072, 1_000_000_000_000), Ok(0));
    }

    #[test]
    fn a_schedule_beyond_all_numbers_does_not_wrap() {
        let endless =
            BlobParams { target_blob_count: u64::MAX, max_blob_count: u64::MAX, ..BlobParams::osaka() };
        assert_eq!(next_excess(&endless, 5, 1 << 40, 7), Ok(0));
        assert_eq!(max_gas(&endless), u64::MAX);
        assert_eq!(max_gas(&BlobParams::osaka()), BlobParams::osaka().max_blob_gas_per_block());
        let fraction =
            BlobParams { update_fraction: 1 << 100, min_blob_fee: u128::MAX, ..BlobParams::osaka() };
        assert_eq!(base_fee(&fraction, u64::MAX), Err(UNREACHABLE_EXCESS));
        assert_eq!(base_fee(&fraction, 0), Ok(u128::MAX));
    }

    #[test]
    fn hostile_values_are_errors_at_once() {
        let params = BlobParams::bpo2();
        assert_eq!(base_fee(&params, u64::MAX), Err(UNREACHABLE_EXCESS));
        assert_eq!(next_excess(&params, u64::MAX, 1, 7), Err(UNREACHABLE_EXCESS));
        assert_eq!(next_excess(&params, u64::MAX - 1, 1, 7), Err(UNREACHABLE_EXCESS));
        assert_eq!(next_excess(&params, 0, u64::MAX, 7), Ok(u64::MAX - params.target_blob_gas_per_block()));
    }
}

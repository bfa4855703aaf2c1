//! When each fork of a chain begins, as ethrex wants to be told.
//!
//! The published crates carry no genesis files, so the two networks that have
//! witness files are written out here. The stateless path starts at Paris, and
//! every fork after it goes by time; the block numbers of older forks matter to
//! nothing.

use anyhow::{Result, bail};
use ethrex_common::{
    constants::MAINNET_DEPOSIT_CONTRACT_ADDRESS,
    types::{BlobSchedule, ChainConfig, ForkBlobSchedule},
};

/// Forks and blob limits of mainnet (1) and hoodi (560048).
///
/// # Errors
///
/// If the chain is neither of the two.
pub fn chain_config(chain_id: u64) -> Result<ChainConfig> {
    let times = match chain_id {
        1 => ForkTimes {
            shanghai: 1_681_338_455,
            cancun: 1_710_338_135,
            prague: 1_746_612_311,
            osaka: 1_764_798_551,
            bpo1: 1_765_290_071,
            bpo2: 1_767_747_671,
        },
        560_048 => ForkTimes {
            shanghai: 0,
            cancun: 0,
            prague: 1_742_999_832,
            osaka: 1_761_677_592,
            bpo1: 1_762_365_720,
            bpo2: 1_762_955_544,
        },
        other => bail!("chain {other} is not known: only mainnet (1) and hoodi (560048) are"),
    };
    Ok(ChainConfig {
        chain_id,
        terminal_total_difficulty: Some(0),
        terminal_total_difficulty_passed: true,
        shanghai_time: Some(times.shanghai),
        cancun_time: Some(times.cancun),
        prague_time: Some(times.prague),
        osaka_time: Some(times.osaka),
        bpo1_time: Some(times.bpo1),
        bpo2_time: Some(times.bpo2),
        blob_schedule: BlobSchedule {
            bpo1: ForkBlobSchedule { target: 10, max: 15, base_fee_update_fraction: 8_346_193 },
            bpo2: ForkBlobSchedule { target: 14, max: 21, base_fee_update_fraction: 11_684_671 },
            // Cancun, Prague and Osaka are the same on every network.
            ..BlobSchedule::default()
        },
        // Hoodi deposits go to the same address.
        deposit_contract_address: MAINNET_DEPOSIT_CONTRACT_ADDRESS,
        ..ChainConfig::default()
    })
}

/// The first second of each fork after Paris.
struct ForkTimes {
    /// Withdrawals.
    shanghai: u64,
    /// Blobs and the beacon root.
    cancun: u64,
    /// Requests, delegations and stored block hashes.
    prague: u64,
    /// The cap on a transaction's gas.
    osaka: u64,
    /// More blobs.
    bpo1: u64,
    /// More blobs again.
    bpo2: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ethrex_common::types::Fork;

    #[test]
    fn mainnet_forks_follow_time() {
        let config = chain_config(1).expect("mainnet is known");
        assert_eq!(config.fork(1_663_224_179), Fork::Paris);
        assert_eq!(config.fork(1_710_338_134), Fork::Shanghai);
        assert_eq!(config.fork(1_710_338_135), Fork::Cancun);
        assert_eq!(config.fork(1_767_747_671), Fork::BPO2);
    }

    #[test]
    fn hoodi_begins_in_cancun() {
        let config = chain_config(560_048).expect("hoodi is known");
        assert_eq!(config.fork(1), Fork::Cancun);
        assert_eq!(config.fork(1_742_999_832), Fork::Prague);
    }
}

//! A chain as a geth-style configuration describes it.

use alloy_eips::eip7892::BlobScheduleBlobParams;
use alloy_genesis::ChainConfig;
use alloy_hardforks::mainnet::{MAINNET_PARIS_BLOCK, MAINNET_PARIS_TTD};
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, ForkCondition};

use super::{Chain, DEPOSIT_CONTRACT, scheduled};

impl Chain {
    /// The chain described by a geth-style configuration (`config` in `genesis.json`).
    ///
    /// Such a configuration rarely names the block of the merge. Mainnet's is known by its total difficulty. A chain
    /// that names no total difficulty, or none above zero, and forks behind the merge, has never been without it. Of
    /// any other, the blocks before Shanghai count as blocks before the merge.
    pub fn from_config(config: &ChainConfig) -> Self {
        let block = |number: Option<u64>| number.map(ForkCondition::Block);
        let time = |time: Option<u64>| time.map(ForkCondition::Timestamp);
        let forks = [
            (EthereumHardfork::Frontier, Some(ForkCondition::Block(0))),
            (EthereumHardfork::Homestead, block(config.homestead_block)),
            (EthereumHardfork::Dao, block(config.dao_fork_block.filter(|_| config.dao_fork_support))),
            (EthereumHardfork::Tangerine, block(config.eip150_block)),
            (EthereumHardfork::SpuriousDragon, block(config.eip155_block.max(config.eip158_block))),
            (EthereumHardfork::Byzantium, block(config.byzantium_block)),
            (EthereumHardfork::Constantinople, block(config.constantinople_block)),
            // A chain that does not name it went past Constantinople at once.
            (EthereumHardfork::Petersburg, block(config.petersburg_block.or(config.constantinople_block))),
            (EthereumHardfork::Istanbul, block(config.istanbul_block)),
            (EthereumHardfork::MuirGlacier, block(config.muir_glacier_block)),
            (EthereumHardfork::Berlin, block(config.berlin_block)),
            (EthereumHardfork::London, block(config.london_block)),
            (EthereumHardfork::ArrowGlacier, block(config.arrow_glacier_block)),
            (EthereumHardfork::GrayGlacier, block(config.gray_glacier_block)),
            (EthereumHardfork::Paris, block(merge_block(config))),
            (EthereumHardfork::Shanghai, time(config.shanghai_time)),
            (EthereumHardfork::Cancun, time(config.cancun_time)),
            (EthereumHardfork::Prague, time(config.prague_time)),
            (EthereumHardfork::Osaka, time(config.osaka_time)),
            (EthereumHardfork::Bpo1, time(config.bpo1_time)),
            (EthereumHardfork::Bpo2, time(config.bpo2_time)),
            (EthereumHardfork::Bpo3, time(config.bpo3_time)),
            (EthereumHardfork::Bpo4, time(config.bpo4_time)),
            (EthereumHardfork::Bpo5, time(config.bpo5_time)),
            (EthereumHardfork::Amsterdam, time(config.amsterdam_time)),
        ];
        let hardforks =
            EthereumChainHardforks::new(forks.into_iter().filter_map(|(fork, at)| at.map(|at| (fork, at))));
        let mut blob_schedule = blob_schedule(config);
        let own = !blob_schedule.scheduled.is_empty();
        for (time, params) in scheduled(&hardforks).scheduled {
            // Amsterdam changes nothing by itself: a chain that names steps of its own stays at the last of them.
            let kept = own && config.amsterdam_time == Some(time);
            if !kept && !blob_schedule.scheduled.iter().any(|(known, _)| *known == time) {
                blob_schedule.scheduled.push((time, params));
            }
        }
        blob_schedule.scheduled.sort_by_key(|(time, _)| *time);
        Self {
            id: config.chain_id,
            hardforks,
            blob_schedule,
            deposit_contract: config.deposit_contract_address.unwrap_or(DEPOSIT_CONTRACT),
        }
    }
}

/// The number of the first block after the merge, as far as a configuration tells.
fn merge_block(config: &ChainConfig) -> Option<u64> {
    let later = [
        config.shanghai_time,
        config.cancun_time,
        config.prague_time,
        config.osaka_time,
        config.amsterdam_time,
    ];
    let inferred = match config.terminal_total_difficulty {
        Some(difficulty) if difficulty == MAINNET_PARIS_TTD => Some(MAINNET_PARIS_BLOCK),
        Some(difficulty) if difficulty.is_zero() => Some(0),
        None if later.iter().any(Option::is_some) => Some(0),
        Some(_) if later.contains(&Some(0)) => Some(0),
        _ => None,
    };
    config.merge_netsplit_block.or(inferred)
}

/// The blob parameters that a configuration names.
///
/// geth writes every name in lower case; the parser knows the last forks by their names with a capital only.
fn blob_schedule(config: &ChainConfig) -> BlobScheduleBlobParams {
    let mut config = config.clone();
    for (geth, parser) in [("amsterdam", "Amsterdam"), ("bogota", "Bogota")] {
        if let Some(params) = config.blob_schedule.remove(geth) {
            config.blob_schedule.entry(parser.to_owned()).or_insert(params);
        }
    }
    config.blob_schedule_blob_params()
}

#[cfg(test)]
mod tests {
    use revm::primitives::hardfork::SpecId;

    use super::*;

    #[test]
    fn geth_configuration_is_understood() {
        let config: ChainConfig = serde_json::from_str(
            r#"{"chainId": 1729, "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
                "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0,
                "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0,
                "cancunTime": 100, "pragueTime": 200, "amsterdamTime": 300}"#,
        )
        .unwrap();
        let chain = Chain::from_config(&config);
        assert_eq!(chain.id, 1729);
        assert_eq!(chain.rules_at(1, 99).evm, SpecId::SHANGHAI);
        assert_eq!(chain.rules_at(1, 100).evm, SpecId::CANCUN);
        assert_eq!(chain.rules_at(1, 250).evm, SpecId::PRAGUE);
        assert_eq!(chain.rules_at(1, 300).evm, SpecId::AMSTERDAM);
        assert_eq!(chain.rules_at(1, 300).blobs.map(|blobs| blobs.max_blob_count), Some(21));
    }

    /// A chain by what its configuration says.
    fn configured(text: &str) -> Chain {
        Chain::from_config(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_chain_that_names_no_merge_but_forks_behind_it_is_merged_from_genesis() {
        for forks in [
            r#""shanghaiTime": 1000"#,
            r#""shanghaiTime": 0"#,
            r#""cancunTime": 1000"#,
            r#""pragueTime": 1000, "terminalTotalDifficulty": 0"#,
            r#""terminalTotalDifficulty": 0"#,
            r#""terminalTotalDifficulty": 131072, "shanghaiTime": 0"#,
            r#""mergeNetsplitBlock": 0"#,
        ] {
            let rules =
                configured(&format!(r#"{{"chainId": 7, "londonBlock": 0, {forks}}}"#)).rules_at(1, 999);
            assert!(rules.has(SpecId::MERGE), "{forks}");
            assert_eq!(rules.block_reward, None, "{forks}");
        }
        for forks in [r#""terminalTotalDifficulty": 131072, "shanghaiTime": 1000"#, r#""londonBlock": 0"#] {
            let rules =
                configured(&format!(r#"{{"chainId": 7, "berlinBlock": 0, {forks}}}"#)).rules_at(1, 999);
            assert!(!rules.has(SpecId::MERGE) && rules.block_reward.is_some(), "{forks}");
        }
    }

    #[test]
    fn the_merge_of_mainnet_is_known_from_its_total_difficulty() {
        let mainnet = configured(
            r#"{"chainId": 1, "homesteadBlock": 1150000, "byzantiumBlock": 4370000, "constantinopleBlock": 7280000,
                "londonBlock": 12965000, "terminalTotalDifficulty": 58750000000000000000000,
                "shanghaiTime": 1681338455}"#,
        );
        let cases = [
            (15_537_393, 0, SpecId::LONDON),
            (15_537_394, 1_663_224_179, SpecId::MERGE),
            (17_034_870, 1_681_338_455, SpecId::SHANGHAI),
            (7_280_000, 0, SpecId::PETERSBURG),
        ];
        for (number, timestamp, fork) in cases {
            assert_eq!(mainnet.rules_at(number, timestamp).evm, fork, "block {number}");
        }
    }

    #[test]
    fn blob_parameters_are_found_under_geths_names() {
        for name in ["amsterdam", "Amsterdam"] {
            let chain = configured(&format!(
                r#"{{"chainId": 7, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0,
                    "osakaTime": 0, "bpo1Time": 100, "bpo2Time": 100, "amsterdamTime": 100, "blobSchedule": {{
                        "osaka": {{"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716}},
                        "bpo1": {{"target": 10, "max": 15, "baseFeeUpdateFraction": 8346193}},
                        "{name}": {{"target": 30, "max": 40, "baseFeeUpdateFraction": 30000000}}}}}}"#
            ));
            let max = |timestamp| chain.rules_at(1, timestamp).blobs.map(|blobs| blobs.max_blob_count);
            assert_eq!((max(99), max(100)), (Some(9), Some(40)), "{name}");
        }
    }
}

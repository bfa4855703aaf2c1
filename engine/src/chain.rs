//! A chain: its id, its fork schedule, and the rules of one of its blocks.

mod config;

use alloy_eips::eip7840::BlobParams;
use alloy_eips::eip7892::BlobScheduleBlobParams;
use alloy_evm::block::calc;
use alloy_evm::spec_by_timestamp_and_block_number;
use alloy_hardforks::{EthereumChainHardforks, EthereumHardfork, EthereumHardforks, ForkCondition};
use alloy_primitives::{Address, address};
use revm::primitives::hardfork::SpecId;

/// Where deposits are made on mainnet (EIP-6110), and on every chain that names no other contract.
const DEPOSIT_CONTRACT: Address = alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;

/// A chain: its id, its fork schedule, its blob schedule.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Chain id (EIP-155).
    pub id: u64,
    /// When each fork becomes active.
    hardforks: EthereumChainHardforks,
    /// Blob parameters by fork and time (EIP-7840, EIP-7892).
    blob_schedule: BlobScheduleBlobParams,
    /// Where deposits are made (EIP-6110).
    deposit_contract: Address,
}

/// What one block has to obey.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rules {
    /// Chain id (EIP-155).
    pub chain_id: u64,
    /// Rules of the EVM and of the transactions.
    pub evm: SpecId,
    /// Rules of the header and of the body: which fields there are. The same fork as `evm`, except for the
    /// v0.3.3 dialect, whose blocks have Amsterdam's header over Osaka's EVM.
    pub header: SpecId,
    /// Blob parameters, from Cancun on.
    pub blobs: Option<BlobParams>,
    /// Where deposits are made (EIP-6110).
    pub deposit_contract: Address,
    /// Wei that the beneficiary earns for the block itself, before the merge.
    pub block_reward: Option<u128>,
    /// This is the block at which the DAO fork moves balances (EIP-779).
    pub dao_transition: bool,
}

impl Rules {
    /// Whether the EVM has the rules of `fork`.
    pub fn has(&self, fork: SpecId) -> bool {
        self.evm.is_enabled_in(fork)
    }

    /// Whether header and body have the fields of `fork`.
    pub fn header_has(&self, fork: SpecId) -> bool {
        self.header.is_enabled_in(fork)
    }
}

impl Chain {
    /// Ethereum mainnet.
    pub fn mainnet() -> Self {
        Self {
            id: 1,
            hardforks: EthereumChainHardforks::mainnet(),
            blob_schedule: scheduled(&EthereumChainHardforks::mainnet()),
            deposit_contract: DEPOSIT_CONTRACT,
        }
    }

    /// The Hoodi test network.
    pub fn hoodi() -> Self {
        Self {
            id: 560_048,
            hardforks: EthereumChainHardforks::hoodi(),
            blob_schedule: scheduled(&EthereumChainHardforks::hoodi()),
            deposit_contract: address!("0x00000000219ab540356cBB839Cbe05303d7705Fa"),
        }
    }

    /// The built-in chain with this id, if there is one.
    pub fn built_in(id: u64) -> Option<Self> {
        match id {
            1 => Some(Self::mainnet()),
            560_048 => Some(Self::hoodi()),
            _ => None,
        }
    }

    /// A chain that has always been at `fork`.
    pub fn at_fork(id: u64, fork: EthereumHardfork) -> Self {
        Self::with_transition(id, fork, None)
    }

    /// A chain that is at `first` from genesis and goes to `next` at a timestamp (Shanghai and later) or a block
    /// number (earlier).
    pub fn with_transition(id: u64, first: EthereumHardfork, next: Option<(EthereumHardfork, u64)>) -> Self {
        let forks = EthereumHardfork::VARIANTS.iter().filter_map(|&fork| {
            let at = match next {
                _ if fork <= first => 0,
                Some((last, at)) if fork <= last => at,
                _ => return None,
            };
            // The DAO fork moves mainnet's balances; a chain made up for its rules has none of those accounts.
            (fork != EthereumHardfork::Dao).then(|| (fork, activation(fork, at)))
        });
        let hardforks = EthereumChainHardforks::new(forks);
        Self { id, blob_schedule: scheduled(&hardforks), hardforks, deposit_contract: DEPOSIT_CONTRACT }
    }

    /// The same chain with other blob parameters from `fork` on: target and maximum per block, and the fraction by
    /// which the price moves.
    ///
    /// Where several forks become active at once, the one set last counts.
    #[must_use]
    pub fn with_blobs(
        mut self,
        fork: EthereumHardfork,
        target: u64,
        max: u64,
        update_fraction: u128,
    ) -> Self {
        let set = |params: BlobParams| {
            let max_blobs_per_tx = if fork < EthereumHardfork::Osaka { max } else { params.max_blobs_per_tx };
            BlobParams {
                target_blob_count: target,
                max_blob_count: max,
                update_fraction,
                max_blobs_per_tx,
                ..params
            }
        };
        let schedule = &mut self.blob_schedule;
        if fork == EthereumHardfork::Cancun {
            schedule.cancun = set(BlobParams::cancun());
        } else if fork == EthereumHardfork::Prague {
            schedule.prague = set(BlobParams::prague());
        } else if fork == EthereumHardfork::Osaka {
            schedule.osaka = set(BlobParams::osaka());
        } else if let Some(time) = self.hardforks.ethereum_fork_activation(fork).as_timestamp() {
            schedule.scheduled.push((time, set(BlobParams::osaka())));
            schedule.scheduled.sort_by_key(|(time, _)| *time);
        }
        self
    }

    /// The rules of the block with this number and timestamp (seconds).
    pub fn rules_at(&self, number: u64, timestamp: u64) -> Rules {
        let evm = spec_by_timestamp_and_block_number(self, timestamp, number);
        Rules {
            chain_id: self.id,
            evm,
            header: evm,
            blobs: self.blobs_at(timestamp),
            deposit_contract: self.deposit_contract,
            // A configuration may leave the number of the merge open, but not the forks behind it.
            block_reward: calc::base_block_reward(self, number).filter(|_| !evm.is_enabled_in(SpecId::MERGE)),
            dao_transition: self
                .hardforks
                .ethereum_fork_activation(EthereumHardfork::Dao)
                .transitions_at_block(number),
        }
    }

    /// Blob parameters at `timestamp` (seconds), from Cancun on.
    fn blobs_at(&self, timestamp: u64) -> Option<BlobParams> {
        if let Some(params) = self.blob_schedule.active_scheduled_params_at_timestamp(timestamp) {
            Some(*params)
        } else if self.is_osaka_active_at_timestamp(timestamp) {
            Some(self.blob_schedule.osaka)
        } else if self.is_prague_active_at_timestamp(timestamp) {
            Some(self.blob_schedule.prague)
        } else if self.is_cancun_active_at_timestamp(timestamp) {
            Some(self.blob_schedule.cancun)
        } else {
            None
        }
    }
}

impl EthereumHardforks for Chain {
    fn ethereum_fork_activation(&self, fork: EthereumHardfork) -> ForkCondition {
        self.hardforks.ethereum_fork_activation(fork)
    }
}

/// Activation of `fork` at `at`: a timestamp from Shanghai on, a block number before.
fn activation(fork: EthereumHardfork, at: u64) -> ForkCondition {
    if fork >= EthereumHardfork::Shanghai { ForkCondition::Timestamp(at) } else { ForkCondition::Block(at) }
}

/// Ethereum's own blob parameters, at the times at which `hardforks` activates them.
///
/// Amsterdam keeps those of BPO2.
fn scheduled(hardforks: &EthereumChainHardforks) -> BlobScheduleBlobParams {
    let steps = [
        (EthereumHardfork::Bpo1, BlobParams::bpo1()),
        (EthereumHardfork::Bpo2, BlobParams::bpo2()),
        (EthereumHardfork::Amsterdam, BlobParams::bpo2()),
    ];
    let mut scheduled: Vec<_> = steps
        .into_iter()
        .filter_map(|(fork, params)| Some((hardforks.ethereum_fork_activation(fork).as_timestamp()?, params)))
        .collect();
    scheduled.sort_by_key(|(time, _)| *time);
    BlobScheduleBlobParams::mainnet().with_scheduled(scheduled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mainnet_forks_by_number_and_time() {
        let mainnet = Chain::mainnet();
        let cases = [
            (0, 0, SpecId::FRONTIER),
            (1_150_000, 0, SpecId::HOMESTEAD),
            (2_463_000, 0, SpecId::TANGERINE),
            (2_675_000, 0, SpecId::SPURIOUS_DRAGON),
            (4_370_000, 0, SpecId::BYZANTIUM),
            (7_280_000, 0, SpecId::PETERSBURG),
            (9_069_000, 0, SpecId::ISTANBUL),
            (12_244_000, 0, SpecId::BERLIN),
            (12_965_000, 0, SpecId::LONDON),
            (15_537_394, 1_663_224_179, SpecId::MERGE),
            (17_034_870, 1_681_338_455, SpecId::SHANGHAI),
            (19_426_587, 1_710_338_135, SpecId::CANCUN),
            (22_431_084, 1_746_612_311, SpecId::PRAGUE),
            (23_935_694, 1_764_798_551, SpecId::OSAKA),
        ];
        for (number, timestamp, fork) in cases {
            assert_eq!(mainnet.rules_at(number, timestamp).evm, fork, "block {number}");
        }
        assert!(mainnet.rules_at(1_920_000, 0).dao_transition);
        assert!(!mainnet.rules_at(1_920_001, 0).dao_transition);
    }

    #[test]
    fn mainnet_blob_parameters_change_with_the_schedule() {
        let at = |timestamp| Chain::mainnet().rules_at(24_000_000, timestamp).blobs;
        assert_eq!(at(1_681_338_455), None);
        assert_eq!(at(1_710_338_135).map(|blobs| blobs.max_blob_count), Some(6));
        assert_eq!(at(1_746_612_311).map(|blobs| blobs.max_blob_count), Some(9));
        assert_eq!(
            at(1_765_290_071).map(|blobs| (blobs.target_blob_count, blobs.max_blob_count)),
            Some((10, 15))
        );
        assert_eq!(
            at(1_767_747_671).map(|blobs| (blobs.target_blob_count, blobs.max_blob_count)),
            Some((14, 21))
        );
    }

    #[test]
    fn made_up_chains_stand_at_their_fork_from_genesis() {
        let chain =
            Chain::with_transition(1, EthereumHardfork::Cancun, Some((EthereumHardfork::Prague, 15_000)));
        assert_eq!(chain.rules_at(1, 14_999).evm, SpecId::CANCUN);
        assert_eq!(chain.rules_at(1, 15_000).evm, SpecId::PRAGUE);
        assert_eq!(Chain::at_fork(7, EthereumHardfork::Amsterdam).rules_at(1, 0).evm, SpecId::AMSTERDAM);
    }
}

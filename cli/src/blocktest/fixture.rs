//! Blockchain tests as EEST and ethereum/tests write them.

use std::collections::BTreeMap;

use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;
use weft_engine::Chain;

use crate::world::{Account, World};

/// One test.
#[derive(Debug, Deserialize)]
pub(super) struct Fixture {
    /// Name of the fork, or of the transition between two.
    network: String,
    /// Chain id and blob parameters.
    config: Option<Config>,
    /// The genesis block.
    #[serde(rename = "genesisRLP")]
    pub(super) genesis_rlp: Option<Bytes>,
    /// The state of the genesis block.
    pre: Option<BTreeMap<Address, AccountJson>>,
    /// The blocks, in order.
    pub(super) blocks: Vec<BlockJson>,
    /// The state after the last valid block.
    #[serde(rename = "postState")]
    post_state: Option<BTreeMap<Address, AccountJson>>,
    /// Its root.
    #[serde(rename = "postStateHash")]
    pub(super) post_state_root: Option<B256>,
    /// Hash of the last valid block.
    #[serde(rename = "lastblockhash")]
    pub(super) last_block_hash: Option<B256>,
}

/// One block of a test.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlockJson {
    /// The block.
    pub(super) rlp: Option<Bytes>,
    /// Why it must be rejected, if it must.
    #[serde(alias = "expectExceptionALL")]
    pub(super) expect_exception: Option<String>,
    /// EXECUTE's input for it.
    pub(super) stateless_input_bytes: Option<Bytes>,
    /// EXECUTE's output for it.
    pub(super) stateless_output_bytes: Option<Bytes>,
}

/// Chain id and blob parameters.
#[derive(Debug, Deserialize)]
struct Config {
    /// Chain id.
    chainid: Option<U64>,
    /// Blob parameters by name of the fork.
    #[serde(rename = "blobSchedule", default)]
    blob_schedule: BTreeMap<String, BlobJson>,
}

/// Blob parameters of one fork.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlobJson {
    /// Blobs per block that leave the price as it is.
    target: U64,
    /// Blobs per block.
    max: U64,
    /// How slowly the price moves.
    base_fee_update_fraction: U64,
}

/// One account.
#[derive(Debug, Deserialize)]
struct AccountJson {
    /// Nonce.
    nonce: U64,
    /// Wei.
    balance: U256,
    /// Code.
    code: Bytes,
    /// Slots.
    storage: BTreeMap<U256, U256>,
}

impl Fixture {
    /// The chain that the test is of, if its network is known here.
    pub(super) fn chain(&self) -> Option<Chain> {
        let id = self.config.as_ref().and_then(|config| config.chainid).map_or(1, |id| id.to());
        let chain = match self.network.split_once("To") {
            None => Chain::at_fork(id, fork(&self.network)?),
            Some((first, rest)) => {
                let (next, at) = rest.split_once("At")?;
                let at = match at.strip_prefix("Time") {
                    Some(time) => time.strip_suffix('k')?.parse::<u64>().ok()? * 1_000,
                    None => at.parse().ok()?,
                };
                Chain::with_transition(id, fork(first)?, Some((fork(next)?, at)))
            }
        };
        let schedule = self.config.iter().flat_map(|config| &config.blob_schedule);
        let mut schedule: Vec<_> = schedule.filter_map(|(name, blobs)| Some((fork(name)?, blobs))).collect();
        schedule.sort_by_key(|(fork, _)| *fork);
        Some(schedule.into_iter().fold(chain, |chain, (fork, blobs)| {
            chain.with_blobs(fork, blobs.target.to(), blobs.max.to(), blobs.base_fee_update_fraction.to())
        }))
    }

    /// Name of the network.
    pub(super) fn network(&self) -> &str {
        &self.network
    }

    /// The state of the genesis block.
    pub(super) fn pre_state(&self) -> Option<World> {
        self.pre.as_ref().map(world)
    }

    /// The state after the last valid block.
    pub(super) fn post_state(&self) -> Option<World> {
        self.post_state.as_ref().map(world)
    }
}

/// The accounts as a state.
fn world(accounts: &BTreeMap<Address, AccountJson>) -> World {
    let account = |(address, account): (&Address, &AccountJson)| {
        let storage = account.storage.iter().filter(|(_, value)| !value.is_zero());
        let account = Account {
            nonce: account.nonce.to(),
            balance: account.balance,
            code: account.code.clone(),
            storage: storage.map(|(slot, value)| (*slot, *value)).collect(),
        };
        (*address, account)
    };
    accounts.iter().map(account).collect()
}

/// The fork with this name in tests.
fn fork(name: &str) -> Option<EthereumHardfork> {
    Some(match name {
        "Frontier" => EthereumHardfork::Frontier,
        "Homestead" => EthereumHardfork::Homestead,
        "EIP150" | "TangerineWhistle" => EthereumHardfork::Tangerine,
        "EIP158" | "SpuriousDragon" => EthereumHardfork::SpuriousDragon,
        "Byzantium" => EthereumHardfork::Byzantium,
        "ConstantinopleFix" | "Petersburg" => EthereumHardfork::Petersburg,
        "Istanbul" => EthereumHardfork::Istanbul,
        "MuirGlacier" => EthereumHardfork::MuirGlacier,
        "Berlin" => EthereumHardfork::Berlin,
        "London" => EthereumHardfork::London,
        "ArrowGlacier" => EthereumHardfork::ArrowGlacier,
        "GrayGlacier" => EthereumHardfork::GrayGlacier,
        "Merge" | "Paris" => EthereumHardfork::Paris,
        "Shanghai" => EthereumHardfork::Shanghai,
        "Cancun" => EthereumHardfork::Cancun,
        "Prague" => EthereumHardfork::Prague,
        "Osaka" => EthereumHardfork::Osaka,
        "BPO1" => EthereumHardfork::Bpo1,
        "BPO2" => EthereumHardfork::Bpo2,
        "BPO3" => EthereumHardfork::Bpo3,
        "BPO4" => EthereumHardfork::Bpo4,
        "BPO5" => EthereumHardfork::Bpo5,
        "Amsterdam" => EthereumHardfork::Amsterdam,
        _ => return None,
    })
}

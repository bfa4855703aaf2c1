//! A block and its pre-state as plain data: what a seed makes, and what the shrinker takes apart.

use std::fmt;

use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{BlockBody, Header};
use alloy_eips::eip4895::Withdrawal;
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{Address, B256, U256, keccak256};
use revm::state::AccountInfo;
use weft_engine::pre_state::{Ancestors, Codes, PlainAccount, PlainState, PreState, WitnessState};
use weft_engine::{Block, Chain, Rules};

use super::feature::Feature;
use super::plan::{self, Plan};
use crate::world::World;

/// Chain id of all blocks.
pub(super) const CHAIN_ID: u64 = 1;
/// Seconds since 1970.
const TIMESTAMP: u64 = 1_800_000_000;

/// A block with its pre-state.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// The seed it was made from.
    pub(super) seed: u64,
    /// The fork whose rules it obeys.
    pub(super) fork: EthereumHardfork,
    /// What it was made of.
    pub(super) features: Vec<Feature>,
    /// Its number.
    pub(super) number: u64,
    /// Its gas limit.
    pub(super) gas_limit: u64,
    /// Its base fee, from London on.
    pub(super) base_fee: u64,
    /// Its excess blob gas, from Cancun on.
    pub(super) excess_blob_gas: u64,
    /// Who earns its fees.
    pub(super) beneficiary: Address,
    /// Its transactions, unsigned.
    pub(super) transactions: Vec<Plan>,
    /// Its withdrawals.
    pub(super) withdrawals: Vec<Withdrawal>,
    /// Beneficiaries of its ommers.
    pub(super) ommers: Vec<Address>,
    /// The state before it.
    pub(super) world: World,
    /// How the state is given.
    pub(super) store: Store,
    /// How many ancestors' hashes are known.
    pub(super) ancestors: u64,
    /// Delays of the workers are drawn from it.
    pub(super) delays: u64,
}

/// How the state is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// In memory, whole.
    Plain,
    /// As a witness.
    Witness {
        /// So many nodes in a thousand are left out, by their hash and this word.
        withheld: u64,
        /// So many codes in a thousand are left out, by their hash and the same word.
        withheld_codes: u64,
        /// The word.
        salt: u64,
    },
}

/// The state before the block, ready to be read.
#[derive(Debug)]
pub(super) enum State {
    /// In memory.
    Plain(PlainState),
    /// As a witness.
    Witness(Box<WitnessState>),
}

impl State {
    /// As the engines take it.
    pub(super) fn get(&self) -> &dyn PreState {
        match self {
            Self::Plain(state) => state,
            Self::Witness(state) => &**state,
        }
    }
}

impl Case {
    /// The rules of its fork.
    pub(super) fn rules(&self) -> Rules {
        Chain::at_fork(CHAIN_ID, self.fork).rules_at(self.number, TIMESTAMP)
    }

    /// The block, signed. Of its header only what running it needs is filled in.
    pub(super) fn block(&self) -> Block {
        let from = |fork: EthereumHardfork| self.fork >= fork;
        let ommer =
            |&beneficiary: &Address| Header { number: self.number - 1, beneficiary, ..Header::default() };
        let header = Header {
            number: self.number,
            timestamp: TIMESTAMP,
            gas_limit: self.gas_limit,
            parent_hash: ancestor(self.number - 1),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            difficulty: U256::from(if from(EthereumHardfork::Paris) { 0 } else { 131_072 }),
            mix_hash: B256::repeat_byte(0x3d),
            beneficiary: self.beneficiary,
            base_fee_per_gas: from(EthereumHardfork::London).then_some(self.base_fee),
            blob_gas_used: from(EthereumHardfork::Cancun).then_some(0),
            excess_blob_gas: from(EthereumHardfork::Cancun).then_some(self.excess_blob_gas),
            parent_beacon_block_root: from(EthereumHardfork::Cancun).then_some(B256::repeat_byte(0x11)),
            slot_number: from(EthereumHardfork::Amsterdam).then_some(self.number),
            ..Header::default()
        };
        let body = BlockBody {
            transactions: plan::sign(&self.transactions, &self.world),
            ommers: self.ommers.iter().map(ommer).collect(),
            withdrawals: from(EthereumHardfork::Shanghai).then(|| self.withdrawals.clone().into()),
        };
        Block { header, body }
    }

    /// The state before the block.
    ///
    /// # Errors
    ///
    /// If no witness can be made of it; a bug.
    pub(super) fn state(&self) -> anyhow::Result<State> {
        let oldest = self.number.saturating_sub(self.ancestors);
        let ancestors: Ancestors = (oldest..self.number).map(|number| (number, ancestor(number))).collect();
        let Store::Witness { withheld, withheld_codes, salt } = self.store else {
            let mut codes = Vec::new();
            let accounts = self.world.accounts().map(|(address, account)| {
                codes.push(account.code.clone());
                let info = AccountInfo {
                    balance: account.balance,
                    nonce: account.nonce,
                    code_hash: keccak256(&account.code),
                    ..AccountInfo::default()
                };
                let storage = account.storage.iter().map(|(slot, value)| (*slot, *value)).collect();
                (*address, PlainAccount { info: info.without_code(), storage })
            });
            let accounts = accounts.collect();
            return Ok(State::Plain(PlainState::new(accounts, &codes, ancestors)));
        };
        let (root, mut witness) = self.world.witness()?;
        let keeps = |bytes: &[u8], share: u64| {
            let hash = keccak256(bytes);
            let word = u64::from_le_bytes(hash[..8].try_into().expect("a hash has 32 bytes"));
            hash == root || word.wrapping_mul(salt | 1) % 1_000 >= share
        };
        witness.state.retain(|node| keeps(node, withheld));
        witness.codes.retain(|code| keeps(code, withheld_codes));
        let tries = weft_trie::Witness::new(witness.state).verify(root)?;
        Ok(State::Witness(Box::new(WitnessState { tries, codes: Codes::new(&witness.codes), ancestors })))
    }

    /// Whether the state is given whole.
    pub(super) fn is_whole(&self) -> bool {
        match self.store {
            Store::Plain => true,
            Store::Witness { withheld, withheld_codes, .. } => withheld == 0 && withheld_codes == 0,
        }
    }
}

/// Hash of the ancestor with this number.
fn ancestor(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: block {} at {}, features {:?}",
            self.seed, self.number, self.fork, self.features
        )?;
        writeln!(
            f,
            "  gas limit {}, base fee {}, excess blob gas {}, beneficiary {}, {} ancestors, {:?}",
            self.gas_limit, self.base_fee, self.excess_blob_gas, self.beneficiary, self.ancestors, self.store
        )?;
        for withdrawal in &self.withdrawals {
            writeln!(f, "  withdrawal of {} gwei to {}", withdrawal.amount, withdrawal.address)?;
        }
        for ommer in &self.ommers {
            writeln!(f, "  ommer of {ommer}")?;
        }
        for (address, account) in self.world.accounts() {
            writeln!(
                f,
                "  account {address}: nonce {}, balance {}, code {}, storage {:?}",
                account.nonce, account.balance, account.code, account.storage
            )?;
        }
        for (index, transaction) in self.transactions.iter().enumerate() {
            writeln!(f, "  transaction {index}: {transaction}")?;
        }
        Ok(())
    }
}

//! How long transactions take, in the unit of [`weft_scheduler::Execution::cost`], and what that says beforehand.
//!
//! Before a run, gas stands for time; after it, the clock does, unless nothing must depend on that. All of it is a guess
//! about time: no outcome depends on it.

use core::cmp::Reverse;
use core::time::Duration;

use revm::interpreter::gas::{SSTORE_RESET, SSTORE_SET};
use revm::primitives::hardfork::SpecId;
use revm::state::{EvmState, EvmStorageSlot};
use weft_scheduler::{LENIENCY, RUN_OVERHEAD, TxIndex, overhead};

use crate::block::{ReadyBlock, ReadyTransaction};
use crate::chain::Rules;

/// How long a transfer takes without the EVM.
pub(crate) const TRANSFER: u32 = RUN_OVERHEAD / 8;

/// How long the transactions of a block may take, each by itself, as far as that is known before they run. If there is no
/// need to watch them, those without data seem to be transfers.
pub(crate) fn costs(block: &ReadyBlock<'_>, is_watching: bool) -> Vec<u32> {
    let plain = if is_watching { cost_of_gas(0, block.rules) } else { TRANSFER };
    let beyond = |ReadyTransaction { env, .. }: &ReadyTransaction| {
        (!env.data.is_empty()).then(|| env.gas_limit.saturating_sub(TRANSFER_GAS))
    };
    let limits: Vec<Option<u64>> = block.transactions.iter().map(beyond).collect();
    let asked = limits.iter().flatten().map(|limit| u128::from(*limit)).sum();
    let (used, asked) = share_used(block, asked);
    let expected = |limit: Option<u64>| {
        let gas = u128::from(limit?).saturating_mul(used) / asked.max(1);
        Some(cost_of_gas(u64::try_from(gas).unwrap_or(u64::MAX).saturating_add(TRANSFER_GAS), block.rules))
    };
    limits.into_iter().map(|limit| expected(limit).unwrap_or(plain)).collect()
}

/// Of the gas that a block's transactions may use beyond what a transfer takes, which is `asked`, how much they will: so
/// many parts of so many. The header says how much all used, and nobody need believe it; of some it is twice the share of
/// the others. Where it says nothing, because the block is still to be built, it is what is usual.
fn share_used(block: &ReadyBlock<'_>, asked: u128) -> (u128, u128) {
    const USUAL: (u128, u128) = (2 * LENIENCY as u128, 5);
    let transfers = TRANSFER_GAS * block.transactions.len() as u64;
    let used = block.header.gas_used.checked_sub(transfers);
    used.map_or(USUAL, |used| (asked.min(u128::from(LENIENCY) * u128::from(used)), asked))
}

/// How many bytes of an access list one change takes, with its share of what is listed once.
const CHANGE_BYTES: usize = 36;

/// What an access list of so many bytes says is worth, if transactions cost so much.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListWorth {
    /// How many changes it lists.
    changes: u64,
    /// How many transactions there are.
    transactions: u64,
    /// The longest takes far longer than the mean.
    is_uneven: bool,
    /// What they take in order. Gas that was paid for storing takes hardly any time; but a change may also be one of a
    /// balance, or of a slot that was in use, so that is half of all gas at most.
    in_order: u64,
}

impl ListWorth {
    /// Of a list of so many bytes.
    pub(crate) fn of(bytes: usize, costs: &[u32]) -> Self {
        const STORING: u64 = 5_000 / GAS_PER_COST;
        /// So many times the mean is far longer: a guess. Real blocks have some that take a hundred times as long.
        const FAR: u64 = 8;
        let (changes, transactions) = ((bytes / CHANGE_BYTES) as u64, costs.len() as u64);
        let all: u64 = costs.iter().copied().map(u64::from).sum();
        let longest = u64::from(costs.iter().copied().max().unwrap_or_default());
        let gas = all / LENIENCY;
        let in_order = gas - (changes * STORING).min(gas / 2);
        Self { changes, transactions, is_uneven: longest * transactions > FAR * all, in_order }
    }

    /// Whether it can make up for what it takes the scheduler to follow it.
    pub(crate) const fn pays_in_the_scheduler(self, workers: usize) -> bool {
        self.pays(self.added_in_the_scheduler(), workers)
    }

    /// Whether the scheduler is faster than strands are, in a block that is not long and where the list pays in both: it
    /// adds less than the runs take, or whole rows of neighbours would wait for a few that take far longer.
    pub(crate) const fn suits_the_scheduler(self) -> bool {
        self.is_uneven || self.added_in_the_scheduler() <= self.in_order
    }

    /// What the scheduler adds to the runs of those that follow it: each change takes as long as most of what it adds to a
    /// run.
    const fn added_in_the_scheduler(self) -> u64 {
        const FOLLOWING: u64 = 3 * RUN_OVERHEAD as u64 / 4;
        self.transactions * RUN_OVERHEAD as u64 + self.changes * FOLLOWING
    }

    /// Whether it can make up for what it takes strands to follow it: each change takes an eighth of what the scheduler adds
    /// to a run. Measured with `benches/`, `erc20/chain --access-list`: two or three looks of 50 ns each.
    pub(crate) const fn pays_in_strands(self, workers: usize) -> bool {
        const FOLLOWING: u64 = RUN_OVERHEAD as u64 / 8;
        self.pays(self.changes * FOLLOWING, workers)
    }

    /// Whether so many workers can make up for what is added.
    const fn pays(self, added: u64, workers: usize) -> bool {
        self.in_order + added <= self.in_order.saturating_mul(workers as u64)
    }
}

/// Gas that takes one unit of [`weft_scheduler::Execution::cost`].
const GAS_PER_COST: u64 = 4_000 / RUN_OVERHEAD as u64;

/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;

/// How long a transaction takes that uses so much gas: on the EVM, a transfer takes half as long as what the scheduler
/// adds to it, and every 4,000 units beyond that as long as what it adds. Measured with `benches/`, `raw/independent` and
/// `swap/independent`. Before Byzantium there was little to do for gas but to fill storage, which takes a sixth of the
/// time.
pub(crate) fn cost_of_gas(gas: u64, rules: &Rules) -> u32 {
    const LEAST: u32 = RUN_OVERHEAD / 2;
    let times = if rules.has(SpecId::BYZANTIUM) { 1 } else { 6 };
    let beyond = gas.saturating_sub(TRANSFER_GAS) / (times * GAS_PER_COST);
    LEAST.saturating_add(u32::try_from(beyond).unwrap_or(u32::MAX))
}

/// How long a run takes in order that has used so much gas, has left these accounts, and has written so many locations; the
/// clock says how long it took beside others, if anybody looks at it.
pub(crate) fn cost_of_run(
    gas: u64,
    state: &EvmState,
    rules: &Rules,
    written: usize,
    time: Option<Duration>,
) -> u32 {
    // What was paid for storing took hardly any time: each slot an eighth of what the scheduler adds to a run, whatever its
    // price (EIP-2200).
    const PER_SLOT: u32 = RUN_OVERHEAD / 8;
    let price = |slot: &EvmStorageSlot| if slot.original_value.is_zero() { SSTORE_SET } else { SSTORE_RESET };
    let (mut read, mut changed, mut storing) = (0, 0_u32, 0);
    for account in state.values() {
        read += 1 + account.storage.len();
        for slot in account.storage.values().filter(|slot| slot.is_changed()) {
            (changed, storing) = (changed + 1, storing + price(slot));
        }
    }
    let by_gas =
        cost_of_gas(gas.saturating_sub(storing), rules).saturating_add(changed.saturating_mul(PER_SLOT));
    time.map_or(by_gas, |time| cost_of_time(time, read + written, by_gas))
}

/// How long that is, in the unit of [`weft_scheduler::Execution::cost`].
pub(crate) fn cost(time: Duration) -> u32 {
    const UNIT: u128 = 125;
    u32::try_from(time.as_nanos() / UNIT).unwrap_or(u32::MAX)
}

/// How long a run takes in order that took so long beside others, reading and writing so many locations, and is expected to
/// cost so much by its gas. Of what the scheduler adds, a fourth comes after the run. Who was interrupted took long for
/// another reason.
fn cost_of_time(time: Duration, locations: usize, by_gas: u32) -> u32 {
    let added = overhead(locations) / 4 * 3;
    let all = cost(time);
    all.saturating_sub(added).max(all / 4).min(by_gas.saturating_mul(8))
}

/// Those that may use more than a fourth of a worker's share of the gas, the longest first, and no more than there could
/// be if all did. Of what transactions may use, most is often not used; what the header says that the block uses is
/// closer, if it says anything, but may be wrong.
pub(crate) fn longest(limits: &[u64], used: u64, workers: usize) -> Vec<TxIndex> {
    let all: u128 = limits.iter().copied().map(u128::from).sum();
    let all = if used == 0 { all } else { all.min(used.into()) };
    let most = 4 * workers;
    let takes_long = |(gas, _): &(u64, TxIndex)| u128::from(*gas) * most as u128 > all;
    let mut longest: Vec<(u64, TxIndex)> =
        limits.iter().copied().zip((0..).map(TxIndex)).filter(takes_long).collect();
    longest.sort_by_key(|(gas, _)| Reverse(*gas));
    longest.truncate(most);
    longest.into_iter().map(|(_, tx)| tx).collect()
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Header, Signed, TxLegacy};
    use alloy_hardforks::EthereumHardfork;
    use alloy_primitives::{Signature, U256};

    use super::*;
    use crate::block::{Block, SignedTransaction};
    use crate::chain::Chain;

    #[test]
    fn who_takes_long_for_little_gas_costs_much() {
        let micros = |time| cost_of_time(Duration::from_micros(time), 8, 100);
        assert_eq!(micros(5), 40 - 18);
        assert_eq!(micros(20), 160 - 18);
        assert_eq!(micros(1), 2, "it took some time");
        assert_eq!(micros(1_000_000), 800, "it was interrupted");
    }

    /// On two threads a list does not pay for calls of a token, and pays for swaps.
    #[test]
    fn a_list_is_followed_where_runs_take_longer_than_its_changes() {
        let token = [cost_of(47_200); 100];
        let worth =
            |changes: usize, costs: &[u32]| ListWorth::of(CHANGE_BYTES * changes * costs.len(), costs);
        let follows = |changes, costs: &[u32], workers| worth(changes, costs).pays_in_the_scheduler(workers);
        assert!(!follows(3, &token, 2) && follows(3, &token, 8));
        let between_holders = [cost_of(5_700 * LENIENCY); 100];
        assert!(!follows(3, &between_holders, 2) && follows(3, &between_holders, 8));
        assert!(follows(8, &[cost_of(460_000); 100], 2));
        assert!(!follows(8, &[TRANSFER; 100], 64), "there is nothing to gain");
        assert!(worth(3, &between_holders).pays_in_strands(2));
        assert!(!worth(3, &[TRANSFER; 100]).pays_in_strands(2));
        let mut uneven = between_holders;
        uneven[7] *= 9;
        assert!(worth(8, &[cost_of(460_000); 100]).suits_the_scheduler(), "they take long");
        assert!(!worth(3, &between_holders).suits_the_scheduler() && worth(3, &uneven).suits_the_scheduler());
    }

    /// The header says how much gas was used, and a hostile one says anything.
    #[test]
    fn costs_follow_the_header_within_the_limits() {
        let rules = Chain::at_fork(1, EthereumHardfork::Cancun).rules_at(1, 1);
        let costs_of = |gas_used: u64, limits: &[u64]| {
            let header = Header { gas_used, excess_blob_gas: Some(0), ..Header::default() };
            let mut block = Block::uncle(header);
            let signed = |gas_limit: &u64| {
                let call = TxLegacy { gas_limit: *gas_limit, input: vec![1].into(), ..TxLegacy::default() };
                let signature = Signature::new(U256::ONE, U256::from(2), false);
                SignedTransaction::Legacy(Signed::new_unhashed(call, signature))
            };
            block.body.transactions = limits.iter().map(signed).collect();
            costs(&ReadyBlock::new(&rules, &block, None).unwrap(), false)
        };
        let limits = [TRANSFER_GAS + 100_000, TRANSFER_GAS + 300_000];
        let of = |gas: [u64; 2]| gas.map(|gas| cost_of_gas(TRANSFER_GAS + gas, &rules));
        assert_eq!(costs_of(2 * TRANSFER_GAS + 50_000, &limits), of([25_000, 75_000]), "twice the share");
        assert_eq!(costs_of(u64::MAX, &limits), of([100_000, 300_000]), "no more than the limit");
        assert_eq!(costs_of(0, &limits), of([80_000, 240_000]), "nothing is said");
        assert_eq!(costs_of(2 * TRANSFER_GAS, &limits), of([0, 0]));
        assert_eq!(costs_of(u64::MAX, &[u64::MAX; 2]), [u32::MAX; 2]);
    }

    /// What a transaction takes that uses so much gas beyond a transfer's.
    fn cost_of(gas: u64) -> u32 {
        let rules = Chain::at_fork(1, EthereumHardfork::Cancun).rules_at(1, 1);
        cost_of_gas(TRANSFER_GAS + gas, &rules)
    }

    #[test]
    fn those_that_take_long_begin_early() {
        let longest = |limits: &[u64], used, workers| -> Vec<u32> {
            longest(limits, used, workers).into_iter().map(|tx| tx.0).collect()
        };
        let limits = [21_000, 3_000_000, 50_000, 900_000, 700_000, 21_000];
        assert_eq!(longest(&limits, 0, 2), [1, 3, 4]);
        assert_eq!(longest(&limits, 30_000_000, 2), [1, 3, 4], "more than they may use");
        assert_eq!(longest(&limits[1..3], 300_000, 2), [0, 1]);
        assert_eq!(longest(&[100; 8], 0, 2), [0_u32; 0], "an eighth each");
        assert_eq!(longest(&[], 5, 2), [0_u32; 0]);
    }

    /// Those that begin early ignore the window, so nobody may say that all do.
    #[test]
    fn few_begin_early_whatever_the_header_says() {
        let limits: Vec<u64> = (0..1_000).map(|number| 10_000_000 + number).collect();
        for (used, workers) in [(1, 2), (1, 8), (21_000_000, 2)] {
            let early = longest(&limits, used, workers);
            assert_eq!(early.len(), 4 * workers);
            assert_eq!(early[0], TxIndex(999));
        }
    }
}

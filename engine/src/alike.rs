//! Which transactions resemble each other, so that they will likely get in each other's way.
//!
//! Calls of one contract do, if they meet at all. But a contract may stand before many others, such as the router of an
//! exchange before its pools: users of one pool meet, users of different pools need not. Which pool it is stands among the
//! arguments, as an address that others name as well.
//!
//! It is a guess about time: no outcome depends on it.

use core::hash::BuildHasher;
use core::ops::Range;

use alloy_primitives::map::{DefaultHashBuilder, HashMap};
use revm::context::TxEnv;

/// How many calls of a contract name an address that tells them apart.
const OFTEN: u32 = 8;

/// Groups transactions by whom they call, and by the addresses that calls of the same contract often name. By transaction,
/// the number of its group, counted from 0 without gaps.
pub(crate) fn groups<'t>(transactions: impl ExactSizeIterator<Item = &'t TxEnv>) -> Vec<u32> {
    // Keyed at random, and who shares a hash shares a group.
    let hasher = DefaultHashBuilder::default();
    let mut calls: Vec<(u64, Range<usize>)> = Vec::with_capacity(transactions.len());
    let mut named = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        let (contract, first) = (hasher.hash_one(transaction.kind), named.len());
        named.extend(named_by(transaction).map(|address| contract ^ hasher.hash_one(address)));
        calls.push((contract, first..named.len()));
    }
    let mut counts: HashMap<u64, u32> = HashMap::default();
    counts.reserve(named.len());
    for address in &named {
        *counts.entry(*address).or_default() += 1;
    }
    let mut numbers: HashMap<u64, u32> = HashMap::default();
    let mut next = 0..;
    let group = |(contract, addresses): (u64, Range<usize>)| {
        let is_often = |address: &&u64| counts.get(*address).is_some_and(|count| *count >= OFTEN);
        let often = named[addresses].iter().filter(is_often);
        let group = often.fold(contract, |group, address| group.wrapping_add(*address));
        *numbers.entry(group).or_insert_with(|| next.next().unwrap_or(0))
    };
    calls.into_iter().map(group).collect()
}

/// The words among the first arguments of a call that look like addresses.
pub(crate) fn named_by(transaction: &TxEnv) -> impl Iterator<Item = [u8; 20]> {
    const SELECTOR: usize = 4;
    const WORDS_MAX: usize = 16;
    let arguments = transaction.data.get(SELECTOR..).unwrap_or_default();
    let words = arguments.chunks_exact(32).take(WORDS_MAX);
    words.filter_map(|word| {
        let (zeros, address) = word.split_first_chunk::<12>()?;
        let address: [u8; 20] = address.try_into().ok()?;
        (*zeros == [0; 12] && address[..4] != [0; 4]).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, TxKind, U256};

    use super::*;

    /// A call with these arguments.
    fn call(contract: u8, arguments: &[U256]) -> TxEnv {
        let words = arguments.iter().flat_map(U256::to_be_bytes::<32>);
        let data = [7; 4].into_iter().chain(words).collect::<Vec<u8>>().into();
        TxEnv { kind: TxKind::Call(Address::repeat_byte(contract)), data, ..TxEnv::default() }
    }

    #[test]
    fn users_of_one_pool_are_alike_and_those_of_different_pools_are_not() {
        let address = |number: u8| U256::from_be_bytes(Address::repeat_byte(number).into_word().0);
        // A pool, an amount, and somebody who is named but once.
        let swap = |tx: u8| call(0xaa, &[address(1 + tx % 2), U256::from(tx % 3), address(100 + tx)]);
        let swaps: Vec<TxEnv> = (0..16).map(swap).collect();
        let expected: Vec<u32> = (0..16).map(|tx| tx % 2).collect();
        assert_eq!(groups(swaps.iter()), expected);
    }

    #[test]
    fn calls_that_name_nobody_often_are_alike_by_whom_they_call() {
        let calls = [
            call(1, &[U256::from_be_bytes([0xff; 32])]),
            call(2, &[]),
            call(1, &[U256::from(3)]),
            TxEnv { kind: TxKind::Create, ..TxEnv::default() },
        ];
        assert_eq!(groups(calls.iter()), [0, 1, 0, 2]);
    }
}

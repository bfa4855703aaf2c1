//! Which transactions seem to meet, and a split of all into rows that seem not to.
//!
//! Those that share a sender, a recipient of a call without data, or an address among their arguments are one family.
//!
//! It is a guess about time: no outcome depends on it.

use core::cmp::Reverse;
use core::hash::BuildHasher;
use std::collections::BinaryHeap;

use alloy_primitives::map::{DefaultHashBuilder, Entry, HashMap};
use rayon::prelude::*;
use revm::context::TxEnv;

use crate::alike::named_by;
use crate::block::ReadyTransaction;

/// So many transactions are worth a thread.
const WORTH_A_THREAD: usize = 512;

/// Into how many shares so many threads cut their search for [`meetings`] of so many transactions.
pub(crate) fn shares(threads: usize, transactions: usize) -> usize {
    threads.min(transactions / WORTH_A_THREAD).max(1)
}

/// Somebody, by a hash, and a transaction that meets him.
type Meeting = (u64, usize);

/// Pairs of transactions that seem to meet, so that all who do are connected. The threads of the current pool look for
/// them, each at its share of the addresses.
///
/// ```text
///  transactions, in pieces ─► who is met there, by share ─► pairs that meet the same
/// ```
pub(crate) fn meetings(transactions: &[ReadyTransaction]) -> Vec<(usize, usize)> {
    let shares = shares(rayon::current_num_threads(), transactions.len());
    // Keyed at random, and who shares a hash shares a strand.
    let hasher = DefaultHashBuilder::default();
    let length = transactions.len().div_ceil(shares).max(1);
    let pieces = transactions.par_chunks(length).enumerate();
    let met: Vec<Vec<Vec<Meeting>>> = pieces
        .map(|(nth, piece)| {
            let room = 4 * piece.len() / shares;
            let mut met: Vec<Vec<Meeting>> = (0..shares).map(|_| Vec::with_capacity(room)).collect();
            for (index, transaction) in (nth * length..).zip(piece) {
                for address in met_by(&transaction.env) {
                    let hash = hasher.hash_one(address);
                    let share = ((hash >> 32) * shares as u64) >> 32;
                    met[share as usize].push((hash, index));
                }
            }
            met
        })
        .collect();
    let pairs = (0..shares).into_par_iter().map(|share| {
        let met = met.iter().map(|piece| &piece[share]);
        let mut first: HashMap<u64, usize> = HashMap::default();
        first.reserve(met.clone().map(Vec::len).sum());
        let mut pairs = Vec::new();
        for (hash, index) in met.flatten() {
            match first.entry(*hash) {
                Entry::Vacant(vacant) => {
                    vacant.insert(*index);
                }
                Entry::Occupied(first) => pairs.push((*first.get(), *index)),
            }
        }
        pairs
    });
    pairs.flatten_iter().collect()
}

/// Whom a transaction seems to meet.
fn met_by(transaction: &TxEnv) -> impl Iterator<Item = [u8; 20]> {
    let recipient = transaction.kind.to().filter(|_| transaction.data.is_empty());
    let met = [transaction.caller.0.0].into_iter().chain(recipient.map(|to| to.0.0));
    met.chain(named_by(transaction))
}

/// Shares transactions out, which may use so much gas each, to so many strands: which one each is in. Those that
/// [meet](meetings) are in the same one. `None` if one of the strands would be longer than its share by more than so many
/// percent.
pub(crate) fn share_out(
    gas_limits: impl ExactSizeIterator<Item = u64>,
    meetings: &[(usize, usize)],
    strands: usize,
    tolerance: u128,
) -> Option<Vec<usize>> {
    let mut families = Families::new(gas_limits.len());
    for (one, other) in meetings {
        families.unite(*one, *other);
    }
    let mut costs = vec![0_u128; gas_limits.len()];
    for (index, gas_limit) in gas_limits.enumerate() {
        costs[families.head(index)] += u128::from(gas_limit);
    }
    let all: u128 = costs.iter().sum();
    let mut heads: Vec<usize> = (0..costs.len()).filter(|index| families.head(*index) == *index).collect();
    heads.sort_by_key(|head| Reverse(costs[*head]));
    // The shortest strand first.
    let mut loads: BinaryHeap<Reverse<(u128, usize)>> =
        (0..strands).map(|strand| Reverse((0, strand))).collect();
    let mut strand_of = vec![0; costs.len()];
    for head in heads {
        let mut shortest = loads.peek_mut()?;
        let Reverse((load, strand)) = &mut *shortest;
        *load += costs[head];
        strand_of[head] = *strand;
    }
    let longest = loads.into_iter().map(|Reverse((load, _))| load).max()?;
    let share = all / strands as u128;
    if longest > share.saturating_add(share.saturating_mul(tolerance) / 100) {
        return None;
    }
    Some((0..strand_of.len()).map(|index| strand_of[families.head(index)]).collect())
}

/// Disjoint sets of transactions.
#[derive(Debug)]
struct Families(Vec<usize>);

impl Families {
    /// So many, each by itself.
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The lowest of those in the same set.
    fn head(&mut self, of: usize) -> usize {
        let mut at = of;
        while self.0[at] != at {
            // Each look makes the way of the next one shorter.
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Makes the sets of two into one.
    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.head(one), self.head(other));
        self.0[one.max(other)] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use alloy_consensus::TxType;
    use alloy_primitives::{Address, Bytes, TxKind};

    use super::*;
    use crate::execute::Options;

    /// A person's address.
    fn person(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// A call by one person of a contract that all call, which names others.
    fn call(by: u8, named: &[u8]) -> TxEnv {
        let words = named.iter().flat_map(|number| person(*number).into_word().0);
        let data = [7; 4].into_iter().chain(words).collect::<Vec<u8>>().into();
        TxEnv { caller: person(by), kind: TxKind::Call(person(0xcc)), data, gas_limit: 1, ..TxEnv::default() }
    }

    #[test]
    fn who_meets_is_in_one_strand() {
        let payment = TxEnv { kind: TxKind::Call(person(3)), data: Bytes::new(), ..call(4, &[]) };
        let transactions = [call(1, &[2]), call(3, &[9]), call(2, &[5]), payment, call(5, &[]), call(9, &[])];
        let ready = |env: &TxEnv| ReadyTransaction { env: env.clone(), tx_type: TxType::Legacy, blob_gas: 0 };
        let transactions: Vec<ReadyTransaction> = transactions.iter().map(ready).collect();
        let split = |transactions: &[ReadyTransaction], strands| {
            let gas_limits = transactions.iter().map(|ready| ready.env.gas_limit);
            share_out(gas_limits, &meetings(transactions), strands, 25)
        };
        assert_eq!(split(&transactions, 2).unwrap(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(split(&transactions[..3], 3), None, "one would take twice its share");
        assert_eq!(split(&transactions[..1], 1).unwrap(), [0]);
        assert_eq!(split(&[], 2).unwrap(), [0_usize; 0]);
    }

    /// However many threads look for them.
    #[test]
    fn all_who_meet_are_connected() {
        let payment = |number: usize| TxEnv {
            caller: Address::left_padding_from(&(number % 700).to_be_bytes()),
            kind: TxKind::Call(Address::left_padding_from(&(10_000 + number / 3).to_be_bytes())),
            ..TxEnv::default()
        };
        let ready = |number| ReadyTransaction { env: payment(number), tx_type: TxType::Legacy, blob_gas: 0 };
        let transactions: Vec<ReadyTransaction> = (0..3 * WORTH_A_THREAD).map(ready).collect();
        let heads = |threads| {
            let meetings = Options::with_threads(threads).unwrap().install(|| meetings(&transactions));
            let mut families = Families::new(transactions.len());
            for (one, other) in meetings {
                families.unite(one, other);
            }
            (0..transactions.len()).map(|index| families.head(index)).collect::<Vec<_>>()
        };
        let expected = heads(1);
        assert!(expected.iter().enumerate().any(|(index, head)| index > *head + 2 * WORTH_A_THREAD));
        assert_eq!([2, 3].map(heads), [expected.clone(), expected]);
    }
}

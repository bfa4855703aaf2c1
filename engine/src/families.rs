//! Which transactions seem to meet, and a split of all into rows that seem not to.
//!
//! Those that share a sender, a recipient of a call without data, or an address among their arguments are one family.
//!
//! It is a guess about time: no outcome depends on it.

use core::cmp::Reverse;
use core::hash::BuildHasher;

use alloy_primitives::map::{DefaultHashBuilder, HashMap};
use revm::context::TxEnv;

use crate::alike::named_by;

/// Splits transactions into so many strands: which one each is in. Those that seem to meet are in the same one. `None` if
/// one of the strands would be longer than its share by more than so many percent.
pub(crate) fn split<'t>(
    transactions: impl ExactSizeIterator<Item = &'t TxEnv> + Clone,
    strands: usize,
    tolerance: u128,
) -> Option<Vec<usize>> {
    // Keyed at random, and who shares a hash shares a strand.
    let hasher = DefaultHashBuilder::default();
    let mut families = Families::new(transactions.len());
    let mut seen: HashMap<u64, usize> = HashMap::default();
    seen.reserve(3 * transactions.len());
    for (index, transaction) in transactions.clone().enumerate() {
        let recipient = transaction.kind.to().filter(|_| transaction.data.is_empty());
        let met = [transaction.caller.0.0].into_iter().chain(recipient.map(|to| to.0.0));
        for address in met.chain(named_by(transaction)) {
            let other = *seen.entry(hasher.hash_one(address)).or_insert(index);
            families.unite(index, other);
        }
    }
    let mut costs = vec![0_u128; transactions.len()];
    for (index, transaction) in transactions.enumerate() {
        costs[families.head(index)] += u128::from(transaction.gas_limit);
    }
    let all: u128 = costs.iter().sum();
    let mut heads: Vec<usize> = (0..costs.len()).filter(|index| families.head(*index) == *index).collect();
    heads.sort_by_key(|head| Reverse(costs[*head]));
    let mut loads = vec![0_u128; strands];
    let mut strand_of = vec![0; costs.len()];
    for head in heads {
        let strand = (0..strands).min_by_key(|strand| loads[*strand])?;
        loads[strand] += costs[head];
        strand_of[head] = strand;
    }
    let longest = loads.into_iter().max()?;
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
    use alloy_primitives::{Address, Bytes, TxKind};

    use super::*;

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
        assert_eq!(split(transactions.iter(), 2, 25).unwrap(), [0, 1, 0, 1, 0, 1]);
        assert_eq!(split(transactions[..3].iter(), 3, 25), None, "one would take twice its share");
        assert_eq!(split(transactions[..1].iter(), 1, 25).unwrap(), [0]);
    }
}

//! Takes a block apart for as long as it still shows the difference.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, U256};

use super::case::{Case, Store};
use super::compare::Matrix;

/// A way to make a block smaller, if it applies.
type Step = Box<dyn Fn(&Case) -> Option<Case>>;

/// The smallest block found that still differs, with what differs in it.
///
/// Races do not show every time, so `tries` runs decide whether a block still differs.
pub(super) fn shrink(
    case: &Case,
    reason: String,
    matrix: &Matrix,
    tries: usize,
    time: Duration,
) -> (Case, String) {
    let mut shrinker = Shrinker { best: case.clone(), reason, matrix, tries, until: Instant::now() + time };
    while shrinker.pass() {}
    (shrinker.best, shrinker.reason)
}

/// A block that is being made smaller.
struct Shrinker<'a> {
    /// The smallest so far.
    best: Case,
    /// What differs in it.
    reason: String,
    /// What it is run on.
    matrix: &'a Matrix,
    /// How often each block is tried.
    tries: usize,
    /// When to stop.
    until: Instant,
}

impl Shrinker<'_> {
    /// Tries everything once; says whether anything helped.
    fn pass(&mut self) -> bool {
        let mut helped = self.remove_transactions();
        for step in self.steps() {
            if let Some(smaller) = step(&self.best) {
                helped |= self.keep(smaller);
            }
        }
        helped
    }

    /// Takes out transactions: halves first, then smaller and smaller parts.
    fn remove_transactions(&mut self) -> bool {
        let mut helped = false;
        let mut width = self.best.transactions.len().div_ceil(2);
        while width > 0 {
            let mut start = 0;
            while start < self.best.transactions.len() {
                let mut smaller = self.best.clone();
                let end = (start + width).min(smaller.transactions.len());
                smaller.transactions.drain(start..end);
                if !smaller.transactions.is_empty() && self.keep(smaller) {
                    helped = true;
                } else {
                    start += width;
                }
            }
            width /= 2;
        }
        helped
    }

    /// All other ways to make the block smaller.
    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = vec![
            changed(|case| case.store = Store::Plain, |case| case.store != Store::Plain),
            changed(|case| case.withdrawals.clear(), |case| !case.withdrawals.is_empty()),
            changed(|case| case.ommers.clear(), |case| !case.ommers.is_empty()),
            changed(|case| case.base_fee = 0, |case| case.base_fee != 0),
            changed(|case| case.excess_blob_gas = 0, |case| case.excess_blob_gas != 0),
            changed(|case| case.ancestors = 256, |case| case.ancestors != 256),
            changed(
                |case| case.beneficiary = Address::repeat_byte(0xbe),
                |case| case.beneficiary != Address::repeat_byte(0xbe),
            ),
        ];
        let addresses: Vec<Address> = self.best.world.accounts().map(|(address, _)| *address).collect();
        for address in addresses {
            steps.push(changed(
                move |case| case.world.remove(address),
                move |case| case.world.get(address).is_some(),
            ));
            steps.push(changed(
                move |case| case.world.account(address).storage.clear(),
                move |case| case.world.get(address).is_some_and(|account| !account.storage.is_empty()),
            ));
        }
        for index in 0..self.best.transactions.len() {
            steps.push(changed(
                move |case| case.transactions[index].value = U256::ZERO,
                move |case| !case.transactions[index].value.is_zero(),
            ));
            steps.push(changed(
                move |case| case.transactions[index].access_list.0.clear(),
                move |case| !case.transactions[index].access_list.is_empty(),
            ));
            steps.push(changed(
                move |case| case.transactions[index].input.clear(),
                move |case| !case.transactions[index].input.is_empty(),
            ));
            steps.push(changed(
                move |case| case.transactions[index].authorizations.truncate(1),
                move |case| case.transactions[index].authorizations.len() > 1,
            ));
        }
        steps
    }

    /// Keeps a block if it still differs.
    fn keep(&mut self, smaller: Case) -> bool {
        for _ in 0..self.tries {
            if Instant::now() > self.until {
                return false;
            }
            if let Err(reason) = self.matrix.run(&smaller) {
                (self.best, self.reason) = (smaller, reason);
                return true;
            }
        }
        false
    }
}

/// A step that changes a block, where there is something to change.
fn changed(change: impl Fn(&mut Case) + 'static, applies: impl Fn(&Case) -> bool + 'static) -> Step {
    Box::new(move |case| {
        applies(case).then(|| {
            let mut smaller = case.clone();
            change(&mut smaller);
            smaller
        })
    })
}

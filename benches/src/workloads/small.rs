//! Blocks so small that waking a thread shows.

use super::{Plan, swaps, tokens, transfers};

/// Adds the workloads. They are the independent ones, and are not scaled.
pub(super) fn plan(plans: &mut Vec<Plan>) {
    for count in [1, 2, 4, 8, 16, 32, 64] {
        plans.push(Plan::new(format!("small/raw/{count}"), move |name| transfers::independent(name, count)));
        plans.push(Plan::new(format!("small/erc20/{count}"), move |name| tokens::independent(name, count)));
        plans.push(Plan::new(format!("small/swap/{count}"), move |name| swaps::swaps(name, count, 1, 1)));
    }
}

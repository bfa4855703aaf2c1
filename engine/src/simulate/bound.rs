//! The longest chain: what no number of cores can make shorter without knowing what will be written.

use weft_scheduler::TxIndex;
use weft_scheduler::simulate::TxCosts;

use super::costs::InOrder;

/// No core count can do it in less: the share of each of so many cores in all the work, or the longest chain.
pub(super) fn bound(work: u64, critical_path: u64, workers: usize) -> u64 {
    (work / workers.max(1) as u64).max(critical_path)
}

/// The longest chain of runs of which each reads what the one before has written. Before that read, a run may overlap
/// with the one that it depends on; so what counts of it is the part behind.
///
/// `dependencies` says for each transaction whose writes it reads, and by which of its reads; `None`, that it waits for
/// all below. Those that are not listed depend on nobody.
pub(super) fn critical_path(
    in_order: &[InOrder],
    speculative: &[TxCosts],
    dependencies: &[Option<Vec<(TxIndex, usize)>>],
) -> u64 {
    let mut ends: Vec<u64> = Vec::with_capacity(in_order.len());
    let mut last = 0;
    for (tx, costs) in in_order.iter().enumerate() {
        let run = costs.run;
        // How much of the run is behind its nth read.
        let behind = |nth: usize| {
            let Some(costs) = speculative.get(tx) else { return run };
            let at = costs.reads.get(nth).copied().unwrap_or_default();
            let left = u128::from(run) * u128::from(costs.run.saturating_sub(at));
            u64::try_from(left / u128::from(costs.run.max(1))).unwrap_or(run)
        };
        let end = match dependencies.get(tx) {
            Some(Some(lower)) => {
                let ends = lower.iter().map(|(TxIndex(lower), nth)| ends[*lower as usize] + behind(*nth));
                ends.max().unwrap_or_default()
            }
            Some(None) => last + run,
            None => 0,
        };
        ends.push(end.max(run));
        last = last.max(end).max(run);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chain_counts_from_its_reads_on() {
        let run = InOrder { run: 100, commit: 7 };
        let mut costs = TxCosts::default();
        (costs.run, costs.reads) = (200, [20, 150].into());
        let path = |dependencies: &[Option<Vec<(TxIndex, usize)>>]| {
            let count = dependencies.len();
            critical_path(&vec![run; count], &vec![costs.clone(); count], dependencies)
        };
        let on = |tx, nth| Some(vec![(TxIndex(tx), nth)]);
        assert_eq!(path(&[Some(vec![]), Some(vec![])]), 100);
        assert_eq!(path(&[Some(vec![]), on(0, 0)]), 190, "all but the tenth before the read");
        assert_eq!(path(&[Some(vec![]), on(0, 1)]), 125);
        assert_eq!(path(&[Some(vec![]), on(0, 1), on(1, 0)]), 215);
        assert_eq!(path(&[Some(vec![]), on(0, 1), None]), 225, "behind all below");
        assert_eq!(critical_path(&[run; 3], &[], &[]), 100);
    }
}

//! Transactions that resemble each other, such as calls of one contract, and whether they get in each other's way.
//!
//! The first run of a transaction that will read what its predecessor has not written yet is wasted, and nobody can
//! know before. But if calls of one contract have met in the same places a few times, the next ones most likely will.
//! Such a group goes *in a row*: each of its transactions waits for a run of the one before, and meanwhile the workers
//! look for work further on. Where a transaction had no need to wait, its group may soon run side by side again.
//!
//! It is a guess about time. No outcome depends on it: who waits is run all the same once it stands at the frontier.
//!
//! # Invariants
//!
//! - **G1.** A transaction waits only for a lower one.

use crate::{
    sync::{AtomicU32, Ordering},
    version::TxIndex,
};

/// From this score on, a group goes in a row.
const IN_A_ROW: u32 = 10;

/// The highest score: how much evidence to the contrary a group needs at most.
const SCORE_MAX: u32 = 12;

/// The groups of a block. A block without groups has no entries.
#[derive(Debug, Default)]
pub(crate) struct Likeness {
    /// By transaction.
    members: Box<[Member]>,
    /// By group: how often its transactions have met lately.
    scores: Box<[AtomicU32]>,
}

/// One transaction of a group.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// The group.
    group: u32,
    /// The one before it; `None` for the first.
    previous: Option<TxIndex>,
}

impl Likeness {
    /// The groups of a block: by transaction, the number of its group, counted from 0 without gaps.
    pub(crate) fn new(groups: &[u32]) -> Self {
        let count = groups.iter().max().map_or(0, |highest| *highest as usize + 1);
        let mut last = vec![None; count];
        let members = (0..).map(TxIndex).zip(groups).map(|(tx, &group)| {
            let previous = last[group as usize].replace(tx);
            Member { group, previous }
        });
        Self { members: members.collect(), scores: (0..count).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Whom the first run of `tx` should wait for.
    pub(crate) fn predecessor(&self, tx: TxIndex) -> Option<TxIndex> {
        let member = self.members.get(tx.0 as usize)?;
        // ORDERING: a hint; nothing is published by it.
        let in_a_row = self.score(member).load(Ordering::Relaxed) >= IN_A_ROW;
        if in_a_row { member.previous } else { None }
    }

    /// A run of `tx` was in vain.
    pub(crate) fn note_waste(&self, tx: TxIndex) {
        if let Some(member) = self.members.get(tx.0 as usize) {
            self.change(member, |score| (score + 2).min(SCORE_MAX));
        }
    }

    /// A speculative run of `tx` is committed; `reads_from` says whether it has read what another one wrote.
    pub(crate) fn note_commit(&self, tx: TxIndex, reads_from: impl FnOnce(TxIndex) -> bool) {
        let Some(member) = self.members.get(tx.0 as usize) else { return };
        // ORDERING: as above. Most groups never meet, and cost no more than this look.
        if self.score(member).load(Ordering::Relaxed) == 0 {
            return;
        }
        if member.previous.is_some_and(reads_from) {
            self.change(member, |score| (score + 1).min(SCORE_MAX));
        } else {
            self.change(member, |score| score.saturating_sub(1));
        }
    }

    /// The score of a group.
    fn score(&self, member: &Member) -> &AtomicU32 {
        &self.scores[member.group as usize]
    }

    /// Changes a score. Two changes at once may count as one.
    fn change(&self, member: &Member, change: impl FnOnce(u32) -> u32) {
        let score = self.score(member);
        // ORDERING: as above.
        score.store(change(score.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_a_group_that_meets_goes_in_a_row_until_it_need_not() {
        let likeness = Likeness::new(&[0, 1, 0, 0, 1]);
        let predecessors = || (0..6).map(|tx| likeness.predecessor(TxIndex(tx))).collect::<Vec<_>>();
        assert_eq!(predecessors(), [None; 6]);
        for _ in 0..IN_A_ROW / 2 {
            assert_eq!(predecessors(), [None; 6], "a few times are chance");
            likeness.note_waste(TxIndex(3));
        }
        let row = [None, None, Some(TxIndex(0)), Some(TxIndex(2)), None, None];
        assert_eq!(predecessors(), row);
        likeness.note_commit(TxIndex(3), |lower| lower == TxIndex(2));
        likeness.note_commit(TxIndex(3), |lower| lower == TxIndex(0));
        assert_eq!(predecessors(), row);
        likeness.note_commit(TxIndex(2), |_| false);
        assert_eq!(predecessors(), [None; 6]);
    }

    #[test]
    fn a_block_without_groups_waits_for_nobody() {
        let likeness = Likeness::new(&[]);
        likeness.note_waste(TxIndex(0));
        likeness.note_commit(TxIndex(0), |_| true);
        assert_eq!(likeness.predecessor(TxIndex(7)), None);
    }
}

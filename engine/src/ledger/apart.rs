//! Whether strands could have come in any order: none has changed what another has seen, not even for a while.
//!
//! ```text
//!  accounts, part by part ─► those that several have seen ─► their slots, each thread some of them
//! ```
//!
//! All calls of a token meet in one account, and in none of its slots: so the slots of one account are shared out as well,
//! and each is put down once, however many strands there are.

use alloy_primitives::U256;
use alloy_primitives::map::{Entry as MapEntry, U256Map};
use rayon::prelude::*;

use super::Seen;
use super::entry::Entry;
use super::written::Written;

/// So many slots are worth a thread.
const SLOTS_WORTH_A_THREAD: usize = 512;

/// What one strand knows of an account that others have seen, too.
#[derive(Debug, Clone, Copy)]
struct Holder<'s> {
    /// What it has seen of it, and left.
    entry: &'s Entry,
    /// All that it has changed, also for a while.
    written: &'s Written,
}

/// Whether no strand has changed what another has seen. All ran above the same accounts, and have changed no more than
/// values.
pub(super) fn are_apart(strands: &[Seen]) -> bool {
    let parts = strands.first().map_or(0, |strand| strand.parts.len());
    let shared: Vec<Vec<Holder<'_>>> =
        (0..parts).into_par_iter().flat_map_iter(|part| shared(strands, part)).collect();
    shared.par_iter().all(|holders| is_unchanged(holders) && slots_are_apart(holders))
}

/// The accounts of a part that several strands have seen.
fn shared<'s>(strands: &'s [Seen], part: usize) -> impl Iterator<Item = Vec<Holder<'s>>> {
    let entries = strands
        .iter()
        .enumerate()
        .flat_map(move |(nth, strand)| strand.parts[part].entries().map(move |entry| (nth, entry.address)));
    entries.filter_map(move |(nth, address)| {
        let holder = |strand: &'s Seen| {
            let Seen { parts, written, .. } = strand;
            Some(Holder { entry: parts[part].known(address)?, written })
        };
        // Each of them once: where the second strand has it.
        let is_second = strands[..nth].iter().filter_map(holder).take(2).count() == 1;
        is_second.then(|| strands.iter().filter_map(holder).collect())
    })
}

/// Whether none of these has changed the account itself.
fn is_unchanged(holders: &[Holder<'_>]) -> bool {
    holders
        .iter()
        .all(|Holder { entry, written }| entry.before == entry.now && !written.has_account(entry.address))
}

/// Whether none of these has changed a slot of the account that another has seen.
fn slots_are_apart(holders: &[Holder<'_>]) -> bool {
    let all: usize = holders.iter().map(|holder| holder.entry.slots.len()).sum();
    let shares = (all / SLOTS_WORTH_A_THREAD).clamp(1, rayon::current_num_threads());
    (0..shares).into_par_iter().all(|share| {
        let mut seen: U256Map<(Holder<'_>, bool)> = U256Map::default();
        seen.reserve(all / shares);
        holders.iter().all(|holder| {
            let address = holder.entry.address;
            let slots = holder.entry.slots.iter().filter(|(slot, _)| share_of(slot, shares) == share);
            slots.into_iter().all(|(slot, value)| match seen.entry(*slot) {
                MapEntry::Vacant(vacant) => {
                    vacant.insert((*holder, value.is_changed()));
                    true
                }
                // Whatever else has seen it was compared with the same one.
                MapEntry::Occupied(first) => {
                    let (first, is_changed) = *first.get();
                    let was_written = |holder: &Holder<'_>| holder.written.has_slot(address, *slot);
                    !is_changed && !value.is_changed() && ![&first, holder].into_iter().any(was_written)
                }
            })
        })
    })
}

/// Which of so many shares a slot belongs to. Who chooses slots that all belong to one makes it slower, and no more.
fn share_of(slot: &U256, shares: usize) -> usize {
    const MIXED: u64 = 0x9e37_79b9_7f4a_7c15;
    let [one, two, three, four] = slot.into_limbs();
    let mixed = (one ^ two ^ three ^ four).wrapping_mul(MIXED) >> 32;
    // Less than `shares`.
    ((mixed * shares as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use revm::Database;
    use revm::state::AccountInfo;

    use super::*;
    use crate::execute::Options;
    use crate::ledger::Ledger;
    use crate::pre_state::{Ancestors, PlainAccount, PlainState};

    /// The account that all meet in.
    const CALLED: Address = Address::repeat_byte(0xcc);

    /// How many slots one strand alone has seen, and changed.
    const OWN: u64 = 500;

    /// A slot that all have seen.
    const SHARED: U256 = U256::from_limbs([7, 0, 0, 9]);

    /// Whether strands are apart, of which all but the first `few` have seen the shared slot, and `change` changes one.
    fn are_apart_if(
        strands: u64,
        few: u64,
        changed: u64,
        change: impl Fn(&mut Entry, &mut Written),
    ) -> [bool; 3] {
        let info = AccountInfo { nonce: 1, ..AccountInfo::default() };
        let account = PlainAccount { info, storage: [(SHARED, U256::ONE)].into_iter().collect() };
        let pre_state = PlainState::new([(CALLED, account)].into_iter().collect(), &[], Ancestors::default());
        let strand = |nth: u64| {
            let mut ledger = Ledger::with_parts(&pre_state, Address::ZERO, 4, 0);
            let mut written = Written::default();
            let shared = (nth >= few).then_some(SHARED);
            for slot in (nth * OWN..(nth + 1) * OWN).map(U256::from).chain(shared) {
                ledger.storage(CALLED, slot).unwrap();
            }
            // And another account that nobody else has seen.
            ledger.basic(Address::with_last_byte(u8::try_from(nth + 1).unwrap())).unwrap();
            let entry = ledger.load(CALLED).unwrap();
            for (slot, value) in entry.slots.iter_mut().filter(|(slot, _)| **slot != SHARED) {
                value.present_value = U256::from(5);
                written.note_slot(CALLED, *slot);
            }
            if nth == changed {
                change(entry, &mut written);
            }
            ledger.into_seen(written)
        };
        let seen: Vec<Seen> = (0..strands).map(strand).collect();
        [1, 2, 3].map(|threads| Options::with_threads(threads).unwrap().install(|| are_apart(&seen)))
    }

    /// Gives the shared slot another value, where it was seen.
    fn change_slot(entry: &mut Entry, _: &mut Written) {
        if let Some(slot) = entry.slots.get_mut(&SHARED) {
            slot.present_value = U256::from(2);
        }
    }

    /// Gives the account another nonce.
    fn change_account(entry: &mut Entry, _: &mut Written) {
        entry.now.as_mut().unwrap().nonce = 2;
    }

    #[test]
    fn s1_one_change_tells_strands_apart() {
        for (strands, few) in [(2, 0), (3, 0), (3, 1), (5, 0), (5, 3)] {
            for changed in 0..strands {
                let are_apart =
                    |change: fn(&mut Entry, &mut Written)| are_apart_if(strands, few, changed, change);
                assert_eq!(are_apart(|_, _| ()), [true; 3]);
                // Who has not seen it has not changed it.
                assert_eq!(are_apart(change_slot), [changed < few; 3]);
                assert_eq!(
                    are_apart(|_, written| written.note_slot(CALLED, SHARED)),
                    [changed < few; 3],
                    "back"
                );
                assert_eq!(are_apart(change_account), [false; 3]);
                assert_eq!(are_apart(|_, written| written.note_account(CALLED)), [false; 3], "back");
            }
        }
    }

    #[test]
    fn what_nobody_else_has_seen_may_change() {
        assert_eq!(are_apart_if(1, 0, 0, change_account), [true; 3]);
        assert_eq!(are_apart_if(1, 0, 0, change_slot), [true; 3]);
        assert_eq!(are_apart_if(5, 4, 4, change_slot), [true; 3]);
        assert_eq!(are_apart_if(5, 4, 4, |_, written| written.note_slot(CALLED, SHARED)), [true; 3]);
    }
}

//! Ways down that are gone together, so that what is on them is near when it is needed.
//!
//! A witness and the nodes that change are larger than the caches of a core. Whoever follows one key waits for the
//! memory at each node; who follows many, each a step at a time, waits for all of them at once.
//!
//! - **N1.** Nothing comes out of it but time, whatever it meets: no trie need be sound.
//!
//! `whatever_is_brought_near_says_the_same` and `pools_of_any_size_agree` check N1.

use crate::{
    arena::{Arena, Node, Place, Stop},
    keccak::prefetch_entry,
    key::{KEY_NIBBLES, nibble},
};
use alloy_primitives::B256;

/// Keys whose ways are gone together.
const KEYS_AT_ONCE: usize = 32;

/// Slots of an account that are gone to with it.
const SLOTS_AT_ONCE: usize = 32;

/// Supplied nodes below which nothing is gained: with their bytes they take some 10 MB, and much of that stays near.
const PLACES_MIN: usize = 1 << 15;

/// A key on its way down.
#[derive(Clone, Copy, Debug)]
struct Way<'k> {
    /// Where it has come.
    at: Stop,
    /// How many nibbles are above that.
    depth: usize,
    /// The key.
    key: &'k B256,
    /// Slots of the account that has this key, to which ways go on.
    slots: &'k [B256],
}

// The tests of N1 fill their witnesses up to this.
const _: () = assert!(PLACES_MIN <= 1 << 15);

impl Arena<'_> {
    /// Goes from a node that is below `depth` nibbles of all keys to where they end, through changed nodes and then
    /// supplied ones, and from the supplied leaf of an account on to its slots, the first [`SLOTS_AT_ONCE`] of them. From
    /// a supplied node in a small witness it goes nowhere.
    pub(crate) fn bring_near<'k>(
        &self,
        top: Stop,
        depth: usize,
        keys: impl IntoIterator<Item = (&'k B256, &'k [B256])>,
    ) {
        if matches!(top, Stop::Supplied(_)) && self.store().places() < PLACES_MIN {
            return;
        }
        let mut keys = keys.into_iter().map(|(key, slots)| Way { at: top, depth, key, slots });
        let (mut ways, mut onward) = (Vec::with_capacity(KEYS_AT_ONCE), Vec::new());
        loop {
            ways.extend(keys.by_ref().take(KEYS_AT_ONCE));
            if ways.is_empty() {
                return;
            }
            while !ways.is_empty() {
                for way in &ways {
                    self.ask(way);
                }
                ways.retain_mut(|way| self.advance(way, &mut onward));
                ways.append(&mut onward);
            }
        }
    }

    /// Asks for what it takes to go on from where a way has come.
    fn ask(&self, way: &Way<'_>) {
        match way.at {
            Stop::Changed(index) => {
                if let Node::Branch(branch) = &self.nodes[index] {
                    prefetch_entry(self.fresh(branch));
                }
            }
            Stop::Supplied(place) => self.store().prefetch_way(place, way.key, way.depth),
        }
    }

    /// Moves a way to the next node, and asks for that; `false` at its end, where the leaf is asked for, and ways to the
    /// slots of an account go `onward`.
    fn advance<'k>(&self, way: &mut Way<'k>, onward: &mut Vec<Way<'k>>) -> bool {
        let next = match way.at {
            Stop::Changed(index) => self.step_from_changed(index, way),
            Stop::Supplied(place) => self.step_from_supplied(place, way, onward),
        };
        // A trie that is not sound may be deeper than its keys are long.
        let Some(next) = next.filter(|_| way.depth < KEY_NIBBLES) else { return false };
        match next {
            Stop::Changed(index) => prefetch_entry(&self.nodes[index]),
            Stop::Supplied(place) => self.store().prefetch_shape(place),
        }
        way.at = next;
        true
    }

    /// What comes after a changed node on a way, whose depth moves on; `None` at the end.
    fn step_from_changed(&self, index: usize, way: &mut Way<'_>) -> Option<Stop> {
        let below = match &self.nodes[index] {
            Node::Branch(branch) => {
                let place = self.place(branch, nibble(way.key, way.depth));
                if let (Place::Kept, Some(origin)) = (place, branch.origin) {
                    // The branch that it was says where the child is: a stop of its own, at the same depth.
                    return Some(Stop::Supplied(origin.place()));
                }
                way.depth += 1;
                place
            }
            Node::Extension { end, child, .. } => {
                way.depth = usize::from(*end);
                child.place()
            }
            Node::Leaf { value, .. } => {
                prefetch_entry(self.values.get(*value));
                return None;
            }
        };
        match below {
            Place::Changed(index) => Some(Stop::Changed(index)),
            Place::Supplied(place) => Some(Stop::Supplied(place)),
            Place::None | Place::Kept | Place::Loose(_) => None,
        }
    }

    /// What comes after a supplied node on a way, whose depth moves on; `None` at the end.
    fn step_from_supplied<'k>(
        &self,
        place: usize,
        way: &mut Way<'k>,
        onward: &mut Vec<Way<'k>>,
    ) -> Option<Stop> {
        let store = self.store();
        let shape = store.shape(place);
        if shape.is_leaf() {
            store.prefetch_bytes(place);
            if let Some(Ok(root)) = store.links(place).next() {
                let at = Stop::Supplied(root);
                let keys = way.slots.iter().take(SLOTS_AT_ONCE);
                onward.extend(keys.map(|key| Way { at, depth: 0, key, slots: &[] }));
                store.prefetch_shape(root);
            }
            return None;
        }
        let link = if shape.is_branch() { shape.link_of(nibble(way.key, way.depth))? } else { 0 };
        way.depth += usize::from(shape.path_nibbles()).max(1);
        Some(Stop::Supplied(store.links(place).nth(link)?.ok()?))
    }
}

//! A branch on its way through a batch: which children it has, and which of them are fresh.
//!
//! It is made of a supplied branch or of nothing, outside any arena, and put into one when its children are final.

use crate::arena::{Arena, Child, Origin, Place};

/// A branch whose children are being changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenBranch {
    /// Its fresh children, by nibble, and none for those that it lacks or that are kept.
    pub(crate) children: [Child; 16],
    /// Which there are.
    pub(crate) present: u16,
    /// Those that are not kept.
    pub(crate) fresh: u16,
    /// The supplied branch that it was.
    pub(crate) origin: Option<Origin>,
    /// One more than the greatest height of a child that changed.
    pub(crate) height: u8,
    /// Whether any child changed.
    pub(crate) has_changed: bool,
}

impl OpenBranch {
    /// No children yet.
    pub(crate) fn empty() -> Self {
        Self {
            children: [Child::NONE; 16],
            present: 0,
            fresh: 0,
            origin: None,
            height: 0,
            has_changed: false,
        }
    }

    /// A supplied branch in which nothing has changed yet; `present` says which children it has.
    pub(crate) fn supplied(place: usize, present: u16) -> Self {
        Self { present, origin: Some(Origin::new(place)), ..Self::empty() }
    }

    /// Where the child for one nibble is.
    pub(crate) fn place(&self, nibble: usize) -> Place {
        match (self.present >> nibble & 1, self.fresh >> nibble & 1) {
            (0, _) => Place::None,
            (_, 0) => Place::Kept,
            _ => self.children[nibble].place(),
        }
    }

    /// Puts a child where there may be one; it doesn't count as a change.
    pub(crate) fn set(&mut self, nibble: usize, child: Child) {
        self.children[nibble] = child;
        self.present |= 1 << nibble;
        self.fresh |= 1 << nibble;
        if child == Child::NONE {
            self.present &= !(1 << nibble);
            self.fresh &= !(1 << nibble);
        }
    }

    /// Whether it has a single child, which will take its place.
    pub(crate) fn is_left_with_one(&self) -> bool {
        self.present.is_power_of_two()
    }

    /// Puts the branch among the changed nodes.
    pub(crate) fn push_to(&self, arena: &mut Arena<'_>) -> usize {
        let mut fresh = self.fresh;
        let children = std::iter::from_fn(|| {
            let nibble = (fresh != 0).then(|| fresh.trailing_zeros() as usize)?;
            fresh &= fresh - 1;
            Some(self.children[nibble])
        });
        arena.push_branch((self.present, self.fresh), children, self.origin, self.height)
    }
}

//! Who signed: public keys of secp256k1 from ECDSA signatures, eight at once.
//!
//! ```
//! use weft_recover::{Backend, Item, NoKey};
//!
//! // There is a point whose x is one, and none whose x is five.
//! let [one, five] = [1, 5].map(|x| std::array::from_fn(|byte| if byte == 31 { x } else { 0 }));
//! let good = Item { digest: [1; 32], r: one, s: [2; 32], y_odd: false };
//! let bad = Item { r: five, ..good };
//! let keys = Backend::best().recover(&[good, bad]);
//! assert!(keys[0].is_ok());
//! assert_eq!(keys[0], Backend::Libsecp256k1.recover_one(&good));
//! assert_eq!(keys[1], Err(NoKey));
//! ```
//!
//! | file | |
//! |---|---|
//! | `batch.rs` | from signatures to vectors and back |
//! | `scalar.rs`, `glv.rs` | numbers modulo the order, and their digits |
//! | `lanes/` | field, curve and ladder, one signature in each lane |
//! | `library.rs` | libsecp256k1: for short tails, for what lanes cannot do, and where there are none |
//!
//! - **R1.** Every backend gives the same keys and refuses the same signatures: `tests/`.
//! - **R2.** A signature's key depends neither on its neighbours nor on its place: `dangerous_signatures_*`,
//!   `batches_of_every_size_*`.
//! - **R3.** Nor on the random point that the ladder starts at: `blinding_changes_nothing_*`.
//!
//! Nothing here is secret, and nothing takes the same time for all inputs: it is no code to sign with.

#[cfg(target_arch = "x86_64")]
mod batch;
#[cfg(target_arch = "x86_64")]
mod glv;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod library;
#[cfg(target_arch = "x86_64")]
mod scalar;

/// A signature over a digest, as it was received: nothing about it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What was signed. Any value will do.
    pub digest: [u8; 32],
    /// r, big-endian.
    pub r: [u8; 32],
    /// s, big-endian; the upper half of its range is accepted.
    pub s: [u8; 32],
    /// Whether y of the point whose x is r is odd.
    pub y_odd: bool,
}

/// A public key: x, then y, both big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 64]);

/// No key can have made the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key can have made this signature")]
pub struct NoKey;

/// How keys are recovered. They are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Eight signatures at once, with AVX-512 IFMA; what that cannot do, and one or two alone, by libsecp256k1.
    Ifma,
    /// One by one, by libsecp256k1.
    Libsecp256k1,
}

impl Backend {
    /// All of them, the fastest first.
    pub const ALL: [Self; 2] = [Self::Ifma, Self::Libsecp256k1];

    /// The fastest that this processor has.
    pub fn best() -> Self {
        if Self::Ifma.is_available() { Self::Ifma } else { Self::Libsecp256k1 }
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Ifma => lanes::Kernel::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Ifma => false,
            Self::Libsecp256k1 => true,
        }
    }

    /// Does beforehand what is done once in a process, half a millisecond for [`Self::Ifma`]. Until then, only a batch of 24
    /// and more is recovered in lanes.
    pub fn prepare(self) {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Ifma
            && let Some(kernel) = lanes::Kernel::detect()
        {
            kernel.prepare();
        }
    }

    /// Signatures that it recovers together: of a multiple of them, all are done at full speed. One, as long as it is not
    /// [prepared](Self::prepare).
    pub fn lanes(self) -> usize {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Ifma
            && let Some(kernel) = lanes::Kernel::detect()
            && kernel.is_prepared()
        {
            return lanes::LANES;
        }
        1
    }

    /// The key of each signature, in their order, on the calling thread.
    ///
    /// A backend that this processor lacks works like [`Self::Libsecp256k1`].
    pub fn recover(self, items: &[Item]) -> Vec<Result<PublicKey, NoKey>> {
        match self.recover_in_lanes(items) {
            Some(known) => {
                let known = known.into_iter().zip(items);
                known.map(|(known, item)| known.unwrap_or_else(|| self.recover_one(item))).collect()
            }
            None => items.iter().map(|item| self.recover_one(item)).collect(),
        }
    }

    /// What takes less time for many together, on the calling thread: the key of each signature, in their order, but for
    /// those that take as long alone, and the few that only libsecp256k1 can answer for. These are left to
    /// [`Self::recover_one`], on whatever threads there are; without lanes, it is all of them.
    pub fn recover_together(self, items: &[Item]) -> Vec<Option<Result<PublicKey, NoKey>>> {
        self.recover_in_lanes(items).unwrap_or_else(|| vec![None; items.len()])
    }

    /// [`Self::recover_together`] if it has lanes, and they gain anything with so many.
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "there are no lanes"))]
    fn recover_in_lanes(self, items: &[Item]) -> Option<Vec<Option<Result<PublicKey, NoKey>>>> {
        #[cfg(target_arch = "x86_64")]
        if self == Self::Ifma && items.len() >= batch::ALONE_MIN {
            return batch::recover(items);
        }
        None
    }

    /// The key of one signature.
    ///
    /// # Errors
    ///
    /// [`NoKey`] if r or s is zero or not below the order of the group, if no point has this r as its x, or if the
    /// key would be the point at infinity.
    pub fn recover_one(self, item: &Item) -> Result<PublicKey, NoKey> {
        // Lanes gain nothing with one signature.
        library::recover(item)
    }
}

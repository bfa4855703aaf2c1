//! Keccak-256 of many messages at once.
//!
//! A vector register holds the same word of several sponges, so one pass of the
//! permutation serves eight messages (AVX-512) or four (AVX2). Which of the two
//! the processor has is asked at run time; without them, messages are hashed one
//! by one.
//!
//! ```text
//!  messages ── longest first ──► lanes ── one block of each lane ──► step ──► digests
//!                                  ▲                                   │
//!                                  └──── a lane whose message ended takes the next ────┘
//! ```
//!
//! - **K1.** Every backend gives Keccak-256, whatever the lengths and the number
//!   of messages: `backends_agree_*` in `tests.rs`.
//! - **K2.** A lane is never idle while a message waits: `lanes_stay_full` in
//!   `lanes.rs`.
//! - **K3.** No instruction runs that the processor lacks: a kernel's type can
//!   be had only from its `detect`.
//!
//! `unsafe` is confined to `avx2.rs` and `avx512.rs`: loads and stores of whole
//! registers, and the one call from code for any processor into code for this
//! one; and to the one instruction in `prefetch.rs`.

use alloy_primitives::{B256, keccak256};
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads, stores, and the call behind the check of the processor")]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads, stores, and the call behind the check of the processor")]
mod avx512;
mod groups;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod permutation;
mod pieces;
#[expect(unsafe_code, reason = "the prefetch instruction takes a pointer")]
mod prefetch;
#[cfg(test)]
mod tests;

pub(crate) use groups::{Groups, SHORT_MAX};
pub use pieces::keccak256_batch_parallel;
pub(crate) use prefetch::{prefetch, prefetch_entry};

/// Bytes that the sponge takes in before each permutation.
const RATE: usize = 136;

/// One block of input.
type BlockBytes = [u8; RATE];

/// How many of the fastest backends are left out.
static PREFERRED: AtomicU8 = AtomicU8::new(0);

/// How messages are hashed. The digests are the same.
///
/// [`Backend::best`] is what to use; the others are there to be tested and measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Eight messages at once.
    Avx512,
    /// Four messages at once.
    Avx2,
    /// One by one.
    Portable,
}

impl Backend {
    /// All of them, the fastest first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// What this crate hashes with: the fastest that this processor has, unless [`Self::prefer`] says otherwise.
    pub fn best() -> Self {
        // ORDERING: relaxed, as in `prefer`.
        let faster = usize::from(PREFERRED.load(Ordering::Relaxed));
        Self::ALL.into_iter().skip(faster).find(|backend| backend.is_available()).unwrap_or(Self::Portable)
    }

    /// Makes this the fastest that is ever used in this process, so that slower processors can be measured.
    pub fn prefer(self) {
        let faster = match self {
            Self::Avx512 => 0,
            Self::Avx2 => 1,
            Self::Portable => 2,
        };
        // ORDERING: relaxed; nothing else is published with it, and whatever is read gives the same digests.
        PREFERRED.store(faster, Ordering::Relaxed);
    }

    /// Whether this processor has it.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx512 | Self::Avx2 => false,
            Self::Portable => true,
        }
    }

    /// Writes the Keccak-256 of each message to the same place of `digests`.
    ///
    /// A backend that this processor lacks hashes like [`Self::Portable`].
    ///
    /// # Panics
    ///
    /// If there are not as many digests as messages.
    pub fn hash<M: AsRef<[u8]>>(self, messages: &[M], digests: &mut [B256]) {
        assert_eq!(messages.len(), digests.len(), "one digest for each message");
        // One message gains nothing from lanes.
        #[cfg(target_arch = "x86_64")]
        if messages.len() > 1 {
            if self == Self::Avx512
                && let Some(kernel) = avx512::Avx512::detect()
            {
                return lanes::hash(kernel, messages, digests);
            }
            if self == Self::Avx2
                && let Some(kernel) = avx2::Avx2::detect()
            {
                return lanes::hash(kernel, messages, digests);
            }
        }
        for (message, digest) in messages.iter().zip(digests) {
            *digest = keccak256(message);
        }
    }
}

impl Backend {
    /// Writes the digests of up to eight messages, padded and of the same number of blocks, if this processor has
    /// lanes for them, and says whether it did.
    fn hash_padded<'m>(self, message: impl Fn(usize) -> &'m [BlockBytes], digests: &mut [B256]) -> bool {
        #[cfg(target_arch = "x86_64")]
        if digests.len() > 1 {
            if self == Self::Avx512
                && let Some(kernel) = avx512::Avx512::detect()
            {
                lanes::hash_padded(kernel, message, digests);
                return true;
            }
            if self == Self::Avx2
                && let Some(kernel) = avx2::Avx2::detect()
            {
                for (group, digests) in digests.chunks_mut(4).enumerate() {
                    lanes::hash_padded(kernel, |place| message(4 * group + place), digests);
                }
                return true;
            }
        }
        false
    }
}

/// The Keccak-256 of each message, in their order, on the calling thread.
///
/// ```
/// use alloy_primitives::keccak256;
/// use weft_trie::keccak256_batch;
///
/// assert_eq!(keccak256_batch(&["one", "two"]), [keccak256("one"), keccak256("two")]);
/// ```
pub fn keccak256_batch<M: AsRef<[u8]>>(messages: &[M]) -> Vec<B256> {
    let mut digests = vec![B256::ZERO; messages.len()];
    Backend::best().hash(messages, &mut digests);
    digests
}

/// How often the permutation runs for a message of `length` bytes.
fn permutations(length: usize) -> usize {
    length / RATE + 1
}

//! What is remembered from one block to the next.
//!
//! Only how bytes hash, never what was true: the verdict on a block depends on its input alone, and what a witness
//! lacks it lacks, whatever other blocks came with.

use std::sync::Arc;

use weft_trie::KnownHashes;

/// Nodes and codes of earlier witnesses, with their hashes. Clones share them.
///
/// ```
/// use weft_engine::execute::{Cache, Options};
///
/// let options = Options::with_threads(2)?.with_cache(Cache::new(64 << 20));
/// # Ok::<(), weft_engine::error::Fault>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cache(Arc<Known>);

/// Nodes and codes apart, so that those who hash the ones don't keep the others from being noted.
#[derive(Debug)]
struct Known {
    /// Of trie nodes.
    nodes: KnownHashes,
    /// Of codes.
    codes: KnownHashes,
}

impl Cache {
    /// An empty cache that takes up to about `memory` bytes, a fifth of it at once.
    pub fn new(memory: usize) -> Self {
        let half = memory / 2;
        Self(Arc::new(Known { nodes: KnownHashes::new(half), codes: KnownHashes::new(half) }))
    }

    /// What is known of nodes.
    pub(super) fn nodes(&self) -> &KnownHashes {
        &self.0.nodes
    }

    /// What is known of codes.
    pub(super) fn codes(&self) -> &KnownHashes {
        &self.0.codes
    }
}

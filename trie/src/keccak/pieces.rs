//! A batch in pieces, on the threads of the current rayon pool.

use super::{Backend, permutations};
use alloy_primitives::B256;

/// Permutations below which waking a thread costs more than it saves: some 30 microseconds of work.
const PIECE_PERMUTATIONS_MIN: usize = 512;

/// The Keccak-256 of each message, in their order, on all threads of the current rayon pool.
///
/// Small batches stay on the calling thread.
pub fn keccak256_batch_parallel<M: AsRef<[u8]> + Sync>(messages: &[M]) -> Vec<B256> {
    let mut digests = vec![B256::ZERO; messages.len()];
    let backend = Backend::best();
    let threads = rayon::current_num_threads();
    if threads == 1 {
        backend.hash(messages, &mut digests);
        return digests;
    }
    let work = work(messages);
    // A few pieces for each thread, so that one that is late leaves some to the others.
    let piece = (work / (4 * threads)).max(PIECE_PERMUTATIONS_MIN);
    hash_pieces(backend, messages, &mut digests, work, piece);
    digests
}

/// Hashes messages that need `work` permutations, halved until a piece is small enough.
fn hash_pieces<M: AsRef<[u8]> + Sync>(
    backend: Backend,
    messages: &[M],
    digests: &mut [B256],
    work: usize,
    piece: usize,
) {
    if work < 2 * piece || messages.len() == 1 {
        return backend.hash(messages, digests);
    }
    let mut middle = 0;
    let mut before = 0;
    while 2 * before < work && middle + 1 < messages.len() {
        before += permutations(messages[middle].as_ref().len());
        middle += 1;
    }
    let (messages, messages_after) = messages.split_at(middle);
    let (digests, digests_after) = digests.split_at_mut(middle);
    rayon::join(
        || hash_pieces(backend, messages, digests, before, piece),
        || hash_pieces(backend, messages_after, digests_after, work - before, piece),
    );
}

/// Permutations that the messages need.
fn work<M: AsRef<[u8]>>(messages: &[M]) -> usize {
    messages.iter().map(|message| permutations(message.as_ref().len())).sum()
}

//! What a witness of junk costs in memory.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{Nibbles, TrieAccount, nodes::LeafNodeRef};
use anyhow::Context;
use weft_trie::VerifiedWitness;

/// Bytes of input, in which each entry also takes an offset.
const INPUT: usize = 16 << 20;

/// Bytes of the offset of an entry in SSZ.
const OFFSET: usize = 4;

/// Verifies a witness of different entries of this many bytes, and says how much memory that took at most,
/// over that of the entries as they come.
///
/// # Errors
///
/// If the system does not say how much memory is in use.
pub(crate) fn junk(length: usize) -> anyhow::Result<String> {
    let (path, account) = (Nibbles::unpack(B256::ZERO), alloy_rlp::encode(TrieAccount::default()));
    let leaf: Bytes = alloy_rlp::encode(LeafNodeRef::new(&path, &account)).into();
    let root = keccak256(&leaf);
    let count = INPUT / (length + OFFSET);
    let mut all = vec![0xc5; count * length];
    for (number, entry) in all.chunks_mut(length).enumerate() {
        let number = number.to_le_bytes();
        let different = length.min(number.len());
        entry[..different].copy_from_slice(&number[..different]);
    }
    let all = Bytes::from(all);
    let entries = (0..count).map(|number| all.slice(number * length..(number + 1) * length));
    let nodes: Vec<Bytes> = entries.chain([leaf]).collect();
    let before = kibibytes("VmRSS")?;
    let witness = VerifiedWitness::of(&nodes, root)?;
    let after = kibibytes("VmHWM")?;
    drop(witness);
    let entries = size_of::<Bytes>() * count;
    let taken = (after.saturating_sub(before)) << 10;
    Ok(format!(
        "{count} entries of {length} bytes: {} MiB as they come, {} MiB more at most",
        (count * length + entries) >> 20,
        taken >> 20
    ))
}

/// A figure of this process in `/proc/self/status`.
fn kibibytes(name: &str) -> anyhow::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).context("no such figure")?;
    line.split_whitespace().nth(1).context("no number")?.parse().context("no number")
}

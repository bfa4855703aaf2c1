//! One case of the trie benchmark: a witness, what is read and changed, and the roots.
//!
//! Only the standard library is used here, so that the benchmark of ethrex, a workspace of its own, can
//! include this file.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// A witness with the changes it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    /// Accounts in the state.
    pub(crate) accounts: u64,
    /// State root before.
    pub(crate) pre_root: [u8; 32],
    /// State root after.
    pub(crate) post_root: [u8; 32],
    /// The nodes of the witness.
    pub(crate) nodes: Vec<Vec<u8>>,
    /// The changed accounts.
    pub(crate) changes: Vec<Change>,
}

/// What becomes of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its address.
    pub(crate) address: [u8; 20],
    /// Keccak-256 of the address.
    pub(crate) hashed_address: [u8; 32],
    /// Nonce and balance afterwards; `None` if it is removed. No account has code.
    pub(crate) account: Option<(u64, u64)>,
    /// The changed slots.
    pub(crate) slots: Vec<Slot>,
}

/// What becomes of one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its number.
    pub(crate) number: [u8; 32],
    /// Keccak-256 of the number.
    pub(crate) key: [u8; 32],
    /// Its value; zero removes it.
    pub(crate) value: [u8; 32],
}

impl Case {
    /// How many leaves change.
    pub(crate) fn leaves(&self) -> usize {
        self.changes.iter().map(|change| 1 + change.slots.len()).sum()
    }

    /// Reads a case from a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is cut short.
    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let from = &mut BufReader::new(File::open(path)?);
        let accounts = number(from)?;
        let (pre_root, post_root) = (bytes(from)?, bytes(from)?);
        let node = |from: &mut BufReader<File>| {
            let mut node = vec![0; length(from)?];
            from.read_exact(&mut node)?;
            Ok(node)
        };
        let nodes = list(from, node)?;
        let slot = |from: &mut BufReader<File>| {
            Ok(Slot { number: bytes(from)?, key: bytes(from)?, value: bytes(from)? })
        };
        let change = |from: &mut BufReader<File>| {
            let (address, hashed_address) = (bytes(from)?, bytes(from)?);
            let (is_there, nonce, balance) = (number(from)?, number(from)?, number(from)?);
            let account = (is_there == 1).then_some((nonce, balance));
            Ok(Change { address, hashed_address, account, slots: list(from, slot)? })
        };
        Ok(Self { accounts, pre_root, post_root, nodes, changes: list(from, change)? })
    }
}

/// Reads some bytes.
fn bytes<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a number.
fn number(from: &mut impl Read) -> io::Result<u64> {
    bytes(from).map(u64::from_le_bytes)
}

/// Reads a length.
fn length(from: &mut impl Read) -> io::Result<usize> {
    usize::try_from(number(from)?).map_err(io::Error::other)
}

/// Reads a list with its length.
fn list<T, R: Read>(from: &mut R, item: impl Fn(&mut R) -> io::Result<T>) -> io::Result<Vec<T>> {
    let length = length(from)?;
    (0..length).map(|_| item(from)).collect()
}

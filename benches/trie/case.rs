//! One case of the trie benchmark: a witness, what is read and changed, and the roots; and the file that
//! holds it.
//!
//! Only the standard library is used here, so that the benchmark of ethrex, a workspace of its own, can
//! include this file.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
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
    pub(crate) slot: [u8; 32],
    /// Keccak-256 of the number.
    pub(crate) hashed_slot: [u8; 32],
    /// Its value; zero removes it.
    pub(crate) value: [u8; 32],
}

impl Case {
    /// How many leaves change.
    pub(crate) fn leaves(&self) -> usize {
        self.changes.iter().map(|change| 1 + change.slots.len()).sum()
    }

    /// Writes the case to a file.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let out = &mut BufWriter::new(File::create(path)?);
        put_number(out, self.accounts)?;
        out.write_all(&self.pre_root)?;
        out.write_all(&self.post_root)?;
        put_length(out, self.nodes.len())?;
        for node in &self.nodes {
            put_length(out, node.len())?;
            out.write_all(node)?;
        }
        put_length(out, self.changes.len())?;
        for change in &self.changes {
            out.write_all(&change.address)?;
            out.write_all(&change.hashed_address)?;
            put_number(out, u64::from(change.account.is_some()))?;
            let (nonce, balance) = change.account.unwrap_or_default();
            put_number(out, nonce)?;
            put_number(out, balance)?;
            put_length(out, change.slots.len())?;
            for slot in &change.slots {
                for word in [&slot.slot, &slot.hashed_slot, &slot.value] {
                    out.write_all(word)?;
                }
            }
        }
        out.flush()
    }

    /// Reads a case that [`Self::save`] wrote.
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
            Ok(Slot { slot: bytes(from)?, hashed_slot: bytes(from)?, value: bytes(from)? })
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

/// Writes a number.
fn put_number(out: &mut impl Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

/// Writes a length.
fn put_length(out: &mut impl Write, length: usize) -> io::Result<()> {
    put_number(out, length as u64)
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

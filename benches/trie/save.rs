//! How a case is written to a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use crate::case::Case;

impl Case {
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
                for word in [&slot.number, &slot.key, &slot.value] {
                    out.write_all(word)?;
                }
            }
        }
        out.flush()
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

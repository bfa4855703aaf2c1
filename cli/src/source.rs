//! Where inputs come from: files, standard input, compressed or not.

use std::io::{Cursor, Read};
use std::path::Path;

/// The most bytes that one input may have, unpacked: far more than any block with its witness, and a bound on what
/// a few compressed bytes can make of themselves.
const SIZE_MAX: u64 = 1 << 30;

/// Reads a file, or standard input for `-`, and unpacks it if it is compressed with gzip, xz or zstd.
///
/// # Errors
///
/// If it cannot be read or unpacked.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_all(&mut open(path)?, &mut bytes)?;
    Ok(bytes)
}

/// Appends all that `reader` gives.
///
/// # Errors
///
/// If it cannot be read, or if it gives more than [`SIZE_MAX`] bytes.
pub(crate) fn read_all(reader: &mut dyn Read, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
    let read = reader.take(SIZE_MAX + 1).read_to_end(bytes)?;
    anyhow::ensure!(read as u64 <= SIZE_MAX, "more than {SIZE_MAX} bytes, unpacked");
    Ok(())
}

/// Opens a file, or standard input for `-`, and unpacks it on the fly if it is compressed.
///
/// # Errors
///
/// If it cannot be opened.
pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    let mut raw: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path)?)
    };
    let mut magic = Vec::new();
    raw.by_ref().take(6).read_to_end(&mut magic)?;
    let whole = Cursor::new(magic.clone()).chain(raw);
    Ok(if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if magic.starts_with(b"\xfd7zXZ\0") {
        Box::new(liblzma::read::XzDecoder::new(whole))
    } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

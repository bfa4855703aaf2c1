//! Where inputs come from: files, standard input, compressed or not.

use std::io::{Cursor, Read};
use std::path::Path;

/// Reads a file, or standard input for `-`, and unpacks it if it is compressed with gzip, xz or zstd.
///
/// # Errors
///
/// If it cannot be read or unpacked.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
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

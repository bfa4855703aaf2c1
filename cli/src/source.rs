//! Where inputs come from: files, standard input, compressed or not.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// Reads a file, or standard input for `-`, and unpacks it if it is compressed with gzip, xz or zstd.
///
/// # Errors
///
/// If it cannot be read or unpacked.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
        bytes
    } else {
        std::fs::read(path)?
    };
    unpack(bytes)
}

/// Unpacks bytes that begin with the magic number of gzip, xz or zstd; others stay as they are.
fn unpack(bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut unpacked)?;
    } else if bytes.starts_with(b"\xfd7zXZ\0") {
        liblzma::read::XzDecoder::new(&bytes[..]).read_to_end(&mut unpacked)?;
    } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        zstd::Decoder::new(&bytes[..])?.read_to_end(&mut unpacked)?;
    } else {
        return Ok(bytes);
    }
    Ok(unpacked)
}

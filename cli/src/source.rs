//! Where inputs come from: files, standard input, compressed or not.
//!
//! A few packed bytes can unpack to any number. How much of that is held in memory is bounded by how much has been
//! read of the file itself:
//!
//! - **I1.** Never more than [`size_max`] of the bytes read so far. `bombs_are_refused_while_they_are_small` checks it.

use std::cell::Cell;
use std::fmt;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use liblzma::stream::Stream;

use crate::console::Console;
use crate::report::Status;

/// The most bytes that one input may have, unpacked: far more than any block with its witness.
const SIZE_MAX: usize = 1 << 30;

/// As many bytes are unpacked however few were read.
const SIZE_FREE: usize = 16 << 20;

/// Beyond [`SIZE_FREE`], bytes unpacked for each byte read. Real inputs pack to a thirtieth, archives of tests to a
/// hundredth; gzip can reach a thousandth, xz and zstd have no limit.
const RATIO_MAX: usize = 100;

/// Memory for the dictionary of an xz file; `xz -9` asks for 64 MiB.
const XZ_MEMORY_MAX: u64 = 128 << 20;

/// Has each file worked on in turn, by its name and path, and returns how it went with the worst.
pub(crate) fn for_each(files: &[PathBuf], console: &Console, work: impl Fn(&str, &Path) -> Status) -> Status {
    let mut worst = Status::Valid;
    for path in files {
        let file = path.display().to_string();
        console.working_on(&file);
        worst = worst.max(work(&file, path));
        console.item_done();
    }
    console.clear_bar();
    worst
}

/// A file, or standard input, unpacked on the fly.
pub(crate) struct Source {
    /// What it unpacks to.
    unpacked: Box<dyn Read>,
    /// How much of the file itself has been read.
    taken: Taken,
    /// How much it will be, as far as is known.
    expected: usize,
}

/// How many bytes of a file have been read, as they lie there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken(Rc<Cell<usize>>);

/// A reader that counts.
struct Counted<R> {
    /// The file.
    file: R,
    /// Bytes so far.
    taken: Taken,
}

/// Reads a file, or standard input for `-`, and unpacks it if it is compressed with gzip, xz or zstd.
///
/// # Errors
///
/// If it cannot be read or unpacked, or if it unpacks to too much.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_all(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file, or standard input for `-`, and unpacks it on the fly if it is compressed.
///
/// # Errors
///
/// If it cannot be opened.
pub(crate) fn open(path: &Path) -> anyhow::Result<Source> {
    if path == Path::new("-") {
        Source::new(std::io::stdin(), 0)
    } else {
        let file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        Source::new(file, usize::try_from(length)?)
    }
}

impl Source {
    /// What `file`, of so many bytes, unpacks to.
    fn new(mut file: impl Read + 'static, length: usize) -> anyhow::Result<Self> {
        let mut magic = Vec::new();
        file.by_ref().take(6).read_to_end(&mut magic)?;
        let taken = Taken::default();
        let whole = Counted { file: Cursor::new(magic.clone()).chain(file), taken: taken.clone() };
        let mut expected = 0;
        let unpacked: Box<dyn Read> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(flate2::read::MultiGzDecoder::new(whole))
        } else if magic.starts_with(b"\xfd7zXZ\0") {
            let decoder = Stream::new_stream_decoder(XZ_MEMORY_MAX, 0)?;
            Box::new(liblzma::read::XzDecoder::new_stream(whole, decoder))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::Decoder::new(whole)?)
        } else {
            expected = length.min(SIZE_MAX);
            Box::new(whole)
        };
        Ok(Self { unpacked, taken, expected })
    }

    /// Counts what is read of the file from now on, and counted what was.
    pub(crate) fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// Reads all of it, in place of what `bytes` held.
    ///
    /// # Errors
    ///
    /// As [`Taken::read_all`].
    pub(crate) fn read_all(mut self, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
        // Room for one more shows the end.
        bytes.clear();
        bytes.reserve_exact(self.expected + 1);
        self.taken().read_all(&mut self.unpacked, bytes)
    }
}

impl Taken {
    /// Reads all that `part` gives, which is the file or lies in it, in place of what `bytes` held.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or if it gives more bytes than [`size_max`] for what was read of the file.
    pub(crate) fn read_all(&self, part: &mut dyn Read, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
        bytes.clear();
        bytes.reserve_exact(FIRST_READ);
        loop {
            // One byte past the bound shows that there are more.
            let room = bytes.capacity().min(size_max(self.0.get()) + 1) - bytes.len();
            if part.take(room as u64).read_to_end(bytes)? < room {
                return Ok(());
            }
            let (length, most) = (bytes.len(), size_max(self.0.get()));
            anyhow::ensure!(length <= most, TooLarge { taken: self.0.get(), most });
            if length == bytes.capacity() {
                // Twice as much, or all that may come.
                bytes.reserve_exact(if 2 * length < most { length } else { most + 1 - length });
            }
        }
    }
}

/// Bytes to begin with.
const FIRST_READ: usize = 64 << 10;

/// The most bytes to hold of a file of which `taken` have been read.
fn size_max(taken: usize) -> usize {
    taken.saturating_mul(RATIO_MAX).clamp(SIZE_FREE, SIZE_MAX)
}

/// It unpacks to more than may be.
#[derive(Debug)]
struct TooLarge {
    /// Bytes read of the file.
    taken: usize,
    /// Bytes that they may unpack to.
    most: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, most } = self;
        if *most == SIZE_MAX {
            return write!(f, "more than {SIZE_MAX} bytes, unpacked");
        }
        write!(
            f,
            "more than {most} bytes, unpacked from {taken}: beyond {SIZE_FREE}, no more than {RATIO_MAX} times the \
             packed size is allowed"
        )
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.unpacked.read(buffer)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.taken.0.set(self.taken.0.get().saturating_add(read));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Zeros to pack.
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

    /// Reads packed bytes.
    fn unpack(packed: Vec<u8>) -> (anyhow::Result<()>, Vec<u8>) {
        let (length, mut bytes) = (packed.len(), Vec::new());
        let result = Source::new(Cursor::new(packed), length).unwrap().read_all(&mut bytes);
        (result, bytes)
    }

    /// Writes so many megabytes of zeros.
    fn zeros<W: Write>(mut packer: W, megabytes: usize) -> W {
        for _ in 0..megabytes {
            packer.write_all(&ZEROS).unwrap();
        }
        packer
    }

    #[test]
    fn bombs_are_refused_while_they_are_small() {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let bombs = [
            zeros(gzip, 200).finish().unwrap(),
            zeros(zstd::Encoder::new(Vec::new(), 1).unwrap(), 200).finish().unwrap(),
            zeros(liblzma::write::XzEncoder::new(Vec::new(), 0), 200).finish().unwrap(),
        ];
        for bomb in bombs {
            assert!(bomb.len() < 250_000);
            let (result, bytes) = unpack(bomb);
            let error = result.unwrap_err().to_string();
            assert!(error.contains("no more than 100 times the packed size"), "{error}");
            assert!(bytes.capacity() <= SIZE_FREE + 1, "{} bytes are held", bytes.capacity());
        }
    }

    #[test]
    fn what_packs_well_but_is_small_goes_through() {
        let packed = zeros(zstd::Encoder::new(Vec::new(), 1).unwrap(), 16).finish().unwrap();
        let (result, bytes) = unpack(packed);
        assert!(result.is_ok());
        assert_eq!(bytes.len(), SIZE_FREE);
    }

    #[test]
    fn what_is_large_but_packs_badly_goes_through() {
        let noise: Vec<u8> =
            (0_u32..1 << 20).flat_map(|word| (word.wrapping_mul(0x9e37_79b9)).to_le_bytes()).collect();
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for _ in 0..20 {
            packer.write_all(&noise).unwrap();
        }
        let (result, bytes) = unpack(packer.finish().unwrap());
        assert!(result.is_ok());
        assert_eq!(bytes.len(), 20 * noise.len());
    }

    #[test]
    fn files_that_are_not_packed_are_read_whole() {
        for length in [0, 1, 5, 6, 7, FIRST_READ - 1, FIRST_READ, FIRST_READ + 1, 3 * FIRST_READ] {
            let (result, bytes) = unpack(vec![b'{'; length]);
            assert!(result.is_ok());
            assert_eq!(bytes.len(), length);
        }
    }
}

//! The bytes of a file, decompressed, with a bound on how many there can be.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::format::decoded::Trouble;

/// How many bytes one byte of a deflate stream can stand for, at most.
const DEFLATE_RATIO: u64 = 1032;

/// What may follow the voxels of a compressed file, bytes.
const TAIL: u64 = 64 << 20;

pub(super) struct Source {
    reader: Box<dyn Read>,
    /// No more bytes than this can come out of the file.
    pub(super) bound: u64,
    /// The length of the file.
    pub(super) length: u64,
    compressed: bool,
}

impl Source {
    /// Opens a file; whether it is compressed is told by its first bytes, not by its name.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let file = File::open(path).map_err(Trouble::Io)?;
        let metadata = file.metadata().map_err(Trouble::Io)?;
        if !metadata.is_file() {
            return Err(Trouble::unsupported("it is no file", "name a file"));
        }
        let length = metadata.len();
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let compressed = reader.fill_buf().map_err(Trouble::Io)?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn Read> =
            if compressed { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        let bound = if compressed { length.saturating_mul(DEFLATE_RATIO) } else { length };
        Ok(Self { reader, bound, length, compressed })
    }

    /// Leaves out `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Trouble> {
        let skipped = io::copy(&mut (&mut self.reader).take(count), &mut io::sink());
        if skipped.map_err(trouble)? < count {
            return Err(Trouble::damaged("the file ends before its voxels start (vox_offset)"));
        }
        Ok(())
    }

    /// Reads to the end of a compressed file, which alone shows whether its checksum is right.
    pub(super) fn finish(mut self) -> Result<(), Trouble> {
        if !self.compressed {
            return Ok(());
        }
        let rest = io::copy(&mut (&mut self.reader).take(TAIL + 1), &mut io::sink());
        if rest.map_err(trouble)? > TAIL {
            return Err(Trouble::damaged("more than 64 MiB follow its voxels"));
        }
        Ok(())
    }
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.reader.read(bytes)
    }
}

/// A failed read is the system's fault or the gzip stream's.
pub(super) fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Trouble::damaged(format!("its gzip stream is damaged ({error})"))
        }
        io::ErrorKind::UnexpectedEof => Trouble::damaged("its gzip stream ends too early"),
        _ => Trouble::Io(error),
    }
}

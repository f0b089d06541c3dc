//! A file of chunks, as Zarr's `sharding_indexed` lays it out: chunks in any order, then for each where it lies, as two
//! 64-bit numbers, then the CRC-32C of these.
//!
//! zarrs writes such files. Parts of them are read here, because zarrs (0.23.14) neither looks at checksums of chunks where it
//! reads a part, nor gives chunks as they are stored where some are left out.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Stands for a chunk that is left out, since it is all zeros.
const LEFT_OUT: u64 = u64::MAX;
/// Bytes of what says where a chunk lies, and of the checksum.
const ENTRY: usize = 16;
const CHECKSUM: usize = 4;

/// Where the chunks of a file lie: first byte, and how many.
#[derive(Debug)]
pub(crate) struct Index(Vec<[u64; 2]>);

impl Index {
    /// That of an open file of so many chunks.
    pub(crate) fn read(file: &mut File, chunks: usize) -> Result<Self, String> {
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        let size = (chunks * ENTRY + CHECKSUM) as u64;
        let start = length.checked_sub(size).ok_or("it is too short for its index")?;
        let bytes = bytes_at(file, start, size)?;
        let (entries, checksum) = bytes.split_at(chunks * ENTRY);
        if crc32c::crc32c(entries).to_le_bytes() != *checksum {
            return Err("the checksum of its index is wrong".to_owned());
        }
        let numbers: Vec<u64> =
            entries.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let places = numbers.as_chunks::<2>().0;
        let is_within = |&[first, count]: &[u64; 2]| {
            first == LEFT_OUT || first.checked_add(count).is_some_and(|end| end <= start)
        };
        if !places.iter().all(is_within) {
            return Err("a chunk lies beyond its end".to_owned());
        }
        Ok(Self(places.to_vec()))
    }

    /// What a chunk holds, packed; `None` where it is left out.
    pub(crate) fn chunk(&self, file: &mut File, number: usize) -> Result<Option<Vec<u8>>, String> {
        match self.0.get(number) {
            Some(&[first, count]) if first != LEFT_OUT => bytes_at(file, first, count).map(Some),
            _ => Ok(None),
        }
    }
}

/// Opens a file to read chunks of.
pub(crate) fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| error.to_string())
}

fn bytes_at(file: &mut File, first: u64, count: u64) -> Result<Vec<u8>, String> {
    let count = usize::try_from(count).map_err(|error| error.to_string())?;
    let mut bytes = vec![0; count];
    file.seek(SeekFrom::Start(first))
        .and_then(|_| file.read_exact(&mut bytes))
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}

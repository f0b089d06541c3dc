//! Voxels behind a header of plain text: what NRRD and MetaImage have in common.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::decoded::{Decoded, Meta, Trouble, Voxel};

/// How many bytes one byte of a deflate stream can stand for, at most.
const DEFLATE_RATIO: u64 = 1032;
/// What may follow the voxels of a compressed stream, bytes.
const TAIL: u64 = 64 << 20;
/// A header is shorter than this, bytes.
const HEADER: usize = 1 << 20;
/// No number is longer than this, characters.
const LONGEST: usize = 512;
/// Values that are decoded at a time.
const CHUNK: usize = 1 << 16;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float32,
    Float64,
}

impl Kind {
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    fn size(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4,
            Self::Int64 | Self::Uint64 | Self::Float64 => 8,
        }
    }

    /// The value of these bytes, the least significant first.
    fn value(self, bytes: [u8; 8]) -> f64 {
        let [a, b, c, d, ..] = bytes;
        match self {
            Self::Int8 => f64::from(i8::from_le_bytes([a])),
            Self::Uint8 => f64::from(a),
            Self::Int16 => f64::from(i16::from_le_bytes([a, b])),
            Self::Uint16 => f64::from(u16::from_le_bytes([a, b])),
            Self::Int32 => f64::from(i32::from_le_bytes([a, b, c, d])),
            Self::Uint32 => f64::from(u32::from_le_bytes([a, b, c, d])),
            Self::Int64 => i64::from_le_bytes(bytes) as f64,
            Self::Uint64 => u64::from_le_bytes(bytes) as f64,
            Self::Float32 => f64::from(f32::from_le_bytes([a, b, c, d])),
            Self::Float64 => f64::from_le_bytes(bytes),
        }
    }
}

/// How values are packed into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Raw,
    Gzip,
    Zlib,
    Text,
}

/// What comes before the values of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// So many bytes of the file, then so many lines of it, then so many bytes of the values.
    Before { start: u64, lines: u64, bytes: u64 },
    /// All that there is but the values, which come last.
    All,
}

/// Where the values of a header lie, and how.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) meta: Meta,
    pub(super) kind: Kind,
    pub(super) big_endian: bool,
    pub(super) packing: Packing,
    /// How many values of a channel come before the next channel has its turn: 1, where channels lie side by
    /// side, and all of them, where one follows the other.
    pub(super) run: usize,
    /// The files, in the order of the values, of which each has as many.
    pub(super) files: Vec<PathBuf>,
    pub(super) skip: Skip,
}

impl Volume {
    /// The voxels.
    pub(super) fn decode<V: Voxel>(self) -> Result<Decoded<V>, Trouble> {
        let values = self.meta.grid.len().checked_mul(self.meta.channels);
        let values = values.ok_or_else(|| Trouble::damaged("its sizes are beyond any memory"))?;
        let parts = self.files.len();
        if parts == 0 || !values.is_multiple_of(parts) {
            return Err(Trouble::damaged(format!(
                "{values} values are not spread over {parts} files"
            )));
        }
        let mut data = Vec::new();
        for file in &self.files {
            self.take(file, values / parts, &mut data)?;
        }
        let voxels = self.meta.grid.len();
        if self.meta.channels > 1 && self.run < voxels {
            data = self.planar(&data);
        }
        Ok(Decoded { meta: self.meta, data })
    }

    /// The values with one channel after the other.
    fn planar<V: Voxel>(&self, data: &[V]) -> Vec<V> {
        let channels = self.meta.channels;
        let mut planar = Vec::with_capacity(data.len());
        for channel in 0..channels {
            for turn in data.chunks(self.run * channels) {
                planar.extend_from_slice(&turn[channel * self.run..(channel + 1) * self.run]);
            }
        }
        planar
    }

    /// Reads `count` values of a file.
    fn take<V: Voxel>(&self, path: &Path, count: usize, data: &mut Vec<V>) -> Result<(), Trouble> {
        let size = if self.packing == Packing::Text { 1 } else { self.kind.size() };
        let bytes = (count as u64).saturating_mul(size as u64);
        let mut file = File::open(path).map_err(Trouble::Io)?;
        let length = file.metadata().map_err(Trouble::Io)?.len();
        let mut after = 0;
        let start = match self.skip {
            Skip::Before { start, .. } => start,
            Skip::All => length.checked_sub(bytes).ok_or_else(|| too_short(bytes, length))?,
        };
        file.seek(SeekFrom::Start(start)).map_err(Trouble::Io)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        if let Skip::Before { lines, bytes, .. } = self.skip {
            for _ in 0..lines {
                if reader.skip_until(b'\n').map_err(Trouble::Io)? == 0 {
                    return Err(Trouble::damaged("it ends before its voxels start (line skip)"));
                }
            }
            after = bytes;
        }
        let available = length.saturating_sub(start);
        let most = match self.packing {
            Packing::Raw | Packing::Text => available,
            Packing::Gzip | Packing::Zlib => available.saturating_mul(DEFLATE_RATIO),
        };
        if bytes.saturating_add(after) > most {
            return Err(too_short(bytes, most));
        }
        // What a compressed file promises is believed only up to a usual ratio, then as it comes.
        data.reserve(count.min(usize::try_from(available.saturating_mul(8)).unwrap_or(usize::MAX)));
        let mut source: Box<dyn Read> = match self.packing {
            Packing::Raw | Packing::Text => Box::new(reader),
            Packing::Gzip => Box::new(MultiGzDecoder::new(reader)),
            Packing::Zlib => Box::new(ZlibDecoder::new(reader)),
        };
        let skipped = io::copy(&mut (&mut source).take(after), &mut io::sink()).map_err(trouble)?;
        if skipped < after {
            return Err(Trouble::damaged("it ends before its voxels start (byte skip)"));
        }
        if self.packing == Packing::Text {
            return self.take_text(source, count, data);
        }
        self.take_bytes(&mut source, count, data)?;
        if self.packing != Packing::Raw {
            // Only its end shows whether a checksum is right.
            let rest = io::copy(&mut source.take(TAIL + 1), &mut io::sink()).map_err(trouble)?;
            if rest > TAIL {
                return Err(Trouble::damaged("more than 64 MiB follow its voxels"));
            }
        }
        Ok(())
    }

    fn take_bytes<V: Voxel>(
        &self,
        source: &mut dyn Read,
        count: usize,
        data: &mut Vec<V>,
    ) -> Result<(), Trouble> {
        let size = self.kind.size();
        let mut bytes = Vec::with_capacity(count.min(CHUNK) * size);
        let mut left = count;
        while left > 0 {
            let portion = left.min(CHUNK);
            bytes.clear();
            let wanted = (portion * size) as u64;
            source.take(wanted).read_to_end(&mut bytes).map_err(trouble)?;
            if (bytes.len() as u64) < wanted {
                let found = count - left + bytes.len() / size;
                return Err(Trouble::Damaged(format!(
                    "the file ends after {found} of {count} values"
                )));
            }
            for stored in bytes.chunks_exact(size) {
                let mut eight = [0; 8];
                eight[..size].copy_from_slice(stored);
                if self.big_endian {
                    eight[..size].reverse();
                }
                self.push(self.kind.value(eight), data)?;
            }
            left -= portion;
        }
        Ok(())
    }

    fn take_text<V: Voxel>(
        &self,
        mut source: impl Read,
        count: usize,
        data: &mut Vec<V>,
    ) -> Result<(), Trouble> {
        let (mut found, mut word, mut bytes) = (0, Vec::new(), vec![0; CHUNK]);
        while found < count {
            let read = source.read(&mut bytes).map_err(trouble)?;
            // The end of the file ends a word, too.
            let ended: &[u8] = if read == 0 { b" " } else { &bytes[..read] };
            for &byte in ended {
                if !byte.is_ascii_whitespace() && byte != b',' {
                    word.push(byte);
                    if word.len() > LONGEST {
                        return Err(Trouble::damaged("its voxels are no numbers"));
                    }
                    continue;
                }
                if word.is_empty() || found == count {
                    continue;
                }
                let text = String::from_utf8_lossy(&word);
                let value = text.parse();
                let value =
                    value.map_err(|_| Trouble::damaged(format!("\"{text}\" is no number")))?;
                self.push(value, data)?;
                found += 1;
                word.clear();
            }
            if read == 0 && found < count {
                return Err(Trouble::Damaged(format!(
                    "the file ends after {found} of {count} values"
                )));
            }
        }
        Ok(())
    }

    fn push<V: Voxel>(&self, value: f64, data: &mut Vec<V>) -> Result<(), Trouble> {
        let index = data.len();
        data.push(V::from_f64(value).ok_or_else(|| {
            // Where channels lie side by side, this is the voxel only of the first.
            Trouble::not_label(&self.meta, index, value)
        })?);
        Ok(())
    }
}

/// The next line of a file, its end included; of one without an end, as much as a header may be long.
fn line(reader: &mut impl BufRead) -> impl Read {
    struct Line<'a, R>(&'a mut R, bool, usize);

    impl<R: BufRead> Read for Line<'_, R> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            if self.1 || self.2 == 0 {
                return Ok(0);
            }
            let ready = self.0.fill_buf()?;
            let most = ready.len().min(bytes.len()).min(self.2);
            let end = ready[..most].iter().position(|&byte| byte == b'\n');
            let count = end.map_or(most, |end| end + 1);
            bytes[..count].copy_from_slice(&ready[..count]);
            self.1 = end.is_some();
            self.2 -= count;
            self.0.consume(count);
            Ok(count)
        }
    }

    Line(reader, false, HEADER)
}

/// The lines of a header, up to the one that `is_last`, and how many bytes they are.
pub(super) fn header(
    path: &Path,
    is_last: impl Fn(&str) -> bool,
) -> Result<(Vec<String>, u64), Trouble> {
    let file = File::open(path).map_err(Trouble::Io)?;
    let mut reader = BufReader::new(file);
    let (mut lines, mut length) = (Vec::new(), 0);
    while length < HEADER {
        let mut bytes = Vec::new();
        length += line(&mut reader).read_to_end(&mut bytes).map_err(Trouble::Io)?;
        if bytes.is_empty() {
            break;
        }
        let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        let last = is_last(&text);
        lines.push(text);
        if last {
            break;
        }
    }
    Ok((lines, length as u64))
}

/// A file that a header names, beside it or below its folder.
pub(super) fn beside(header: &Path, name: &str) -> Result<PathBuf, Trouble> {
    let named = Path::new(name);
    let below = named.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !below || name.is_empty() {
        return Err(Trouble::unsupported(
            format!("its voxels are in \"{name}\", which is not in its folder"),
            "put the two files side by side, and name the one in the other without a folder",
        ));
    }
    let path = header.with_file_name(named);
    if !path.is_file() {
        return Err(Trouble::unsupported(
            format!("its voxels should be in {}, which is not there", path.display()),
            "put the two files side by side",
        ));
    }
    Ok(path)
}

/// Numbers between blanks.
pub(super) fn numbers<T: std::str::FromStr>(field: &str, text: &str) -> Result<Vec<T>, Trouble> {
    text.split_whitespace()
        .map(|word| {
            word.parse()
                .map_err(|_| Trouble::damaged(format!("\"{word}\" in {field} is no such number")))
        })
        .collect()
}

fn too_short(bytes: u64, available: u64) -> Trouble {
    Trouble::Damaged(format!(
        "its header announces {bytes} bytes of voxels, but the file can hold {available} at most"
    ))
}

/// A failed read is the system's fault or the stream's.
fn trouble(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Trouble::damaged(format!("its compressed stream is damaged ({error})"))
        }
        io::ErrorKind::UnexpectedEof => Trouble::damaged("its compressed stream ends too early"),
        _ => Trouble::Io(error),
    }
}

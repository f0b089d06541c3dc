//! The files that TensorBoard reads: a record for each event, with checksums.
//!
//! # Source
//!
//! Records: `tensorflow/core/lib/io/record_writer.h`; events: `tensorflow/core/util/event.proto` and
//! `framework/summary.proto` of [tensorflow/tensorflow](https://github.com/tensorflow/tensorflow).

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// What a file begins with.
const VERSION: &str = "brain.Event:2";

/// `SessionLog.SessionStatus.START`: what an earlier file says of this step or later ones is void.
const START: u64 = 1;

/// A file of events, which only grows.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// Begins a file in a folder, named by the time: readers take files in the order of their names.
    ///
    /// The names that TensorFlow gives say the machine, too; a run folder is given to others.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let seconds = now().floor();
        let mut attempt = 0;
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.{attempt}"));
            match File::create_new(&path) {
                Ok(file) => break (path, file),
                // Another start within this second.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
                Err(error) => return Err(Error::io(&path)(error)),
            }
        };
        let mut created = Self { path, file: BufWriter::new(file) };
        created.write(&What::Version)?;
        Ok(created)
    }

    /// Says that a program begins at a step.
    pub(super) fn start(&mut self, step: usize) -> Result<()> {
        self.write(&What::Start { step })
    }

    /// Adds values of a step, each under its tag.
    pub(super) fn scalars(&mut self, step: usize, values: &[(String, f64)]) -> Result<()> {
        self.write(&What::Scalars { step, values })
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    fn write(&mut self, what: &What<'_>) -> Result<()> {
        self.file.write_all(&record(&event(now(), what))).map_err(Error::io(&self.path))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

enum What<'a> {
    Version,
    Start { step: usize },
    Scalars { step: usize, values: &'a [(String, f64)] },
}

/// A message `Event`.
fn event(wall_time: f64, what: &What<'_>) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    match what {
        What::Version => event.bytes(3, VERSION.as_bytes()),
        What::Start { step } => {
            event.integer(2, *step as u64);
            let mut log = Message::default();
            log.integer(1, START);
            event.bytes(7, &log.0);
        }
        What::Scalars { step, values } => {
            event.integer(2, *step as u64);
            let mut summary = Message::default();
            for (tag, value) in *values {
                let mut entry = Message::default();
                entry.bytes(1, tag.as_bytes());
                entry.float(2, *value);
                summary.bytes(1, &entry.0);
            }
            event.bytes(5, &summary.0);
        }
    }
    event.0
}

/// A message of protocol buffers, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn integer(&mut self, field: u8, value: u64) {
        self.0.push(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.0.push(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 5);
        #[expect(clippy::cast_possible_truncation, reason = "a curve needs no more digits")]
        self.0.extend((value as f32).to_le_bytes());
    }

    /// Seven bits to a byte, the lowest first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }
}

/// Length, checksum of the length, data, checksum of the data.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked(data).to_le_bytes());
    record
}

/// CRC-32C, turned and moved: the checksum of data that hold checksums would be a weak one.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The data of each record, whose checksums are right.
    pub(in crate::observe) fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (check, rest) = rest.split_at(4);
            assert_eq!(check, masked(length).to_le_bytes(), "of the length");
            let length = u64::from_le_bytes(length.try_into().expect("eight bytes"));
            let (data, rest) = rest.split_at(usize::try_from(length).expect("a short record"));
            let (check, rest) = rest.split_at(4);
            assert_eq!(check, masked(data).to_le_bytes(), "of the data");
            found.push(data.to_vec());
            bytes = rest;
        }
        found
    }

    #[test]
    fn records_are_those_of_tensorboard() {
        let values = [("loss/train".to_owned(), 0.25), ("dice/organ".to_owned(), 0.0)];
        let events =
            [What::Version, What::Start { step: 3 }, What::Scalars { step: 300, values: &values }];

        let written: Vec<u8> = events.iter().flat_map(|what| record(&event(1.5, what))).collect();

        // `RecordWriter` of tensorboard 2.21 and the messages that come with it, in Python.
        let expected = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a32\
            2a28646c0f000000000000006d532b0909000000000000f83f10033a020801ec8612fc34000000000000\
            005e33175c09000000000000f83f10ac022a260a110a0a6c6f73732f747261696e150000803e0a110a0a\
            646963652f6f7267616e1500000000d5d918ba";
        let expected = expected.as_bytes().chunks(2).map(|digits| {
            let digits = std::str::from_utf8(digits).expect("digits");
            u8::from_str_radix(digits, 16).expect("a byte")
        });
        assert_eq!(written, expected.collect::<Vec<_>>());
        assert_eq!(records(&written).len(), 3);
    }

    #[test]
    fn starts_within_a_second_have_files_of_their_own() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;

        let mut names = Vec::new();
        for _ in 0..3 {
            let mut file = EventFile::create(folder.path())?;
            file.flush()?;
            names.push(file.path);
        }

        assert!(names.is_sorted(), "{names:?}");
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for name in names {
            assert_eq!(records(&fs::read(name)?).len(), 1);
        }
        Ok(())
    }
}

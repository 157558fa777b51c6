//! What is committed of an output file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use xxhash_rust::xxh3::Xxh3;

/// The first part of an output file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sink) struct Committed {
    /// The length, in bytes.
    pub(in crate::sink) bytes: u64,
    /// The number of lines: one for each record.
    pub(in crate::sink) lines: u64,
    /// The XXH3 hash of the bytes; 0 if there are none.
    pub(in crate::sink) hash: u64,
}

impl fmt::Display for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records ({} bytes)", self.lines, self.bytes)
    }
}

/// Measures what is written to it.
#[derive(Clone, Default)]
pub(in crate::sink) struct Measure {
    bytes: u64,
    lines: u64,
    /// In a box, because it is large.
    hash: Box<Xxh3>,
}

impl fmt::Debug for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Measure({})", self.committed())
    }
}

impl Measure {
    /// Of the file from the byte `from` on, and of at most `limit` bytes.
    pub(in crate::sink) fn of(mut file: &File, from: u64, limit: u64) -> io::Result<Self> {
        let mut measure = Self::default();
        file.seek(SeekFrom::Start(from))?;
        io::copy(&mut file.take(limit), &mut measure)?;
        Ok(measure)
    }

    pub(in crate::sink) fn committed(&self) -> Committed {
        let hash = if self.bytes == 0 { 0 } else { self.hash.digest() };
        Committed { bytes: self.bytes, lines: self.lines, hash }
    }

    pub(in crate::sink) fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.lines += bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
        self.hash.update(bytes);
    }
}

impl Write for Measure {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

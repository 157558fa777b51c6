//! Reads records from a file of JSON lines, as the file and console sinks write them.

use super::{ReadError, Received};
use bridge_contract::line::Line;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Reads lines. At the end of the file it returns `None`, and continues when the file has grown.
///
/// A line counts when its end is there. After a crash, a bridge cuts off lines that
/// it hadn't committed, and writes others. A reader that has read such lines gets an error, and must start from scratch.
#[derive(Debug)]
pub struct FileReader {
    path: PathBuf,
    lines: BufReader<File>,
    /// The same file, to check lines that were read.
    again: File,
    place: FilePlace,
}

/// The place after a line, where another reader can continue: see [`FileReader::open_at`]. The default is the file's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// The number of lines before the place.
    pub lines: u64,
    /// The number of bytes before the place.
    pub bytes: u64,
    /// The number of these bytes that belong to the last line.
    pub last_bytes: u64,
    /// The last line's hash (XXH3).
    pub last_hash: u64,
}

impl FileReader {
    /// Begins at the first line.
    ///
    /// # Errors
    /// `Unavailable` if the file can't be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::open_at(path, FilePlace::default())
    }

    /// Continues at the place of another reader.
    ///
    /// # Errors
    /// `Unavailable` if the file can't be opened, or if the line before the place has changed.
    pub fn open_at(path: &Path, place: FilePlace) -> Result<Self, ReadError> {
        let open = || File::open(path).map_err(|error| failed("open", path, error));
        let mut reader = Self { path: path.to_owned(), lines: BufReader::new(open()?), again: open()?, place };
        reader.rewind()?;
        Ok(reader)
    }

    /// The place after the last line that was read.
    #[must_use]
    pub fn place(&self) -> FilePlace {
        self.place
    }

    /// The next record, or `None` if there is no complete line now.
    ///
    /// # Errors
    /// `Unavailable` if the file can't be read, or if the last line that was read has changed, because the bridge hadn't committed
    /// it. `NoRecord` for a line that isn't a record.
    pub fn read(&mut self) -> Result<Option<Received>, ReadError> {
        let from_file = !self.lines.buffer().contains(&b'\n');
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).map_err(|error| failed("read", &self.path, error))?;
        if line.last() != Some(&b'\n') {
            // The next call reads the line from its start: until the line is complete, the bridge may replace it.
            self.rewind()?;
            return Ok(None);
        }
        if from_file {
            self.check()?;
        }
        let FilePlace { lines, bytes, .. } = self.place;
        let last_bytes = line.len() as u64;
        self.place = FilePlace { lines: lines + 1, bytes: bytes + last_bytes, last_bytes, last_hash: xxh3_64(&line) };
        let Line { topic, lane, key, record } = serde_json::from_slice(&line).map_err(|error| ReadError::NoRecord {
            place: format!("{}, line {}", self.path.display(), self.place.lines),
            reason: error.to_string(),
        })?;
        Ok(Some(Received { topic, lane, key, offset: self.place.lines, record }))
    }

    fn rewind(&mut self) -> Result<(), ReadError> {
        self.check()?;
        let to = SeekFrom::Start(self.place.bytes);
        self.lines.seek(to).map(|_| ()).map_err(|error| failed("read", &self.path, error))
    }

    /// Whether the line before the place is still the line that was read. Checked after the next line was read, so that line is of the
    /// same file.
    fn check(&mut self) -> Result<(), ReadError> {
        let FilePlace { lines, bytes, last_bytes, last_hash } = self.place;
        if bytes == 0 {
            return Ok(());
        }
        let mut line = Vec::new();
        let read = self.again.seek(SeekFrom::Start(bytes.saturating_sub(last_bytes)));
        let read = read.and_then(|_| self.again.by_ref().take(last_bytes).read_to_end(&mut line));
        read.map_err(|error| failed("read", &self.path, error))?;
        if line.len() as u64 == last_bytes && xxh3_64(&line) == last_hash {
            return Ok(());
        }
        let path = self.path.display();
        Err(ReadError::Unavailable {
            action: format!("could not continue in {path}"),
            source: format!(
                "line {lines} was read, but has changed since, because the bridge hadn't committed it; start from scratch"
            )
            .into(),
        })
    }
}

fn failed(action: &str, path: &Path, error: std::io::Error) -> ReadError {
    ReadError::Unavailable { action: format!("could not {action} {}", path.display()), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_contract::pb;
    use std::io::Write as _;

    #[test]
    fn a_line_that_was_read_and_cut_off_is_noticed() {
        let line = |gid: u32| format!("{{\"topic\":\"t\",\"lane\":4,\"key\":\"{gid}\",\"record\":{{}}}}\n");
        let length = line(1).len() as u64;
        // Cut and not yet longer, as long, longer: by one line of the same length each, so that the reader's place is a line's.
        for written in [vec![], vec![7], vec![7, 8]] {
            let mut file = tempfile::NamedTempFile::new().expect("a file");
            write!(file, "{}{}", line(1), line(2)).expect("writes");
            let mut reader = FileReader::open(file.path()).expect("opens");
            while reader.read().expect("reads").is_some() {}
            let place = reader.place();
            assert_eq!((place.lines, place.bytes), (2, 2 * length));
            FileReader::open_at(file.path(), place).expect("still there");
            file.as_file().set_len(length).expect("cuts");
            file.seek(SeekFrom::End(0)).expect("seeks");
            for gid in &written {
                write!(file, "{}", line(*gid)).expect("writes");
            }
            let said = reader.read().expect_err("cut off").to_string();
            assert!(said.contains("line 2"), "{written:?}: {said}");
            assert!(reader.read().is_err() && FileReader::open_at(file.path(), place).is_err(), "{written:?}");
            let anew =
                FilePlace { lines: 1, bytes: length, last_bytes: length, last_hash: xxh3_64(line(1).as_bytes()) };
            let mut anew = FileReader::open_at(file.path(), anew).expect("that one is there");
            assert_eq!(anew.read().expect("reads").is_some(), !written.is_empty());
        }
    }

    #[test]
    fn half_a_line_that_was_cut_off_is_no_part_of_the_next() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        write!(file, "{{\"topic\":\"other").expect("writes");
        let mut reader = FileReader::open(file.path()).expect("opens");
        assert_eq!(reader.read().expect("reads"), None);
        file.as_file().set_len(0).expect("cuts");
        file.rewind().expect("seeks");
        writeln!(file, r#"{{"topic":"t","lane":4,"key":"7","record":{{}}}}"#).expect("writes");
        assert_eq!(reader.read().expect("reads").expect("a record").topic, "t".into());
    }

    #[test]
    fn a_line_counts_once_it_has_its_end() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut reader = FileReader::open(file.path()).expect("opens");
        assert_eq!(reader.read().expect("reads"), None);
        let line = r#"{"topic":"t","lane":4,"key":"7","record":{}}"#;
        write!(file, "{line}").expect("writes");
        assert_eq!(reader.read().expect("reads"), None);
        write!(file, "\nnonsense\n{line}\n").expect("writes");
        let received = |offset| Received {
            topic: "t".into(),
            lane: 4,
            key: "7".to_owned(),
            offset,
            record: pb::Record::default(),
        };
        assert_eq!(reader.read().expect("reads"), Some(received(1)));
        assert!(matches!(reader.read(), Err(ReadError::NoRecord { .. })));
        assert_eq!(reader.read().expect("reads"), Some(received(3)));
        assert_eq!(reader.read().expect("reads"), None);
    }
}

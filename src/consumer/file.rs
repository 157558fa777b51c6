//! Records from a file of JSON lines, as the file and console sinks write them.

use super::{ReadError, Received};
use crate::core::line::Line;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// Reads lines. At the end of the file it gives `None`, and goes on when the file has grown.
///
/// A line counts once its end is there. A bridge that starts again after a crash cuts off lines that
/// it hadn't committed and writes others: a reader that had them already must begin anew.
#[derive(Debug)]
pub struct FileReader {
    path: PathBuf,
    lines: BufReader<File>,
    /// What there is of a line that has no end yet.
    partial: Vec<u8>,
    number: u64,
}

impl FileReader {
    /// Begins at the first line.
    ///
    /// # Errors
    /// `Unavailable` where the file can't be opened.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|error| failed("open", path, error))?;
        Ok(Self { path: path.to_owned(), lines: BufReader::new(file), partial: Vec::new(), number: 0 })
    }

    /// The next record, or `None` where there is no further whole line now.
    ///
    /// # Errors
    /// `Unavailable` where the file can't be read; `NoRecord` for a line that isn't one.
    pub fn read(&mut self) -> Result<Option<Received>, ReadError> {
        self.lines.read_until(b'\n', &mut self.partial).map_err(|error| failed("read", &self.path, error))?;
        if self.partial.last() != Some(&b'\n') {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.partial);
        self.number += 1;
        let Line { topic, lane, key, record } = serde_json::from_slice(&line).map_err(|error| ReadError::NoRecord {
            place: format!("{}, line {}", self.path.display(), self.number),
            reason: error.to_string(),
        })?;
        Ok(Some(Received { topic, lane, key: key.to_string(), offset: self.number, record }))
    }
}

fn failed(action: &str, path: &Path, error: std::io::Error) -> ReadError {
    ReadError::Unavailable { action: format!("could not {action} {}", path.display()), source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;
    use std::io::Write as _;

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

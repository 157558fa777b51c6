//! What is in the refresh log.

use crate::format;
use crate::ids::{Gid, StreamId, StreamKind};
use bridge_contract::pb;
use bridge_contract::time::{date_time, timestamp};
use chrono::{DateTime, Utc};
use prost::Message as _;

/// The format that is written, and the newest one that can be read.
const FORMAT: u32 = 1;

/// The key of a part's mark.
pub(crate) const MARK_KEY: &str = "_mark";

/// A message of the refresh log.
#[derive(Clone, Debug, PartialEq)]
pub enum Logged {
    /// A resource has to be read again, or was read by a crawl.
    Entry(Box<Entry>),
    /// An owner of the part wrote it at this time or later, by Asana's clock. So all that was committed before this time is
    /// before it in the part.
    Mark(DateTime<Utc>),
}

/// A resource has to be read again, because an event named it, or was read by a crawl.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The resource.
    pub gid: Gid,
    /// Its type, such as `task`.
    pub resource_type: String,
    /// The stream that tells of it.
    pub stream: StreamId,
    /// How that stream is polled.
    pub kind: StreamKind,
    /// When it changed, by Asana's clock, if that is known.
    pub happened_at: Option<DateTime<Utc>>,
    /// When the bridge received it, by the host's clock.
    pub received_at: DateTime<Utc>,
    /// The event says that it was deleted.
    pub deleted: bool,
    /// The position of the record that the entry comes with.
    pub position: pb::Position,
    /// What a crawl has read; `None` after an event.
    pub found: Option<Found>,
}

/// What a crawl has read of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The snapshot, with the streams that show the resource.
    pub snapshot: pb::Snapshot,
    /// By Asana's clock: it wasn't read before. `None`: that isn't known.
    pub read_after: Option<DateTime<Utc>>,
}

/// Why an entry can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It isn't an entry, or not a whole one.
    #[error("an entry of the refresh log can't be read: {0}")]
    Unreadable(String),
    /// A newer version wrote it.
    #[error("an entry of the refresh log has format {0}, and this version understands up to {FORMAT}: upgrade")]
    NewerFormat(u32),
}

impl Entry {
    /// The key in the log: of entries with the same key, only the last one is kept. The stream belongs to it, since a
    /// crawl of one stream may have read the resource before the event of another.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.gid, self.stream)
    }

    /// The value in the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let found = self.found.as_ref();
        format::RefreshEntry {
            format: FORMAT,
            gid: self.gid.to_string(),
            resource_type: self.resource_type.clone(),
            stream: self.stream.to_string(),
            of_workspace: self.kind == StreamKind::Workspace,
            happened_at: self.happened_at.and_then(timestamp),
            received_at: timestamp(self.received_at),
            deleted: self.deleted,
            position: self.position.encode_to_vec(),
            snapshot: found.map(|found| found.snapshot.encode_to_vec()).unwrap_or_default(),
            read_after: found.and_then(|found| found.read_after).and_then(timestamp),
            mark: None,
        }
        .encode_to_vec()
    }
}

impl Logged {
    /// The value in the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Entry(entry) => entry.encode(),
            Self::Mark(at) => {
                let mark = timestamp(*at);
                format::RefreshEntry { format: FORMAT, mark, ..format::RefreshEntry::default() }.encode_to_vec()
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`EntryError`] if it is nothing that is written to the log, or by a newer version.
    pub fn decode(value: &[u8]) -> Result<Self, EntryError> {
        let unreadable = |problem: &str| EntryError::Unreadable(problem.to_owned());
        let entry = format::RefreshEntry::decode(value).map_err(|error| unreadable(&error.to_string()))?;
        if entry.format > FORMAT {
            return Err(EntryError::NewerFormat(entry.format));
        }
        if let Some(at) = entry.mark.as_ref().and_then(date_time) {
            return Ok(Self::Mark(at));
        }
        let stream = StreamId::parse(&entry.stream).ok_or_else(|| unreadable("it names no stream"))?;
        if entry.gid.is_empty() {
            return Err(unreadable("it names no resource"));
        }
        let found = if entry.snapshot.is_empty() {
            None
        } else {
            let snapshot = pb::Snapshot::decode(entry.snapshot.as_slice());
            let snapshot = snapshot.map_err(|error| unreadable(&error.to_string()))?;
            Some(Found { snapshot, read_after: entry.read_after.as_ref().and_then(date_time) })
        };
        let position = pb::Position::decode(entry.position.as_slice());
        Ok(Self::Entry(Box::new(Entry {
            gid: Gid::from(entry.gid),
            resource_type: entry.resource_type,
            stream,
            kind: if entry.of_workspace { StreamKind::Workspace } else { StreamKind::Resource },
            happened_at: entry.happened_at.as_ref().and_then(date_time),
            received_at: entry.received_at.as_ref().and_then(date_time).unwrap_or_default(),
            deleted: entry.deleted,
            position: position.map_err(|error| unreadable(&error.to_string()))?,
            found,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry {
            gid: Gid::from("12"),
            resource_type: "task".to_owned(),
            stream: StreamId::new("main", "1"),
            kind: StreamKind::Workspace,
            happened_at: DateTime::from_timestamp_millis(1_700_000_000_123),
            received_at: DateTime::from_timestamp(1_700_000_001, 0).unwrap(),
            deleted: true,
            position: pb::Position { shard: 3, epoch: 4, lane: 5, lane_sequence: 6, ..pb::Position::default() },
            found: None,
        }
    }

    #[test]
    fn what_is_logged_survives_its_bytes() {
        let snapshot = pb::Snapshot { state_json: "{}".to_owned(), ..pb::Snapshot::default() };
        for found in [None, Some(Found { snapshot, read_after: DateTime::from_timestamp(7, 0) })] {
            let entry = Logged::Entry(Box::new(Entry { found, ..entry() }));
            assert_eq!(Logged::decode(&entry.encode()), Ok(entry));
        }
        let mark = Logged::Mark(DateTime::from_timestamp_millis(1_700_000_000_123).unwrap());
        assert_eq!(Logged::decode(&mark.encode()), Ok(mark));
    }

    #[test]
    fn one_of_a_newer_version_is_told_apart_from_garbage() {
        let newer = format::RefreshEntry { format: FORMAT + 1, ..format::RefreshEntry::default() }.encode_to_vec();
        assert_eq!(Logged::decode(&newer), Err(EntryError::NewerFormat(FORMAT + 1)));
        for garbage in [&b""[..], b"\xff\xff", b"hello"] {
            assert!(matches!(Logged::decode(garbage), Err(EntryError::Unreadable(_))), "{garbage:?}");
        }
    }

    #[test]
    fn entries_of_two_streams_have_different_keys() {
        let other = Entry { stream: StreamId::new("main", "2"), ..entry() };
        assert_ne!(entry().key(), other.key());
        assert_eq!(entry().key(), Entry { deleted: false, ..entry() }.key());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            drop(Logged::decode(&bytes));
        }
    }
}

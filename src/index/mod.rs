//! What the bridge has published of each stream's resources, in an embedded store.
//!
//! Before a comparison, check [`Index::is_trusted`]: a stream whose mark isn't its checkpoint's is untrusted, and a
//! full crawl fills it again. So a store may be lost, outdated or recreated at any time, which only costs a crawl. A
//! crash of the process loses nothing that was applied. A power loss may lose the latest changes, and the mark with
//! them.

mod absent;
pub mod service;

use bridge_core::crawl::known::{Change, Entry, Mark, NOT_VISIBLE, Update};
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::{Listing, What};
use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Row, ToSql, Transaction, TransactionBehavior, ffi, params,
};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The format of the tables below. A store of another format is recreated.
const FORMAT: i64 = 2;

/// A gid is stored as an integer if it is a plain number, otherwise as text. The store sorts integers before texts.
const TABLES: &str = "
    CREATE TABLE stream (
        id INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        resource TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        complete INTEGER NOT NULL,
        UNIQUE (account, resource)
    );
    CREATE TABLE resource_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE entry (
        stream INTEGER NOT NULL,
        gid NOT NULL,
        resource_type INTEGER NOT NULL,
        hash INTEGER NOT NULL,
        evident INTEGER NOT NULL,
        crawl INTEGER NOT NULL,
        passed INTEGER NOT NULL,
        touched_at INTEGER NOT NULL,
        parent,
        list INTEGER NOT NULL,
        PRIMARY KEY (stream, gid)
    ) WITHOUT ROWID;
    CREATE INDEX entry_parent ON entry (stream, parent);";

/// The columns that [`entry`] reads.
const ENTRY: &str = "name, hash, evident, crawl, touched_at, parent, list";

const FILE: &str = "index.sqlite3";

/// The size to which the journal's file is cut after a checkpoint of the store, in bytes.
const JOURNAL_LIMIT: i64 = 16 << 20;

/// The size of the page cache, in KiB.
const CACHE: i64 = 16 << 10;

/// The published state of each stream's resources.
#[derive(Debug)]
pub struct Index {
    store: Connection,
}

/// Why the index can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process uses the folder. Each process needs its own folder.
    #[error("{} is in use by another process: each needs an index of its own", .0.display())]
    Locked(PathBuf),
    /// The folder can't be created, or a damaged store can't be removed.
    #[error("{}: {source}", .path.display())]
    Folder {
        /// The path of the folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The thread of the index can't be started.
    #[error("the index can't have a thread: {0}")]
    Thread(#[source] io::Error),
    /// The store failed, mostly because the disk is full or broken. The change in progress wasn't applied, and the
    /// index can't be trusted any more.
    #[error("the store of the index failed: {0}")]
    Store(#[from] rusqlite::Error),
}

impl Index {
    /// Opens the index in a folder, which is created if it doesn't exist. A damaged store, and one of another format,
    /// is deleted and recreated, with a warning. The whole store is read once, to check that it isn't damaged.
    ///
    /// # Errors
    /// [`IndexError`]: the variant says what to fix.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let path = folder.join(FILE);
        std::fs::create_dir_all(folder).map_err(|source| IndexError::Folder { path: folder.to_owned(), source })?;
        create(&path).map_err(|source| IndexError::Folder { path: path.clone(), source })?;
        match Self::open_file(&path) {
            Ok(index) => return Ok(index),
            Err(error) => match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    let path = path.display();
                    tracing::warn!(%path, %error, hint = "a full crawl fills it", "state index damaged, recreating it");
                }
                Some(ErrorCode::DatabaseBusy) => return Err(IndexError::Locked(path)),
                _ => return Err(error.into()),
            },
        }
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let path = folder.join(format!("{FILE}{suffix}"));
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(IndexError::Folder { path, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        create(&path).map_err(|source| IndexError::Folder { path: path.clone(), source })?;
        Ok(Self::open_file(&path)?)
    }

    /// An index that is deleted when it is dropped, also by a crash: its file has no name.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn temporary() -> Result<Self, IndexError> {
        let store = Connection::open("")?;
        store.pragma_update(None, "cache_size", -CACHE)?;
        store.execute_batch(TABLES)?;
        Ok(Self { store })
    }

    fn open_file(path: &Path) -> rusqlite::Result<Self> {
        let mut store = Connection::open(path)?;
        // The process with the lock keeps it until it ends: waiting is useless.
        store.busy_timeout(Duration::ZERO)?;
        store.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        store.pragma_update(None, "journal_mode", "WAL")?;
        // Commits aren't synced. This setting only limits the damage of a power loss to the latest changes.
        store.pragma_update(None, "synchronous", "NORMAL")?;
        store.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT)?;
        store.pragma_update(None, "cache_size", -CACHE)?;
        let transaction = store.transaction_with_behavior(TransactionBehavior::Exclusive)?;
        let format: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        match (format, tables) {
            (0, 0) => {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
            }
            (FORMAT, _) => {
                let verdict: String = transaction.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
                if verdict != "ok" {
                    return Err(damaged(verdict));
                }
            }
            _ => return Err(damaged(format!("it is of format {format}, not {FORMAT}"))),
        }
        transaction.commit()?;
        Ok(Self { store })
    }

    /// Whether the index has everything that was published of a stream up to this record, and a complete crawl of it.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn is_trusted(&self, stream: &StreamId, mark: Mark) -> Result<bool, IndexError> {
        Ok(find(&self.store, stream)?.is_some_and(|found| found.complete && found.mark == mark))
    }

    /// The record up to which the index has what was published of a stream; `None` if it doesn't have the stream.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn mark(&self, stream: &StreamId) -> Result<Option<Mark>, IndexError> {
        Ok(find(&self.store, stream)?.map(|found| found.mark))
    }

    /// The entries of these resources.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn look_up(&self, stream: &StreamId, gids: &[Gid]) -> Result<Vec<Option<Entry>>, IndexError> {
        let Some(Found { id, .. }) = find(&self.store, stream)? else { return Ok(vec![None; gids.len()]) };
        let mut statement = self.store.prepare_cached(&format!(
            "SELECT {ENTRY} FROM entry JOIN resource_type ON id = resource_type WHERE stream = ? AND gid = ?"
        ))?;
        let mut find = |gid| statement.query_row(params![id, PackedGid::from(gid)], |row| entry(row, 0)).optional();
        Ok(gids.iter().map(&mut find).collect::<Result<_, _>>()?)
    }

    /// Applies what a commit changed in its streams, all or nothing.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails; nothing was applied.
    pub fn apply(&mut self, commit: &[(StreamId, Update)]) -> Result<(), IndexError> {
        let transaction = self.store.transaction()?;
        let mut writer = Writer::new(&transaction);
        for (stream, update) in commit {
            writer.apply(stream, update)?;
        }
        Ok(transaction.commit()?)
    }

    /// The number of a stream's resources in the index. It counts them: don't call it for every poll.
    ///
    /// # Errors
    /// [`IndexError::Store`] if the store fails.
    pub fn len(&self, stream: &StreamId) -> Result<u64, IndexError> {
        let Some(Found { id, .. }) = find(&self.store, stream)? else { return Ok(0) };
        Ok(self.store.query_row("SELECT count(*) FROM entry WHERE stream = ?", [id], |row| unsigned(row, 0))?)
    }
}

/// The resources that the events of a commit name, each with its type, if it is to be added, and the last of the times.
/// Many events are about the same resources.
type Touches<'u> = BTreeMap<&'u Gid, (Option<&'u str>, DateTime<Utc>)>;

/// Writes within one transaction, and caches the numbers of resource types meanwhile.
struct Writer<'t> {
    transaction: &'t Transaction<'t>,
    resource_types: BTreeMap<String, i64>,
}

impl<'t> Writer<'t> {
    fn new(transaction: &'t Transaction<'t>) -> Self {
        Self { transaction, resource_types: BTreeMap::new() }
    }

    fn apply(&mut self, stream: &StreamId, update: &Update) -> rusqlite::Result<()> {
        let known = find(self.transaction, stream)?;
        let id = self.mark(stream, update.to)?;
        if known.is_some_and(|known| known.mark != update.from) {
            self.change(id, &Change::Distrust)?;
        }
        let mut touches = Touches::new();
        for change in &update.changes {
            match change {
                Change::Touched { gid, resource_type, at } => {
                    // One that adds nothing doesn't count for what a later one adds.
                    if resource_type.is_some() && touches.get(gid).is_some_and(|(added, _)| added.is_none()) {
                        self.touch(id, touches.remove_entry(gid).into_iter().collect())?;
                    }
                    let touch = touches.entry(gid).or_insert((None, *at));
                    *touch = (touch.0.or(resource_type.as_deref()), touch.1.max(*at));
                }
                Change::Gone { gid } => {
                    touches.remove(gid);
                    self.change(id, change)?;
                }
                Change::Seen { .. } | Change::Passed { .. } | Change::Clear | Change::Distrust | Change::Complete => {
                    self.touch(id, std::mem::take(&mut touches))?;
                    self.change(id, change)?;
                }
            }
        }
        self.touch(id, touches)
    }

    fn touch(&mut self, stream: i64, touches: Touches<'_>) -> rusqlite::Result<()> {
        for (gid, (resource_type, at)) in touches {
            let (gid, at) = (PackedGid::from(gid), at.timestamp_millis());
            let Some(resource_type) = resource_type else {
                self.transaction
                    .prepare_cached("UPDATE entry SET touched_at = max(touched_at, ?) WHERE stream = ? AND gid = ?")?
                    .execute(params![at, stream, gid])?;
                continue;
            };
            let resource_type = self.resource_type(resource_type)?;
            self.transaction
                .prepare_cached(
                    "INSERT INTO entry VALUES (?, ?, ?, 0, 0, 0, 0, ?, NULL, 0) ON CONFLICT DO UPDATE SET
                     touched_at = max(touched_at, excluded.touched_at)",
                )?
                .execute(params![stream, gid, resource_type, at])?;
        }
        Ok(())
    }

    fn mark(&self, stream: &StreamId, mark: Mark) -> rusqlite::Result<i64> {
        let names = (stream.account.as_str(), stream.resource.as_str());
        self.transaction
            .prepare_cached(
                "INSERT INTO stream (account, resource, epoch, sequence, complete) VALUES (?, ?, ?, ?, 0) ON CONFLICT
                 DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence RETURNING id",
            )?
            .query_row(params![names.0, names.1, mark.epoch.cast_signed(), mark.sequence.cast_signed()], |row| {
                row.get(0)
            })
    }

    fn change(&mut self, stream: i64, change: &Change) -> rusqlite::Result<()> {
        match change {
            Change::Seen { gid, resource_type, hash, evident, crawl, place } => {
                let resource_type = self.resource_type(resource_type)?;
                let (hash, evident, crawl) = (hash.cast_signed(), evident.cast_signed(), crawl.cast_signed());
                let (gid, parent) = (PackedGid::from(gid), PackedGid::from(&place.of));
                self.transaction
                    .prepare_cached(
                        "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, ?) ON CONFLICT DO UPDATE SET
                         resource_type = excluded.resource_type, hash = excluded.hash, evident = excluded.evident,
                         crawl = excluded.crawl, parent = excluded.parent, list = excluded.list",
                    )?
                    .execute(params![stream, gid, resource_type, hash, evident, crawl, parent, place.what.number()])?;
            }
            Change::Passed { gid, crawl, is_hidden } => {
                let hash = is_hidden.then_some(NOT_VISIBLE.cast_signed());
                self.transaction
                    .prepare_cached(
                        "UPDATE entry SET passed = ?, hash = coalesce(?, hash) WHERE stream = ? AND gid = ?",
                    )?
                    .execute(params![crawl.cast_signed(), hash, stream, PackedGid::from(gid)])?;
            }
            Change::Touched { gid, resource_type, at } => {
                self.touch(stream, Touches::from([(gid, (resource_type.as_deref(), *at))]))?;
            }
            Change::Gone { gid } => {
                self.transaction
                    .prepare_cached("DELETE FROM entry WHERE stream = ? AND gid = ?")?
                    .execute(params![stream, PackedGid::from(gid)])?;
            }
            Change::Clear => {
                self.transaction.prepare_cached("DELETE FROM entry WHERE stream = ?")?.execute([stream])?;
                self.transaction.prepare_cached("UPDATE stream SET complete = 0 WHERE id = ?")?.execute([stream])?;
            }
            Change::Distrust => {
                self.transaction
                    .prepare_cached("UPDATE entry SET hash = 0, evident = 0, crawl = 0, passed = 0 WHERE stream = ?")?
                    .execute([stream])?;
                self.transaction.prepare_cached("UPDATE stream SET complete = 0 WHERE id = ?")?.execute([stream])?;
            }
            Change::Complete => {
                self.transaction.prepare_cached("UPDATE stream SET complete = 1 WHERE id = ?")?.execute([stream])?;
            }
        }
        Ok(())
    }

    fn resource_type(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.resource_types.get(name) {
            return Ok(*id);
        }
        self.transaction.prepare_cached("INSERT OR IGNORE INTO resource_type (name) VALUES (?)")?.execute([name])?;
        let id = self
            .transaction
            .prepare_cached("SELECT id FROM resource_type WHERE name = ?")?
            .query_row([name], |row| row.get(0))?;
        self.resource_types.insert(name.to_owned(), id);
        Ok(id)
    }
}

/// A stream, as stored.
struct Found {
    id: i64,
    mark: Mark,
    complete: bool,
}

fn find(store: &Connection, stream: &StreamId) -> rusqlite::Result<Option<Found>> {
    store
        .prepare_cached("SELECT id, epoch, sequence, complete FROM stream WHERE account = ? AND resource = ?")?
        .query_row(params![stream.account.as_str(), stream.resource.as_str()], |row| {
            let mark = Mark { epoch: unsigned(row, 1)?, sequence: unsigned(row, 2)? };
            Ok(Found { id: row.get(0)?, mark, complete: row.get(3)? })
        })
        .optional()
}

/// Creates the store's file, if it isn't there, so that only this process's user can read the names in it. `SQLite` gives its other
/// files the same mode.
fn create(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn damaged(how: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(how))
}

fn entry(row: &Row<'_>, first: usize) -> rusqlite::Result<Entry> {
    let parent: Option<StoredGid> = row.get(first + 5)?;
    let what = What::of_number(row.get(first + 6)?);
    Ok(Entry {
        resource_type: row.get(first)?,
        hash: unsigned(row, first + 1)?,
        evident: unsigned(row, first + 2)?,
        crawl: unsigned(row, first + 3)?,
        touched_at: row.get(first + 4)?,
        place: parent.zip(what).map(|(StoredGid(of), what)| Listing { of, what }),
    })
}

/// The store has signed integers only. The bits are the same.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::cast_unsigned)
}

/// A gid in its stored form.
enum PackedGid<'g> {
    Number(i64),
    Text(&'g str),
}

impl<'g> From<&'g Gid> for PackedGid<'g> {
    fn from(gid: &'g Gid) -> Self {
        let text = gid.as_str();
        // Not "+1" and not "01": the gid that is read must be the one that was written.
        let plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
        match text.parse() {
            Ok(number) if plain => Self::Number(number),
            Ok(_) | Err(_) => Self::Text(text),
        }
    }
}

impl ToSql for PackedGid<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => (*text).into(),
        })
    }
}

/// A gid read from the store.
struct StoredGid(Gid);

impl FromSql for StoredGid {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        if let ValueRef::Integer(number) = value {
            return Ok(Self(Gid::from(number.to_string())));
        }
        value.as_str().map(|text| Self(Gid::from(text)))
    }
}

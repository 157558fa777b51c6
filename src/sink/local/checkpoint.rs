//! The local checkpoint: an embedded database beside the output of a local sink.
//!
//! Each commit is one transaction. It replaces the entries that changed, and notes how much of the output is committed. It
//! is on the disk when [`Checkpoint::commit`] returns (`synchronous = EXTRA`). The journal is one for rollbacks, which exists
//! during a transaction only: a stopped bridge leaves one file, which can be copied and restored with the output.
//!
//! The database doesn't notice changed bytes inside values, so the sum of the entries' hashes is stored with them.

use super::committed::Committed;
use super::refresh_log::{NewEntry, Stored};
use super::{Commit, beside, failed, lock_file, private, sync_folder};
use crate::sink::{CommitError, SinkError};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{CheckpointWrite, StoredCheckpoint};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, ffi, params,
};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// What says in the database's header that it is a checkpoint of this program: "AEBC".
const APPLICATION: i32 = 0x4145_4243;
/// The format of the tables below. A reader rejects any other.
const FORMAT: i32 = 1;

const TABLES: &str = "
    CREATE TABLE entry (
        shard INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (shard, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE state (
        bytes INTEGER NOT NULL,
        lines INTEGER NOT NULL,
        hash INTEGER NOT NULL,
        sum INTEGER NOT NULL
    ) STRICT;
    INSERT INTO state VALUES (0, 0, 0, 0);";

/// The refresh log. Checkpoints of earlier versions don't have it.
const LOG_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS refresh_log (
        place INTEGER PRIMARY KEY AUTOINCREMENT,
        shard INTEGER NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (shard, key)
    ) STRICT;";

/// The timeout of a lock: a command that reads the checkpoint holds it for some milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// An open checkpoint, locked for this process.
#[derive(Debug)]
pub(in crate::sink) struct Checkpoint {
    path: PathBuf,
    database: Connection,
    state: State,
    /// What the last commit appended to the refresh log.
    logged: Stored,
    /// The lock, held as long as this lives.
    _lock: File,
}

/// What the database holds besides entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    committed: Committed,
    /// The sum of the hashes of all entries.
    sum: u64,
}

/// The content of a checkpoint that was read without owning it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::sink) struct Content {
    /// The entries of those shards that have any.
    pub(in crate::sink) entries: BTreeMap<ShardId, StoredCheckpoint>,
    /// What is committed of the output. Nothing, if the output isn't a file.
    pub(in crate::sink) committed: Committed,
}

impl Checkpoint {
    /// Locks and reads the checkpoint at `path`. If there is none, creates it, unless `may_create` returns an error.
    ///
    /// # Errors
    /// `Setup` if another process uses it, if it is damaged, or if it has another format. A checkpoint that can't be read
    /// never counts as empty.
    pub(in crate::sink) fn open(
        path: &Path,
        may_create: impl FnOnce() -> Result<(), SinkError>,
    ) -> Result<Self, SinkError> {
        let lock = lock(path)?;
        if !path.try_exists().map_err(|error| failed("check for", path, error))? {
            may_create()?;
            create(path)?;
        }
        let mut database = connect(path).map_err(|error| unreadable(path, error))?;
        let (_, state) = read(&mut database).map_err(|error| unreadable(path, error))?;
        database.execute_batch(LOG_TABLE).map_err(|error| unreadable(path, error))?;
        Ok(Self { path: path.to_owned(), database, state, logged: Stored::new(), _lock: lock })
    }

    /// The entries of each of the `shards` shards.
    ///
    /// # Errors
    /// `Setup` if there are entries of shards beyond them.
    pub(in crate::sink) fn entries(
        &mut self,
        shards: NonZeroU32,
    ) -> Result<Vec<(ShardId, StoredCheckpoint)>, SinkError> {
        let (mut entries, _) = read(&mut self.database).map_err(|error| unreadable(&self.path, error))?;
        if entries.last_key_value().is_some_and(|(last, _)| last.0 >= shards.get()) {
            return Err(SinkError::Setup {
                problem: format!("{} was written with more than {shards} shards", self.path.display()),
                remedy: "set `shards` to what it was; to change it, run `asana-event-bridge checkpoint migrate`"
                    .to_owned(),
            });
        }
        Ok((0..shards.get()).map(ShardId).map(|shard| (shard, entries.remove(&shard).unwrap_or_default())).collect())
    }

    /// What is committed of the output.
    pub(in crate::sink) fn committed(&self) -> Committed {
        self.state.committed
    }

    /// The refresh log of all shards.
    ///
    /// # Errors
    /// `Setup` if it is damaged.
    pub(in crate::sink) fn refresh_log(&mut self) -> Result<Stored, SinkError> {
        let read = |database: &Connection| {
            let mut statement = database.prepare("SELECT place, shard, key, value FROM refresh_log")?;
            let rows = statement.query_map([], |row| {
                let shard = ShardId(row.get(1)?);
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), NewEntry { shard, key: row.get(2)?, value: row.get(3)? }))
            })?;
            rows.collect::<rusqlite::Result<Stored>>()
        };
        read(&self.database).map_err(|error| unreadable(&self.path, error))
    }

    /// What the last commit appended to the refresh log, by place.
    pub(in crate::sink) fn take_logged(&mut self) -> Stored {
        std::mem::take(&mut self.logged)
    }

    /// Makes a commit durable, with which so much of the output is committed.
    ///
    /// # Errors
    /// `Aborted` if certainly nothing of it is on the disk. `Fatal` too, but then a retry doesn't help. Otherwise `Unknown`.
    pub(in crate::sink) fn commit(&mut self, commit: &Commit, committed: Committed) -> Result<(), CommitError> {
        self.logged.clear();
        let path = &self.path;
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = transaction.map_err(|error| not_written(path, error))?;
        let sum = put(&transaction, self.state.sum, &commit.checkpoints).map_err(|error| not_written(path, error))?;
        let logged = log(&transaction, &commit.entries).map_err(|error| not_written(path, error))?;
        let state = State { committed, sum };
        set_state(&transaction, state).map_err(|error| not_written(path, error))?;
        transaction.commit().map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull) => not_written(path, error),
            _ => CommitError::Unknown(failed("write the checkpoint", path, error)),
        })?;
        self.state = state;
        self.logged = logged;
        Ok(())
    }
}

/// Reads the checkpoint at `path`; `None` if the file is missing. A process may use it at the same time.
///
/// # Errors
/// `Setup` if it is damaged, `Unavailable` if the file system fails.
pub(in crate::sink) fn peek(path: &Path) -> Result<Option<Content>, SinkError> {
    if !path.try_exists().map_err(|error| failed("check for", path, error))? {
        return Ok(None);
    }
    let mut database = connect(path).map_err(|error| unreadable(path, error))?;
    let (entries, State { committed, .. }) = read(&mut database).map_err(|error| unreadable(path, error))?;
    Ok(Some(Content { entries, committed }))
}

/// Whether a process has the checkpoint at `path` open.
///
/// # Errors
/// `Unavailable` if the file system fails.
pub(in crate::sink) fn is_held(path: &Path) -> Result<bool, SinkError> {
    let path = beside(path, ".lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("open", &path, error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path, error)),
    }
}

fn lock(path: &Path) -> Result<File, SinkError> {
    let path = beside(path, ".lock");
    let open = private(OpenOptions::new().create(true).truncate(false).write(true)).open(&path);
    let file = open.map_err(|error| failed("open", &path, error))?;
    lock_file(&file, &path)?;
    Ok(file)
}

/// Creates an empty checkpoint: complete, or not at all, so that a file without content is always damage.
fn create(path: &Path) -> Result<(), SinkError> {
    let new = beside(path, ".new");
    // The remainder of a crash.
    if let Err(error) = std::fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(failed("remove", &new, error));
    }
    private(OpenOptions::new().write(true).create_new(true))
        .open(&new)
        .map_err(|error| failed("create", &new, error))?;
    let written = connect(&new).and_then(|database| {
        // Before the others: the end of the file then has what a cut would change.
        database.execute_batch(LOG_TABLE)?;
        database.execute_batch(TABLES)?;
        database.pragma_update(None, "application_id", APPLICATION)?;
        database.pragma_update(None, "user_version", FORMAT)
    });
    written.map_err(|error| failed("write the checkpoint", &new, error))?;
    std::fs::rename(&new, path).and_then(|()| sync_folder(path)).map_err(|error| failed("create", path, error))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    // To read, too: what a crash left unfinished is rolled back first.
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "synchronous", "EXTRA")?;
    Ok(database)
}

/// What isn't as the database should be.
fn damage(problem: impl Into<String>) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(problem.into()))
}

fn read(database: &mut Connection) -> rusqlite::Result<(BTreeMap<ShardId, StoredCheckpoint>, State)> {
    let transaction = database.transaction()?;
    let pragma = |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (pragma("application_id")?, pragma("user_version")?) {
        (APPLICATION, FORMAT) => {}
        (APPLICATION, format) => {
            return Err(damage(format!("it is of format {format}, and this version knows {FORMAT}")));
        }
        _ => return Err(damage("it is empty, or not a checkpoint of this program")),
    }
    let verdict: String = transaction.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if verdict != "ok" {
        return Err(damage(verdict));
    }
    let mut entries: BTreeMap<ShardId, StoredCheckpoint> = BTreeMap::new();
    let mut sum: u64 = 0;
    let mut statement = transaction.prepare("SELECT shard, key, value FROM entry")?;
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        let (shard, key, value): (u32, String, Vec<u8>) = row?;
        sum = sum.wrapping_add(hash(shard, &key, &value));
        entries.entry(ShardId(shard)).or_default().insert(key, value);
    }
    let state = transaction.query_row("SELECT bytes, lines, hash, sum FROM state", [], |row| {
        let number = |column| row.get(column).map(i64::cast_unsigned);
        let committed = Committed { bytes: number(0)?, lines: number(1)?, hash: number(2)? };
        Ok(State { committed, sum: number(3)? })
    })?;
    if state.sum != sum {
        return Err(damage("its entries aren't those that were written"));
    }
    Ok((entries, state))
}

/// Appends entries to the refresh log, each in the place of an earlier one with its key.
fn log(to: &Transaction<'_>, entries: &[NewEntry]) -> rusqlite::Result<Stored> {
    let mut insert =
        to.prepare_cached("INSERT OR REPLACE INTO refresh_log (shard, key, value) VALUES (?, ?, ?) RETURNING place")?;
    let mut logged = Stored::new();
    for entry in entries {
        let NewEntry { shard: ShardId(shard), key, value } = entry;
        let place: i64 = insert.query_row(params![shard, key, value], |row| row.get(0))?;
        logged.insert(place.cast_unsigned(), entry.clone());
    }
    Ok(logged)
}

/// Replaces entries, and returns the sum with the new ones.
fn put(to: &Transaction<'_>, mut sum: u64, writes: &[CheckpointWrite]) -> rusqlite::Result<u64> {
    let mut remove = to.prepare_cached("DELETE FROM entry WHERE shard = ? AND key = ? RETURNING value")?;
    let mut insert = to.prepare_cached("INSERT INTO entry VALUES (?, ?, ?)")?;
    for CheckpointWrite { shard: ShardId(shard), key, value } in writes {
        let before: Option<Vec<u8>> = remove.query_row(params![shard, key], |row| row.get(0)).optional()?;
        if let Some(before) = before {
            sum = sum.wrapping_sub(hash(*shard, key, &before));
        }
        if let Some(value) = value {
            insert.execute(params![shard, key, value])?;
            sum = sum.wrapping_add(hash(*shard, key, value));
        }
    }
    Ok(sum)
}

fn set_state(to: &Transaction<'_>, State { committed, sum }: State) -> rusqlite::Result<()> {
    let Committed { bytes, lines, hash } = committed;
    let numbers = [bytes, lines, hash, sum].map(u64::cast_signed);
    to.prepare_cached("UPDATE state SET bytes = ?, lines = ?, hash = ?, sum = ?")?.execute(numbers).map(drop)
}

/// The hash of an entry.
fn hash(shard: u32, key: &str, value: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&shard.to_le_bytes());
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key.as_bytes());
    hash.update(value);
    hash.digest()
}

/// The error for a checkpoint that can't be read: the disk's fault, or the content's.
fn unreadable(path: &Path, error: rusqlite::Error) -> SinkError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::DatabaseBusy
            | ErrorCode::DiskFull
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure,
        ) => failed("read the checkpoint", path, error),
        _ => SinkError::Setup {
            problem: format!("the checkpoint {} can't be read: {error}", path.display()),
            remedy: "restore a copy; or move the checkpoint and the output away, to start from scratch \
                     and lose what changed since"
                .to_owned(),
        },
    }
}

/// The error for a transaction that didn't come to its commit.
fn not_written(path: &Path, error: rusqlite::Error) -> CommitError {
    if error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_READONLY_DBMOVED) {
        return CommitError::Fatal(SinkError::Tampered {
            problem: format!("{} was moved, deleted or replaced while the bridge used it", path.display()),
            remedy: "put it back as it was, with the output of the same time".to_owned(),
        });
    }
    let error = unreadable(path, error);
    if let SinkError::Setup { .. } = error { CommitError::Fatal(error) } else { CommitError::Aborted(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARDS: NonZeroU32 = NonZeroU32::new(4).unwrap();

    fn of(checkpoints: impl Into<Vec<CheckpointWrite>>) -> Commit {
        Commit { checkpoints: checkpoints.into(), entries: Vec::new() }
    }

    fn write(shard: u32, key: &str, value: Option<&[u8]>) -> CheckpointWrite {
        CheckpointWrite { shard: ShardId(shard), key: key.to_owned(), value: value.map(<[u8]>::to_vec) }
    }

    fn committed(lines: u64) -> Committed {
        Committed { bytes: lines * 10, lines, hash: u64::MAX - lines }
    }

    fn open(path: &Path) -> Result<Checkpoint, SinkError> {
        Checkpoint::open(path, || Ok(()))
    }

    fn content(path: &Path) -> Content {
        peek(path).expect("it can be read").expect("it is there")
    }

    /// A checkpoint with two commits, and its content after the first.
    fn two_commits(path: &Path) -> Content {
        let mut checkpoint = open(path).expect("a checkpoint");
        checkpoint
            .commit(&of([write(0, "a", Some(b"1")), write(3, "gone", Some(b"x"))]), committed(1))
            .expect("commits");
        let first = content(path);
        checkpoint
            .commit(&of([write(0, "a", Some(&[7; 300])), write(3, "gone", None)]), committed(2))
            .expect("commits");
        first
    }

    #[test]
    fn a_mixture_of_two_commits_is_damage() {
        const PAGE: usize = 4096;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let mut checkpoint = open(&path).expect("a checkpoint");
        let mut commit = |byte: u8| {
            let writes: Vec<_> = (0..40).map(|n| write(1, &format!("stream/{n}"), Some(&[byte; 900]))).collect();
            checkpoint.commit(&of(writes.clone()), committed(byte.into())).expect("commits");
            std::fs::read(&path).expect("reads")
        };
        let (first, second) = (commit(1), commit(2));
        drop(checkpoint);
        let whole = content(&path);
        let mut damaged = 0;
        for cut in (0..second.len()).step_by(PAGE) {
            std::fs::write(&path, [&first[..cut.min(first.len())], &second[cut..]].concat()).expect("writes");
            match peek(&path) {
                Ok(found) => assert_eq!(found.as_ref(), Some(&whole), "cut at {cut}"),
                Err(error) => {
                    assert!(matches!(error, SinkError::Setup { .. }), "cut at {cut}: {error}");
                    damaged += 1;
                }
            }
        }
        assert!(damaged > 0);
    }

    #[test]
    fn a_checkpoint_that_was_cut_or_changed_is_never_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        two_commits(&path);
        let (whole, before) = (std::fs::read(&path).expect("reads"), content(&path));
        for cut in (0..whole.len()).step_by(251) {
            std::fs::write(&path, &whole[..cut]).expect("writes");
            let error = open(&path).expect_err("it was cut");
            assert!(matches!(error, SinkError::Setup { .. } | SinkError::Unavailable { .. }), "{cut}: {error}");
        }
        for at in (0..whole.len()).step_by(7) {
            let mut changed = whole.clone();
            changed[at] ^= 0x04;
            std::fs::write(&path, &changed).expect("writes");
            if let Ok(Some(Content { entries, .. })) = peek(&path) {
                assert_eq!(entries, before.entries, "changed at {at}");
            }
        }
        std::fs::write(&path, vec![0; whole.len()]).expect("writes");
        assert!(matches!(open(&path), Err(SinkError::Setup { .. })));
    }

    #[test]
    fn other_formats_other_databases_and_a_second_process_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let checkpoint = open(&path).expect("a checkpoint");
        assert_eq!((is_held(&path).expect("known"), peek(&path).expect("read").is_some()), (true, true));
        let error = open(&path).expect_err("held").to_string();
        assert!(error.contains("another process holds"), "{error}");
        checkpoint.database.pragma_update(None, "user_version", 2).expect("set");
        drop(checkpoint);
        let error = open(&path).expect_err("newer").to_string();
        assert!(!is_held(&path).expect("known") && error.contains("format 2"), "{error}");
        std::fs::remove_file(&path).expect("removes");
        Connection::open(&path).and_then(|other| other.execute_batch(TABLES)).expect("another database");
        let error = open(&path).expect_err("not ours").to_string();
        assert!(error.contains("not a checkpoint"), "{error}");
    }

    #[test]
    fn a_missing_checkpoint_is_created_only_if_it_may_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let refuse = || Err(SinkError::Setup { problem: "no".to_owned(), remedy: "no".to_owned() });
        assert!(matches!(Checkpoint::open(&path, refuse), Err(SinkError::Setup { .. })));
        assert!(peek(&path).expect("read").is_none());
        drop(open(&path).expect("a checkpoint"));
        Checkpoint::open(&path, refuse).expect("it is there now");
    }

    #[test]
    fn entries_beyond_the_shards_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        two_commits(&path);
        let mut checkpoint = open(&path).expect("a checkpoint");
        checkpoint.entries(NonZeroU32::MIN).expect("the entry of shard 3 was removed");
        checkpoint.commit(&of([write(3, "a", Some(b"1"))]), committed(3)).expect("commits");
        assert!(matches!(checkpoint.entries(NonZeroU32::MIN), Err(SinkError::Setup { .. })));
        assert_eq!(checkpoint.entries(SHARDS).expect("shards").len(), 4);
    }

    #[test]
    fn a_commit_that_finds_the_file_locked_is_aborted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let first = two_commits(&path);
        let mut checkpoint = open(&path).expect("a checkpoint");
        checkpoint.database.busy_timeout(Duration::ZERO).expect("set");
        let mut reader = connect(&path).expect("a reader");
        let reading = reader.transaction().expect("a transaction");
        reading.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0)).expect("reads");
        let writes = [write(0, "a", Some(b"1")), write(3, "gone", Some(b"x"))];
        let error = checkpoint.commit(&of(writes.clone()), committed(1)).expect_err("it is locked");
        assert!(matches!(error, CommitError::Aborted(_)), "{error}");
        drop(reading);
        checkpoint.commit(&of(writes.clone()), committed(1)).expect("commits");
        assert_eq!(content(&path), first);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_read_back_is_what_was_committed(
            commits in proptest::collection::vec(
                proptest::collection::vec((0..4_u32, "[a-c]", proptest::option::of(any::<[u8; 3]>())), 0..4), 0..8),
            reopen in any::<u8>(),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("checkpoint");
            let mut checkpoint = open(&path).expect("a checkpoint");
            let mut model = vec![StoredCheckpoint::new(); 4];
            for (number, commit) in commits.iter().enumerate() {
                if (reopen >> number) & 1 == 1 {
                    drop(checkpoint);
                    checkpoint = open(&path).expect("a checkpoint");
                }
                let writes: Vec<_> =
                    commit.iter().map(|(shard, key, value)| write(*shard, key, value.as_ref().map(|it| &it[..]))).collect();
                checkpoint.commit(&of(writes.clone()), committed(number as u64)).expect("a commit");
                prop_assert_eq!(checkpoint.committed(), committed(number as u64));
                for CheckpointWrite { shard, key, value } in writes {
                    match value {
                        Some(value) => model[shard.0 as usize].insert(key, value),
                        None => model[shard.0 as usize].remove(&key),
                    };
                }
                let read: Vec<_> = checkpoint.entries(SHARDS).expect("shards").into_iter().map(|it| it.1).collect();
                prop_assert_eq!(&read, &model);
            }
        }
    }
}

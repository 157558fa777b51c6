//! The local checkpoint: a journal of commits beside the output of a local sink.
//!
//! One line for each commit, with its checksum and length before it. The first line holds the whole state at the time
//! when the file was created. Each later line holds what a commit changed, so that a commit writes only its changes. A
//! journal that has outgrown its content is rewritten, as at every start: written to a new file, synced, renamed over
//! the old one, folder synced.
//!
//! A crash in the middle of a commit leaves at most one unfinished line, the last, which doesn't count. Anything else
//! that can't be read is damage, and the bridge doesn't start.

use super::{CommitError, SinkError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{CheckpointWrite, StoredCheckpoint};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The format of the journal. A reader rejects a greater one.
const FORMAT: u32 = 1;
/// A journal that has grown by less than this is never rewritten, in bytes.
const LEAST_GROWTH: u64 = 1 << 20;
/// A journal is rewritten when it has grown to this multiple of its size after the last rewrite.
const GROWTH: u64 = 4;

/// An open journal, locked for this process.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// The newest value of each key, by shard.
    entries: BTreeMap<u32, StoredCheckpoint>,
    data_length: u64,
    size: u64,
    /// The size at which the journal is rewritten, in bytes.
    limit: u64,
    /// The lock, held as long as this lives.
    _lock: File,
}

/// A line of the journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit<'a> {
    /// The format, in the first line only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<u32>,
    /// The length of the sink's data file with this commit, in bytes.
    data_length: u64,
    /// Shard, key, and the value in base64, or null if the key is removed.
    #[serde(borrow)]
    writes: Vec<(u32, Cow<'a, str>, Option<String>)>,
}

impl Journal {
    /// Locks and reads the journal at `path`, or creates it.
    ///
    /// # Errors
    /// `Setup` if another process uses it, if it is damaged, or if it has a newer format. A journal that can't be read
    /// never counts as empty.
    pub(super) fn open(path: &Path) -> Result<Self, SinkError> {
        let lock = lock(path)?;
        let (entries, data_length) = match std::fs::read(path) {
            Ok(bytes) => replay(&bytes).map_err(|problem| damaged(path, &problem))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (BTreeMap::new(), 0),
            Err(error) => return Err(failed("read the checkpoint", path, error)),
        };
        // Rewritten at once: this removes what a crash left unfinished, and ensures that what was read is on the disk.
        let (file, size) = write_whole(path, &entries, data_length)
            .and_then(|written| sync_folder(path).map(|()| written))
            .map_err(|error| failed("write the checkpoint", path, error))?;
        Ok(Self { path: path.to_owned(), file, entries, data_length, size, limit: limit(size), _lock: lock })
    }

    /// The checkpoint of each of the `shards` shards.
    ///
    /// # Errors
    /// `Setup` if the journal has entries of shards beyond them.
    pub(super) fn checkpoints(&self, shards: NonZeroU32) -> Result<Vec<(ShardId, StoredCheckpoint)>, SinkError> {
        let used = self.entries.iter().filter(|(_, checkpoint)| !checkpoint.is_empty());
        if let Some(last) = used.map(|(shard, _)| *shard).max()
            && last >= shards.get()
        {
            return Err(SinkError::Setup {
                problem: format!("{} was written with more than {shards} shards", self.path.display()),
                remedy: "set `shards` to what it was; to change it, run `asana-event-bridge checkpoint migrate`"
                    .to_owned(),
            });
        }
        let of = |shard| (ShardId(shard), self.entries.get(&shard).cloned().unwrap_or_default());
        Ok((0..shards.get()).map(of).collect())
    }

    /// The length of the sink's data file with the last commit, in bytes.
    pub(super) fn data_length(&self) -> u64 {
        self.data_length
    }

    /// Makes a commit durable.
    ///
    /// # Errors
    /// `Aborted` if certainly nothing of it is on the disk, otherwise `Unknown`.
    pub(super) fn append(&mut self, writes: &[CheckpointWrite], data_length: u64) -> Result<(), CommitError> {
        if self.size > self.limit {
            self.rewrite().map_err(|error| aborted(&self.path, error))?;
        }
        let changed = writes.iter().map(|write| (write.shard.0, write.key.as_str(), write.value.as_deref()));
        let line = Commit::new(None, data_length, changed).to_line().map_err(|error| aborted(&self.path, error))?;
        if let Err(error) = self.file.write_all(&line) {
            let cut = self.file.set_len(self.size).and_then(|()| self.file.sync_data());
            let error = failed("write the checkpoint", &self.path, error);
            return Err(if cut.is_ok() { CommitError::Aborted(error) } else { CommitError::Unknown(error) });
        }
        // After a failed sync, the content of the disk isn't known.
        self.file
            .sync_data()
            .map_err(|error| CommitError::Unknown(failed("sync the checkpoint", &self.path, error)))?;
        self.size += line.len() as u64;
        self.data_length = data_length;
        for write in writes {
            put(&mut self.entries, write.shard.0, &write.key, write.value.clone());
        }
        Ok(())
    }

    /// The limit is raised last, so that the next commit retries what failed here.
    fn rewrite(&mut self) -> io::Result<()> {
        let (file, size) = write_whole(&self.path, &self.entries, self.data_length)?;
        self.file = file;
        sync_folder(&self.path)?;
        self.size = size;
        self.limit = limit(size);
        Ok(())
    }
}

impl<'a> Commit<'a> {
    fn new(
        format: Option<u32>,
        data_length: u64,
        writes: impl Iterator<Item = (u32, &'a str, Option<&'a [u8]>)>,
    ) -> Self {
        let encode = |value: &[u8]| BASE64.encode(value);
        let writes = writes.map(|(shard, key, value)| (shard, Cow::Borrowed(key), value.map(encode))).collect();
        Self { format, data_length, writes }
    }

    fn to_line(&self) -> io::Result<Vec<u8>> {
        let text = serde_json::to_string(self)?;
        Ok(format!("{:016x} {} {text}\n", xxh3_64(text.as_bytes()), text.len()).into_bytes())
    }

    fn from_line(line: &'a [u8]) -> Option<Self> {
        let (check, length, text) = split(line.strip_suffix(b"\n")?)?;
        let text = str::from_utf8(text).ok()?;
        (check == xxh3_64(text.as_bytes()) && length == text.len()).then_some(())?;
        serde_json::from_str(text).ok()
    }
}

/// Checksum, length and text of a line.
fn split(line: &[u8]) -> Option<(u64, usize, &[u8])> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let check = u64::from_str_radix(str::from_utf8(parts.next()?).ok()?, 16).ok()?;
    let length = str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    Some((check, length, parts.next()?))
}

/// Whether a crash can have left the last piece of a journal. It can't, if the piece is longer than one line: that is
/// two lines with a damaged line end between them.
fn torn(piece: &[u8]) -> bool {
    split(piece).is_none_or(|(_, length, text)| text.len() <= length + 1)
}

fn limit(size: u64) -> u64 {
    size.saturating_mul(GROWTH).max(size.saturating_add(LEAST_GROWTH))
}

fn put(entries: &mut BTreeMap<u32, StoredCheckpoint>, shard: u32, key: &str, value: Option<Vec<u8>>) {
    let checkpoint = entries.entry(shard).or_default();
    match value {
        Some(value) => checkpoint.insert(key.to_owned(), value),
        None => checkpoint.remove(key),
    };
}

/// The state after all lines, or what is wrong with them.
fn replay(bytes: &[u8]) -> Result<(BTreeMap<u32, StoredCheckpoint>, u64), String> {
    let mut entries = BTreeMap::new();
    let mut data_length = None;
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let last = lines.peek().is_none();
        let Some(commit) = Commit::from_line(line) else {
            if number > 0 && last && torn(line) {
                break;
            }
            return Err(format!("line {} is damaged", number + 1));
        };
        match (number, commit.format) {
            (0, Some(FORMAT)) => {}
            (0, Some(format)) => return Err(format!("it is of format {format}, and this version knows {FORMAT}")),
            (_, format) if (number == 0) == format.is_none() => {
                return Err(format!("line {} is misplaced", number + 1));
            }
            _ => {}
        }
        for (shard, key, value) in commit.writes {
            let value = value.map(|text| BASE64.decode(text)).transpose();
            let value = value.map_err(|error| format!("line {}: {error}", number + 1))?;
            put(&mut entries, shard, &key, value);
        }
        data_length = Some(commit.data_length);
    }
    data_length.map(|data_length| (entries, data_length)).ok_or_else(|| "it is empty".to_owned())
}

/// Replaces the old journal by a new one. It is durable once the folder is synced.
fn write_whole(path: &Path, entries: &BTreeMap<u32, StoredCheckpoint>, data_length: u64) -> io::Result<(File, u64)> {
    let writes = entries.iter().flat_map(|(shard, checkpoint)| {
        checkpoint.iter().map(|(key, value)| (*shard, key.as_str(), Some(value.as_slice())))
    });
    let line = Commit::new(Some(FORMAT), data_length, writes).to_line()?;
    let new = beside(path, ".new");
    // The remainder of a crash during an earlier rewrite.
    if let Err(error) = std::fs::remove_file(&new)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut options = OpenOptions::new();
    private(options.append(true).create_new(true));
    let mut file = options.open(&new)?;
    file.write_all(&line)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    Ok((file, line.len() as u64))
}

/// The content of the journal at `path`, for those shards that have any; nothing if the file is missing. A process may
/// use it at the same time: an unfinished line doesn't count yet.
pub(super) fn peek(path: &Path) -> Result<BTreeMap<ShardId, StoredCheckpoint>, SinkError> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let (entries, _) = replay(&bytes).map_err(|problem| damaged(path, &problem))?;
            let used = entries.into_iter().filter(|(_, checkpoint)| !checkpoint.is_empty());
            Ok(used.map(|(shard, checkpoint)| (ShardId(shard), checkpoint)).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(failed("read the checkpoint", path, error)),
    }
}

/// Whether a process has the journal at `path` open.
pub(super) fn is_held(path: &Path) -> Result<bool, SinkError> {
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

/// Makes the entries of a file's folder durable.
pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn lock(path: &Path) -> Result<File, SinkError> {
    let path = beside(path, ".lock");
    let open = private(OpenOptions::new().create(true).truncate(false).write(true)).open(&path);
    let file = open.map_err(|error| failed("open", &path, error))?;
    lock_file(&file, &path)?;
    Ok(file)
}

/// A file that is created can be read by this process's user alone: it has names of tasks, or sync tokens.
pub(super) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Takes a file for this process alone, until it is closed.
pub(super) fn lock_file(file: &File, path: &Path) -> Result<(), SinkError> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => SinkError::Setup {
            problem: format!("another process holds {}", path.display()),
            remedy: "stop it, or give each its own `path` and `checkpoint`".to_owned(),
        },
        TryLockError::Error(error) => failed("lock", path, error),
    })
}

fn aborted(path: &Path, error: io::Error) -> CommitError {
    CommitError::Aborted(failed("write the checkpoint", path, error))
}

/// The error for a failure of the file system.
pub(super) fn failed(action: &str, path: &Path, error: io::Error) -> SinkError {
    SinkError::unavailable(format!("could not {action} {}", path.display()), error)
}

fn damaged(path: &Path, problem: &str) -> SinkError {
    SinkError::Setup {
        problem: format!("the checkpoint {} can't be read: {problem}", path.display()),
        remedy: "restore a copy; or move the checkpoint and the output away, to start from scratch \
                 and lose what changed since"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SHARDS: NonZeroU32 = NonZeroU32::new(4).unwrap();

    fn write(shard: u32, key: &str, value: Option<&[u8]>) -> CheckpointWrite {
        CheckpointWrite { shard: ShardId(shard), key: key.to_owned(), value: value.map(<[u8]>::to_vec) }
    }

    fn state(journal: &Journal) -> (Vec<(ShardId, StoredCheckpoint)>, u64) {
        (journal.checkpoints(SHARDS).expect("shards"), journal.data_length())
    }

    #[test]
    fn a_journal_cut_at_any_byte_holds_the_commits_before_the_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let mut journal = Journal::open(&path).expect("a journal");
        // The state after each number of bytes.
        let mut states = vec![(journal.size, state(&journal))];
        for number in 0..6_u8 {
            let gone = (number == 4).then(|| write(1, "stream/a/1", None));
            let writes = [write(1, "stream/a/1", Some(&[number; 9])), write(u32::from(number % 4), "shard", Some(b""))];
            journal
                .append(&gone.into_iter().chain(writes).collect::<Vec<_>>(), u64::from(number) * 10)
                .expect("a commit");
            states.push((journal.size, state(&journal)));
        }
        drop(journal);
        let whole = std::fs::read(&path).expect("read");
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("write");
            let expected = states.iter().rfind(|(size, _)| *size <= cut as u64).map(|(_, state)| state);
            match (Journal::open(&path), expected) {
                (Ok(mut journal), Some(expected)) => {
                    assert_eq!(&state(&journal), expected, "cut at {cut}");
                    journal.append(&[write(3, "later", Some(b"x"))], 99).expect("a commit");
                    let later = state(&journal);
                    drop(journal);
                    assert_eq!(state(&Journal::open(&path).expect("a journal")), later, "cut at {cut}");
                }
                (Err(SinkError::Setup { .. }), None) => {}
                (opened, expected) => panic!("cut at {cut}: {opened:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn damage_stops_the_start_and_a_torn_tail_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let mut journal = Journal::open(&path).expect("a journal");
        journal.append(&[write(0, "a", Some(b"1"))], 1).expect("a commit");
        let (first, before) = (journal.size, state(&journal));
        journal.append(&[write(0, "a", Some(b"2"))], 2).expect("a commit");
        drop(journal);
        let whole = std::fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x04;
            std::fs::write(&path, &bytes).expect("write");
            match Journal::open(&path) {
                Ok(journal) => assert!(at as u64 >= first && state(&journal) == before, "changed at {at}"),
                // In the last line too, where its said length became shorter than it is.
                Err(error) => assert!(matches!(error, SinkError::Setup { .. }), "{at}: {error}"),
            }
        }
        // A file system may have made the file longer before it wrote the bytes.
        let mut zeros = whole[..usize::try_from(first).expect("small")].to_vec();
        zeros.extend([0; 40]);
        std::fs::write(&path, &zeros).expect("write");
        assert_eq!(state(&Journal::open(&path).expect("a journal")), before);
    }

    #[test]
    fn a_newer_format_and_a_second_process_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let journal = Journal::open(&path).expect("a journal");
        let error = Journal::open(&path).expect_err("held").to_string();
        assert!(error.contains("another process holds"), "{error}");
        drop(journal);
        std::fs::write(&path, Commit::new(Some(2), 0, std::iter::empty()).to_line().expect("a line")).expect("write");
        let error = Journal::open(&path).expect_err("newer").to_string();
        assert!(error.contains("format 2"), "{error}");
        std::fs::write(&path, "").expect("write");
        assert!(matches!(Journal::open(&path), Err(SinkError::Setup { .. })));
    }

    #[test]
    fn a_journal_stays_small_and_keeps_what_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("checkpoint");
        let mut journal = Journal::open(&path).expect("a journal");
        for number in 0..200_u8 {
            journal.append(&[write(2, "a", Some(&vec![number; 20_000]))], u64::from(number)).expect("a commit");
        }
        let expected = state(&journal);
        drop(journal);
        let size = std::fs::metadata(&path).expect("there").len();
        assert!(size < LEAST_GROWTH * 3 / 2, "{size} bytes");
        assert_eq!(state(&Journal::open(&path).expect("a journal")), expected);
        assert!(matches!(
            Journal::open(&path).expect("a journal").checkpoints(NonZeroU32::new(2).expect("2")),
            Err(SinkError::Setup { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_read_back_is_what_was_committed(
            commits in proptest::collection::vec(
                proptest::collection::vec((0..4_u32, "[a-c]", proptest::option::of(any::<[u8; 3]>())), 0..4), 0..8),
            reopen in any::<u8>(),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("checkpoint");
            let mut journal = Journal::open(&path).expect("a journal");
            let mut model = vec![StoredCheckpoint::new(); 4];
            for (number, commit) in commits.iter().enumerate() {
                if (reopen >> number) & 1 == 1 {
                    drop(journal);
                    journal = Journal::open(&path).expect("a journal");
                }
                let writes: Vec<_> =
                    commit.iter().map(|(shard, key, value)| write(*shard, key, value.as_ref().map(|it| &it[..]))).collect();
                journal.append(&writes, number as u64).expect("a commit");
                for CheckpointWrite { shard, key, value } in writes {
                    match value {
                        Some(value) => model[shard.0 as usize].insert(key, value),
                        None => model[shard.0 as usize].remove(&key),
                    };
                }
                let read: Vec<_> = journal.checkpoints(SHARDS).expect("shards").into_iter().map(|it| it.1).collect();
                prop_assert_eq!(&read, &model);
            }
        }
    }
}

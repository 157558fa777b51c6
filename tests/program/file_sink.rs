//! The file sink: each record exactly once, whatever byte a crash came at.
use asana_event_bridge::config::CheckedFile;
use asana_event_bridge::sink::file::{self, FileCommitter};
use asana_event_bridge::sink::{CommitError, Committer as _, OwnershipEvent, SinkError};
use bridge_contract::line::Line;
use bridge_contract::pb;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Attributes, Batch, CheckpointWrite, Message, StoredCheckpoint, Target};
use bridge_core::record::trace::Trace;
use prost::Message as _;
use std::num::NonZeroU32;
use std::path::Path;

const SHARDS: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Records `from..to`, and the checkpoint that says so.
fn batch(from: u64, to: u64) -> Batch {
    let message = |sequence| {
        let position = pb::Position { epoch: 1, lane_sequence: sequence, ..pb::Position::default() };
        Message {
            target: Target::Lane { topic: "asana.events".into(), partition: 0 },
            shard: ShardId(1),
            key: "42".into(),
            value: pb::Record { position: Some(position), ..pb::Record::default() }.encode_to_vec(),
            attributes: Attributes {
                id: sequence.to_string(),
                kind: "asana_event_bridge.v1.Event",
                stream: None,
                resource_type: "task".into(),
                time: chrono::DateTime::UNIX_EPOCH,
                trace: Trace::new("r1", 1, chrono::DateTime::UNIX_EPOCH),
            },
        }
    };
    let checkpoint =
        CheckpointWrite { shard: ShardId(1), key: "next".to_owned(), value: Some(to.to_string().into_bytes()) };
    Batch { messages: (from..to).map(message).collect(), checkpoints: vec![checkpoint] }
}

fn config(folder: &Path) -> CheckedFile {
    CheckedFile { path: folder.join("events.jsonl"), checkpoint: folder.join("events.jsonl.checkpoint") }
}

/// A session, and the next record by its checkpoint.
async fn open(config: &CheckedFile) -> Result<(FileCommitter, u64), SinkError> {
    let (committer, mut ownership) = file::open(config, SHARDS).await?;
    let Some(OwnershipEvent::Assigned(shards)) = ownership.recv().await else { panic!("assigned at once") };
    assert_eq!(shards.iter().map(|shard| shard.0).collect::<Vec<_>>(), [ShardId(0), ShardId(1), ShardId(2)]);
    let next = |checkpoint: &StoredCheckpoint| Some(String::from_utf8_lossy(checkpoint.get("next")?).parse().unwrap());
    Ok((committer, next(&shards[1].1).unwrap_or(1)))
}

fn sequences(config: &CheckedFile) -> Vec<u64> {
    let text = std::fs::read_to_string(&config.path).unwrap();
    let sequence = |line: &str| serde_json::from_str::<Line>(line).unwrap().record.position.unwrap().lane_sequence;
    text.lines().map(sequence).collect()
}

#[tokio::test]
async fn a_crash_at_any_byte_loses_nothing_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = config(folder.path());
    let checkpoint = folder.path().join("events.jsonl.checkpoint");
    let (mut committer, next) = open(&whole).await.unwrap();
    assert_eq!(next, 1);
    committer.commit(&batch(1, 4)).await.unwrap();
    let data_before = usize::try_from(std::fs::metadata(&whole.path).unwrap().len()).unwrap();
    let journal_before = usize::try_from(std::fs::metadata(&checkpoint).unwrap().len()).unwrap();
    committer.commit(&batch(4, 6)).await.unwrap();
    committer.close().await;
    let (data, journal) = (std::fs::read(&whole.path).unwrap(), std::fs::read(&checkpoint).unwrap());

    // First the lines are written, then the journal: a crash leaves one of these.
    let in_lines = (data_before..=data.len()).map(|cut| (cut, journal_before));
    let in_journal = (journal_before..=journal.len()).map(|cut| (data.len(), cut));
    for (data_cut, journal_cut) in in_lines.chain(in_journal) {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        std::fs::write(&config.path, &data[..data_cut]).unwrap();
        std::fs::write(folder.path().join("events.jsonl.checkpoint"), &journal[..journal_cut]).unwrap();
        let (mut committer, next) = open(&config).await.unwrap();
        assert_eq!(next, if journal_cut == journal.len() { 6 } else { 4 }, "cut at {data_cut}, {journal_cut}");
        committer.commit(&batch(next, 9)).await.unwrap();
        assert_eq!(sequences(&config), (1..9).collect::<Vec<_>>(), "cut at {data_cut}, {journal_cut}");
    }
}

#[tokio::test]
async fn what_does_not_belong_together_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let refused = async |why: &str| {
        let before = std::fs::read(&config.path).unwrap();
        match open(&config).await {
            Err(SinkError::Setup { problem, .. }) if problem.contains(why) => {}
            Err(other) => panic!("{other}, expected {why}"),
            Ok(_) => panic!("opened, expected {why}"),
        }
        assert_eq!(std::fs::read(&config.path).unwrap(), before);
    };
    std::fs::write(&config.path, "somebody's\n").unwrap();
    refused("is missing").await;
    refused("is missing").await;
    std::fs::remove_file(&config.path).unwrap();

    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 3)).await.unwrap();
    refused("another process holds").await;
    committer.close().await;

    let whole = std::fs::read(&config.path).unwrap();
    std::fs::write(&config.path, &whole[..whole.len() - 1]).unwrap();
    refused("fewer than").await;
    std::fs::write(&config.path, &whole).unwrap();
    std::fs::write(folder.path().join("events.jsonl.checkpoint"), "{}").unwrap();
    refused("can't be read").await;
    std::fs::remove_file(folder.path().join("events.jsonl.checkpoint")).unwrap();
    refused("is missing").await;
}

#[tokio::test]
async fn somebody_else_who_writes_the_file_ends_the_session() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 3)).await.unwrap();
    std::fs::write(&config.path, "").unwrap();
    let error = committer.commit(&batch(3, 4)).await.unwrap_err();
    assert!(matches!(error, CommitError::Fatal(SinkError::Setup { .. })), "{error}");
}

#[tokio::test]
async fn a_commit_without_records_moves_the_checkpoint_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&Batch { messages: Vec::new(), ..batch(1, 5) }).await.unwrap();
    committer.close().await;
    let (_committer, next) = open(&config).await.unwrap();
    assert_eq!(next, 5);
    assert_eq!(std::fs::metadata(&config.path).unwrap().len(), 0);
}

#[tokio::test]
async fn files_are_for_this_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 3)).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

//! The file sink: each record exactly once, whatever byte a crash came at, and whatever an operator did to its files.
use crate::support::program::Program;
use crate::support::wait_for;
use asana_event_bridge::config::CheckedFile;
use asana_event_bridge::sink::file::{self, FileCommitter};
use asana_event_bridge::sink::{CommitError, Committer as _, OwnershipEvent, SinkError};
use bridge_contract::line::Line;
use bridge_contract::pb;
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Attributes, Batch, CheckpointWrite, Message, StoredCheckpoint, Target};
use bridge_core::record::encoding::Encoding;
use bridge_core::record::trace::Trace;
use serde_json::json;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SHARDS: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// Records `from..to`, and the checkpoint that says so.
fn batch(from: u64, to: u64) -> Batch {
    let message = |sequence| {
        let position = pb::Position { epoch: 1, lane_sequence: sequence, ..pb::Position::default() };
        Message {
            target: Target::Lane { topic: "asana.events".into(), partition: 0 },
            shard: ShardId(1),
            key: "42".into(),
            value: bridge_contract::json::record(&pb::Record { position: Some(position), ..pb::Record::default() })
                .unwrap(),
            attributes: Attributes {
                id: sequence.to_string(),
                encoding: Encoding::Json,
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
    let (mut committer, next) = open(&whole).await.unwrap();
    assert_eq!(next, 1);
    committer.commit(&batch(1, 4)).await.unwrap();
    committer.close().await;
    let (data_before, before) = (std::fs::read(&whole.path).unwrap(), std::fs::read(&whole.checkpoint).unwrap());
    let (mut committer, _) = open(&whole).await.unwrap();
    committer.commit(&batch(4, 6)).await.unwrap();
    committer.close().await;
    let (data, after) = (std::fs::read(&whole.path).unwrap(), std::fs::read(&whole.checkpoint).unwrap());

    // First the lines are written, then the checkpoint, which is the old one or the new one: a crash leaves one of these.
    let in_lines = (data_before.len()..=data.len()).map(|cut| (cut, &before, 4));
    for (cut, checkpoint, expected) in in_lines.chain([(data.len(), &after, 6)]) {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        std::fs::write(&config.path, &data[..cut]).unwrap();
        std::fs::write(&config.checkpoint, checkpoint).unwrap();
        let (mut committer, next) = open(&config).await.unwrap();
        assert_eq!(next, expected, "cut at {cut}");
        committer.commit(&batch(next, 9)).await.unwrap();
        assert_eq!(sequences(&config), (1..9).collect::<Vec<_>>(), "cut at {cut}");
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

/// What was kept of the output's tail, by the name of its file.
fn kept(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut kept: Vec<_> = entries.filter(|entry| name(entry).contains(".uncommitted-")).collect();
    kept.sort_by_key(name);
    kept.iter().map(|entry| (name(entry), std::fs::read_to_string(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn records_beyond_an_older_checkpoint_are_kept_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 4)).await.unwrap();
    committer.close().await;
    let older = std::fs::read(&config.checkpoint).unwrap();
    let committed = std::fs::metadata(&config.path).unwrap().len();
    // Twice at the same place: the second tail doesn't replace the first.
    for round in 1..=2 {
        let (mut committer, next) = open(&config).await.unwrap();
        committer.commit(&batch(next, next + round)).await.unwrap();
        committer.commit(&batch(next + round, 20)).await.unwrap();
        committer.close().await;
        let whole = std::fs::read_to_string(&config.path).unwrap();
        std::fs::write(&config.checkpoint, &older).unwrap();
        let (committer, next) = open(&config).await.unwrap();
        committer.close().await;
        assert_eq!((next, sequences(&config)), (4, vec![1, 2, 3]));
        let kept = kept(folder.path());
        assert_eq!(kept.len() as u64, round, "{kept:?}");
        assert!(kept.iter().all(|(name, text)| name.contains(&committed.to_string()) && whole.ends_with(text)));
        assert_eq!(kept.last().unwrap().1.lines().count(), 16);
    }
}

#[tokio::test]
async fn an_output_that_is_not_what_was_committed_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 30)).await.unwrap();
    committer.close().await;
    let whole = std::fs::read(&config.path).unwrap();
    let mut hole = whole.clone();
    hole[whole.len() / 2..whole.len() / 2 + 512].fill(0);
    let swapped = whole.split_inclusive(|byte| *byte == b'\n').rev().flatten().copied().collect();
    let longer = [vec![0; whole.len()], whole.clone()].concat();
    let halved = whole[..whole.len() / 2].to_vec();
    for other in [vec![], halved, vec![0; whole.len()], hole, swapped, longer] {
        std::fs::write(&config.path, &other).unwrap();
        match open(&config).await {
            Err(SinkError::Setup { problem, .. }) => assert!(problem.contains("29 records"), "{problem}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("opened with {} bytes", other.len()),
        }
        assert_eq!(std::fs::read(&config.path).unwrap(), other);
    }
    std::fs::write(&config.path, &whole).unwrap();
    let (_committer, next) = open(&config).await.unwrap();
    assert_eq!((next, kept(folder.path())), (30, vec![]));
}

#[tokio::test]
async fn an_output_or_a_checkpoint_that_is_replaced_ends_the_bridge() {
    for (moved, replaced) in [(true, true), (true, false), (false, true), (false, false)] {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (mut committer, _) = open(&config).await.unwrap();
        committer.commit(&batch(1, 3)).await.unwrap();
        let path = if moved { &config.path } else { &config.checkpoint };
        let aside = folder.path().join("aside");
        std::fs::rename(path, &aside).unwrap();
        if replaced {
            std::fs::copy(&aside, path).unwrap();
        }
        let before = std::fs::read(&config.path).ok();
        let error = committer.commit(&batch(3, 4)).await.unwrap_err();
        assert!(matches!(error, CommitError::Fatal(SinkError::Tampered { .. })), "{error}");
        committer.close().await;
        assert_eq!(std::fs::read(&config.path).ok(), before, "nothing of it is left");
    }
}

#[tokio::test]
async fn somebody_else_who_writes_the_file_ends_the_bridge() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 3)).await.unwrap();
    std::fs::write(&config.path, "").unwrap();
    let error = committer.commit(&batch(3, 4)).await.unwrap_err();
    assert!(matches!(error, CommitError::Fatal(SinkError::Tampered { .. })), "{error}");
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

/// What `verify` says of the file, by its configuration and by its path, and whether it is content.
fn verify(config: &CheckedFile) -> [(bool, String); 2] {
    let folder = config.path.parent().unwrap();
    let file = folder.join("config.yaml");
    std::fs::write(&file, json!({ "sink": { "file": { "path": config.path } } }).to_string()).unwrap();
    [["--config".as_ref(), file.as_os_str()], ["--file".as_ref(), config.path.as_os_str()]].map(|place| {
        let program = env!("CARGO_BIN_EXE_asana-event-bridge");
        let output = Command::new(program).arg("verify").args(place).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_content = output.status.success();
        assert!(is_content || output.status.code() == Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(!is_content, said.contains("not every event accounted for"), "{said}");
        (is_content, said)
    })
}

#[tokio::test]
async fn verify_compares_a_file_with_its_checkpoint() {
    const COMPLETE: &str = "\nevery event accounted for";
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&batch(1, 4)).await.unwrap();
    let older = std::fs::read(&config.checkpoint).unwrap();
    committer.commit(&batch(4, 31)).await.unwrap();
    let whole = std::fs::read(&config.path).unwrap();
    assert!(verify(&config).iter().all(|(ok, said)| *ok && said.contains(COMPLETE)));
    // The bridge runs, and may be about to commit this.
    std::fs::write(&config.path, [&whole[..], b"{"].concat()).unwrap();
    assert!(verify(&config).iter().all(|(ok, said)| *ok && said.contains(COMPLETE)));
    committer.close().await;
    let newer = std::fs::read(&config.checkpoint).unwrap();

    let lines: Vec<_> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let mut hole = whole.clone();
    hole[whole.len() / 3..whole.len() / 2].fill(0);
    for (damage, expected) in [
        (lines[..15].concat(), "fewer than the 30 records"),
        (Vec::new(), "fewer than the 30 records"),
        (vec![0; whole.len()], "doesn't begin with the 30 records"),
        (hole, "doesn't begin with the 30 records"),
        ([&lines[..10], &lines[11..], &lines[10..11]].concat().concat(), "doesn't begin with the 30 records"),
        ([&whole[..], lines[29]].concat(), "1 records"),
    ] {
        std::fs::write(&config.path, damage).unwrap();
        for (ok, said) in verify(&config) {
            assert!(!ok && said.contains(expected), "{expected}: {said}");
        }
    }
    std::fs::write(&config.path, &whole).unwrap();
    for (checkpoint, expected) in [(&older[..], "27 records"), (&newer[..100], "can't be read"), (b"", "can't be read")]
    {
        std::fs::write(&config.checkpoint, checkpoint).unwrap();
        for (ok, said) in verify(&config) {
            assert!(!ok && said.contains(expected), "{expected}: {said}");
        }
    }
    std::fs::remove_file(&config.checkpoint).unwrap();
    let [by_config, by_path] = verify(&config);
    assert!(!by_config.0 && by_config.1.contains("is missing"), "{}", by_config.1);
    assert!(by_path.0 && by_path.1.contains("can't be checked") && !by_path.1.contains(COMPLETE), "{}", by_path.1);
}

#[tokio::test]
async fn the_log_says_how_many_records_were_moved_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (mut committer, _) = open(&config).await.unwrap();
    committer.commit(&Batch { checkpoints: Vec::new(), ..batch(1, 4) }).await.unwrap();
    let older = std::fs::read(&config.checkpoint).unwrap();
    committer.commit(&Batch { checkpoints: Vec::new(), ..batch(4, 20) }).await.unwrap();
    committer.close().await;
    std::fs::write(&config.checkpoint, older).unwrap();
    let (file, log) = (folder.path().join("config.yaml"), folder.path().join("log"));
    let settings = json!({
        "accounts": { "main": { "token": { "env": "TOKEN" }, "baseUrl": "http://127.0.0.1:9/api/1.0" } },
        "streams": [{ "resource": "9" }],
        "sink": { "file": { "path": config.path } },
    });
    std::fs::write(&file, settings.to_string()).unwrap();
    let _bridge = Program::start_with(&[("TOKEN", "secret")], &["run", "--config", file.to_str().unwrap()], &log);
    let line = wait_for("the warning", Duration::from_secs(60), || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.lines().find(|line| line.contains("records beyond the checkpoint moved to another file")).map(str::to_owned)
    });
    let kept = kept(folder.path()).remove(0).0;
    assert!(line.contains("WARN") && line.contains("records=16") && line.contains(&kept), "{line}");
}

//! JSON lines on standard output, with a local checkpoint.
//!
//! At least once: the lines are written and flushed, then the checkpoint. After a crash between the two, the next start
//! writes the last batch again with the same positions, so that readers can recognize it. For exactly once, use the
//! file sink.

use super::journal::Journal;
use super::local::{self, Output, Session};
use super::{CommitError, Committer, Ownership, SinkError};
use crate::config::ConsoleConfig;
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, CheckpointWrite, OutputTopic};
use std::io::{ErrorKind, Stdout, Write};
use std::num::NonZeroU32;

/// Writes to standard output, or to another `W`; see [`open`].
#[derive(Debug)]
pub struct ConsoleCommitter<W = Stdout>(Session<Lines<W>>);

#[derive(Debug)]
struct Lines<W> {
    to: W,
    journal: Journal,
}

/// Opens a session on standard output: all of the `shards` shards are assigned at once.
///
/// # Errors
/// `Setup` if another process uses the checkpoint, or if it is damaged. `Unavailable` if the file system fails.
///
/// # Cancel safety
/// It may be called again after it was dropped.
pub async fn open(config: &ConsoleConfig, shards: NonZeroU32) -> Result<(ConsoleCommitter, Ownership), SinkError> {
    open_to(std::io::stdout(), config, shards).await
}

/// Like [`open`], with the lines to `to`.
///
/// # Errors
/// The same as of [`open`].
///
/// # Cancel safety
/// The same as of [`open`].
pub async fn open_to<W: Write + Send + 'static>(
    to: W,
    config: &ConsoleConfig,
    shards: NonZeroU32,
) -> Result<(ConsoleCommitter<W>, Ownership), SinkError> {
    let path = config.checkpoint.clone();
    let open = move || Ok(Lines { to, journal: Journal::open(&path)? });
    let (session, ownership) = Session::open(shards, open).await?;
    Ok((ConsoleCommitter(session), ownership))
}

impl<W: Write + Send + 'static> Output for Lines<W> {
    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn commit(&mut self, lines: &[u8], checkpoints: &[CheckpointWrite]) -> Result<(), CommitError> {
        // Nothing can be withdrawn from a pipe, so no failure here is an `Aborted`.
        self.to.write_all(lines).and_then(|()| self.to.flush()).map_err(|error| {
            CommitError::Fatal(if error.kind() == ErrorKind::BrokenPipe {
                SinkError::Setup {
                    problem: "the reader of standard output has closed it".to_owned(),
                    remedy: "start the bridge again with a reader: it continues from the last checkpoint".to_owned(),
                }
            } else {
                SinkError::unavailable("could not write to standard output", error)
            })
        })?;
        self.journal.append(checkpoints, 0)
    }
}

impl<W: Write + Send + 'static> Committer for ConsoleCommitter<W> {
    fn batch_messages(&self) -> usize {
        usize::MAX
    }

    async fn output_topic(&mut self, _topic: &Topic) -> Result<OutputTopic, SinkError> {
        Ok(local::OUTPUT_TOPIC)
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.0.commit(batch).await
    }

    async fn close(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::OwnershipEvent;
    use bridge_contract::pb;
    use bridge_core::ids::ShardId;
    use bridge_core::record::batch::{Attributes, Message, Target};
    use bridge_core::record::trace::Trace;
    use prost::Message as _;

    const SHARDS: NonZeroU32 = NonZeroU32::MIN;

    fn batch() -> Batch {
        let message = Message {
            target: Target::Lane { topic: "asana.events".into(), partition: 0 },
            shard: ShardId(0),
            key: "7".into(),
            value: pb::Record::default().encode_to_vec(),
            attributes: Attributes {
                id: "1".to_owned(),
                kind: "asana_event_bridge.v1.Event",
                stream: None,
                resource_type: "task".into(),
                time: chrono::DateTime::UNIX_EPOCH,
                trace: Trace::new("r1", 1, chrono::DateTime::UNIX_EPOCH),
            },
        };
        let checkpoint =
            CheckpointWrite { shard: ShardId(0), key: "stream/a/7".to_owned(), value: Some(b"token".to_vec()) };
        Batch { messages: vec![message], checkpoints: vec![checkpoint] }
    }

    fn restored(ownership: &mut Ownership) -> usize {
        let Ok(OwnershipEvent::Assigned(shards)) = ownership.try_recv() else { panic!("assigned at once") };
        assert_eq!(shards.len(), 1);
        shards[0].1.len()
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_ends_the_session_and_the_checkpoint_stays_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = ConsoleConfig { checkpoint: folder.path().join("checkpoint") };
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let (mut committer, mut ownership) = open_to(writer, &config, SHARDS).await.expect("opens");
        assert_eq!(restored(&mut ownership), 0);
        drop(reader);
        let error = committer.commit(&batch()).await.expect_err("nobody reads");
        assert!(matches!(error, CommitError::Fatal(SinkError::Setup { .. })), "{error}");
        committer.close().await;
        assert!(ownership.try_recv().is_err_and(|error| error == tokio::sync::mpsc::error::TryRecvError::Disconnected));

        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let (mut committer, mut ownership) = open_to(writer, &config, SHARDS).await.expect("opens");
        assert_eq!(restored(&mut ownership), 0);
        committer.commit(&batch()).await.expect("commits");
        committer.close().await;
        let mut read = String::new();
        std::io::Read::read_to_string(&mut reader, &mut read).expect("reads");
        assert_eq!(read, "{\"topic\":\"asana.events\",\"lane\":0,\"key\":\"7\",\"record\":{}}\n");
        let (_committer, mut ownership) = open_to(Vec::new(), &config, SHARDS).await.expect("opens");
        assert_eq!(restored(&mut ownership), 1);
    }
}

//! Records on standard output, as lines of JSON or of text, with a local checkpoint.
//!
//! At least once: the lines are written and flushed, then the checkpoint. After a crash between the two, the next start
//! writes the last batch again with the same positions, so that readers can recognize it. For exactly once, use the
//! file sink. When the reader is gone, the session ends.

use super::local::checkpoint::Checkpoint;
use super::local::committed::Committed;
use super::local::{self, Commit, Output, Session};
use super::refresh_log::RefreshLog;
use super::{CommitError, Committer, Ownership, OwnershipEvent, SinkError};
use crate::config::{ConsoleConfig, ConsoleOutput};
use crate::record_text::{Names, happened_at, is_bookkeeping, summary, time};
use crate::stdout;
use anstyle::Style;
use bridge_contract::json;
use bridge_core::ids::Topic;
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic};
use std::io::{ErrorKind, IsTerminal as _, Stdout, Write};
use std::num::NonZeroU32;
use tokio::task::JoinSet;

/// Writes to standard output, or to another `W`; see [`open`].
#[derive(Debug)]
pub struct ConsoleCommitter<W = Stdout> {
    session: Session<Destination<W>>,
    /// Watches the reader of the output; ends with the session.
    watch: JoinSet<()>,
}

#[derive(Debug)]
struct Destination<W> {
    to: W,
    checkpoint: Checkpoint,
}

/// The form of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object for each record, as the file sink writes it.
    Json,
    /// One line for people for each event, snapshot and source gap.
    Text {
        /// With the codes of a terminal for brightness.
        styled: bool,
    },
}

/// Opens a session on standard output: all of the `shards` shards are assigned at once.
///
/// # Errors
/// `Setup` if another process uses the checkpoint, or if it is damaged. `Unavailable` if the file system fails.
///
/// # Cancel safety
/// It may be called again after it was dropped.
pub async fn open(config: &ConsoleConfig, shards: NonZeroU32) -> Result<(ConsoleCommitter, Ownership), SinkError> {
    let out = std::io::stdout();
    let has_styles = anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
    let form = form(config.output, out.is_terminal(), has_styles);
    let (mut committer, ownership) = open_to(out, config, form, shards).await?;
    let sender = committer.session.ownership();
    committer.watch.spawn(async move {
        stdout::reader_gone().await;
        // Without a receiver the session has ended already.
        sender.send(OwnershipEvent::Failed(SinkError::ReaderGone)).await.ok();
    });
    Ok((committer, ownership))
}

fn form(configured: ConsoleOutput, is_terminal: bool, has_styles: bool) -> Form {
    match configured {
        ConsoleOutput::Text => Form::Text { styled: has_styles },
        ConsoleOutput::Auto if is_terminal => Form::Text { styled: has_styles },
        ConsoleOutput::Auto | ConsoleOutput::Json => Form::Json,
    }
}

/// Like [`open`], with the lines to `to`, whose end isn't noticed before the next line.
///
/// # Errors
/// The same as of [`open`].
///
/// # Cancel safety
/// The same as of [`open`].
pub async fn open_to<W: Write + Send + 'static>(
    to: W,
    config: &ConsoleConfig,
    form: Form,
    shards: NonZeroU32,
) -> Result<(ConsoleCommitter<W>, Ownership), SinkError> {
    let path = config.checkpoint.clone();
    let lines = match form {
        Form::Json => local::json_lines,
        Form::Text { styled: false } => plain_text,
        Form::Text { styled: true } => styled_text,
    };
    let open = move || Ok(Destination { to, checkpoint: Checkpoint::open(&path, || Ok(()))? });
    let (session, ownership) = Session::open(shards, lines, open).await?;
    Ok((ConsoleCommitter { session, watch: JoinSet::new() }, ownership))
}

fn plain_text(batch: &Batch) -> Result<Vec<u8>, CommitError> {
    text(batch, Style::new())
}

fn styled_text(batch: &Batch) -> Result<Vec<u8>, CommitError> {
    text(batch, Style::new().dimmed())
}

/// Time and summary of each record that isn't bookkeeping.
fn text(batch: &Batch, of_time: Style) -> Result<Vec<u8>, CommitError> {
    local::lines(batch, |lines, _, _, message| {
        let record = json::read(&message.value).map_err(|error| error.to_string())?;
        if is_bookkeeping(&record) {
            return Ok(());
        }
        let time = time(happened_at(&record).as_ref());
        let summary = summary(&record, Names::NameOrGid);
        writeln!(lines, "{of_time}{time}{of_time:#}  {summary}").map_err(|error| error.to_string())
    })
}

impl<W: Write + Send + 'static> Output for Destination<W> {
    fn checkpoint(&mut self) -> &mut Checkpoint {
        &mut self.checkpoint
    }

    fn commit(&mut self, lines: &[u8], commit: &Commit) -> Result<(), CommitError> {
        // Nothing can be withdrawn from a pipe, so no failure here is an `Aborted`.
        self.to.write_all(lines).and_then(|()| self.to.flush()).map_err(|error| {
            CommitError::Fatal(if error.kind() == ErrorKind::BrokenPipe {
                SinkError::ReaderGone
            } else {
                SinkError::unavailable("could not write to standard output", error)
            })
        })?;
        self.checkpoint.commit(commit, Committed::default())
    }
}

impl<W: Write + Send + 'static> Committer for ConsoleCommitter<W> {
    fn batch_limits(&self) -> BatchLimits {
        local::BATCH_LIMITS
    }

    async fn output_topic(&mut self, _topic: &Topic) -> Result<OutputTopic, SinkError> {
        Ok(local::OUTPUT_TOPIC)
    }

    async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.session.commit(batch).await
    }

    fn refresh_log(&mut self) -> RefreshLog {
        self.session.refresh_log()
    }

    async fn close(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::OwnershipEvent;
    use bridge_contract::pb::{self, record::Body};
    use bridge_core::ids::ShardId;
    use bridge_core::record::batch::{Attributes, CheckpointWrite, Message, Target};
    use bridge_core::record::encoding::Encoding;
    use bridge_core::record::trace::Trace;

    const SHARDS: NonZeroU32 = NonZeroU32::MIN;

    fn config(folder: &tempfile::TempDir) -> ConsoleConfig {
        ConsoleConfig { checkpoint: folder.path().join("checkpoint"), ..ConsoleConfig::default() }
    }

    fn batch() -> Batch {
        batch_of(&pb::Record::default())
    }

    fn batch_of(record: &pb::Record) -> Batch {
        let message = Message {
            target: Target::Lane { topic: "asana.events".into(), partition: 0 },
            shard: ShardId(0),
            key: "7".into(),
            value: json::record(record).expect("JSON"),
            attributes: Attributes {
                id: "1".to_owned(),
                encoding: Encoding::Json,
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
        let config = config(&folder);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let (mut committer, mut ownership) = open_to(writer, &config, Form::Json, SHARDS).await.expect("opens");
        assert_eq!(restored(&mut ownership), 0);
        drop(reader);
        let error = committer.commit(&batch()).await.expect_err("nobody reads");
        assert!(matches!(error, CommitError::Fatal(SinkError::ReaderGone)), "{error}");
        committer.close().await;
        assert!(ownership.try_recv().is_err_and(|error| error == tokio::sync::mpsc::error::TryRecvError::Disconnected));

        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let (mut committer, mut ownership) = open_to(writer, &config, Form::Json, SHARDS).await.expect("opens");
        assert_eq!(restored(&mut ownership), 0);
        committer.commit(&batch()).await.expect("commits");
        committer.close().await;
        let mut read = String::new();
        std::io::Read::read_to_string(&mut reader, &mut read).expect("reads");
        assert_eq!(read, "{\"topic\":\"asana.events\",\"lane\":0,\"key\":\"7\",\"record\":{}}\n");
        let (_committer, mut ownership) = open_to(Vec::new(), &config, Form::Json, SHARDS).await.expect("opens");
        assert_eq!(restored(&mut ownership), 1);
    }

    #[tokio::test]
    async fn text_is_for_people_and_leaves_out_bookkeeping() {
        let resource = pb::Resource { gid: "7".to_owned(), resource_type: "task".to_owned(), ..Default::default() };
        let event = pb::Event { action: "added".to_owned(), resource: Some(resource), ..pb::Event::default() };
        let event = pb::Record { body: Some(Body::Event(event)), ..pb::Record::default() };
        let start = Body::EpochStart(pb::EpochStart::default());
        let start = pb::Record { body: Some(start), ..pb::Record::default() };
        let lines =
            |batch: &pb::Record, write: local::Lines| String::from_utf8(write(&batch_of(batch)).unwrap()).unwrap();
        assert_eq!(lines(&event, plain_text), "------------------------  added task 7\n");
        assert_eq!(lines(&event, styled_text), "\u{1b}[2m------------------------\u{1b}[0m  added task 7\n");
        assert_eq!(lines(&start, plain_text), "");
        assert!(lines(&start, local::json_lines).contains("epochStart"));
    }

    #[test]
    fn text_is_for_terminals_unless_something_else_is_configured() {
        assert_eq!(form(ConsoleOutput::Auto, true, true), Form::Text { styled: true });
        assert_eq!(form(ConsoleOutput::Auto, true, false), Form::Text { styled: false });
        assert_eq!(form(ConsoleOutput::Auto, false, false), Form::Json);
        assert_eq!(form(ConsoleOutput::Json, true, true), Form::Json);
        assert_eq!(form(ConsoleOutput::Text, false, false), Form::Text { styled: false });
    }
}

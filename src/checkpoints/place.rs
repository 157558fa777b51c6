//! Where a configuration's checkpoint is, whatever the sink: what it is called, what is in it, who uses it.

use super::CheckpointsError;
use super::own::{Owned, Stored};
use crate::config::{Checked, CheckedSink};
use crate::run::{RunError, kafka_settings, nats_settings};
use crate::sink::{console, file, kafka, nats, offline};
use bridge_core::record::batch::Batch;
use std::num::NonZeroU32;
use std::time::Duration;

/// How long a bridge that has just been stopped or killed may still count as there: longer than Kafka's session
/// time-out and NATS' lease, which are 10 s.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The configuration for a session of this command's own. The replica's name differs from that of any bridge, since a
/// replica takes over from an earlier session of its own name.
pub(super) fn as_command(checked: &Checked, role: &str) -> Checked {
    let mut checked = checked.clone();
    checked.replica = format!("{}-{role}", checked.replica);
    if let CheckedSink::Kafka(sink) = &mut checked.sink {
        // A static member keeps its shards for a while after it has left.
        sink.config.static_membership = false;
    }
    checked
}

/// The setting that names the checkpoint.
pub(super) fn setting(checked: &Checked) -> String {
    match &checked.sink {
        CheckedSink::Kafka(sink) => format!("sink.kafka.checkpointTopic: {}", sink.config.checkpoint_topic),
        CheckedSink::Nats(sink) => match &sink.config.checkpoint {
            Some(name) => format!("sink.nats.checkpoint: {name}"),
            None => "sink.nats.checkpoint isn't set".to_owned(),
        },
        CheckedSink::Console(sink) => format!("sink.console.checkpoint: {}", sink.checkpoint.display()),
        CheckedSink::File(sink) => format!("sink.file.checkpoint: {}", sink.checkpoint.display()),
    }
}

/// What is stored, without owning it.
pub(super) async fn stored(checked: &Checked) -> Result<Stored, RunError> {
    Ok(match &checked.sink {
        CheckedSink::Kafka(sink) => kafka::offline::stored(&kafka_settings(checked, sink)?).await?,
        CheckedSink::Nats(sink) => nats::offline::stored(&nats_settings(checked, sink)).await?,
        CheckedSink::Console(sink) => offline::stored(&sink.checkpoint).await?,
        CheckedSink::File(sink) => offline::stored(&sink.checkpoint).await?,
    })
}

/// Waits until no bridge uses the checkpoint.
///
/// # Errors
/// [`CheckpointsError::Busy`] where one stays.
pub(super) async fn wait_until_free(checked: &Checked) -> Result<(), CheckpointsError> {
    let mut waited = Duration::ZERO;
    loop {
        let users = users(checked).await?;
        if users.is_empty() {
            return Ok(());
        }
        let who = users.join(", ");
        if waited >= LEAVE_PATIENCE {
            return Err(CheckpointsError::Busy { who });
        }
        if waited.is_zero() {
            tracing::info!(users = %who, timeout = ?LEAVE_PATIENCE, "waiting for the bridge to stop");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        waited += LOOK_AGAIN;
    }
}

async fn users(checked: &Checked) -> Result<Vec<String>, RunError> {
    let local = async |path: &std::path::Path| {
        let held = offline::is_held(path).await?;
        Ok::<_, RunError>(if held { vec![format!("a process that uses {}", path.display())] } else { Vec::new() })
    };
    match &checked.sink {
        CheckedSink::Kafka(sink) => Ok(kafka::offline::members(&kafka_settings(checked, sink)?).await?),
        CheckedSink::Nats(sink) => Ok(nats::offline::holders(&nats_settings(checked, sink)).await?),
        CheckedSink::Console(sink) => local(&sink.checkpoint).await,
        CheckedSink::File(sink) => local(&sink.checkpoint).await,
    }
}

/// Owns all of the shards, and commits what `make` finds to change.
pub(super) async fn rewrite(
    checked: &Checked,
    shards: NonZeroU32,
    make: impl FnOnce(&Stored) -> Result<Batch, CheckpointsError>,
) -> Result<(), CheckpointsError> {
    let opened = RunError::from;
    match &checked.sink {
        CheckedSink::Kafka(sink) => {
            let session = kafka::open(kafka_settings(checked, sink)?).await.map_err(opened)?;
            write(Owned::take(session, shards).await?, make).await
        }
        CheckedSink::Nats(sink) => {
            let session = nats::open(nats_settings(checked, sink)).await.map_err(opened)?;
            write(Owned::take(session, shards).await?, make).await
        }
        CheckedSink::Console(sink) => {
            let session = console::open(sink, shards).await.map_err(opened)?;
            write(Owned::take(session, shards).await?, make).await
        }
        CheckedSink::File(sink) => {
            let session = file::open(sink, shards).await.map_err(opened)?;
            write(Owned::take(session, shards).await?, make).await
        }
    }
}

async fn write<C: crate::sink::Committer>(
    owned: Owned<C>,
    make: impl FnOnce(&Stored) -> Result<Batch, CheckpointsError>,
) -> Result<(), CheckpointsError> {
    match make(&owned.stored) {
        Ok(batch) => owned.commit(&batch).await,
        Err(error) => {
            owned.close().await;
            Err(error)
        }
    }
}

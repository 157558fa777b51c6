//! Reads the last record of each lane, and whether the JetStream stream was emptied.

use super::head::Head;
use super::outgoing::DEPLOYMENT;
use super::publish::{Abilities, Publisher};
use super::{NatsSettings, connect, setup, subjects};
use crate::sink::SinkError;
use crate::sink::admission::Tail;
use async_nats::jetstream;
use bridge_consumer::decode;
use bridge_core::ids::ShardId;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// The number of requests at the same time.
const AT_ONCE: usize = 16;

/// The last records, and the shards that have nothing although the JetStream stream had messages: all of them, or none.
///
/// # Errors
/// The same as of [`open`](super::open).
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub(in crate::sink) async fn tails(settings: &NatsSettings) -> Result<(Vec<Tail>, Vec<ShardId>), SinkError> {
    let client = connect(settings).await?;
    let (name, subjects) = (settings.config.stream.clone(), subjects(&settings.config));
    let jetstream = jetstream::new(client.clone());
    let Some(config) = setup::find(&jetstream, &name).await? else { return Ok((Vec::new(), Vec::new())) };
    let publisher = Publisher::new(client, name.clone(), subjects, Abilities::READER).await?;
    let of_lane = async |lane: u32| tail(&publisher, lane).await;
    let tails: Vec<_> = (0..settings.config.lanes.get()).map(of_lane).collect();
    let tails: Vec<Option<Tail>> = stream::iter(tails).buffer_unordered(AT_ONCE).try_collect().await?;
    let info = jetstream.get_stream(&name).await;
    let info = info.map_err(|error| SinkError::unavailable(format!("read JetStream stream {name}"), error))?;
    let state = &info.cached_info().state;
    // What other subjects had is no testimony.
    let is_alone = config.subjects == [publisher.subjects().all()];
    let was_emptied = is_alone && state.messages == 0 && state.last_sequence > 0;
    let emptied = if was_emptied { (0..settings.shards.get()).map(ShardId).collect() } else { Vec::new() };
    Ok((tails.into_iter().flatten().collect(), emptied))
}

/// The last record of a lane. A record that a commit without atomic batches has written may be ahead of the checkpoint:
/// the head of its shard shows that it will be finished.
async fn tail(publisher: &Publisher, lane: u32) -> Result<Option<Tail>, SinkError> {
    let subjects = publisher.subjects();
    let Some(found) = publisher.last(&subjects.lane(lane)).await? else { return Ok(None) };
    let Some(position) = decode::wire(&found.payload).ok().and_then(|record| record.position) else { return Ok(None) };
    let head = subjects.head(ShardId(position.shard));
    if let Some(found) = publisher.last(&head).await?
        && Head::parse(&head, &found.headers).is_ok_and(|head| head.intent.is_some())
    {
        return Ok(None);
    }
    Ok(Some(Tail {
        topic: subjects.prefix().clone(),
        lane,
        shard: ShardId(position.shard),
        epoch: position.epoch,
        sequence: position.lane_sequence,
        deployment: found.headers.get(DEPLOYMENT).map(ToString::to_string).unwrap_or_default(),
    }))
}

//! The key-value bucket of leases, written by compare-and-set. The server deletes a key that isn't renewed.
//!
//! A lease only decides which replica should write. The heads (see [`super::head`]) ensure that no other replica
//! writes: a holder that is late, or doesn't know yet, is fenced there.

use super::member::{Answer, RENEWALS};
use super::view::{Holder, Key};
use crate::config::NatsConfig;
use crate::finding::CheckResult;
use crate::sink::SinkError;
use async_nats::client::Client;
use async_nats::jetstream::context::{CreateKeyValueErrorKind, KeyValueErrorKind};
use async_nats::jetstream::kv::{self, Store, UpdateErrorKind};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, stream::StorageType};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::sync::mpsc;

/// The bucket of leases.
#[derive(Debug)]
pub(super) struct Leases {
    store: Store,
    time: Duration,
    me: Holder,
}

/// A change in the bucket: a key, its revision, and the holder, if there is one.
pub(super) type Told = (Key, u64, Option<Holder>);

impl Leases {
    /// Opens the bucket, and creates it if it is missing.
    pub(super) async fn open(
        client: &Client,
        bucket: &str,
        time: Duration,
        replicas: usize,
        create: bool,
        me: Holder,
    ) -> Result<Self, SinkError> {
        let jetstream = jetstream::new(client.clone());
        let store = match jetstream.get_key_value(bucket).await {
            Ok(store) => store,
            Err(error) if error.kind() == KeyValueErrorKind::GetBucket && create => {
                let made = jetstream.create_key_value(kv::Config {
                    bucket: bucket.to_owned(),
                    description: "Which replica of asana-event-bridge owns which shard".to_owned(),
                    history: 1,
                    max_age: time,
                    storage: StorageType::File,
                    num_replicas: replicas,
                    ..kv::Config::default()
                });
                made.await.map_err(|error| match error.kind() {
                    CreateKeyValueErrorKind::InvalidStoreName => bad_bucket(bucket, &error.to_string()),
                    CreateKeyValueErrorKind::TooLongHistory
                    | CreateKeyValueErrorKind::JetStream
                    | CreateKeyValueErrorKind::BucketCreate
                    | CreateKeyValueErrorKind::TimedOut
                    | CreateKeyValueErrorKind::LimitMarkersNotSupported => {
                        SinkError::unavailable(format!("create the key-value bucket {bucket}"), error)
                    }
                })?
            }
            Err(error) if error.kind() == KeyValueErrorKind::GetBucket => return Err(no_bucket(bucket, time)),
            Err(error) => return Err(SinkError::unavailable(format!("open the key-value bucket {bucket}"), error)),
        };
        let (time, found) = life(&store, bucket).await?;
        if found < replicas {
            tracing::warn!(
                bucket,
                found,
                wanted = replicas,
                hint = "change it with `nats stream edit`",
                "key-value bucket has fewer replicas than configured"
            );
        }
        Ok(Self { store, time, me })
    }

    /// The time after which a lease expires if it isn't renewed.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// Writes our name to a key that is at this revision (0: it doesn't exist).
    pub(super) async fn write(&self, key: &Key, revision: u64) -> Answer {
        let update = self.store.update(key.to_string(), Bytes::from(self.me.to_string()), revision);
        match tokio::time::timeout(self.request_timeout(), update).await {
            Ok(Ok(revision)) => Answer::Written(revision),
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => self.look(key).await,
            Ok(Err(error)) => {
                // Several tries fit into the lease time. A lost lease is reported in the end.
                tracing::debug!(%key, %error, "lease not written");
                Answer::Silent
            }
            Err(_late) => Answer::Silent,
        }
    }

    /// The leader's value of a key. A follower could be behind.
    pub(super) async fn look(&self, key: &Key) -> Answer {
        let subject = format!("{}{key}", self.store.prefix);
        let look = self.store.stream.get_last_raw_message_by_subject(&subject);
        match tokio::time::timeout(self.request_timeout(), look).await {
            // The marker of a deleted key has no value.
            Ok(Ok(found)) => Answer::Found(found.sequence, Holder::parse(&found.payload)),
            Ok(Err(error)) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Answer::Found(0, None),
            Ok(Err(error)) => {
                tracing::debug!(%key, %error, "lease not read");
                Answer::Silent
            }
            Err(_late) => Answer::Silent,
        }
    }

    /// Releases a lease, so that another replica can take it at once. If that fails, the lease expires.
    pub(super) async fn release(&self, key: &Key, mut revision: u64) {
        let text = key.to_string();
        // The newest renewal may be newer than the known revision.
        for _attempt in 0..3 {
            let delete = self.store.delete_expect_revision(&text, Some(revision));
            match tokio::time::timeout(self.request_timeout(), delete).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::debug!(%key, %error, "lease not released"),
                Err(_late) => tracing::debug!(%key, "lease release not answered"),
            }
            match self.look(key).await {
                Answer::Found(found, Some(holder)) if holder == self.me => revision = found,
                Answer::Found(..) => return,
                Answer::Silent | Answer::Written(_) => {}
            }
        }
    }

    /// Sends all keys, and then each change, until the receiver is dropped. Opens the watch again when it breaks.
    pub(super) async fn watch(&self, told: mpsc::Sender<Told>) {
        loop {
            match self.store.watch_with_history(">").await {
                Ok(mut changes) => {
                    while let Some(change) = changes.next().await {
                        let entry = match change {
                            Ok(entry) => entry,
                            Err(error) => {
                                tracing::debug!(%error, "lease watch interrupted");
                                break;
                            }
                        };
                        let Some(key) = Key::parse(&entry.key) else { continue };
                        if told.send((key, entry.revision, Holder::parse(&entry.value))).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, hint = "this replica takes no shards until it works",
                        "lease watch failed, retrying");
                    tokio::time::sleep(self.request_timeout()).await;
                }
            }
            tokio::time::sleep(self.request_timeout() / 10).await;
        }
    }

    /// The timeout of a request. After it, the request is sent again: several fit into the lease time.
    fn request_timeout(&self) -> Duration {
        self.time / RENEWALS
    }
}

/// The life of the values, and the number of their replicas.
async fn life(store: &Store, bucket: &str) -> Result<(Duration, usize), SinkError> {
    let status = store.status().await;
    let status = status.map_err(|error| SinkError::unavailable(format!("read bucket {bucket}"), error))?;
    match status.max_age() {
        Duration::ZERO => Err(bad_bucket(bucket, "its values live for ever, so that a dead replica's lease would")),
        time => Ok((time, status.info.config.num_replicas)),
    }
}

/// How the bucket is, with nothing made. With it what the bridge would do to it, in the words of JetStream's API.
pub(super) async fn examine(client: &Client, bucket: &str, config: &NatsConfig) -> (CheckResult, Option<&'static str>) {
    let store = match jetstream::new(client.clone()).get_key_value(bucket).await {
        Ok(store) => store,
        Err(error) if error.kind() == KeyValueErrorKind::GetBucket && config.create => {
            let reason = "can't be seen: the bridge creates it if it is missing, and only that shows whether it may";
            return (CheckResult::unknown(reason), Some("CREATE"));
        }
        Err(error) if error.kind() == KeyValueErrorKind::GetBucket => {
            return (no_bucket(bucket, super::LEASE_TIME).into(), None);
        }
        Err(error) => {
            return (SinkError::unavailable(format!("open the key-value bucket {bucket}"), error).into(), None);
        }
    };
    let verdict = match life(&store, bucket).await {
        Ok((time, replicas)) => CheckResult::ok(format!("leases hold for {time:?}, {replicas} replica(s)")),
        Err(error) => error.into(),
    };
    (verdict, None)
}

fn no_bucket(bucket: &str, time: Duration) -> SinkError {
    SinkError::Setup {
        problem: format!("the key-value bucket {bucket} is missing or can't be seen, and sink.nats.create is false"),
        remedy: format!("create it with `nats kv add {bucket} --ttl {time:?}`, or set sink.nats.create: true"),
    }
}

fn bad_bucket(bucket: &str, why: &str) -> SinkError {
    SinkError::Setup {
        problem: format!("the key-value bucket {bucket} can't hold leases: {why}"),
        remedy: "delete it, so that the bridge creates it again, or name another sink.nats.stream".to_owned(),
    }
}

//! Who does the work: a lease in a key-value bucket, kept by renewing it.
//!
//! The lease only decides who should write. That nobody else does write is the heads' part
//! (see [`super::head`]): a holder that is late, or doesn't know yet, is fenced there.

use crate::sink::SinkError;
use async_nats::client::Client;
use async_nats::jetstream::context::{CreateKeyValueErrorKind, KeyValueErrorKind};
use async_nats::jetstream::kv::{self, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, stream::StorageType};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::Duration;

/// The bucket of leases.
#[derive(Clone, Debug)]
pub(super) struct Leases {
    store: Store,
    /// The server deletes a lease that wasn't renewed for so long.
    time: Duration,
    holder: Bytes,
}

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Lease {
    leases: Leases,
    key: String,
    revision: u64,
}

impl Leases {
    /// Opens the bucket, and makes it if it is missing.
    pub(super) async fn open(
        client: &Client,
        bucket: &str,
        time: Duration,
        replicas: usize,
        create: bool,
        holder: String,
    ) -> Result<Self, SinkError> {
        let jetstream = jetstream::new(client.clone());
        let store = match jetstream.get_key_value(bucket).await {
            Ok(store) => store,
            Err(error) if error.kind() == KeyValueErrorKind::GetBucket && create => {
                let made = jetstream.create_key_value(kv::Config {
                    bucket: bucket.to_owned(),
                    description: "Which replica of asana-event-bridge does the work".to_owned(),
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
                        SinkError::unavailable(format!("make the key-value bucket {bucket}"), error)
                    }
                })?
            }
            Err(error) => return Err(SinkError::unavailable(format!("open the key-value bucket {bucket}"), error)),
        };
        let status = store.status().await;
        let time = status.map_err(|error| SinkError::unavailable(format!("look at bucket {bucket}"), error))?.max_age();
        if time.is_zero() {
            return Err(bad_bucket(bucket, "its values live for ever, so that a dead replica's lease would"));
        }
        Ok(Self { store, time, holder: holder.into() })
    }

    /// Takes a lease that an earlier session of the same replica left behind, as after a crash: it
    /// would only run out. Two replicas of one name would take it from each other for ever.
    pub(super) async fn inherit(&self, key: &str, replica: &str) {
        let Ok(Some(entry)) = self.store.entry(key).await else { return };
        let is_own = entry.operation == Operation::Put
            && entry.value.strip_prefix(replica.as_bytes()).is_some_and(|rest| rest.starts_with(b" "));
        if is_own && self.store.update(key, self.holder.clone(), entry.revision).await.is_ok() {
            tracing::info!(key, replica, "took over the lease of this replica's earlier session");
        }
    }

    /// Waits until the lease is free, and takes it.
    ///
    /// # Cancel safety
    /// Dropped while the server takes the lease, it is held by nobody until it runs out.
    pub(super) async fn acquire(&self, key: &str) -> Lease {
        loop {
            // The watch is there before the attempt, so that no release falls between the two.
            let changes = self.store.watch(key).await;
            match self.store.create(key, self.holder.clone()).await {
                Ok(revision) => return Lease { leases: self.clone(), key: key.to_owned(), revision },
                Err(error) => tracing::debug!(key, %error, "the lease isn't free"),
            }
            // The answer to an earlier attempt may have been lost.
            if let Ok(Some(revision)) = self.held(key).await {
                return Lease { leases: self.clone(), key: key.to_owned(), revision };
            }
            // A lease that runs out isn't told to watchers by older servers: look now and then.
            let _late = tokio::time::timeout(self.time / 5, released(changes.ok())).await;
        }
    }

    /// The revision of the lease if it is ours.
    async fn held(&self, key: &str) -> Result<Option<u64>, kv::EntryError> {
        let entry = self.store.entry(key).await?;
        Ok(entry.filter(|entry| entry.operation == Operation::Put && entry.value == self.holder).map(|e| e.revision))
    }
}

impl Lease {
    /// Renews the lease for as long as that works. Returns when it may be somebody else's.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn keep(&mut self) {
        let third = self.leases.time / 3;
        // One renewal and one more try, each of a third, fit into what is left of the lease.
        let mut late = 0;
        while late < 2 {
            if late == 0 {
                tokio::time::sleep(third).await;
            }
            match tokio::time::timeout(third, self.renew()).await {
                Ok(Renewal::Done) => late = 0,
                Ok(Renewal::Lost) => return,
                Ok(Renewal::Failed) => {
                    late += 1;
                    tokio::time::sleep(third / 10).await;
                }
                Err(_late) => late += 1,
            }
        }
    }

    async fn renew(&mut self) -> Renewal {
        let Leases { store, holder, .. } = &self.leases;
        match store.update(&self.key, holder.clone(), self.revision).await {
            Ok(revision) => self.revision = revision,
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                // Perhaps it was ourselves, and the answer was lost.
                match self.leases.held(&self.key).await {
                    Ok(Some(revision)) => self.revision = revision,
                    Ok(None) => return Renewal::Lost,
                    Err(_) => return Renewal::Failed,
                }
            }
            Err(error) => {
                tracing::warn!(key = %self.key, %error, "the lease wasn't renewed");
                return Renewal::Failed;
            }
        }
        Renewal::Done
    }

    /// Gives the lease up, so that a peer has it at once.
    pub(super) async fn release(self) {
        let deleted = self.leases.store.delete_expect_revision(&self.key, Some(self.revision)).await;
        if let Err(error) = deleted {
            tracing::debug!(key = %self.key, %error, "the lease wasn't given up; it will run out");
        }
    }
}

/// Waits until the holder gives the lease up. Without a watch it never ends.
async fn released(changes: Option<kv::Watch>) {
    if let Some(mut changes) = changes {
        while let Some(Ok(entry)) = changes.next().await {
            match entry.operation {
                Operation::Put => {}
                Operation::Delete | Operation::Purge => return,
            }
        }
    }
    std::future::pending::<()>().await;
}

enum Renewal {
    Done,
    Lost,
    Failed,
}

fn bad_bucket(bucket: &str, why: &str) -> SinkError {
    SinkError::Setup {
        problem: format!("the key-value bucket {bucket} can't hold leases: {why}"),
        remedy: "delete it, so that the bridge makes it anew, or name another sink.nats.stream".to_owned(),
    }
}

//! What async-nats' publisher does alone.

use super::machine::{Mark, Usage};
use super::run::quantile;
use async_nats::HeaderMap;
use async_nats::client::Client;
use async_nats::jetstream::{self, consumer, stream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// The most messages that the server takes in an atomic batch.
pub(crate) const MOST: usize = 1_000;

/// A record, under the name that it has in the JetStream stream of the comparison.
#[derive(Debug)]
pub(crate) struct Stored {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

pub(crate) struct Bare {
    runtime: Runtime,
    client: Client,
    batches: std::cell::Cell<u64>,
}

impl Bare {
    pub(crate) fn open(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let client = async_nats::connect(address).await.unwrap();
            let config = stream::Config {
                name: "BARE".to_owned(),
                subjects: vec!["bare.>".to_owned()],
                allow_atomic_publish: true,
                ..stream::Config::default()
            };
            jetstream::new(client.clone()).create_stream(config).await.unwrap();
            client
        });
        Self { runtime, client, batches: std::cell::Cell::new(0) }
    }

    /// Records that the bridge wrote, up to a number.
    pub(crate) fn read(&self, most: usize) -> Vec<Stored> {
        self.runtime.block_on(async {
            let stream = jetstream::new(self.client.clone()).get_stream("ASANA").await.unwrap();
            let config =
                consumer::pull::OrderedConfig { filter_subject: "asana.lane.>".to_owned(), ..Default::default() };
            let mut consumer = stream.create_consumer(config).await.unwrap();
            let pending = consumer.info().await.unwrap().num_pending as usize;
            let messages = consumer.messages().await.unwrap().take(pending.min(most));
            let stored = messages.map(|message| {
                let message = message.unwrap();
                let mut headers = HeaderMap::new();
                for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
                    if !name.to_string().starts_with("Nats-") || name.to_string() == "Nats-Msg-Id" {
                        headers.insert(name.clone(), values[0].clone());
                    }
                }
                let subject = format!("bare.{}", message.subject.strip_prefix("asana.lane.").unwrap());
                Stored { subject, headers, payload: message.payload.clone() }
            });
            stored.collect().await
        })
    }

    /// Writes the messages in atomic batches of a size.
    pub(crate) fn write(&self, messages: &[Stored], per_batch: usize) -> Usage {
        let mark = Mark::now();
        for batch in messages.chunks(per_batch) {
            self.commit(batch);
        }
        mark.usage()
    }

    /// The median time of an atomic batch of so many messages, each `pause` after the one before.
    pub(crate) fn commit_time(&self, messages: &[Stored], size: usize, pause: Duration) -> Duration {
        let mut times = Vec::new();
        for batch in messages.chunks_exact(size).take(60) {
            std::thread::sleep(pause);
            let start = Instant::now();
            self.commit(batch);
            times.push(start.elapsed());
        }
        quantile(&times, 50)
    }

    fn commit(&self, batch: &[Stored]) {
        let id = format!("bare-{}", self.batches.replace(self.batches.get() + 1));
        self.runtime.block_on(async {
            for (index, Stored { subject, headers, payload }) in (1..).zip(batch) {
                let mut headers = headers.clone();
                // The comparison may be made more than once.
                headers.insert("Nats-Msg-Id", format!("{id}-{index}"));
                headers.insert("Nats-Batch-Id", id.as_str());
                headers.insert("Nats-Batch-Sequence", index.to_string());
                if index < batch.len() {
                    self.client.publish_with_headers(subject.clone(), headers, payload.clone()).await.unwrap();
                } else {
                    headers.insert("Nats-Batch-Commit", "1");
                    let answer = self.client.request_with_headers(subject.clone(), headers, payload.clone()).await;
                    let answer = String::from_utf8_lossy(&answer.unwrap().payload).into_owned();
                    assert!(!answer.contains("error"), "{answer}");
                }
            }
        });
    }
}

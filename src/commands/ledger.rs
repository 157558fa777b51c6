//! A simulator's ledger: the events that it offered on each stream.

use super::exit::{Exit, Failure};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// The streams of which somebody requested a first token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The streams, by the gid of the watched resource.
    pub streams: BTreeMap<String, StreamLedger>,
}

/// The events that the simulator offered on one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamLedger {
    events: Vec<String>,
}

impl StreamLedger {
    /// The events, as JSON, that a poller could have seen since the first token.
    pub fn new(events: impl IntoIterator<Item = String>) -> Self {
        Self { events: events.into_iter().collect() }
    }

    /// The events, in the order in which they were offered.
    #[must_use]
    pub fn offered(&self) -> &[String] {
        &self.events
    }
}

/// The ledger couldn't be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read the ledger at {url}: {source}")]
pub struct LedgerError {
    url: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Failure for LedgerError {
    fn exit(&self) -> Exit {
        Exit::Unavailable
    }
}

#[derive(Deserialize)]
struct All {
    #[serde(default)]
    established: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct One {
    events: Vec<Box<RawValue>>,
    established_at: Option<usize>,
    /// The number of events that a poller could have seen. Later ones are still delayed.
    visible: Option<usize>,
}

impl Ledger {
    /// Reads the ledger of every stream from a simulator at `url`.
    ///
    /// # Errors
    /// The simulator doesn't answer, or the address isn't a simulator's.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn fetch(url: &str) -> Result<Self, LedgerError> {
        // If a provider is installed already, that one is used.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = &reqwest::Client::new();
        let url = format!("{}/_sim/ledger", url.trim_end_matches('/'));
        let all: All = get(client, &url).await?;
        let mut ledger = Self::default();
        for gid in all.established.keys() {
            let one: One = get(client, &format!("{url}?resource={gid}")).await?;
            let visible = one.visible.unwrap_or(one.events.len());
            let seen = one.events.iter().take(visible).skip(one.established_at.unwrap_or(0));
            ledger.streams.insert(gid.clone(), StreamLedger::new(seen.map(|event| event.get().to_owned())));
        }
        Ok(ledger)
    }
}

async fn get<T: for<'de> Deserialize<'de>>(client: &reqwest::Client, url: &str) -> Result<T, LedgerError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| LedgerError { url: url.to_owned(), source };
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let body = answer.map_err(|error| failed(error.into()))?.bytes().await.map_err(|error| failed(error.into()))?;
    serde_json::from_slice(&body).map_err(|error| failed(error.into()))
}

/// A hash of the JSON text that is the same for equal JSON: keys are sorted, white space is removed. A text that can't
/// be normalized (a number out of range) is hashed as it is.
pub(crate) fn digest(json: &str) -> u128 {
    fn sorted(value: Value) -> Value {
        match value {
            Value::Object(map) => {
                let sorted: BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
                Value::Object(sorted.into_iter().collect())
            }
            Value::Array(values) => values.into_iter().map(sorted).collect(),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
        }
    }
    match serde_json::from_str::<Value>(json) {
        Ok(value) => xxh3_128(sorted(value).to_string().as_bytes()),
        Err(_no_form) => xxh3_128(json.as_bytes()),
    }
}

//! What has to be known before records are read: that the server answers, and that it has the JetStream stream.

use super::connect::{addresses, connect, shown};
use super::{LEASE_TIME, NatsSettings, SinkError, setup};
use crate::config::{NatsConfig, NatsLogin};
use crate::sink::reader::{Others, PlaceError, Where};
use async_nats::client::Client;
use async_nats::jetstream;
use bridge_core::ids::Deployment;
use futures_util::TryStreamExt as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The replica's name in the connection of a command without a configuration.
const READER: &str = "reader";

/// The first token of every subject, unless it is configured.
const DEFAULT_PREFIX: &str = "asana";

/// The names of JetStream streams of key-value buckets begin with it.
const BUCKET: &str = "KV_";

/// Where the records of a configuration are.
pub(in crate::sink) async fn place(settings: NatsSettings) -> Result<Where, PlaceError> {
    let client = connect(&settings).await?;
    let NatsConfig { stream, subject_prefix: prefix, servers, .. } = settings.config;
    subjects(&client, &servers, &stream).await?;
    Ok(Where::Nats { client, stream, prefix })
}

/// Where records are at an address, without a configuration. Without a prefix, it is the one that the JetStream stream's subjects
/// show.
pub(in crate::sink) async fn place_at(
    servers: Vec<String>,
    stream: String,
    prefix: Option<String>,
    credentials: Option<PathBuf>,
) -> Result<Where, PlaceError> {
    let login = credentials.map_or(NatsLogin::Nobody, NatsLogin::CredentialsFile);
    let (config, replica) = (NatsConfig::at(servers.clone(), stream.clone()), READER.to_owned());
    let settings = NatsSettings {
        config,
        login,
        has_refresh_log: false,
        shards: NonZeroU32::MIN,
        deployment: Deployment::default(),
        replica,
        lease_time: LEASE_TIME,
    };
    let client = connect(&settings).await.map_err(by_options)?;
    let subjects = subjects(&client, &servers, &stream).await?;
    let prefix = prefix.or_else(|| prefix_of(&subjects)).ok_or_else(|| PlaceError::NoPrefix {
        stream: stream.clone(),
        subjects: subjects.join(", "),
        remedy: "give the first tokens of the records' subjects with `--prefix`, or another JetStream stream",
    })?;
    Ok(Where::Nats { client, stream, prefix })
}

/// The subjects of the JetStream stream, which must exist.
async fn subjects(client: &Client, servers: &[String], stream: &str) -> Result<Vec<String>, PlaceError> {
    let jetstream = jetstream::new(client.clone());
    if let Some(found) = setup::find(&jetstream, stream).await? {
        return Ok(found.subjects);
    }
    let names: Option<Vec<String>> = jetstream.stream_names().try_collect().await.ok();
    let names = names.map(|names| names.into_iter().filter(|name| !name.starts_with(BUCKET)).collect());
    Err(PlaceError::Missing {
        what: format!("JetStream stream {stream}"),
        at: shown(&addresses(servers)?),
        others: Others::new("JetStream streams", names),
    })
}

/// The first tokens of the records' subjects, as the bridge creates JetStream streams: `PREFIX.>`, or `PREFIX.lane.>` and others.
fn prefix_of(subjects: &[String]) -> Option<String> {
    let prefix = |subject: &String| {
        let all = subject.strip_suffix(".>")?;
        Some(all.strip_suffix(".lane").unwrap_or(all).to_owned())
    };
    let mut prefixes: Vec<_> = subjects.iter().filter_map(prefix).collect();
    if prefixes.iter().any(|prefix| prefix == DEFAULT_PREFIX) {
        return Some(DEFAULT_PREFIX.to_owned());
    }
    let has_lanes = |prefix: &String| subjects.contains(&format!("{prefix}.lane.>"));
    if prefixes.len() > 1 {
        prefixes.retain(has_lanes);
    }
    prefixes.pop().filter(|_| prefixes.is_empty())
}

/// The same error with the options of the command line instead of the settings of a configuration.
fn by_options(error: SinkError) -> SinkError {
    match error {
        SinkError::Unavailable { action, source, .. } => SinkError::Unavailable {
            action,
            source,
            remedy: Some(
                "check the address in `--nats`, that the server runs, and that nothing between keeps it apart from here",
            ),
        },
        SinkError::Refused { problem, .. } => SinkError::Refused {
            problem,
            remedy: "check `--creds`, or give the user and password in the address (nats://USER:PASSWORD@HOST); for a \
                     token, an nkey or TLS certificates write a `sink` section, and use `--config`"
                .to_owned(),
        },
        SinkError::Setup { problem, remedy } => {
            SinkError::Setup { problem: problem.replace("sink.nats.servers", "--nats"), remedy }
        }
        SinkError::Tampered { .. } | SinkError::ReaderGone => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_the_one_that_the_subjects_show() {
        let of = |subjects: &[&str]| {
            let subjects: Vec<_> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
            prefix_of(&subjects)
        };
        assert_eq!(of(&["asana.>"]).as_deref(), Some("asana"));
        assert_eq!(of(&["acme.asana.>"]).as_deref(), Some("acme.asana"));
        assert_eq!(of(&["orders.>", "asana.>"]).as_deref(), Some("asana"));
        assert_eq!(of(&["a.lane.>", "a.dead-letter.>", "a._checkpoint.>"]).as_deref(), Some("a"));
        assert_eq!((of(&["orders.>", "bills.>"]), of(&["orders.new"]), of(&[])), (None, None, None));
    }
}

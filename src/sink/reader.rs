//! One reader for all kinds of sinks.

use super::SinkError;
use super::file::{self, Comparison};
use crate::config::CheckedFile;
use crate::escape::printable;
use bridge_consumer::file::FileReader;
use bridge_consumer::kafka::KafkaReader;
use bridge_consumer::nats::NatsReader;
use bridge_consumer::{ReadError, ReadFrom, Received, Until};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The interval at which a file is checked for new lines.
const FILE_PAUSE: Duration = Duration::from_millis(100);

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The bus can't be used.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The bus answers, and doesn't have what the records are in.
    #[error("{what} doesn't exist at {at}; {others}")]
    Missing {
        /// The topic or the JetStream stream.
        what: String,
        /// The address of the bus.
        at: String,
        /// What is there instead, for people.
        others: Others,
    },
    /// The JetStream stream is there, and its subjects don't show which prefix the records have.
    #[error("the JetStream stream {stream} has the subjects {subjects}, and none is of a bridge; {remedy}")]
    NoPrefix {
        /// The JetStream stream.
        stream: String,
        /// Its subjects.
        subjects: String,
        /// What to do.
        remedy: &'static str,
    },
}

/// The things of a kind that a bus has, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Others {
    kind: &'static str,
    /// Sorted; none if the bus doesn't list them.
    names: Option<Vec<String>>,
}

impl Others {
    /// The maximum number of names in the sentence.
    const SHOWN: usize = 20;

    /// Things of a kind, in the plural. `names`: none if the bus doesn't list them.
    pub(super) fn new(kind: &'static str, names: Option<Vec<String>>) -> Self {
        let names = names.map(|mut names| {
            names.sort_unstable();
            names
        });
        Self { kind, names }
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, names } = self;
        let names = match names.as_deref() {
            None => return write!(f, "the {kind} there can't be listed"),
            Some([]) => return write!(f, "there are no {kind}"),
            Some(names) => names,
        };
        let shown: Vec<_> = names.iter().take(Self::SHOWN).map(|name| printable(name)).collect();
        write!(f, "{kind} there: {}", shown.join(", "))?;
        match names.len().saturating_sub(Self::SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The place of the records.
pub enum Where {
    /// Topics of Kafka.
    Kafka {
        /// Properties of librdkafka, with `bootstrap.servers` and the login.
        properties: BTreeMap<String, String>,
        /// Whether a topic with this name contains records.
        wanted: Box<dyn Fn(&str) -> bool + Send>,
    },
    /// A JetStream stream.
    Nats {
        /// A client that is connected to the servers.
        client: async_nats::Client,
        /// The name of the JetStream stream.
        stream: String,
        /// The first tokens of every subject.
        prefix: String,
    },
    /// A file of JSON lines.
    File {
        /// The file and its checkpoint.
        file: CheckedFile,
        /// Whether a configuration names the file. Otherwise it may have no checkpoint.
        is_configured: bool,
    },
}

impl fmt::Debug for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Properties may hold passwords.
            Self::Kafka { .. } => f.write_str("Kafka"),
            Self::Nats { stream, prefix, .. } => write!(f, "Nats({stream}, {prefix})"),
            Self::File { file, .. } => write!(f, "File({})", file.path.display()),
        }
    }
}

impl Where {
    /// How a file compares with its checkpoint; `None` for a bus.
    ///
    /// # Errors
    /// `Unavailable` if the file system fails.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    pub async fn compare(&self) -> Result<Option<Comparison>, SinkError> {
        match self {
            Self::Kafka { .. } | Self::Nats { .. } => Ok(None),
            Self::File { file, is_configured } => file::compare(file, *is_configured).await.map(Some),
        }
    }
}

/// Reads records one by one.
#[derive(Debug)]
pub enum Reader {
    /// Reads topics of Kafka.
    Kafka(KafkaReader),
    /// Reads a JetStream stream.
    Nats(Box<NatsReader>),
    /// Reads a file, up to the given end.
    File(FileReader, Until),
}

impl Reader {
    /// Opens the reader at the given place.
    ///
    /// # Errors
    /// [`ReadError`]: the records can't be read.
    ///
    /// # Cancel safety
    /// A dropped call goes on asking Kafka's broker in the background until it answers, and is forgotten then.
    pub async fn open(place: Where, from: ReadFrom, until: Until) -> Result<Self, ReadError> {
        match place {
            Where::Kafka { properties, wanted } => {
                let opened =
                    tokio::task::spawn_blocking(move || KafkaReader::open(&properties, wanted, from, until)).await;
                let reader = opened.map_err(|error| ReadError::Unavailable {
                    action: "could not open a Kafka reader".to_owned(),
                    source: error.into(),
                })?;
                Ok(Self::Kafka(reader?))
            }
            Where::Nats { client, stream, prefix } => {
                Ok(Self::Nats(Box::new(NatsReader::open(client, &stream, &prefix, from, until).await?)))
            }
            Where::File { file, .. } => {
                let mut reader = FileReader::open(&file.path)?;
                while from == ReadFrom::Now && !matches!(reader.read(), Ok(None) | Err(ReadError::Unavailable { .. })) {
                }
                Ok(Self::File(reader, until))
            }
        }
    }

    /// Opens the reader for the states at the given place, from the first to the end. A record without a body is a tombstone.
    ///
    /// # Errors
    /// [`ReadError`]: the states can't be read.
    ///
    /// # Cancel safety
    /// As for [`open`](Self::open).
    pub async fn states(place: Where) -> Result<Self, ReadError> {
        match place {
            Where::Nats { client, stream, prefix } => {
                Ok(Self::Nats(Box::new(NatsReader::states(client, &stream, &prefix, Until::End).await?)))
            }
            Where::Kafka { .. } | Where::File { .. } => Self::open(place, ReadFrom::Start, Until::End).await,
        }
    }

    /// Whether the oldest records may have been deleted. Then nothing is known about the records before.
    #[must_use]
    pub fn trimmed(&self) -> bool {
        match self {
            Self::Kafka(reader) => reader.trimmed(),
            Self::Nats(reader) => reader.trimmed(),
            Self::File(..) => false,
        }
    }

    /// The maximum number of records up to the end; `None` if it isn't known.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        match self {
            Self::Kafka(reader) => reader.expected(),
            Self::Nats(reader) => reader.expected(),
            Self::File(..) => None,
        }
    }

    /// The next record; `None` at the end.
    ///
    /// # Errors
    /// [`ReadError`]: the records can't be read.
    ///
    /// # Cancel safety
    /// If it is dropped before it returns, it has taken no record.
    pub async fn next(&mut self) -> Result<Option<Received>, ReadError> {
        match self {
            Self::Kafka(reader) => reader.next().await,
            Self::Nats(reader) => reader.next().await,
            Self::File(reader, until) => loop {
                match reader.read()? {
                    None if *until == Until::Stopped => tokio::time::sleep(FILE_PAUSE).await,
                    read => return Ok(read),
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_instead_is_a_sentence() {
        let names = |count: usize| (0..count).rev().map(|it| format!("t{it:02}")).collect();
        let others = |count: usize| Others::new("topics", Some(names(count)));
        assert_eq!(others(0).to_string(), "there are no topics");
        assert_eq!(others(2).to_string(), "topics there: t00, t01");
        assert!(others(22).to_string().ends_with("t19 and 2 more"));
        assert_eq!(Others::new("topics", None).to_string(), "the topics there can't be listed");
    }
}

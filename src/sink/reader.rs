//! One reader for whatever sink the configuration names.

use bridge_consumer::file::FileReader;
use bridge_consumer::kafka::KafkaReader;
use bridge_consumer::nats::NatsReader;
use bridge_consumer::{ReadError, ReadFrom, Received, Until};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How often a file is asked whether it has grown.
const FILE_PAUSE: Duration = Duration::from_millis(100);

/// Where records are.
pub enum Where {
    /// In topics of Kafka.
    Kafka {
        /// librdkafka's, `bootstrap.servers` among them.
        properties: BTreeMap<String, String>,
        /// Whether a topic of this name holds records.
        wanted: Box<dyn Fn(&str) -> bool + Send>,
    },
    /// In a JetStream stream.
    Nats {
        /// Connected.
        client: async_nats::Client,
        /// The JetStream stream.
        stream: String,
        /// The first tokens of every subject.
        prefix: String,
    },
    /// In a file of JSON lines.
    File(PathBuf),
}

impl fmt::Debug for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Properties may hold passwords.
            Self::Kafka { .. } => f.write_str("Kafka"),
            Self::Nats { stream, prefix, .. } => write!(f, "Nats({stream}, {prefix})"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// Reads records one by one.
#[derive(Debug)]
pub enum Reader {
    /// From Kafka.
    Kafka(KafkaReader),
    /// From JetStream.
    Nats(Box<NatsReader>),
    /// From a file.
    File(FileReader, Until),
}

impl Reader {
    /// Begins.
    ///
    /// # Errors
    /// See [`ReadError`].
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
            Where::File(path) => {
                let mut reader = FileReader::open(&path)?;
                while from == ReadFrom::Now && !matches!(reader.read(), Ok(None) | Err(ReadError::Unavailable { .. })) {
                }
                Ok(Self::File(reader, until))
            }
        }
    }

    /// Whether the oldest records may be gone, so that nothing can be said of what was before.
    #[must_use]
    pub fn trimmed(&self) -> bool {
        match self {
            Self::Kafka(reader) => reader.trimmed(),
            Self::Nats(reader) => reader.trimmed(),
            Self::File(..) => false,
        }
    }

    /// How many records there are to the end, at the most; `None` where that isn't known.
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
    /// See [`ReadError`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, it has taken no record.
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

//! One reader for all kinds of sinks.

use bridge_consumer::file::FileReader;
use bridge_consumer::kafka::KafkaReader;
use bridge_consumer::nats::NatsReader;
use bridge_consumer::{ReadError, ReadFrom, Received, Until};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The interval at which a file is checked for new lines.
const FILE_PAUSE: Duration = Duration::from_millis(100);

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
            Where::File(path) => {
                let mut reader = FileReader::open(&path)?;
                while from == ReadFrom::Now && !matches!(reader.read(), Ok(None) | Err(ReadError::Unavailable { .. })) {
                }
                Ok(Self::File(reader, until))
            }
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

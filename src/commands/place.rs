//! Where `tail`, `verify` and `state` find the records: at an address, in a file, or in the sink of a configuration.

use super::exit::{Exit, Failure};
use crate::config::{self, CheckedReading, Environment, Problems};
use crate::sink::any::{Address, Naming, Sink};
use crate::sink::reader::{PlaceError as NoPlace, Reader, Where};
use bridge_consumer::{ReadError, ReadFrom, Until};
use bridge_core::ids::Topic;
use clap::ArgGroup;
use std::path::PathBuf;
use std::time::Duration;

/// Options of one place aren't for another: clap drops what an option requires if that is excluded by its group.
const NOT_KAFKA: [&str; 3] = ["nats", "file", "config"];
const NOT_NATS: [&str; 3] = ["kafka", "file", "config"];

/// Where the records are: exactly one place.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where the records are (exactly one of --kafka, --nats, --file and --config)")]
#[command(group = ArgGroup::new("records").args(["kafka", "nats", "file", "config"]).required(true).multiple(false))]
pub struct PlaceArgs {
    /// The brokers of Kafka to connect to first, such as `localhost:9092`
    #[arg(long, value_name = "HOST[,HOST]")]
    pub kafka: Option<String>,
    /// With --kafka: the topic of the records. Repeat it for more. Default: `asana.events`; for the command `state`, `asana.state`
    #[arg(long = "topic", value_name = "TOPIC", requires = "kafka", conflicts_with_all = NOT_KAFKA)]
    pub topics: Vec<String>,
    /// With --kafka: a property of librdkafka, such as `security.protocol=ssl`. Repeat it for more. Other users of this machine
    /// can see the command line: for a password, write a `sink` section, and use --config
    #[arg(short = 'X', value_name = "PROPERTY=VALUE", requires = "kafka", conflicts_with_all = NOT_KAFKA, value_parser = property)]
    pub properties: Vec<(String, String)>,
    /// The address of a NATS server, such as `nats://localhost:4222`. Several are separated by commas
    #[arg(long, value_name = "URL")]
    pub nats: Option<String>,
    /// With --nats: the JetStream stream of the records. To choose streams of the bridge, see --asana-stream of `tail`
    #[arg(long, value_name = "STREAM", requires = "nats", conflicts_with_all = NOT_NATS, default_value = "ASANA")]
    pub stream: String,
    /// With --nats: the first tokens of the records' subjects. Default: `asana`, or what the JetStream stream's subjects begin with
    #[arg(long, value_name = "PREFIX", requires = "nats", conflicts_with_all = NOT_NATS)]
    pub prefix: Option<String>,
    /// With --nats: a file with credentials (JWT and seed)
    #[arg(long, value_name = "FILE", requires = "nats", conflicts_with_all = NOT_NATS)]
    pub creds: Option<PathBuf>,
    /// A file of JSON lines, as the sinks `file` and `console` write it
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// The bridge's configuration (YAML): the records are in its sink. The file may contain a `sink` section alone
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Records that are to be read.
#[derive(Debug)]
pub(super) enum Records {
    /// In the sink of a configuration.
    Configured(Box<CheckedReading>),
    /// At an address.
    At(Address),
}

/// Why records can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// There are none at the place.
    #[error(transparent)]
    Place(#[from] NoPlace),
    /// The reader can't be opened.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Failure for PlaceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Place(error) => error.exit(),
            Self::Read(error) => error.exit(),
        }
    }
}

impl Failure for NoPlace {
    fn exit(&self) -> Exit {
        match self {
            Self::Sink(error) => error.exit(),
            Self::NoPrefix { .. } => Exit::Usage,
            // It may be there later.
            Self::Missing { .. } => Exit::Unavailable,
        }
    }
}

impl PlaceArgs {
    /// The records that are meant.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub(super) fn records(&self) -> Result<Records, Problems> {
        self.records_of("asana.events")
    }

    /// The states that are meant.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub(super) fn states(&self) -> Result<Records, Problems> {
        self.records_of("asana.state")
    }

    /// `topic`: the one that is meant if none is named.
    fn records_of(&self, topic: &str) -> Result<Records, Problems> {
        let Self { kafka, topics, properties, nats, stream, prefix, creds, file, config } = self;
        let address = match (kafka, nats, file, config) {
            (_, _, _, Some(config)) => {
                let reading = config::load_reading(config, &Environment::of_process())?;
                return Ok(Records::Configured(Box::new(reading)));
            }
            (Some(servers), ..) => Address::Kafka {
                servers: servers.clone(),
                topics: if topics.is_empty() { [topic.to_owned()].into() } else { topics.iter().cloned().collect() },
                properties: properties.iter().cloned().collect(),
            },
            (_, Some(servers), ..) => Address::Nats {
                servers: servers.split(',').map(with_scheme).collect(),
                stream: stream.clone(),
                prefix: prefix.clone(),
                credentials: creds.clone(),
            },
            (_, _, file, _) => Address::File(file.clone().unwrap_or_default()),
        };
        Ok(Records::At(address))
    }
}

impl Records {
    /// The interval between watermarks, if a configuration says it.
    pub(super) fn watermark_interval(&self) -> Option<Duration> {
        match self {
            Self::Configured(reading) => Some(reading.watermark_interval),
            Self::At(_) => None,
        }
    }

    /// What is wrong with the checkpoint of the records, if a configuration says where it is.
    ///
    /// # Errors
    /// The bus can't be read.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn doubt(&self) -> Result<Option<String>, PlaceError> {
        let Self::Configured(reading) = self else { return Ok(None) };
        let streams = reading.streams.iter().map(|stream| stream.id.clone()).collect();
        let doubt = Sink::reading(reading).doubt(streams, !reading.has_others).await;
        doubt.map_err(|error| PlaceError::Place(error.into()))
    }

    /// Where the records are.
    ///
    /// # Errors
    /// [`NoPlace`]: also after about 10 s in which the bus didn't answer.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn place(self) -> Result<Where, NoPlace> {
        match self {
            Self::Configured(reading) => place_of(&reading).await,
            Self::At(address) => address.place().await,
        }
    }

    /// Begins to read states, up to the end.
    ///
    /// # Errors
    /// [`PlaceError`]: also after about 10 s in which the bus didn't answer.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn open_states(self) -> Result<Reader, PlaceError> {
        let place = match self {
            Self::Configured(reading) => Sink::reading(&reading).state_place().await?,
            Self::At(address) => address.place().await?,
        };
        Ok(Reader::states(place).await?)
    }

    /// Begins to read.
    ///
    /// # Errors
    /// [`PlaceError`]: also after about 10 s in which the bus didn't answer.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub(super) async fn open(self, from: ReadFrom, until: Until) -> Result<Reader, PlaceError> {
        Ok(Reader::open(self.place().await?, from, until).await?)
    }
}

/// Where the records of a configuration are.
///
/// # Errors
/// See [`Sink::place`].
///
/// # Cancel safety
/// Nothing is left behind.
pub(super) async fn place_of(reading: &CheckedReading) -> Result<Where, NoPlace> {
    let sink = Sink::reading(reading);
    let Naming { topic: template, .. } = sink.naming();
    let streams: Vec<_> = reading.streams.iter().map(|stream| stream.id.clone()).collect();
    let has_others = reading.has_others;
    let is_output = move |topic: &Topic| template.may_give_any(&streams, has_others, topic);
    sink.place(is_output).await
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("bootstrap.servers" | "metadata.broker.list", _)) => Err("the brokers are given with --kafka".to_owned()),
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err("expected PROPERTY=VALUE, such as security.protocol=ssl".to_owned()),
    }
}

fn with_scheme(server: &str) -> String {
    let server = server.trim();
    if server.contains("://") { server.to_owned() } else { format!("nats://{server}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        place: PlaceArgs,
    }

    fn parse(line: &str) -> Result<PlaceArgs, String> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.place).map_err(|error| error.to_string())
    }

    fn address(line: &str) -> Address {
        match parse(line).and_then(|args| args.records().map_err(|error| error.to_string())) {
            Ok(Records::At(address)) => address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn exactly_one_place_is_needed_and_the_error_names_all_of_them() {
        let none = parse("x").unwrap_err();
        for option in ["--kafka <HOST[,HOST]>", "--nats <URL>", "--file <PATH>", "--config <FILE>"] {
            assert!(none.contains(option), "{none}");
        }
        assert!(parse("x --kafka k --nats n").unwrap_err().contains("cannot be used with"));
        assert!(parse("x --config f --file g").is_err());
        for alone in ["x --nats n --topic t", "x --file f -X a=b", "x --kafka k --stream s", "x --kafka k --creds f"] {
            assert!(parse(alone).is_err(), "{alone}");
        }
    }

    #[test]
    fn an_address_of_kafka_has_topics_and_properties() {
        let Address::Kafka { servers, topics, properties } = address("x --kafka a:1,b -X x.y=1=2 -X z=") else {
            panic!("Kafka")
        };
        assert_eq!((servers.as_str(), topics.len()), ("a:1,b", 1));
        assert!(topics.contains("asana.events"));
        assert_eq!(properties.get("x.y").map(String::as_str), Some("1=2"));
        assert_eq!(properties.get("z").map(String::as_str), Some(""));
        let Address::Kafka { topics, .. } = address("x --kafka k --topic a --topic b") else { panic!("Kafka") };
        assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(parse("x --kafka k -X oops").unwrap_err().contains("PROPERTY=VALUE"));
        assert!(parse("x --kafka k -X bootstrap.servers=a").unwrap_err().contains("--kafka"));
    }

    #[test]
    fn an_address_of_nats_may_have_no_scheme() {
        let Address::Nats { servers, stream, prefix, credentials } = address("x --nats localhost:4222,tls://b") else {
            panic!("NATS")
        };
        assert_eq!(servers, ["nats://localhost:4222", "tls://b"]);
        assert_eq!((stream.as_str(), prefix, credentials), ("ASANA", None, None));
    }
}

//! Simulator, bridge, bus and consumer in one process, checked at the end.

use super::process::{runtime, stop_on_signal};
use super::{Exit, Failure, Output};
use crate::commands::ledger::{Ledger, StreamLedger};
use crate::commands::place::{PlaceError, Records};
use crate::commands::run::{self, RunError};
use crate::commands::verify::{Report, Verification};
use crate::config::{self, Checked, Environment, Problems, Source};
use crate::observe::{BridgeEvent, LogObserver, Observer};
use crate::record_text::{Names, summary};
use crate::sink::reader::Reader;
use asana_simulator::{Limits, Options, Scenario, Simulator, SimulatorError, WorldSize};
use bridge_consumer::{ReadError, ReadFrom, Until};
use bridge_core::stream::Notice;
use indicatif::HumanCount;
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Simulator, bridge, bus and consumer in one process, checked at the end.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  asana-event-bridge demo
  asana-event-bridge demo --for 2min --rate 500 --bus kafka --address localhost:9092

At the end every event that the simulator offered is compared with what the consumer read. The last line is the result.
Exits with 1 if any event is missing, duplicated or out of order.

The embedded bus is librdkafka's in-process broker. It is for show: it needs nothing, and it
proves nothing about exactly-once. --bus kafka and --bus nats do the same on the real thing.")]
pub struct DemoArgs {
    /// The duration for which events are generated, such as `30s` or `5min`
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// The bus that the records go through
    #[arg(long, value_enum, default_value_t)]
    pub bus: DemoBus,
    /// The address of a real bus. Default: `localhost:9092` for Kafka, `localhost:4222` for NATS
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// The number of simulated user actions per second, over all projects. One action causes one event or a few
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// The number of projects. Each is a stream
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub streams: u32,
    /// The seed of the simulator's random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The format of the result
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// The bus of a demonstration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoBus {
    /// librdkafka's in-process broker, for a quick look only
    #[default]
    Embedded,
    /// A real Apache Kafka cluster
    Kafka,
    /// A real NATS server
    Nats,
}

/// Why the demonstration failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulator didn't start.
    #[error(transparent)]
    Simulator(#[from] SimulatorError),
    /// The in-process broker didn't start.
    #[error("the embedded bus: {0}")]
    Embedded(#[from] KafkaError),
    /// The demonstration's own configuration is invalid.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The bridge failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The records couldn't be reached.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The bus couldn't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The bridge ended before the demonstration did.
    #[error("the bridge ended by itself")]
    BridgeEnded,
    /// A step made no progress for a minute. The text names the step.
    #[error("waited a minute in vain for {0}")]
    Stuck(&'static str),
    /// The output couldn't be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

const TOPIC: &str = "asana.events";
/// The number of lanes and of shards: few, so that a short run starts quickly.
const LANES: i32 = 6;
/// The maximum time that a step may make no progress.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(200);

impl Failure for DemoError {
    fn exit(&self) -> Exit {
        match self {
            Self::Run(error) => error.exit(),
            Self::Place(error) => error.exit(),
            Self::Read(_) | Self::Stuck(_) => Exit::Unavailable,
            Self::Simulator(_) | Self::Embedded(_) | Self::Config(_) | Self::BridgeEnded | Self::Io(_) => {
                Exit::Internal
            }
        }
    }
}

/// The command. With JSON output, the live view isn't printed.
pub(super) fn execute(args: &DemoArgs) -> Result<Exit, Box<dyn Failure>> {
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        let mut out = std::io::stdout();
        let report = match args.output {
            Output::Text => run(args, &stop, &mut out).await?,
            Output::Json => run(args, &stop, &mut std::io::stderr()).await?,
        };
        match args.output {
            Output::Text => write!(out, "{}", Conclusion(&report))?,
            Output::Json => args.output.show(&report)?,
        }
        Ok(Exit::of(report.is_ok()))
    })
}

/// The last lines for people: the faults, if there are any, and in one line how it ended.
struct Conclusion<'a>(&'a Report);

impl fmt::Display for Conclusion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let is_ok = report.is_ok();
        if !is_ok {
            writeln!(f, "\n{report}")?;
        }
        let count = |number: u64| if number == 0 { "none".to_owned() } else { HumanCount(number).to_string() };
        let ended = if is_ok { "finished" } else { "FAILED" };
        let offered = HumanCount(report.offered.unwrap_or(report.read));
        let (missing, duplicates, reordered) =
            (count(report.missing), count(report.duplicates), count(report.reordered));
        writeln!(
            f,
            "\ndemo {ended}: {offered} events, {missing} missing, {duplicates} duplicated, {reordered} out of order"
        )
    }
}

/// Runs the demonstration, and reports the result.
///
/// # Errors
/// [`DemoError`]: the demonstration couldn't run. What the check found is in the report.
///
/// # Cancel safety
/// Cancel through `stop`: the check covers the records that exist by then.
pub async fn run(args: &DemoArgs, stop: &CancellationToken, show: &mut impl Write) -> Result<Report, DemoError> {
    let simulator = simulator(args).await?;
    let projects = simulator.projects();
    // The broker lives as long as this variable.
    let embedded = if args.bus == DemoBus::Embedded { Some(embedded()?) } else { None };
    let bootstrap = embedded.as_ref().map(MockCluster::bootstrap_servers);
    let checked = configuration(args, &simulator, bootstrap)?;
    let counts = Arc::new(Counts::default());
    let (mut tasks, end) = (JoinSet::new(), CancellationToken::new());
    {
        let (checked, counts, end) = (checked.clone(), Arc::clone(&counts), end.clone());
        let (_, no_reloads) = mpsc::channel(1);
        tasks.spawn(async move { Box::pin(run::run(checked, no_reloads, counts, end)).await.map_err(DemoError::from) });
    }
    writeln!(show, "{}", introduction(args, &checked))?;
    let stage = Stage { simulator: &simulator, projects: &projects, counts: &counts };
    let held = tokio::select! {
        held = stage.hold(args, &checked, stop, show) => held,
        ended = tasks.join_next() => Err(match ended {
            Some(Ok(Err(error))) => error,
            Some(Ok(Ok(())) | Err(_)) | None => DemoError::BridgeEnded,
        }),
    };
    end.cancel();
    tasks.join_all().await;
    let verification = held?;
    let report = verification.finish(Some(&stage.ledger()));
    simulator.shutdown().await;
    Ok(report)
}

async fn simulator(args: &DemoArgs) -> Result<Simulator, SimulatorError> {
    let world = WorldSize { projects: args.streams as usize, ..WorldSize::default() };
    let scenario = Scenario { seed: args.seed, world, limits: Limits::off(), ..Scenario::default() };
    Simulator::start(Options { scenario, ..Options::default() }).await
}

fn embedded() -> Result<MockCluster<'static, DefaultProducerContext>, KafkaError> {
    let cluster = MockCluster::new(1)?;
    for (topic, partitions) in [(TOPIC, LANES), ("asana.checkpoints", LANES), ("asana.dead-letters", 1)] {
        cluster.create_topic(topic, partitions, 1)?;
    }
    Ok(cluster)
}

fn configuration(args: &DemoArgs, simulator: &Simulator, embedded: Option<String>) -> Result<Checked, Problems> {
    // The run's own name, on a bus that outlives the demonstration.
    let run = std::process::id();
    let address = |default: &str| args.address.clone().unwrap_or_else(|| default.to_owned());
    let sink = match (embedded, args.bus) {
        (Some(bootstrap), _) => json!({ "kafka": {
            "bootstrapServers": bootstrap,
            "topic": TOPIC,
            "topics": { "create": false, "check": false },
        }}),
        (None, DemoBus::Embedded | DemoBus::Kafka) => json!({ "kafka": {
            "bootstrapServers": address("localhost:9092"),
            "topic": format!("asana-demo-{run}.events"),
            "checkpointTopic": format!("asana-demo-{run}.checkpoints"),
            "deadLetterTopic": format!("asana-demo-{run}.dead-letters"),
            "groupId": format!("asana-demo-{run}"),
            "topics": { "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1 },
        }}),
        (None, DemoBus::Nats) => json!({ "nats": {
            "servers": [format!("nats://{}", address("localhost:4222"))],
            "stream": format!("ASANA_DEMO_{run}"),
            "subjectPrefix": format!("asana-demo-{run}"),
            "lanes": LANES,
        }}),
    };
    let streams: Vec<Value> = simulator.projects().iter().map(|gid| json!({ "resource": gid })).collect();
    let document = json!({
        "accounts": { "main": {
            "token": { "env": "TOKEN" },
            "baseUrl": format!("{}/api/1.0", simulator.url()),
            "requestsPerMinute": 60_000,
        }},
        "streams": streams,
        "polling": { "minInterval": "500ms", "maxInterval": "2s" },
        "shards": LANES,
        "replica": "demo",
        "sink": sink,
    });
    let environment = Environment::of([("TOKEN", "simulator")]);
    config::load(&Source { document: Some(document), ..Source::default() }, &environment)
}

fn introduction(args: &DemoArgs, checked: &Checked) -> String {
    let bus = match args.bus {
        DemoBus::Embedded => "librdkafka's embedded broker. It is for show, and proves nothing about exactly-once; \
                              --bus kafka|nats uses the real thing"
            .to_owned(),
        DemoBus::Kafka | DemoBus::Nats => format!("the real {}", checked.sink.name()),
    };
    format!(
        "A simulated Asana with {} projects → bridge → bus → consumer, for {:?}.\nThe bus is {bus}.\n",
        args.streams, args.duration
    )
}

/// The parts of the demonstration.
struct Stage<'a> {
    simulator: &'a Simulator,
    projects: &'a [String],
    counts: &'a Counts,
}

impl Stage<'_> {
    async fn hold(
        &self,
        args: &DemoArgs,
        checked: &Checked,
        stop: &CancellationToken,
        show: &mut impl Write,
    ) -> Result<Verification, DemoError> {
        let established = || self.projects.iter().all(|gid| self.simulator.established_at(gid).is_some());
        wait("the streams' first sync tokens", established).await?;
        self.simulator.set_rate(args.rate.into());
        let mut reader = open_reader(checked).await?;
        let mut watch = Watch { verification: Verification::new(false), read: 0, ticks: 0, last: String::new() };
        let over = tokio::time::sleep(args.duration);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => break,
                () = stop.cancelled() => break,
                watched = self.watch(&mut reader, &mut watch, show) => watched?,
            }
        }
        self.simulator.set_rate(0.0);
        // Offered events that aren't read yet may take any time, as long as there is progress.
        let mut idle = Duration::ZERO;
        while watch.read < self.offered() && idle < STEP_TIMEOUT {
            let before = watch.read;
            self.watch(&mut reader, &mut watch, show).await?;
            idle = if watch.read > before { Duration::ZERO } else { idle + TICK };
        }
        Ok(watch.verification)
    }

    /// Reads for a moment, and prints the progress.
    ///
    /// # Cancel safety
    /// Cancel safe: a record that was read is counted at once.
    async fn watch(&self, reader: &mut Reader, watch: &mut Watch, show: &mut impl Write) -> Result<(), DemoError> {
        let tick = tokio::time::sleep(TICK);
        tokio::pin!(tick);
        loop {
            tokio::select! {
                received = reader.next() => if let Some(received) = received? {
                    watch.verification.take(&received);
                    watch.read = watch.verification.events();
                    watch.last = summary(&received.record, Names::NameOrGid);
                },
                () = &mut tick => break,
            }
        }
        watch.ticks += 1;
        if watch.ticks.is_multiple_of(5) {
            let (offered, read) = (self.offered(), watch.read);
            let Counts { events, commits, .. } = self.counts;
            let (events, commits) = (events.load(Ordering::Relaxed), commits.load(Ordering::Relaxed));
            let latency = self.counts.median();
            writeln!(
                show,
                "{:>4} s  offered {offered:>6}  committed {events:>6} in {commits:>4} commits, {latency:>4} ms after the page  \
                 read {read:>6}   {}",
                watch.ticks / 5,
                watch.last
            )?;
        }
        Ok(())
    }

    fn ledger(&self) -> Ledger {
        let stream = |gid: &String| {
            let first = self.simulator.established_at(gid).unwrap_or_default();
            let events = self.simulator.ledger_raw(gid).into_iter().skip(first).map(|event| event.to_string());
            (gid.clone(), StreamLedger::new(events))
        };
        Ledger { streams: self.projects.iter().map(stream).collect() }
    }

    fn offered(&self) -> u64 {
        let offered = |gid: &String| {
            let first = self.simulator.established_at(gid).unwrap_or_default();
            self.simulator.offered(gid).saturating_sub(first) as u64
        };
        self.projects.iter().map(offered).sum()
    }
}

struct Watch {
    verification: Verification,
    read: u64,
    ticks: u64,
    last: String,
}

/// Opens the reader, and retries while the bridge hasn't created the topics yet.
async fn open_reader(checked: &Checked) -> Result<Reader, DemoError> {
    let mut waited = Duration::ZERO;
    loop {
        let records = Records::Configured(Box::new(checked.into()));
        match records.open(ReadFrom::Start, Until::Stopped).await {
            Err(error) if error.exit() == Exit::Unavailable && waited < STEP_TIMEOUT => {}
            opened => return Ok(opened?),
        }
        tokio::time::sleep(TICK).await;
        waited += TICK;
    }
}

async fn wait(what: &'static str, mut until: impl FnMut() -> bool) -> Result<(), DemoError> {
    let until = async {
        while !until() {
            tokio::time::sleep(TICK / 4).await;
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, until).await.map_err(|_elapsed| DemoError::Stuck(what))
}

/// Counts of the bridge's work, for the live view.
#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    commits: AtomicU64,
    /// The durations of the latest commits.
    latencies: Mutex<Vec<Duration>>,
    log: LogObserver,
}

impl Counts {
    /// The median of these durations, in milliseconds.
    fn median(&self) -> u128 {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        latencies.sort_unstable();
        latencies.get(latencies.len() / 2).map_or(0, Duration::as_millis)
    }
}

impl Observer for Counts {
    #[expect(clippy::wildcard_enum_match_arm, reason = "it follows a few events only")]
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            // The view shows what goes well.
            BridgeEvent::Stream(_, Notice::Established) => return,
            BridgeEvent::Committed(summary) => {
                self.events.fetch_add(summary.events as u64, Ordering::Relaxed);
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&summary.latencies);
            }
            BridgeEvent::CommitFailed(_)
            | BridgeEvent::Polled { .. }
            | BridgeEvent::Restarting { .. }
            | BridgeEvent::Stream(..)
            | BridgeEvent::Turned(..) => {}
            _ => return,
        }
        self.log.notify(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_how_it_ended() {
        let fine = Report { offered: Some(12_345), read: 12_345, ..Report::default() };
        let last = "\ndemo finished: 12,345 events, none missing, none duplicated, none out of order\n";
        assert_eq!(Conclusion(&fine).to_string(), last);
        let failed = Conclusion(&Report { missing: 3, ..fine }).to_string();
        let last = "demo FAILED: 12,345 events, 3 missing, none duplicated, none out of order";
        assert_eq!(failed.lines().last(), Some(last), "{failed}");
        assert!(failed.contains("not every event accounted for"), "{failed}");
    }
}

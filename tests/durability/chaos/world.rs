//! All that takes part: a bus of three nodes behind a network that can fail, the simulator, and the replicas.

use super::plan::{LOWERED_BY, NODES, REPLICAS};
use crate::support::foreign::{Seen, read_kafka, read_nats};
use crate::support::program::{Program, Simulator};
use crate::support::proxy::Network;
use crate::support::service::{Service, script};
use crate::support::wait_for;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Partitions, or lane tokens, at the start.
pub(crate) const LANES: u32 = 6;
/// The pace of a quiet stream.
pub(crate) const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// The pace of a stream on which events come.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// A credential, whose name is its token, too.
pub(crate) struct Account {
    pub(crate) name: &'static str,
    /// What the bridge may use for each 1,000 streams, and what the simulator lets through.
    per_minute: u32,
}

/// From one that has plenty to one that can't poll all of its streams at the slowest pace.
pub(crate) const ACCOUNTS: [Account; 4] = [
    Account { name: "ample", per_minute: 3_000 },
    Account { name: "good", per_minute: 2_000 },
    Account { name: "scarce", per_minute: 1_500 },
    Account { name: "poor", per_minute: 1_000 },
];

/// How long a replica may take to end: Kubernetes gives a pod 30 s, and the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    Kafka,
    Nats,
}

impl Bus {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "kafka" => Self::Kafka,
            "nats" => Self::Nats,
            other => panic!("BUS is kafka or nats, not {other}"),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Nats => "nats",
        }
    }

    /// Kafka's own tool does it.
    pub(crate) fn add_partitions(self, address: &str, count: u32) {
        assert_eq!(self, Self::Kafka, "lanes of NATS are a matter of configuration");
        let mut command = script();
        command.args(["topics", "--bootstrap-server", address, "--alter", "--topic", "asana.events"]);
        let output = command.args(["--partitions", &count.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The `sink` of a configuration.
    pub(crate) fn sink(self, address: &str, copies: u32) -> Value {
        let insync = copies.div_ceil(2).max(1);
        match self {
            Self::Kafka => json!({ "kafka": { "bootstrapServers": address, "topics": {
                "partitions": LANES, "replicationFactor": copies, "minInsyncReplicas": insync,
            } } }),
            Self::Nats => {
                let servers: Vec<_> = address.split(',').map(|node| format!("nats://{node}")).collect();
                json!({ "nats": { "servers": servers, "lanes": LANES, "replicas": copies } })
            }
        }
    }
}

/// One stream that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) gid: String,
    pub(crate) account: usize,
}

/// The budget of an account with this number of streams in all, in requests a minute.
pub(crate) fn budget(account: usize, streams: usize) -> u32 {
    let streams = u32::try_from(streams).unwrap();
    (ACCOUNTS[account].per_minute * streams / 1_000).max(60)
}

/// The file that all replicas share but for their names.
pub(crate) struct Configuration(Value);

/// How it differs from what it was at first.
pub(crate) enum Change<'a> {
    None,
    /// Without these streams.
    LeaveOut(&'a [usize]),
    /// With a part of this account's budget.
    Lower(usize),
    /// One that no replica may take.
    Mistake,
}

impl Configuration {
    /// Replaces the file of a replica, as a whole.
    pub(crate) fn write(&self, replica: &Replica, change: &Change<'_>) {
        let mut config = self.0.clone();
        config["replica"] = json!(replica.name);
        match change {
            Change::None => {}
            Change::LeaveOut(streams) => {
                let mut number = 0..;
                let all = config["streams"].as_array_mut().unwrap();
                all.retain(|_| !streams.contains(&number.next().unwrap()));
            }
            Change::Lower(account) => {
                let limit = &mut config["accounts"][ACCOUNTS[*account].name]["requestsPerMinute"];
                *limit = json!(limit.as_u64().unwrap() * u64::from(LOWERED_BY - 1) / u64::from(LOWERED_BY));
            }
            Change::Mistake => config["streams"][0]["account"] = json!("nobody"),
        }
        let new = replica.config.with_extension("new");
        // JSON is YAML.
        std::fs::write(&new, config.to_string()).unwrap();
        std::fs::rename(&new, &replica.config).unwrap();
    }
}

pub(crate) struct World {
    pub(crate) bus: Bus,
    pub(crate) service: Service,
    pub(crate) network: Network,
    pub(crate) simulator: Simulator,
    pub(crate) streams: Vec<Stream>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) configuration: Configuration,
    /// Where configurations and logs are.
    pub(crate) folder: PathBuf,
}

/// A process that comes and goes.
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) config: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) program: Option<Program>,
    /// CPU that earlier processes used.
    pub(crate) cpu: Duration,
}

impl Replica {
    /// Not started, with its files in a folder.
    pub(crate) fn new(name: &str, folder: &Path) -> Self {
        let path = |end: &str| folder.join(format!("{name}.{end}"));
        Self { name: name.to_owned(), config: path("yaml"), log: path("log"), program: None, cpu: Duration::ZERO }
    }

    pub(crate) fn start(&mut self) {
        self.program = Some(Program::start(&["run", "--config", self.config.to_str().unwrap()], &self.log));
    }

    pub(crate) fn signal(&self, name: &str) {
        self.program.as_ref().expect("it is there").signal(name);
    }

    pub(crate) fn kill(&mut self) {
        self.take().kill();
    }

    /// Waits for the end that SIGTERM asked for.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        let (mut program, asked) = (self.take(), Instant::now());
        while asked.elapsed() < TIMEOUT {
            match program.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{}: {status} after SIGTERM", self.name)),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(format!("{} doesn't end in {TIMEOUT:?} after SIGTERM", self.name))
    }

    /// Whether its log says so.
    pub(crate) fn refused_a_configuration(&self) -> bool {
        std::fs::read_to_string(&self.log).unwrap().contains("configuration rejected")
    }

    /// Whether it is gone though nobody asked it to end; SIGTERM does.
    pub(crate) fn ended_by_itself(&mut self) -> Option<String> {
        let status = self.program.as_mut()?.ended()?;
        if status.success() {
            return None;
        }
        let words = self.program.take()?.last_words();
        Some(format!("{} ended by itself: {status}; its log ends with\n{words}", self.name))
    }

    /// Its process, which is to end.
    fn take(&mut self) -> Program {
        let program = self.program.take().expect("it is there");
        self.cpu += program.cpu();
        program
    }
}

impl World {
    pub(crate) fn start(bus: Bus, folder: &Path, streams: usize) -> Self {
        std::fs::remove_dir_all(folder).ok();
        std::fs::create_dir_all(folder).unwrap();
        let (service, network) = Service::start_proxied(bus.name(), NODES as usize, &[]);
        let simulator = simulator(folder, streams);
        let streams: Vec<_> =
            (0..streams).map(|n| Stream { gid: (9_000_000 + n).to_string(), account: n % ACCOUNTS.len() }).collect();
        for stream in &streams {
            simulator.post("/_sim/events", &json!({ "resource": stream.gid, "events": [] }));
        }
        let replicas: Vec<_> = (0..REPLICAS).map(|n| Replica::new(&format!("replica-{n}"), folder)).collect();
        let configuration = configuration(bus, folder, &simulator, &network, &streams);
        for replica in &replicas {
            configuration.write(replica, &Change::None);
        }
        Self { bus, service, network, simulator, streams, replicas, configuration, folder: folder.to_owned() }
    }

    /// Starts all replicas, and waits until each stream was polled.
    pub(crate) fn establish(&mut self) {
        self.replicas.iter_mut().for_each(Replica::start);
        wait_for("all streams to be established", Duration::from_secs(180), || {
            for replica in &mut self.replicas {
                replica.program.as_mut().unwrap().assert_running();
            }
            let ledger = self.simulator.get("/_sim/ledger");
            (ledger["established"].as_object().unwrap().len() >= self.streams.len()).then_some(())
        });
    }

    /// All records, by a client that isn't ours, which comes to the bus directly.
    pub(crate) fn read(&self) -> Vec<Seen> {
        match self.bus {
            Bus::Kafka => read_kafka(&self.service.address, "asana.events"),
            Bus::Nats => {
                let first = self.service.address.split(',').next().unwrap();
                read_nats(first, "ASANA", "asana.lane.>")
            }
        }
    }
}

fn configuration(
    bus: Bus,
    folder: &Path,
    simulator: &Simulator,
    network: &Network,
    streams: &[Stream],
) -> Configuration {
    let accounts = ACCOUNTS.iter().enumerate().map(|(number, account)| {
        let token = folder.join(format!("{}.token", account.name));
        std::fs::write(&token, account.name).unwrap();
        let settings = json!({
            "token": { "file": token },
            "baseUrl": format!("{}/api/1.0", simulator.url),
            "requestsPerMinute": budget(number, streams.len()),
            "requestTimeout": "5s",
        });
        (account.name.to_owned(), settings)
    });
    let stream = |stream: &Stream| json!({ "resource": stream.gid, "account": ACCOUNTS[stream.account].name });
    Configuration(json!({
        "accounts": accounts.collect::<serde_json::Map<_, _>>(),
        "polling": {
            "minInterval": format!("{}s", MIN_INTERVAL.as_secs()),
            "maxInterval": format!("{}s", MAX_INTERVAL.as_secs()),
        },
        "sink": bus.sink(&network.address(), NODES),
        "streams": streams.iter().map(stream).collect::<Vec<_>>(),
    }))
}

fn simulator(folder: &Path, streams: usize) -> Simulator {
    let token = |(number, account): (usize, &Account)| json!({ "token": account.name, "rate_per_minute": budget(number, streams) });
    let tokens: Vec<_> = ACCOUNTS.iter().enumerate().map(token).collect();
    let scenario = folder.join("scenario.yaml");
    std::fs::write(&scenario, json!({ "tokens": tokens }).to_string()).unwrap();
    Simulator::with_own_tokens(&["--scenario", scenario.to_str().unwrap()], &folder.join("simulator.log"))
}

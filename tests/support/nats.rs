//! Real nats-servers, a proxy that cuts connections at a chosen message, and batches to write.

use asana_event_bridge::config::{NatsConfig, NatsLogin};
use asana_event_bridge::sink::nats::{LEASE_TIME, NatsCommitter, NatsSettings, open};
use asana_event_bridge::sink::{Ownership, OwnershipEvent};
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bridge_core::ids::{Deployment, Gid, ShardId, StreamId, Topic};
use bridge_core::record::batch::{Attributes, Batch, CheckpointWrite, Message, StoredCheckpoint, Target};
use bridge_core::record::encoding::Encoding;
use bridge_core::record::trace::Trace;
use chrono::DateTime;
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes that works.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Settings for a JetStream stream of its own on a server.
pub(crate) fn settings(address: &str, stream: &str) -> NatsSettings {
    let config = serde_json::json!({
        "servers": [format!("nats://{address}")],
        "stream": stream,
        "subjectPrefix": stream,
        "lanes": 3,
    });
    NatsSettings {
        config: serde_json::from_value::<NatsConfig>(config).unwrap(),
        has_refresh_log: true,
        login: NatsLogin::Nobody,
        shards: 4.try_into().unwrap(),
        deployment: Deployment::default(),
        replica: "replica-0".to_owned(),
        lease_time: LEASE_TIME,
    }
}

/// A session that owns all shards.
pub(crate) struct Session {
    pub(crate) committer: NatsCommitter,
    pub(crate) ownership: Ownership,
    pub(crate) restored: BTreeMap<ShardId, StoredCheckpoint>,
}

pub(crate) async fn session(settings: NatsSettings) -> Session {
    let shards = settings.shards.get() as usize;
    let (committer, mut ownership) = open(settings).await.unwrap();
    let restored = assigned(&mut ownership, shards).await;
    Session { committer, ownership, restored }
}

/// Waits until so many shards were assigned, and nothing else happened.
pub(crate) async fn assigned(ownership: &mut Ownership, count: usize) -> BTreeMap<ShardId, StoredCheckpoint> {
    let mut restored = BTreeMap::new();
    while restored.len() < count {
        match next(ownership).await {
            OwnershipEvent::Assigned(shards) => restored.extend(shards),
            other => panic!("{other:?}"),
        }
    }
    restored
}

pub(crate) async fn next(ownership: &mut Ownership) -> OwnershipEvent {
    tokio::time::timeout(TIMEOUT, ownership.recv()).await.expect("nothing happened").unwrap()
}

/// A client that isn't ours, for looking at what is there.
pub(crate) struct Witness {
    pub(crate) jetstream: jetstream::Context,
    stream: String,
}

/// A message as a consumer gets it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) headers: async_nats::HeaderMap,
    pub(crate) payload: Vec<u8>,
}

impl Witness {
    pub(crate) async fn new(address: &str, stream: &str) -> Self {
        let client = async_nats::connect(address).await.unwrap();
        Self { jetstream: jetstream::new(client), stream: stream.to_owned() }
    }

    /// What a consumer with this filter gets, the prefix being added.
    pub(crate) async fn read(&self, filter: &str) -> Vec<Seen> {
        let stream = self.jetstream.get_stream(&self.stream).await.unwrap();
        let consumer = stream
            .create_consumer(pull::Config {
                ack_policy: AckPolicy::None,
                deliver_policy: DeliverPolicy::All,
                filter_subject: format!("{}.{filter}", self.stream),
                ..pull::Config::default()
            })
            .await
            .unwrap();
        let mut seen = Vec::new();
        let mut pending = consumer.cached_info().num_pending;
        while pending > 0 {
            let mut messages = consumer.fetch().max_messages(1_000).messages().await.unwrap();
            while let Some(message) = messages.next().await {
                let message = message.unwrap();
                pending = message.info().unwrap().pending;
                let headers = message.headers.clone().unwrap_or_default();
                seen.push(Seen {
                    subject: message.subject.to_string(),
                    id: headers.get("Nats-Msg-Id").map(ToString::to_string).unwrap_or_default(),
                    headers,
                    payload: message.payload.to_vec(),
                });
            }
        }
        seen
    }

    /// The ids of all records, by lane, in the order in which they are there.
    pub(crate) async fn lanes(&self) -> BTreeMap<String, Vec<String>> {
        let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for seen in self.read("lane.>").await {
            let lane = seen.subject.split('.').nth(2).unwrap().to_owned();
            lanes.entry(lane).or_default().push(seen.id);
        }
        lanes
    }

    pub(crate) async fn leases(&self) -> jetstream::kv::Store {
        self.jetstream.get_key_value(format!("{}_leases", self.stream)).await.unwrap()
    }

    /// Claims a shard as another replica would, whatever the leases say.
    pub(crate) async fn claim(&self, shard: u32) {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Asana-Bridge-Head", r#"{"session":"another","replica":"thief"}"#);
        headers.insert("Nats-Rollup", "sub");
        let subject = format!("{}._checkpoint.{shard}.head", self.stream);
        let stored = self.jetstream.publish_with_headers(subject, headers, "".into()).await.unwrap();
        stored.await.unwrap();
    }

    /// Waits until the server has forgotten the message ids that it knows now.
    pub(crate) async fn outlive_duplicate_window(&self) {
        let subject = format!("{}.probe", self.stream);
        let publish = async || {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("Nats-Msg-Id", "probe");
            let ack = self.jetstream.publish_with_headers(subject.clone(), headers, "".into()).await.unwrap();
            ack.await.unwrap().duplicate
        };
        eventually(async || (!publish().await).then_some(())).await;
        eventually(async || (!publish().await).then_some(())).await;
    }
}

/// Polls until there is an answer.
pub(crate) async fn eventually<T>(mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let polling = async {
        loop {
            if let Some(answer) = poll().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, polling).await.expect("it never happened")
}

/// A batch of the shard: records `from..to` over three lanes, and the checkpoint that says `to`.
pub(crate) fn batch(prefix: &str, shard: u32, from: usize, to: usize) -> Batch {
    let messages = (from..to).map(|number| message(prefix, shard, number)).collect();
    let write = |key: &str, value: Option<String>| CheckpointWrite {
        shard: ShardId(shard),
        key: key.to_owned(),
        value: value.map(String::into_bytes),
    };
    let checkpoints = vec![
        write("stream/main/1200", Some(to.to_string())),
        write("lanes", Some(format!("counters at {to}"))),
        write(&format!("gone/{from}"), None),
    ];
    Batch { messages, checkpoints }
}

/// Record `number` of the shard.
pub(crate) fn message(prefix: &str, shard: u32, number: usize) -> Message {
    let partition = u32::try_from(number % 3).unwrap();
    Message {
        target: Target::Lane { topic: Topic::from(prefix), partition },
        shard: ShardId(shard),
        key: Gid::from((1_000 + number % 7).to_string()),
        value: format!("record {number} of shard {shard}").into_bytes(),
        attributes: Attributes {
            id: format!("{shard}/{number}"),
            encoding: Encoding::Protobuf,
            kind: "asana_event_bridge.v1.Event",
            stream: Some(StreamId::new("main", (1_200 + shard).to_string())),
            resource_type: "task".into(),
            time: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            trace: Trace::new("r1", 1, DateTime::UNIX_EPOCH),
        },
    }
}

/// What [`Witness::lanes`] is to say when the records `0..to` of these shards are there exactly once and in order.
pub(crate) fn exactly(shards: &[u32], to: usize) -> BTreeMap<(String, u32), Vec<usize>> {
    let mut lanes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for shard in shards {
        for number in 0..to {
            lanes.entry(((number % 3).to_string(), *shard)).or_default().push(number);
        }
    }
    lanes
}

/// The numbers in each lane, by shard, as they are there: order counts within a shard's lane.
pub(crate) fn by_shard(lanes: &BTreeMap<String, Vec<String>>) -> BTreeMap<(String, u32), Vec<usize>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (lane, ids) in lanes {
        for id in ids {
            let (shard, number) = id.split_once('/').unwrap();
            let numbers = found.entry((lane.clone(), shard.parse().unwrap())).or_default();
            numbers.push(number.parse().unwrap());
        }
    }
    found
}

/// Stands between a client and the server and breaks the connection when the client has sent
/// a chosen number of messages on subjects of the stream. Nothing that the server says afterwards comes through.
pub(crate) struct Proxy {
    pub(crate) address: String,
    state: Arc<ProxyState>,
    _stop: tokio_util::sync::DropGuard,
}

struct ProxyState {
    upstream: String,
    prefix: String,
    /// Messages that still go through; negative once the connection was cut.
    left: AtomicI64,
    /// What comes after the cut.
    after: After,
    cut: Notify,
    released: Notify,
}

/// What a proxy does after the cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The network stays away.
    Dead,
    /// The next connection works.
    Alive,
    /// The connection goes on. Only the last message is lost.
    Unbroken,
    /// The network stays away, and the last message is on its way until it is [released](Proxy::release).
    Late,
}

impl Proxy {
    pub(crate) async fn start(upstream: &str, prefix: &str, after: After) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(ProxyState {
            upstream: upstream.to_owned(),
            prefix: format!("{prefix}."),
            left: AtomicI64::new(i64::MAX),
            after,
            cut: Notify::new(),
            released: Notify::new(),
        });
        let stop = CancellationToken::new();
        let serving = Arc::clone(&state);
        let stopped = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "the guard in the proxy ends the task")]
        tokio::spawn(stopped.run_until_cancelled_owned(async move { serving.serve(listener).await }));
        Self { address, state, _stop: stop.drop_guard() }
    }

    /// From now on, `messages` go through, and the connection breaks right behind the last of them:
    /// what the server answers to it is lost.
    pub(crate) fn cut_after(&self, messages: usize) {
        self.state.left.store(i64::try_from(messages).unwrap(), Ordering::SeqCst);
    }

    pub(crate) async fn cut(&self) {
        self.state.cut.notified().await;
    }

    /// Lets the message arrive that was on its way at the cut.
    pub(crate) fn release(&self) {
        self.state.released.notify_one();
    }

    /// Whether it has come to the cut.
    pub(crate) fn was_cut(&self) -> bool {
        self.state.left.load(Ordering::SeqCst) < 0
    }
}

impl ProxyState {
    async fn serve(&self, listener: TcpListener) {
        let mut connections = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let refused = matches!(self.after, After::Dead | After::Late) && self.left.load(Ordering::SeqCst) < 0;
                    if let (Ok((client, _)), false) = (accepted, refused) {
                        connections.push(self.connection(client));
                    }
                }
                Some(()) = connections.next(), if !connections.is_empty() => {}
            }
        }
    }

    async fn connection(&self, client: TcpStream) {
        let Ok(server) = TcpStream::connect(&self.upstream).await else { return };
        let (from_client, mut to_client) = client.into_split();
        let (mut from_server, to_server) = server.into_split();
        tokio::select! {
            _ended = self.forward(BufReader::new(from_client), to_server) => {}
            _ended = tokio::io::copy(&mut from_server, &mut to_client) => {}
        }
    }

    /// Forwards the client's protocol message by message, until the cut.
    async fn forward(
        &self,
        mut client: BufReader<tokio::net::tcp::OwnedReadHalf>,
        mut server: tokio::net::tcp::OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let mut line = Vec::new();
        while client.read_until(b'\n', &mut line).await? > 0 {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            let words: Vec<&str> = text.split(' ').collect();
            if matches!(words.first(), Some(&("PUB" | "HPUB"))) {
                let length: usize = words.last().unwrap().parse().unwrap();
                let start = line.len();
                line.resize(start + length + 2, 0);
                client.read_exact(&mut line[start..]).await?;
            }
            let ours = words[0] == "HPUB" && words.get(1).is_some_and(|subject| subject.starts_with(&self.prefix));
            let left = if ours { self.left.fetch_sub(1, Ordering::SeqCst) } else { i64::MAX };
            match (left, self.after) {
                (0 | 1, After::Unbroken) => {
                    self.left.store(i64::MAX, Ordering::SeqCst);
                    self.cut.notify_one();
                }
                (0 | 1, After::Late) => {
                    self.left.store(-1, Ordering::SeqCst);
                    self.cut.notify_one();
                    self.released.notified().await;
                    return server.write_all(&line).await;
                }
                (0 | 1, After::Dead | After::Alive) => {
                    if left == 1 {
                        server.write_all(&line).await?;
                    }
                    self.left.store(-1, Ordering::SeqCst);
                    self.cut.notify_one();
                    return Ok(());
                }
                _ => server.write_all(&line).await?,
            }
            line.clear();
        }
        Ok(())
    }
}

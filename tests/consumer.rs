//! The consumer's adapters on a real Kafka and a real NATS: restarts, rebalances, topics that come later.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, look at the clock, and print"
)]
#![cfg(all(feature = "consumer-kafka", feature = "consumer-nats"))]

mod support;

use asana_event_bridge::consumer::kafka::KafkaReader;
use asana_event_bridge::consumer::kafka_group::{Delivered, KafkaGroup};
use asana_event_bridge::consumer::nats_durable::{DurableOptions, NatsDurable};
use asana_event_bridge::consumer::{Body, Continuity, From, Limits, Tally, Until};
use asana_event_bridge::core::detect::Detector;
use asana_event_bridge::pb;
use base64::Engine as _;
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;
use support::service::Service;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(120);

fn kafka() -> &'static str {
    static KAFKA: OnceLock<Service> = OnceLock::new();
    // A group's first member waits for others otherwise.
    &KAFKA.get_or_init(|| Service::start("kafka", &["--set", "group.initial.rebalance.delay.ms=0"])).address
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka());
    config
}

async fn make_topic(name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for made in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
}

fn record(lane: u32, shard: u32, sequence: u64, body: pb::record::Body) -> Vec<u8> {
    let position = pb::Position {
        shard,
        epoch: 1_767_000_000_000,
        lane,
        lane_sequence: sequence,
        stream: "main/9".to_owned(),
        stream_sequence: sequence,
    };
    pb::Record { position: Some(position), received_at: None, body: Some(body) }.encode_to_vec()
}

fn event(lane: u32, sequence: u64) -> Vec<u8> {
    record(lane, 1, sequence, pb::record::Body::Event(pb::Event { action: "added".to_owned(), ..pb::Event::default() }))
}

fn produce(topic: &str, lane: u32, values: impl IntoIterator<Item = Vec<u8>>) {
    let producer: BaseProducer = client().create().unwrap();
    for value in values {
        let record = BaseRecord::to(topic).partition(lane.cast_signed()).key("1200").payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn events(lane: u32, sequences: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    sequences.into_iter().map(|sequence| event(lane, sequence)).collect()
}

fn join(group: &str, topic: &str) -> KafkaGroup {
    let properties = [("bootstrap.servers", kafka()), ("group.id", group), ("session.timeout.ms", "10000")];
    let properties: BTreeMap<_, _> = properties.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    KafkaGroup::join(&properties, &[topic]).unwrap()
}

async fn next(group: &KafkaGroup) -> Delivered {
    tokio::time::timeout(PATIENCE, group.next()).await.expect("a record in time").unwrap()
}

async fn verdicts(group: &KafkaGroup, count: usize) -> Vec<Continuity> {
    let mut verdicts = Vec::new();
    for _ in 0..count {
        verdicts.push(next(group).await.verdict.continuity);
    }
    verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_blind_a_member() {
    use Continuity::{Duplicate, InOrder, Missing, Reordered};
    make_topic("restart", 1).await;
    produce("restart", 0, events(0, [1, 2, 4, 5]));
    let first = join("restart", "restart");
    assert_eq!(verdicts(&first, 4).await, [InOrder, InOrder, Missing(1), InOrder]);
    let committed = first.commit().await.unwrap();
    assert_eq!((committed.partitions, committed.without_state.len()), (1, 0));
    assert_eq!(first.commit().await.unwrap().partitions, 0, "nothing new");
    // Delivered, and not committed: it comes again, with the same verdict.
    produce("restart", 0, events(0, [7]));
    assert_eq!(verdicts(&first, 1).await, [Missing(1)]);
    drop(first);
    produce("restart", 0, [events(0, [3, 5, 9]), vec![b"\xff".to_vec()], events(0, [10])].concat());
    let second = join("restart", "restart");
    assert_eq!(verdicts(&second, 4).await, [Missing(1), Reordered, Duplicate, Missing(1)]);
    assert!(second.next().await.is_err(), "no record");
    let last = next(&second).await;
    assert_eq!((last.verdict.continuity, last.offset, last.key.as_str()), (InOrder, 9, "1200"));
    assert!(matches!(last.record.body, Body::Event(_)));
    let total = second.detector(Detector::total);
    assert_eq!(total, Tally { read: 9, missing: 2, duplicates: 1, reordered: 1, older: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_goes_to_another_member_is_followed_on() {
    make_topic("rebalance", 2).await;
    for lane in 0..2 {
        produce("rebalance", lane, events(lane, 1..=20));
    }
    let one = join("rebalance", "rebalance");
    for _ in 0..40 {
        assert_eq!(next(&one).await.verdict.continuity, Continuity::InOrder);
    }
    one.commit().await.unwrap();
    // Both read; what comes while they change hands may come twice, and each time it is in order.
    let two = join("rebalance", "rebalance");
    let (mut by_one, mut by_two, mut sequence) = (0, 0, 20);
    let deadline = std::time::Instant::now() + PATIENCE;
    while by_one == 0 || by_two == 0 || sequence < 60 {
        assert!(std::time::Instant::now() < deadline, "{by_one} and {by_two} records");
        sequence += 1;
        for lane in 0..2 {
            produce("rebalance", lane, events(lane, [sequence]));
        }
        let pause = tokio::time::sleep(Duration::from_millis(300));
        tokio::pin!(pause);
        loop {
            let (reader, count, delivered) = tokio::select! {
                delivered = one.next() => (&one, &mut by_one, delivered.unwrap()),
                delivered = two.next() => (&two, &mut by_two, delivered.unwrap()),
                () = &mut pause => break,
            };
            assert_eq!(delivered.verdict.continuity, Continuity::InOrder, "{delivered:?}");
            *count = if by_two_has(&two) { *count + 1 } else { 0 };
            // A member that is losing the partition can't: who gets it reads it again.
            reader.commit().await.ok();
        }
    }
    let lanes = |group: &KafkaGroup| group.detector(|detector| detector.lanes().len());
    assert_eq!((lanes(&one), lanes(&two)), (1, 1));
    let missing = |group: &KafkaGroup| group.detector(|detector| detector.total().missing);
    assert_eq!((missing(&one), missing(&two)), (0, 0));
}

/// Counting begins when the second member has a partition.
fn by_two_has(two: &KafkaGroup) -> bool {
    two.detector(|detector| !detector.lanes().is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_32_shards_fits_beside_the_offset() {
    make_topic("fits", 1).await;
    let complete_up_to = Some(pbjson_types::Timestamp { seconds: 1_767_000_000, nanos: 123_000_000 });
    let watermark = pb::Watermark { complete_up_to, shards: 32, lanes: 12 };
    let of_shard = |shard| {
        let sequences = (1..200).filter(|number| number % 40 != 0);
        let event = |sequence| record(0, shard, sequence, pb::record::Body::Event(pb::Event::default()));
        sequences.map(event).chain([record(0, shard, 200, pb::record::Body::Watermark(watermark))]).collect::<Vec<_>>()
    };
    produce("fits", 0, (0..32).flat_map(of_shard));
    let group = join("fits", "fits");
    for _ in 0..32 * 196 {
        next(&group).await;
    }
    assert_eq!(group.commit().await.unwrap().without_state, []);
    let bare: BaseConsumer = client().set("group.id", "fits").create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition("fits", 0);
    let committed = bare.committed_offsets(asked, PATIENCE).unwrap();
    let element = committed.find_partition("fits", 0).unwrap();
    let metadata = element.metadata();
    println!("32 shards with 4 holes each: {} letters of metadata", metadata.len());
    assert_eq!(element.offset(), Offset::Offset(32 * 196));
    let saved = base64::prelude::BASE64_STANDARD_NO_PAD.decode(metadata.strip_prefix("aeb1:").unwrap()).unwrap();
    let restored = Detector::restore(&saved, Limits::default()).unwrap();
    assert_eq!(restored.total(), group.detector(Detector::total));
    // With no room at all the offset is committed alone, and it is said.
    let cramped = join("cramped", "fits").metadata_room(50);
    next(&cramped).await;
    assert_eq!(cramped.commit().await.unwrap().without_state, [("fits".into(), 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_partitions_that_come_later_are_read_from_their_start() {
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), kafka().to_owned())]);
    let wanted = |name: &str| name.starts_with("later.");
    let mut reader = KafkaReader::open(&properties, wanted, From::Now, Until::Stopped).unwrap();
    let mut read = async || {
        let received = tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").unwrap().unwrap();
        (received.topic.to_string(), received.lane, received.record.position.unwrap().lane_sequence)
    };
    make_topic("later.one", 1).await;
    produce("later.one", 0, events(0, [1, 2]));
    assert_eq!(read().await, ("later.one".to_owned(), 0, 1));
    assert_eq!(read().await, ("later.one".to_owned(), 0, 2));
    make_topic("later.two", 1).await;
    produce("later.two", 0, events(0, [1]));
    assert_eq!(read().await, ("later.two".to_owned(), 0, 1));
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let more = NewPartitions::new("later.one", 2);
    for grown in admin.create_partitions([&more], &AdminOptions::new()).await.unwrap() {
        grown.unwrap();
    }
    // The producer has to hear of the partition, too.
    let deadline = std::time::Instant::now() + PATIENCE;
    let bare: BaseConsumer = client().create().unwrap();
    let partitions = || bare.fetch_metadata(Some("later.one"), PATIENCE).unwrap().topics()[0].partitions().len();
    while partitions() < 2 {
        assert!(std::time::Instant::now() < deadline);
    }
    produce("later.one", 1, events(1, [1]));
    produce("later.one", 0, events(0, [3]));
    let mut both = [read().await, read().await];
    both.sort();
    assert_eq!(both, [("later.one".to_owned(), 0, 3), ("later.one".to_owned(), 1, 1)]);
}

async fn nats() -> async_nats::Client {
    static NATS: OnceLock<Service> = OnceLock::new();
    let address = tokio::task::spawn_blocking(|| &NATS.get_or_init(|| Service::start("nats", &[])).address);
    async_nats::connect(address.await.unwrap()).await.unwrap()
}

async fn publish(client: &async_nats::Client, prefix: &str, stream: &str, lane: u32, values: Vec<Vec<u8>>) {
    let context = async_nats::jetstream::new(client.clone());
    let subject = format!("{prefix}.lane.{lane}.main.{stream}.task.1");
    for value in values {
        context.publish(subject.clone(), value.into()).await.unwrap().await.unwrap();
    }
}

async fn make_stream(client: &async_nats::Client, name: &str) {
    let config = async_nats::jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        ..Default::default()
    };
    async_nats::jetstream::new(client.clone()).create_stream(config).await.unwrap();
}

async fn read(reader: &mut NatsDurable, count: usize) -> Vec<Continuity> {
    let mut verdicts = Vec::new();
    for _ in 0..count {
        let delivered = tokio::time::timeout(PATIENCE, reader.next()).await.expect("a record in time").unwrap();
        verdicts.push(delivered.verdict.continuity);
    }
    verdicts
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_blind_a_durable_reader() {
    use Continuity::{Duplicate, InOrder, Missing};
    let client = nats().await;
    make_stream(&client, "durable").await;
    publish(&client, "durable", "9", 0, events(0, [1, 2])).await;
    publish(&client, "durable", "9", 1, events(1, [2])).await;
    let options =
        DurableOptions { ack_wait: Duration::from_secs(1), ..DurableOptions::new("durable", "durable", "reader") };
    let mut first = NatsDurable::open(client.clone(), &options).await.unwrap();
    assert_eq!(read(&mut first, 3).await, [InOrder, InOrder, Missing(1)]);
    first.commit().await.unwrap();
    // Delivered, and not committed: it comes again, with the same verdict.
    publish(&client, "durable", "9", 0, events(0, [4])).await;
    assert_eq!(read(&mut first, 1).await, [Missing(1)]);
    drop(first);
    publish(&client, "durable", "9", 1, events(1, [2, 3])).await;
    let mut second = NatsDurable::open(client.clone(), &options).await.unwrap();
    let mut verdicts = read(&mut second, 3).await;
    // What waits for its time runs behind what is new.
    verdicts.sort_by_key(|verdict| verdict.label());
    assert_eq!(verdicts, [Duplicate, InOrder, Missing(1)]);
    second.commit().await.unwrap();
    assert_eq!(second.detector().total(), Tally { read: 6, missing: 2, duplicates: 1, reordered: 0, older: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn single_streams_are_followed_over_their_lanes() {
    use Continuity::{InOrder, Missing};
    let client = nats().await;
    make_stream(&client, "single").await;
    for (lane, stream, sequence) in [(0, "9", 1), (2, "9", 2), (1, "77", 1), (1, "9", 4)] {
        publish(&client, "single", stream, lane, vec![event(lane, sequence)]).await;
    }
    let options =
        DurableOptions { streams: vec!["main/9".to_owned()], ..DurableOptions::new("single", "single", "one") };
    let mut reader = NatsDurable::open(client.clone(), &options).await.unwrap();
    assert_eq!(read(&mut reader, 3).await, [InOrder, InOrder, Missing(1)]);
    reader.commit().await.unwrap();
    assert_eq!(reader.detector().streams(), [("main/9", reader.detector().total())]);
}

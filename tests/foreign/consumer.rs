//! The consumer's adapters on a real Kafka and a real NATS: restarts, rebalances, topics that come later.

use crate::support::service::Service;
use async_nats::jetstream::consumer::PullConsumer;
use base64::Engine as _;
use bridge_consumer::detect::Detector;
use bridge_consumer::kafka::KafkaReader;
use bridge_consumer::kafka_group::{Delivered, KafkaGroup};
use bridge_consumer::nats::NatsReader;
use bridge_consumer::nats_durable::{BUCKET, DurableOptions, NatsDurable};
use bridge_consumer::{Blinded, Body, Continuity, Limits, ReadFrom, Tally, Until};
use bridge_contract::pb;
use prost::Message as _;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

/// Longer than anything takes that works.
const TIMEOUT: Duration = Duration::from_secs(120);

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

const EPOCH: u64 = 1_767_000_000_000;

fn record(lane: u32, shard: u32, sequence: u64, body: pb::record::Body) -> Vec<u8> {
    let position = pb::Position {
        shard,
        epoch: EPOCH,
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
    producer.flush(TIMEOUT).unwrap();
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
    tokio::time::timeout(TIMEOUT, group.next()).await.expect("a record in time").unwrap()
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
    assert_eq!(one.commit().await.unwrap().without_state, []);
    // Both read; what comes while they change hands may come twice, and each time it is in order.
    let two = join("rebalance", "rebalance");
    let (mut by_one, mut by_two, mut sequence) = (0, 0, 20);
    let deadline = std::time::Instant::now() + TIMEOUT;
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
async fn the_state_of_64_shards_fits_beside_the_offset() {
    make_topic("fits", 1).await;
    let complete_up_to = Some(bridge_contract::Timestamp { seconds: 1_767_000_000, nanos: 123_000_000 });
    let watermark = |shard| {
        let own = pb::ShardProgress { shard, epoch: EPOCH, lane_sequence: 200, complete_up_to, empty: false };
        pb::record::Body::Watermark(pb::Watermark { shards: 64, lanes: 12, progress: vec![own] })
    };
    let of_shard = |shard| {
        let sequences = (1..200).filter(|number| number % 40 != 0);
        let event = |sequence| record(0, shard, sequence, pb::record::Body::Event(pb::Event::default()));
        sequences.map(event).chain([record(0, shard, 200, watermark(shard))]).collect::<Vec<_>>()
    };
    produce("fits", 0, (0..64).flat_map(of_shard));
    let group = join("fits", "fits");
    for _ in 0..64 * 196 {
        next(&group).await;
    }
    assert_eq!(group.commit().await.unwrap().without_state, []);
    let bare: BaseConsumer = client().set("group.id", "fits").create().unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition("fits", 0);
    let committed = bare.committed_offsets(asked, TIMEOUT).unwrap();
    let element = committed.find_partition("fits", 0).unwrap();
    let metadata = element.metadata();
    println!("64 shards with 4 holes each: {} letters of metadata", metadata.len());
    assert_eq!(element.offset(), Offset::Offset(64 * 196));
    let saved = base64::prelude::BASE64_STANDARD_NO_PAD.decode(metadata.strip_prefix("aeb1:").unwrap()).unwrap();
    let restored = Detector::restore(&saved, Limits::default()).unwrap();
    assert_eq!(restored.total(), group.detector(Detector::total));
    // With no room at all the offset is committed alone, and it is said.
    let cramped = join("cramped", "fits").metadata_room(50);
    next(&cramped).await;
    assert_eq!(cramped.commit().await.unwrap().without_state, [("fits".into(), 0)]);
    drop(cramped);
    // Who goes on from there is told, once; so it is where the state can't be read.
    let blind = join("cramped", "fits");
    assert_eq!([next(&blind).await.blinded, next(&blind).await.blinded], [Some(Blinded::NotKept), None]);
    let damaged: BaseConsumer = client().set("group.id", "damaged").create().unwrap();
    let mut offsets = TopicPartitionList::new();
    let mut element = offsets.add_partition("fits", 0);
    element.set_offset(Offset::Offset(9)).unwrap();
    element.set_metadata("aeb1:/w");
    damaged.commit(&offsets, CommitMode::Sync).unwrap();
    let blinded = next(&join("damaged", "fits")).await.blinded;
    assert!(matches!(blinded, Some(Blinded::Unusable(_))), "{blinded:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_knows_up_to_when_its_own_partitions_are_complete() {
    make_topic("own", 2).await;
    let watermark = |lane, sequence, seconds| {
        let complete_up_to = Some(bridge_contract::Timestamp { seconds, nanos: 0 });
        let own = pb::ShardProgress { shard: 0, epoch: EPOCH, lane_sequence: sequence, complete_up_to, empty: false };
        let watermark = pb::Watermark { shards: 1, lanes: 2, progress: vec![own] };
        record(lane, 0, sequence, pb::record::Body::Watermark(watermark))
    };
    produce("own", 0, [watermark(0, 1, 50), watermark(0, 2, 60)]);
    produce("own", 1, [watermark(1, 1, 50)]);
    let groups = [join("own", "own"), join("own", "own")];
    let of = |lane: u32, group: &KafkaGroup| group.detector(|it| it.lane_complete_up_to("own", lane)).is_some();
    let settled = |one: &KafkaGroup, other: &KafkaGroup| of(0, one) && of(1, other) && !of(1, one) && !of(0, other);
    let deadline = std::time::Instant::now() + TIMEOUT;
    let [one, other] = &groups;
    // Nothing is committed, so that whoever gets a partition begins at its start.
    while !settled(one, other) && !settled(other, one) {
        assert!(std::time::Instant::now() < deadline);
        for group in &groups {
            let _delivered = tokio::time::timeout(Duration::from_millis(300), group.next()).await;
        }
    }
    let (zero, one) = if of(0, one) { (one, other) } else { (other, one) };
    let seconds = |group: &KafkaGroup| group.complete_up_to("own").unwrap().map(|time| time.timestamp());
    let behind = |group: &KafkaGroup| group.behind().unwrap().len();
    while seconds(zero) != Some(60) {
        next(zero).await;
    }
    assert_eq!((seconds(zero), seconds(one)), (Some(60), Some(50)), "and the topic up to the least");
    assert_eq!((behind(zero), behind(one)), (0, 0), "the other lane is another's");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_partitions_that_come_later_are_read_from_their_start() {
    let properties = BTreeMap::from([("bootstrap.servers".to_owned(), kafka().to_owned())]);
    let wanted = |name: &str| name.starts_with("later.");
    let mut reader = KafkaReader::open(&properties, wanted, ReadFrom::Now, Until::Stopped).unwrap();
    let mut read = async || {
        let received = tokio::time::timeout(TIMEOUT, reader.next()).await.expect("in time").unwrap().unwrap();
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
    let deadline = std::time::Instant::now() + TIMEOUT;
    let bare: BaseConsumer = client().create().unwrap();
    let partitions = || bare.fetch_metadata(Some("later.one"), TIMEOUT).unwrap().topics()[0].partitions().len();
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
        let delivered = tokio::time::timeout(TIMEOUT, reader.next()).await.expect("a record in time").unwrap();
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
    // At once, and before what is new: the first commit acknowledges all.
    assert_eq!(read(&mut second, 1).await, [Missing(1)]);
    second.commit().await.unwrap();
    assert_eq!(read(&mut second, 2).await, [Duplicate, InOrder]);
    second.commit().await.unwrap();
    assert_eq!(second.detector().total(), Tally { read: 6, missing: 2, duplicates: 1, reordered: 0, older: 0 });
    drop(second);
    // A state that can't be read, or that is gone, is told with the first record.
    let states = async_nats::jetstream::new(client.clone()).get_key_value(BUCKET).await.unwrap();
    states.put("durable.reader", "\u{1}".into()).await.unwrap();
    publish(&client, "durable", "9", 0, events(0, [5, 6])).await;
    let mut third = NatsDurable::open(client.clone(), &options).await.unwrap();
    let mut told = vec![third.next().await.unwrap().blinded, third.next().await.unwrap().blinded];
    third.commit().await.unwrap();
    drop(third);
    states.purge("durable.reader").await.unwrap();
    publish(&client, "durable", "9", 0, events(0, [7])).await;
    let mut fourth = NatsDurable::open(client.clone(), &options).await.unwrap();
    told.push(fourth.next().await.unwrap().blinded);
    assert!(matches!(&told[..], [Some(Blinded::Unusable(_)), None, Some(Blinded::NotKept)]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_that_was_cut_off_while_the_consumer_was_made_anew_loses_nothing() {
    let client = nats().await;
    make_stream(&client, "recreated").await;
    publish(&client, "recreated", "9", 0, events(0, 1..=4)).await;
    let options = DurableOptions { from: ReadFrom::Now, ..DurableOptions::new("recreated", "recreated", "reader") };
    let mut first = NatsDurable::open(client.clone(), &options).await.unwrap();
    publish(&client, "recreated", "9", 0, events(0, [5, 6])).await;
    read(&mut first, 1).await;
    drop(first);
    // What was to be read from is kept, the old consumer is gone, and the new one isn't there.
    let context = async_nats::jetstream::new(client.clone());
    context.get_key_value(BUCKET).await.unwrap().put("recreated.reader.recreate", "5".into()).await.unwrap();
    context.get_stream("recreated").await.unwrap().delete_consumer("reader").await.unwrap();
    let mut second = NatsDurable::open(client.clone(), &options).await.unwrap();
    let sequences = [second.next().await.unwrap().sequence, second.next().await.unwrap().sequence];
    assert_eq!(sequences, [5, 6]);
    second.commit().await.unwrap();
    assert_eq!(context.get_key_value(BUCKET).await.unwrap().get("recreated.reader.recreate").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_went_to_somebody_else_is_not_acknowledged() {
    let client = nats().await;
    make_stream(&client, "stolen").await;
    let options = DurableOptions::new("stolen", "stolen", "reader");
    let mut reader = NatsDurable::open(client.clone(), &options).await.unwrap();
    let stream = async_nats::jetstream::new(client.clone()).get_stream("stolen").await.unwrap();
    let thief: PullConsumer = stream.get_consumer("reader").await.unwrap();
    publish(&client, "stolen", "9", 0, events(0, [1])).await;
    assert_eq!(read(&mut reader, 1).await, [Continuity::InOrder]);
    let stolen = thief.fetch().max_messages(1).expires(TIMEOUT).messages().await.unwrap();
    publish(&client, "stolen", "9", 0, events(0, 2..=5)).await;
    let to_the_end = async { while reader.next().await.is_ok() {} };
    tokio::time::timeout(TIMEOUT, to_the_end).await.expect("the server gives one to each");
    reader.commit().await.unwrap();
    let seen = reader.detector().total().read;
    drop((reader, stolen));
    let mut anew = NatsDurable::open(client.clone(), &options).await.unwrap();
    let verdicts = read(&mut anew, 5 - seen as usize).await;
    assert!(seen < 5 && verdicts.iter().all(|it| *it == Continuity::InOrder), "{seen}, {verdicts:?}");
}

/// A bridge's checkpoint is in the same JetStream stream, and its old messages are deleted.
#[tokio::test(flavor = "multi_thread")]
async fn only_records_that_are_gone_make_a_lane_begin_later() {
    let client = nats().await;
    make_stream(&client, "trimmed").await;
    let context = async_nats::jetstream::new(client.clone());
    for _ in 0..3 {
        context.publish("trimmed._checkpoint.0.head", "head".into()).await.unwrap().await.unwrap();
    }
    publish(&client, "trimmed", "9", 0, events(0, 1..=3)).await;
    let stream = context.get_stream("trimmed").await.unwrap();
    stream.purge().filter("trimmed._checkpoint.0.head").await.unwrap();
    let trimmed = async || {
        let reader = NatsReader::open(client.clone(), "trimmed", "trimmed", ReadFrom::Start, Until::End).await;
        reader.unwrap().trimmed()
    };
    assert!(!trimmed().await);
    stream.purge().sequence(5).await.unwrap();
    assert!(trimmed().await);
    let mut durable = NatsDurable::open(client.clone(), &DurableOptions::new("trimmed", "trimmed", "d")).await.unwrap();
    assert_eq!(read(&mut durable, 2).await, [Continuity::InOrder, Continuity::InOrder]);
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
    // A name has what no token of a subject may have.
    let context = async_nats::jetstream::new(client.clone());
    context.publish("single.lane.0.team=2Ea.9.task.1", event(0, 1).into()).await.unwrap().await.unwrap();
    let options =
        DurableOptions { streams: vec!["team.a/9".to_owned()], ..DurableOptions::new("single", "single", "dotted") };
    let mut reader = NatsDurable::open(client.clone(), &options).await.unwrap();
    assert_eq!(read(&mut reader, 1).await, [InOrder]);
}

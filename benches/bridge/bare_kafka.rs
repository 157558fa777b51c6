//! What librdkafka's transactional producer does alone.

use super::bus::LANES;
use super::machine::{Mark, Usage};
use super::run::quantile;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::message::{Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const TOPIC: &str = "bare";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Records that the bridge wrote to the output topic, up to a number.
pub(crate) fn read(address: &str, most: usize) -> Vec<OwnedMessage> {
    let consumer = consumer(address, "reader");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..LANES {
        assignment.add_partition_offset("asana.events", partition.cast_signed(), Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut messages = Vec::new();
    while messages.len() < most
        && let Some(message) = consumer.poll(Duration::from_secs(3))
    {
        messages.push(message.expect("a message").detach());
    }
    messages
}

/// The plain use of the producer, with the bridge's compression.
pub(crate) struct Bare {
    producer: BaseProducer,
    address: String,
}

impl Bare {
    pub(crate) fn open(address: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address);
        let admin: AdminClient<_> = config.create().unwrap();
        let topic = NewTopic::new(TOPIC, LANES.cast_signed(), TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
        config.set("transactional.id", TOPIC).set("linger.ms", "1").set("compression.type", "lz4");
        let producer: BaseProducer = config.create().expect("a producer");
        producer.init_transactions(TIMEOUT).unwrap();
        Self { producer, address: address.to_owned() }
    }

    /// Writes the messages in transactions of a size.
    pub(crate) fn write(&self, messages: &[OwnedMessage], per_transaction: usize) -> Usage {
        let mark = Mark::now();
        for batch in messages.chunks(per_transaction) {
            self.commit(batch, None);
        }
        mark.usage()
    }

    /// The median time of a transaction of so many messages, each `pause` after the one before. `is_fenced`: with the
    /// offset of a consumer group, as exactly-once needs it if the producer is one of several.
    pub(crate) fn commit_time(
        &self,
        messages: &[OwnedMessage],
        size: usize,
        pause: Duration,
        is_fenced: bool,
    ) -> Duration {
        let member = is_fenced.then(|| member(&self.address));
        let mut times = Vec::new();
        for batch in messages.chunks_exact(size).take(60) {
            std::thread::sleep(pause);
            let start = Instant::now();
            self.commit(batch, member.as_ref().map(|(_, metadata)| metadata));
            times.push(start.elapsed());
        }
        quantile(&times, 50)
    }

    fn commit(&self, messages: &[OwnedMessage], member: Option<&ConsumerGroupMetadata>) {
        self.producer.begin_transaction().unwrap();
        for message in messages {
            let headers = message
                .headers()
                .map(|headers| headers.iter().fold(OwnedHeaders::new(), |headers, header| headers.insert(header)));
            let record =
                BaseRecord::to(TOPIC).partition(message.partition()).payload(message.payload().unwrap_or_default());
            let record = record.key(message.key().unwrap_or_default()).headers(headers.unwrap_or_default());
            self.producer.send(record).map_err(|(error, _)| error).expect("room in the queue");
        }
        self.producer.flush(TIMEOUT).unwrap();
        if let Some(member) = member {
            let mut offsets = TopicPartitionList::new();
            offsets.add_partition_offset(TOPIC, 0, Offset::Offset(0)).unwrap();
            self.producer.send_offsets_to_transaction(&offsets, member, TIMEOUT).unwrap();
        }
        self.producer.commit_transaction(TIMEOUT).unwrap();
    }
}

/// The time that the group's protocol takes alone: from a new consumer to its assignment.
pub(crate) fn join_time(address: &str) -> Duration {
    let start = Instant::now();
    let joined = member(address);
    let took = start.elapsed();
    drop(joined);
    took
}

fn member(address: &str) -> (BaseConsumer, ConsumerGroupMetadata) {
    let consumer = consumer(address, &format!("bare-{:?}", Instant::now()));
    consumer.subscribe(&["asana.checkpoints"]).unwrap();
    while consumer.assignment().unwrap().count() == 0 {
        consumer.poll(Duration::from_millis(5));
    }
    let metadata = consumer.group_metadata().unwrap();
    (consumer, metadata)
}

fn consumer(address: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .create()
        .expect("a consumer")
}

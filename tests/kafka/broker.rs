//! The Kafka sink on a real Apache Kafka.

use crate::kafka_support::{
    Replica, Session, TIMEOUT, bare_producer, broker, checkpoint, header, message, refused, replica, settings, step,
    write_more, write_open,
};
use crate::support::foreign::read_kafka;
use crate::support::service::{Service, script};
use asana_event_bridge::config::KafkaGroupProtocol;
use asana_event_bridge::sink::kafka::KafkaSettings;
use asana_event_bridge::sink::{CommitError, Committer as _, OwnershipEvent};
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Batch, CheckpointWrite, Target};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::Producer as _;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::time::Instant;

/// What the official Java client sees.
fn seen(bootstrap: &str, topic: &str) -> Vec<String> {
    read_kafka(bootstrap, topic).into_iter().map(|record| String::from_utf8(record.value).unwrap()).collect()
}

fn make_topic(bootstrap: &str, name: &str, partitions: u32, config: &[&str]) {
    let partitions = partitions.to_string();
    let mut command = script();
    command.args(["topics", "--bootstrap-server", bootstrap, "--create", "--topic", name]);
    command.args(["--partitions", &partitions, "--replication-factor", "1"]);
    command.args(config.iter().flat_map(|setting| ["--config", setting]));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_committed_with_its_headers_and_in_order() {
    let settings = settings(broker(), "order", 2);
    let mut session = Session::open(&settings, 2).await;
    let topic = Topic::from(settings.config.topic.as_str());
    let known = session.committer.output_topic(&topic).await.unwrap();
    assert_eq!(known.lanes.get(), 3);
    assert!((1_000_000..1 << 20).contains(&known.message_bytes), "{known:?}");

    let mut batch = Batch { messages: Vec::new(), checkpoints: vec![checkpoint(0, "a", Some("1"))] };
    for number in 0..3_000_u32 {
        batch.messages.push(message(&settings, number % 3, 0, &number.to_string()));
    }
    session.committer.commit(&batch).await.unwrap();

    let mut durations = Vec::new();
    for number in 3_000..3_050_u32 {
        let mut batch = step(&settings, 1, &number.to_string());
        if let Some(message) = batch.messages.first_mut() {
            message.target = Target::Lane { topic: topic.clone(), partition: number % 3 };
        }
        let start = now();
        session.committer.commit(&batch).await.unwrap();
        durations.push(start.elapsed());
    }
    durations.sort_unstable();
    println!("50 small commits: p50 {:?}, p90 {:?}, max {:?}", durations[25], durations[45], durations[49]);

    let records = read_kafka(broker(), &settings.config.topic);
    assert_eq!(records.len(), 3_050);
    for lane in ["0", "1", "2"] {
        let numbers: Vec<u32> = records
            .iter()
            .filter(|record| record.lane == lane)
            .map(|record| String::from_utf8(record.value.clone()).unwrap().parse().unwrap())
            .collect();
        assert!(numbers.is_sorted(), "lane {lane}");
    }
    let headers = &records.first().unwrap().headers;
    assert_eq!(headers.get("ce_specversion").map(String::as_str), Some("1.0"));
    assert_eq!(headers.get("ce_source").map(String::as_str), Some("/asana/main/1200"));
    assert_eq!(headers.get("ce_time").map(String::as_str), Some("1970-01-01T00:00:00.000Z"));
    assert_eq!(headers.get("content-type").map(String::as_str), Some("application/protobuf"));
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_finds_the_newest_of_each_key_and_nothing_removed() {
    let settings = settings(broker(), "restore", 4);
    let mut session = Session::open(&settings, 4).await;
    assert!(session.restored.values().all(BTreeMap::is_empty));
    let write = |checkpoints| Batch { messages: Vec::new(), checkpoints };
    let first = vec![checkpoint(0, "a", Some("1")), checkpoint(0, "b", Some("1")), checkpoint(3, "a", Some("x"))];
    session.committer.commit(&write(first)).await.unwrap();
    let many = (0..10_000).map(|number| checkpoint(2, &format!("main/{number}"), Some("token"))).collect();
    session.committer.commit(&write(many)).await.unwrap();
    session.committer.commit(&write(vec![checkpoint(0, "a", Some("2")), checkpoint(0, "b", None)])).await.unwrap();
    session.close().await;

    let start = now();
    let session = Session::open(&settings, 4).await;
    println!("a session with 10,000 checkpoints began in {:?}", start.elapsed());
    let shard = |number| session.restored.get(&ShardId(number)).unwrap();
    assert_eq!(shard(0), &[("a".to_owned(), b"2".to_vec())].into());
    assert!(shard(1).is_empty());
    assert_eq!(shard(2).len(), 10_000);
    assert_eq!(shard(3), &[("a".to_owned(), b"x".to_vec())].into());
    session.close().await;
}

/// Long enough that a test which waits for the broker fails: the most that a broker allows.
const NEVER_MS: u32 = 900_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_waits_for_what_a_live_predecessor_has_open() {
    let settings = settings(broker(), "open", 2);
    let mut first = Session::open(&settings, 2).await;
    let mut batch = Batch { messages: Vec::new(), checkpoints: Vec::new() };
    for shard in [0, 1] {
        let owner = CheckpointWrite { shard: ShardId(shard), key: "shard".to_owned(), value: Some(header("r1")) };
        batch.checkpoints.extend([owner, checkpoint(shard, "stream", Some("early"))]);
    }
    first.committer.commit(&batch).await.unwrap();
    // Takes the place of the first one's producer; the member stays in the group.
    let producer = bare_producer(broker(), "open-r1", NEVER_MS);
    write_open(&producer, &settings, 0, "late");
    write_more(&producer, &settings, 1, "stream", b"late");

    let second_settings = replica(&settings, "r2");
    let second = tokio::spawn(async move { Session::open(&second_settings, 1).await });
    let OwnershipEvent::Revoked { shards, done } = first.event().await else { panic!("no revocation") };
    done.send(()).unwrap();
    // Time for a restore that doesn't wait, and for one that aborts what isn't its own.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!second.is_finished());
    producer.commit_transaction(TIMEOUT).unwrap();
    let second = tokio::time::timeout(TIMEOUT, second).await.unwrap().unwrap();
    assert_eq!(second.restored.get(&shards[0]).unwrap().get("stream").unwrap(), b"late");
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_heir_aborts_at_once_what_a_dead_predecessor_left_open() {
    let settings = settings(broker(), "heir", 1);
    let mut session = Session::open(&replica(&settings, "r0"), 1).await;
    let mut batch = step(&settings, 0, "committed");
    batch.checkpoints.push(CheckpointWrite { shard: ShardId(0), key: "shard".to_owned(), value: Some(header("r0")) });
    session.committer.commit(&batch).await.unwrap();
    session.close().await;
    let restored = async |left: &str| {
        let start = now();
        let session = Session::open(&settings, 1).await;
        println!("with {left}, a session began in {:?}", start.elapsed());
        assert_eq!(session.restored.get(&ShardId(0)).unwrap().get("stream").unwrap(), b"committed");
        session.close().await;
    };
    restored("nothing left open").await;

    let predecessor = bare_producer(broker(), "heir-r0", NEVER_MS);
    write_open(&predecessor, &settings, 0, "never");
    restored("a transaction left open by the last owner").await;

    // It died in its first batch.
    let predecessor = bare_producer(broker(), "heir-r9", NEVER_MS);
    write_open(&predecessor, &settings, 0, "never");
    write_more(&predecessor, &settings, 0, "shard", &header("r9"));
    restored("a transaction left open by who had just begun").await;

    let predecessor = bare_producer(broker(), "heir-r1", NEVER_MS);
    write_open(&predecessor, &settings, 0, "never");
    restored("a transaction left open by the same replica").await;
    assert_eq!(seen(broker(), &settings.config.topic), ["committed"]);
}

/// Makes the coordinator forget a member, which isn't told: Kafka's `LeaveGroup`, version 0, in its name.
fn expel(bootstrap: &str, group: &str) {
    let looker: BaseConsumer = rdkafka::ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let groups = looker.fetch_group_list(Some(group), TIMEOUT).unwrap();
    let member = groups.groups().first().unwrap().members().first().unwrap().id().to_owned();
    let text = |text: &str| [&i16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let header = [13_i16.to_be_bytes(), 0_i16.to_be_bytes()].concat();
    let request = [header, 1_i32.to_be_bytes().to_vec(), text("test"), text(group), text(&member)].concat();
    let answer = ask(bootstrap, &request, 10);
    assert_eq!(answer[8..], [0, 0], "the coordinator refuses to expel");
}

/// The first bytes of the answer to a request in Kafka's protocol.
fn ask(bootstrap: &str, request: &[u8], length: usize) -> Vec<u8> {
    let mut connection = std::net::TcpStream::connect(bootstrap).unwrap();
    connection.write_all(&i32::try_from(request.len()).unwrap().to_be_bytes()).unwrap();
    connection.write_all(request).unwrap();
    let mut answer = vec![0; length];
    connection.read_exact(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_cannot_commit_and_could_without_the_group_metadata() {
    let mut settings = settings(broker(), "zombie", 1);
    // The zombie hears of its end long after this test.
    settings.config.properties.insert("heartbeat.interval.ms".to_owned(), "200000".to_owned());
    let mut zombie = Session::open(&settings, 1).await;
    zombie.committer.commit(&step(&settings, 0, "1")).await.unwrap();
    expel(broker(), "zombie");

    let mut heir = Session::open(&replica(&settings, "r2"), 1).await;
    heir.committer.commit(&step(&settings, 0, "2")).await.unwrap();

    let error = zombie.committer.commit(&step(&settings, 0, "zombie")).await.unwrap_err();
    assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    assert!(error.to_string().contains("by the group's generation"), "the broker wasn't asked: {error}");
    assert_eq!(seen(broker(), &settings.config.topic), ["1", "2"]);

    // The control: the same records in a transaction that doesn't name the group's generation.
    let bare = bare_producer(broker(), "zombie-without", 60_000);
    write_open(&bare, &settings, 0, "unfenced");
    bare.commit_transaction(TIMEOUT).unwrap();
    assert_eq!(seen(broker(), &settings.config.topic), ["1", "2", "unfenced"]);
    heir.committer.commit(&step(&settings, 0, "3")).await.unwrap();
    heir.close().await;
    zombie.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_expelled_hears_of_it_and_comes_back_in_the_same_session() {
    let settings = settings(broker(), "expelled", 1);
    let mut session = Session::open(&settings, 1).await;
    expel(broker(), "expelled");
    let batch = step(&settings, 0, "1");
    let error = session.committer.commit(&batch).await.unwrap_err();
    assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    let OwnershipEvent::Lost(lost) = session.event().await else { panic!("no loss") };
    assert_eq!(lost, [ShardId(0)]);
    let OwnershipEvent::Assigned(_) = session.event().await else { panic!("no return") };
    while let Err(error) = session.committer.commit(&batch).await {
        assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    }
    assert_eq!(seen(broker(), &settings.config.topic), ["1"]);
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_older_of_two_processes_of_one_replica_is_fenced() {
    let settings = settings(broker(), "twice", 1);
    let mut older = Session::open(&settings, 1).await;
    older.committer.commit(&step(&settings, 0, "1")).await.unwrap();
    let (newer, _ownership) = asana_event_bridge::sink::kafka::open(settings.clone()).await.unwrap();
    let error = older.committer.commit(&step(&settings, 0, "older")).await.unwrap_err();
    assert!(matches!(error, CommitError::Fenced(_)), "{error}");
    assert_eq!(seen(broker(), &settings.config.topic), ["1"]);
    older.close().await;
    newer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_waits_for_its_answer_and_the_heir_sees_the_last_commit() {
    let settings = settings(broker(), "revoke", 2);
    let mut first = Session::open(&settings, 2).await;
    let second_settings = replica(&settings, "r2");
    let opened = tokio::spawn(async move { Session::open(&second_settings, 1).await });
    let OwnershipEvent::Revoked { shards, done } = first.event().await else { panic!("no revocation") };
    assert_eq!(shards.len(), 1);
    let moved = shards[0];
    // Still ours until the answer; the generation may have changed under the commit.
    let batch = step(&settings, moved.0, "last");
    while let Err(error) = first.committer.commit(&batch).await {
        assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    }
    done.send(()).unwrap();
    let second = tokio::time::timeout(TIMEOUT, opened).await.unwrap().unwrap();
    assert_eq!(second.restored.get(&moved).unwrap().get("stream").unwrap(), b"last");
    let error = first.committer.commit(&step(&settings, moved.0, "late")).await.unwrap_err();
    assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    let batch = step(&settings, 1 - moved.0, "kept");
    while let Err(error) = first.committer.commit(&batch).await {
        assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    }
    second.close().await;
    first.close().await;
}

/// Waits until the replicas have this many shards each.
async fn settled(replicas: &[&Replica], counts: &[usize]) {
    let start = now();
    while !replicas.iter().zip(counts).all(|(replica, count)| replica.shards().len() == *count) {
        assert!(start.elapsed() < TIMEOUT, "{:?}", replicas.iter().map(|replica| replica.work()).collect::<Vec<_>>());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// Every number of every shard once, in order, whoever wrote it.
fn assert_numbers(settings: &KafkaSettings) {
    let mut next = BTreeMap::new();
    for value in seen(broker(), &settings.config.topic) {
        let (shard, number) = value.split_once('-').unwrap();
        let expected: &mut u32 = next.entry(shard.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*expected), "shard {shard}");
        *expected += 1;
    }
    assert_eq!(next.len(), settings.shards.get() as usize);
}

async fn shards_move_and_the_others_go_on(settings: &KafkaSettings) {
    let protocol = settings.config.group_protocol;
    let first = Replica::start(&replica(settings, "r1")).await;
    settled(&[&first], &[12]).await;
    let second = Replica::start(&replica(settings, "r2")).await;
    settled(&[&first, &second], &[6, 6]).await;

    first.forget();
    second.forget();
    let start = now();
    let third = Replica::start(&replica(settings, "r3")).await;
    settled(&[&first, &second, &third], &[4, 4, 4]).await;
    println!("{protocol:?}: a third replica had its shards after {:?}", start.elapsed());
    for old in [&first, &second] {
        let work = old.work();
        let mut revoked: Vec<u32> = Vec::new();
        for (kind, shards) in &work.told {
            assert_eq!(*kind, '-', "{work:?}");
            revoked.extend(shards);
        }
        assert_eq!(revoked.len(), 2, "{work:?}");
        println!("{protocol:?}: meanwhile a shard that stayed waited {:?}, {} aborts", work.longest_pause, work.aborts);
    }

    first.forget();
    third.forget();
    let start = now();
    let closing = tokio::spawn(second.close());
    settled(&[&first, &third], &[6, 6]).await;
    println!("{protocol:?}: the peers had the shards {:?} after the order to close", start.elapsed());
    closing.await.unwrap();
    for peer in [&first, &third] {
        let work = peer.work();
        assert!(work.told.iter().all(|(kind, _)| *kind == '+'), "{work:?}");
        println!("{protocol:?}: meanwhile a shard that stayed waited {:?}, {} aborts", work.longest_pause, work.aborts);
    }
    first.close().await;
    third.close().await;
    assert_numbers(settings);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_move_and_those_that_stay_go_on() {
    let mut settings = settings(broker(), "moves", 12);
    // What is measured is what is set by default.
    settings.config.properties.clear();
    shards_move_and_the_others_go_on(&settings).await;
}

/// Settings of a group whose members the coordinator leads (KIP-848).
fn led(name: &str, shards: u32) -> KafkaSettings {
    let mut settings = settings(broker(), name, shards);
    settings.config.group_protocol = KafkaGroupProtocol::Consumer;
    settings.config.properties.clear();
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_move_and_those_that_stay_go_on_where_the_coordinator_leads() {
    shards_move_and_the_others_go_on(&led("led-moves", 12)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_owner_is_refused_where_the_coordinator_leads() {
    let settings = led("led", 1);
    // The member hears of its end later than the commit does.
    let mut command = script();
    command.args(["configs", "--bootstrap-server", broker(), "--alter", "--entity-type", "groups"]);
    command.args(["--entity-name", "led", "--add-config", "consumer.heartbeat.interval.ms=6000"]);
    assert!(command.status().unwrap().success());
    let mut stale = Session::open(&settings, 1).await;
    stale.committer.commit(&step(&settings, 0, "1")).await.unwrap();
    expel_led(broker(), "led");
    let batch = step(&settings, 0, "2");
    let error = stale.committer.commit(&batch).await.unwrap_err();
    assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    assert!(error.to_string().contains("by the group's generation"), "the broker wasn't asked: {error}");
    let OwnershipEvent::Lost(_) = stale.event().await else { panic!("no loss") };
    let OwnershipEvent::Assigned(_) = stale.event().await else { panic!("no return") };
    while let Err(error) = stale.committer.commit(&batch).await {
        assert!(matches!(error, CommitError::Aborted(_)), "{error}");
    }
    assert_eq!(seen(broker(), &settings.config.topic), ["1", "2"]);
    stale.close().await;
}

/// As [`expel`], by `ConsumerGroupHeartbeat`, version 0, with the epoch that means to leave.
fn expel_led(bootstrap: &str, group: &str) {
    let mut command = script();
    command.args(["groups", "--bootstrap-server", bootstrap, "--describe", "--members", "--group", group]);
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let line = output.lines().find(|line| line.starts_with(group)).unwrap_or_else(|| panic!("no member: {output}"));
    let member = line.split_whitespace().nth(1).unwrap();
    let text = |text: &str| [&[u8::try_from(text.len() + 1).unwrap()], text.as_bytes()].concat();
    let header = [&68_i16.to_be_bytes()[..], &0_i16.to_be_bytes(), &1_i32.to_be_bytes(), &[0xff, 0xff, 0]].concat();
    let left = [&(-1_i32).to_be_bytes()[..], &[0, 0], &(-1_i32).to_be_bytes(), &[0; 4]].concat();
    let answer = ask(bootstrap, &[header, text(group), text(member), left].concat(), 15);
    assert_eq!(answer[13..], [0, 0], "the coordinator refuses to expel");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_the_same_name_moves_nothing_with_static_membership() {
    let mut classic = settings(broker(), "static", 6);
    classic.config.static_membership = true;
    let mut consumer = led("led-static", 6);
    consumer.config.static_membership = true;
    for settings in [classic, consumer] {
        let peer = Replica::start(&replica(&settings, "r1")).await;
        settled(&[&peer], &[6]).await;
        let restarted = Replica::start(&replica(&settings, "r2")).await;
        settled(&[&peer, &restarted], &[3, 3]).await;
        let shards = restarted.shards();
        peer.forget();
        restarted.close().await;
        let start = now();
        let restarted = Replica::start(&replica(&settings, "r2")).await;
        settled(&[&peer, &restarted], &[3, 3]).await;
        println!("{:?}: it had its shards again after {:?}", settings.config.group_protocol, start.elapsed());
        assert_eq!(restarted.shards(), shards);
        assert_eq!(peer.work().told, []);
        peer.close().await;
        restarted.close().await;
        assert_numbers(&settings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_found_by_asking_again_and_new_shards_are_refused() {
    let settings = settings(broker(), "grown", 1);
    let mut session = Session::open(&settings, 1).await;
    let topic = Topic::from(settings.config.topic.as_str());
    assert_eq!(session.committer.output_topic(&topic).await.unwrap().lanes.get(), 3);
    session.committer.commit(&step(&settings, 0, "before")).await.unwrap();

    grow(&settings.config.topic, 5).await;
    let start = now();
    while session.committer.output_topic(&topic).await.unwrap().lanes.get() != 5 {
        assert!(start.elapsed() < TIMEOUT);
    }
    let mut batch = step(&settings, 0, "first");
    batch.messages.push(message(&settings, 4, 0, "last"));
    session.committer.commit(&batch).await.unwrap();
    let records = read_kafka(broker(), &settings.config.topic);
    assert!(records.iter().any(|record| record.lane == "4" && record.value == b"last"), "{records:?}");

    grow(&settings.config.checkpoint_topic, 2).await;
    let error = refused(&replica(&settings, "r2")).await;
    assert!(error.contains("partitions is 2, wanted is 1") && error.contains("checkpoint migrate"), "{error}");
    session.committer.commit(&step(&settings, 0, "after")).await.unwrap();
    session.close().await;
}

async fn grow(topic: &str, partitions: usize) {
    let admin: AdminClient<_> = rdkafka::ClientConfig::new().set("bootstrap.servers", broker()).create().unwrap();
    let grown = admin.create_partitions([&NewPartitions::new(topic, partitions)], &AdminOptions::new()).await.unwrap();
    assert_eq!(grown, [Ok(topic.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_are_restored_in_one_go() {
    let settings = settings(broker(), "many", 32);
    let mut session = Session::open(&settings, 32).await;
    // As large as a real one; the older halves aren't compacted away yet.
    let token = "x".repeat(150);
    for _ in 0..2 {
        let checkpoints =
            (0..10_000).map(|number| checkpoint(number % 32, &format!("stream/main/{number}"), Some(&token))).collect();
        session.committer.commit(&Batch { messages: Vec::new(), checkpoints }).await.unwrap();
    }
    session.close().await;
    let start = now();
    let (committer, mut ownership) = asana_event_bridge::sink::kafka::open(settings).await.unwrap();
    let opened = start.elapsed();
    let mut found = (0, 0);
    while found.0 < 32 {
        let event = tokio::time::timeout(TIMEOUT, ownership.recv()).await.unwrap().unwrap();
        let OwnershipEvent::Assigned(shards) = event else { panic!("{event:?}") };
        found.0 += shards.len();
        found.1 += shards.iter().map(|(_, stored)| stored.len()).sum::<usize>();
    }
    println!("opened in {opened:?}, 10,000 streams in 32 shards restored after {:?}", start.elapsed());
    assert_eq!(found, (32, 10_000));
    committer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_topics_is_told_all_at_once() {
    let mut settings = settings(broker(), "wrong", 4);
    make_topic(broker(), "wrong.checkpoints", 2, &["cleanup.policy=delete"]);
    make_topic(broker(), "wrong.events", 3, &["cleanup.policy=compact", "max.message.bytes=1000"]);
    settings.config.topics.min_insync_replicas = std::num::NonZeroU16::MIN;
    let error = refused(&settings).await;
    println!("{error}");
    for part in [
        "topic wrong.checkpoints: cleanup.policy is delete, wanted is compact",
        "topic wrong.checkpoints: partitions is 2, wanted is 4",
        "set `shards: 2`",
        "topic wrong.events: cleanup.policy is compact, wanted is delete",
        "topic wrong.events: max.message.bytes is 1000",
        "--entity-name wrong.events --add-config max.message.bytes=1048576",
    ] {
        assert!(error.contains(part), "{part:?} is missing in {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_topics_and_missing_brokers_are_told_with_a_remedy() {
    let mut settings = settings(broker(), "missing", 4);
    settings.config.topics.create = false;
    let error = refused(&settings).await;
    assert!(error.contains("missing.checkpoints is missing") && error.contains("kafka-topics.sh"), "{error}");
    settings.config.topics.create = true;
    settings.config.topics.replication_factor = 3.try_into().unwrap();
    let error = refused(&settings).await;
    assert!(error.contains("3 replicas: the cluster has 1 broker(s)"), "{error}");
    assert!(error.contains("`sink.kafka.topics.replicationFactor`"), "{error}");
    settings.config.topics.replication_factor = 1.try_into().unwrap();
    Session::open(&settings, 4).await.close().await;
    settings.config.topics.replication_factor = 2.try_into().unwrap();
    settings.config.topics.min_insync_replicas = 2.try_into().unwrap();
    let error = refused(&settings).await;
    assert!(error.contains("replication factor is 1, wanted is at least 2"), "{error}");
    assert!(error.contains("min.insync.replicas is 1, wanted is at least 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_may_be_large_and_what_is_too_large_even_there_is_never_dropped() {
    let settings = settings(broker(), "large", 1);
    let mut session = Session::open(&settings, 1).await;
    let mut batch = step(&settings, 0, "stand-in");
    let mut dead = message(&settings, 0, 0, &"x".repeat(3_000_000));
    dead.target = Target::DeadLetter;
    batch.messages.push(dead);
    session.committer.commit(&batch).await.unwrap();
    let dead = read_kafka(broker(), &settings.config.dead_letter_topic);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].value.len(), 3_000_000);
    assert_eq!(dead[0].headers.get("__connect.errors.topic"), Some(&settings.config.topic));

    let mut dead = message(&settings, 0, 0, &"x".repeat(20_000_000));
    dead.target = Target::DeadLetter;
    let mut batch = step(&settings, 0, "not without its dead letter");
    batch.messages.push(dead);
    let error = session.committer.commit(&batch).await.unwrap_err();
    assert!(matches!(error, CommitError::Fatal(_)), "{error}");
    assert_eq!(seen(broker(), &settings.config.topic), ["stand-in"]);
    session.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_in_the_middle_of_commits_loses_and_doubles_nothing() {
    let service = Service::start("kafka", &[]);
    let settings = settings(&service.address, "outage", 1);
    let mut session = Session::open(&settings, 1).await;
    let (address, topic) = (service.address.clone(), settings.config.topic.clone());
    let outage = std::thread::spawn(move || {
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        service.kill();
        std::thread::park_timeout(std::time::Duration::from_secs(5));
        service.restart();
        service
    });
    let mut number = 0;
    let mut slowest = std::time::Duration::ZERO;
    let mut after = 0;
    while after < 20 {
        let start = now();
        match session.committer.commit(&step(&settings, 0, &number.to_string())).await {
            Ok(()) => number += 1,
            Err(CommitError::Aborted(error)) => println!("aborted: {error}"),
            // A broker that takes its time: the next session knows what became of it.
            Err(error) => {
                println!("a new session: {error}");
                session.close().await;
                session = Session::open(&settings, 1).await;
                let last = session.restored[&ShardId(0)].get("stream");
                number = last.map_or(0, |last| std::str::from_utf8(last).unwrap().parse::<u32>().unwrap() + 1);
            }
        }
        slowest = slowest.max(start.elapsed());
        after += u32::from(outage.is_finished());
        assert!(slowest < TIMEOUT * 2);
    }
    println!("{number} commits; the slowest took {slowest:?}");
    let service = outage.join().unwrap();
    let expected: Vec<_> = (0..number).map(|number| number.to_string()).collect();
    assert_eq!(seen(&address, &topic), expected);
    session.close().await;
    drop(service);
}

#[expect(clippy::disallowed_methods, reason = "a test of a running broker measures it")]
fn now() -> Instant {
    Instant::now()
}

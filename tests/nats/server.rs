//! The NATS sink against real servers: a current one with atomic batches and an old one without.

use crate::nats_support::{
    After, Proxy, Seen, TIMEOUT, Witness, assigned, batch, by_shard, eventually, exactly, message, next, session,
    settings,
};
use crate::nats_worker::{Worker, assert_contiguous, balanced, progress};
use crate::support::service::Service;
use asana_event_bridge::config::{HumanDuration, NatsConfig, NatsLogin, Secret, SecretSource};
use asana_event_bridge::sink::nats::{NatsSettings, open};
use asana_event_bridge::sink::{CommitError, Committer as _, OwnershipEvent, SinkError};
use async_nats::jetstream;
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Batch, BatchLimits, CheckpointWrite, StoredCheckpoint};
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One server of each kind is shared by the tests that don't stop it.
fn current() -> &'static str {
    static SERVER: OnceLock<Service> = OnceLock::new();
    &SERVER.get_or_init(|| Service::start("nats", &[])).address
}

fn old() -> &'static str {
    static SERVER: OnceLock<Service> = OnceLock::new();
    &SERVER.get_or_init(|| Service::start("nats-old", &[])).address
}

/// A short duplicate window: what relies on it is then seen to fail.
fn forgetful(address: &str, stream: &str) -> NatsSettings {
    let mut settings = settings(address, stream);
    settings.config.duplicate_window = HumanDuration(Duration::from_millis(100));
    settings
}

/// One batch over several shards.
fn over(prefix: &str, shards: &[u32], from: usize, to: usize) -> Batch {
    let mut all = Batch::default();
    for shard in shards {
        let part = batch(prefix, *shard, from, to);
        all.messages.extend(part.messages);
        all.checkpoints.extend(part.checkpoints);
    }
    all
}

fn lost(event: OwnershipEvent) -> Vec<u32> {
    match event {
        OwnershipEvent::Lost(shards) => shards.into_iter().map(|shard| shard.0).collect(),
        other => panic!("{other:?}"),
    }
}

fn value(checkpoint: &StoredCheckpoint, key: &str) -> Option<String> {
    checkpoint.get(key).map(|value| String::from_utf8(value.clone()).unwrap())
}

fn label(outcome: Result<(), CommitError>) -> &'static str {
    outcome.map_or_else(|error| error.label(), |()| "committed")
}

macro_rules! on_both_servers {
    ($($name:ident),+ $(,)?) => {
        mod current_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(super::current()).await; })+
        }
        mod old_server {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(super::old()).await; })+
        }
    };
}

on_both_servers!(
    what_is_committed_is_there_and_is_restored,
    a_lane_has_the_order_of_the_batch_whatever_the_shards,
    a_crash_at_any_message_leaves_all_or_nothing,
    a_message_that_arrives_after_a_takeover_is_not_stored_twice,
    a_commit_that_began_before_another_takeover_does_not_end_after_it,
    a_connection_lost_at_any_message_is_healed_by_the_commit_itself,
    a_commit_that_another_session_finishes_is_not_taken_for_a_damaged_one,
    a_stale_owner_of_a_shard_loses_that_one_alone,
    an_heir_of_all_shards_fences_all_of_a_batch,
    a_page_larger_than_an_atomic_batch_is_committed,
    a_batch_larger_than_a_message_is_committed,
    consumers_filter_by_lane_stream_type_and_gid,
    ten_thousand_streams_are_restored_in_three_seconds,
    checkpoints_replace_each_other,
    replicas_share_the_shards_as_they_come_and_go,
    replicas_that_start_together_share_the_shards,
    a_replica_that_comes_back_has_its_leases_at_once,
    a_taken_lease_is_noticed_and_the_others_stay,
    of_two_replicas_with_one_name_the_later_one_works,
    an_unanswered_revocation_ends_with_the_timeout,
);

#[tokio::test(flavor = "multi_thread")]
async fn only_the_current_server_has_atomic_batches() {
    let limits = async |address| session(settings(address, "limits")).await.committer.batch_limits();
    assert_eq!(limits(current()).await, BatchLimits { messages: 900, spans_shards: true });
    assert_eq!(limits(old()).await, BatchLimits { messages: 10_000, spans_shards: false });
}

async fn what_is_committed_is_there_and_is_restored(address: &str) {
    let settings = settings(address, "committed");
    let mut first = session(settings.clone()).await;
    assert!(first.restored.len() == 4 && first.restored.values().all(StoredCheckpoint::is_empty));
    let topic = first.committer.output_topic(&Topic::from("committed")).await.unwrap();
    assert_eq!((topic.lanes.get(), topic.message_bytes), (3, (1 << 20) - (4 << 10)));
    assert!(first.committer.output_topic(&Topic::from("another")).await.is_err());

    let mut two_shards = batch("committed", 1, 0, 9);
    let other = batch("committed", 2, 0, 9);
    two_shards.messages.extend(other.messages);
    two_shards.checkpoints.extend(other.checkpoints);
    two_shards.checkpoints.push(CheckpointWrite {
        shard: ShardId(2),
        key: "gone/9".to_owned(),
        value: Some(b"soon".to_vec()),
    });
    first.committer.commit(&two_shards).await.unwrap();
    first.committer.commit(&batch("committed", 2, 9, 12)).await.unwrap();
    first.committer.commit(&Batch::default()).await.unwrap();
    first.committer.close().await;

    let witness = Witness::new(address, "committed").await;
    let mut expected = exactly(&[1, 2], 9);
    for number in 9..12 {
        expected.get_mut(&((number % 3).to_string(), 2)).unwrap().push(number);
    }
    assert_eq!(by_shard(&witness.lanes().await), expected);
    let seen = witness.read("lane.1.main.1201.task.1001").await;
    let record = seen.iter().find(|seen| seen.id == "1/1").unwrap();
    assert_eq!(record.payload, b"record 1 of shard 1");
    assert_eq!(record.headers.get("ce-source").unwrap().as_str(), "/asana/main/1201");
    assert_eq!(record.headers.get("ce-time").unwrap().as_str(), "2023-11-14T22:13:20.000Z");

    let second = session(settings).await;
    assert_eq!(value(&second.restored[&ShardId(1)], "stream/main/1200").as_deref(), Some("9"));
    assert_eq!(value(&second.restored[&ShardId(2)], "stream/main/1200").as_deref(), Some("12"));
    assert_eq!(value(&second.restored[&ShardId(2)], "gone/9"), None);
    assert_eq!(second.restored[&ShardId(2)].len(), 2);
    assert!(second.restored[&ShardId(0)].is_empty());
    second.committer.close().await;
}

async fn a_lane_has_the_order_of_the_batch_whatever_the_shards(address: &str) {
    let mut session = session(settings(address, "order")).await;
    let ours = |number: usize, shard| message("order", shard, 3 * number);
    let mut all = over("order", &[0, 1, 2], 0, 0);
    all.messages = vec![ours(0, 2), ours(0, 0), ours(1, 2), ours(0, 1)];
    session.committer.commit(&all).await.unwrap();
    let lanes = Witness::new(address, "order").await.lanes().await;
    if session.committer.batch_limits().spans_shards {
        assert_eq!(lanes["0"], ["2/0", "0/0", "2/3", "1/0"]);
    } else {
        // Each shard is committed on its own.
        assert_eq!(by_shard(&lanes)[&("0".to_owned(), 2)], [0, 3]);
    }
    session.committer.close().await;
}

/// How many messages one commit of `batch(_, _, 0, 8)` sends at the most: intent, records, entries, head.
const MESSAGES: usize = 1 + 8 + 3 + 1;

async fn a_crash_at_any_message_leaves_all_or_nothing(address: &str) {
    let outcomes = join_all((0..=MESSAGES).map(|step| crash_at(address, step))).await;
    assert!(outcomes.contains(&false) && outcomes.contains(&true), "{outcomes:?}");
}

/// Commits once in peace, then crashes when `step` messages of the second commit are sent. Whether it has happened.
async fn crash_at(address: &str, step: usize) -> bool {
    let stream = format!("crash-{step}");
    let proxy = Proxy::start(address, &stream, After::Dead).await;
    let direct = NatsSettings { lease_time: Duration::from_secs(2), ..forgetful(address, &stream) };
    let mut first = session(NatsSettings {
        config: NatsConfig { servers: vec![format!("nats://{}", proxy.address)], ..direct.config.clone() },
        ..direct.clone()
    })
    .await;
    first.committer.commit(&batch(&stream, 0, 0, 8)).await.unwrap();
    proxy.cut_after(step);
    let doomed = batch(&stream, 0, 8, 16);
    tokio::select! {
        () = proxy.cut() => {}
        outcome = first.committer.commit(&doomed) => outcome.unwrap(),
    }
    drop(first);

    let witness = Witness::new(address, &stream).await;
    witness.outlive_duplicate_window().await;
    let mut second = session(direct.clone()).await;
    let happened = match value(&second.restored[&ShardId(0)], "stream/main/1200").as_deref() {
        Some("16") => true,
        Some("8") => false,
        other => panic!("step {step}: {other:?}"),
    };
    let there = if happened { 16 } else { 8 };
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0], there), "step {step}");
    assert_eq!(value(&second.restored[&ShardId(0)], "lanes"), Some(format!("counters at {there}")), "step {step}");
    // The next session goes on where the last one was.
    second.committer.commit(&batch(&stream, 0, there, 24)).await.unwrap();
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0], 24), "step {step}");
    second.committer.close().await;
    happened
}

async fn a_message_that_arrives_after_a_takeover_is_not_stored_twice(address: &str) {
    join_all((1..=MESSAGES).map(|step| arrives_late(address, step, 8))).await;
    // Written ahead on every server.
    arrives_late(address, 600, 1_200).await;
}

/// Stops with message `step` of a commit on its way, for longer than the duplicate window, until the commit's outcome
/// is known to another session.
async fn arrives_late(address: &str, step: usize, records: usize) {
    let stream = format!("late-{step}");
    let proxy = Proxy::start(address, &stream, After::Late).await;
    let direct = NatsSettings { lease_time: Duration::from_secs(2), ..forgetful(address, &stream) };
    let mut through_proxy = direct.clone();
    through_proxy.config.servers = vec![format!("nats://{}", proxy.address)];
    let mut first = session(through_proxy).await;
    first.committer.commit(&batch(&stream, 0, 0, 8)).await.unwrap();
    proxy.cut_after(step);
    let stopped = batch(&stream, 0, 8, 8 + records);
    tokio::select! {
        () = proxy.cut() => {}
        // An atomic batch has fewer messages.
        outcome = first.committer.commit(&stopped) => return outcome.unwrap(),
    }
    let mut second = session(direct).await;
    let witness = Witness::new(address, &stream).await;
    witness.outlive_duplicate_window().await;
    let there = value(&second.restored[&ShardId(0)], "stream/main/1200").unwrap().parse().unwrap();
    proxy.release();
    // Long enough for a message to come through, so that it would be seen.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0], there), "message {step} of {records} records");
    second.committer.commit(&batch(&stream, 0, there, there + 8)).await.unwrap();
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0], there + 8), "message {step} of {records} records");
    second.committer.close().await;
}

async fn a_commit_that_began_before_another_takeover_does_not_end_after_it(address: &str) {
    let proxy = Proxy::start(address, "retaken", After::Unbroken).await;
    let mut settings = NatsSettings { lease_time: Duration::from_secs(2), ..settings(address, "retaken") };
    settings.config.servers = vec![format!("nats://{}", proxy.address)];
    let mut session = session(settings).await;
    session.committer.commit(&over("retaken", &[0, 1], 0, 8)).await.unwrap();
    let witness = Witness::new(address, "retaken").await;
    // The commit waits for an answer for so long that the shard is lost, and taken again, meanwhile.
    proxy.cut_after(1);
    let late = over("retaken", &[0, 1], 8, 16);
    let (outcome, restored) = tokio::join!(session.committer.commit(&late), async {
        proxy.cut().await;
        witness.leases().await.put("shard.0", "thief x".into()).await.unwrap();
        assert_eq!(lost(next(&mut session.ownership).await), [0]);
        assigned(&mut session.ownership, 1).await
    });
    assert_ne!(label(outcome), "committed");
    let there = value(&restored[&ShardId(0)], "stream/main/1200").unwrap().parse().unwrap();
    let mut lanes = by_shard(&witness.lanes().await);
    lanes.retain(|(_, shard), _| *shard == 0);
    assert_eq!(lanes, exactly(&[0], there));
    session.committer.close().await;
}

async fn a_connection_lost_at_any_message_is_healed_by_the_commit_itself(address: &str) {
    let outcomes = join_all((0..MESSAGES).map(|step| lose_connection_at(address, step))).await;
    assert!(outcomes.iter().filter(|was_cut| **was_cut).count() > MESSAGES / 2, "{outcomes:?}");
}

/// Whether the connection was lost within the commit.
async fn lose_connection_at(address: &str, step: usize) -> bool {
    let stream = format!("cut-{step}");
    let proxy = Proxy::start(address, &stream, After::Alive).await;
    let mut settings = forgetful(address, &stream);
    settings.config.servers = vec![format!("nats://{}", proxy.address)];
    let mut session = session(settings.clone()).await;
    session.committer.commit(&batch(&stream, 0, 0, 8)).await.unwrap();
    proxy.cut_after(step);
    let next = batch(&stream, 0, 8, 16);
    let was_cut = loop {
        match session.committer.commit(&next).await {
            Ok(()) => break proxy.was_cut(),
            Err(CommitError::Aborted(_)) => {}
            Err(error) => panic!("step {step}: {error}"),
        }
    };
    session.committer.commit(&batch(&stream, 0, 16, 24)).await.unwrap();
    let witness = Witness::new(address, &stream).await;
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0], 24), "step {step}");
    session.committer.close().await;
    was_cut
}

async fn a_commit_that_another_session_finishes_is_not_taken_for_a_damaged_one(address: &str) {
    for attempt in 0..20 {
        if finish_between_claim_and_redo(address, &format!("raced-{attempt}")).await {
            return;
        }
    }
    panic!("the other session was never the faster one");
}

/// Whether another session has finished a commit after a new one claimed the shard for it, and before that one did so.
async fn finish_between_claim_and_redo(address: &str, stream: &str) -> bool {
    let settings = settings(address, stream);
    session(settings.clone()).await.committer.close().await;
    let client = async_nats::connect(address).await.unwrap();
    let subject = format!("{stream}._checkpoint.0.head");
    let mut heads = client.subscribe(subject.clone()).await.unwrap();
    let mut next_head = async || {
        let message = tokio::time::timeout(TIMEOUT, heads.next()).await.unwrap().unwrap();
        message.headers.unwrap().get("Asana-Bridge-Head").unwrap().to_string()
    };
    let write = async |head: &str, rollup: bool| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Asana-Bridge-Head", head);
        if rollup {
            headers.insert("Nats-Rollup", "sub");
        }
        client.publish_with_headers(subject.clone(), headers, "".into()).await.unwrap();
        client.flush().await.unwrap();
    };
    // An intent of nothing.
    write(r#"{"session":"another","replica":"thief","intent":{"commit":"c","chunk":0,"chunks":1}}"#, false).await;
    assert!(next_head().await.contains("thief"));

    let (opened, faster) = tokio::join!(session(settings), async {
        assert!(next_head().await.contains("replica-0"), "its claim");
        write(r#"{"session":"another","replica":"thief","completed":"c"}"#, true).await;
        next_head().await.contains("thief")
    });
    opened.committer.close().await;
    faster
}

async fn a_stale_owner_of_a_shard_loses_that_one_alone(address: &str) {
    // The lease doesn't run out: it is the head that tells.
    let settings = NatsSettings { lease_time: Duration::from_secs(600), ..settings(address, "stale") };
    let witness = Witness::new(address, "stale").await;
    let mut stale = session(settings).await;
    stale.committer.commit(&over("stale", &[0, 1, 2], 0, 8)).await.unwrap();
    witness.claim(1).await;
    assert_eq!(label(stale.committer.commit(&over("stale", &[0, 1, 2], 8, 16)).await), "aborted");
    // It takes the shard again, but as long as the caller hasn't heard of the loss, it must not write what it staged before.
    let head = "_checkpoint.1.head";
    let is_ours = |seen: &Seen| !seen.headers.get("Asana-Bridge-Head").unwrap().as_str().contains("thief");
    eventually(async || witness.read(head).await.last().is_some_and(is_ours).then_some(())).await;
    for _ in 0..20 {
        assert_eq!(label(stale.committer.commit(&over("stale", &[0, 1, 2], 8, 16)).await), "aborted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lost(stale.ownership.try_recv().unwrap()), [1]);
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0, 1, 2], 8));
    // The caller drops what was lost, and writes the rest again.
    stale.committer.commit(&over("stale", &[0, 2], 8, 16)).await.unwrap();
    // The lease was its own all the time, so it gets the shard again, as it is.
    let restored = assigned(&mut stale.ownership, 1).await;
    assert_eq!(value(&restored[&ShardId(1)], "stream/main/1200").as_deref(), Some("8"));
    stale.committer.commit(&over("stale", &[0, 1, 2], 16, 17)).await.unwrap();
    let mut expected = exactly(&[0, 1, 2], 17);
    expected.iter_mut().filter(|((_, shard), _)| *shard == 1).for_each(|(_, numbers)| numbers.retain(|n| *n < 8));
    expected.get_mut(&("1".to_owned(), 1)).unwrap().push(16);
    assert_eq!(by_shard(&witness.lanes().await), expected);
    stale.committer.close().await;
}

async fn an_heir_of_all_shards_fences_all_of_a_batch(address: &str) {
    let settings = NatsSettings { lease_time: Duration::from_secs(600), ..settings(address, "fenced") };
    let witness = Witness::new(address, "fenced").await;
    let mut stale = session(settings).await;
    stale.committer.commit(&over("fenced", &[0, 3], 0, 8)).await.unwrap();
    for shard in 0..4 {
        witness.claim(shard).await;
    }
    assert_eq!(label(stale.committer.commit(&over("fenced", &[0, 3], 8, 16)).await), "aborted");
    let mut both = lost(stale.ownership.try_recv().unwrap());
    both.sort_unstable();
    assert_eq!(both, [0, 3]);
    assert_eq!(label(stale.committer.commit(&batch("fenced", 2, 0, 8)).await), "aborted");
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0, 3], 8));
    stale.committer.close().await;
}

async fn a_page_larger_than_an_atomic_batch_is_committed(address: &str) {
    let settings = settings(address, "large-page");
    let mut session = session(settings).await;
    for (from, to) in [(0, 8), (8, 1_208), (1_208, 1_216)] {
        session.committer.commit(&batch("large-page", 3, from, to)).await.unwrap();
    }
    let witness = Witness::new(address, "large-page").await;
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[3], 1_216));
    session.committer.close().await;
}

async fn a_batch_larger_than_a_message_is_committed(address: &str) {
    // The second is more than an intent's chunk in bytes; the third has many messages, too, so that it is written ahead
    // on every server, and crashes on the way.
    let settings = NatsSettings { lease_time: Duration::from_secs(2), ..forgetful(address, "large-batch") };
    let large = |from, to| {
        let mut batch = batch("large-batch", 0, from, to);
        for message in &mut batch.messages {
            message.value.resize(if to > 100 { 4_000 } else { 900_000 }, b'x');
        }
        batch
    };
    let proxy = Proxy::start(address, "large-batch", After::Dead).await;
    let mut through_proxy = settings.clone();
    through_proxy.config.servers = vec![format!("nats://{}", proxy.address)];
    let mut first = session(through_proxy).await;
    first.committer.commit(&large(0, 8)).await.unwrap();
    proxy.cut_after(600);
    let doomed = large(8, 1_208);
    tokio::select! {
        () = proxy.cut() => {}
        outcome = first.committer.commit(&doomed) => panic!("{outcome:?}"),
    }
    drop(first);
    let witness = Witness::new(address, "large-batch").await;
    assert!(witness.lanes().await.values().flatten().count() < 1_208);
    witness.outlive_duplicate_window().await;
    let second = session(settings).await;
    assert_eq!(value(&second.restored[&ShardId(0)], "stream/main/1200").as_deref(), Some("1208"));
    assert_eq!(by_shard(&witness.lanes().await), exactly(&[0], 1_208));
    second.committer.close().await;
}

async fn consumers_filter_by_lane_stream_type_and_gid(address: &str) {
    let mut session = session(settings(address, "filters")).await;
    let mut all = batch("filters", 0, 0, 21);
    let mut lane_record = message("filters", 0, 100);
    lane_record.attributes.stream = None;
    lane_record.attributes.resource_type = "".into();
    lane_record.key = "".into();
    let mut dead_letter = message("filters", 0, 101);
    dead_letter.target = bridge_core::record::batch::Target::DeadLetter;
    let mut other_stream = message("filters", 0, 102);
    other_stream.attributes.stream = Some(bridge_core::ids::StreamId::new("team a", "7"));
    other_stream.attributes.resource_type = "project".into();
    all.messages.extend([lane_record, dead_letter, other_stream]);
    session.committer.commit(&all).await.unwrap();

    let witness = Witness::new(address, "filters").await;
    let count = async |filter: &str| witness.read(filter).await.len();
    assert_eq!(count("lane.>").await, 23);
    assert_eq!(count("lane.0.>").await, 8);
    assert_eq!(count("lane.1.>").await, 8);
    assert_eq!(count("lane.*.main.1200.>").await, 21);
    assert_eq!(count("lane.*.team=20a.7.>").await, 1);
    assert_eq!(count("lane.*._._.>").await, 1);
    assert_eq!(count("lane.*.*.*.project.*").await, 1);
    assert_eq!(count("lane.*.*.*.*.1003").await, 3);
    assert_eq!(count("dead-letter.>").await, 1);
    session.committer.close().await;
}

async fn ten_thousand_streams_are_restored_in_three_seconds(address: &str) {
    let settings = NatsSettings { shards: 32.try_into().unwrap(), ..settings(address, "many") };
    let mut first = session(settings.clone()).await;
    let limit = first.committer.batch_limits().messages.min(2_500);
    let writes: Vec<_> = (0..10_000_u32)
        .map(|number| CheckpointWrite {
            shard: ShardId(number % 32),
            key: format!("stream/main/{number}"),
            value: Some(vec![b'x'; 200]),
        })
        .collect();
    for checkpoints in writes.chunks(limit) {
        first.committer.commit(&Batch { messages: vec![], checkpoints: checkpoints.to_vec() }).await.unwrap();
    }
    first.committer.close().await;
    let begin = Instant::now();
    let second = session(settings).await;
    let took = begin.elapsed();
    assert_eq!(second.restored.values().map(StoredCheckpoint::len).sum::<usize>(), 10_000);
    println!("10,000 entries of 32 shards restored in {took:?}, connecting included");
    assert!(took < Duration::from_secs(3), "{took:?}");
    second.committer.close().await;
}

async fn checkpoints_replace_each_other(address: &str) {
    let mut session = session(settings(address, "replaced")).await;
    for _ in 0..20 {
        let write = CheckpointWrite { shard: ShardId(1), key: "k".to_owned(), value: Some(b"v".to_vec()) };
        session.committer.commit(&Batch { messages: vec![], checkpoints: vec![write] }).await.unwrap();
    }
    let witness = Witness::new(address, "replaced").await;
    // One head for each of four shards, and one entry.
    assert_eq!(witness.read("_checkpoint.>").await.len(), 5);
    session.committer.close().await;
}

/// Eight shards, and the lease that replicas have in production.
fn shared(address: &str, stream: &str) -> NatsSettings {
    NatsSettings { shards: 8.try_into().unwrap(), ..settings(address, stream) }
}

async fn replicas_share_the_shards_as_they_come_and_go(address: &str) {
    let settings = shared(address, "shared");
    let first = Worker::start(settings.clone(), "a");
    balanced(&[&first], &[8]).await;
    let second = Worker::start(settings.clone(), "b");
    let took = balanced(&[&first, &second], &[4, 4]).await;
    println!("{address}: four of eight shards moved to one that joined in {took:?}");
    let third = Worker::start(settings.clone(), "c");
    balanced(&[&first, &second, &third], &[3, 3, 2]).await;
    progress(&first, 5).await;

    let begin = Instant::now();
    let closed = second.close().await;
    balanced(&[&first, &third], &[4, 4]).await;
    println!("{address}: in order, peers had the shards after {:?}, close included", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    progress(&first, 5).await;

    let begin = Instant::now();
    third.crash().await;
    balanced(&[&first], &[8]).await;
    let took = begin.elapsed();
    println!("{address}: after a crash, the peer had the shards after {took:?}; the lease time is 10 s");
    assert!(took > Duration::from_secs(7) && took < Duration::from_secs(15), "{took:?}");
    progress(&first, 5).await;
    let account = first.close().await;
    // Only what had to go went, and all the time it wrote to what stayed.
    assert_eq!((account.revoked.len(), account.lost.len(), account.aborted), (5, 0, 0), "{account:?}");
    assert_eq!((closed.revoked.len(), closed.lost.len(), closed.aborted), (1, 0, 0), "{closed:?}");
    assert!(account.ended.is_empty() && closed.ended.is_empty(), "{account:?} {closed:?}");
    let witness = Witness::new(address, "shared").await;
    assert_contiguous(&by_shard(&witness.lanes().await), 8);
}

async fn replicas_that_start_together_share_the_shards(address: &str) {
    let settings = shared(address, "together");
    let workers: Vec<_> = ["a", "b", "c", "d"].map(|name| Worker::start(settings.clone(), name)).into_iter().collect();
    let took = balanced(&workers.iter().collect::<Vec<_>>(), &[2, 2, 2, 2]).await;
    println!("{address}: four replicas had two shards each after {took:?}");
    for worker in &workers {
        progress(worker, 3).await;
    }
    join_all(workers.into_iter().map(Worker::close)).await;
    let witness = Witness::new(address, "together").await;
    assert_contiguous(&by_shard(&witness.lanes().await), 8);
    // Nothing is left behind.
    let mut keys = witness.leases().await.keys().await.unwrap();
    assert!(futures_util::StreamExt::next(&mut keys).await.is_none());
}

async fn a_replica_that_comes_back_has_its_leases_at_once(address: &str) {
    let settings = NatsSettings { lease_time: Duration::from_secs(100), ..settings(address, "back") };
    let mut first = session(settings.clone()).await;
    first.committer.commit(&batch("back", 0, 0, 8)).await.unwrap();
    let begin = Instant::now();
    drop(first);
    let again = session(settings).await;
    println!("{address}: a replica that came back had its shards after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    again.committer.close().await;
}

async fn a_taken_lease_is_noticed_and_the_others_stay(address: &str) {
    let settings = NatsSettings { lease_time: Duration::from_secs(3), ..settings(address, "taken") };
    let mut first = session(settings).await;
    let witness = Witness::new(address, "taken").await;
    witness.leases().await.put("shard.2", "thief x".into()).await.unwrap();
    assert_eq!(lost(next(&mut first.ownership).await), [2]);
    assert_eq!(label(first.committer.commit(&over("taken", &[1, 2], 0, 8)).await), "aborted");
    first.committer.commit(&over("taken", &[0, 1, 3], 0, 8)).await.unwrap();
    // The thief doesn't renew it.
    let restored = assigned(&mut first.ownership, 1).await;
    assert!(restored.contains_key(&ShardId(2)));
    first.committer.commit(&over("taken", &[0, 1, 2, 3], 8, 16)).await.unwrap();
    first.committer.close().await;
}

async fn of_two_replicas_with_one_name_the_later_one_works(address: &str) {
    let settings = NatsSettings { lease_time: Duration::from_secs(2), ..settings(address, "twins") };
    let mut elder = session(settings.clone()).await;
    let mut later = session(settings.clone()).await;
    let mut gone = Vec::new();
    while gone.len() < 4 {
        gone.extend(lost(next(&mut elder.ownership).await));
    }
    // For longer than the lease they don't fight.
    tokio::time::sleep(settings.lease_time * 2).await;
    assert!(later.ownership.try_recv().is_err() && elder.ownership.try_recv().is_err());
    later.committer.commit(&over("twins", &[0, 1, 2, 3], 0, 8)).await.unwrap();
    later.committer.close().await;
    assigned(&mut elder.ownership, 4).await;
    elder.committer.commit(&over("twins", &[0, 1, 2, 3], 8, 16)).await.unwrap();
    elder.committer.close().await;
}

async fn an_unanswered_revocation_ends_with_the_timeout(address: &str) {
    let mut deaf = session(settings(address, "deaf")).await;
    let begin = Instant::now();
    let (peer, mut peers) =
        open(NatsSettings { replica: "replica-1".to_owned(), ..settings(address, "deaf") }).await.unwrap();
    let kept = next(&mut deaf.ownership).await;
    let OwnershipEvent::Revoked { shards, done } = kept else { panic!("{kept:?}") };
    assert_eq!(shards.len(), 2);
    let restored = assigned(&mut peers, 2).await;
    assert!(begin.elapsed() > Duration::from_secs(9), "{:?}", begin.elapsed());
    assert!(shards.iter().all(|shard| restored.contains_key(shard)));
    drop(done);
    assert_eq!(label(deaf.committer.commit(&batch("deaf", shards[0].0, 0, 8)).await), "aborted");
    let stays = (0..4).find(|shard| !shards.contains(&ShardId(*shard))).unwrap();
    deaf.committer.commit(&batch("deaf", stays, 0, 8)).await.unwrap();
    peer.close().await;
    deaf.committer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_current_server_may_crash_at_any_moment() {
    crash_server("nats").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_may_crash_at_any_moment() {
    crash_server("nats-old").await;
}

/// Two replicas commit while the server is killed and started again: three times for a moment, once for longer than
/// the lease.
async fn crash_server(service: &str) {
    let server = Service::start(service, &[]);
    let settings = NatsSettings { lease_time: Duration::from_secs(2), ..forgetful(&server.address, "outage") };
    let workers = ["a", "b"].map(|name| Worker::start(settings.clone(), name));
    let both: Vec<_> = workers.iter().collect();
    balanced(&both, &[2, 2]).await;
    for outage in [300, 300, 300, 5_000] {
        for worker in &workers {
            progress(worker, 30).await;
        }
        server.kill();
        tokio::time::sleep(Duration::from_millis(outage)).await;
        server.restart();
        let back = Instant::now();
        for worker in &workers {
            progress(worker, 1).await;
        }
        balanced(&both, &[2, 2]).await;
        println!("{service}: {:?} after an outage of {outage} ms each had its share, and wrote", back.elapsed());
    }
    let accounts = join_all(workers.into_iter().map(Worker::close)).await;
    println!("{service}: {accounts:?}");
    let witness = Witness::new(&server.address, "outage").await;
    assert_contiguous(&by_shard(&witness.lanes().await), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jetstream_stream_that_does_not_fit_is_refused_with_all_reasons() {
    let witness = Witness::new(current(), "wrong").await;
    let made = witness.jetstream.create_stream(jetstream::stream::Config {
        name: "wrong".to_owned(),
        subjects: vec!["other.>".to_owned()],
        max_age: Duration::from_secs(3_600),
        max_messages_per_subject: 1,
        max_bytes: 1_000_000,
        ..jetstream::stream::Config::default()
    });
    made.await.unwrap();
    let Err(SinkError::Setup { problem, remedy }) = open(settings(current(), "wrong")).await.map(drop) else {
        panic!("it was taken")
    };
    for what in ["subjects is other.>, wanted wrong.>", "max_age is 3600s", "max_msgs_per_subject is 1", "max_bytes is"]
    {
        assert!(problem.contains(what), "{what}: {problem}");
    }
    assert!(remedy.contains("nats stream edit"), "{remedy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_jetstream_stream_is_made_only_if_it_may() {
    let mut settings = settings(current(), "missing");
    settings.config.create = false;
    let error = open(settings).await.map(drop).unwrap_err();
    assert!(matches!(&error, SinkError::Setup { .. }), "{error}");
    assert!(error.to_string().contains("JetStream stream missing doesn't exist"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jetstream_stream_without_atomic_batches_gets_them_only_if_it_may() {
    let witness = Witness::new(current(), "upgraded").await;
    let made = witness.jetstream.create_stream(jetstream::stream::Config {
        name: "upgraded".to_owned(),
        subjects: vec!["upgraded.>".to_owned()],
        duplicate_window: Duration::from_secs(120),
        ..jetstream::stream::Config::default()
    });
    made.await.unwrap();
    let mut settings = settings(current(), "upgraded");
    settings.config.create = false;
    let error = open(settings.clone()).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("lacks allow_atomic and allow_msg_ttl and allow_rollup_hdrs"), "{error}");
    settings.config.create = true;
    let session = session(settings).await;
    assert_eq!(session.committer.batch_limits().messages, 900);
    session.committer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let mut settings = settings("127.0.0.1:1", "nowhere");
    settings.config.servers = vec!["nats://user:secret@127.0.0.1:1".to_owned()];
    let error = open(settings).await.map(drop).unwrap_err();
    assert!(matches!(&error, SinkError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1") && !error.to_string().contains("secret"), "{error}");
}

#[test]
fn secrets_are_not_printed() {
    let mut settings = settings("user:secret-1@127.0.0.1:1", "quiet");
    for login in [NatsLogin::Token, NatsLogin::NkeySeed] {
        settings.login = login(SecretSource::Text(Secret::new("secret-2")));
        assert!(!format!("{settings:?}").contains("secret-"), "{settings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_outlive_max_age_where_the_server_can_spare_them() {
    let mut session = session(settings(current(), "spared")).await;
    session.committer.commit(&batch("spared", 0, 0, 8)).await.unwrap();
    let witness = Witness::new(current(), "spared").await;
    let mut stream = witness.jetstream.get_stream("spared").await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.duplicate_window = Duration::from_secs(1);
    // A busy nats-server 2.12 now and then loses its timer for lifetimes. Turned off and on, it gets another.
    for _ in 0..10 {
        for max_age in [Duration::ZERO, Duration::from_secs(1)] {
            config.max_age = max_age;
            witness.jetstream.update_stream(config.clone()).await.unwrap();
        }
        let expired = eventually(async || witness.read("lane.>").await.is_empty().then_some(()));
        if tokio::time::timeout(Duration::from_secs(6), expired).await.is_ok() {
            break;
        }
    }
    assert!(witness.read("lane.>").await.is_empty(), "lifetimes count for all else");
    assert_eq!(witness.read("_checkpoint.0.entry.>").await.len(), 3);
    session.committer.close().await;
}

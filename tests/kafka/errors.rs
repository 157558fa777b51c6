//! What a broker's error codes and silence become, injected by librdkafka's in-process cluster.
//!
//! It has no isolation and checks no group: exactly-once is shown on the real thing (`kafka_broker`, `kill`).

use crate::kafka_support::{Session, TIMEOUT, settings, step};
use asana_event_bridge::sink::kafka::{KafkaCommitter, KafkaSettings};
use asana_event_bridge::sink::{CommitError, Committer as _, OwnershipEvent};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Request, RDKafkaRespErr as Code};
use std::time::Duration;

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A cluster with the topics of a session of two shards.
async fn begin(name: &str) -> (Cluster, KafkaSettings, Session) {
    begin_with(name, |_| {}).await
}

async fn begin_with(name: &str, change: impl FnOnce(&mut KafkaSettings)) -> (Cluster, KafkaSettings, Session) {
    let cluster = MockCluster::new(1).unwrap();
    let mut settings = settings(&cluster.bootstrap_servers(), name, 2);
    // The in-process cluster knows nothing of topics' settings.
    settings.config.topics.create = false;
    settings.config.topics.check = false;
    change(&mut settings);
    for (topic, partitions) in
        [(&settings.config.topic, 3), (&settings.config.checkpoint_topic, 2), (&settings.config.dead_letter_topic, 1)]
    {
        cluster.create_topic(topic, partitions, 1).unwrap();
    }
    let session = Session::open(&settings, 2).await;
    (cluster, settings, session)
}

fn label(result: Result<(), CommitError>) -> &'static str {
    result.map_or_else(|error| error.label(), |()| "committed")
}

/// The outcome of a commit that meets these answers, and of the next one in the same session.
async fn outcomes(name: &str, request: Request, answers: &[Code]) -> (&'static str, &'static str) {
    let (cluster, settings, mut session) = begin(name).await;
    assert_eq!(label(session.committer.commit(&step(&settings, 0, "before")).await), "committed");
    cluster.request_errors(request, answers);
    let met = label(session.committer.commit(&step(&settings, 0, "met")).await);
    cluster.clear_request_errors(request);
    let next = label(session.committer.commit(&step(&settings, 0, "next")).await);
    session.close().await;
    (met, next)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_waited_for() {
    for (name, request, code) in [
        ("produce", Request::Produce, Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS),
        ("leader", Request::Produce, Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
        ("partitions", Request::AddPartitionsToTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        ("end", Request::EndTxn, Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
    ] {
        assert_eq!(outcomes(name, request, &[code, code]).await, ("committed", "committed"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_refusal_aborts_and_the_session_goes_on() {
    for (name, code) in [
        ("generation", Code::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
        ("member", Code::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
        ("instance", Code::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID),
    ] {
        assert_eq!(outcomes(name, Request::TxnOffsetCommit, &[code]).await, ("aborted", "committed"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_producer_of_the_same_name_fences() {
    let code = Code::RD_KAFKA_RESP_ERR_PRODUCER_FENCED;
    assert_eq!(outcomes("fenced", Request::EndTxn, &[code]).await, ("fenced", "fenced"));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_abort_until_they_are_there() {
    let code = Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    assert_eq!(outcomes("rights", Request::AddPartitionsToTxn, &[code]).await, ("aborted", "committed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_waited_for() {
    let (cluster, settings, mut session) = begin("silent").await;
    cluster.broker_down(1).unwrap();
    let commit = commit_at_last(&mut session.committer, &settings);
    let outage = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cluster.broker_up(1).unwrap();
    };
    tokio::join!(commit, outage);
    session.close().await;
}

/// Surely not on the bus: the same records again, as the bridge does.
async fn commit_at_last(committer: &mut KafkaCommitter, settings: &KafkaSettings) {
    let batch = step(settings, 0, "through");
    while let Err(error) = committer.commit(&batch).await {
        assert_eq!(error.label(), "aborted", "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_an_outage_cost_is_told_and_won_again_in_the_same_session() {
    let short = |settings: &mut KafkaSettings| {
        settings.config.properties.insert("session.timeout.ms".to_owned(), "6000".to_owned());
    };
    let (cluster, settings, mut session) = begin_with("lost", short).await;
    cluster.broker_down(1).unwrap();
    let Session { committer, ownership, .. } = &mut session;
    let told = async {
        assert_eq!(shards(ownership.recv().await), ("lost", 2));
        cluster.broker_up(1).unwrap();
        let mut again = 0;
        while again < 2 {
            let (kind, count) = shards(ownership.recv().await);
            assert_eq!(kind, "assigned");
            again += count;
        }
    };
    let commit = commit_at_last(committer, &settings);
    let both = async { tokio::join!(commit, told) };
    tokio::time::timeout(TIMEOUT * 2, both).await.expect("the shards and the commit in time");
    session.close().await;
}

/// What is told of how many shards.
fn shards(event: Option<OwnershipEvent>) -> (&'static str, usize) {
    match event.expect("the session goes on") {
        OwnershipEvent::Assigned(shards) => ("assigned", shards.len()),
        OwnershipEvent::Revoked { shards, .. } => ("revoked", shards.len()),
        OwnershipEvent::Lost(shards) => ("lost", shards.len()),
        OwnershipEvent::Emptied(shards) => ("emptied", shards.len()),
        OwnershipEvent::Failed(error) => panic!("{error}"),
    }
}

use super::*;
use crate::outcome::poll::{PollForm, PollOutcome, Polled};
use crate::outcome::stamp::Stamp;
use std::time::Duration;

const SHARDS: NonZeroU32 = NonZeroU32::new(4).unwrap();
const SHARD: ShardId = ShardId(3);

fn stored(writes: Vec<CheckpointWrite>) -> StoredCheckpoint {
    writes.into_iter().map(|write| (write.key, write.value.expect("a value"))).collect()
}

fn header() -> Header {
    Header {
        shards: 4,
        epoch: 9,
        replica: "r".to_owned(),
        deployment: Deployment::default(),
        recreated_at: DateTime::from_timestamp_millis(3),
        streams: 0,
        empty: false,
    }
}

fn restored(stored: &StoredCheckpoint) -> Result<ShardState, CheckpointError> {
    restore(SHARD, stored, SHARDS, DateTime::UNIX_EPOCH)
}

/// As it is restored.
fn live(at: DateTime<Utc>) -> Live {
    Live {
        token: "t:1".into(),
        token_received_at: at,
        token_given_after: at,
        last_complete_poll_at: at,
        served: Served::default(),
        rate: EventRate { observed: 86_400.5, counts: [7.25, 0.5, 0.0] },
        maybe_asked: true,
    }
}

#[test]
fn what_was_written_is_restored() {
    let (id, at) = (StreamId::new("main", "12"), DateTime::from_timestamp_millis(5).expect("a time"));
    let served = Served { events: 3, hash: [7; 16] };
    let stream = Stream {
        state: State::Live(Live { served, ..live(at) }),
        epoch: 9,
        last_sequence: 4,
        open_gaps: vec![OpenGap {
            id: "g".into(),
            reason: SourceGapReason::TokenRefused,
            last_complete_poll_at: Some(at),
            resumed_at: at,
            topics: [(Topic::from("t"), 2)].into(),
        }],
        last_crawl_at: Some(at),
        ended: true,
        ..Stream::new()
    };
    let lanes = Lanes { count: 2, counters: vec![LaneCounter { epoch: 9, last: 3 }, LaneCounter::default()] };
    let topic = Topic::from("t");
    let stored = stored(vec![
        write_shard(SHARD, &Header { streams: 1, ..header() }),
        write_lanes(SHARD, &topic, &lanes),
        write_stream(SHARD, &id, &stream),
    ]);
    assert_eq!(last_owner(&stored).as_deref(), Some("r"));
    let mut lost = stored.clone();
    lost.remove("stream/main/12");
    assert_eq!(restored(&lost), Err(CheckpointError::Incomplete { shard: SHARD, found: 0, expected: 1 }));
    let state = restored(&stored);
    let expected = ShardState {
        empty: false,
        counters: Counters::new(9, BTreeMap::from([(topic, lanes)]), 1),
        streams: BTreeMap::from([(id, stream)]),
        recreated_at: header().recreated_at,
    };
    assert_eq!(state, Ok(expected));
}

#[test]
fn what_is_not_understood_is_refused() {
    let other = stored(vec![write_shard(SHARD, &Header { shards: 1, ..header() })]);
    assert_eq!(restored(&other), Err(CheckpointError::OtherShards { found: 1, configured: 4 }));
    let newer = pb::Checkpoint { format: 2, kind: None }.encode_to_vec();
    let newer = restored(&BTreeMap::from([("shard".to_owned(), newer)]));
    assert_eq!(newer, Err(CheckpointError::NewerFormat { shard: SHARD, found: 2 }));
    for (key, value) in [("shard", vec![0xff]), ("x", vec![]), ("stream/x", vec![0x08, 0x01, 0x22, 0x00])] {
        let result = restored(&BTreeMap::from([(key.to_owned(), value)]));
        assert!(matches!(result, Err(CheckpointError::Unreadable { .. })), "{key}: {result:?}");
    }
    let headless = stored(vec![write_lanes(SHARD, &Topic::from("t"), &Lanes::default())]);
    assert_eq!(last_owner(&headless), None);
    assert!(matches!(restored(&headless), Err(CheckpointError::Unreadable { .. })));
}

#[test]
fn another_deployment_is_refused_by_both_names() {
    for (stored_name, configured) in [("a_b", "a_c"), ("", "a_c"), ("a_b", "")] {
        let stored = stored(vec![write_shard(SHARD, &Header { deployment: stored_name.into(), ..header() })]);
        let expected = Expected { shards: SHARDS, deployment: configured.into() };
        let error = restore(SHARD, &stored, expected, DateTime::UNIX_EPOCH).expect_err("another deployment");
        let (found, configured) = (stored_name.into(), configured.into());
        assert_eq!(error, CheckpointError::OtherDeployment { found, configured });
        assert!(error.to_string().contains("checkpoint adopt"), "{error}");
    }
}

#[test]
fn a_retired_shard_is_refused_with_the_way_on() {
    let retired = Retired { successor: "x: y".to_owned(), shards: 8, at: DateTime::UNIX_EPOCH };
    let before = header();
    for before in [Some(&before), None] {
        let stored = stored(vec![write_shard(SHARD, &header()), write_retired(SHARD, &retired, before, "q")]);
        assert_eq!(last_owner(&stored).as_deref(), Some("q"));
        let error = restored(&stored).expect_err("retired").to_string();
        assert!(error.contains("set shards: 8 and x: y"), "{error}");
        let contents = read(SHARD, &stored).expect("readable");
        assert_eq!((contents.header.as_ref(), contents.retired.as_ref()), (before, Some(&retired)));
    }
}

#[test]
fn a_reset_is_announced_as_a_gap_since_the_last_complete_poll() {
    let (id, at) = (StreamId::new("main", "12"), DateTime::from_timestamp_millis(5).expect("a time"));
    assert_eq!(write_reset(SHARD, &id, &Stream::new()), None);
    let stream = Stream { state: State::Live(live(at)), epoch: 9, last_sequence: 4, ..Stream::new() };
    let written = stored(vec![write_reset(SHARD, &id, &stream).expect("it has a token")]);
    let reset = read(SHARD, &written).expect("readable").streams.remove(&id).expect("the stream");
    assert!(is_reset(&reset) && !is_reset(&stream));
    assert_eq!((reset.epoch, reset.last_sequence), (9, 4));
    let later = DateTime::from_timestamp_millis(9).expect("a time");
    let polled = Polled {
        outcome: PollOutcome::TokenReset("u".into()),
        stamp: Stamp::new(later, Duration::ZERO),
        received_at: later,
    };
    let (_, effects) = reset.step(&id, PollForm::Full, polled, None);
    let gap = effects.gap.expect("a gap");
    assert_eq!((gap.last_complete_poll_at, gap.resumed_at), (Some(at), later + Duration::from_secs(1)));
}

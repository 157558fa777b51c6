//! The detector: every verdict, its limits, its memory over a restart, and random damage to random logs.

use asana_event_bridge_consumer::detect::Continuity::{Duplicate, InOrder, Missing, Older, Reordered};
use asana_event_bridge_consumer::detect::sighting::{Progress, ShardProgress, Sighting, Signal};
use asana_event_bridge_consumer::detect::{Continuity, Detector, Limits, News, Start, StateError, Tally, View};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const TOPIC: &str = "t";

/// A record of shard 0 in lane 0, of stream `a/1`.
fn record(epoch: u64, sequence: u64) -> Sighting<'static> {
    Sighting {
        shard: 0,
        epoch,
        lane: 0,
        lane_sequence: sequence,
        stream: "a/1",
        stream_sequence: sequence,
        signal: Signal::None,
    }
}

fn of_lane(epoch: u64, sequence: u64, signal: Signal<'static>) -> Sighting<'static> {
    Sighting { stream: "", stream_sequence: 0, signal, ..record(epoch, sequence) }
}

fn start(epoch: u64, previous_epoch: u64, previous_lane_sequence: u64) -> Sighting<'static> {
    of_lane(epoch, 1, Signal::EpochStart { previous_epoch, previous_lane_sequence })
}

fn watermark(sequence: u64, seconds: i64) -> Sighting<'static> {
    watermark_of(sequence, seconds, 1, 1)
}

fn watermark_of(sequence: u64, seconds: i64, shards: u32, lanes: u32) -> Sighting<'static> {
    of_lane(1, sequence, stating(shards, lanes, vec![up_to(0, 1, sequence, Some(seconds))]))
}

fn stating(shards: u32, lanes: u32, progress: Vec<ShardProgress>) -> Signal<'static> {
    Signal::Watermark { shards, lanes, progress: Progress::Read(progress.leak()) }
}

/// The progress of a shard; empty without a time.
fn up_to(shard: u32, epoch: u64, lane_sequence: u64, seconds: Option<i64>) -> ShardProgress {
    ShardProgress { shard, epoch, lane_sequence, complete_up_to: seconds.map(time), empty: seconds.is_none() }
}

fn in_lane(lane: u32, shard: u32, record: Sighting<'_>) -> Sighting<'_> {
    own(Sighting { lane, shard, ..record })
}

/// A watermark is about the shard of its own position, at that position.
fn own(record: Sighting<'_>) -> Sighting<'_> {
    let Signal::Watermark { shards, lanes, progress } = record.signal else { return record };
    let Sighting { shard, epoch, lane_sequence, .. } = record;
    let own = progress.iter().map(|it| ShardProgress { shard, epoch, lane_sequence, ..it });
    Sighting { signal: stating(shards, lanes, own.collect()), ..record }
}

fn gap(sequence: u64, since: i64) -> Sighting<'static> {
    Sighting { signal: Signal::SourceGap { gap_id: "g", since: Some(time(since)) }, ..record(1, sequence) }
}

fn healed(sequence: u64) -> Sighting<'static> {
    Sighting { signal: Signal::SourceGapHealed { gap_id: "g" }, ..record(1, sequence) }
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn continuity(detector: &mut Detector, record: Sighting<'_>) -> Continuity {
    detector.observe(TOPIC, record).continuity
}

fn news(detector: &mut Detector, record: Sighting<'_>) -> Option<News> {
    detector.observe(TOPIC, record).news
}

fn complete(detector: &Detector) -> Option<i64> {
    detector.complete_up_to(TOPIC).map(|time| time.timestamp())
}

#[test]
fn a_hole_is_missing_until_it_is_filled() {
    for mut detector in [Detector::by_lane(Start::Beginning), Detector::by_stream(Start::Beginning)] {
        let verdicts = [3, 1, 3, 4, 2].map(|sequence| continuity(&mut detector, record(1, sequence)));
        assert_eq!(verdicts, [Missing(2), Reordered, Duplicate, InOrder, Reordered]);
        assert_eq!(detector.total(), Tally { read: 5, missing: 0, duplicates: 1, reordered: 2, older: 0 });
    }
}

#[test]
fn a_reader_that_joins_misses_nothing_before_its_first_record() {
    let mut detector = Detector::by_lane(Start::Middle);
    let verdicts =
        [(4, 100), (4, 102), (4, 99), (3, 7), (9, 2)].map(|(epoch, it)| continuity(&mut detector, record(epoch, it)));
    assert_eq!(verdicts, [InOrder, Missing(1), Older, Older, Missing(1)]);
    assert_eq!(detector.total(), Tally { read: 5, missing: 2, duplicates: 0, reordered: 0, older: 2 });
    let mut at_a_start = Detector::by_lane(Start::Middle);
    let told = news(&mut at_a_start, start(5, 4, 70));
    assert_eq!(told, Some(News::EpochChanged { previous_epoch: 4, missing: Some(0) }));
    assert_eq!(at_a_start.total().missing, 0);
}

#[test]
fn an_epoch_start_tells_what_the_end_of_the_last_one_lacks() {
    for mut detector in [Detector::by_lane(Start::Beginning), Detector::by_lane(Start::Middle)] {
        assert_eq!(
            news(&mut detector, start(4, 0, 0)),
            Some(News::EpochChanged { previous_epoch: 0, missing: Some(0) })
        );
        continuity(&mut detector, record(4, 2));
        let told = news(&mut detector, start(7, 4, 5));
        assert_eq!(told, Some(News::EpochChanged { previous_epoch: 4, missing: Some(3) }));
        assert_eq!(continuity(&mut detector, record(4, 4)), Reordered);
        assert_eq!(detector.total().missing, 2);
        // An epoch of which nothing was seen at all.
        let told = news(&mut detector, start(9, 8, 10));
        assert_eq!(told, Some(News::EpochChanged { previous_epoch: 8, missing: Some(10) }));
        assert_eq!(detector.total().missing, 12);
        // Its start is lost.
        let verdict = detector.observe(TOPIC, record(11, 2));
        assert_eq!(verdict.continuity, Missing(1));
        assert_eq!(verdict.news, Some(News::EpochChanged { previous_epoch: 9, missing: None }));
    }
}

#[test]
fn four_epochs_are_remembered() {
    let mut detector = Detector::by_stream(Start::Beginning);
    continuity(&mut detector, record(1, 3));
    for epoch in 2..=5 {
        assert_eq!(continuity(&mut detector, record(epoch, 1)), InOrder);
    }
    assert_eq!(continuity(&mut detector, record(1, 2)), Older);
    assert_eq!(continuity(&mut detector, record(2, 1)), Duplicate);
    assert_eq!(detector.total().missing, 2);
}

#[test]
fn a_stream_is_followed_over_its_lanes_and_a_lane_over_its_streams() {
    let other = |sequence| Sighting { lane: 5, lane_sequence: 1, ..record(1, sequence) };
    let mut by_stream = Detector::by_stream(Start::Beginning);
    let verdicts = [record(1, 1), other(2), record(1, 4)].map(|it| continuity(&mut by_stream, it));
    assert_eq!(verdicts, [InOrder, InOrder, Missing(1)]);
    assert_eq!(continuity(&mut by_stream, start(1, 0, 0)), Continuity::NotFollowed);
    assert_eq!(by_stream.streams(), [("a/1", by_stream.total())]);
    let mut by_lane = Detector::by_lane(Start::Beginning);
    let verdicts = [record(1, 1), other(2), record(1, 4)].map(|it| continuity(&mut by_lane, it));
    assert_eq!(verdicts, [InOrder, InOrder, Missing(2)]);
    assert_eq!(by_lane.lanes().len(), 2);
}

#[test]
fn a_source_gap_is_open_until_each_of_its_lanes_has_the_healing() {
    let mut detector = Detector::by_lane(Start::Beginning);
    let open = |detector: &Detector| detector.open_gaps().len();
    assert_eq!(news(&mut detector, gap(1, 10)), Some(News::SourceGapOpened { gap_id: "g".into() }));
    assert_eq!(open(&detector), 1);
    detector.observe(TOPIC, in_lane(1, 0, gap(1, 10)));
    assert_eq!(open(&detector), 1, "each gap once");
    assert_eq!(news(&mut detector, healed(2)), Some(News::SourceGapHealed { gap_id: "g".into() }));
    assert_eq!(news(&mut detector, healed(2)), None, "a duplicate says nothing");
    assert_eq!(open(&detector), 1);
    detector.observe(TOPIC, in_lane(1, 0, healed(2)));
    assert_eq!(open(&detector), 0);
}

#[test]
fn healed_is_final_in_whatever_order_the_two_come() {
    for mut detector in [Detector::by_lane(Start::Beginning), Detector::by_stream(Start::Beginning)] {
        assert_eq!(continuity(&mut detector, healed(2)), Missing(1));
        assert_eq!(continuity(&mut detector, gap(1, 10)), Reordered);
        assert!(detector.open_gaps().is_empty());
    }
}

#[test]
fn a_topic_is_complete_up_to_the_least_watermark_that_nothing_is_missing_before() {
    let mut detector = Detector::by_lane(Start::Beginning);
    assert_eq!(complete(&detector), None);
    assert_eq!(news(&mut detector, watermark(1, 50)), Some(News::CompleteUpTo { time: time(50) }));
    assert_eq!(complete(&detector), Some(50));
    detector.observe(TOPIC, in_lane(0, 1, watermark_of(1, 40, 2, 1)));
    assert_eq!(complete(&detector), Some(40), "another shard");
    detector.observe(TOPIC, in_lane(0, 1, watermark_of(3, 60, 2, 1)));
    assert_eq!(complete(&detector), Some(40), "one is missing before the later one");
    let told = news(&mut detector, in_lane(0, 1, record(1, 2)));
    assert_eq!(told, Some(News::CompleteUpTo { time: time(50) }), "it came late");
    assert_eq!(complete(&detector), Some(50));
    assert_eq!(detector.lane_complete_up_to(TOPIC, 0), Some(time(50)));
    assert_eq!(detector.lane_complete_up_to(TOPIC, 1), None);
    detector.observe(TOPIC, gap(2, 45));
    assert_eq!(complete(&detector), Some(45), "Asana may have lost what is later");
    detector.observe(TOPIC, healed(3));
    assert_eq!(complete(&detector), Some(50));
}

#[test]
fn a_watermark_shows_the_lost_tail_of_every_shard_that_it_names() {
    let mut detector = Detector::by_lane(Start::Beginning);
    detector.observe(TOPIC, in_lane(0, 1, record(1, 1)));
    let both = |own, other| stating(2, 1, vec![up_to(0, 1, own, Some(50)), up_to(1, 1, other, Some(60))]);
    let told = news(&mut detector, of_lane(1, 1, both(1, 3)));
    assert_eq!(told, Some(News::TailMissing { missing: 2 }));
    assert_eq!((complete(&detector), detector.total().missing), (None, 2));
    let told = [2, 3].map(|sequence| news(&mut detector, in_lane(0, 1, record(1, sequence))));
    assert_eq!(told, [None, Some(News::CompleteUpTo { time: time(50) })], "they came late");
    assert_eq!(continuity(&mut detector, in_lane(0, 1, record(1, 5))), Missing(1), "what follows is judged as ever");
}

#[test]
fn a_reader_that_joins_knows_the_shards_that_a_watermark_names() {
    let mut detector = Detector::by_lane(Start::Middle);
    let signal = stating(2, 1, vec![up_to(0, 1, 70, Some(50)), up_to(1, 1, 9, Some(60))]);
    assert_eq!(news(&mut detector, of_lane(1, 70, signal)), Some(News::CompleteUpTo { time: time(50) }));
    assert_eq!(continuity(&mut detector, in_lane(0, 1, record(1, 11))), Missing(1));
    assert_eq!(continuity(&mut detector, in_lane(0, 1, record(1, 9))), Older);
    // An empty one, too.
    let mut detector = Detector::by_lane(Start::Middle);
    detector.observe(TOPIC, of_lane(1, 70, stating(2, 1, vec![up_to(0, 1, 70, Some(50)), up_to(1, 1, 9, None)])));
    let mut detector = Detector::restore(&detector.save(), Limits::default()).unwrap();
    assert_eq!(complete(&detector), Some(50));
    detector.observe(TOPIC, in_lane(0, 1, record(1, 10)));
    assert_eq!(complete(&detector), None);
}

#[test]
fn a_shard_without_streams_is_complete_until_its_next_record() {
    let mut detector = Detector::by_lane(Start::Beginning);
    let stated = |sequence, seconds, other| stating(2, 1, vec![up_to(0, 1, sequence, Some(seconds)), other]);
    detector.observe(TOPIC, in_lane(0, 1, record(1, 1)));
    detector.observe(TOPIC, of_lane(1, 1, stated(1, 50, up_to(1, 1, 1, None))));
    assert_eq!(complete(&detector), Some(50));
    detector.observe(TOPIC, watermark_of(2, 60, 2, 1));
    assert_eq!(complete(&detector), Some(60), "the empty shard needn't be named again");
    let mut detector = Detector::restore(&detector.save(), Limits::default()).unwrap();
    assert_eq!(complete(&detector), Some(60));
    // Its first stream: a watermark says so before anything else comes.
    detector.observe(TOPIC, of_lane(1, 3, stated(3, 70, up_to(1, 1, 1, Some(65)))));
    assert_eq!(complete(&detector), Some(65));
    detector.observe(TOPIC, watermark_of(4, 80, 2, 1));
    assert_eq!(complete(&detector), Some(65), "now it has to be named");
    // Empty again, and then the statement is lost with what follows it.
    detector.observe(TOPIC, of_lane(1, 5, stated(5, 90, up_to(1, 1, 1, None))));
    assert_eq!(complete(&detector), Some(90));
    detector.observe(TOPIC, in_lane(0, 1, record(1, 2)));
    assert_eq!(complete(&detector), Some(65), "a record ends it");
    // One that comes late says nothing of what is now.
    detector.observe(TOPIC, watermark_of(7, 95, 2, 1));
    detector.observe(TOPIC, of_lane(1, 6, stated(6, 93, up_to(1, 1, 2, None))));
    assert_eq!(complete(&detector), Some(65));
}

#[test]
fn a_lane_whose_tail_is_lost_is_behind_the_others_of_its_shard() {
    let mut detector = Detector::by_lane(Start::Beginning);
    for lane in 0..3 {
        detector.observe(TOPIC, in_lane(lane, 0, watermark_of(1, 50, 1, 4)));
    }
    let lanes = |detector: &Detector| detector.behind().iter().map(|it| it.key.lane).collect::<Vec<_>>();
    assert_eq!((complete(&detector), lanes(&detector)), (None, vec![3]), "a lane that never had a record");
    detector.observe(TOPIC, in_lane(3, 0, watermark_of(1, 50, 1, 4)));
    assert_eq!((complete(&detector), lanes(&detector)), (Some(50), vec![]));
    for lane in [0, 2, 3] {
        detector.observe(TOPIC, in_lane(lane, 0, watermark_of(2, 60, 1, 4)));
    }
    assert_eq!(complete(&detector), Some(50));
    let [behind] = detector.behind().try_into().unwrap();
    assert_eq!((behind.key.lane, behind.watermark, behind.others), (1, Some(time(50)), time(60)));
    // Its tail is there, and something before it isn't: that holds it back until the reader has dealt with it.
    detector.observe(TOPIC, in_lane(1, 0, watermark_of(9, 60, 1, 4)));
    assert_eq!((complete(&detector), lanes(&detector)), (Some(50), vec![]));
    detector.accept_losses();
    assert_eq!((complete(&detector), lanes(&detector)), (Some(60), vec![]));
    assert_eq!(detector.total().missing, 7, "they stay counted");
    assert_eq!(continuity(&mut detector, in_lane(1, 0, record(1, 4))), Older);
    // A shard of which nothing was seen.
    detector.observe(TOPIC, in_lane(0, 0, watermark_of(3, 70, 2, 4)));
    assert_eq!((complete(&detector), detector.lane_complete_up_to(TOPIC, 0)), (None, None));
}

#[test]
fn an_epoch_whose_end_nobody_knows_holds_completeness_back_until_it_is_accepted() {
    let later = |sequence, seconds| own(Sighting { epoch: 7, ..watermark_of(sequence, seconds, 1, 1) });
    // The start of the new epoch comes first, or late.
    for order in [[start(7, 0, 0), later(2, 60)], [later(2, 60), start(7, 0, 0)]] {
        let mut detector = Detector::by_lane(Start::Beginning);
        detector.observe(TOPIC, watermark(1, 50));
        let told = order.map(|record| news(&mut detector, record));
        assert!(told.contains(&Some(News::EpochChanged { previous_epoch: 1, missing: None })), "{told:?}");
        let mut detector = Detector::restore(&detector.save(), Limits::default()).unwrap();
        assert_eq!((complete(&detector), detector.total().missing), (Some(50), 0));
        assert_eq!(detector.unknown_ends().iter().map(|it| (it.lane, it.shard)).collect::<Vec<_>>(), [(0, 0)]);
        detector.accept_losses();
        assert_eq!((complete(&detector), detector.unknown_ends().len()), (Some(60), 0));
    }
}

#[test]
fn a_source_gap_that_nobody_heals_ends_with_its_stream_or_when_it_is_accepted() {
    let mut detector = Detector::by_lane(Start::Beginning);
    let other = Sighting { stream: "b/2", ..gap(2, 46) };
    for record in [gap(1, 45), other, watermark(3, 60)] {
        detector.observe(TOPIC, record);
    }
    assert_eq!((complete(&detector), detector.open_gaps().len()), (Some(45), 2));
    detector.observe(TOPIC, Sighting { signal: Signal::StreamEnded, ..record(1, 4) });
    assert_eq!((complete(&detector), detector.open_gaps().len()), (Some(46), 1));
    detector.accept_losses();
    assert_eq!((complete(&detector), detector.open_gaps().len()), (Some(60), 0));
    let told = news(&mut detector, Sighting { stream: "b/2", ..healed(5) });
    assert_eq!(told, Some(News::SourceGapHealed { gap_id: "g".into() }), "told, and no surprise");
    assert_eq!(complete(&detector), Some(60));
    // By stream, too.
    let mut detector = Detector::by_stream(Start::Beginning);
    detector.observe(TOPIC, gap(1, 45));
    detector.observe(TOPIC, Sighting { signal: Signal::StreamEnded, ..record(1, 2) });
    assert_eq!(detector.open_gaps().len(), 0);
}

#[test]
fn lanes_that_begin_later_are_read_from_their_start() {
    let grown = Signal::LanesChanged { previous_count: 1, count: 3 };
    let mut detector = Detector::by_lane(Start::Middle);
    assert_eq!(continuity(&mut detector, watermark(70, 50)), InOrder);
    // Another shard wrote to the new lanes before.
    assert_eq!(continuity(&mut detector, in_lane(2, 7, record(1, 500))), InOrder);
    let told = news(&mut detector, of_lane(1, 71, grown));
    assert_eq!(told, Some(News::LanesChanged { previous_count: 1, count: 3 }));
    assert_eq!(complete(&detector), Some(50), "what was said of that time stays true");
    assert_eq!(continuity(&mut detector, in_lane(1, 0, watermark_of(3, 60, 1, 3))), Missing(2));
    assert_eq!(complete(&detector), None, "a new lane has no watermark yet");
    assert_eq!(continuity(&mut detector, in_lane(2, 0, start(1, 0, 0))), InOrder);
    let behind: Vec<_> = detector.behind().iter().map(|it| (it.key.lane, it.key.shard)).collect();
    assert_eq!(behind, [(0, 0), (2, 0)]);
}

#[test]
fn a_shard_that_a_migration_ended_holds_nothing_back_but_what_it_lacks() {
    let migrated = |sequence, seconds| own(Sighting { epoch: 7, ..watermark_of(sequence, seconds, 1, 1) });
    for loss in [false, true] {
        let mut detector = Detector::by_lane(Start::Beginning);
        detector.observe(TOPIC, watermark_of(1, 50, 2, 1));
        detector.observe(TOPIC, in_lane(0, 1, watermark_of(1, 40, 2, 1)));
        detector.observe(TOPIC, in_lane(0, 1, record(1, if loss { 3 } else { 2 })));
        detector.observe(TOPIC, start(7, 1, 1));
        detector.observe(TOPIC, migrated(2, 60));
        assert_eq!(complete(&detector), Some(if loss { 40 } else { 60 }));
        detector.observe(TOPIC, in_lane(0, 0, watermark_of(1, 50, 2, 1)));
        let mut detector = Detector::restore(&detector.save(), Limits::default()).unwrap();
        assert_eq!(
            detector.lane_complete_up_to(TOPIC, 0),
            Some(time(if loss { 40 } else { 60 })),
            "an old one says nothing"
        );
        detector.accept_losses();
        assert_eq!(complete(&detector), Some(60));
    }
}

#[test]
fn a_position_that_the_contract_does_not_allow_is_counted() {
    let mut detector = Detector::by_lane(Start::Beginning);
    for record in [Sighting::default(), record(0, 1), record(1, 0), record(1, u64::MAX)] {
        assert_eq!(continuity(&mut detector, record), Continuity::Unnumbered);
    }
    assert_eq!(detector.unnumbered(), 4);
    assert_eq!(detector.total(), Tally::default());
}

#[test]
fn past_its_limits_it_forgets_by_rule_and_says_so() {
    let limits = Limits { holes: 4, tracks: 4, gaps: 1 };
    let mut detector = Detector::new(View::ByLane, Start::Beginning, limits);
    // The track with the most holes gives up the lower half: 1, 3 and 5, of 1, 3, 5, 7 and 9.
    continuity(&mut detector, record(1, 2));
    for sequence in [4, 6, 8, 10] {
        assert_eq!(continuity(&mut detector, record(1, sequence)), Missing(1));
    }
    let verdicts = [5, 7, 2, 8].map(|sequence| continuity(&mut detector, record(1, sequence)));
    assert_eq!(verdicts, [Older, Reordered, Older, Duplicate]);
    assert_eq!(detector.total().missing, 4);
    // Who was quiet the longest is forgotten, and joins when it comes again.
    for shard in 1..=4 {
        continuity(&mut detector, in_lane(0, shard, record(1, 1)));
    }
    assert_eq!((detector.forgotten(), detector.lanes().len()), (1, 4));
    assert_eq!(detector.lanes()[0].0.shard, 1);
    assert_eq!(detector.total().missing, 4, "what is forgotten stays counted");
    let handed = detector.save_lane(TOPIC, 0, 4096).unwrap();
    let mut restored = Detector::restore(&detector.save(), limits).unwrap();
    assert_eq!(restored.total(), detector.total());
    let mut other = Detector::by_lane(Start::Beginning);
    other.restore_lane(&handed).unwrap();
    for detector in [&mut detector, &mut restored, &mut other] {
        assert_eq!(continuity(detector, record(1, 5_000)), InOrder, "nobody knows what it had seen");
    }
    // A gap for which there is no room holds back completeness.
    let mut detector = Detector::new(View::ByLane, Start::Beginning, limits);
    detector.observe(TOPIC, watermark(1, 50));
    detector.observe(TOPIC, gap(2, 60));
    let other = Sighting { signal: Signal::SourceGap { gap_id: "h", since: Some(time(55)) }, ..record(1, 3) };
    assert_eq!(news(&mut detector, other), Some(News::SourceGapOpened { gap_id: "h".into() }));
    assert_eq!((complete(&detector), detector.open_gaps().len()), (None, 1));
}

#[test]
fn a_restart_does_not_blind_it() {
    for view in [View::ByLane, View::ByStream] {
        let mut detector = Detector::new(view, Start::Middle, Limits::default());
        let damaged = [
            record(1, 5),
            record(1, 9),
            in_lane(1, 1, record(1, 14)),
            watermark(12, 80),
            of_lane(1, 13, Signal::LanesChanged { previous_count: 2, count: 6 }),
            gap(14, 70),
            Sighting { stream: "b/2", ..healed(17) },
            record(2, 3),
        ];
        for record in damaged {
            detector.observe(TOPIC, record);
        }
        let mut restored = Detector::restore(&detector.save(), Limits::default()).unwrap();
        let after = [
            record(1, 7),
            record(1, 7),
            record(1, 4),
            healed(15),
            record(2, 1),
            record(2, 2),
            in_lane(5, 0, record(1, 2)),
        ];
        for record in after {
            assert_eq!(restored.observe(TOPIC, record), detector.observe(TOPIC, record));
        }
        assert_eq!(restored.lanes(), detector.lanes());
        assert_eq!(restored.streams(), detector.streams());
        assert_eq!(restored.open_gaps(), detector.open_gaps());
        assert_eq!((restored.save(), restored.behind()), (detector.save(), detector.behind()));
    }
}

#[test]
fn a_lane_can_be_handed_to_another_reader() {
    let mut before = Detector::by_lane(Start::Beginning);
    for record in [record(1, 1), record(1, 4), in_lane(1, 0, record(1, 2)), in_lane(1, 1, watermark_of(1, 40, 2, 2))] {
        before.observe(TOPIC, record);
    }
    let saved = before.save_lane(TOPIC, 1, 4096).unwrap();
    before.forget_lane(TOPIC, 1);
    assert_eq!(before.lanes().len(), 1);
    let mut after = Detector::by_lane(Start::Middle);
    after.observe(TOPIC, in_lane(2, 0, record(1, 7)));
    after.restore_lane(&saved).unwrap();
    after.restore_lane(&saved).unwrap();
    assert_eq!(after.lanes().len(), 3);
    let verdicts = [1, 3].map(|sequence| continuity(&mut after, in_lane(1, 0, record(1, sequence))));
    assert_eq!(verdicts, [Reordered, InOrder]);
    assert_eq!(after.lane_complete_up_to(TOPIC, 1), None, "shard 0 has no watermark there");
}

#[test]
fn a_lane_that_needs_more_room_than_there_is_gives_up_holes() {
    let mut detector = Detector::by_lane(Start::Beginning);
    for shard in 0..32 {
        for sequence in (1..400).map(|number| number * 3) {
            continuity(&mut detector, in_lane(0, shard, record(1_764_000_000_000, sequence)));
        }
        detector.observe(
            TOPIC,
            in_lane(
                0,
                shard,
                of_lane(1_764_000_000_000, 1_198, stating(32, 12, vec![up_to(0, 1, 1, Some(1_764_000_000))])),
            ),
        );
    }
    let whole = detector.save_lane(TOPIC, 0, usize::MAX).unwrap();
    let small = detector.save_lane(TOPIC, 0, 3_072).unwrap();
    println!("32 shards, 12,768 holes: {} bytes; cut to {} bytes", whole.len(), small.len());
    assert!(whole.len() > 3_072 && small.len() <= 3_072);
    let mut restored = Detector::restore(&small, Limits::default()).unwrap();
    assert_eq!(restored.total(), detector.total());
    assert_eq!(continuity(&mut restored, in_lane(0, 3, record(1_764_000_000_000, 1))), Older);
    assert!(matches!(detector.save_lane(TOPIC, 0, 100), Err(StateError::TooLarge { .. })));
}

/// Base64 in Kafka's 4,096 bytes, behind a mark of 5.
#[test]
fn the_state_of_64_shards_fits_beside_an_offset() {
    let complete_up_to = DateTime::from_timestamp_millis(1_767_000_000_123);
    let signal = stating(64, 12, vec![ShardProgress { complete_up_to, ..up_to(0, 1, 1, Some(0)) }]);
    for (start, first) in [(Start::Beginning, 1), (Start::Middle, 3_000_000)] {
        let mut detector = Detector::by_lane(start);
        for shard in 0..64 {
            for sequence in (first..first + 4).chain([3_000_005]) {
                detector.observe(TOPIC, in_lane(11, shard, record(1_764_000_000_000, sequence)));
            }
            detector.observe(TOPIC, in_lane(11, shard, of_lane(1_764_000_000_000, 3_000_006, signal)));
        }
        let whole = detector.save_lane(TOPIC, 11, usize::MAX).unwrap();
        let small = detector.save_lane(TOPIC, 11, 3_067).unwrap();
        detector.accept_losses();
        let healthy = detector.save_lane(TOPIC, 11, usize::MAX).unwrap();
        println!("64 shards: {} bytes, {} with a hole, cut to {}", healthy.len(), whole.len(), small.len());
        assert!(healthy.len() <= 3_067);
        let restored = Detector::restore(&healthy, Limits::default()).unwrap();
        assert_eq!(restored.lanes(), detector.lanes());
        assert_eq!(restored.lane_complete_up_to(TOPIC, 11), complete_up_to);
    }
}

#[test]
fn what_is_no_saved_detector_is_refused() {
    let saved = Detector::by_lane(Start::Beginning).save();
    assert!(Detector::restore(&saved, Limits::default()).is_ok());
    assert_eq!(Detector::by_stream(Start::Beginning).restore_lane(&saved), Err(StateError::View));
    assert!(matches!(Detector::restore(b"", Limits::default()), Err(StateError::Version { found: 0 })));
    assert!(Detector::restore(&[8, 2], Limits::default()).is_ok(), "of the version before");
    assert!(matches!(Detector::restore(&[8, 4], Limits::default()), Err(StateError::Version { found: 4 })));
    assert!(matches!(Detector::restore(b"\xff", Limits::default()), Err(StateError::Damaged(_))));
}

proptest! {
    /// Drops, doubles and moves records of a few epochs, restarts in between, and compares each verdict with the truth.
    #[test]
    fn the_verdict_is_the_truth(
        lengths in proptest::collection::vec(1..12_u64, 1..4),
        moves in proptest::collection::vec((0..64_usize, 0..64_usize, 0..3_u8), 0..12),
        restart in 0..40_usize,
    ) {
        let mut log = Vec::new();
        let mut previous = (0, 0);
        for (number, length) in lengths.iter().enumerate() {
            let epoch = (number as u64 + 1) * 3;
            log.push(start(epoch, previous.0, previous.1));
            log.extend((2..=*length).map(|sequence| record(epoch, sequence)));
            previous = (epoch, *length);
        }
        let exists: BTreeSet<_> = log.iter().map(place).collect();
        for (from, to, what) in moves {
            if log.is_empty() { break; }
            let record = log[from % log.len()];
            if what != 0 { let at = from % log.len(); log.remove(at); }
            if what != 1 { let at = to % (log.len() + 1); log.insert(at, record); }
        }
        let mut detector = Detector::by_lane(Start::Beginning);
        let mut seen = BTreeSet::new();
        // Known to exist: everything up to the greatest seen, or named by an epoch's start.
        let mut known: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut duplicates, mut reordered) = (0, 0);
        for (at, record) in log.iter().enumerate() {
            if at == restart {
                detector = Detector::restore(&detector.save(), Limits::default()).unwrap();
            }
            let (epoch, sequence) = place(record);
            let newest = known.keys().next_back().copied();
            let greatest = known.get(&epoch).copied().unwrap_or(0);
            let expected = if !seen.insert((epoch, sequence)) { duplicates += 1; Duplicate }
                else if sequence <= greatest { reordered += 1; Reordered }
                else if sequence == greatest + 1 { InOrder }
                else { Missing(sequence - greatest - 1) };
            known.insert(epoch, greatest.max(sequence));
            let told = match record.signal {
                _ if expected == Duplicate => None,
                Signal::EpochStart { previous_epoch, previous_lane_sequence } => {
                    let mut missing = 0;
                    if previous_epoch > 0 {
                        let end = known.entry(previous_epoch).or_default();
                        missing = previous_lane_sequence.saturating_sub(*end);
                        *end += missing;
                    }
                    Some(News::EpochChanged { previous_epoch, missing: Some(missing) })
                }
                _ => newest
                    .filter(|newest| *newest < epoch)
                    .map(|previous_epoch| News::EpochChanged { previous_epoch, missing: None }),
            };
            let verdict = detector.observe(TOPIC, *record);
            prop_assert_eq!((verdict.continuity, verdict.news), (expected, told));
        }
        let expected: BTreeSet<_> =
            known.iter().flat_map(|(epoch, end)| (1..=*end).map(|sequence| (*epoch, sequence))).collect();
        prop_assert!(expected.is_subset(&exists));
        let missing = expected.difference(&seen).count() as u64;
        let tally = Tally { read: log.len() as u64, missing, duplicates, reordered, older: 0 };
        prop_assert_eq!(detector.total(), tally);
    }

    #[test]
    fn no_saved_bytes_make_it_panic(mut saved in proptest::collection::vec(any::<u8>(), 0..60), at in 0..200_usize, byte: u8) {
        let mut detector = Detector::by_lane(Start::Beginning);
        for sequence in [2, 9, 5] {
            detector.observe(TOPIC, record(3, sequence));
        }
        let mut damaged = detector.save();
        if let Some(place) = damaged.get_mut(at) { *place = byte; }
        saved.splice(0..0, [8, 2]);
        for saved in [saved, damaged] {
            if let Ok(mut restored) = Detector::restore(&saved, Limits { holes: 1, ..Limits::default() }) {
                for sequence in [1, 4, 20, 5] {
                    restored.observe(TOPIC, record(3, sequence));
                }
                let _saved = restored.save_lane(TOPIC, 0, 10);
            }
        }
    }
}

fn place(record: &Sighting<'_>) -> (u64, u64) {
    (record.epoch, record.lane_sequence)
}

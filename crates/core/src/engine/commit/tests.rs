use super::*;
use crate::checkpoint::ShardState;
use crate::engine::Settings;
use crate::engine::bench::{Bench, MINUTE};
use crate::engine::topics::{TopicFailure, TopicVerdict};
use crate::ids::SyncToken;
use crate::outcome::poll::{Denial, Failure, Page, PollOutcome, Probed, Verdict};
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use crate::stream::State;
use bridge_contract::pb::{self, record::Body};
use bridge_contract::time::date_time;
use chrono::{DateTime, TimeDelta, Utc};
use prost::Message as _;
use std::collections::BTreeMap;

fn bodies(batch: Option<Batch>) -> Vec<Body> {
    let records = batch.unwrap().messages.into_iter().map(|it| pb::Record::decode(it.value.as_slice()).unwrap());
    records.filter_map(|record| record.body).collect()
}

/// What the batch's watermarks state of the shard: a time, or none if it is empty.
fn times(batch: Option<Batch>) -> Vec<Option<DateTime<Utc>>> {
    let progress =
        bodies(batch).into_iter().filter_map(|it| if let Body::Watermark(it) = it { Some(it.progress) } else { None });
    let time = |it: pb::ShardProgress| {
        let time = it.complete_up_to.as_ref().and_then(date_time);
        assert!(!it.empty || time.is_none());
        time
    };
    progress.flatten().map(time).collect()
}

#[test]
fn nothing_is_complete_as_long_as_a_stream_may_be_found_again() {
    let mut bench = Bench::new();
    let settings = Settings { watermark_interval: MINUTE, all_known: false, ..bench.engine.settings.clone() };
    let State::Live(live) = bench.engine.streams[&bench.id].committed.state.clone() else { panic!("it is live") };
    bench.reconfigure(settings, false);
    bench.wait(60 * MINUTE);
    assert_eq!(bench.commit(), None, "the topic isn't known yet");
    bench.wait(MINUTE);
    assert_eq!(times(bench.commit()), [Some(live.last_complete_poll_at)]);
}

#[test]
fn a_shard_without_a_live_stream_is_complete_up_to_a_time_that_has_passed_at_asana() {
    let mut bench = Bench::new();
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    bench.answer(&poll, PollOutcome::Denied(Denial::NotFound));
    let settings = Settings { watermark_interval: MINUTE, ..bench.engine.settings.clone() };
    bench.reconfigure(settings, true);
    bench.wait(10 * MINUTE);
    let passed = bench.now.wall - TimeDelta::seconds(1);
    bench.now.wall += TimeDelta::days(1);
    assert_eq!(times(bench.commit()), [Some(passed)]);
}

#[test]
fn asanas_time_is_requested_once_if_no_answer_contained_it_and_no_watermark_is_written_before() {
    let mut bench = Bench::new();
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    bench.answer(&poll, PollOutcome::Denied(Denial::NotFound));
    bench.restart(MINUTE);
    let is_watermark = |body: &Body| matches!(body, Body::Watermark(_));
    for _ in 0..2 {
        bench.wait(2 * MINUTE);
        assert_eq!(bench.commit(), None, "first the topic isn't known, then the time");
    }
    let probe = bench.engine.next_probe(bench.now).unwrap();
    for _ in 0..50 {
        bench.wait(MINUTE);
        assert_eq!((bench.commit(), bench.engine.next_probe(bench.now)), (None, None));
    }
    let stamp = Stamp::new(bench.now.wall, Duration::ZERO);
    let probed = Probed { verdict: Verdict::Lives, stamp, received_at: bench.now.wall };
    bench.engine.handle_probe(bench.now, &probe, probed);
    bench.wait(MINUTE);
    assert!(bodies(bench.commit()).iter().any(is_watermark));
}

#[test]
fn an_empty_shard_is_stated_seldom_and_polled_only_when_it_is_stated_that_it_isnt_empty() {
    let mut bench = Bench::new();
    bench.restart(MINUTE);
    let settings = bench.engine.settings.clone();
    bench.reconfigure(settings.clone(), false);
    assert!(bodies(bench.commit()).iter().any(|body| matches!(body, Body::StreamEnded(_))));
    bench.wait(MINUTE);
    let batch = bench.commit().unwrap();
    assert_eq!(batch.shards(), [ShardId(0)], "it is fenced by what it names");
    assert_eq!(times(Some(batch)), [None]);
    let mut stated = 0;
    for _ in 0..60 {
        bench.wait(MINUTE);
        stated += times(bench.commit().or_else(|| Some(Batch::default()))).len();
    }
    assert_eq!(stated, 4);
    // Another session, whose configuration has a stream again.
    bench.restart(MINUTE);
    bench.wait(Duration::from_secs(1));
    bench.engine.request_poll(bench.now, &bench.id.clone());
    assert_eq!(bench.poll(), None, "consumers still believe that nothing can come");
    assert_eq!(times(bench.commit()).len(), 1);
    bench.wait(Duration::from_secs(1));
    assert!(bench.poll().is_some());
    assert!(!bench.engine.shards[&ShardId(0)].empty);
}

#[test]
fn a_stream_that_comes_back_is_resumed_though_its_first_poll_fails() {
    let mut bench = Bench::new();
    let settings = bench.engine.settings.clone();
    bench.reconfigure(settings.clone(), false);
    assert!(bodies(bench.commit()).iter().any(|body| matches!(body, Body::StreamEnded(_))));
    bench.reconfigure(settings, true);
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    bench.answer(&poll, PollOutcome::Failed(Failure::TimedOut));
    bench.wait(10 * MINUTE);
    let poll = bench.poll().unwrap();
    let page = bench.page();
    bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
    assert!(bodies(bench.commit()).iter().any(|body| matches!(body, Body::StreamResumed(_))));
}

fn page(bench: &Bench, resource_type: &str, next: &str) -> PollOutcome {
    let event = serde_json::json!({ "action": "changed", "resource": { "gid": "7", "resource_type": resource_type } });
    let events = vec![Event::parse(&serde_json::value::to_raw_value(&event).unwrap())];
    PollOutcome::Page(Page { events, next: next.into(), has_more: false, received_at: bench.now.wall, bytes: 9 })
}

/// When the bench's only page is committed whose arrival is `after` the beginning of the commit before.
fn committed_after(after: Duration, has_more: bool) -> Duration {
    let mut bench = published();
    let interval = Duration::from_secs(10);
    bench.reconfigure(Settings { commit_interval: interval, ..bench.engine.settings.clone() }, true);
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    let (first, second) = (page(&bench, "task", "d"), page(&bench, "task", "e"));
    bench.answer(&poll, first);
    let began = bench.now.monotonic;
    bench.engine.request_poll(bench.now, &bench.id.clone());
    bench.wait(after);
    let poll = bench.poll().unwrap();
    let PollOutcome::Page(second) = second else { unreachable!("it is a page") };
    let second = bench.polled(PollOutcome::Page(Page { has_more, ..second }));
    bench.engine.handle_outcome(bench.now, &poll, second);
    let due = bench.engine.batch_due().unwrap();
    bench.wait(due.saturating_sub(bench.now.monotonic));
    assert!(bench.engine.take_batch(bench.now).is_some(), "what is due is taken");
    bench.now.monotonic.saturating_sub(began)
}

#[test]
fn a_page_is_committed_at_once_unless_a_commit_began_just_before_and_nothing_more_waits() {
    for (after, has_more, expected) in [(12, false, 12), (3, false, 10), (3, true, 3)] {
        let committed = committed_after(Duration::from_secs(after), has_more);
        assert_eq!(committed, Duration::from_secs(expected), "{after} s after, {has_more}");
    }
}

#[test]
fn a_page_without_events_waits_for_another_one() {
    let mut bench = published();
    let wait = Duration::from_secs(5);
    bench.reconfigure(Settings { quiet_wait: wait, ..bench.engine.settings.clone() }, true);
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    let page = bench.page();
    bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
    assert_eq!(bench.engine.batch_due(), Some(bench.now.monotonic + wait));
    assert_eq!(bench.engine.take_batch(bench.now), None);
    bench.engine.reconfigure(bench.now, bench.engine.settings.clone(), &[], &[]);
    assert!(bench.engine.batch_due().unwrap() <= bench.now.monotonic, "the end of a stream is committed at once");
}

#[test]
fn what_needs_an_unusable_topic_waits_and_the_topic_is_checked_with_backoff() {
    let mut bench = Bench::writing_to("t.{resource_type}");
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    let page = page(&bench, "story", "c");
    bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
    let mut refreshes = 0;
    for _ in 0..600 {
        if let Some(topic) = bench.engine.next_topic_refresh(bench.now) {
            assert_eq!(topic, Topic::from("t.story"));
            assert_eq!(bench.engine.next_deadline(), None, "during the refresh there is nothing to do");
            let verdict = bench.engine.topic_failed(bench.now, &topic, TopicFailure::Unusable);
            assert_eq!(verdict, TopicVerdict::HoldStreams);
            refreshes += 1;
        }
        assert_eq!(bench.engine.take_batch(bench.now), None);
        bench.wait(Duration::from_secs(1));
    }
    assert!((10..30).contains(&refreshes), "{refreshes} refreshes in ten minutes");
    assert!(bench.engine.is_drained(), "nobody waits for it at the end");
    bench.wait(MINUTE);
    assert!(bench.commit().is_some());
    assert!(bench.engine.is_drained());
}

/// A stream that an event of is on the bus.
fn published() -> Bench {
    let mut bench = Bench::new();
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    let page = page(&bench, "task", "c");
    bench.answer(&poll, page);
    bench
}

#[test]
fn watermarks_wait_for_topics_without_haste() {
    let mut bench = published();
    // The next session knows the shard's topics by its checkpoint alone, and can't check them.
    bench.restart(Duration::from_secs(20));
    let mut turns = 0;
    let end = bench.now.monotonic + 10 * MINUTE;
    while bench.now.monotonic < end {
        turns += 1;
        if let Some(topic) = bench.engine.next_topic_refresh(bench.now) {
            bench.engine.topic_failed(bench.now, &topic, TopicFailure::Unavailable);
        }
        assert_eq!(bench.engine.take_batch(bench.now), None);
        while bench.poll().is_some() {}
        let next = bench.engine.next_deadline().unwrap();
        bench.wait(next.saturating_sub(bench.now.monotonic));
    }
    assert!(turns < 3_000, "{turns} turns in ten minutes");
    bench.wait(MINUTE);
    assert!(bench.commit().is_some_and(|batch| !batch.messages.is_empty()), "the watermark");
}

#[test]
fn a_checkpoint_is_written_again_before_a_bus_forgets_it() {
    let mut bench = published();
    let day = 24 * 60;
    let mut keys: Vec<String> = Vec::new();
    for _ in 0..day {
        bench.wait(MINUTE);
        // Each poll finds nothing, which commits nothing.
        while let Some(poll) = bench.poll() {
            let mut page = bench.page();
            if let PollOutcome::Page(page) = &mut page {
                page.next = "c".into();
            }
            bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
        }
        keys.extend(bench.commit().into_iter().flat_map(|batch| batch.checkpoints).map(|write| write.key));
    }
    for key in ["shard", "stream/main/1"] {
        let count = keys.iter().filter(|it| *it == key).count();
        assert!((3..=9).contains(&count), "{key} {count} times in {keys:?}");
    }
    assert!(keys.iter().any(|key| key == "lanes/t"), "{keys:?}");
}

#[test]
fn a_second_batch_isnt_taken_while_a_commit_is_under_way() {
    let mut bench = published();
    bench.wait(MINUTE);
    let poll = bench.poll().unwrap();
    let page = page(&bench, "task", "d");
    bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
    let batch = bench.engine.take_batch(bench.now).unwrap();
    assert_eq!(bench.engine.take_batch(bench.now), None);
    bench.engine.aborted(bench.now);
    bench.wait(MINUTE);
    let again = bench.engine.take_batch(bench.now).unwrap();
    assert_eq!(again.checkpoints, batch.checkpoints, "the same page, with the same sequences");
    bench.engine.committed(bench.now);
    assert_eq!(bench.engine.committed(bench.now), CommitSummary::default(), "only once");
}

#[test]
fn the_commit_of_a_revoked_shard_doesnt_count() {
    for is_aborted in [true, false] {
        let mut bench = published();
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        let page = page(&bench, "task", "d");
        bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
        assert!(bench.engine.take_batch(bench.now).is_some());
        let counters = bench.engine.shards[&ShardId(0)].counters.clone();
        bench.reassign();
        if is_aborted {
            bench.engine.aborted(bench.now);
        } else {
            assert_eq!(bench.engine.committed(bench.now).events, 0);
        }
        let status = bench.engine.status(bench.now);
        assert_eq!((status.pending_pages, status.pending_bytes), (0, 0));
        assert_eq!(bench.engine.shards[&ShardId(0)].counters, counters, "as restored");
        bench.wait(MINUTE);
        let again = bench.poll().unwrap();
        assert_eq!(again.token.as_ref().map(SyncToken::as_str), Some("c"), "the new owner polls the page again");
    }
}

#[test]
fn a_configuration_that_comes_during_a_commit_counts_from_its_end() {
    for is_aborted in [true, false] {
        let mut bench = published();
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        let page = page(&bench, "task", "d");
        bench.engine.handle_outcome(bench.now, &poll, bench.polled(page));
        assert!(bench.engine.take_batch(bench.now).is_some());
        let settings = bench.engine.settings.clone();
        bench.reconfigure(settings, false);
        assert_eq!(bench.engine.owned().1, 1);
        if is_aborted {
            bench.engine.aborted(bench.now);
        } else {
            assert_eq!(bench.engine.committed(bench.now).events, 1);
        }
        assert_eq!(bench.engine.owned().1, 0);
        bench.wait(MINUTE);
        assert!(bodies(bench.commit()).iter().any(|body| matches!(body, Body::StreamEnded(_))));
        let parked = &bench.engine.shards[&ShardId(0)].parked[&bench.id];
        assert_eq!(parked.token().map(SyncToken::as_str), Some(if is_aborted { "c" } else { "d" }));
    }
}

#[test]
fn a_deleted_checkpoint_is_written_again_whole() {
    let mut bench = published();
    bench.wait(MINUTE);
    assert!(bench.commit().is_none_or(|batch| batch.checkpoints.is_empty()));
    bench.engine.rewrite(bench.now, &[ShardId(0), ShardId(7)]);
    let batch = bench.commit().expect("a batch");
    let keys: Vec<_> = batch.checkpoints.iter().map(|write| write.key.as_str()).collect();
    assert_eq!(keys, ["lanes/t", "shard", "stream/main/1"], "header, counters and stream");
    assert!(batch.messages.is_empty());
}

#[test]
fn after_a_lost_checkpoint_a_stream_opens_a_gap_for_some_days() {
    for (days, has_gap) in [(0, true), (6, true), (8, false)] {
        let mut bench = Bench::new();
        let counters = bench.engine.shards[&ShardId(0)].counters.clone();
        let recreated_at = Some(bench.now.wall - TimeDelta::days(days));
        let state = ShardState { counters, empty: false, streams: BTreeMap::new(), recreated_at };
        bench.engine.assign(bench.now, ShardId(0), state);
        bench.wait(MINUTE);
        let poll = bench.poll().expect("a poll");
        assert_eq!(poll.token, None);
        bench.answer(&poll, PollOutcome::TokenReset("n".into()));
        let stream = &bench.engine.streams[&bench.id].committed;
        assert_eq!(stream.open_gaps.iter().map(|gap| gap.last_complete_poll_at).next(), has_gap.then_some(None));
    }
}

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

fn event() -> Event {
    Event::parse(&serde_json::value::to_raw_value(&serde_json::json!({"action": "added"})).expect("JSON"))
}

fn page(events: usize, next: &str, has_more: bool, seconds: i64) -> PollOutcome {
    page_of(vec![event(); events], next, has_more, seconds)
}

fn page_of(events: Vec<Event>, next: &str, has_more: bool, seconds: i64) -> PollOutcome {
    PollOutcome::Page(Page { events, next: next.into(), has_more, received_at: at(seconds), bytes: 100 })
}

fn named(name: &str) -> Event {
    let text = serde_json::json!({"action": "added", "resource": { "gid": name, "resource_type": "task" }});
    Event::parse(&serde_json::value::to_raw_value(&text).expect("JSON"))
}

/// Answered within no time.
fn step(stream: Stream, seconds: i64, outcome: PollOutcome) -> (Stream, Effects) {
    let stamp = Stamp::new(at(seconds), Duration::ZERO).filter(|_| outcome.is_asanas());
    stamped(stream, seconds, stamp, outcome)
}

fn stamped(mut stream: Stream, seconds: i64, stamp: Option<Stamp>, outcome: PollOutcome) -> (Stream, Effects) {
    let polled = Polled { outcome, stamp, received_at: at(seconds) };
    let (state, effects) = stream.step(&StreamId::new("main", "1"), PollForm::Full, polled, None);
    stream.enter(state, effects.gap.clone());
    (stream, effects)
}

/// Its token was given in this second, and wasn't asked with.
fn live(token: &str, seconds: i64) -> Stream {
    let live = Live::given(None, token.into(), at(seconds), Stamp::new(at(seconds), Duration::ZERO));
    Stream { state: State::Live(live), ..Stream::new() }
}

/// The same, as it is restored.
fn restored(token: &str, seconds: i64) -> Stream {
    let mut stream = live(token, seconds);
    stream.state.live_mut().expect("live").maybe_asked = true;
    stream
}

fn complete(stream: &Stream) -> DateTime<Utc> {
    stream.live().expect("live").last_complete_poll_at
}

#[test]
fn the_first_token_is_no_gap() {
    let (stream, effects) = step(Stream::new(), 5, PollOutcome::TokenReset("a".into()));
    assert_eq!(stream, live("a", 5));
    assert_eq!(complete(&stream), at(4));
    assert!(stream.open_gaps.is_empty());
    assert!(effects.durable);
    assert_eq!(effects.notice, Some(Notice::Established));
}

#[test]
fn a_reset_while_live_opens_a_gap_since_the_last_complete_poll() {
    let (stream, _) = step(live("a", 5), 7, page(100, "b", true, 7));
    let (stream, effects) = step(stream, 9, PollOutcome::TokenReset("c".into()));
    assert!(effects.durable && matches!(effects.notice, Some(Notice::SourceGap { .. })));
    let [gap] = stream.open_gaps.as_slice() else { panic!("one gap: {stream:?}") };
    assert_eq!(gap.last_complete_poll_at, Some(at(4)), "the page at 7 left more waiting");
    assert_eq!((gap.resumed_at, gap.reason), (at(10), SourceGapReason::TokenExpired));
    assert_eq!(stream.token().map(SyncToken::as_str), Some("c"));
}

#[test]
fn the_first_token_after_a_lost_checkpoint_is_a_gap_without_a_beginning() {
    let stream = Stream { unknown_past: true, ..Stream::new() };
    assert!(stream.is_new());
    let (stream, effects) = step(stream, 5, PollOutcome::TokenReset("a".into()));
    assert!(effects.durable && matches!(effects.notice, Some(Notice::SourceGap { .. })));
    let [gap] = stream.open_gaps.as_slice() else { panic!("one gap: {stream:?}") };
    assert_eq!((gap.last_complete_poll_at, gap.reason), (None, SourceGapReason::CheckpointLost));
    assert_eq!(gap.record().last_complete_poll_at, None);
    assert!(!stream.unknown_past, "its past begins with the token");
}

#[test]
fn gaps_that_are_not_healed_are_bounded_and_the_last_one_has_all_of_the_rest() {
    let mut stream = live("a", 5);
    for second in 0..1_000 {
        stream = step(stream, 10 + second, PollOutcome::TokenReset(format!("t{second}").as_str().into())).0;
        let gap = stream.open_gaps.last_mut().expect("a gap");
        assert!(gap.topics.is_empty(), "what has grown is announced again");
        gap.topics.insert(Topic::from("t"), 2);
    }
    assert_eq!(stream.open_gaps.len(), MOST_OPEN_GAPS);
    let ends: Vec<_> = stream.open_gaps.iter().map(|gap| (gap.last_complete_poll_at, gap.resumed_at)).collect();
    assert!(ends.windows(2).all(|pair| pair[1].0 <= Some(pair[0].1)), "no hole between them: {ends:?}");
    assert_eq!(ends.last().map(|(_, to)| *to), Some(at(1_010)));
}

#[test]
fn what_happened_while_a_poll_was_answered_may_be_missing_from_it() {
    let stamp = Stamp::new(at(30), Duration::from_secs(23));
    let (stream, _) = stamped(live("a", 5), 99, stamp, page(1, "b", false, 99));
    assert_eq!(complete(&stream), at(6));
}

#[test]
fn a_token_that_may_have_been_asked_with_proves_what_was_when_it_came() {
    let (lost, effects) = step(live("a", 5), 7, PollOutcome::Failed(Failure::TimedOut));
    assert!(!effects.durable);
    for stream in [lost, restored("a", 5)] {
        for empty in [true, false] {
            let (stream, _) = step(stream.clone(), 60, page(usize::from(!empty), "b", false, 60));
            assert_eq!(complete(&stream), at(4), "its page is as it was at an ask before");
            let (stream, _) = step(stream, 70, page(0, "c", false, 70));
            assert_eq!(complete(&stream), at(69), "the second answer advances");
        }
    }
}

#[test]
fn a_lost_page_that_left_more_waiting_proves_nothing_either() {
    let (stream, _) = step(restored("a", 5), 60, page(9, "b", true, 60));
    assert_eq!(complete(&stream), at(4));
    let (stream, _) = step(stream, 61, PollOutcome::Failed(Failure::TimedOut));
    let (stream, _) = step(stream, 99, page(1, "c", false, 99));
    assert_eq!(complete(&stream), at(4), "nobody knows when the first of the two pages was fixed");
}

#[test]
fn an_empty_page_that_gives_the_token_back_proves_what_a_first_ask_would() {
    let (stream, effects) = step(restored("a", 5), 60, page(0, "a", false, 60));
    assert_eq!(complete(&stream), at(59));
    assert!(!effects.durable, "nothing is new");
    let (stream, _) = step(stream, 61, PollOutcome::Failed(Failure::TimedOut));
    let (stream, _) = step(stream, 99, page(1, "b", false, 99));
    assert_eq!(complete(&stream), at(59), "then it was still unused");
}

#[test]
fn without_a_date_no_bound_advances_and_none_goes_back() {
    let (first, _) = stamped(Stream::new(), 5, None, PollOutcome::TokenReset("a".into()));
    assert_eq!(complete(&first), DateTime::UNIX_EPOCH);
    let (stream, _) = stamped(live("a", 5), 60, None, page(1, "b", false, 60));
    assert_eq!(complete(&stream), at(4));
    let early = Stamp::new(at(1), Duration::ZERO);
    let (stream, _) = stamped(stream, 70, early, page(1, "c", false, 70));
    assert_eq!(complete(&stream), at(4));
    let (_, effects) = stamped(stream, 2, None, PollOutcome::TokenReset("d".into()));
    let gap = effects.gap.expect("a gap");
    assert_eq!((gap.last_complete_poll_at, gap.resumed_at), (Some(at(4)), at(4)), "the host's clock is behind");
}

#[test]
fn what_came_with_the_same_token_is_published_once() {
    let (a, b, c) = (named("1"), named("2"), named("3"));
    let same = |events: &[&Event]| page_of(events.iter().map(|event| (*event).clone()).collect(), "a", true, 7);
    let (stream, effects) = step(live("a", 5), 7, same(&[&a, &b]));
    assert_eq!((effects.events.len(), effects.pace, effects.durable), (2, Pace::Idle, true));
    assert_eq!(effects.notice, Some(Notice::TokenRepeated));
    let (stream, effects) = step(stream, 8, same(&[&a, &b]));
    assert_eq!((effects.events.len(), effects.pace, effects.durable), (0, Pace::Idle, false));
    let (stream, effects) = step(stream, 9, same(&[&a, &b, &c]));
    assert_eq!((effects.events, effects.durable), (vec![c.clone()], true));
    let (other, effects) = step(stream.clone(), 10, same(&[&b, &c]));
    assert_eq!(effects.events, [b.clone(), c.clone()], "another page is published whole");
    assert_eq!(complete(&other), at(4), "the page may be as it was at the first ask");
    let (_, effects) = step(stream.clone(), 10, page(0, "a", false, 10));
    assert!(!effects.durable);
    let (stream, effects) = step(stream, 11, page_of(vec![a.clone(), b, c, a.clone()], "z", false, 11));
    assert_eq!((effects.events, effects.pace), (vec![a.clone()], Pace::Active));
    let (_, effects) = step(stream, 12, page_of(vec![a], "y", false, 12));
    assert_eq!(effects.events.len(), 1, "of another token");
}

#[test]
fn more_without_anything_to_ask_for_it_with_is_no_answer() {
    let (stream, effects) = step(live("a", 5), 7, page(0, "a", true, 7));
    assert_eq!((effects.pace, effects.durable, complete(&stream)), (Pace::Retry, false, at(4)));
}

#[test]
fn a_token_that_is_refused_as_soon_as_it_is_given_slows_the_stream_down() {
    let (stream, effects) = step(live("a", 5), 7, PollOutcome::TokenReset("b".into()));
    assert_eq!(effects.pace, Pace::Active);
    let (stream, effects) = step(stream, 12, PollOutcome::TokenReset("c".into()));
    assert_eq!((effects.pace, stream.open_gaps.len()), (Pace::Retry, 2), "each is told all the same");
    let (stream, _) = step(stream, 20, page(0, "d", false, 20));
    let (_, effects) = step(stream, 30, PollOutcome::TokenReset("e".into()));
    assert_eq!(effects.pace, Pace::Active);
}

#[test]
fn a_page_publishes_and_sets_the_pace() {
    for (events, has_more, pace) in
        [(3, true, Pace::AtOnce), (0, true, Pace::AtOnce), (3, false, Pace::Active), (0, false, Pace::Idle)]
    {
        let (stream, effects) = step(live("a", 5), 7, page(events, "b", has_more, 7));
        assert_eq!(effects.pace, pace);
        assert!(effects.durable);
        assert_eq!(stream.token().map(SyncToken::as_str), Some("b"));
    }
    let (_, effects) = step(live("a", 5), 7, page(0, "a", false, 7));
    assert!(!effects.durable, "the same token again needs no commit");
}

#[test]
fn a_denied_stream_keeps_its_token_and_resumes() {
    let (stream, effects) = step(live("a", 5), 7, PollOutcome::Denied(Denial::Forbidden));
    assert!(effects.durable && effects.announcement.is_some());
    assert_eq!(effects.notice, Some(Notice::Suspended(Denial::Forbidden)));
    let (stream, effects) = step(stream, 8, PollOutcome::Denied(Denial::Forbidden));
    assert_eq!((effects.pace, effects.notice), (Pace::Suspended(2), None));
    assert_eq!(stream.token().map(SyncToken::as_str), Some("a"));
    let (_, resumed) = step(stream.clone(), 9, page(1, "b", false, 9));
    assert_eq!(resumed.notice, Some(Notice::Resumed));
    let (_, gap) = step(stream, 9, PollOutcome::TokenReset("c".into()));
    assert!(matches!(gap.notice, Some(Notice::SourceGap { .. })), "a token that died meanwhile is a gap");
}

#[test]
fn nothing_moves_without_a_usable_answer() {
    for (outcome, pace) in [
        (PollOutcome::Failed(Failure::Credential("none".to_owned())), Pace::Retry),
        (PollOutcome::Throttled { retry_after: Duration::from_secs(7) }, Pace::AccountPause(Duration::from_secs(7))),
        (PollOutcome::Throttled { retry_after: Duration::ZERO }, Pace::AccountPause(Duration::ZERO)),
    ] {
        let (stream, effects) = step(live("a", 5), 7, outcome);
        assert_eq!((stream, effects.pace), (live("a", 5), pace));
        assert!(!effects.durable && effects.notice.is_some());
    }
}

//! The world, one step at a time.

use super::asana::{Asana, Log, fault, list_fault};
use super::bus::{Bus, Fenced, Owner};
use super::index::Index;
use super::judge::{Verdict, judge};
use super::judge_progress::judge_progress;
use super::shared::Shared;
use bridge_core::checkpoint;
use bridge_core::crawl::Depth;
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{
    AccountSpec, CrawlAnswer, CrawlSettings, CrawlStep, Engine, Poll, RefreshRequest, Settings, StateSettings, Step,
    StreamSpec, TopicFailure,
};
use bridge_core::ids::{Deployment, Gid, ShardId, StreamId, StreamKind};
use bridge_core::now::Now;
use bridge_core::outcome::list::ListOutcome;
use bridge_core::outcome::poll::{self, Denial, Failure, PollOutcome, Polled, Probed};
use bridge_core::outcome::stamp::Stamp;
use bridge_core::record::batch::{Batch, BatchLimits, OutputTopic};
use bridge_core::record::encoding::{Encoding, Encodings};
use bridge_core::record::topic::TopicTemplate;
use bridge_core::record::trace::Sampling;
use bridge_core::state::{Pace as RefreshPace, Refreshed};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

pub(crate) const SHARDS: NonZeroU32 = NonZeroU32::new(3).unwrap();
pub(crate) const LANES: NonZeroU32 = NonZeroU32::new(3).unwrap();
pub(crate) const MOST_LANES: u32 = 6;
pub(crate) const MESSAGE_BYTES: usize = 8_000;
const STREAMS: usize = 5;
const STEPS: usize = 400;
const RECONCILE: Duration = Duration::from_secs(30);

/// A replica's session: what a crash ends.
struct Session {
    owner: Owner,
    engine: Engine,
    /// Polls that were sent, and whose answers are under way.
    answers: Vec<Sent>,
    committing: Option<Batch>,
    /// An answer had a date.
    is_dated: bool,
    /// Steps of crawls, in the same way.
    steps: Vec<(CrawlStep, CrawlAnswer)>,
    /// What was read again, in the same way.
    reads: Vec<(RefreshRequest, ListOutcome)>,
    index: Index,
}

/// A poll that Asana has answered.
struct Sent {
    poll: Poll,
    outcome: PollOutcome,
    /// Its `Date`, in whole seconds: of a time before the answer came.
    date: Option<DateTime<Utc>>,
    at: Duration,
}

pub(crate) struct World {
    seed: u64,
    rng: ChaCha8Rng,
    /// By Asana's clock.
    now: Now,
    /// How far each replica's clock is ahead of it.
    ahead: [TimeDelta; 2],
    asana: Asana,
    bus: Bus,
    sessions: Vec<Session>,
    next_owner: Owner,
    /// How many of Asana's streams are configured.
    configured: usize,
    /// How many changes were said to have had no event.
    missed: usize,
    /// The configuration had other streams before.
    was_reconfigured: bool,
    /// How often the state topic said how complete it is, and the changes that this was held against.
    claims: usize,
    covered: usize,
}

/// In some worlds there is JSON on the bus, or in the state topic only.
fn encodings(seed: u64) -> Encodings {
    match seed % 7 {
        0 => Encodings { events: Encoding::Json, state: Encoding::Json },
        1 => Encodings { state: Encoding::Json, ..Encodings::default() },
        _ => Encodings::default(),
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let streams = (0..STREAMS).map(|n| (StreamId::new(["a", "b"][n % 2], n.to_string()), Log::default()));
        let has_all_streams = shared(seed).is_some_and(|shared| shared.lossless);
        let mut world = Self {
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: Now { monotonic: Duration::ZERO, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() },
            ahead: [TimeDelta::seconds(-7), TimeDelta::minutes(9)],
            asana: Asana { streams: streams.collect(), shared: shared(seed) },
            bus: Bus::new(LANES),
            sessions: Vec::new(),
            next_owner: 0,
            // Some worlds begin with shards without streams, which get some later.
            configured: if seed.is_multiple_of(6) && !has_all_streams { 1 } else { STREAMS },
            missed: 0,
            was_reconfigured: seed.is_multiple_of(6) && !has_all_streams,
            claims: 0,
            covered: 0,
        };
        world.sessions = vec![world.session(), world.session()];
        for shard in 0..SHARDS.get() {
            world.assign(ShardId(shard), 0);
        }
        world
    }

    /// Runs to the end, lets the bridge catch up, and judges the log.
    pub(crate) fn run(mut self) -> Verdict {
        if self.is_lossless() {
            // From here on no crawl brings what a refresh has missed.
            self.catch_up();
        }
        // What is read again needs its steps, too.
        for _ in 0..if self.asana.shared.is_some() { 2 * STEPS } else { STEPS } {
            self.step();
        }
        self.settle();
        // What nobody tells the bridge, it finds.
        for _ in 0..if self.is_lossless() { 0 } else { 2 * STREAMS } {
            let stream = self.any_stream();
            self.asana.lose(&stream, self.now.wall, &mut self.rng);
        }
        self.catch_up();
        if self.asana.shared.is_some() {
            let status = self.sessions[0].engine.refresh_status();
            assert_eq!((status.waiting, status.ready, status.oldest), (0, 0, None), "nothing is due any more");
            let claim = self.bus.follower.claim().expect("the state topic says how complete it is");
            let late = claim.complete_up_to.map(|until| self.now.wall - until);
            assert_eq!((claim.streams, claim.not_loaded), (STREAMS as u32, 0), "{claim:?}");
            assert!(late.is_some_and(|late| late < TimeDelta::seconds(40)), "{late:?}: {claim:?}");
        }
        let verdict = judge(&self.asana, &self.bus, self.missed, !self.was_reconfigured);
        Verdict { claims: self.claims, covered: self.covered, ..verdict }
    }

    /// Every event is told, no token dies, and nothing is crawled after the beginning.
    fn is_lossless(&self) -> bool {
        self.asana.shared.as_ref().is_some_and(|shared| shared.lossless)
    }

    /// As a replica sees it.
    fn now(&self, which: usize) -> Now {
        Now { wall: self.now.wall + self.ahead[which], ..self.now }
    }

    fn settings(&self) -> Settings {
        let template = ["t", "t.{resource_type}", "t.{stream}.{resource_type}"][(self.seed % 3) as usize];
        Settings {
            shards: SHARDS,
            topic: TopicTemplate::parse(template, 16).unwrap(),
            min_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(8),
            commit_interval: Duration::from_millis(100),
            quiet_wait: Duration::from_millis(300),
            max_records: 10,
            max_pending_bytes: 1000,
            watermark_interval: Duration::from_secs(4),
            replica: "r".to_owned(),
            deployment: Deployment::default(),
            dead_letter_topic: "dead".to_owned(),
            crawl: CrawlSettings {
                initial: true,
                depth: Depth::Subtasks,
                budget_percent: 50,
                account: None,
                short_percent: 5,
                short_count: 1,
                reconcile_interval: match &self.asana.shared {
                    Some(shared) if shared.lossless => Duration::ZERO,
                    _ => RECONCILE,
                },
                late_events: Duration::from_secs(5),
            },
            all_known: true,
            sampling: Sampling::NONE,
            state: self.state_settings(),
            encodings: encodings(self.seed),
        }
    }

    fn state_settings(&self) -> StateSettings {
        if self.asana.shared.is_none() {
            return StateSettings::default();
        }
        StateSettings {
            refresh: Refreshed::Types(["task", "project"].map(str::to_owned).into()),
            topic: Some("state".into()),
            pace: RefreshPace { quiet: Duration::from_millis(700), longest: Duration::from_secs(5) },
            budget_percent: 50,
        }
    }

    /// A fourth of the worlds has a bus that can't commit several shards at once.
    fn limits(&self) -> BatchLimits {
        BatchLimits { messages: 12, spans_shards: !self.seed.is_multiple_of(4) }
    }

    fn accounts() -> [AccountSpec; 2] {
        let limit =
            Limit { requests_per_minute: NonZeroU32::new(600).unwrap(), max_in_flight: NonZeroU16::new(2).unwrap() };
        ["a", "b"].map(|name| AccountSpec { name: name.into(), limit })
    }

    fn streams(&self) -> Vec<StreamSpec> {
        let spec = |id: &StreamId| StreamSpec { id: id.clone(), kind: StreamKind::Resource };
        self.asana.streams.keys().take(self.configured).map(spec).collect()
    }

    fn session(&mut self) -> Session {
        self.next_owner += 1;
        Session {
            owner: self.next_owner,
            engine: Engine::new(self.settings(), self.limits(), &Self::accounts(), &self.streams()),
            answers: Vec::new(),
            is_dated: false,
            committing: None,
            steps: Vec::new(),
            reads: Vec::new(),
            index: Index::default(),
        }
    }

    /// The bus gives a shard to a session. Nobody tells the one that had it.
    fn assign(&mut self, shard: ShardId, to: usize) {
        let session = &mut self.sessions[to];
        if session.committing.is_some() {
            return;
        }
        self.bus.owners.insert(shard, session.owner);
        let now = Now { wall: self.now.wall + self.ahead[to], ..self.now };
        let state = checkpoint::restore(shard, &self.bus.restore(shard), SHARDS, now.wall).unwrap();
        session.engine.assign(now, shard, state);
    }

    /// A crash, or the end of a session for any other reason: its shards go to whom the dice say.
    fn restart(&mut self, which: usize) {
        // The index is on a disk that may or may not be there again.
        let index = std::mem::take(&mut self.sessions[which].index);
        let kept = self.rng.random_bool(0.8) && !index.failed;
        self.sessions[which] = Session { index: if kept { index } else { Index::default() }, ..self.session() };
        for shard in (0..SHARDS.get()).map(ShardId) {
            let owner = self.bus.owners[&shard];
            if !self.sessions.iter().any(|session| session.owner == owner) {
                let to = self.rng.random_range(0..self.sessions.len());
                let to = if self.sessions[to].committing.is_some() { which } else { to };
                self.assign(shard, to);
            }
        }
    }

    fn step(&mut self) {
        let which = self.rng.random_range(0..self.sessions.len());
        if self.asana.shared.is_some() && self.rng.random_bool(0.25) {
            return self.refresh_steps(which);
        }
        match self.rng.random_range(0..100) {
            0..25 => {
                let stream = self.any_stream();
                self.asana.happen(&stream, self.now.wall, &mut self.rng);
                // Half of the worlds have webhooks.
                if self.seed.is_multiple_of(2) {
                    for which in 0..self.sessions.len() {
                        let now = self.now(which);
                        self.sessions[which].engine.request_poll(now, &stream);
                    }
                }
            }
            // A dead token leaves nothing to read again after events: its crawl reads all.
            25..27 if self.is_lossless() || (self.asana.shared.is_some() && self.rng.random_bool(0.9)) => {}
            25..27 => {
                let stream = self.any_stream();
                self.asana.kill(&stream);
            }
            27..40 => self.poll(which, true),
            40..41 => self.probe(which, true),
            41..45 => self.crawl(which, true),
            45..58 => self.answer(which),
            58..62 => self.answer_crawl(which),
            62..69 => self.take(which, true),
            69..79 => self.commit(which, true),
            79..80 => {
                let shard = ShardId(self.rng.random_range(0..SHARDS.get()));
                self.assign(shard, which);
            }
            80..81 => {
                let shard = ShardId(self.rng.random_range(0..SHARDS.get()));
                if self.sessions[which].committing.is_none() {
                    let now = self.now(which);
                    self.sessions[which].engine.revoke(now, &[shard]);
                    self.assign(shard, 1 - which);
                }
            }
            81..82 => self.restart(which),
            82..83 if self.rng.random_bool(0.3) && !self.is_lossless() => self.reconfigure(which),
            83..84 if self.bus.lane_count.get() < MOST_LANES && self.rng.random_bool(0.3) => {
                self.bus.lane_count = self.bus.lane_count.saturating_add(1);
            }
            84..85 => {
                let days = self.rng.random_range(-1..=1);
                self.ahead[which] = TimeDelta::days(days) + TimeDelta::seconds(self.rng.random_range(-90..90));
            }
            _ => self.now = self.now.after(Duration::from_millis(self.rng.random_range(1..2_000))),
        }
    }

    /// The way from an event to its state, which may end anywhere: single steps alone would rarely come so far.
    fn refresh_steps(&mut self, which: usize) {
        for step in 0..11 {
            if self.rng.random_bool(0.08) {
                return;
            }
            match step {
                0 => self.poll(which, true),
                1 => self.answer(which),
                2 | 8 => self.take(which, true),
                // A restart with each fifth commit would leave no time for anything.
                3 | 9 => {
                    let faults = self.rng.random_bool(0.3);
                    self.commit(which, faults);
                }
                4 | 10 => self.read_log(which),
                5 => self.now = self.now.after(Duration::from_millis(self.rng.random_range(1..800))),
                6 => self.refresh(which, true),
                _ => self.answer_refresh(which),
            }
        }
    }

    /// A replica reads a configuration with more or fewer streams. The other goes on with its own.
    fn reconfigure(&mut self, which: usize) {
        if self.sessions[which].committing.is_none() {
            self.configured = self.rng.random_range(1..=STREAMS);
            self.was_reconfigured = true;
            let (settings, streams) = (self.settings(), self.streams());
            let now = self.now(which);
            self.sessions[which].engine.reconfigure(now, settings, &Self::accounts(), &streams);
        }
    }

    fn any_stream(&mut self) -> StreamId {
        let at = self.rng.random_range(0..STREAMS);
        self.asana.streams.keys().nth(at).unwrap().clone()
    }

    fn poll(&mut self, which: usize, faults: bool) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        let Some(poll) = session.engine.next_poll(now) else { return };
        let fault = (faults && self.rng.random_bool(0.1)).then(|| fault(&mut self.rng));
        let outcome = match fault {
            Some(refused @ (PollOutcome::Denied(_) | PollOutcome::Throttled { .. })) => refused,
            // The answer is lost, and Asana has made it.
            lost => {
                let page = self.asana.poll(&poll.stream.id, poll.token.as_ref());
                lost.unwrap_or(page)
            }
        };
        let date = self.rng.random_bool(0.5).then_some(self.now.wall);
        session.answers.push(Sent { poll, outcome, date, at: self.now.monotonic });
    }

    /// An account is asked whether its credential is good, and answers.
    fn probe(&mut self, which: usize, faults: bool) {
        let now = self.now(which);
        let engine = &mut self.sessions[which].engine;
        let Some(probe) = engine.next_probe(now) else { return };
        let verdict = match self.rng.random_range(0..10) {
            0 if faults => poll::Verdict::Refused(Denial::Unauthorized),
            1 if faults => poll::Verdict::Unknown,
            2 if faults => poll::Verdict::Throttled(Duration::from_secs(3)),
            _ => poll::Verdict::Lives,
        };
        let stamp = Stamp::new(self.now.wall.trunc_subsecs(0), Duration::ZERO);
        engine.handle_probe(now, &probe, Probed { verdict, stamp, received_at: now.wall });
    }

    /// An answer arrives, not always in the order of the questions.
    fn answer(&mut self, which: usize) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        if !session.answers.is_empty() {
            let at = self.rng.random_range(0..session.answers.len());
            let Sent { poll, mut outcome, date, at } = session.answers.remove(at);
            // Stamped when it was made, or when the last of it was sent.
            let date = date.unwrap_or(self.now.wall).trunc_subsecs(0);
            let stamp = Stamp::new(date, self.now.monotonic.saturating_sub(at));
            // The first has one: without any, nothing can be known of Asana's time.
            let has_date = !session.is_dated || self.rng.random_bool(0.9);
            let stamp = stamp.filter(|_| outcome.is_asanas() && has_date);
            session.is_dated |= stamp.is_some();
            if let PollOutcome::Page(page) = &mut outcome {
                page.received_at = now.wall;
            }
            session.engine.handle_outcome(now, &poll, Polled { outcome, stamp, received_at: now.wall });
        }
    }

    fn crawl(&mut self, which: usize, faults: bool) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        let Some(step) = session.engine.next_crawl_step(now) else { return };
        if faults && self.rng.random_bool(0.01) {
            session.index.fail();
        }
        let answer = session.index.answer(&step.stream, &step.step).unwrap_or_else(|| {
            let (listing, offset) = match &step.step {
                Step::List { listing, offset, .. } => (listing, offset.as_deref()),
                Step::Ask(listing) => (listing, None),
                _ => panic!("only lists and objects are Asana's"),
            };
            let is_fault = faults && self.rng.random_bool(0.1);
            let outcome = if is_fault {
                list_fault(listing, offset, &mut self.rng)
            } else {
                let short = faults && self.rng.random_bool(0.1);
                self.asana.list(&step.stream, listing, offset, short, self.now.wall)
            };
            match &step.step {
                Step::Ask(_) => CrawlAnswer::Ask(outcome, None),
                _ => CrawlAnswer::without_page(outcome),
            }
        });
        session.steps.push((step, answer));
    }

    fn answer_crawl(&mut self, which: usize) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        if !session.steps.is_empty() {
            let at = self.rng.random_range(0..session.steps.len());
            let (step, mut answer) = session.steps.remove(at);
            if let CrawlAnswer::List(ListOutcome::Page(page), known) = &mut answer {
                let gids = page.items.iter().map(|item| Gid::from(item.resource.gid.as_str()));
                *known = session.index.look_up(&step.stream, gids);
            }
            session.engine.handle_crawl_step(now, &step, answer);
        }
        self.missed += session.engine.take_missed().iter().map(|(_, gids)| gids.len()).sum::<usize>();
    }

    /// The next entries of the owned parts of the refresh log.
    fn read_log(&mut self, which: usize) {
        let now = self.now(which);
        let Session { engine, .. } = &mut self.sessions[which];
        for (shard, place) in engine.log_places() {
            let part = self.bus.log.get(&shard).map_or(&[][..], Vec::as_slice);
            let entries = (place..).zip(part.iter().skip(place as usize));
            let mut entries = entries.filter_map(|(place, entry)| Some((place, &entry.as_ref()?.1)));
            for (place, value) in entries.by_ref().take(self.rng.random_range(0..4)) {
                engine.note_logged(now, shard, place, value).unwrap();
            }
            if entries.next().is_none() {
                engine.note_log_end(shard);
            }
        }
    }

    fn refresh(&mut self, which: usize, faults: bool) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        let Some(request) = session.engine.next_refresh(now) else { return };
        let answer = self.asana.refresh(&request, self.now.wall);
        let answer = match self.rng.random_range(0..20) {
            0 if faults => ListOutcome::Throttled { retry_after: Duration::from_secs(3) },
            1 if faults => ListOutcome::Failed(Failure::TimedOut),
            2 if faults => ListOutcome::Denied(Denial::Unauthorized),
            _ => answer,
        };
        session.reads.push((request, answer));
    }

    fn answer_refresh(&mut self, which: usize) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        if !session.reads.is_empty() {
            let at = self.rng.random_range(0..session.reads.len());
            let (request, answer) = session.reads.remove(at);
            session.engine.handle_refresh(now, &request, answer);
        }
    }

    fn take(&mut self, which: usize, faults: bool) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        while let Some(topic) = session.engine.next_topic_refresh(now) {
            if faults && self.rng.random_bool(0.1) {
                session.engine.topic_failed(now, &topic, TopicFailure::Unavailable);
                continue;
            }
            // Nobody adds partitions to the state topic: keys would move.
            let lanes = if topic == "state".into() { LANES } else { self.bus.lane_count };
            let known = OutputTopic { lanes, message_bytes: MESSAGE_BYTES };
            session.engine.set_topic(now, topic, known);
        }
        if session.committing.is_none() {
            session.committing = session.engine.take_batch(now);
        }
    }

    /// A commit ends: done, aborted, unknown (done or not), fenced, or by a crash before or after.
    fn commit(&mut self, which: usize, faults: bool) {
        let now = self.now(which);
        let session = &mut self.sessions[which];
        let Some(batch) = session.committing.take() else { return };
        let (reaches_bus, then) = match self.rng.random_range(0..10) {
            _ if !faults => (true, Then::Committed),
            0 => (false, Then::Aborted),
            1 => (false, Then::Restart),
            2 => (true, Then::Restart),
            _ => (true, Then::Committed),
        };
        let fenced = if reaches_bus { self.bus.commit(self.now.wall, session.owner, &batch).err() } else { None };
        if let Some(covered) = judge_progress(&self.asana, &self.bus, STREAMS as u32, self.now.wall) {
            self.claims += 1;
            self.covered += covered;
        }
        match (then, fenced) {
            (Then::Restart, _) => self.restart(which),
            (_, Some(Fenced(lost))) => {
                session.engine.aborted(now);
                session.engine.revoke(now, &lost);
            }
            (Then::Aborted, None) => session.engine.aborted(now),
            (Then::Committed, None) => {
                let summary = session.engine.committed(now);
                session.index.apply(summary.updates);
            }
        }
    }

    /// No more faults: the bridge has to catch up with Asana.
    fn settle(&mut self) {
        self.configured = STREAMS;
        for which in 0..self.sessions.len() {
            self.restart(which);
        }
        for shard in (0..SHARDS.get()).map(ShardId) {
            self.assign(shard, 0);
        }
        self.catch_up();
    }

    fn catch_up(&mut self) {
        // Streams are asked every 8 s at the least. Each is reconciled some time in an interval and a tenth of it, and
        // a crawl that was begun before the quiet needs another.
        let end = self.now.after(3 * RECONCILE);
        while self.now.monotonic < end.monotonic {
            self.probe(0, false);
            self.poll(0, false);
            self.answer(0);
            self.crawl(0, false);
            self.answer_crawl(0);
            self.read_log(0);
            self.refresh(0, false);
            self.answer_refresh(0);
            self.take(0, false);
            self.commit(0, false);
            let session = &self.sessions[0];
            let is_log_read = session.engine.log_places().iter().all(|(shard, place)| {
                let part = self.bus.log.get(shard).map_or(&[][..], Vec::as_slice);
                part.iter().skip(*place as usize).all(Option::is_none)
            });
            let is_idle = session.answers.is_empty() && session.steps.is_empty() && session.reads.is_empty();
            if is_idle && session.committing.is_none() && is_log_read {
                let deadline = session.engine.next_deadline().expect("streams are always due some time");
                self.now = self.now.after(deadline.saturating_sub(self.now.monotonic));
            }
        }
    }
}

/// A fifth of the worlds has a state topic. In half of these, all changes are told, and nothing is crawled again.
fn shared(seed: u64) -> Option<Shared> {
    let lossless = seed % 10 == 5;
    seed.is_multiple_of(5).then(|| Shared::new(lossless))
}

enum Then {
    Committed,
    Aborted,
    Restart,
}

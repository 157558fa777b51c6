use super::*;
use crate::engine::bench::{MINUTE, settings};
use crate::engine::schedule::budget::Limit;
use crate::engine::{AccountSpec, Settings, StateSettings};
use crate::ids::StreamKind;
use crate::outcome::list::{Item, ListOutcome, ListPage};
use crate::outcome::poll::{Denial, Failure, Page, PollOutcome, Polled};
use crate::outcome::stamp::Stamp;
use crate::record::batch::{Batch, BatchLimits, OutputTopic, StoredCheckpoint, Target};
use crate::record::event::Event;
use crate::state::{Found, Refreshed};
use bridge_contract::pb::record::Body;
use chrono::SecondsFormat;
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::num::{NonZeroU16, NonZeroU32};

const SECOND: Duration = Duration::from_secs(1);
const SHARD: ShardId = ShardId(0);

/// A bridge of one shard, its bus, and an Asana whose tasks have versions.
struct World {
    engine: Engine,
    now: Now,
    log: Vec<Vec<u8>>,
    /// Of each task: its project, its version, and when it was modified.
    tasks: BTreeMap<String, (String, u32, DateTime<Utc>)>,
    /// Events that each stream hasn't told yet.
    untold: BTreeMap<StreamId, Vec<Event>>,
    states: BTreeMap<String, u32>,
    requests: usize,
    /// From each change to its state.
    changed: BTreeMap<String, Duration>,
    delays: Vec<Duration>,
    polls: usize,
}

impl World {
    fn new(projects: usize, requests_per_minute: u32) -> Self {
        let state =
            StateSettings { refresh: Refreshed::Everything, topic: Some("state".into()), ..StateSettings::default() };
        let settings = Settings {
            min_interval: SECOND,
            max_interval: 10 * SECOND,
            max_records: 1_000,
            max_pending_bytes: 1 << 20,
            state,
            ..settings("t")
        };
        let limit = Limit {
            requests_per_minute: NonZeroU32::new(requests_per_minute).unwrap(),
            max_in_flight: NonZeroU16::new(50).unwrap(),
        };
        let account = AccountSpec { name: "main".into(), limit };
        let id = |number: usize| StreamId::new("main", (1 + number).to_string());
        let spec = |number: usize| StreamSpec { id: id(number), kind: StreamKind::Resource };
        let streams: Vec<_> = (0..projects).map(spec).collect();
        let limits = BatchLimits { messages: 10_000, spans_shards: true };
        let mut engine = Engine::new(settings, limits, &[account], &streams);
        let now = Now { monotonic: MINUTE, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
        let nothing = StoredCheckpoint::new();
        let nothing = crate::checkpoint::restore(ShardId(0), &nothing, NonZeroU32::MIN, now.wall).unwrap();
        engine.assign(now, ShardId(0), nothing);
        let mut world = Self {
            engine,
            now,
            log: Vec::new(),
            tasks: BTreeMap::new(),
            untold: (0..projects).map(|number| (id(number), Vec::new())).collect(),
            states: BTreeMap::new(),
            requests: 0,
            changed: BTreeMap::new(),
            delays: Vec::new(),
            polls: 0,
        };
        world.run(MINUTE);
        (world.requests, world.polls) = (0, 0);
        world
    }

    fn change(&mut self, gid: &str, project: &str, action: &str) {
        let at = self.now.wall;
        if action == "deleted" {
            self.tasks.remove(gid);
        } else {
            let task = self.tasks.entry(gid.to_owned()).or_insert_with(|| (project.to_owned(), 0, at));
            (task.1, task.2) = (task.1 + 1, at);
        }
        let event = serde_json::json!({
            "action": action,
            "created_at": at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "resource": { "gid": gid, "resource_type": "task" },
        });
        let event = Event::parse(&serde_json::value::to_raw_value(&event).unwrap());
        self.untold.get_mut(&StreamId::new("main", project)).unwrap().push(event);
        self.changed.entry(gid.to_owned()).or_insert(self.now.monotonic);
    }

    fn item(&self, gid: &str) -> Option<Item> {
        let (project, version, modified_at) = self.tasks.get(gid)?;
        Some(Item {
            resource: pb::Resource { gid: gid.to_owned(), resource_type: "task".to_owned(), ..pb::Resource::default() },
            state_json: version.to_string(),
            modified_at: Some(*modified_at),
            within: vec![Gid::from(project.as_str())],
            ..Item::default()
        })
    }

    fn answer(&self, read: &RefreshRead) -> ListOutcome {
        let (items, next_offset) = match read {
            RefreshRead::One(listing) => match self.item(listing.of.as_str()) {
                Some(item) => (vec![item], None),
                None => return ListOutcome::Denied(Denial::NotFound),
            },
            RefreshRead::Tasks { project, since, .. } => {
                let of_project = self.tasks.iter().filter(|(_, (of, _, at))| of == project.as_str() && at >= since);
                (of_project.filter_map(|(gid, _)| self.item(gid)).take(100).collect(), None)
            }
        };
        ListOutcome::Page(ListPage { items, unidentified: 0, next_offset, received_at: self.now.wall, bytes: 1 })
    }

    /// Everything that is to do at this moment.
    fn turn(&mut self) {
        while let Some(step) = self.engine.next_crawl_step(self.now) {
            use crate::engine::{CrawlAnswer, Lookup, Step};
            let empty = ListPage {
                items: Vec::new(),
                unidentified: 0,
                next_offset: None,
                received_at: self.now.wall,
                bytes: 0,
            };
            let answer = match &step.step {
                Step::Compare(_) => CrawlAnswer::Compare(false),
                Step::List { .. } => CrawlAnswer::without_page(ListOutcome::Page(empty)),
                Step::Weigh { .. } => CrawlAnswer::Weigh(Lookup::Found(Vec::new())),
                Step::Sweep { .. } => CrawlAnswer::Sweep(Lookup::Found(Vec::new())),
                Step::Below { .. } | Step::Ask(_) => panic!("nothing is known"),
            };
            self.engine.handle_crawl_step(self.now, &step, answer);
            self.commit();
        }
        while let Some(poll) = self.engine.next_poll(self.now) {
            self.polls += 1;
            let events = std::mem::take(self.untold.get_mut(&poll.stream.id).unwrap());
            let (next, received_at) = (format!("{}", poll.number).as_str().into(), self.now.wall);
            let outcome = match poll.token {
                None => PollOutcome::TokenReset(next),
                Some(_) => PollOutcome::Page(Page { events, next, has_more: false, received_at, bytes: 1 }),
            };
            let stamp = Stamp::new(self.now.wall, Duration::ZERO);
            self.engine.handle_outcome(self.now, &poll, Polled { outcome, stamp, received_at });
        }
        self.commit();
        while let Some(request) = self.engine.next_refresh(self.now) {
            self.requests += 1;
            let answer = self.answer(&request.read);
            self.engine.handle_refresh(self.now, &request, answer);
        }
        self.commit();
    }

    fn commit(&mut self) {
        while let Some(topic) = self.engine.next_topic_refresh(self.now) {
            self.engine.set_topic(self.now, topic, OutputTopic { lanes: NonZeroU32::MIN, message_bytes: 10_000 });
        }
        while let Some(batch) = self.engine.take_batch(self.now) {
            self.store(&batch);
            self.engine.committed(self.now);
        }
    }

    fn store(&mut self, batch: &Batch) {
        for message in &batch.messages {
            let gid = message.key.as_str().to_owned();
            match message.target {
                Target::RefreshLog(shard) => {
                    let place = self.log.len() as u64;
                    self.log.push(message.value.clone());
                    self.engine.note_logged(self.now, shard, place, &message.value).unwrap();
                }
                Target::State { .. } => {
                    self.delays.extend(self.changed.remove(&gid).map(|at| self.now.monotonic.saturating_sub(at)));
                    if message.value.is_empty() {
                        self.states.remove(&gid);
                        continue;
                    }
                    let record = pb::Record::decode(message.value.as_slice()).unwrap();
                    let Some(Body::State(state)) = record.body else { panic!("not a state") };
                    self.states.insert(gid, state.state_json.parse().unwrap());
                }
                Target::Lane { .. } | Target::DeadLetter => {}
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        while self.now.monotonic < end {
            self.turn();
            self.now = self.now.after(Duration::from_millis(200));
        }
    }

    fn assert_settled(&self) {
        let versions: BTreeMap<_, _> =
            self.tasks.iter().map(|(gid, (_, version, _))| (gid.clone(), *version)).collect();
        assert_eq!(self.states, versions);
        assert_eq!(self.engine.refresh_status(), RefreshStatus::default());
    }
}

#[test]
fn a_change_is_read_and_a_deletion_removes_the_state() {
    let mut world = World::new(1, 1_400);
    world.change("100", "1", "added");
    world.run(10 * SECOND);
    world.change("100", "1", "changed");
    world.change("101", "1", "added");
    world.run(20 * SECOND);
    world.assert_settled();
    world.change("100", "1", "deleted");
    world.run(20 * SECOND);
    world.assert_settled();
    assert!(!world.states.contains_key("100"));
    assert!(world.requests <= 5, "{}", world.requests);
}

/// So many tasks of 20 projects change within ten minutes. Returns requests, and the median from a change to its state.
fn busy(requests_per_minute: u32, changes: usize) -> (usize, Duration) {
    let mut world = World::new(20, requests_per_minute);
    for number in 0..changes {
        let (task, project) = (1_000 + number, 1 + (number * 7) % 20);
        world.change(&task.to_string(), &project.to_string(), "added");
        world.run(10 * MINUTE / u32::try_from(changes).unwrap());
    }
    world.run(3 * MINUTE);
    world.assert_settled();
    assert_eq!(world.delays.len(), changes);
    world.delays.sort_unstable();
    (world.requests, world.delays[changes / 2])
}

#[test]
fn many_changes_of_busy_projects_cost_few_requests_if_requests_are_scarce() {
    let (requests, median) = busy(150, 1_000);
    println!("1,000 changes in 20 projects, 150 requests a minute: {requests} requests, median delay {median:?}");
    assert!(requests < 200 + 30, "{requests}");
}

#[test]
fn state_is_seconds_behind_events_if_there_is_budget_to_spare() {
    let (requests, median) = busy(1_400, 1_000);
    println!("1,000 changes in 20 projects, 1,400 requests a minute: {requests} requests, median delay {median:?}");
    assert!(median < 5 * SECOND, "{median:?}");
}

#[test]
fn what_is_read_again_delays_no_poll() {
    let polls_of = |changes: usize| {
        let mut world = World::new(5, 150);
        for number in 0..changes {
            world.change(&(1_000 + number).to_string(), &(1 + number % 5).to_string(), "added");
        }
        world.run(2 * MINUTE);
        world.polls
    };
    let (quiet, busy) = (polls_of(0), polls_of(600));
    assert!(busy >= quiet, "{busy} polls with much to read, {quiet} with nothing");
}

#[test]
fn an_unusable_answer_is_tried_again_and_given_up_at_last() {
    let mut world = World::new(1, 1_400);
    world.change("100", "1", "added");
    let mut asked = 0;
    let mut notices = Vec::new();
    for _ in 0..40_000 {
        world.now = world.now.after(Duration::from_millis(200));
        while let Some(poll) = world.engine.next_poll(world.now) {
            let events = std::mem::take(world.untold.get_mut(&poll.stream.id).unwrap());
            let next = format!("{}", poll.number).as_str().into();
            let page = Page { events, next, has_more: false, received_at: world.now.wall, bytes: 1 };
            let stamp = Stamp::new(world.now.wall, Duration::ZERO);
            let polled = Polled { outcome: PollOutcome::Page(page), stamp, received_at: world.now.wall };
            world.engine.handle_outcome(world.now, &poll, polled);
        }
        world.commit();
        while let Some(request) = world.engine.next_refresh(world.now) {
            asked += 1;
            let answer = ListOutcome::Failed(Failure::TimedOut);
            notices.extend(world.engine.handle_refresh(world.now, &request, answer));
        }
    }
    assert_eq!(asked, 15);
    assert!(matches!(&notices[..], [RefreshNotice::GivenUp { gid, .. }] if gid.as_str() == "100"), "{notices:?}");
    world.commit();
    assert_eq!(world.engine.refresh_status(), RefreshStatus::default(), "its place doesn't hold up the others");
}

/// A task that events and crawls of several replicas name, all at once: what was read is kept back for a while.
struct Race {
    world: World,
    rng: ChaCha8Rng,
    log: Vec<Vec<u8>>,
    /// What crawls have read, and isn't in the log yet.
    crawled: Vec<Entry>,
    asked: Vec<(RefreshRequest, ListOutcome)>,
    written: Vec<u32>,
    /// Of these, without a request.
    found: usize,
}

impl Race {
    fn entry(&self, found: Option<Found>) -> Entry {
        Entry {
            gid: Gid::from("100"),
            resource_type: "task".to_owned(),
            stream: StreamId::new("main", "1"),
            kind: StreamKind::Resource,
            happened_at: Some(self.world.now.wall),
            received_at: self.world.now.wall,
            deleted: false,
            position: pb::Position { stream: "main/1".to_owned(), ..pb::Position::default() },
            found,
        }
    }

    fn crawl(&mut self) {
        let item = self.world.item("100").unwrap();
        let snapshot = pb::Snapshot {
            resource: Some(item.resource),
            state_json: item.state_json,
            streams: vec!["main/1".to_owned()],
            ..pb::Snapshot::default()
        };
        let read_after = self.world.engine.accounts.passed_at_asana(self.world.now);
        let entry = self.entry(Some(Found { snapshot, read_after }));
        self.crawled.push(entry);
    }

    fn read_log(&mut self) {
        let next = self.world.engine.log_places().values().copied().max().unwrap_or(0);
        for (place, value) in (0_u64..).zip(&self.log).filter(|(place, _)| *place >= next) {
            self.world.engine.note_logged(self.world.now, SHARD, place, value).unwrap();
        }
    }

    /// Another replica has the shard: it knows the place in the log, and nothing else.
    fn take_over(&mut self) {
        let shard = &self.world.engine.shards[&SHARD];
        let (counters, refresh_place) = (shard.counters.clone(), shard.refresh_place);
        let streams = BTreeMap::new();
        let state =
            crate::checkpoint::ShardState { counters, empty: false, refresh_place, streams, recreated_at: None };
        self.world.engine.assign(self.world.now, SHARD, state);
        self.asked.clear();
    }

    fn step(&mut self) {
        match self.rng.random_range(0..12) {
            0 => {
                let task = self.world.tasks.get_mut("100").unwrap();
                (task.1, task.2) = (task.1 + 1, self.world.now.wall);
                let entry = self.entry(None);
                self.log.push(entry.encode());
            }
            1 => self.crawl(),
            2..4 if !self.crawled.is_empty() => {
                let at = self.rng.random_range(0..self.crawled.len());
                let entry = self.crawled.swap_remove(at);
                self.log.push(entry.encode());
            }
            4 => self.read_log(),
            5..7 => {
                if let Some(request) = self.world.engine.next_refresh(self.world.now) {
                    let answer = self.world.answer(&request.read);
                    self.asked.push((request, answer));
                }
            }
            7..9 if !self.asked.is_empty() => {
                let (request, answer) = self.asked.remove(0);
                self.world.engine.handle_refresh(self.world.now, &request, answer);
            }
            9 => self.commit(),
            10 if self.rng.random_bool(0.05) => self.take_over(),
            _ => self.world.now = self.world.now.after(Duration::from_millis(self.rng.random_range(0..3_000))),
        }
    }

    fn commit(&mut self) {
        while let Some(topic) = self.world.engine.next_topic_refresh(self.world.now) {
            let known = OutputTopic { lanes: NonZeroU32::MIN, message_bytes: 10_000 };
            self.world.engine.set_topic(self.world.now, topic, known);
        }
        let Some(batch) = self.world.engine.take_batch(self.world.now) else { return };
        for message in batch.messages.iter().filter(|message| matches!(message.target, Target::State { .. })) {
            let record = pb::Record::decode(message.value.as_slice()).unwrap();
            let Some(Body::State(state)) = record.body else { panic!("not a state") };
            let version = state.state_json.parse().unwrap();
            let last = self.written.last().copied().unwrap_or(0);
            assert!(version >= last, "{version} follows {last}");
            self.written.push(version);
            self.found += usize::from(state.asked_by.is_none());
        }
        if self.rng.random_bool(0.1) {
            self.world.engine.aborted(self.world.now);
        } else {
            self.world.engine.committed(self.world.now);
        }
    }
}

#[test]
fn an_older_state_never_follows_a_newer_one_whoever_read_it() {
    let (mut states, mut found) = (0, 0);
    for seed in 0..100 {
        let world = World::new(1, 6_000);
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let (log, crawled, asked, written) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut race = Race { world, rng, log, crawled, asked, written, found: 0 };
        let now = race.world.now.wall;
        race.world.tasks.insert("100".to_owned(), ("1".to_owned(), 1, now));
        for _ in 0..1_000 {
            race.step();
        }
        (states, found) = (states + race.written.len(), found + race.found);
    }
    println!("{states} states were written, {found} of them as a crawl had found them");
    assert!(states > 2_000 && found > 200, "{states}, {found}");
}

//! What a crawl says of what no list showed: the engine with a real index, before a scripted Asana.
use asana_event_bridge::index::Index;
use bridge_contract::pb::{self, Restored, SnapshotChange, record::Body};
use bridge_core::checkpoint;
use bridge_core::crawl::Depth;
use bridge_core::engine::schedule::budget::Limit;
use bridge_core::engine::{AccountSpec, CrawlAnswer, CrawlSettings, Engine, Lookup, Settings, Step, StreamSpec};
use bridge_core::ids::{Deployment, Gid, ShardId, StreamId, StreamKind};
use bridge_core::now::Now;
use bridge_core::outcome::list::{Item, ListOutcome, ListPage, Listing, What};
use bridge_core::outcome::poll::{Denial, Failure, Page, PollOutcome, Polled};
use bridge_core::outcome::stamp::Stamp;
use bridge_core::record::batch::{BatchLimits, OutputTopic, StoredCheckpoint};
use bridge_core::record::topic::TopicTemplate;
use bridge_core::record::trace::Sampling;
use chrono::DateTime;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

const PROJECT: &str = "9";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What Asana answers: a list is empty, and an object unknown, unless it says otherwise.
#[derive(Default)]
struct Asana {
    lists: BTreeMap<(String, What), Vec<Item>>,
    alone: BTreeMap<String, Result<Item, ListOutcome>>,
    failing: BTreeSet<(String, What)>,
    asked: Vec<String>,
    /// The number of tasks in the list of the project's tasks that have no gid.
    unidentified: usize,
    /// By which account each list was asked for.
    lists_asked: Vec<(String, What)>,
    hidden_from_crawler: BTreeSet<What>,
}

impl Asana {
    fn answer(&mut self, listing: &Listing, is_alone: bool) -> ListOutcome {
        let key = (listing.of.to_string(), listing.what);
        if self.failing.contains(&key) {
            return ListOutcome::Failed(Failure::Server { status: 500, phrase: None });
        }
        if !listing.what.is_object() {
            let mut outcome = page(self.lists.get(&key).cloned().unwrap_or_default());
            if let (ListOutcome::Page(page), What::Tasks) = (&mut outcome, listing.what) {
                page.unidentified = self.unidentified;
            }
            return outcome;
        }
        if is_alone {
            self.asked.push(key.0.clone());
        }
        match self.alone.get(&key.0) {
            Some(Ok(item)) => page(vec![item.clone()]),
            Some(Err(outcome)) => outcome.clone(),
            None if key.0 == PROJECT => page(vec![item(PROJECT, "project", "")]),
            None => ListOutcome::Denied(Denial::NotFound),
        }
    }

    fn tasks(&mut self, gids: &[&str]) {
        let tasks = gids.iter().map(|gid| in_project(gid)).collect();
        self.lists.insert((PROJECT.to_owned(), What::Tasks), tasks);
    }
}

fn page(items: Vec<Item>) -> ListOutcome {
    let received_at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    ListOutcome::Page(ListPage { items, unidentified: 0, next_offset: None, received_at, bytes: 10 })
}

/// `within` is the gid of what it lies in.
fn item(gid: &str, resource_type: &str, within: &str) -> Item {
    let resource =
        pb::Resource { gid: gid.to_owned(), resource_type: resource_type.to_owned(), ..pb::Resource::default() };
    let within = Some(within).filter(|gid| !gid.is_empty()).map(Gid::from).into_iter().collect();
    Item { resource, state_json: format!(r#"{{"gid":"{gid}"}}"#), within, ..Item::default() }
}

fn in_project(gid: &str) -> Item {
    Item { num_subtasks: 1, ..item(gid, "task", PROJECT) }
}

fn part_of(gid: &str, resource_type: &str, task: &str) -> Item {
    let part_of = Some(Listing { of: task.into(), what: What::Task });
    Item { part_of, ..item(gid, resource_type, task) }
}

struct Bench {
    engine: Engine,
    index: Index,
    now: Now,
    id: StreamId,
    asana: Asana,
    /// What the last crawls published.
    said: Vec<Body>,
    poll: u32,
}

impl Bench {
    /// A project with its first crawl behind it: task 1 with subtask 11 and story 12, and tasks 2 to 4.
    fn new() -> Self {
        Self::crawling_by(None)
    }

    /// The same, with an account that reads the lists of crawls.
    fn crawling_by(crawler: Option<&str>) -> Self {
        let now = Now { monotonic: DAY, wall: DateTime::from_timestamp(1_700_000_000, 0).unwrap() };
        let id = StreamId::new("main", PROJECT);
        let limit =
            Limit { requests_per_minute: NonZeroU32::new(60_000).unwrap(), max_in_flight: NonZeroU16::new(9).unwrap() };
        let accounts = ["main", "crawler"].map(|name| AccountSpec { name: name.into(), limit });
        let stream = StreamSpec { id: id.clone(), kind: StreamKind::Resource };
        let mut engine =
            Engine::new(settings(crawler), BatchLimits { messages: 1_000, spans_shards: true }, &accounts, &[stream]);
        let nothing = checkpoint::restore(ShardId(0), &StoredCheckpoint::new(), NonZeroU32::MIN, now.wall).unwrap();
        engine.assign(now, ShardId(0), nothing);
        let (index, asana) = (Index::temporary().unwrap(), Asana::default());
        let mut bench = Self { engine, index, now, id, asana, said: Vec::new(), poll: 0 };
        bench.asana.tasks(&["1", "2", "3", "4"]);
        let lists = &mut bench.asana.lists;
        lists.insert(("1".to_owned(), What::Subtasks), vec![part_of("11", "task", "1")]);
        lists.insert(("1".to_owned(), What::TaskStories), vec![part_of("12", "story", "1")]);
        bench.run(Duration::from_secs(120));
        assert_eq!(bench.snapshots().len(), 7, "{:?}", bench.said);
        bench
    }

    fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }

    /// The next reconciliation, from its beginning to its end.
    fn reconcile(&mut self) -> BTreeMap<String, SnapshotChange> {
        self.said.clear();
        self.asana.asked.clear();
        self.wait(DAY + DAY / 5);
        self.run(Duration::from_secs(300));
        self.snapshots()
    }

    fn snapshots(&self) -> BTreeMap<String, SnapshotChange> {
        let snapshots = self.said.iter().filter_map(|body| match body {
            Body::Snapshot(it) => Some((it.resource.clone().unwrap().gid, it.change())),
            _ => None,
        });
        snapshots.collect()
    }

    fn end(&self) -> &pb::SnapshotEnd {
        let end = self.said.iter().rev().find_map(|body| match body {
            Body::SnapshotEnd(end) => Some(end),
            _ => None,
        });
        end.expect("the crawl has ended")
    }

    fn healed(&self) -> Vec<Restored> {
        let healed = self.said.iter().filter_map(|body| match body {
            Body::SourceGapHealed(it) => Some(it.restored()),
            _ => None,
        });
        healed.collect()
    }

    /// Polls, reads and commits for so long.
    fn run(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        while self.now.monotonic < end {
            while let Some(poll) = self.engine.next_poll(self.now) {
                self.poll += 1;
                let dies = poll.token.is_some() && self.asana.failing.remove(&(String::new(), What::Goal));
                let outcome = match &poll.token {
                    Some(_) if !dies => empty_page(&format!("t{}", self.poll), self.now),
                    Some(_) | None => PollOutcome::TokenReset(format!("r{}", self.poll).into()),
                };
                let (stamp, received_at) = (Stamp::new(self.now.wall, Duration::ZERO), self.now.wall);
                self.engine.handle_outcome(self.now, &poll, Polled { outcome, stamp, received_at });
                self.commit();
            }
            while let Some(step) = self.engine.next_crawl_step(self.now) {
                let answer = self.answer(&step.step);
                self.engine.handle_crawl_step(self.now, &step, answer);
                self.commit();
            }
            self.wait(Duration::from_secs(1));
        }
    }

    fn answer(&mut self, step: &Step) -> CrawlAnswer {
        let (index, id) = (&self.index, &self.id);
        match step {
            Step::Compare(mark) => CrawlAnswer::Compare(index.is_trusted(id, *mark).unwrap()),
            Step::List { listing, account, .. } => {
                self.asana.lists_asked.push((account.to_string(), listing.what));
                if account.as_str() == "crawler" && self.asana.hidden_from_crawler.contains(&listing.what) {
                    return CrawlAnswer::without_page(ListOutcome::Denied(Denial::Forbidden));
                }
                let outcome = self.asana.answer(listing, false);
                let ListOutcome::Page(page) = &outcome else { return CrawlAnswer::without_page(outcome) };
                let gids: Vec<_> = page.items.iter().map(|item| Gid::from(item.resource.gid.as_str())).collect();
                let known = index.look_up(id, &gids).unwrap();
                CrawlAnswer::List(outcome, Lookup::Found(known))
            }
            Step::Ask(listing) => {
                let outcome = self.asana.answer(listing, true);
                let part_of = match &outcome {
                    ListOutcome::Page(page) => page.items[0].part_of.clone(),
                    _ => None,
                };
                let known = part_of.and_then(|it| index.look_up(id, &[it.of]).unwrap().remove(0));
                CrawlAnswer::Ask(outcome, known)
            }
            Step::Weigh { crawl, least, percent } => {
                CrawlAnswer::Weigh(Lookup::Found(index.shortfalls(id, *crawl, *least, *percent).unwrap()))
            }
            Step::Sweep { from, after } => {
                CrawlAnswer::Sweep(Lookup::Found(index.absent(id, from, after.as_ref(), 2).unwrap()))
            }
            Step::Below { of, lists, crawl } => {
                CrawlAnswer::Below(Lookup::Found(index.below(id, of, lists, *crawl, 2).unwrap()))
            }
        }
    }

    fn commit(&mut self) {
        loop {
            while let Some(topic) = self.engine.next_topic_refresh(self.now) {
                self.engine.set_topic(self.now, topic, OutputTopic { lanes: NonZeroU32::MIN, message_bytes: 100_000 });
            }
            let Some(batch) = self.engine.take_batch(self.now) else { return };
            let records = batch.messages.iter().map(|it| pb::Record::decode(it.value.as_slice()).unwrap());
            self.said.extend(records.filter_map(|record| record.body));
            let summary = self.engine.committed(self.now);
            self.index.apply(&summary.updates).unwrap();
        }
    }
}

fn settings(crawler: Option<&str>) -> Settings {
    Settings {
        shards: NonZeroU32::MIN,
        topic: TopicTemplate::parse("t", 16).unwrap(),
        min_interval: Duration::from_secs(10),
        max_interval: Duration::from_secs(10),
        commit_interval: Duration::ZERO,
        quiet_wait: Duration::ZERO,
        max_records: 100,
        max_pending_bytes: 100_000,
        watermark_interval: Duration::ZERO,
        replica: "r".to_owned(),
        deployment: Deployment::default(),
        dead_letter_topic: "dead".to_owned(),
        crawl: CrawlSettings {
            initial: true,
            account: crawler.map(Into::into),
            depth: Depth::Stories,
            budget_percent: 90,
            reconcile_interval: DAY,
            late_events: Duration::from_secs(60),
            ..CrawlSettings::default()
        },
        all_known: true,
        sampling: Sampling::NONE,
        state: bridge_core::engine::StateSettings::default(),
        encodings: bridge_core::record::encoding::Encodings::default(),
    }
}

fn changes<const N: usize>(of: [(&str, SnapshotChange); N]) -> BTreeMap<String, SnapshotChange> {
    of.into_iter().map(|(gid, change)| (gid.to_owned(), change)).collect()
}

#[test]
fn what_a_short_list_leaves_out_lives() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["2", "4"]);
    for gid in ["1", "3"] {
        bench.asana.alone.insert(gid.to_owned(), Ok(in_project(gid)));
    }
    assert_eq!(bench.reconcile(), BTreeMap::new(), "nothing differs");
    assert_eq!(bench.asana.asked, ["1", "3"], "what lies in task 1 is found by its lists");
    bench.asana.tasks(&["1", "2", "3", "4"]);
    bench.asana.asked.clear();
    assert_eq!((bench.reconcile(), bench.asana.asked.len()), (BTreeMap::new(), 0));
}

#[test]
fn what_is_gone_takes_along_its_stories_by_one_answer() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["2", "3"]);
    let deleted = SnapshotChange::Deleted;
    let expected = changes([("1", deleted), ("11", deleted), ("12", deleted), ("4", deleted)]);
    assert_eq!(bench.reconcile(), expected);
    assert_eq!(bench.asana.asked, ["1", "4", "11"]);
    assert_eq!(bench.reconcile(), BTreeMap::new(), "said once");
}

#[test]
fn a_subtask_that_moved_before_its_task_was_deleted_lives() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["2", "3", "4"]);
    bench.asana.alone.insert("11".to_owned(), Ok(item("11", "task", "8")));
    let (deleted, left) = (SnapshotChange::Deleted, SnapshotChange::Left);
    assert_eq!(bench.reconcile(), changes([("1", deleted), ("11", left), ("12", deleted)]));
}

#[test]
fn what_lives_elsewhere_has_left_and_its_subtasks_are_asked_for() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["2", "3", "4"]);
    bench.asana.alone.insert("1".to_owned(), Ok(item("1", "task", "8")));
    bench.asana.alone.insert("11".to_owned(), Ok(part_of("11", "task", "1")));
    let left = SnapshotChange::Left;
    assert_eq!(bench.reconcile(), changes([("1", left), ("11", left), ("12", left)]));
    let states = bench.said.iter().filter_map(|body| match body {
        Body::Snapshot(it) => Some(!it.state_json.is_empty()),
        _ => None,
    });
    assert!(states.into_iter().any(|has_state| has_state), "what was asked for is told");
}

#[test]
fn a_subtask_of_what_left_that_is_in_the_project_itself_stays() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["2", "3", "4"]);
    bench.asana.alone.insert("1".to_owned(), Ok(item("1", "task", "8")));
    let subtask = Item { part_of: Some(Listing { of: "1".into(), what: What::Task }), ..in_project("11") };
    bench.asana.alone.insert("11".to_owned(), Ok(subtask));
    let said = bench.reconcile();
    assert_eq!((said.get("1"), said.get("11")), (Some(&SnapshotChange::Left), None), "it is as it was");
}

#[test]
fn a_subtask_that_moved_to_a_task_of_the_project_is_below_it() {
    let mut bench = Bench::new();
    bench.asana.lists.remove(&("1".to_owned(), What::Subtasks));
    bench.asana.alone.insert("11".to_owned(), Ok(part_of("11", "task", "2")));
    assert_eq!(bench.reconcile(), BTreeMap::new());
    assert_eq!(bench.asana.asked, ["11"]);
}

#[test]
fn what_is_hidden_is_said_once_until_it_is_seen_again() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["1", "2", "3"]);
    bench.asana.alone.insert("4".to_owned(), Err(ListOutcome::Denied(Denial::Forbidden)));
    assert_eq!(bench.reconcile(), changes([("4", SnapshotChange::NotVisible)]));
    assert_eq!(bench.reconcile(), BTreeMap::new());
    assert_eq!(bench.asana.asked, ["4"]);
    bench.asana.tasks(&["1", "2", "3", "4"]);
    assert_eq!(bench.reconcile(), changes([("4", SnapshotChange::Updated)]));
}

#[test]
fn what_cant_be_decided_is_left_out_by_name_and_tried_again() {
    let mut bench = Bench::new();
    bench.asana.tasks(&["1", "2", "3"]);
    bench.asana.failing.insert(("4".to_owned(), What::Task));
    assert_eq!(bench.reconcile(), BTreeMap::new());
    let end = bench.end().clone();
    let named = &end.left_out[0];
    assert_eq!((named.of.as_str(), named.what.as_str(), named.reason.as_str()), ("4", "task", "server"));
    bench.asana.failing.clear();
    bench.said.clear();
    bench.run(Duration::from_secs(600));
    assert_eq!(bench.snapshots(), changes([("4", SnapshotChange::Deleted)]), "on its own, before the next crawl");
    assert_eq!(bench.end().left_out_count, 0);
}

#[test]
fn a_gap_is_healed_in_part_and_then_the_rest() {
    let mut bench = Bench::new();
    bench.said.clear();
    // The token dies, and the stories of a task can't be read.
    bench.asana.failing.extend([(String::new(), What::Goal), ("1".to_owned(), What::TaskStories)]);
    bench.run(Duration::from_secs(200));
    assert_eq!(bench.healed(), [Restored::PartOfState], "{:?}", bench.said);
    let healed = bench.said.iter().rev().find_map(|body| match body {
        Body::SourceGapHealed(it) => Some(it.clone()),
        _ => None,
    });
    let named = &healed.unwrap().left_out[0];
    assert_eq!((named.of.as_str(), named.what.as_str()), ("1", "stories"));
    bench.asana.failing.clear();
    bench.run(Duration::from_secs(600));
    assert_eq!(bench.healed(), [Restored::PartOfState, Restored::State]);
    assert!(!bench.snapshots().values().any(|change| *change == SnapshotChange::Deleted));
}

#[test]
fn what_cant_be_read_again_and_again_is_published_once() {
    let mut bench = Bench::new();
    bench.asana.failing.extend([(String::new(), What::Goal), ("1".to_owned(), What::TaskStories)]);
    bench.run(Duration::from_secs(200));
    assert_eq!(bench.healed(), [Restored::PartOfState], "{:?}", bench.said);
    bench.said.clear();
    bench.asana.lists_asked.clear();
    bench.run(DAY / 12);
    let asked = bench.asana.lists_asked.iter().filter(|(_, what)| *what == What::TaskStories).count();
    assert!(asked >= 12, "it is tried again, six times each: {:?}", bench.asana.lists_asked);
    assert_eq!(bench.said, [], "and nothing came of it");
    // Another list can't be read either.
    bench.asana.failing.insert(("1".to_owned(), What::Subtasks));
    bench.reconcile();
    bench.asana.failing.clear();
    bench.said.clear();
    bench.run(DAY / 12);
    let kinds = bench.said.iter().map(|body| match body {
        Body::SnapshotBegin(_) => "begin",
        Body::Snapshot(_) => "snapshot",
        Body::SnapshotEnd(_) => "end",
        Body::SourceGapHealed(_) => "healed",
        _ => "other",
    });
    let expected = ["begin", "snapshot", "snapshot", "end", "healed"];
    assert_eq!(kinds.collect::<Vec<_>>(), expected, "{:?}", bench.said);
    assert_eq!((bench.end().left_out_count, bench.healed()), (0, vec![Restored::State]));
}

#[test]
fn a_type_of_which_something_has_no_gid_is_not_complete() {
    let mut bench = Bench::new();
    bench.said.clear();
    bench.asana.unidentified = 1;
    bench.asana.failing.insert((String::new(), What::Goal));
    bench.run(Duration::from_secs(200));
    assert_eq!(bench.end().complete_types, ["project", "section", "story"]);
}

#[test]
fn many_that_no_list_shows_are_looked_for_in_the_list_again_first() {
    let mut bench = Bench::new();
    let gids: Vec<_> = (100..200).map(|gid| gid.to_string()).collect();
    let gids: Vec<_> = gids.iter().map(String::as_str).collect();
    bench.asana.tasks(&gids);
    assert_eq!(bench.reconcile().len(), 106, "100 are new, and the six of before are gone");
    bench.asana.tasks(&gids[..50]);
    for gid in &gids {
        bench.asana.alone.insert((*gid).to_owned(), Ok(in_project(gid)));
    }
    assert_eq!(bench.reconcile(), BTreeMap::new());
    assert_eq!(bench.asana.asked.len(), 50, "each, as the list came short twice");
}

fn empty_page(token: &str, now: Now) -> PollOutcome {
    PollOutcome::Page(Page { events: Vec::new(), next: token.into(), has_more: false, received_at: now.wall, bytes: 9 })
}

#[test]
fn a_project_that_is_gone_says_nothing_of_its_tasks() {
    let mut bench = Bench::new();
    bench.asana.alone.insert(PROJECT.to_owned(), Err(ListOutcome::Denied(Denial::NotFound)));
    bench.asana.alone.insert("1".to_owned(), Ok(item("1", "task", "8")));
    let (deleted, left) = (SnapshotChange::Deleted, SnapshotChange::Left);
    let said = bench.reconcile();
    assert_eq!(said.get(PROJECT), Some(&deleted), "{said:?}");
    assert_eq!(["1", "2", "12"].map(|gid| said.get(gid)), [Some(&left), Some(&deleted), Some(&left)], "{said:?}");
}

#[test]
fn a_resource_that_is_refused_while_its_events_come_holds_no_gap_open() {
    let mut bench = Bench::new();
    bench.said.clear();
    bench.asana.alone.insert(PROJECT.to_owned(), Err(ListOutcome::Denied(Denial::Forbidden)));
    bench.asana.failing.insert((String::new(), What::Goal));
    bench.run(Duration::from_secs(100));
    assert_eq!(bench.healed(), [Restored::PartOfState], "{:?}", bench.said);
    assert!(bench.snapshots().is_empty(), "nothing is said of what can't be read");
    bench.asana.alone.clear();
    bench.run(Duration::from_secs(600));
    assert_eq!(bench.healed(), [Restored::PartOfState, Restored::State]);
}

#[test]
fn another_account_reads_the_lists_and_decides_nothing() {
    let mut bench = Bench::crawling_by(Some("crawler"));
    let is_crawlers = |(account, _): &(String, What)| account == "crawler";
    assert!(bench.asana.lists_asked.iter().all(is_crawlers), "{:?}", bench.asana.lists_asked);
    // It may not see the project's sections, nor task 4.
    bench.asana.hidden_from_crawler.insert(What::Sections);
    bench.asana.tasks(&["1", "2", "3"]);
    bench.asana.alone.insert("4".to_owned(), Ok(in_project("4")));
    bench.asana.lists_asked.clear();
    assert_eq!(bench.reconcile(), BTreeMap::new());
    assert_eq!(bench.end().left_out_count, 0, "the stream's own account sees them");
    let by_own: Vec<_> = bench.asana.lists_asked.iter().filter(|asked| !is_crawlers(asked)).collect();
    assert_eq!(by_own, [&("main".to_owned(), What::Sections)]);
    assert_eq!(bench.asana.asked, ["4"]);
}

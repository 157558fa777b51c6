//! What the index knows and no list of a crawl showed.
//!
//! Absence from a list proves nothing: lists come short, and who is dragged while one is read may be on no page of it. So each
//! such resource is asked for alone, by the stream's own credential:
//!
//! | answer | what is said |
//! | --- | --- |
//! | 200, and it lies below the stream's resource | a snapshot like any other |
//! | 200, and it doesn't | `LEFT`: it lives |
//! | 404 | `DELETED`, and so is what comes and goes with it |
//! | 403 | `NOT_VISIBLE`, and its type isn't complete |
//! | anything else | nothing, and its type isn't complete |
//!
//! What lies in something that isn't seen itself waits for the verdict on that. If the index doesn't know what a subtask,
//! a story, an attachment or a section lies in any more, that is asked for first: one answer is for all of them.

use super::compare::has_event;
use super::lists::{notice_of, snapshot_of};
use super::{Engine, Found, Step};
use crate::crawl::known::{self, Absent, NOT_VISIBLE, Shortfall};
use crate::crawl::{Crawl, Fate, LeftOut, MOST_TRIES, below, place_of};
use crate::engine::schedule::pace::RETRY;
use crate::ids::{Gid, StreamId};
use crate::now::Now;
use crate::outcome::list::{Item, ListOutcome, Listing, What};
use crate::outcome::poll::Denial;
use crate::stream::{CrawlNotice, Notice};
use bridge_contract::pb::{self, SnapshotChange};
use std::collections::VecDeque;
use std::time::Duration;

/// So far a chain of what is a part of what is followed: Asana allows five levels of subtasks.
const MOST_HOPS: u32 = 8;

/// What is gone with something that is gone. The tasks of a project may live on.
const COMES_ALONG: [(What, &[What]); 3] = [
    (What::Task, &[What::Subtasks, What::TaskStories, What::Attachments]),
    (What::Goal, &[What::GoalStories]),
    (What::Project, &[What::Sections]),
];
/// What goes wherever a task goes.
const ON_TASK: &[What] = &[What::TaskStories, What::Attachments];

/// The search for what became of the absent, as far as this owner has come.
#[derive(Debug, Default)]
pub(in crate::engine) struct Absences {
    waiting: VecDeque<Question>,
    /// What is said of all that lies in something.
    falling: Option<Falling>,
    /// The last that the index named.
    after: Option<Gid>,
    /// Something became known in this pass through the index, by which others may be asked for.
    has_acted: bool,
    /// How many were asked for.
    pub(in crate::engine) asked: u64,
}

/// What became of it?
#[derive(Clone, Debug)]
struct Question {
    absent: Absent,
    /// What is asked for: itself, what it lies in, or what it is a part of.
    ask: Listing,
    /// Asana showed it, and it is to be found out whether it lies below the stream's resource.
    item: Option<Item>,
    hops: u32,
    tries: u32,
    due: Duration,
}

#[derive(Clone, Debug)]
struct Falling {
    of: Gid,
    lists: &'static [What],
    change: SnapshotChange,
    /// It goes last.
    itself: Option<Absent>,
}

impl Absences {
    pub(super) fn step(&self, crawl: &Crawl, least: u32, percent: u32) -> Step {
        let number = crawl.number();
        if !crawl.reread {
            return Step::Weigh { crawl: number, least, percent };
        }
        if let Some(Falling { of, lists, .. }) = &self.falling {
            return Step::Below { of: of.clone(), lists, crawl: number };
        }
        match self.next() {
            Some((_, question)) => Step::Ask(question.ask.clone()),
            None => Step::Sweep { from: crawl.absent_from(), after: self.after.clone() },
        }
    }

    /// When the next step may be taken.
    pub(super) fn due(&self) -> Duration {
        self.next().filter(|_| self.falling.is_none()).map_or(Duration::ZERO, |(_, question)| question.due)
    }

    /// How many wait to be asked for, as far as that is known.
    pub(in crate::engine) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn next(&self) -> Option<(usize, &Question)> {
        self.waiting.iter().enumerate().min_by_key(|(_, question)| question.due)
    }

    fn take_next(&mut self) -> Option<Question> {
        let (at, _) = self.next()?;
        self.waiting.remove(at)
    }

    fn wait(&mut self, question: Question) {
        self.waiting.push_front(question);
    }

    /// Back to the beginning: what is read now may show some of them.
    fn reset(&mut self) {
        *self = Self { asked: self.asked, ..Self::default() };
    }
}

impl Question {
    /// `None` where no request asks for such a thing.
    fn of(absent: Absent, resource: &Gid) -> Option<Self> {
        let lies_in = absent.entry.place.as_ref().filter(|place| !absent.knows_place && place.of != *resource);
        let ask = match lies_in.and_then(container) {
            Some(container) => container,
            None => Self::itself(&absent)?,
        };
        Some(Self { absent, ask, item: None, hops: 0, tries: 0, due: Duration::ZERO })
    }

    fn itself(absent: &Absent) -> Option<Listing> {
        Some(Listing { of: absent.gid.clone(), what: What::alone(&absent.entry.resource_type)? })
    }

    fn is_of_container(&self) -> bool {
        self.item.is_none() && self.ask.of != self.absent.gid
    }
}

/// What a list is in, where its end is that of the list.
fn container(place: &Listing) -> Option<Listing> {
    let (what, _) = COMES_ALONG.into_iter().find(|(_, lists)| lists.contains(&place.what))?;
    Some(Listing { of: place.of.clone(), what })
}

/// What comes and goes with it.
fn lists_of(what: What) -> &'static [What] {
    COMES_ALONG.into_iter().find(|(of, _)| *of == what).map_or(&[], |(_, lists)| lists)
}

impl Engine {
    /// Lists that came short are read again, once, before their missing resources are asked for one by one.
    pub(super) fn handle_shortfalls(
        &mut self,
        now: Now,
        id: &StreamId,
        mut crawl: Crawl,
        short: Vec<Shortfall>,
    ) -> Option<Notice> {
        crawl.reread = true;
        let unread = crawl.absent_from().unread;
        let short: Vec<_> =
            short.into_iter().filter(|it| !it.listing.what.is_object() && !unread.contains(&it.listing)).collect();
        let notice = (!short.is_empty()).then(|| {
            Notice::Crawl(CrawlNotice::CameShort { lists: short.len(), unseen: short.iter().map(|it| it.unseen).sum() })
        });
        crawl.read_next(short.into_iter().map(|it| it.listing).collect());
        self.wait_for_step(now, id, crawl, Found::at(now.wall));
        notice
    }

    /// What the index named is asked for. A pass through it that made nothing known is the last.
    pub(super) fn handle_sweep(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: Crawl,
        absent: Vec<Absent>,
    ) -> Option<Notice> {
        let crawling = &mut self.streams.get_mut(id)?.crawling;
        if absent.is_empty() && !crawling.absences.has_acted {
            return self.end_crawl(now, id, crawl);
        }
        let absences = &mut crawling.absences;
        absences.has_acted &= !absent.is_empty();
        absences.after = absent.last().map(|absent| absent.gid.clone());
        let untouched = absent.into_iter().filter(|absent| !crawling.touched.contains(&absent.gid));
        absences.waiting.extend(untouched.filter_map(|absent| Question::of(absent, &id.resource)));
        self.end_step(now, id);
        None
    }

    fn end_crawl(&mut self, now: Now, id: &StreamId, crawl: Crawl) -> Option<Notice> {
        let entry = self.streams.get(id)?;
        let stream = &entry.committed;
        let gaps = stream.open_gaps.iter().filter(|gap| crawl.heals(gap)).chain(&stream.partly_healed);
        let gap_topics = gaps.clone().flat_map(|gap| gap.topics.keys());
        let found = Found {
            topics: crawl.topics.keys().chain(gap_topics).cloned().collect(),
            notice: Some(Notice::Crawl(CrawlNotice::Ended {
                reason: crawl.reason,
                snapshots: crawl.snapshots,
                healed: gaps.filter(|_| crawl.left_out.is_empty()).count(),
                left_out: crawl.left_out.count(),
            })),
            known: (entry.crawling.is_whole && crawl.scope.is_empty())
                .then_some(known::Change::Complete)
                .into_iter()
                .collect(),
            ends_crawl: Some(crawl.end_record(entry.kind, self.settings.crawl.depth)),
            ..Found::at(now.wall)
        };
        self.wait_for_step(now, id, crawl, found);
        None
    }

    /// What Asana says of something that was asked for alone.
    pub(super) fn handle_asked(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: Crawl,
        outcome: ListOutcome,
        part_of: Option<&known::Entry>,
    ) -> Option<Notice> {
        let crawling = &mut self.streams.get_mut(id)?.crawling;
        let mut question = crawling.absences.take_next()?;
        if crawling.touched.contains(&question.absent.gid) {
            // What was read may be older than the event.
            self.end_step(now, id);
            return None;
        }
        match outcome {
            ListOutcome::Page(page) => {
                crawling.absences.asked += 1;
                self.answered(now, id);
                let is_it = |item: &Item| item.resource.gid == question.ask.of.as_str();
                match page.items.into_iter().next().filter(is_it) {
                    Some(item) => self.handle_alive(now, id, crawl, question, item, part_of),
                    None => self.undecided(now, id, crawl, question, "malformed"),
                }
            }
            ListOutcome::Denied(Denial::NotFound) if question.item.is_none() => {
                crawling.absences.asked += 1;
                self.answered(now, id);
                let of = question.ask.of.clone();
                let (lists, itself) = (lists_of(question.ask.what), !question.is_of_container());
                self.fall(
                    now,
                    id,
                    Falling { of, lists, change: SnapshotChange::Deleted, itself: itself.then_some(question.absent) },
                )
            }
            ListOutcome::Denied(Denial::Forbidden) if question.item.is_none() => {
                crawling.absences.asked += 1;
                self.answered(now, id);
                self.handle_hidden(now, id, crawl, question)
            }
            ListOutcome::Throttled { retry_after } => {
                crawling.absences.wait(question);
                let payer = id.account.clone();
                self.pause_crawl(now, id, &payer, retry_after)
            }
            ListOutcome::Denied(denial)
                if denial.may_concern_account() && !self.accounts.is_accepted(now, &id.account) =>
            {
                self.ask_later(now, id, crawl, question, denial.label())
            }
            ListOutcome::Failed(failure) => self.ask_later(now, id, crawl, question, failure.label()),
            ListOutcome::OffsetExpired | ListOutcome::CutOff => self.undecided(now, id, crawl, question, "malformed"),
            ListOutcome::Denied(denial) => {
                question.tries = MOST_TRIES;
                self.undecided(now, id, crawl, question, denial.label())
            }
        }
    }

    /// It lives: here, or somewhere else.
    fn handle_alive(
        &mut self,
        now: Now,
        id: &StreamId,
        mut crawl: Crawl,
        mut question: Question,
        shown: Item,
        part_of: Option<&known::Entry>,
    ) -> Option<Notice> {
        let saw = |entry: &known::Entry| entry.crawl == crawl.number();
        let gid = Gid::from(shown.resource.gid.as_str());
        let is_below = gid == id.resource || shown.within.contains(&id.resource) || part_of.is_some_and(saw);
        let next = shown.part_of.clone().filter(|next| next.of != gid && question.hops < MOST_HOPS);
        let is_of_container = question.is_of_container();
        let item = question.item.take().unwrap_or(shown);
        match next {
            Some(next) if !is_below && !is_of_container => {
                question = Question { ask: next, item: Some(item), hops: question.hops + 1, ..question };
                self.streams.get_mut(id)?.crawling.absences.wait(question);
                self.end_step(now, id);
                None
            }
            _ if is_of_container => self.handle_container(now, id, crawl, question, &item, is_below),
            _ => {
                let mut found = Found::at(now.wall);
                if is_below {
                    let entry = Some(&question.absent.entry);
                    let below = self.show_alone(now, id, &crawl, &item, entry, &mut found);
                    self.act(id, !below.is_empty());
                    crawl.read_next(below);
                } else {
                    self.say_gone(now, id, &crawl, &question.absent, Some(&item), SnapshotChange::Left, &mut found);
                    self.act(id, false);
                }
                self.wait_for_step(now, id, crawl, found);
                None
            }
        }
    }

    /// What something absent lay in lives. The index didn't know it: what lies in it is found by its lists, if it is here.
    fn handle_container(
        &mut self,
        now: Now,
        id: &StreamId,
        mut crawl: Crawl,
        mut question: Question,
        container: &Item,
        is_below: bool,
    ) -> Option<Notice> {
        let goes_along = question.absent.entry.place.as_ref().is_some_and(|place| ON_TASK.contains(&place.what));
        if is_below {
            let mut found = Found::at(now.wall);
            let below = self.show_alone(now, id, &crawl, container, None, &mut found);
            self.act(id, true);
            crawl.read_next(below);
            self.wait_for_step(now, id, crawl, found);
            return None;
        }
        if goes_along {
            let falling = Falling { of: question.ask.of, lists: ON_TASK, change: SnapshotChange::Left, itself: None };
            return self.fall(now, id, falling);
        }
        question.ask = Question::itself(&question.absent)?;
        self.streams.get_mut(id)?.crawling.absences.wait(question);
        self.end_step(now, id);
        None
    }

    /// Asana doesn't show it to the stream's credential.
    fn handle_hidden(&mut self, now: Now, id: &StreamId, mut crawl: Crawl, mut question: Question) -> Option<Notice> {
        if question.is_of_container() {
            // That says nothing of what lay in it.
            question.ask = Question::itself(&question.absent)?;
            self.streams.get_mut(id)?.crawling.absences.wait(question);
            self.end_step(now, id);
            return None;
        }
        let Absent { gid, entry, .. } = question.absent;
        let mut found = Found::at(now.wall);
        if entry.hash != NOT_VISIBLE {
            let resource = reference(&gid, &entry.resource_type);
            let snapshot = stateless(&crawl, resource, SnapshotChange::NotVisible);
            found.records.push(self.snapshot(id, snapshot, now.wall));
        }
        found.known.push(known::Change::Passed { gid, crawl: crawl.number(), is_hidden: true });
        crawl.incomplete_types.insert(entry.resource_type);
        self.wait_for_step(now, id, crawl, found);
        None
    }

    /// No usable answer: others are asked for meanwhile.
    fn ask_later(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: Crawl,
        mut question: Question,
        reason: &'static str,
    ) -> Option<Notice> {
        question.tries += u32::from(self.count_failure(now, id));
        if question.tries >= MOST_TRIES {
            return self.undecided(now, id, crawl, question, reason);
        }
        question.due = now.monotonic + RETRY.delay(question.tries + 1, &id.to_string());
        let notice = Notice::Crawl(CrawlNotice::Retries { listing: question.ask.clone(), reason });
        self.streams.get_mut(id)?.crawling.absences.waiting.push_back(question);
        self.end_step(now, id);
        Some(notice)
    }

    /// It can't be found out what became of it: that is left out, and nothing is said of it.
    fn undecided(
        &mut self,
        now: Now,
        id: &StreamId,
        mut crawl: Crawl,
        question: Question,
        reason: &'static str,
    ) -> Option<Notice> {
        let absent = question.absent;
        let listing = Question::itself(&absent).unwrap_or(question.ask);
        let left_out = LeftOut { listing, reason: reason.to_owned() };
        crawl.note_left_out(left_out.clone());
        let passed = known::Change::Passed { gid: absent.gid, crawl: crawl.number(), is_hidden: false };
        self.wait_for_step(now, id, crawl, Found { known: vec![passed], ..Found::at(now.wall) });
        notice_of(Fate::LeftOut(left_out), reason)
    }

    /// Something is said of all that lies in a resource, and then of itself.
    fn fall(&mut self, now: Now, id: &StreamId, falling: Falling) -> Option<Notice> {
        let absences = &mut self.streams.get_mut(id)?.crawling.absences;
        let lists = falling.lists;
        let falls = |place: &Listing| place.of == falling.of && lists.contains(&place.what);
        absences.waiting.retain(|question| !question.absent.entry.place.as_ref().is_some_and(falls));
        absences.falling = Some(falling);
        absences.has_acted = true;
        self.end_step(now, id);
        None
    }

    pub(super) fn handle_below(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: Crawl,
        below: Vec<(Gid, known::Entry)>,
    ) -> Option<Notice> {
        let crawling = &mut self.streams.get_mut(id)?.crawling;
        let falling = crawling.absences.falling.clone()?;
        let untouched: Vec<_> = below.into_iter().filter(|(gid, _)| !crawling.touched.contains(gid)).collect();
        let mut found = Found::at(now.wall);
        let is_last = untouched.is_empty();
        for (gid, entry) in untouched {
            let absent = Absent { gid, entry, knows_place: true };
            self.say_gone(now, id, &crawl, &absent, None, falling.change, &mut found);
        }
        if is_last {
            if let Some(itself) = &falling.itself {
                self.say_gone(now, id, &crawl, itself, None, falling.change, &mut found);
            }
            self.streams.get_mut(id)?.crawling.absences.falling = None;
        }
        self.wait_for_step(now, id, crawl, found);
        None
    }

    /// A resource that was found by asking for it alone.
    fn show_alone(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: &Crawl,
        item: &Item,
        entry: Option<&known::Entry>,
        found: &mut Found,
    ) -> Vec<Listing> {
        let what = What::alone(&item.resource.resource_type).unwrap_or(What::Task);
        let before = entry.and_then(|entry| entry.place.clone()).filter(|place| item.within.contains(&place.of));
        let place = before.unwrap_or_else(|| place_of(id, item));
        self.show(now, id, crawl, item, entry, &place, found);
        below(what, item, self.settings.crawl.depth)
    }

    /// It is gone, from here or altogether.
    #[expect(clippy::too_many_arguments, reason = "what is said, of what, by which crawl")]
    fn say_gone(
        &mut self,
        now: Now,
        id: &StreamId,
        crawl: &Crawl,
        absent: &Absent,
        item: Option<&Item>,
        change: SnapshotChange,
        found: &mut Found,
    ) {
        let Absent { gid, entry, .. } = absent;
        let nested = entry.place.as_ref().is_none_or(|place| place.of != id.resource);
        if has_event(change, nested, &entry.resource_type) {
            self.suspect(now, id, crawl, gid.clone(), Some(entry), None);
        }
        let snapshot = match item {
            Some(item) => snapshot_of(crawl, item, None, change),
            None => stateless(crawl, reference(gid, &entry.resource_type), change),
        };
        found.records.push(self.snapshot(id, snapshot, now.wall));
        found.known.push(known::Change::Gone { gid: gid.clone() });
    }

    /// Something became known; if it `leads_on`, lists are read before others are asked for.
    fn act(&mut self, id: &StreamId, leads_on: bool) {
        let Some(entry) = self.streams.get_mut(id) else { return };
        if leads_on {
            entry.crawling.absences.reset();
        }
        entry.crawling.absences.has_acted = true;
    }
}

fn reference(gid: &Gid, resource_type: &str) -> pb::Resource {
    pb::Resource { gid: gid.to_string(), resource_type: resource_type.to_owned(), ..pb::Resource::default() }
}

fn stateless(crawl: &Crawl, resource: pb::Resource, change: SnapshotChange) -> pb::Snapshot {
    pb::Snapshot {
        crawl_id: crawl.id.clone(),
        resource: Some(resource),
        change: change.into(),
        ..pb::Snapshot::default()
    }
}

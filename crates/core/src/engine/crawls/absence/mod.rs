//! What the index knows and no list of a crawl showed.
//!
//! Absence from a list proves nothing: lists come short, and who is dragged while one is read may be on no page of it.
//! So each such resource is asked for alone, by the stream's own credential:
//!
//! | answer | what is published |
//! | --- | --- |
//! | 200, and it lies below the stream's resource | a snapshot like any other |
//! | 200, and it doesn't | `LEFT`: it lives |
//! | 404 | `DELETED`, and so is what comes and goes with it |
//! | 403 | `NOT_VISIBLE`, and its type isn't complete |
//! | anything else | nothing, and its type isn't complete |
//!
//! What lies in something that isn't seen itself waits for the verdict on that. If the index doesn't know what a
//! story, an attachment or a section lies in any more, that is asked for first: one answer is for all of them. A
//! subtask may have moved before its task was deleted, so it is asked for itself.

mod gone;
mod verdict;

use super::{CrawlTurn, Engine, Found, Step};
use crate::crawl::Crawl;
use crate::crawl::known::{self, Absent, Shortfall};
use crate::ids::Gid;
use crate::outcome::list::{Item, Listing, What};
use crate::stream::{CrawlNotice, Notice};
use bridge_contract::pb::SnapshotChange;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// What goes wherever a task goes.
const ON_TASK: &[What] = &[What::TaskStories, What::Attachments];
/// What is gone with something that is gone. The tasks of a project and the subtasks of a task may live on elsewhere.
const COMES_ALONG: [(What, &[What]); 3] =
    [(What::Task, ON_TASK), (What::Goal, &[What::GoalStories]), (What::Project, &[What::Sections])];

/// The search for what became of the absent, as far as this owner has come.
#[derive(Debug, Default)]
pub(in crate::engine) struct Absences {
    waiting: VecDeque<Question>,
    /// What is published of all that lies in something.
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
    /// Lists that came short are read again, once, before their missing resources are requested one by one.
    pub(super) fn handle_shortfalls(&mut self, mut turn: CrawlTurn<'_>, short: Vec<Shortfall>) -> Option<Notice> {
        turn.crawl.reread = true;
        let unread = turn.crawl.absent_from().unread;
        let short: Vec<_> =
            short.into_iter().filter(|it| !it.listing.what.is_object() && !unread.contains(&it.listing)).collect();
        let notice = (!short.is_empty()).then(|| {
            Notice::Crawl(CrawlNotice::CameShort { lists: short.len(), unseen: short.iter().map(|it| it.unseen).sum() })
        });
        turn.crawl.read_next(short.into_iter().map(|it| it.listing).collect());
        let found = Found::at(turn.now.wall);
        self.wait_for_step(turn, found);
        notice
    }

    /// What the index named is asked for. A pass through it that made nothing known is the last.
    pub(super) fn handle_sweep(&mut self, turn: CrawlTurn<'_>, absent: Vec<Absent>) -> Option<Notice> {
        let id = turn.id;
        let crawling = &mut self.streams.get_mut(id)?.crawling;
        if absent.is_empty() && !crawling.absences.has_acted {
            return self.end_crawl(turn);
        }
        let absences = &mut crawling.absences;
        absences.has_acted &= !absent.is_empty();
        absences.after = absent.last().map(|absent| absent.gid.clone());
        let untouched = absent.into_iter().filter(|absent| !crawling.touched.contains(&absent.gid));
        absences.waiting.extend(untouched.filter_map(|absent| Question::of(absent, &id.resource)));
        self.end_step(turn.now, id);
        None
    }

    fn end_crawl(&mut self, turn: CrawlTurn<'_>) -> Option<Notice> {
        let CrawlTurn { now, id, crawl } = &turn;
        let entry = self.streams.get(id)?;
        let stream = &entry.committed;
        let gaps = stream.open_gaps.iter().filter(|gap| crawl.heals(&gap.id)).chain(&stream.partly_healed);
        // What an earlier crawl left out, and this one couldn't read either, is no news.
        let is_news = !crawl.topics.is_empty() || !crawl.left_out.is_the_same(&stream.left_out);
        let unannounced = if crawl.topics.is_empty() { self.topics_of_crawl(id) } else { BTreeSet::new() };
        let gap_topics = gaps.clone().flat_map(|gap| gap.topics.keys());
        let topics = crawl.topics.keys().chain(gap_topics).chain(&unannounced).filter(|_| is_news);
        let found = Found {
            topics: topics.cloned().collect(),
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
        self.wait_for_step(turn, found);
        None
    }
}

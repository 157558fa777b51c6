//! What follows from an answer about a resource that was requested alone.

use super::gone::{reference, stateless};
use super::{Falling, ON_TASK, Question, lists_of};
use crate::crawl::known::{self, Absent, NOT_VISIBLE};
use crate::crawl::{Fate, LeftOut, MOST_TRIES};
use crate::engine::Engine;
use crate::engine::crawls::lists::notice_of;
use crate::engine::crawls::{CrawlTurn, Found, RETRY};
use crate::ids::Gid;
use crate::outcome::list::{Item, ListOutcome};
use crate::outcome::poll::Denial;
use crate::stream::{CrawlNotice, Notice};
use bridge_contract::pb::SnapshotChange;

/// The largest number of steps from a resource to what it is a part of: Asana allows five levels of subtasks.
const MOST_HOPS: u32 = 8;

impl Engine {
    /// Asana's answer to a request for one resource alone.
    pub(in crate::engine::crawls) fn handle_asked(
        &mut self,
        turn: CrawlTurn<'_>,
        outcome: ListOutcome,
        part_of: Option<&known::Entry>,
    ) -> Option<Notice> {
        let (now, id) = (turn.now, turn.id);
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
                    Some(item) => self.handle_alive(turn, question, item, part_of),
                    None => self.undecided(turn, question, "malformed"),
                }
            }
            ListOutcome::Denied(Denial::NotFound) if question.item.is_none() => {
                crawling.absences.asked += 1;
                self.answered(now, id);
                let of = question.ask.of.clone();
                let (lists, itself) = (lists_of(question.ask.what), !question.is_of_container());
                let itself = itself.then_some(question.absent);
                self.fall(now, id, Falling { of, lists, change: SnapshotChange::Deleted, itself })
            }
            ListOutcome::Denied(Denial::Forbidden) if question.item.is_none() => {
                crawling.absences.asked += 1;
                self.answered(now, id);
                self.handle_hidden(turn, question)
            }
            ListOutcome::Throttled { retry_after } => {
                crawling.absences.wait(question);
                let payer = id.account.clone();
                self.pause_crawl(now, id, &payer, retry_after)
            }
            ListOutcome::Denied(denial)
                if denial.may_concern_account() && !self.accounts.is_accepted(now, &id.account) =>
            {
                self.ask_later(turn, question, denial.label())
            }
            ListOutcome::Failed(failure) => self.ask_later(turn, question, failure.label()),
            ListOutcome::OffsetExpired | ListOutcome::CutOff => self.undecided(turn, question, "malformed"),
            ListOutcome::Denied(denial) => {
                question.tries = MOST_TRIES;
                self.undecided(turn, question, denial.label())
            }
        }
    }

    /// It lives: here, or somewhere else.
    fn handle_alive(
        &mut self,
        mut turn: CrawlTurn<'_>,
        mut question: Question,
        shown: Item,
        part_of: Option<&known::Entry>,
    ) -> Option<Notice> {
        let (now, id) = (turn.now, turn.id);
        let saw = |entry: &known::Entry| entry.crawl == turn.crawl.number();
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
            _ if is_of_container => self.handle_container(turn, question, &item, is_below),
            _ => {
                let mut found = Found::at(now.wall);
                if is_below {
                    let entry = Some(&question.absent.entry);
                    let below = self.show_alone(&turn, &item, entry, &mut found);
                    self.act(id, !below.is_empty());
                    turn.crawl.read_next(below);
                } else {
                    self.report_gone(&turn, &question.absent, Some(&item), SnapshotChange::Left, &mut found);
                    self.act(id, false);
                }
                self.wait_for_step(turn, found);
                None
            }
        }
    }

    /// What something absent lay in lives. The index didn't know it: what lies in it is found by its lists, if it is
    /// here.
    fn handle_container(
        &mut self,
        mut turn: CrawlTurn<'_>,
        mut question: Question,
        container: &Item,
        is_below: bool,
    ) -> Option<Notice> {
        let (now, id) = (turn.now, turn.id);
        let goes_along = question.absent.entry.place.as_ref().is_some_and(|place| ON_TASK.contains(&place.what));
        if is_below {
            let mut found = Found::at(now.wall);
            let below = self.show_alone(&turn, container, None, &mut found);
            self.act(id, true);
            turn.crawl.read_next(below);
            self.wait_for_step(turn, found);
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
    fn handle_hidden(&mut self, mut turn: CrawlTurn<'_>, mut question: Question) -> Option<Notice> {
        let (now, id) = (turn.now, turn.id);
        if question.is_of_container() {
            // This isn't about what lay in it.
            question.ask = Question::itself(&question.absent)?;
            self.streams.get_mut(id)?.crawling.absences.wait(question);
            self.end_step(now, id);
            return None;
        }
        let Absent { gid, entry, .. } = question.absent;
        let mut found = Found::at(now.wall);
        if entry.hash != NOT_VISIBLE {
            let resource = reference(&gid, &entry.resource_type);
            let snapshot = stateless(&turn.crawl, resource, SnapshotChange::NotVisible);
            found.records.push(self.snapshot(id, snapshot, now.wall));
        }
        found.known.push(known::Change::Passed { gid, crawl: turn.crawl.number(), is_hidden: true });
        turn.crawl.incomplete_types.insert(entry.resource_type);
        self.wait_for_step(turn, found);
        None
    }

    /// No usable answer: others are asked for meanwhile.
    fn ask_later(&mut self, turn: CrawlTurn<'_>, mut question: Question, reason: &'static str) -> Option<Notice> {
        let (now, id) = (turn.now, turn.id);
        question.tries += u32::from(self.count_failure(now, id));
        if question.tries >= MOST_TRIES {
            return self.undecided(turn, question, reason);
        }
        question.due = now.monotonic + RETRY.delay(question.tries + 1, &id.to_string());
        let notice = Notice::Crawl(CrawlNotice::Retries { listing: question.ask.clone(), reason });
        self.streams.get_mut(id)?.crawling.absences.waiting.push_back(question);
        self.end_step(now, id);
        Some(notice)
    }

    /// It can't be found out what became of it: it is left out, and nothing is published of it.
    fn undecided(&mut self, mut turn: CrawlTurn<'_>, question: Question, reason: &'static str) -> Option<Notice> {
        let absent = question.absent;
        let listing = Question::itself(&absent).unwrap_or(question.ask);
        let left_out = LeftOut { listing, reason: reason.to_owned() };
        turn.crawl.note_left_out(left_out.clone());
        let passed = known::Change::Passed { gid: absent.gid, crawl: turn.crawl.number(), is_hidden: false };
        let found = Found { known: vec![passed], ..Found::at(turn.now.wall) };
        self.wait_for_step(turn, found);
        notice_of(Fate::LeftOut(left_out), reason)
    }
}

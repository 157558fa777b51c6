//! What an answer about a resource means.
//!
//! | answer | snapshot | state |
//! | --- | --- | --- |
//! | 200, and a stream shows it | its state | its state |
//! | 200, and no stream shows it | LEFT, with its state | its state, not followed |
//! | 404, and no other account gets a 200 | DELETED | removed |
//! | 403 | `NOT_VISIBLE` | as it was |
//! | anything else | none | as it was; tried again |

use super::request::Running;
use super::{Engine, Ready, RefreshRequest, StateChange};
use crate::engine::schedule::backoff::Backoff;
use crate::ids::{AccountName, Gid, StreamId};
use crate::now::Now;
use crate::outcome::list::{Item, ListOutcome, ListPage, What};
use crate::outcome::poll::Denial;
use crate::record::Prepared;
use crate::state::Ticket;
use bridge_contract::pb::{self, SnapshotChange, SnapshotReason};
use bridge_contract::time::timestamp;
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The delays after requests without a usable answer.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(300) };
/// After this number of readings without a usable answer, about half an hour, the resource is given up: what it is now is
/// left to its next event, and to reconciliation.
const MOST_TRIES: u32 = 15;
/// The delays while Asana still shows what it has reported as deleted.
const LAGS: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(16) };
/// The most readings in that case, about half a minute.
const MOST_LAGS: u32 = 6;

/// What a person may want to know of a refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshNotice {
    /// A resource couldn't be read, again and again, and is given up.
    GivenUp {
        /// The stream that asked last.
        stream: StreamId,
        /// The resource.
        gid: Gid,
        /// Why, in the words of the metrics.
        reason: &'static str,
    },
    /// The rate limit was hit.
    Throttled(AccountName, Duration),
}

impl Engine {
    /// What a request returned. The notice is for the log.
    pub fn handle_refresh(
        &mut self,
        now: Now,
        request: &RefreshRequest,
        outcome: ListOutcome,
    ) -> Option<RefreshNotice> {
        let now = self.accounts.by_asana(now);
        let account = self.accounts.get_mut(&request.account);
        account.into_iter().for_each(crate::engine::accounts::Account::refresh_request_finished);
        let running = self.refresh.running.remove(&request.number)?;
        if let (ListOutcome::Page(_) | ListOutcome::Denied(Denial::NotFound), Some(account)) =
            (&outcome, self.accounts.get_mut(&request.account))
        {
            account.answered(now);
        }
        if let ListOutcome::Throttled { retry_after } = outcome {
            let is_news = self.accounts.get_mut(&request.account).is_some_and(|it| it.pause(now, retry_after));
            self.put_back(running, now.monotonic);
            return is_news.then(|| RefreshNotice::Throttled(request.account.clone(), retry_after));
        }
        match running {
            Running::One { ticket, what, refused, read_after } => {
                let asked = Asked { account: request.account.clone(), ticket: *ticket, what, refused, read_after };
                self.handle_one(now, asked, outcome)
            }
            Running::Tasks { .. } => self.handle_tasks(now, running, request, outcome),
        }
    }

    /// Its resources are due again at this time.
    pub(super) fn put_back(&mut self, running: Running, due: Duration) {
        for ticket in running.into_tickets() {
            self.refresh.queue.put_back(ticket, due);
        }
    }

    fn handle_one(&mut self, now: Now, asked: Asked, outcome: ListOutcome) -> Option<RefreshNotice> {
        if !self.refresh.queue.is_current(&asked.ticket) {
            return None;
        }
        match outcome {
            ListOutcome::Page(page) => {
                let gid = asked.ticket.gid.clone();
                match page.items.iter().find(|item| item.resource.gid == gid.as_str()) {
                    Some(item)
                        if asked.ticket.deleted
                            && !is_as_new(&asked.ticket, item)
                            && asked.ticket.tries < MOST_LAGS =>
                    {
                        // It lags behind its event, or somebody restored it.
                        let tries = asked.ticket.tries + 1;
                        let due = now.monotonic + LAGS.delay(tries, gid.as_str());
                        self.refresh.queue.put_back(asked.ticket.tried(), due);
                        None
                    }
                    Some(item) => {
                        self.show_read(now, asked.ticket, item, (asked.read_after, page.received_at));
                        None
                    }
                    None => self.try_again(now, asked, "malformed"),
                }
            }
            ListOutcome::Denied(denial @ (Denial::NotFound | Denial::Forbidden)) => {
                self.handle_refused(now, asked, denial);
                None
            }
            ListOutcome::Denied(denial) => {
                // Whether it speaks of the credential is asked for.
                let _accepted = denial.may_concern_account() && self.accounts.is_accepted(now, &asked.account);
                self.try_again(now, asked, denial.label())
            }
            ListOutcome::Failed(failure) => self.try_again(now, asked, failure.label()),
            ListOutcome::OffsetExpired | ListOutcome::CutOff | ListOutcome::Throttled { .. } => {
                self.try_again(now, asked, "malformed")
            }
        }
    }

    /// No usable answer.
    fn try_again(&mut self, now: Now, asked: Asked, reason: &'static str) -> Option<RefreshNotice> {
        let ticket = asked.ticket.tried().alone();
        if ticket.tries < MOST_TRIES {
            let due = now.monotonic + RETRY.delay(ticket.tries, ticket.gid.as_str());
            self.refresh.queue.put_back(ticket, due);
            return None;
        }
        let notice = RefreshNotice::GivenUp { stream: ticket.stream.clone(), gid: ticket.gid.clone(), reason };
        let ready = self.nothing_ready(now, ticket, now.wall);
        self.get_ready(now, ready);
        Some(notice)
    }

    /// Asana doesn't show it to this account. Others may see it.
    fn handle_refused(&mut self, now: Now, mut asked: Asked, denial: Denial) {
        asked.refused.push((asked.account.clone(), denial));
        let Asked { ticket, what, refused, .. } = asked;
        let was_asked = |name: &AccountName| refused.iter().any(|(other, _)| other == name);
        let may_see: BTreeSet<_> = if denial == Denial::NotFound {
            self.polling_accounts().into_iter().chain(&ticket.accounts).collect()
        } else {
            ticket.accounts.iter().collect()
        };
        let next = may_see.into_iter().find(|name| !was_asked(name) && self.accounts.contains(name)).cloned();
        if let Some(next) = next {
            let running = Running::One { ticket: ticket.into(), what, refused, read_after: None };
            return self.refresh.follow.entry(next).or_default().push_back(running);
        }
        let of_asker =
            |wanted: Denial| refused.iter().any(|(name, it)| *it == wanted && ticket.accounts.contains(name));
        let is_gone = of_asker(Denial::NotFound) && !of_asker(Denial::Forbidden);
        let change = if is_gone { SnapshotChange::Deleted } else { SnapshotChange::NotVisible };
        let snapshot = snapshot_of_ticket(&ticket, change, &BTreeSet::new());
        let state = (is_gone && self.settings.state.topic.is_some()).then_some(StateChange::Remove { position: None });
        self.publish_read(now, ticket, snapshot, state, now.wall);
    }

    /// It lives, and this is its state.
    fn show_read(
        &mut self,
        now: Now,
        ticket: Ticket,
        item: &Item,
        (read_after, received_at): (Option<DateTime<Utc>>, DateTime<Utc>),
    ) {
        let containers: Vec<_> = std::iter::once(&ticket.gid).chain(&item.within).cloned().collect();
        let streams = self.streams_that_show(&containers, item.part_of.is_some(), &ticket.streams);
        let change = if streams.is_empty() { SnapshotChange::Left } else { SnapshotChange::Unspecified };
        let snapshot = pb::Snapshot {
            resource: Some(item.resource.clone()),
            state_json: item.state_json.clone(),
            modified_at: item.modified_at.and_then(timestamp),
            ..snapshot_of_ticket(&ticket, change, &streams)
        };
        let state = pb::State {
            resource: snapshot.resource.clone(),
            state_json: snapshot.state_json.clone(),
            modified_at: snapshot.modified_at,
            read_after: read_after.and_then(timestamp),
            asked_by: snapshot.asked_by.clone(),
            streams: snapshot.streams.clone(),
            followed: !streams.is_empty(),
        };
        let state = self.settings.state.topic_of(&item.resource.resource_type).map(|_| state);
        let state = state.map(|state| StateChange::Put { state: Box::new(state), position: None });
        self.publish_read(now, ticket, snapshot, state, received_at);
    }

    fn publish_read(
        &mut self,
        now: Now,
        ticket: Ticket,
        snapshot: pb::Snapshot,
        state: Option<StateChange>,
        received_at: DateTime<Utc>,
    ) {
        let latest = self.accounts.ahead_of_asana(now);
        self.refresh.fresh.note(ticket.shard, &ticket.gid, latest);
        let topic = self.settings.topic.topic(&ticket.stream, &ticket.resource_type);
        let snapshot = Some((topic, Prepared::snapshot(snapshot, received_at, self.settings.encodings.events)));
        let ready = Ready { snapshot, state, ..self.nothing_ready(now, ticket, received_at) };
        self.get_ready(now, ready);
    }

    fn handle_tasks(
        &mut self,
        now: Now,
        running: Running,
        request: &RefreshRequest,
        outcome: ListOutcome,
    ) -> Option<RefreshNotice> {
        let Running::Tasks { project, since, tickets, read_after, .. } = running else { return None };
        match outcome {
            ListOutcome::Page(page) => {
                let rest = self.show_listed(now, tickets, &page, read_after);
                let offset = page.next_offset.filter(|_| rest.len() > 1);
                if offset.is_some() {
                    let running = Running::Tasks { project, since, offset, tickets: rest, read_after: None };
                    self.refresh.follow.entry(request.account.clone()).or_default().push_back(running);
                } else {
                    self.read_alone(now, rest);
                }
            }
            ListOutcome::Denied(Denial::NotFound | Denial::Forbidden | Denial::BadRequest) => {
                self.refresh.queue.is_no_project(project);
                self.read_alone(now, tickets);
            }
            // What is wrong with the list needn't be wrong with its tasks.
            ListOutcome::Denied(_)
            | ListOutcome::Failed(_)
            | ListOutcome::OffsetExpired
            | ListOutcome::CutOff
            | ListOutcome::Throttled { .. } => self.read_alone(now, tickets),
        }
        None
    }

    /// The tasks that a list shows as new as their events. Returns the others.
    fn show_listed(
        &mut self,
        now: Now,
        tickets: Vec<Ticket>,
        page: &ListPage,
        read_after: Option<DateTime<Utc>>,
    ) -> Vec<Ticket> {
        let items: BTreeMap<&str, &Item> = page.items.iter().map(|item| (item.resource.gid.as_str(), item)).collect();
        let mut rest = Vec::new();
        for ticket in tickets {
            match items.get(ticket.gid.as_str()) {
                _ if !self.refresh.queue.is_current(&ticket) => {}
                Some(item) if is_as_new(&ticket, item) => {
                    self.show_read(now, ticket, item, (read_after, page.received_at));
                }
                // Tags, followers and dependencies don't move `modified_at`.
                Some(_) | None => rest.push(ticket),
            }
        }
        rest
    }

    fn read_alone(&mut self, now: Now, tickets: Vec<Ticket>) {
        for ticket in tickets {
            self.refresh.queue.put_back(ticket.alone(), now.monotonic);
        }
    }
}

/// One resource that was asked for.
struct Asked {
    account: AccountName,
    ticket: Ticket,
    what: What,
    refused: Vec<(AccountName, Denial)>,
    read_after: Option<DateTime<Utc>>,
}

/// Whether the item was modified when the last change happened, or later.
fn is_as_new(ticket: &Ticket, item: &Item) -> bool {
    item.modified_at.zip(ticket.happened_at).is_some_and(|(modified, happened)| modified >= happened)
}

/// What is published of the resource, without its state.
fn snapshot_of_ticket(ticket: &Ticket, change: SnapshotChange, streams: &BTreeSet<StreamId>) -> pb::Snapshot {
    let (gid, resource_type) = (ticket.gid.to_string(), ticket.resource_type.clone());
    pb::Snapshot {
        resource: Some(pb::Resource { gid, resource_type, ..pb::Resource::default() }),
        change: change.into(),
        reason: SnapshotReason::Changed.into(),
        asked_by: ticket.asked_by.clone(),
        streams: streams.iter().map(StreamId::to_string).collect(),
        ..pb::Snapshot::default()
    }
}

//! Which resources are read next, and by which request.

use super::{Engine, MOST_READY};
use crate::ids::{AccountName, Gid};
use crate::now::Now;
use crate::outcome::list::{Listing, What};
use crate::outcome::poll::Denial;
use crate::state::{Job, Thrift, Ticket};
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Duration;

/// A list is read from so long before the first change on, as Asana's times may be rounded.
const BEFORE_FIRST: TimeDelta = TimeDelta::seconds(2);

/// A request that reads again what changed.
#[derive(Clone, Debug, PartialEq)]
pub struct RefreshRequest {
    /// To be given back with the answer.
    pub number: u64,
    /// The account whose credential reads it.
    pub account: AccountName,
    /// What it reads.
    pub read: RefreshRead,
}

/// What a [`RefreshRequest`] reads.
#[derive(Clone, Debug, PartialEq)]
pub enum RefreshRead {
    /// One object.
    One(Listing),
    /// A page of the tasks of a project that were modified at this time or later.
    Tasks {
        /// The project.
        project: Gid,
        /// The time.
        since: DateTime<Utc>,
        /// The page's offset; `None`: the list's beginning.
        offset: Option<String>,
    },
}

/// A request, from its decision to its answer.
#[derive(Clone, Debug)]
pub(super) enum Running {
    One {
        ticket: Box<Ticket>,
        what: What,
        /// How other accounts were refused.
        refused: Vec<(AccountName, Denial)>,
        /// By Asana's clock: it isn't read before. Set when it is sent.
        read_after: Option<DateTime<Utc>>,
    },
    Tasks {
        project: Gid,
        since: DateTime<Utc>,
        offset: Option<String>,
        /// Those that no page has shown yet.
        tickets: Vec<Ticket>,
        /// As above.
        read_after: Option<DateTime<Utc>>,
    },
}

impl Running {
    /// `None` if there is no request for such a resource.
    fn of(job: Job) -> Option<Self> {
        match job {
            Job::One(ticket) => {
                let what = What::alone(&ticket.resource_type)?;
                Some(Self::One { ticket, what, refused: Vec::new(), read_after: None })
            }
            Job::Tasks { project, tickets } => {
                let first = tickets.iter().filter_map(|ticket| ticket.happened_at).min()?;
                Some(Self::Tasks { project, since: first - BEFORE_FIRST, offset: None, tickets, read_after: None })
            }
        }
    }

    pub(super) fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        let (one, many) = match self {
            Self::One { ticket, .. } => (Some(ticket.as_ref()), &[][..]),
            Self::Tasks { tickets, .. } => (None, tickets.as_slice()),
        };
        one.into_iter().chain(many)
    }

    pub(super) fn into_tickets(self) -> Vec<Ticket> {
        match self {
            Self::One { ticket, .. } => vec![*ticket],
            Self::Tasks { tickets, .. } => tickets,
        }
    }

    fn read(&self) -> RefreshRead {
        match self {
            Self::One { ticket, what, .. } => RefreshRead::One(Listing { of: ticket.gid.clone(), what: *what }),
            Self::Tasks { project, since, offset, .. } => {
                RefreshRead::Tasks { project: project.clone(), since: *since, offset: offset.clone() }
            }
        }
    }

    fn sent(&mut self, at: Option<DateTime<Utc>>) {
        match self {
            Self::One { read_after, .. } | Self::Tasks { read_after, .. } => *read_after = at,
        }
    }
}

impl Engine {
    /// The next request that reads again what changed, as long as something is due, and the budget for it and memory
    /// allow it. Polls have a budget of their own, so they don't wait for it.
    pub fn next_refresh(&mut self, now: Now) -> Option<RefreshRequest> {
        if !self.may_refresh() {
            return None;
        }
        let names: Vec<_> = self.accounts.iter().map(|(name, _)| name.clone()).collect();
        names.into_iter().find_map(|name| self.next_refresh_of(now, name))
    }

    fn may_refresh(&self) -> bool {
        self.settings.state.is_on() && !self.draining && !self.is_full() && self.refresh.ready.len() < MOST_READY
    }

    fn next_refresh_of(&mut self, now: Now, account: AccountName) -> Option<RefreshRequest> {
        let budget = self.accounts.get(&account)?;
        budget.refresh_available_at().filter(|at| *at <= now.monotonic)?;
        let follow = self.refresh.follow.get_mut(&account).and_then(std::collections::VecDeque::pop_front);
        let mut running = if let Some(running) = follow {
            running
        } else {
            let thrift = if budget.refresh_is_scarce(now) { Thrift::Scarce } else { Thrift::Plenty };
            Running::of(self.refresh.queue.take(now.monotonic, &account, thrift)?)?
        };
        running.sent(self.accounts.passed_at_asana(now));
        self.accounts.get_mut(&account)?.take_refresh_request(now);
        self.requests += 1;
        let request = RefreshRequest { number: self.requests, account, read: running.read() };
        self.refresh.running.insert(request.number, running);
        Some(request)
    }

    /// When a resource may be to read.
    pub(in crate::engine) fn next_refresh_deadline(&self) -> Option<Duration> {
        let due = |(name, account): (&AccountName, &crate::engine::accounts::Account)| {
            let has_follow = self.refresh.follow.get(name).is_some_and(|follow| !follow.is_empty());
            let follow = has_follow.then_some(Duration::ZERO);
            let due = follow.or_else(|| self.refresh.queue.next_due(name))?;
            Some(due.max(account.refresh_available_at()?))
        };
        self.accounts.iter().filter(|_| self.may_refresh()).filter_map(due).min()
    }
}

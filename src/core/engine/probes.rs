//! Whose refusal it is: a 401 or 451 to one request needn't speak of the credential, so the credential itself is asked.
//!
//! ```text
//! 401, 451 ──► held ──► probe ──► lives: the stream alone is refused
//!                         │ └───► refused: the account pauses, and is probed until it lives; then all are due again
//!                         └─────► unknown: the stream is asked again, by and by more slowly
//! ```

use super::{Account, Engine};
use crate::core::ids::{AccountName, StreamId};
use crate::core::now::Now;
use crate::core::page::{Denial, PollOutcome, Polled, Probed, Verdict};
use crate::core::stream::{Pace, State};
use chrono::TimeDelta;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an account waits whose credential is refused: somebody has to act, and a rotated token file is noticed by
/// then.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// So long a credential that was seen to live isn't doubted again.
const VERDICT_LIFE: Duration = Duration::from_secs(60);
/// How often Asana is asked for its time where nothing else tells it.
const CLOCK_INTERVAL: Duration = Duration::from_secs(3600);
/// Clocks that differ by more are wrong: NTP keeps them within a fraction of a second.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// A request that asks whether an account's credential is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To be given back with the answer.
    pub number: u64,
    /// Whose.
    pub account: AccountName,
}

/// What a person may want to know of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountNotice {
    /// Asana refuses its credential: nothing of it is polled.
    Refused(Denial),
    /// Asana accepts it again.
    Accepted,
    /// The host's clock and Asana's differ: the host's is ahead by so much at the least, or behind if it is negative.
    ClockOff(TimeDelta),
    /// They don't differ any more.
    ClockRight,
}

/// What is known of an account's credential.
#[derive(Debug, Default)]
pub(super) struct Credential {
    /// The number of the probe that is under way, and when it was sent.
    probing: Option<(u64, Duration)>,
    /// When the next one is to be sent.
    due: Option<Duration>,
    /// When it was last seen to live.
    lived_at: Option<Duration>,
    /// Asana refuses it.
    pub(super) refused: Option<Denial>,
    /// Refused streams that wait for a verdict.
    held: BTreeMap<StreamId, Held>,
}

#[derive(Debug)]
struct Held {
    poll: super::Poll,
    polled: Polled,
}

impl Credential {
    /// The stream is somebody else's.
    pub(super) fn forget(&mut self, stream: &StreamId) {
        self.held.remove(stream);
    }

    pub(super) fn is_held(&self, stream: &StreamId) -> bool {
        self.held.contains_key(stream)
    }

    fn lives(&self, now: Now) -> bool {
        self.refused.is_none() && self.lived_at.is_some_and(|at| now.monotonic < at + VERDICT_LIFE)
    }

    fn doubt(&mut self, now: Now) {
        if self.probing.is_none() {
            self.due.get_or_insert(now.monotonic);
        }
    }
}

impl Engine {
    /// A request of the account was refused with 401 or 451. Whether its credential is known to live all the same, so that
    /// the refusal is of what was asked for; else a probe is on its way, and the request is to be made again later.
    pub fn doubt(&mut self, now: Now, account: &AccountName) -> bool {
        let Some(account) = self.accounts.get_mut(account) else { return false };
        let lives = account.credential.lives(now);
        if !lives {
            account.credential.doubt(now);
        }
        lives
    }

    /// Holds a refusal back until it is known whose it is; gives it back if that is known, or it is no news.
    pub(super) fn hold(&mut self, now: Now, poll: &super::Poll, polled: Polled) -> Option<Polled> {
        let PollOutcome::Denied(denial) = polled.outcome else { return Some(polled) };
        let id = &poll.stream.id;
        let is_known = self.streams.get(id).is_some_and(
            |entry| matches!(entry.committed.state, State::Suspended { denial: before, .. } if before == denial),
        );
        if !denial.may_concern_account() || is_known || self.doubt(now, &id.account) {
            return Some(polled);
        }
        let account = self.accounts.get_mut(&id.account)?;
        account.credential.held.insert(id.clone(), Held { poll: poll.clone(), polled });
        None
    }

    /// The next probe to send, within the accounts' budgets.
    pub fn next_probe(&mut self, now: Now) -> Option<Probe> {
        if self.draining {
            return None;
        }
        for (name, account) in &mut self.accounts {
            if account.probe_due().is_none_or(|at| at > now.monotonic) {
                continue;
            }
            account.budget.take_probe(now);
            self.requests += 1;
            (account.credential.probing, account.credential.due) = (Some((self.requests, now.monotonic)), None);
            return Some(Probe { number: self.requests, account: name.clone() });
        }
        None
    }

    /// What a probe returned.
    pub fn handle_probe(&mut self, now: Now, probe: &Probe, probed: Probed) {
        let name = &probe.account;
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.budget.finish();
        let Some((_, sent_at)) = account.credential.probing.take_if(|(number, _)| *number == probe.number) else {
            return;
        };
        self.note_time(now, sent_at, name, probed.stamp, probed.received_at);
        let Some(account) = self.accounts.get_mut(name) else { return };
        match probed.verdict {
            Verdict::Lives => self.accept(now, name),
            Verdict::Refused(denial) => {
                account.budget.pause(now, REFUSED_PAUSE);
                account.budget.bar(true);
                account.credential.due = Some(now.monotonic + REFUSED_PAUSE);
                if account.credential.refused.replace(denial).is_none() {
                    self.account_notices.push((name.clone(), AccountNotice::Refused(denial)));
                }
            }
            Verdict::Throttled(pause) => {
                account.budget.pause(now, pause);
                account.credential.due = Some(now.monotonic);
            }
            Verdict::Unknown if account.credential.refused.is_some() => {
                account.credential.due = Some(now.monotonic + REFUSED_PAUSE);
            }
            Verdict::Unknown => {
                for id in std::mem::take(&mut account.credential.held).into_keys() {
                    self.reschedule(now, &id, Pace::Retry);
                }
            }
        }
    }

    /// The credential lives: what was refused meanwhile, the resources were; what was refused with the credential is
    /// asked for again.
    fn accept(&mut self, now: Now, name: &AccountName) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let credential = &mut account.credential;
        credential.lived_at = Some(now.monotonic);
        let held = std::mem::take(&mut credential.held);
        if credential.refused.take().is_none() {
            for Held { poll, polled } in held.into_values() {
                self.settle(now, &poll, polled);
            }
            return;
        }
        account.budget.bar(false);
        self.account_notices.push((name.clone(), AccountNotice::Accepted));
        for id in held.keys() {
            account.schedule.set(id.clone(), now.monotonic);
        }
        for (id, entry) in self.streams.iter().filter(|(id, _)| id.account == *name) {
            let denial = match entry.committed.state {
                State::Suspended { denial, .. } => Some(denial),
                State::Live(_) | State::Establish => None,
            };
            if denial.is_some_and(Denial::may_concern_account) && account.schedule.due(id).is_some() {
                account.schedule.set(id.clone(), now.monotonic);
            }
        }
    }

    /// An answer of Asana's own tells its time.
    pub(super) fn note_time(
        &mut self,
        now: Now,
        sent_at: Duration,
        account: &AccountName,
        stamp: Option<crate::core::stamp::Stamp>,
        received_at: chrono::DateTime<chrono::Utc>,
    ) {
        let (Some(stamp), Some(of)) = (stamp, self.accounts.get_mut(account)) else { return };
        self.asana_clock.set(sent_at, now.monotonic, stamp);
        let was_off = std::mem::replace(&mut of.clock_offset, stamp.offset(received_at)).abs() > CLOCK_TOLERANCE;
        let notice = match (was_off, of.clock_offset.abs() > CLOCK_TOLERANCE) {
            (false, true) => AccountNotice::ClockOff(of.clock_offset),
            (true, false) => AccountNotice::ClockRight,
            (true, true) | (false, false) => return,
        };
        self.account_notices.push((account.clone(), notice));
    }

    /// The present, its wall time no later than Asana's where an answer told that: clocks of several hosts, and one that jumps,
    /// can't be compared.
    pub(super) fn by_asana(&self, now: Now) -> Now {
        Now { wall: self.asana_clock.passed(now.monotonic).unwrap_or(now.wall), ..now }
    }

    /// Somebody needs Asana's time, and no answer has told it for an hour: an account is asked.
    pub(super) fn want_time(&mut self, now: Now) {
        let is_known = self.asana_clock.age(now.monotonic).is_some_and(|age| age < CLOCK_INTERVAL);
        if is_known || now.monotonic < self.clock_probe_at {
            return;
        }
        if let Some(account) = self.accounts.values_mut().max_by_key(|account| account.budget.share().owned) {
            account.credential.doubt(now);
            self.clock_probe_at = now.monotonic + CLOCK_INTERVAL;
        }
    }

    /// What is to be said of accounts.
    pub fn take_account_notices(&mut self) -> Vec<(AccountName, AccountNotice)> {
        std::mem::take(&mut self.account_notices)
    }

    /// When a probe may be to send.
    pub(super) fn next_probe_deadline(&self) -> Option<Duration> {
        self.accounts.values().filter(|_| !self.draining).filter_map(Account::probe_due).min()
    }
}

impl Account {
    fn probe_due(&self) -> Option<Duration> {
        let due = self.credential.due.filter(|_| self.credential.probing.is_none())?;
        Some(due.max(self.budget.probe_available_at()?))
    }
}

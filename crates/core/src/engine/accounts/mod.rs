//! The accounts: each with its budget, its schedules, its credential and its view of Asana's clock.
//!
//! A paused or rejected account holds up no other.

mod account;
mod credential;

pub(super) use account::Account;
#[cfg(test)]
pub(super) use credential::VERDICT_LIFE;
pub(super) use credential::{Held, REJECTED_PAUSE};

use super::polls::Poll;
use super::schedule::budget::{Limit, Share};
use super::schedule::pace::Intervals;
use super::settings::AccountSpec;
use crate::ids::{AccountName, StreamId};
use crate::now::Now;
use crate::outcome::poll::{Denial, Polled, Probed, Verdict};
use crate::outcome::stamp::{AsanaClock, Stamp};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

/// Interval of requests for Asana's time while no other answer contains it.
const CLOCK_INTERVAL: Duration = Duration::from_secs(3600);
/// Clocks that differ by more are wrong: NTP keeps them within a fraction of a second.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// A request that checks whether Asana accepts an account's credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To be given back with the answer.
    pub number: u64,
    /// The account to check.
    pub account: AccountName,
}

/// What a person may want to know of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountNotice {
    /// Asana rejects its credential: its streams aren't polled.
    Refused(Denial),
    /// Asana accepts it again.
    Accepted,
    /// The host's clock and Asana's differ: the host's is ahead by at least this time, or behind if it is negative.
    ClockOff(TimeDelta),
    /// They don't differ any more.
    ClockRight,
}

/// What the answer to a probe means for the account's streams.
#[derive(Debug)]
pub(super) enum ProbeResult {
    /// The credential is accepted, as before: these refusals are about what was requested.
    StillAccepted(Vec<Held>),
    /// The credential is accepted again: these polls are to be repeated.
    AcceptedAgain(Vec<Held>),
    /// It isn't known: these polls failed.
    Unknown(Vec<Held>),
    /// The account waits, and is probed again.
    Waits,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Accounts {
    by_name: BTreeMap<AccountName, Account>,
    asana_clock: AsanaClock,
    /// Asana's time isn't requested before this time.
    clock_probe_at: Duration,
    notices: Vec<(AccountName, AccountNotice)>,
}

impl Accounts {
    /// These are the accounts from now on. `terms`: the limit of an account's crawls, and this replica's share.
    pub(super) fn set(
        &mut self,
        now: Now,
        specs: &[AccountSpec],
        intervals: Intervals,
        terms: impl Fn(&AccountSpec) -> (Limit, Share),
    ) {
        self.by_name.retain(|name, _| specs.iter().any(|spec| spec.name == *name));
        for spec in specs {
            let (crawl_limit, share) = terms(spec);
            let account = self.by_name.entry(spec.name.clone()).or_insert_with(|| Account::new(spec.limit));
            account.set(now, spec.limit, crawl_limit, share, intervals);
        }
    }

    /// The number of owned streams that need this account changes.
    pub(super) fn change_owned(&mut self, now: Now, name: &AccountName, change: impl Fn(usize) -> usize) {
        if let Some(account) = self.by_name.get_mut(name) {
            let Share { owned, all } = account.share();
            account.set_share(now, Share { owned: change(owned), all });
        }
    }

    pub(super) fn contains(&self, name: &AccountName) -> bool {
        self.by_name.contains_key(name)
    }

    pub(super) fn get(&self, name: &AccountName) -> Option<&Account> {
        self.by_name.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &AccountName) -> Option<&mut Account> {
        self.by_name.get_mut(name)
    }

    /// By name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&AccountName, &Account)> {
        self.by_name.iter()
    }

    /// Nothing is sent for this duration.
    pub(super) fn pause_all(&mut self, now: Now, pause: Duration) {
        for account in self.by_name.values_mut() {
            account.pause(now, pause);
        }
    }

    /// When the next poll may be sent.
    pub(super) fn next_poll_at(&self) -> Option<Duration> {
        self.by_name.values().filter_map(Account::next_poll_at).min()
    }

    /// Takes a stream that is to be polled now, and its request out of its account's budget.
    pub(super) fn take_poll(&mut self, now: Now) -> Option<StreamId> {
        self.by_name.values_mut().find_map(|account| account.take_poll(now))
    }

    /// The stream isn't being polled, and what a poll brought doesn't wait for a commit.
    pub(super) fn is_waiting(&self, stream: &StreamId) -> bool {
        self.by_name.get(&stream.account).is_some_and(|account| account.is_waiting(stream))
    }

    /// The stream has another owner.
    pub(super) fn forget(&mut self, stream: &StreamId) {
        if let Some(account) = self.by_name.get_mut(&stream.account) {
            account.forget(stream);
        }
    }

    /// A request of the account was refused with 401 or 451. Returns whether its credential is known to be accepted, so
    /// that the refusal is about what was requested. If not, a probe is requested.
    pub(super) fn is_accepted(&mut self, now: Now, name: &AccountName) -> bool {
        let Some(account) = self.by_name.get_mut(name) else { return false };
        let is_accepted = account.credential.is_accepted(now);
        if !is_accepted {
            account.credential.request_probe(now);
        }
        is_accepted
    }

    /// A refused poll waits for the verdict on the account's credential.
    pub(super) fn hold(&mut self, poll: Poll, polled: Polled) {
        if let Some(account) = self.by_name.get_mut(&poll.stream.id.account) {
            account.credential.hold(Held { poll, polled });
        }
    }

    /// When the next probe may be sent.
    pub(super) fn next_probe_at(&self) -> Option<Duration> {
        self.by_name.values().filter_map(Account::next_probe_at).min()
    }

    /// Takes a probe that is to be sent now, and its request out of its account's budget.
    pub(super) fn take_probe(&mut self, now: Now, number: u64) -> Option<Probe> {
        let is_due = |account: &Account| account.next_probe_at().is_some_and(|at| at <= now.monotonic);
        let (name, account) = self.by_name.iter_mut().find(|(_, account)| is_due(account))?;
        account.take_probe(now, number);
        Some(Probe { number, account: name.clone() })
    }

    /// The answer to a probe.
    pub(super) fn handle_probe(&mut self, now: Now, probe: &Probe, probed: &Probed) -> ProbeResult {
        let name = &probe.account;
        let Some(account) = self.by_name.get_mut(name) else { return ProbeResult::Waits };
        account.request_finished();
        let Some(sent_at) = account.credential.probe_answered(probe.number) else { return ProbeResult::Waits };
        self.note_time(now, sent_at, name, (probed.stamp, probed.received_at));
        let Some(account) = self.by_name.get_mut(name) else { return ProbeResult::Waits };
        match probed.verdict {
            Verdict::Lives => match account.accept(now) {
                (false, held) => return ProbeResult::StillAccepted(held),
                (true, held) => {
                    self.notices.push((name.clone(), AccountNotice::Accepted));
                    return ProbeResult::AcceptedAgain(held);
                }
            },
            Verdict::Refused(denial) => {
                if account.reject(now, denial) {
                    self.notices.push((name.clone(), AccountNotice::Refused(denial)));
                }
            }
            Verdict::Throttled(pause) => {
                account.pause(now, pause);
                account.credential.probe_again(now.monotonic);
            }
            Verdict::Unknown if account.credential.rejected().is_some() => {
                account.credential.probe_again(now.monotonic + REJECTED_PAUSE);
            }
            Verdict::Unknown => return ProbeResult::Unknown(account.credential.release()),
        }
        ProbeResult::Waits
    }

    /// An answer to a request that was sent at `sent_at`, with its stamp and the host's time when it was received:
    /// Asana's own answers contain its time.
    pub(super) fn note_time(
        &mut self,
        now: Now,
        sent_at: Duration,
        name: &AccountName,
        (stamp, received_at): (Option<Stamp>, DateTime<Utc>),
    ) {
        let (Some(stamp), Some(account)) = (stamp, self.by_name.get_mut(name)) else { return };
        self.asana_clock.set(sent_at, now.monotonic, stamp);
        let was_off = std::mem::replace(&mut account.clock_offset, stamp.offset(received_at)).abs() > CLOCK_TOLERANCE;
        let notice = match (was_off, account.clock_offset.abs() > CLOCK_TOLERANCE) {
            (false, true) => AccountNotice::ClockOff(account.clock_offset),
            (true, false) => AccountNotice::ClockRight,
            (true, true) | (false, false) => return,
        };
        self.notices.push((name.clone(), notice));
    }

    /// A time that has surely passed at Asana, if an answer contained its time.
    pub(super) fn passed_at_asana(&self, now: Now) -> Option<DateTime<Utc>> {
        self.asana_clock.passed(now.monotonic)
    }

    /// A time that surely isn't before Asana's, if an answer contained its time.
    pub(super) fn ahead_of_asana(&self, now: Now) -> Option<DateTime<Utc>> {
        self.asana_clock.ahead(now.monotonic)
    }

    /// The present, its wall time no later than Asana's if an answer contained that: clocks of several hosts, and one
    /// that jumps, can't be compared.
    pub(super) fn by_asana(&self, now: Now) -> Now {
        Now { wall: self.passed_at_asana(now).unwrap_or(now.wall), ..now }
    }

    /// Asana's time is needed. If no answer contained it for an hour, the account with the largest share is probed.
    pub(super) fn want_time(&mut self, now: Now) {
        let is_known = self.asana_clock.age(now.monotonic).is_some_and(|age| age < CLOCK_INTERVAL);
        if is_known || now.monotonic < self.clock_probe_at {
            return;
        }
        if let Some(account) = self.by_name.values_mut().max_by_key(|account| account.share().owned) {
            account.credential.request_probe(now);
            self.clock_probe_at = now.monotonic + CLOCK_INTERVAL;
        }
    }

    pub(super) fn take_notices(&mut self) -> Vec<(AccountName, AccountNotice)> {
        std::mem::take(&mut self.notices)
    }
}

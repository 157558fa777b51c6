//! Whose refusal it is: a 401 or 451 to one request needn't speak of the credential, so the credential itself is asked.
//!
//! ```text
//! 401, 451 ──► held ──► probe ──► lives: the stream alone is refused
//!                         │ └───► refused: the account pauses, and is probed until it lives; then all are due again
//!                         └─────► unknown: the stream is asked again, by and by more slowly
//! ```

use super::{Account, Engine, Poll};
use crate::ids::{AccountName, StreamId};
use crate::now::Now;
use crate::outcome::poll::{Denial, PollOutcome, Polled, Probed, Verdict};
use crate::outcome::stamp::Stamp;
use crate::stream::{Pace, State};
use chrono::{DateTime, TimeDelta, Utc};
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
    poll: Poll,
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
    pub(super) fn hold(&mut self, now: Now, poll: &Poll, polled: Polled) -> Option<Polled> {
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
        stamp: Option<Stamp>,
        received_at: DateTime<Utc>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Phase;
    use crate::engine::bench::{Bench, MINUTE};
    use crate::ids::SyncToken;
    use crate::outcome::poll::{Failure, PollForm};
    use crate::stream::Notice;

    const SECOND: Duration = Duration::from_secs(1);

    /// Its stream's next poll is answered so.
    fn answered(bench: &mut Bench, outcome: PollOutcome) -> Poll {
        bench.wait(MINUTE);
        let poll = bench.poll().unwrap();
        bench.answer(&poll, outcome);
        poll
    }

    fn probed(bench: &mut Bench, verdict: Verdict) {
        let probe = bench.engine.next_probe(bench.now).unwrap();
        assert_eq!(bench.engine.next_probe(bench.now), None, "one at a time");
        bench.engine.handle_probe(bench.now, &probe, Probed { verdict, stamp: None, received_at: bench.now.wall });
        bench.commit();
    }

    fn phase(bench: &Bench) -> Phase {
        bench.engine.status(bench.now).streams[0].phase
    }

    #[test]
    fn a_refusal_is_the_streams_where_the_credential_lives() {
        for denial in [Denial::Unauthorized, Denial::LegalBlock] {
            let mut bench = Bench::new();
            answered(&mut bench, PollOutcome::Denied(denial));
            assert_eq!((phase(&bench), bench.poll()), (Phase::Live, None), "it is held");
            probed(&mut bench, Verdict::Lives);
            assert_eq!((phase(&bench), bench.engine.next_probe(bench.now)), (Phase::Suspended(denial), None));
            assert!(bench.engine.doubt(bench.now, &"main".into()), "the verdict counts for a while");
            bench.wait(VERDICT_LIFE);
            assert!(!bench.engine.doubt(bench.now, &"main".into()));
            bench.wait(60 * MINUTE);
            let poll = bench.poll().unwrap();
            bench.answer(&poll, PollOutcome::Denied(denial));
            assert_eq!(bench.engine.streams[&bench.id].committed.live().map(|live| live.token.as_str()), Some("b"));
        }
    }

    #[test]
    fn a_refused_credential_pauses_its_account_until_it_lives() {
        let mut bench = Bench::new();
        answered(&mut bench, PollOutcome::Denied(Denial::Unauthorized));
        probed(&mut bench, Verdict::Refused(Denial::Unauthorized));
        let notices = bench.engine.take_account_notices();
        assert_eq!(notices, [("main".into(), AccountNotice::Refused(Denial::Unauthorized))]);
        for verdict in [Verdict::Refused(Denial::Unauthorized), Verdict::Unknown] {
            assert_eq!((bench.poll(), bench.engine.next_probe(bench.now)), (None, None));
            bench.wait(REFUSED_PAUSE);
            assert_eq!(bench.poll(), None, "nothing but the probe is sent");
            assert_eq!(bench.engine.status(bench.now).accounts[0].refused, Some(Denial::Unauthorized));
            probed(&mut bench, verdict);
            assert_eq!(bench.engine.take_account_notices(), []);
        }
        bench.wait(REFUSED_PAUSE);
        probed(&mut bench, Verdict::Lives);
        assert_eq!(bench.engine.take_account_notices(), [("main".into(), AccountNotice::Accepted)]);
        assert_eq!((phase(&bench), bench.poll().is_some()), (Phase::Live, true), "due again, as if nothing had been");
    }

    #[test]
    fn where_nothing_is_known_of_the_credential_the_stream_is_asked_again() {
        let mut bench = Bench::new();
        answered(&mut bench, PollOutcome::Denied(Denial::Unauthorized));
        probed(&mut bench, Verdict::Unknown);
        assert_eq!((phase(&bench), bench.poll()), (Phase::Live, None));
        bench.wait(SECOND);
        let poll = bench.poll().unwrap();
        let status = bench.engine.status(bench.now);
        assert_eq!((status.streams[0].failures, status.streams[0].failing_for), (1, Some(SECOND)));
        bench.answer(&poll, bench.page());
        assert_eq!(bench.engine.status(bench.now).streams[0].failing_for, None);
    }

    #[test]
    fn who_isnt_answered_by_asana_is_asked_again_after_a_second_and_by_and_by_more_slowly() {
        let mut bench = Bench::new();
        bench.wait(MINUTE);
        let mut waits = Vec::new();
        for _ in 0..12 {
            let poll = bench.poll().unwrap();
            bench.answer(&poll, PollOutcome::Failed(Failure::Gateway { status: 408 }));
            let wait = bench.engine.next_deadline().unwrap().saturating_sub(bench.now.monotonic);
            waits.push(wait);
            bench.wait(wait);
        }
        for (wait, full) in waits.iter().zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]) {
            let full = Duration::from_secs(full);
            assert!((full / 2..=full).contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_said_once_and_when_it_is_right() {
        let mut bench = Bench::new();
        for (ahead, expected) in [
            (50, None),
            (3600, Some(AccountNotice::ClockOff(TimeDelta::seconds(3599)))),
            (7200, None),
            (0, Some(AccountNotice::ClockRight)),
            (-3600, Some(AccountNotice::ClockOff(TimeDelta::seconds(-3599)))),
        ] {
            bench.wait(MINUTE);
            let poll = bench.poll().unwrap();
            let mut polled = bench.polled(bench.page());
            polled.received_at += TimeDelta::seconds(ahead);
            bench.engine.handle_outcome(bench.now, &poll, polled);
            bench.commit();
            let notices: Vec<_> = bench.engine.take_account_notices().into_iter().map(|(_, notice)| notice).collect();
            assert_eq!(notices, Vec::from_iter(expected), "{ahead}");
        }
    }

    #[test]
    fn a_400_first_leads_to_a_bare_poll() {
        let mut bench = Bench::new();
        let full = answered(&mut bench, PollOutcome::Denied(Denial::BadRequest));
        bench.wait(SECOND);
        let bare = bench.poll().unwrap();
        assert_eq!((full.form, bare.form, &bare.token), (PollForm::Full, PollForm::Bare, &full.token));
        let page = bench.page();
        assert_eq!(bench.answer(&bare, page), Some(Notice::PolledBare));
        bench.wait(MINUTE);
        let again = bench.poll().unwrap();
        let page = bench.page();
        assert_eq!((again.form, bench.answer(&again, page)), (PollForm::Bare, None), "said once");
    }

    #[test]
    fn a_400_that_stays_leads_to_one_poll_without_a_token() {
        let mut bench = Bench::new();
        let full = answered(&mut bench, PollOutcome::Denied(Denial::BadRequest));
        bench.wait(SECOND);
        let bare = bench.poll().unwrap();
        bench.answer(&bare, PollOutcome::Denied(Denial::BadRequest));
        assert_eq!((phase(&bench), bench.poll()), (Phase::Suspended(Denial::BadRequest), None));
        bench.wait(MINUTE);
        let fresh = bench.poll().unwrap();
        assert_eq!((fresh.form, &fresh.token), (PollForm::Fresh, &None));
        bench.answer(&fresh, PollOutcome::Denied(Denial::BadRequest));
        bench.wait(60 * MINUTE);
        let again = bench.poll().unwrap();
        assert_eq!((again.form, again.token), (PollForm::Bare, full.token), "it has kept its token");
    }

    #[test]
    fn a_token_that_comes_in_place_of_a_refused_one_is_a_gap_that_says_so() {
        let mut bench = Bench::new();
        answered(&mut bench, PollOutcome::Denied(Denial::BadRequest));
        bench.wait(SECOND);
        let bare = bench.poll().unwrap();
        bench.answer(&bare, PollOutcome::Denied(Denial::BadRequest));
        bench.wait(MINUTE);
        let fresh = bench.poll().unwrap();
        bench.answer(&fresh, PollOutcome::TokenReset("n".into()));
        let stream = &bench.engine.streams[&bench.id].committed;
        assert_eq!(stream.token().map(SyncToken::as_str), Some("n"));
        assert_eq!(stream.open_gaps[0].reason, bridge_contract::pb::SourceGapReason::TokenRefused);
    }
}

//! Whose refusal it is: a 401 or 451 to one request needn't be about the credential, so the credential itself is
//! probed.
//!
//! ```text
//! 401, 451 ──► held ──► probe ──► accepted: the stream alone is refused
//!                         │ └───► rejected: the account pauses, and is probed until it is accepted; then all are due
//!                         └─────► unknown: the stream is polled again, with backoff
//! ```

use super::accounts::{AccountNotice, Held, Probe, ProbeResult};
use super::{Engine, Poll};
use crate::ids::AccountName;
use crate::now::Now;
use crate::outcome::poll::{Denial, PollOutcome, Polled, Probed};
use crate::stream::{Pace, State};

impl Engine {
    /// Holds a refusal back until it is known whose it is; gives it back if that is known, or it is no news.
    pub(super) fn hold(&mut self, now: Now, poll: &Poll, polled: Polled) -> Option<Polled> {
        let PollOutcome::Denied(denial) = polled.outcome else { return Some(polled) };
        let id = &poll.stream.id;
        let is_known = self.streams.get(id).is_some_and(
            |entry| matches!(entry.committed.state, State::Suspended { denial: before, .. } if before == denial),
        );
        if !denial.may_concern_account() || is_known || self.accounts.is_accepted(now, &id.account) {
            return Some(polled);
        }
        self.accounts.hold(poll.clone(), polled);
        None
    }

    /// The next probe to send, within the accounts' budgets.
    pub fn next_probe(&mut self, now: Now) -> Option<Probe> {
        if self.draining {
            return None;
        }
        let probe = self.accounts.take_probe(now, self.requests + 1)?;
        self.requests += 1;
        Some(probe)
    }

    /// What a probe returned.
    pub fn handle_probe(&mut self, now: Now, probe: &Probe, probed: Probed) {
        match self.accounts.handle_probe(now, probe, &probed) {
            ProbeResult::StillAccepted(held) => {
                for Held { poll, polled } in held {
                    self.settle(now, &poll, polled);
                }
            }
            ProbeResult::AcceptedAgain(held) => self.repeat_refused(now, &probe.account, &held),
            ProbeResult::Unknown(held) => {
                for Held { poll, .. } in held {
                    self.reschedule(now, &poll.stream.id, Pace::Retry);
                }
            }
            ProbeResult::Waits => {}
        }
    }

    /// The credential is accepted again: what was refused because of it is due at once.
    fn repeat_refused(&mut self, now: Now, name: &AccountName, held: &[Held]) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        for Held { poll, .. } in held {
            account.schedule_poll(&poll.stream.id, now.monotonic);
        }
        for (id, entry) in self.streams.iter().filter(|(id, _)| id.account == *name) {
            let denial = match entry.committed.state {
                State::Suspended { denial, .. } => Some(denial),
                State::Live(_) | State::Establish => None,
            };
            if denial.is_some_and(Denial::may_concern_account) && account.poll_due(id).is_some() {
                account.schedule_poll(id, now.monotonic);
            }
        }
    }

    /// What a person may want to know of accounts, since the last call.
    pub fn take_account_notices(&mut self) -> Vec<(AccountName, AccountNotice)> {
        self.accounts.take_notices()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Phase;
    use crate::engine::accounts::{REJECTED_PAUSE, VERDICT_LIFE};
    use crate::engine::bench::{Bench, MINUTE};
    use crate::ids::SyncToken;
    use crate::outcome::poll::{Failure, PollForm, Verdict};
    use crate::stream::Notice;
    use chrono::TimeDelta;
    use std::time::Duration;

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
            assert!(bench.engine.accounts.is_accepted(bench.now, &"main".into()), "the verdict counts for a while");
            bench.wait(VERDICT_LIFE);
            assert!(!bench.engine.accounts.is_accepted(bench.now, &"main".into()));
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
            bench.wait(REJECTED_PAUSE);
            assert_eq!(bench.poll(), None, "nothing but the probe is sent");
            assert_eq!(bench.engine.status(bench.now).accounts[0].refused, Some(Denial::Unauthorized));
            probed(&mut bench, verdict);
            assert_eq!(bench.engine.take_account_notices(), []);
        }
        bench.wait(REJECTED_PAUSE);
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
    fn a_stream_without_an_answer_of_asana_is_polled_again_with_backoff() {
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
    fn a_wrong_clock_is_reported_once_and_so_is_a_right_one() {
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
        assert_eq!((again.form, bench.answer(&again, page)), (PollForm::Bare, None), "reported once");
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
    fn a_token_in_place_of_a_refused_one_opens_a_gap_with_that_reason() {
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

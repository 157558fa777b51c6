//! Whether the process is live and ready, judged by when the bridge was last active.

use std::time::Duration;

/// The loop runs at least once a second. If it didn't run for this time, it hangs, and only a restart helps.
const LIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// The time for which an unhealthy replica stays ready, so that a new session doesn't make it unready.
const READY_GRACE: Duration = Duration::from_secs(30);
/// The time after which a session without shards counts as healthy: other replicas own the shards.
const SETTLE: Duration = Duration::from_secs(10);

/// The maximum time of a healthy commit. If a commit takes longer, the bus doesn't answer.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What was observed of the bridge. Times are those of one monotonic clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// The open session, if there is one.
    session: Option<Session>,
    /// The time when the replica was last healthy: in a session that owns shards, or that waits for some.
    well_at: Option<Duration>,
    /// The reason why the last session ended or couldn't be opened.
    pub(super) last_end: Option<String>,
    stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    opened_at: Duration,
    turned_at: Duration,
    /// Whether the session has had shards.
    settled: bool,
    commit_began: Option<Duration>,
}

impl Health {
    pub(super) fn opened(&mut self, now: Duration) {
        self.session = Some(Session { opened_at: now, turned_at: now, settled: false, commit_began: None });
    }

    /// Notes that the session has or had shards.
    pub(super) fn settled(&mut self, now: Duration) {
        if let Some(session) = &mut self.session {
            session.settled = true;
        }
        self.turned(now);
    }

    pub(super) fn turned(&mut self, now: Duration) {
        if let Some(session) = &mut self.session {
            session.turned_at = now;
            let commits = session.commit_began.is_none_or(|began| now < began + COMMIT_TIMEOUT);
            if commits && (session.settled || now >= session.opened_at + SETTLE) {
                self.well_at = Some(now);
            }
        }
    }

    pub(super) fn commit_began(&mut self, now: Duration) {
        if let Some(session) = &mut self.session {
            session.commit_began = Some(now);
        }
    }

    /// Notes the end of the commit in flight, and returns its duration.
    pub(super) fn commit_ended(&mut self, now: Duration) -> Option<Duration> {
        Some(now.saturating_sub(self.session.as_mut()?.commit_began.take()?))
    }

    /// The age of the commit in flight.
    pub(super) fn commit_age(&self, now: Duration) -> Option<Duration> {
        Some(now.saturating_sub(self.session?.commit_began?))
    }

    pub(super) fn ended(&mut self, reason: String) {
        self.session = None;
        self.last_end = Some(reason);
    }

    /// Notes that the process was told to stop: it isn't ready any more.
    pub(super) fn stopping(&mut self) {
        self.stopping = true;
    }

    /// Whether a session is open.
    pub(super) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// # Errors
    /// The reason why only a restart helps. Between sessions nothing hangs, because opening a session has its own
    /// timeouts.
    pub(super) fn live(&self, now: Duration) -> Result<(), String> {
        match &self.session {
            Some(session) if now >= session.turned_at + LIVE_TIMEOUT => {
                let still = now.saturating_sub(session.turned_at).as_secs();
                Err(format!("event loop stalled for {still} s"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// # Errors
    /// The reason why the replica isn't ready.
    pub(super) fn ready(&self, now: Duration) -> Result<(), String> {
        if self.stopping {
            return Err("stopping".to_owned());
        }
        if self.well_at.is_some_and(|at| now < at + READY_GRACE) {
            return Ok(());
        }
        if let Some(age) = self.commit_age(now).filter(|age| *age >= COMMIT_TIMEOUT) {
            return Err(format!("the bus doesn't answer: a commit has been in flight for {} s", age.as_secs()));
        }
        let reason = self.last_end.as_deref().unwrap_or("no session yet");
        Err(match (&self.session, self.well_at) {
            (Some(_), None) => "waiting for shards".to_owned(),
            (Some(_), Some(at)) => {
                format!("without shards for {} s", now.saturating_sub(at).as_secs())
            }
            (None, None) => format!("connecting to the bus: {reason}"),
            (None, Some(at)) => {
                format!("reconnecting to the bus for {} s: {reason}", now.saturating_sub(at).as_secs())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_replica_is_ready_once_it_has_shards() {
        let mut health = Health::default();
        assert!(health.ready(at(1)).unwrap_err().contains("connecting to the bus"));
        health.opened(at(2));
        health.turned(at(3));
        assert!(health.ready(at(3)).unwrap_err().contains("waiting for shards"));
        health.settled(at(4));
        assert_eq!(health.ready(at(4)), Ok(()));
    }

    #[test]
    fn a_spare_replica_is_ready_once_its_session_has_settled() {
        let mut health = Health::default();
        health.opened(at(0));
        health.turned(at(9));
        assert!(health.ready(at(9)).is_err());
        health.turned(at(10));
        assert_eq!(health.ready(at(10)), Ok(()));
    }

    #[test]
    fn a_bus_that_was_never_reached_leaves_it_unready_and_alive() {
        let mut health = Health::default();
        health.ended("no broker".to_owned());
        assert!(health.ready(at(500)).unwrap_err().ends_with("connecting to the bus: no broker"));
        assert_eq!(health.live(at(500)), Ok(()));
    }

    #[test]
    fn a_session_that_is_opened_anew_costs_readiness_only_after_a_while() {
        let mut health = Health::default();
        health.opened(at(0));
        health.settled(at(1));
        health.ended("the broker is gone".to_owned());
        assert_eq!(health.ready(at(30)), Ok(()));
        assert!(health.ready(at(31)).unwrap_err().ends_with("for 30 s: the broker is gone"));
        // Sessions that end before they have shards don't help.
        health.opened(at(40));
        health.turned(at(41));
        health.ended("again".to_owned());
        assert!(health.ready(at(42)).is_err());
        health.opened(at(50));
        health.settled(at(51));
        assert_eq!(health.ready(at(51)), Ok(()));
    }

    #[test]
    fn a_bus_that_does_not_answer_costs_readiness() {
        let mut health = Health::default();
        health.opened(at(0));
        health.settled(at(1));
        health.commit_began(at(2));
        health.turned(at(11));
        health.turned(at(12));
        assert_eq!(health.ready(at(40)), Ok(()));
        assert!(health.ready(at(41)).unwrap_err().ends_with("in flight for 39 s"));
        assert_eq!(health.commit_age(at(41)), Some(at(39)));
        assert_eq!(health.commit_ended(at(42)), Some(at(40)));
        health.turned(at(42));
        assert_eq!((health.ready(at(42)), health.commit_age(at(42))), (Ok(()), None));
    }

    #[test]
    fn a_loop_that_hangs_is_dead_and_one_that_drains_is_not() {
        let mut health = Health::default();
        health.opened(at(0));
        health.settled(at(1));
        assert_eq!(health.live(at(30)), Ok(()));
        assert!(health.live(at(31)).unwrap_err().contains("30 s"));
        health.stopping();
        health.turned(at(31));
        assert_eq!((health.live(at(32)), health.ready(at(32))), (Ok(()), Err("stopping".to_owned())));
    }
}

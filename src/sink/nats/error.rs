//! The meaning of the server's and the client's errors for a commit.

use crate::sink::SinkError;
use async_nats::client::RequestErrorKind;

/// What is known after a failed publish. Each variant requires another action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Somebody wrote the subject since: look who.
    Stale,
    /// The server has a message with this id: find out whether it is this commit's.
    Duplicate,
    /// Certainly not stored. A retry may succeed.
    Refused,
    /// Certainly not stored: the atomic batch has more messages than the server takes.
    TooMany,
    /// Certainly not stored. A retry fails until the operator acts.
    Impossible,
    /// No answer: it may be stored or not, now or later.
    Silent,
}

/// The failure of a publish.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failure {
    /// The server answered with this error code.
    Answer(u64),
    /// The client reported this error.
    Client(RequestErrorKind),
    /// The answer can't be read.
    Garbled,
}

impl Failure {
    /// What the failure means. The codes are those of nats-server's `errors.json`.
    #[expect(clippy::match_same_arms, reason = "each arm has its own reason, said beside it")]
    pub(super) fn verdict(self) -> Reaction {
        match self {
            // Wrong last sequence; and the same while another write of the subject is on its way.
            Self::Answer(10_071 | 10_164) => Reaction::Stale,
            // An atomic batch holds a message id that is in the duplicate window.
            Self::Answer(10_201) => Reaction::Duplicate,
            // Another JetStream stream answered.
            Self::Answer(10_060) => Reaction::Impossible,
            // Message or header too large.
            Self::Answer(10_054 | 10_097) => Reaction::Impossible,
            // The JetStream stream is sealed, forbids rollups, message TTLs or atomic batches.
            Self::Answer(10_109 | 10_111 | 10_166 | 10_174) => Reaction::Impossible,
            // The atomic batch has more messages than the server's limit.
            Self::Answer(10_199) => Reaction::TooMany,
            // The atomic batch isn't well-formed for this server.
            Self::Answer(10_175 | 10_177 | 10_179 | 10_200) => Reaction::Impossible,
            // No resources, no space, no leader, an abandoned batch: an error says that it isn't stored.
            Self::Answer(_) => Reaction::Refused,
            // Nobody listens on the subject: no JetStream, or no JetStream stream, at the moment.
            Self::Client(RequestErrorKind::NoResponders) => Reaction::Refused,
            Self::Client(RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded) => {
                Reaction::Impossible
            }
            Self::Client(RequestErrorKind::TimedOut | RequestErrorKind::Other) | Self::Garbled => Reaction::Silent,
        }
    }
}

/// The error of a failed publish.
#[derive(Debug)]
pub(super) struct PublishError {
    pub(super) verdict: Reaction,
    pub(super) source: SinkError,
}

impl PublishError {
    pub(super) fn new(
        subject: &str,
        failure: Failure,
        words: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let verdict = failure.verdict();
        let source = match verdict {
            Reaction::Impossible => SinkError::Setup {
                problem: format!("the server never takes a message for {subject}: {}", words.into()),
                remedy: "change the JetStream stream or the server's limits, see `doctor`".to_owned(),
            },
            Reaction::Stale | Reaction::Duplicate | Reaction::Refused | Reaction::TooMany | Reaction::Silent => {
                SinkError::unavailable(format!("publish to {subject}"), words)
            }
        };
        Self { verdict, source }
    }
}

/// Why a claim, or one shard's part of a commit, failed. Each variant requires another action.
#[derive(Debug)]
pub(super) enum ShardError {
    /// Another session has claimed the shard: it is lost.
    Foreign(SinkError),
    /// It certainly wasn't done, and won't be.
    Aborted(SinkError),
    /// The outcome is unknown: claim again.
    Unknown(SinkError),
    /// It can't be done until the operator acts.
    Fatal(SinkError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_verdict() {
        let table = [
            (Failure::Answer(10_071), Reaction::Stale),
            (Failure::Answer(10_164), Reaction::Stale),
            (Failure::Answer(10_201), Reaction::Duplicate),
            (Failure::Answer(10_060), Reaction::Impossible),
            (Failure::Answer(10_054), Reaction::Impossible),
            (Failure::Answer(10_174), Reaction::Impossible),
            (Failure::Answer(10_199), Reaction::TooMany),
            (Failure::Answer(10_176), Reaction::Refused),
            (Failure::Answer(10_158), Reaction::Refused),
            (Failure::Answer(10_023), Reaction::Refused),
            (Failure::Answer(10_077), Reaction::Refused),
            (Failure::Answer(10_008), Reaction::Refused),
            (Failure::Client(RequestErrorKind::NoResponders), Reaction::Refused),
            (Failure::Client(RequestErrorKind::MaxPayloadExceeded), Reaction::Impossible),
            (Failure::Client(RequestErrorKind::InvalidSubject), Reaction::Impossible),
            (Failure::Client(RequestErrorKind::TimedOut), Reaction::Silent),
            (Failure::Client(RequestErrorKind::Other), Reaction::Silent),
            (Failure::Garbled, Reaction::Silent),
        ];
        for (failure, verdict) in table {
            assert_eq!(failure.verdict(), verdict, "{failure:?}");
        }
    }
}

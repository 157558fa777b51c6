//! What one poll returned.

use crate::ids::SyncToken;
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// The atom of progress: passed only once all of it is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// As received: Asana documents no other order.
    pub events: Vec<Event>,
    /// The token of the next poll.
    pub next: SyncToken,
    /// More is waiting: poll again at once.
    pub has_more: bool,
    /// When the answer was complete.
    pub received_at: DateTime<Utc>,
    /// The answer's size in bytes: what the page weighs in memory.
    pub bytes: usize,
}

impl Page {
    /// Whether more is waiting, but nothing came to request it with.
    #[must_use]
    pub fn is_endless(&self, sent: Option<&SyncToken>) -> bool {
        self.has_more && self.events.is_empty() && sent == Some(&self.next)
    }
}

/// The form of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollForm {
    /// With all optional fields.
    Full,
    /// With nothing but the token.
    Bare,
    /// Without the token that the stream has.
    Fresh,
}

/// What a poll brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled {
    /// The answer, or the failure.
    pub outcome: PollOutcome,
    /// When, by Asana's clock; `None` where it is no answer of Asana's own, or has no usable `Date`.
    pub stamp: Option<Stamp>,
    /// When, by the host's clock.
    pub received_at: DateTime<Utc>,
}

/// What a request that only asks whether a credential is good brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Whether Asana accepts the credential.
    pub verdict: Verdict,
    /// As of [`Polled`].
    pub stamp: Option<Stamp>,
    /// When, by the host's clock.
    pub received_at: DateTime<Utc>,
}

/// Whether a credential is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Asana knows it; what it may see is another question.
    Lives,
    /// Asana doesn't accept it.
    Refused(Denial),
    /// The whole account waits for so long.
    Throttled(Duration),
    /// No answer, or one that isn't about the credential.
    Unknown,
}

impl Verdict {
    /// For metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Lives => "probe",
            Self::Refused(denial) => denial.label(),
            Self::Throttled(_) => "throttled",
            Self::Unknown => "probe_unknown",
        }
    }
}

/// What came back, named as the wire has it. Whether a token reset is the first
/// token or a loss only the stream's state can tell.
#[derive(Clone, Debug, PartialEq)]
pub enum PollOutcome {
    /// 200.
    Page(Page),
    /// 412: a fresh token.
    TokenReset(SyncToken),
    /// 429 (or Asana's own 424): the whole account waits.
    Throttled {
        /// How long, from now.
        retry_after: Duration,
    },
    /// Asana refuses to be polled this way.
    Denied(Denial),
    /// No usable answer; the same token is asked again.
    Failed(Failure),
}

impl PollOutcome {
    /// Whether it is an answer of Asana's own.
    #[must_use]
    pub fn is_asanas(&self) -> bool {
        match self {
            Self::Page(_) | Self::TokenReset(_) | Self::Denied(_) => true,
            // Any proxy may answer 429.
            Self::Throttled { .. } | Self::Failed(_) => false,
        }
    }

    /// What it weighs in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Page(page) => page.bytes,
            Self::TokenReset(_) | Self::Throttled { .. } | Self::Denied(_) | Self::Failed(_) => 0,
        }
    }

    /// For metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Page(_) => "page",
            Self::TokenReset(_) => "token_reset",
            Self::Throttled { .. } => "throttled",
            Self::Denied(denial) => denial.label(),
            Self::Failed(failure) => failure.label(),
        }
    }
}

/// Why Asana refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// 400: the request is malformed by Asana's judgement.
    BadRequest,
    /// 401: the credential is not valid, or not in this workspace.
    Unauthorized,
    /// 402: needs a higher plan.
    PaymentRequired,
    /// 403: no access to the resource.
    Forbidden,
    /// 404: gone, or hidden.
    NotFound,
    /// 451: a legal block, mostly of addresses.
    LegalBlock,
    /// Any other 4xx.
    OtherStatus(u16),
}

impl Denial {
    /// Whether the answer may speak of the credential, not of the resource.
    #[must_use]
    pub fn may_concern_account(self) -> bool {
        matches!(self, Self::Unauthorized | Self::LegalBlock)
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::PaymentRequired => 402,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::LegalBlock => 451,
            Self::OtherStatus(status) => status,
        }
    }

    /// The denial of an HTTP status.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            400 => Self::BadRequest,
            401 => Self::Unauthorized,
            402 => Self::PaymentRequired,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            451 => Self::LegalBlock,
            other => Self::OtherStatus(other),
        }
    }

    /// For metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::PaymentRequired => "payment_required",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::LegalBlock => "legal_block",
            Self::OtherStatus(_) => "other_status",
        }
    }
}

/// Why there is no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it was cut before the answer was complete.
    Connection(String),
    /// No complete answer in time.
    TimedOut,
    /// 5xx, with Asana's phrase for its support where there was one.
    Server {
        /// The status.
        status: u16,
        /// Such as "6 sad squid snuggle softly".
        phrase: Option<String>,
    },
    /// A refusal that isn't Asana's own: a gateway's, a proxy's, a firewall's.
    Gateway {
        /// The status.
        status: u16,
    },
    /// A body that is not what the status promises.
    Malformed(String),
    /// The credential can't be read, or refreshed.
    Credential(String),
}

impl Failure {
    /// Whether a request may have come to Asana.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        !matches!(self, Self::Credential(_))
    }

    /// For metrics and logs.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connection(_) => "connection",
            Self::TimedOut => "timed_out",
            Self::Server { .. } => "server",
            Self::Gateway { .. } => "gateway",
            Self::Malformed(_) => "malformed",
            Self::Credential(_) => "credential",
        }
    }
}

//! The outcome of one poll.

use crate::ids::SyncToken;
use crate::outcome::stamp::Stamp;
use crate::record::event::Event;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// A page of events. Progress is made in whole pages: a page counts only when all of it is committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The events as received: Asana documents no other order.
    pub events: Vec<Event>,
    /// The token of the next poll.
    pub next: SyncToken,
    /// Whether more events are waiting. Then the stream is polled again at once.
    pub has_more: bool,
    /// The time when the answer was complete, by the host's clock.
    pub received_at: DateTime<Utc>,
    /// The size of the answer in bytes, which is about what the page needs in memory.
    pub bytes: usize,
}

impl Page {
    /// Whether it reports more events without a token to get them.
    #[must_use]
    pub fn is_endless(&self, sent: Option<&SyncToken>) -> bool {
        self.has_more && self.events.is_empty() && sent == Some(&self.next)
    }
}

/// The form of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollForm {
    /// With all fields that the bridge uses.
    Full,
    /// With the token only, without a list of fields.
    Bare,
    /// Without the stream's token, to get a new one.
    Fresh,
}

/// The result of a poll.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled {
    /// The outcome of the poll.
    pub outcome: PollOutcome,
    /// The time of the answer, by Asana's clock; `None` if it isn't Asana's own answer, or has no usable `Date`.
    pub stamp: Option<Stamp>,
    /// The time of the answer, by the host's clock.
    pub received_at: DateTime<Utc>,
}

/// The result of a request that only checks a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Whether Asana accepts the credential.
    pub verdict: Verdict,
    /// The time of the answer, by Asana's clock, as in [`Polled`].
    pub stamp: Option<Stamp>,
    /// The time of the answer, by the host's clock.
    pub received_at: DateTime<Utc>,
}

/// Whether Asana accepts a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Asana accepts it. Its rights weren't checked.
    Lives,
    /// Asana rejects it.
    Refused(Denial),
    /// The whole account has to pause for this time.
    Throttled(Duration),
    /// There was no answer, or one that says nothing about the credential.
    Unknown,
}

impl Verdict {
    /// A constant name, for metrics and logs.
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

/// The outcome of a poll, named as in HTTP. Whether a token reset is the first token or a loss depends on the state of
/// the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum PollOutcome {
    /// Status 200: a page of events.
    Page(Page),
    /// Status 412: a new token.
    TokenReset(SyncToken),
    /// Status 429 (or Asana's own 424): the whole account has to pause.
    Throttled {
        /// The pause, from now.
        retry_after: Duration,
    },
    /// A refusal: polling this way won't work.
    Denied(Denial),
    /// There was no usable answer. The same token is used again.
    Failed(Failure),
}

impl PollOutcome {
    /// Whether it is Asana's own answer.
    #[must_use]
    pub fn is_asanas(&self) -> bool {
        match self {
            Self::Page(_) | Self::TokenReset(_) | Self::Denied(_) => true,
            // Any gateway may answer 429.
            Self::Throttled { .. } | Self::Failed(_) => false,
        }
    }

    /// The size in memory, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Page(page) => page.bytes,
            Self::TokenReset(_) | Self::Throttled { .. } | Self::Denied(_) | Self::Failed(_) => 0,
        }
    }

    /// A constant name, for metrics and logs.
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

/// How Asana refuses a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// 400: the request is malformed, as Asana says.
    BadRequest,
    /// 401: the credential is not valid, or not in this workspace.
    Unauthorized,
    /// 402: the request needs a higher plan.
    PaymentRequired,
    /// 403: the account has no access to the resource.
    Forbidden,
    /// 404: the resource was deleted, or is hidden.
    NotFound,
    /// 451: a legal block, mostly of addresses.
    LegalBlock,
    /// Any other status from 400 to 499.
    OtherStatus(u16),
}

impl Denial {
    /// Whether the answer may concern the credential instead of the resource.
    #[must_use]
    pub fn may_concern_account(self) -> bool {
        matches!(self, Self::Unauthorized | Self::LegalBlock)
    }

    /// The HTTP status of the refusal.
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

    /// The refusal for an HTTP status.
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

    /// A constant name, for metrics and logs.
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
    /// There was no connection, or it was closed before the answer was complete.
    Connection(String),
    /// The answer wasn't complete within the timeout.
    TimedOut,
    /// 5xx, with Asana's phrase for its support if there was one.
    Server {
        /// The HTTP status of the answer.
        status: u16,
        /// The phrase, such as "6 sad squid snuggle softly".
        phrase: Option<String>,
    },
    /// A refusal by something other than Asana: a gateway, a proxy, a firewall.
    Gateway {
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The body isn't what the status promises.
    Malformed(String),
    /// The credential can't be read or refreshed.
    Credential(String),
}

impl Failure {
    /// Whether the request may have reached Asana.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        !matches!(self, Self::Credential(_))
    }

    /// A constant name, for metrics and logs.
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

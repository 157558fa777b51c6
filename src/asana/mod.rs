//! Polls Asana: status and body become a poll outcome.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `client` | one account's requests: which, with what credential, retried when |
//! | `wire` | status, headers and body → poll outcome; no IO |
//! | `credential` | tokens from files and text, read anew when they change |
//! | `oauth` | access tokens, kept alive by a refresh token |
//! | `http` | one request and its whole answer, bounded in time and size |
//! | `changes` | `Asana-Change` headers, each logged once |

mod accounts;
mod changes;
mod client;
mod credential;
mod http;
mod oauth;
mod wire;

pub use accounts::Accounts;
pub use client::{Client, ClientError};

use crate::core::ids::{StreamId, StreamKind, SyncToken};
use crate::core::page::PollOutcome;

/// What the bridge needs of Asana.
pub trait Source: Send + Sync {
    /// Asks once what happened on `stream` since `token`; without one, for the first token.
    ///
    /// Total: whatever goes wrong is an outcome. Judges nothing: whether a token reset
    /// is a loss, and when to ask again, is the caller's to say.
    ///
    /// *Cancel safety*: dropping the future drops the request. Nothing is lost by it,
    /// as asking again with the same token gives the same events.
    fn poll(
        &self,
        stream: &StreamId,
        kind: StreamKind,
        token: Option<&SyncToken>,
    ) -> impl Future<Output = PollOutcome> + Send;
}

//! Polls Asana and reads its lists: status and body become an outcome.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `client` | one account's requests: their URLs, credentials and retries |
//! | `requests` | URLs and the fields that they request; no IO |
//! | `wire` | status, headers and body → poll outcome, and what all answers have in common; no IO |
//! | `webhooks` | an account's webhooks: lists, creates and deletes them |
//! | `items` | body of an object or a list → its items; no IO |
//! | `look` | whose a credential is, and single objects, for people; no IO |
//! | `credential` | tokens from files and text, read anew when they change |
//! | `tokens` | bearer tokens, whatever the credential |
//! | `oauth` | access tokens, kept alive by a refresh token |
//! | `login` | a refresh token, by a user's consent |
//! | `grant` | what Asana tells of a refresh token: its scopes and its end; no IO |
//! | `http` | one request and its whole answer, bounded in time and size |
//! | `changes` | `Asana-Change` headers, each logged once, and told |

mod accounts;
mod changes;
mod client;
mod credential;
mod grant;
mod http;
mod items;
mod login;
mod look;
mod oauth;
mod requests;
mod tokens;
mod webhooks;
mod wire;

pub use accounts::Accounts;
pub use changes::{Listener, Tell};
pub use client::{Client, ClientError};
pub use grant::{FULL_PERMISSIONS, Grant};
pub use login::{Application, Code, Login, LoginError, Question};
pub use look::{Look, Seen};
pub use webhooks::{Part, Webhook};
pub use wire::Refusal;

use bridge_core::ids::{AccountName, Gid, StreamId, StreamKind, SyncToken};
use bridge_core::outcome::list::{ListOutcome, Listing};
use bridge_core::outcome::poll::{PollForm, Polled, Probed};
use chrono::{DateTime, Utc};

/// Asana, as far as the bridge needs it.
pub trait Source: Send + Sync {
    /// Polls `stream` once for the events since `token`; without a token, for the first token.
    ///
    /// Total: every failure is an outcome. It decides nothing: the caller decides whether a token reset is a loss, and
    /// when to poll again.
    ///
    /// *Cancel safety*: dropping the future drops the request. Nothing is lost, because the next poll with the same
    /// token returns the same events.
    fn poll(
        &self,
        stream: &StreamId,
        kind: StreamKind,
        token: Option<&SyncToken>,
        form: PollForm,
    ) -> impl Future<Output = Polled> + Send;

    /// Checks once whether Asana accepts the account's credential, with `/users/me`.
    ///
    /// Total, as [`poll`](Self::poll): every failure is an outcome.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    fn probe(&self, account: &AccountName) -> impl Future<Output = Probed> + Send;

    /// Requests one object, or the page of a list that begins at `offset` (without an offset, the first page). A page
    /// has at most `limit` items, from 1 to [`MOST_ON_A_PAGE`](bridge_core::outcome::list::MOST_ON_A_PAGE).
    ///
    /// Total, as [`poll`](Self::poll): every failure is an outcome.
    ///
    /// *Cancel safety*: dropping the future drops the request; nothing is changed by it.
    fn list(
        &self,
        account: &AccountName,
        listing: &Listing,
        offset: Option<&str>,
        limit: u8,
    ) -> impl Future<Output = ListOutcome> + Send;

    /// Requests the page that begins at `offset` of the tasks of a project that were modified at `since` or later.
    ///
    /// Total and cancel safe, as [`list`](Self::list).
    fn modified_tasks(
        &self,
        account: &AccountName,
        project: &Gid,
        since: DateTime<Utc>,
        offset: Option<&str>,
    ) -> impl Future<Output = ListOutcome> + Send;
}

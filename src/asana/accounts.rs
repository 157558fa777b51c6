//! All accounts as one source.

use super::client::now;
use super::{Client, ClientError, Listener, Look, Refusal, Seen, Source};
use crate::config::CheckedAccount;
use bridge_core::ids::{AccountName, Gid, StreamId, StreamKind, SyncToken};
use bridge_core::outcome::list::{ListOutcome, Listing};
use bridge_core::outcome::poll::{Failure, PollForm, PollOutcome, Polled, Probed, Verdict};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// A client for each account. A stream is polled, and a list is read, by the client of its account.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    clients: BTreeMap<AccountName, (CheckedAccount, Client)>,
    listener: Option<Listener>,
}

impl Accounts {
    /// A source without accounts. `listener` is informed of changes of Asana's API that affect the accounts that are
    /// added later.
    #[must_use]
    pub fn telling(listener: Listener) -> Self {
        Self { listener: Some(listener), ..Self::default() }
    }

    /// Clients for these accounts. Connects to nothing.
    ///
    /// # Errors
    /// The first account that can't be polled, and the reason.
    pub fn new(accounts: impl IntoIterator<Item = CheckedAccount>) -> Result<Self, (AccountName, ClientError)> {
        Self::default().with(accounts)
    }

    /// Replaces the accounts by these. An account whose settings are the same keeps its connections and access tokens.
    ///
    /// # Errors
    /// The first account that can't be polled, and the reason.
    pub fn with(&self, accounts: impl IntoIterator<Item = CheckedAccount>) -> Result<Self, (AccountName, ClientError)> {
        let client = |account: CheckedAccount| {
            let name = account.name.clone();
            let client = match self.clients.get(&name) {
                Some((same, client)) if *same == account => Ok(client.clone()),
                _ => Client::telling(account.clone(), self.listener.clone()),
            };
            match client {
                Ok(client) => Ok((name, (account, client))),
                Err(error) => Err((name, error)),
            }
        };
        let clients = accounts.into_iter().map(client).collect::<Result<_, _>>()?;
        Ok(Self { clients, listener: self.listener.clone() })
    }
}

impl Accounts {
    /// Reads one object with an account's credential, see [`Client::look`].
    ///
    /// # Errors
    /// Why Asana gave no object.
    pub async fn look(&self, account: &AccountName, look: &Look) -> Result<Seen, Refusal> {
        self.client(account).map_err(Refusal::Failed)?.look(look).await
    }

    /// The client of an account.
    ///
    /// # Errors
    /// There is no such account.
    pub fn client(&self, account: &AccountName) -> Result<&Client, Failure> {
        let found = self.clients.get(account).map(|(_, client)| client);
        found.ok_or_else(|| Failure::Credential(format!("there is no account {account}")))
    }
}

impl Source for Accounts {
    async fn poll(&self, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>, form: PollForm) -> Polled {
        match self.client(&stream.account) {
            Ok(client) => client.poll(stream, kind, token, form).await,
            Err(failure) => Polled { outcome: PollOutcome::Failed(failure), stamp: None, received_at: now() },
        }
    }

    async fn probe(&self, account: &AccountName) -> Probed {
        match self.client(account) {
            Ok(client) => client.probe().await,
            Err(_failure) => Probed { verdict: Verdict::Unknown, stamp: None, received_at: now() },
        }
    }

    async fn modified_tasks(
        &self,
        account: &AccountName,
        project: &Gid,
        since: DateTime<Utc>,
        offset: Option<&str>,
    ) -> ListOutcome {
        match self.client(account) {
            Ok(client) => client.modified_tasks(project, since, offset).await,
            Err(failure) => ListOutcome::Failed(failure),
        }
    }

    async fn list(&self, account: &AccountName, listing: &Listing, offset: Option<&str>, limit: u8) -> ListOutcome {
        match self.client(account) {
            Ok(client) => client.list(listing, offset, limit).await,
            Err(failure) => ListOutcome::Failed(failure),
        }
    }
}

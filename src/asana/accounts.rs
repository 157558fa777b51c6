//! All accounts as one source.

use super::{AccountSettings, Client, ClientError, CredentialSource, OauthSource, Source};
use crate::config::{CheckedAccount, Credential};
use crate::core::ids::{AccountName, StreamId, StreamKind, SyncToken};
use crate::core::page::{Failure, PollOutcome};
use std::collections::BTreeMap;

/// A client for each account; a stream is polled by its own.
#[derive(Clone, Debug, Default)]
pub struct Accounts(BTreeMap<AccountName, (AccountSettings, Client)>);

impl Accounts {
    /// Makes ready to poll; connects to nothing.
    ///
    /// # Errors
    /// The first account that can't be polled, and why.
    pub fn new(accounts: impl IntoIterator<Item = AccountSettings>) -> Result<Self, (AccountName, ClientError)> {
        Self::default().with(accounts)
    }

    /// These accounts in place of the present ones. An account whose settings are the same keeps its connections
    /// and access tokens.
    ///
    /// # Errors
    /// The first account that can't be polled, and why.
    pub fn with(
        &self,
        accounts: impl IntoIterator<Item = AccountSettings>,
    ) -> Result<Self, (AccountName, ClientError)> {
        let client = |settings: AccountSettings| {
            let name = settings.name.clone();
            let client = match self.0.get(&name) {
                Some((same, client)) if *same == settings => Ok(client.clone()),
                _ => Client::new(settings.clone()),
            };
            match client {
                Ok(client) => Ok((name, (settings, client))),
                Err(error) => Err((name, error)),
            }
        };
        accounts.into_iter().map(client).collect::<Result<_, _>>().map(Self)
    }
}

impl From<CheckedAccount> for AccountSettings {
    fn from(account: CheckedAccount) -> Self {
        let credential = match account.credential {
            Credential::Token(source) => CredentialSource::Token(source),
            Credential::Oauth(oauth) => CredentialSource::Oauth(OauthSource {
                client_id: oauth.client_id,
                client_secret: oauth.client_secret,
                refresh_token: oauth.refresh_token,
                redirect_uri: oauth.redirect_uri,
                token_url: oauth.token_url,
            }),
        };
        Self {
            name: account.name,
            credential,
            base_url: account.base_url,
            request_timeout: account.request_timeout,
            max_in_flight: account.max_in_flight,
        }
    }
}

impl Source for Accounts {
    async fn poll(&self, stream: &StreamId, kind: StreamKind, token: Option<&SyncToken>) -> PollOutcome {
        match self.0.get(&stream.account) {
            Some((_, client)) => client.poll(stream, kind, token).await,
            None => PollOutcome::Failed(Failure::Credential(format!("there is no account {}", stream.account))),
        }
    }
}

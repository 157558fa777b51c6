//! What gives an account's bearer tokens, whatever its credential is.

use super::credential::{CredentialError, Origin, bearer, read};
use super::grant::Grant;
use super::oauth::Oauth;
use crate::config::SecretSource;
use reqwest::header::HeaderValue;

/// What gives an account's bearer tokens.
pub(super) enum Tokens {
    Fixed(SecretSource),
    Oauth(Box<Oauth>),
}

impl Tokens {
    /// The `Authorization` header of the next request.
    pub(super) async fn bearer(&self) -> Result<HeaderValue, CredentialError> {
        match self {
            Self::Fixed(source) => bearer(&read(source).await?, Origin::of(source)),
            Self::Oauth(oauth) => oauth.bearer().await,
        }
    }

    /// The header to try instead of one that Asana answered with 401; none where there is no other.
    pub(super) async fn instead_of(&self, rejected: &HeaderValue) -> Result<Option<HeaderValue>, CredentialError> {
        let other = match self {
            Self::Fixed(_) => self.bearer().await?,
            Self::Oauth(oauth) => oauth.instead_of(rejected).await?,
        };
        Ok((other != rejected).then_some(other))
    }

    /// What Asana tells of an OAuth account's refresh token; none of other credentials.
    pub(super) async fn grant(&self) -> Result<Option<Grant>, CredentialError> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Oauth(oauth) => oauth.grant().await.map(Some),
        }
    }
}

//! Tokens from files and text, read again when they change.
//!
//! A token's file is opened by its path for every poll. It is small, so that a rotated secret is used at once, also
//! where Kubernetes replaces a symbolic link in its path.

use crate::config::{Secret, SecretSource};
use bridge_core::outcome::poll::Failure;
use reqwest::header::HeaderValue;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncReadExt as _;

/// The maximum size of a secret's file, in bytes: larger than any token, and small enough to be read for every poll.
const MAX_SECRET: u64 = 64 << 10;

/// Why there is no bearer token. The texts contain no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CredentialError {
    #[error("{path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: Arc<io::Error> },
    #[error("{0} is empty")]
    Empty(Origin),
    #[error("{0} is no token: it is empty or has characters that no token has, such as white space")]
    NotAToken(Origin),
    /// The token URL rejected the refresh token or the application.
    #[error("the refresh token was refused")]
    Refused,
    #[error("no access token: {0}")]
    Refresh(String),
}

/// What names a secret's place in messages.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    File(PathBuf),
    Text,
    AccessToken,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Text => f.write_str("the configured secret"),
            Self::AccessToken => f.write_str("the access token that was given"),
        }
    }
}

/// The current secret, without the white space around it.
pub(super) async fn read(source: &SecretSource) -> Result<Secret, CredentialError> {
    let text = match source {
        SecretSource::File(path) => read_file(path)
            .await
            .map_err(|source| CredentialError::Unreadable { path: path.clone(), source: Arc::new(source) })?,
        SecretSource::Text(secret) => secret.expose().to_owned(),
    };
    match text.trim() {
        "" => Err(CredentialError::Empty(Origin::of(source))),
        trimmed => Ok(Secret::new(trimmed)),
    }
}

impl Origin {
    pub(super) fn of(source: &SecretSource) -> Self {
        match source {
            SecretSource::File(path) => Self::File(path.clone()),
            SecretSource::Text(_) => Self::Text,
        }
    }
}

async fn read_file(path: &Path) -> io::Result<String> {
    // Opening a pipe would wait for its writer, and there is nothing to read the second time.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut text = String::new();
    tokio::fs::File::open(path).await?.take(MAX_SECRET + 1).read_to_string(&mut text).await?;
    if text.len() as u64 > MAX_SECRET {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {MAX_SECRET} bytes")));
    }
    Ok(text)
}

/// The header with `token`, marked as sensitive, so that no library prints it.
pub(super) fn bearer(token: &Secret, origin: Origin) -> Result<HeaderValue, CredentialError> {
    let text = token.expose();
    let usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match HeaderValue::try_from(format!("Bearer {text}")) {
        Ok(mut value) if usable => {
            value.set_sensitive(true);
            Ok(value)
        }
        Ok(_) | Err(_) => Err(CredentialError::NotAToken(origin)),
    }
}

/// Why the server of tokens gave no usable answer.
pub(super) fn unanswered(failure: &Failure) -> CredentialError {
    CredentialError::Refresh(reason(failure))
}

/// The same as a text.
pub(super) fn reason(failure: &Failure) -> String {
    match failure {
        Failure::TimedOut => "the token URL didn't answer in time".to_owned(),
        Failure::Connection(text) | Failure::Malformed(text) | Failure::Credential(text) => text.clone(),
        Failure::Server { status, .. } | Failure::Gateway { status } => format!("the token URL answered {status}"),
    }
}

//! Secrets: never printed, read again when they may have changed.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A text that is never printed: neither by `Debug` nor by `Display`, and there is no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into custody.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who has to send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds nothing else. It may change while the bridge runs, as mounted
    /// Kubernetes secrets do.
    File(PathBuf),
    /// Known already, from the environment, which can't change.
    Text(Secret),
}

impl SecretSource {
    /// The secret as it is now, without white space around it.
    ///
    /// # Errors
    /// The file's own, or [`io::ErrorKind::InvalidData`] where it is empty or no UTF-8.
    pub fn read(&self) -> io::Result<Secret> {
        let text = match self {
            Self::File(path) => std::fs::read_to_string(path)?,
            Self::Text(secret) => secret.0.clone(),
        };
        match text.trim() {
            "" => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
            secret => Ok(Secret::new(secret)),
        }
    }
}

//! Secrets. They are never printed, and read again when they may have changed.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A text that is never printed: neither by `Debug` nor by `Display`, and there is no `Serialize`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Protects the text from being printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the code that has to send it.
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

/// The source of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that contains nothing else. It may change while the bridge runs, like mounted
    /// Kubernetes secrets.
    File(PathBuf),
    /// A known text, from the environment, which can't change.
    Text(Secret),
}

impl SecretSource {
    /// The current secret, without white space around it.
    ///
    /// # Errors
    /// The error of reading the file, or [`io::ErrorKind::InvalidData`] if the file is empty or isn't UTF-8.
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

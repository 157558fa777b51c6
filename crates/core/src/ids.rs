//! Names as types of their own, so that a gid can't be used in place of an account.

pub use bridge_contract::Topic;

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as a text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }
    };
}

text_id! {
    /// Asana's id of an object: a string of digits, never parsed as a number.
    Gid
}
text_id! {
    /// The operator's name of a credential and its rate budget.
    AccountName
}
text_id! {
    /// Asana's opaque position in a stream. Its text is sent to Asana and stored in the checkpoint, and never printed.
    SyncToken
}

/// Shows the text, also with `Debug`.
macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

shown_as_text!(Gid, AccountName);

impl fmt::Debug for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncToken(…)")
    }
}

/// One stream: the (account, resource) that is polled. Shown as `account/gid`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The account whose credential polls it.
    pub account: AccountName,
    /// The watched task, project, goal or workspace.
    pub resource: Gid,
}

impl StreamId {
    /// The stream of `resource`, polled by `account`.
    pub fn new(account: impl Into<AccountName>, resource: impl Into<Gid>) -> Self {
        Self { account: account.into(), resource: resource.into() }
    }

    /// Reads the form `account/gid`; `None` if the text doesn't have it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (account, resource) = text.split_once('/')?;
        (!account.is_empty() && !resource.is_empty()).then(|| Self::new(account, resource))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.resource)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The name of a deployment: all replicas that share one checkpoint. Empty if it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployment(String);

impl Deployment {
    /// The name; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

impl From<String> for Deployment {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for Deployment {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("(without a name)"))
    }
}

/// The request that polls a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamKind {
    /// `GET /events?resource=…`: a task, project or goal.
    Resource,
    /// `GET /workspaces/{gid}/events`: a whole workspace, for service accounts.
    Workspace,
}

/// A shard's number, from 0. Shards are the unit of ownership and of fencing. Streams hash to them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u32);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {}", self.0)
    }
}

/// One partition of one output topic (Kafka), or one lane token of the subject (NATS).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The name of the topic.
    pub topic: Topic,
    /// The partition, from 0.
    pub partition: u32,
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_token_is_never_printed() {
        assert_eq!(format!("{:?}", SyncToken::from("5a888cbb:0")), "SyncToken(…)");
    }

    #[test]
    fn a_stream_id_survives_its_text() {
        let id = StreamId::new("main", "1200");
        assert_eq!(StreamId::parse(&id.to_string()), Some(id));
        assert_eq!(StreamId::parse("main"), None);
        assert_eq!(StreamId::parse("/1"), None);
    }
}

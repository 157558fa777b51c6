//! What a resource is now: which resources are to be read again, and which state of a resource is the newest.
//!
//! An event says that something changed, and rarely to what. The commit that publishes it appends an [`Entry`] to the
//! refresh log, in the part of the shard to which the *gid* hashes. The owner of that shard reads its part, and puts
//! together what comes for the same resource ([`queue`]). It reads the resource from Asana, and commits what it found
//! with its place in the log. So a resource has one writer, whichever streams show it. A crawl's entries contain the
//! state that it found: [`freshness`] decides whether it is newer than what was written.

pub mod compare;
pub mod entry;
pub mod freshness;
pub mod queue;

pub use entry::{Entry, EntryError, Found, Logged};
pub use freshness::Freshness;
pub use queue::{Job, Pace, Queue, Thrift, Ticket};

use crate::outcome::list::What;
use std::collections::BTreeSet;

/// Which resources are read again after an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Refreshed {
    /// None.
    #[default]
    Nothing,
    /// All that Asana can be asked for by gid.
    Everything,
    /// Those of these types, such as `task`.
    Types(BTreeSet<String>),
}

impl Refreshed {
    /// Whether resources of this type are read again. There must be a request for them.
    #[must_use]
    pub fn has(&self, resource_type: &str) -> bool {
        let is_chosen = match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Types(types) => types.contains(resource_type),
        };
        is_chosen && What::alone(resource_type).is_some()
    }
}

//! A request to the target of a webhook, and what came of it.

use super::event::Gid;
use url::Url;

/// A request to a target.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) gid: Gid,
    pub(crate) target: Url,
    pub(crate) header: Header,
    pub(crate) body: String,
    /// How many events it carries.
    pub(crate) events: usize,
}

/// What it says of itself.
#[derive(Debug)]
pub(crate) enum Header {
    Secret(String),
    Signature(String),
}

/// What a target answered: a status, and the secret that it sent back; or why there is no answer.
pub(crate) type Told = Result<(u16, Option<String>), String>;

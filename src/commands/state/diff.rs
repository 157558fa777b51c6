//! Compares states with Asana.

use super::StateError;
use crate::asana::Accounts;
use crate::commands::asker::{AT_ONCE, Asker};
use crate::commands::progress::Progress;
use crate::commands::{Exit, Failure};
use crate::config::Checked;
use bridge_consumer::StateTable;
use bridge_contract::pb;
use bridge_core::ids::Gid;
use bridge_core::outcome::list::{ListOutcome, Listing, What};
use bridge_core::outcome::poll::Denial;
use bridge_core::state::compare::differences;
use futures_util::StreamExt as _;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// What a comparison found.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffReport {
    /// The number of states that are as Asana has them now.
    pub same: usize,
    /// The states that aren't.
    pub different: Vec<Difference>,
    /// The resources that couldn't be read, each with the reason.
    pub unread: Vec<(String, String)>,
    /// The number of states that were left out, because no stream of a configured account shows them.
    pub not_followed: usize,
    /// The number of states beyond the limit.
    pub beyond: usize,
}

/// A state that isn't as in Asana.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The resource.
    pub gid: String,
    /// Its type.
    #[serde(rename = "type")]
    pub resource_type: String,
    /// The fields that differ. Empty if Asana doesn't know the resource any more, or if its text is no object.
    pub fields: BTreeSet<String>,
    /// Whether Asana doesn't know it any more.
    pub gone: bool,
}

/// What Asana says of a state.
enum Seen {
    Same,
    Different(Difference),
    Unread(String),
}

impl DiffReport {
    /// Whether no state differs, and all could be read.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.different.is_empty() && self.unread.is_empty()
    }
}

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum DiffError {
    /// There are no states.
    #[error(transparent)]
    State(#[from] StateError),
    /// An account can't be used.
    #[error("account {account}: {reason}")]
    Account {
        /// Its name.
        account: String,
        /// Why.
        reason: String,
    },
}

impl Failure for DiffError {
    fn exit(&self) -> Exit {
        match self {
            Self::State(error) => error.exit(),
            Self::Account { .. } => Exit::Usage,
        }
    }
}

/// Requests at most `limit` of the table's resources, and compares each with its state.
///
/// # Errors
/// An account can't be used.
///
/// # Cancel safety
/// Cancel safe: it only reads.
pub(super) async fn compare(checked: &Checked, table: &StateTable, limit: usize) -> Result<DiffReport, DiffError> {
    let accounts = Accounts::new(checked.accounts.clone())
        .map_err(|(account, error)| DiffError::Account { account: account.to_string(), reason: error.to_string() })?;
    let askers: Vec<_> = checked.accounts.iter().map(|account| Asker::new(checked, &accounts, account)).collect();
    let asker = |state: &pb::State| {
        let names = state.streams.iter().filter_map(|stream| Some(stream.split_once('/')?.0));
        names.filter(|_| state.followed).find_map(|name| askers.iter().find(|asker| asker.name().as_str() == name))
    };
    let followed = table.iter().filter_map(|(gid, state)| Some((gid, state, asker(state)?)));
    let followed: Vec<_> = followed.collect();
    let (all, count) = (table.iter().count(), followed.len());
    let mut report =
        DiffReport { not_followed: all - count, beyond: count.saturating_sub(limit), ..DiffReport::default() };
    // Spread over all of them: neighbours are of the same age.
    let step = count.div_ceil(limit.max(1)).max(1);
    let chosen = (0..step).flat_map(|first| followed.iter().skip(first).step_by(step)).take(limit);
    let progress = Progress::new(u64::try_from(count.min(limit)).ok());
    let looks = chosen.map(async |(gid, state, asker)| ((*gid).to_owned(), look(asker, gid, state).await));
    let mut looks = futures_util::stream::iter(looks).buffer_unordered(AT_ONCE);
    while let Some((gid, seen)) = looks.next().await {
        match seen {
            Seen::Same => report.same += 1,
            Seen::Different(difference) => report.different.push(difference),
            Seen::Unread(reason) => report.unread.push((gid, reason)),
        }
        progress.step();
    }
    report.different.sort_by(|one, other| one.gid.cmp(&other.gid));
    report.unread.sort();
    Ok(report)
}

async fn look(asker: &Asker<'_>, gid: &str, state: &pb::State) -> Seen {
    let resource_type = state.resource.as_ref().map_or("", |resource| resource.resource_type.as_str());
    let Some(what) = What::alone(resource_type) else {
        return Seen::Unread(format!("Asana has no request for one {resource_type}"));
    };
    let different = |fields, gone| {
        let (gid, resource_type) = (gid.to_owned(), resource_type.to_owned());
        Seen::Different(Difference { gid, resource_type, fields, gone })
    };
    match asker.list(&Listing { of: Gid::from(gid), what }).await {
        ListOutcome::Page(page) => {
            let now = page.items.first().map_or("", |item| item.state_json.as_str());
            match differences(&state.state_json, now) {
                Some(fields) if fields.is_empty() => Seen::Same,
                Some(fields) => different(fields, false),
                None => different(BTreeSet::new(), false),
            }
        }
        ListOutcome::Denied(Denial::NotFound) => different(BTreeSet::new(), true),
        other @ (ListOutcome::OffsetExpired
        | ListOutcome::CutOff
        | ListOutcome::Throttled { .. }
        | ListOutcome::Denied(_)
        | ListOutcome::Failed(_)) => Seen::Unread(other.label().to_owned()),
    }
}

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same, different, unread, not_followed, beyond } = self;
        for Difference { gid, resource_type, fields, gone } in different {
            let fields: Vec<_> = fields.iter().map(String::as_str).collect();
            match (gone, fields.is_empty()) {
                (true, _) => writeln!(f, "{resource_type} {gid}: Asana doesn't know it any more")?,
                (false, true) => writeln!(f, "{resource_type} {gid}: its state is no JSON object")?,
                (false, false) => writeln!(f, "{resource_type} {gid}: {} differ", fields.join(", "))?,
            }
        }
        for (gid, reason) in unread {
            writeln!(f, "{gid}: couldn't be read from Asana: {reason}")?;
        }
        write!(f, "{same} states are as in Asana, {} differ, {} couldn't be read", different.len(), unread.len())?;
        if *beyond > 0 {
            write!(f, "; {beyond} more weren't compared (--limit)")?;
        }
        if *not_followed > 0 {
            write!(f, "; {not_followed} are shown by no stream, and weren't compared")?;
        }
        writeln!(f)
    }
}

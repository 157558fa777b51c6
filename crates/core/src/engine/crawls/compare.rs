//! Finds out whether a resource is as it was.

use crate::outcome::list::Item;
use crate::state::compare::forget_neighbours;
use bridge_contract::pb;
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

/// What a listing showed of a resource, as two hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashes {
    /// Of its whole state, but for what its neighbours are called. Never 0 or
    /// [`NOT_VISIBLE`](crate::crawl::known::NOT_VISIBLE).
    pub(super) whole: u64,
    /// Of what events report when it changes: where it is, and when it was modified. Tags, followers,
    /// dependencies and likes change without the latter (Asana's reference "Tasks", `modified_at`).
    pub(super) evident: u64,
}

pub(super) fn hashes(item: &Item) -> Hashes {
    let whole = whole(item);
    let evident = item.modified_at.map_or(whole, |at| {
        let mut hash = begin(item);
        hash.update(&at.timestamp_millis().to_be_bytes());
        hash.digest()
    });
    Hashes { whole, evident }
}

fn begin(item: &Item) -> Xxh3 {
    let mut hash = Xxh3::new();
    hash.update(item.resource.resource_type.as_bytes());
    hash.update(item.membership.as_bytes());
    hash
}

fn whole(item: &Item) -> u64 {
    let mut hash = begin(item);
    // Its keys in order, since Asana promises none.
    match serde_json::from_str::<Value>(&item.state_json) {
        Ok(mut state) => {
            forget_neighbours(&mut state);
            hash.update(state.to_string().as_bytes());
        }
        Err(_) => hash.update(item.state_json.as_bytes()),
    }
    hash.digest().max(crate::crawl::known::NOT_VISIBLE + 1)
}

/// Whether Asana reports such a change by an event that names the resource. What is nested in another comes and goes
/// with it; and no event reports that an attachment was added (Asana's guide "Webhooks", in its version of 2022-10).
pub(super) fn has_event(change: pb::SnapshotChange, nested: bool, resource_type: &str) -> bool {
    let is_added_attachment = change == pb::SnapshotChange::Created && resource_type == "attachment";
    change != pb::SnapshotChange::Unchanged && !nested && !is_added_attachment
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn of(state: &str, modified_at: i64) -> Hashes {
        hashes(&Item {
            resource: pb::Resource { gid: "1".into(), resource_type: "task".into(), ..pb::Resource::default() },
            state_json: state.to_owned(),
            modified_at: DateTime::from_timestamp(modified_at, 0),
            ..Item::default()
        })
    }

    #[test]
    fn tags_change_the_state_and_nothing_that_events_report() {
        let before = of(r#"{"name":"a","tags":[]}"#, 5);
        let after = of(r#"{"tags":[{"gid":"7","name":"red"}],"name":"a"}"#, 5);
        assert_ne!(before.whole, after.whole);
        assert_eq!(before.evident, after.evident);
        assert_ne!(after.evident, of(r#"{"name":"a","tags":[]}"#, 6).evident);
    }

    #[test]
    fn what_others_are_called_and_the_order_of_keys_change_nothing() {
        let before = of(r#"{"name":"a","assignee":{"gid":"7","name":"Ann"},"tags":[{"gid":"1","name":"x"}]}"#, 5);
        let after = of(r#"{"tags":[{"gid":"1","name":"y"}],"assignee":{"name":"Bo","gid":"7"},"name":"a"}"#, 5);
        assert_eq!(before, after);
        assert_ne!(before.whole, of(r#"{"name":"b","assignee":{"gid":"7"},"tags":[{"gid":"1"}]}"#, 5).whole);
    }

    #[test]
    fn a_state_that_cant_be_read_is_compared_by_its_text() {
        assert_ne!(of(r#"{"name":"\ud800"}"#, 5).whole, of(r#"{"name":"\ud801"}"#, 5).whole);
    }
}

//! What a commit appends to the refresh log.

use super::{Engine, StateChange};
use crate::engine::StreamSpec;
use crate::ids::{Gid, StreamId};
use crate::outcome::list::Item;
use crate::record::event::Event;
use crate::state::{Entry, Found};
use bridge_contract::{Action, pb};
use chrono::{DateTime, Utc};

impl Engine {
    /// What is to be read again because of a page's events, each with the number of its event.
    pub(in crate::engine) fn entries_of_events(
        &self,
        spec: &StreamSpec,
        events: &[Event],
        received_at: DateTime<Utc>,
    ) -> Vec<(usize, Entry)> {
        let refresh = &self.settings.state.refresh;
        let mut entries = Vec::new();
        for (number, event) in events.iter().enumerate().filter(|_| self.settings.state.is_on()) {
            let (happened_at, action) = (event.created_at(), event.action());
            let resource = event.0.resource.as_ref();
            // A task that a subtask comes to, or goes from, has another number of subtasks.
            let parent = event.0.parent.as_ref().filter(|parent| parent.resource_type == "task");
            let parent = parent.filter(|_| matches!(action, Action::Added | Action::Removed));
            let named = [(resource, action == Action::Deleted), (parent, false)];
            for (resource, deleted) in named.into_iter().filter_map(|(it, deleted)| Some((it?, deleted))) {
                if !resource.gid.is_empty() && refresh.has(&resource.resource_type) {
                    let entry = new_entry(spec, resource, received_at);
                    entries.push((number, Entry { happened_at, deleted, ..entry }));
                }
            }
        }
        entries
    }

    /// What a crawl of the stream has found, for the state topic.
    pub(in crate::engine) fn entry_of_found(
        &self,
        id: &StreamId,
        snapshot: &pb::Snapshot,
        item: Option<&Item>,
        (read_after, received_at): (Option<DateTime<Utc>>, DateTime<Utc>),
    ) -> Option<Entry> {
        let resource = snapshot.resource.as_ref()?;
        self.settings.state.topic_of(&resource.resource_type)?;
        let kind = self.streams.get(id)?.kind;
        let spec = StreamSpec { id: id.clone(), kind };
        let asked = [id.clone()].into();
        let of_item = |item: &Item| self.streams_that_show(&item.within, true, &asked);
        let streams = item.map(of_item).unwrap_or_default();
        let streams = streams.into_iter().chain([id.clone()]).collect::<std::collections::BTreeSet<_>>();
        let snapshot = pb::Snapshot { streams: streams.iter().map(StreamId::to_string).collect(), ..snapshot.clone() };
        let entry = new_entry(&spec, resource, received_at);
        Some(Entry { found: Some(Found { snapshot, read_after }), ..entry })
    }
}

fn new_entry(spec: &StreamSpec, resource: &pb::Resource, received_at: DateTime<Utc>) -> Entry {
    Entry {
        gid: Gid::from(resource.gid.as_str()),
        resource_type: resource.resource_type.clone(),
        stream: spec.id.clone(),
        kind: spec.kind,
        happened_at: None,
        received_at,
        deleted: false,
        position: pb::Position::default(),
        found: None,
    }
}

/// The state that a crawl's entry has.
pub(super) fn found_state(entry: &Entry) -> Option<StateChange> {
    let Found { snapshot, read_after } = entry.found.clone()?;
    let state = pb::State {
        resource: snapshot.resource,
        state_json: snapshot.state_json,
        modified_at: snapshot.modified_at,
        read_after: read_after.and_then(bridge_contract::time::timestamp),
        asked_by: None,
        followed: !snapshot.streams.is_empty(),
        streams: snapshot.streams,
    };
    Some(StateChange::Put { state: Box::new(state), position: Some(entry.position.clone()) })
}

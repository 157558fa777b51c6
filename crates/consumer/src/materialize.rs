//! Keeps a table of all resources, by folding records.
//!
//! [`Op::of`] is one step of the fold, without state: the operation that a record means for a table with the primary key
//! (stream, gid). Operations are idempotent. If a store applies them in one transaction with the reader's offsets, the table is
//! exactly-once. [`Materializer`] is this table in memory. `examples/materialize.rs` keeps it in `SQLite`.
//!
//! A resource that is gone, or has left the stream, has a record of its own. If a crawl didn't name a resource, that means
//! nothing, because Asana's lists may be incomplete. If you prefer to drop too much rather than too little, use
//! [`Materializer::trusting_complete_types`], which drops unnamed resources at the end of a crawl. Then a table must be for one topic,
//! because a crawl ends in each lane separately, and each topic has its own lanes.
//!
//! A snapshot that was read after an event belongs to no stream, so this table leaves it out. If you want the state of each resource
//! rather than the resources of each stream, read the state topic.
//!
//! Pass each record to the [`Detector`](super::Detector) first, and leave out duplicates and older records.

use super::record::{Action, Body, Event, Position, Record};
use bridge_contract::pb::SnapshotChange;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// The place of a record in its stream: epoch, then stream sequence. Marks have the order of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The epoch of the record.
    pub epoch: u64,
    /// The stream sequence of the record.
    pub sequence: u64,
}

/// A resource of a stream, as far as it is known from records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The stream that the resource belongs to.
    pub stream: String,
    /// The resource's gid.
    pub gid: String,
    /// The resource's type, such as `task`.
    pub resource_type: String,
    /// The name, if the record has it. Otherwise keep the previous name.
    pub name: Option<String>,
    /// The gid of the parent, if the record has it. Otherwise keep the previous parent.
    pub parent: Option<String>,
    /// Everything that Asana returned of it, if the record is a snapshot. Otherwise keep the previous state. It doesn't include later events.
    pub state_json: Option<String>,
    /// The time of the change that the record is about.
    pub changed_at: Option<DateTime<Utc>>,
    /// The lane of the latest record.
    pub lane: u32,
    /// The place of the resource's latest record.
    pub mark: Mark,
}

/// The operation that a record means for the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Insert the row. If it exists, update it unless it has this mark or a later one.
    Put(Row),
    /// Delete the row, unless it has a later mark.
    Remove {
        /// The stream of the row.
        stream: String,
        /// The gid of the row.
        gid: String,
        /// Why the row is deleted.
        removal: Removal,
        /// The place of the record that this operation comes from.
        mark: Mark,
    },
    /// Remember the mark until the end of the crawl in this lane.
    BeginCrawl {
        /// The stream that the crawl reads.
        stream: String,
        /// The lane of the record.
        lane: u32,
        /// The id of the crawl.
        crawl_id: String,
        /// The place of the record that this operation comes from.
        mark: Mark,
    },
    /// Do nothing, unless you trust [`complete_types`](bridge_contract::pb::SnapshotEnd::complete_types). If you do: delete the rows of the
    /// stream and lane that are of these types and have a mark before the crawl's beginning. The crawl didn't find
    /// them, and no event named them since. Do nothing if the beginning wasn't seen.
    EndCrawl {
        /// The stream that the crawl read.
        stream: String,
        /// The lane of the record.
        lane: u32,
        /// The id of the crawl.
        crawl_id: String,
        /// The resource types of which the crawl read everything.
        types: Vec<String>,
    },
}

/// Why a row is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// The resource is gone: it is in Asana's trash, or Asana doesn't know it any more.
    Deleted,
    /// The resource exists, but not in this stream any more.
    Left,
}

impl Op {
    /// The operation of a record. `None` if it changes nothing, such as a snapshot with `NOT_VISIBLE`, or one without a stream.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let Position { epoch, lane, stream, stream_sequence, .. } = &record.position;
        let (stream, lane) = (stream.clone(), *lane);
        let mark = Mark { epoch: *epoch, sequence: *stream_sequence };
        match &record.body {
            Body::Event(event) => Self::of_event(event, &record.position, mark),
            // Read after an event: it belongs to no stream.
            Body::Snapshot(_) if stream.is_empty() => None,
            Body::Snapshot(snapshot) => {
                let resource = snapshot.resource.as_ref()?;
                let gid = resource.gid.clone();
                let removal = match snapshot.change {
                    SnapshotChange::Deleted => Some(Removal::Deleted),
                    SnapshotChange::Left => Some(Removal::Left),
                    SnapshotChange::NotVisible => return None,
                    SnapshotChange::Unspecified
                    | SnapshotChange::Created
                    | SnapshotChange::Updated
                    | SnapshotChange::Unchanged => None,
                };
                if let Some(removal) = removal {
                    return Some(Self::Remove { stream, gid, removal, mark });
                }
                Some(Self::Put(Row {
                    stream,
                    gid,
                    resource_type: resource.resource_type.clone(),
                    name: resource.name.clone(),
                    parent: snapshot.parent.as_ref().map(|parent| parent.gid.clone()),
                    state_json: Some(snapshot.state_json.clone()),
                    changed_at: snapshot.modified_at,
                    lane,
                    mark,
                }))
            }
            // The stand-in contains no state, but the resource exists.
            Body::StandIn(it) => {
                let resource = it.resource.as_ref().filter(|resource| !resource.gid.is_empty())?;
                Some(Self::Put(Row {
                    stream,
                    gid: resource.gid.clone(),
                    resource_type: resource.resource_type.clone(),
                    name: None,
                    parent: None,
                    state_json: None,
                    changed_at: None,
                    lane,
                    mark,
                }))
            }
            Body::SnapshotBegin(it) => Some(Self::BeginCrawl { stream, lane, crawl_id: it.crawl_id.clone(), mark }),
            Body::SnapshotEnd(it) => {
                let (crawl_id, types) = (it.crawl_id.clone(), it.complete_types.clone());
                Some(Self::EndCrawl { stream, lane, crawl_id, types })
            }
            Body::SourceGap(_)
            | Body::SourceGapHealed(_)
            | Body::EpochStart(_)
            | Body::Watermark(_)
            | Body::LanesChanged(_)
            | Body::StreamSuspended(_)
            | Body::StreamResumed
            | Body::StreamEnded
            | Body::State(_)
            | Body::StateProgress(_)
            | Body::Unknown => None,
        }
    }

    fn of_event(event: &Event, position: &Position, mark: Mark) -> Option<Self> {
        let resource = event.resource.as_ref().filter(|resource| !resource.gid.is_empty())?;
        let (stream, gid) = (position.stream.clone(), resource.gid.clone());
        let parent = event.parent.as_ref().map(|parent| parent.gid.clone());
        // A resource that was removed from a section or a parent task, not from the watched resource, stays in the table.
        let has_left = event.action == Action::Removed && parent.as_deref() == position.resource();
        if has_left || event.action == Action::Deleted {
            let removal = if has_left { Removal::Left } else { Removal::Deleted };
            return Some(Self::Remove { stream, gid, removal, mark });
        }
        Some(Self::Put(Row {
            stream,
            gid,
            resource_type: resource.resource_type.clone(),
            name: resource.name.clone(),
            parent: parent.filter(|_| event.action == Action::Added),
            state_json: None,
            changed_at: event.created_at,
            lane: position.lane,
            mark,
        }))
    }
}

/// The table in memory.
#[derive(Clone, Debug, Default)]
pub struct Materializer {
    rows: BTreeMap<(String, String), Row>,
    /// The current crawl and its beginning, by stream and lane. Empty if complete types aren't trusted.
    crawls: BTreeMap<(String, u32), (String, Mark)>,
    trusts_complete_types: bool,
}

impl Materializer {
    /// A table that also drops resources at the end of each crawl: those that are of one of the crawl's complete types and that no
    /// record named since the crawl began. This corrects a table that has too much, for example because the bridge had lost its index
    /// (`compared` of the `SnapshotEnd` is false). But it also drops living resources if one of Asana's lists was incomplete.
    #[must_use]
    pub fn trusting_complete_types() -> Self {
        Self { trusts_complete_types: true, ..Self::default() }
    }

    /// Applies the operation of the record, and returns it, so that you can apply it to another table too.
    pub fn apply(&mut self, record: &Record) -> Option<Op> {
        let op = Op::of(record)?;
        match op.clone() {
            Op::Put(row) => self.put(row),
            Op::Remove { stream, gid, mark, .. } => {
                let key = (stream, gid);
                if self.rows.get(&key).is_some_and(|row| row.mark <= mark) {
                    self.rows.remove(&key);
                }
            }
            Op::BeginCrawl { stream, lane, crawl_id, mark } => {
                if self.trusts_complete_types {
                    self.crawls.insert((stream, lane), (crawl_id, mark));
                }
            }
            Op::EndCrawl { stream, lane, crawl_id, types } => {
                let key = (stream, lane);
                if let Some((_, mark)) = self.crawls.remove(&key).filter(|(begun, _)| *begun == crawl_id) {
                    let is_swept =
                        |row: &Row| row.lane == lane && row.mark < mark && types.contains(&row.resource_type);
                    self.rows.retain(|_, row| row.stream != key.0 || !is_swept(row));
                }
            }
        }
        Some(op)
    }

    fn put(&mut self, mut row: Row) {
        let key = (row.stream.clone(), row.gid.clone());
        if let Some(before) = self.rows.remove(&key) {
            if before.mark >= row.mark {
                row = before;
            } else {
                row.name = row.name.or(before.name);
                row.parent = row.parent.or(before.parent);
                row.state_json = row.state_json.or(before.state_json);
                row.changed_at = row.changed_at.or(before.changed_at);
            }
        }
        self.rows.insert(key, row);
    }

    /// The resources of a stream, by gid.
    pub fn resources(&self, stream: &str) -> impl Iterator<Item = &Row> {
        let first = (stream.to_owned(), String::new());
        self.rows.range(first..).take_while(move |((of, _), _)| of == stream).map(|(_, row)| row)
    }

    /// The number of resources, over all streams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no resource.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_contract::pb;

    /// In lane 0 the even gids, in lane 1 the odd ones, as a partitioner would have it.
    fn record(sequence: u64, lane: u32, body: pb::record::Body) -> Record {
        let position = pb::Position {
            epoch: 1,
            lane,
            lane_sequence: sequence,
            stream: "main/9".to_owned(),
            stream_sequence: sequence,
            ..pb::Position::default()
        };
        pb::Record { position: Some(position), received_at: None, body: Some(body) }.into()
    }

    fn resource(gid: u32, name: Option<&str>) -> pb::Resource {
        let name = name.map(str::to_owned);
        pb::Resource { gid: gid.to_string(), resource_type: "task".into(), name, ..pb::Resource::default() }
    }

    fn event(sequence: u64, gid: u32, action: &str, parent: Option<u32>) -> Record {
        let parent = parent.map(|gid| resource(gid, None));
        let resource = Some(resource(gid, None));
        let event = pb::Event { action: action.into(), resource, parent, ..pb::Event::default() };
        record(sequence, gid % 2, pb::record::Body::Event(event))
    }

    fn snapshot(sequence: u64, gid: u32) -> Record {
        let snapshot = pb::Snapshot {
            crawl_id: "c".into(),
            resource: Some(resource(gid, Some("read"))),
            state_json: format!("{{\"gid\":\"{gid}\"}}"),
            ..pb::Snapshot::default()
        };
        record(sequence, gid % 2, pb::record::Body::Snapshot(snapshot))
    }

    fn begin(sequence: u64, lane: u32) -> Record {
        let begin = pb::SnapshotBegin { crawl_id: "c".into(), ..pb::SnapshotBegin::default() };
        record(sequence, lane, pb::record::Body::SnapshotBegin(begin))
    }

    fn end(sequence: u64, lane: u32) -> Record {
        record(
            sequence,
            lane,
            pb::record::Body::SnapshotEnd(pb::SnapshotEnd {
                crawl_id: "c".into(),
                snapshots: 2,
                complete_types: vec!["task".into()],
                ..Default::default()
            }),
        )
    }

    fn gids(of: &Materializer) -> Vec<&str> {
        of.resources("main/9").map(|row| row.gid.as_str()).collect()
    }

    #[test]
    fn what_a_stand_in_names_is_there() {
        let mut table = Materializer::trusting_complete_types();
        table.apply(&event(1, 2, "added", None));
        table.apply(&begin(2, 0));
        let stand_in = pb::StandIn { resource: Some(resource(2, None)), ..pb::StandIn::default() };
        table.apply(&record(3, 0, pb::record::Body::StandIn(stand_in)));
        table.apply(&end(4, 0));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn events_put_and_remove() {
        let mut table = Materializer::default();
        for record in [
            event(1, 10, "added", Some(9)),
            event(2, 11, "added", Some(9)),
            event(3, 12, "changed", None),
            event(4, 11, "deleted", None),
            event(5, 10, "removed", Some(77)),
            event(6, 12, "removed", Some(9)),
            event(7, 13, "undeleted", None),
        ] {
            assert!(table.apply(&record).is_some());
        }
        assert_eq!(gids(&table), ["10", "13"]);
        assert_eq!(table.resources("main/9").next().and_then(|row| row.parent.as_deref()), Some("9"));
        assert_eq!(table.resources("main/99").count(), 0);
        // Once more, all of it or a part: nothing changes.
        let before = table.clone();
        table.apply(&event(1, 10, "added", Some(8)));
        table.apply(&event(6, 12, "removed", Some(9)));
        assert_eq!(table.rows, before.rows);
    }

    #[test]
    fn what_a_crawl_does_not_find_stays_unless_complete_types_are_trusted_in_whatever_order_the_lanes_are_read() {
        let log = [
            event(1, 10, "added", Some(9)),
            event(2, 11, "added", Some(9)),
            event(3, 12, "added", Some(9)),
            begin(4, 0),
            begin(5, 1),
            snapshot(6, 10),
            snapshot(7, 13),
            // Made while the crawl was under way.
            event(8, 15, "added", Some(9)),
            end(9, 0),
            end(10, 1),
        ];
        let by_lane = |lane: u32| log.iter().filter(move |record| record.position.lane == lane);
        let orders: [Vec<&Record>; 3] =
            [log.iter().collect(), by_lane(0).chain(by_lane(1)).collect(), by_lane(1).chain(by_lane(0)).collect()];
        for order in orders {
            let (mut table, mut careful) = (Materializer::trusting_complete_types(), Materializer::default());
            for record in order {
                table.apply(record);
                careful.apply(record);
            }
            assert_eq!(gids(&table), ["10", "13", "15"]);
            assert_eq!(gids(&careful), ["10", "11", "12", "13", "15"]);
            let read = table.resources("main/9").next().expect("a row");
            assert_eq!((read.name.as_deref(), read.parent.as_deref()), (Some("read"), Some("9")));
            assert_eq!(read.state_json.as_deref(), Some(r#"{"gid":"10"}"#));
        }
    }

    #[test]
    fn the_end_of_a_crawl_that_was_not_seen_to_begin_removes_nothing() {
        let mut table = Materializer::trusting_complete_types();
        table.apply(&event(1, 10, "added", Some(9)));
        table.apply(&end(2, 0));
        assert_eq!(gids(&table), ["10"]);
    }

    #[test]
    fn a_snapshot_says_whether_a_resource_is_gone_or_elsewhere_and_what_is_not_visible_stays() {
        use pb::SnapshotChange::{Deleted, Left, NotVisible};
        let said = |sequence, gid, change: SnapshotChange| {
            let snapshot =
                pb::Snapshot { resource: Some(resource(gid, None)), change: change.into(), ..pb::Snapshot::default() };
            record(sequence, gid % 2, pb::record::Body::Snapshot(snapshot))
        };
        let mut table = Materializer::default();
        for (sequence, gid) in [(1, 10), (2, 12), (3, 14)] {
            table.apply(&snapshot(sequence, gid));
        }
        let before = table.resources("main/9").last().cloned();
        let mut removal = |record: &Record| match table.apply(record) {
            Some(Op::Remove { removal, .. }) => Some(removal),
            Some(Op::Put(_) | Op::BeginCrawl { .. } | Op::EndCrawl { .. }) | None => None,
        };
        assert_eq!(removal(&said(4, 10, Deleted)), Some(Removal::Deleted));
        assert_eq!(removal(&said(5, 12, Left)), Some(Removal::Left));
        assert_eq!(removal(&said(6, 14, NotVisible)), None);
        assert_eq!((table.len(), table.resources("main/9").last().cloned()), (1, before), "as it was");
    }
}

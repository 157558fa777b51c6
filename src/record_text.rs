//! Records as people read them, in a few words.

use crate::escape::printable;
use bridge_contract::Timestamp;
use bridge_contract::pb::{self, LeftOut, Restored, SnapshotChange, record::Body};
use bridge_contract::time::{asana_form, date_time};
use std::fmt::{self, Write as _};

/// The maximum number of names in a [`LeftOutLine`].
const NAMED: usize = 3;

/// What stands for a time that isn't known: as wide as a time.
const NO_TIME: &str = "------------------------";

/// How a resource is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// By its gid, and its name behind it.
    GidAndName,
    /// By its name, or by its gid if it has no name.
    NameOrGid,
}

/// What a record reports.
pub(crate) fn summary(record: &pb::Record, names: Names) -> String {
    match &record.body {
        Some(Body::Event(it)) => event(it, names),
        Some(Body::Snapshot(it)) => snapshot(it, names),
        Some(Body::StandIn(it)) => format!("stand-in: {} ({} bytes)", printable(&it.reason), it.record_bytes),
        Some(Body::SnapshotBegin(it)) => format!("snapshots of {} begin", or_dash(&it.crawl_id)),
        Some(Body::SnapshotEnd(it)) => {
            let left_out = left_out(&it.left_out, it.left_out_count);
            format!("snapshots of {} are complete: {}{left_out}", or_dash(&it.crawl_id), it.snapshots)
        }
        Some(Body::SourceGap(it)) => {
            let (from, to) = (time(it.last_complete_poll_at.as_ref()), time(it.resumed_at.as_ref()));
            format!("source gap {} from {from} to {to}", or_dash(&it.gap_id))
        }
        Some(Body::SourceGapHealed(it)) => {
            let part = if it.restored() == Restored::PartOfState { " in part" } else { "" };
            format!("source gap {} healed{part}{}", or_dash(&it.gap_id), left_out(&it.left_out, it.left_out_count))
        }
        Some(Body::EpochStart(it)) => {
            format!("epoch starts, after {} at {}", it.previous_epoch, it.previous_lane_sequence)
        }
        Some(Body::Watermark(it)) => watermark(it),
        Some(Body::StreamSuspended(it)) => format!("suspended: Asana answers {}", it.status),
        Some(Body::StreamResumed(_)) => "resumed".to_owned(),
        Some(Body::StreamEnded(_)) => "ended".to_owned(),
        Some(Body::State(it)) => {
            format!("state of {}", it.resource.as_ref().map_or("-", |resource| resource.gid.as_str()))
        }
        Some(Body::StateProgress(it)) => {
            let read = time(it.read_up_to.as_ref());
            format!("state topic: shard {} of {} read up to {read}", it.shard, it.shards)
        }
        Some(Body::LanesChanged(it)) => format!("{} lanes, after {}", it.count, it.previous_count),
        None => "a body that this version doesn't know".to_owned(),
    }
}

/// Whether a record only serves the bookkeeping of consumers: it is no event, snapshot or source gap, and doesn't stand in for
/// one.
pub(crate) fn is_bookkeeping(record: &pb::Record) -> bool {
    match &record.body {
        Some(Body::Event(_) | Body::Snapshot(_) | Body::StandIn(_) | Body::SourceGap(_) | Body::SourceGapHealed(_)) => {
            false
        }
        Some(
            Body::EpochStart(_)
            | Body::Watermark(_)
            | Body::LanesChanged(_)
            | Body::SnapshotBegin(_)
            | Body::SnapshotEnd(_)
            | Body::StreamSuspended(_)
            | Body::StreamResumed(_)
            | Body::StreamEnded(_)
            | Body::State(_)
            | Body::StateProgress(_),
        )
        | None => true,
    }
}

/// When it happened, or else when the bridge received it.
pub(crate) fn happened_at(record: &pb::Record) -> Option<Timestamp> {
    let happened = match &record.body {
        Some(Body::Event(event)) => event.created_at,
        _ => None,
    };
    happened.or(record.received_at)
}

/// A time in Asana's form.
pub(crate) fn time(time: Option<&Timestamp>) -> String {
    time.and_then(date_time).map_or_else(|| NO_TIME.to_owned(), asana_form)
}

/// Up to when the shards are complete that it is about.
fn watermark(watermark: &pb::Watermark) -> String {
    let empty = watermark.progress.iter().filter(|it| it.empty).count();
    let least = watermark.progress.iter().filter(|it| !it.empty).filter_map(|it| it.complete_up_to.as_ref());
    let least = least.min_by_key(|it| (it.seconds, it.nanos));
    let others = watermark.progress.len() - empty;
    format!("{others} shards complete up to {}, {empty} empty", time(least))
}

/// Action, resource, field and user.
fn event(event: &pb::Event, names: Names) -> String {
    let mut text = format!("{} {}", or_dash(&event.action), resource(event.resource.as_ref(), names));
    // Writing to a string doesn't fail.
    if let Some(change) = &event.change {
        write!(text, " {}", printable(&change.field)).ok();
    }
    if let Some(user) = &event.user {
        write!(text, " by {}", person(user)).ok();
    }
    text
}

fn snapshot(snapshot: &pb::Snapshot, names: Names) -> String {
    let change = match snapshot.change() {
        SnapshotChange::Unspecified => "",
        SnapshotChange::Created => " (new)",
        SnapshotChange::Updated => " (changed)",
        SnapshotChange::Unchanged => " (as it was)",
        SnapshotChange::Deleted => " (deleted)",
        SnapshotChange::Left => " (left the stream)",
        SnapshotChange::NotVisible => " (not visible)",
    };
    format!("snapshot {}{change}", resource(snapshot.resource.as_ref(), names))
}

/// Type, and gid or name or both. A name is in quotes, without control characters.
fn resource(resource: Option<&pb::Resource>, names: Names) -> String {
    let empty = pb::Resource::default();
    let pb::Resource { gid, resource_type, name, .. } = resource.unwrap_or(&empty);
    let kind = or_dash(resource_type);
    match (names, name.as_deref().filter(|name| !name.is_empty())) {
        (Names::NameOrGid, Some(name)) => format!("{kind} {name:?}"),
        (Names::GidAndName, Some(name)) => format!("{kind} {} {name:?}", or_dash(gid)),
        (_, None) => format!("{kind} {}", or_dash(gid)),
    }
}

/// A user by name, or else by gid.
fn person(user: &pb::Resource) -> String {
    match user.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => printable(name).into_owned(),
        None => format!("{} {}", or_dash(&user.resource_type), or_dash(&user.gid)),
    }
}

/// The text, as a terminal may print it, or a dash for an empty one.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { printable(text).into_owned() }
}

/// What a crawl couldn't read, as an addition to the line.
fn left_out(named: &[LeftOut], count: u64) -> String {
    if named.is_empty() && count == 0 {
        return String::new();
    }
    format!("; left out: {}", LeftOutLine { named, count })
}

/// One line, whatever the texts contain: `stories of 1201 (server), tasks of 7 (forbidden) and 12 more`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeftOutLine<'a> {
    /// The names in the record.
    pub(crate) named: &'a [LeftOut],
    /// The number of all that were left out.
    pub(crate) count: u64,
}

impl fmt::Display for LeftOutLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.named.iter().take(NAMED);
        for (number, LeftOut { of, what, reason }) in shown.clone().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            let [what, of, reason] = [what, of, reason].map(|text| printable(text));
            write!(f, "{comma}{what} of {of} ({reason})")?;
        }
        match self.count.saturating_sub(shown.len() as u64) {
            0 => Ok(()),
            more if shown.len() == 0 => write!(f, "{more}"),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: Body) -> pb::Record {
        pb::Record { body: Some(body), ..pb::Record::default() }
    }

    fn task(name: Option<&str>) -> pb::Resource {
        let resource_type = "task".to_owned();
        pb::Resource { gid: "12".to_owned(), resource_type, name: name.map(str::to_owned), ..Default::default() }
    }

    #[test]
    fn an_event_is_an_action_a_resource_a_field_and_a_user() {
        let user = |name: Option<&str>| {
            let (gid, resource_type) = ("7".to_owned(), "user".to_owned());
            Some(pb::Resource { gid, resource_type, name: name.map(str::to_owned), ..Default::default() })
        };
        let change = Some(pb::Change { field: "due_on".to_owned(), ..pb::Change::default() });
        let action = "changed".to_owned();
        let event = |name, user| {
            let (action, change) = (action.clone(), change.clone());
            record(Body::Event(pb::Event { action, change, resource: Some(task(name)), user, ..pb::Event::default() }))
        };
        let full = event(Some("Lau\u{1b}nch"), user(Some("Ada")));
        assert_eq!(summary(&full, Names::NameOrGid), r#"changed task "Lau\u{1b}nch" due_on by Ada"#);
        assert_eq!(summary(&full, Names::GidAndName), r#"changed task 12 "Lau\u{1b}nch" due_on by Ada"#);
        assert_eq!(summary(&event(Some(""), user(None)), Names::NameOrGid), "changed task 12 due_on by user 7");
        let empty = record(Body::Event(pb::Event::default()));
        assert_eq!(summary(&empty, Names::NameOrGid), "- - -");
    }

    #[test]
    fn what_became_of_a_resource_is_said() {
        let of = |change: SnapshotChange| {
            let snapshot =
                pb::Snapshot { change: change.into(), resource: Some(task(None)), ..pb::Snapshot::default() };
            summary(&record(Body::Snapshot(snapshot)), Names::NameOrGid)
        };
        assert_eq!(of(SnapshotChange::Unspecified), "snapshot task 12");
        assert_eq!(of(SnapshotChange::Deleted), "snapshot task 12 (deleted)");
        assert_eq!(of(SnapshotChange::Left), "snapshot task 12 (left the stream)");
        assert_eq!(of(SnapshotChange::NotVisible), "snapshot task 12 (not visible)");
    }

    #[test]
    fn what_a_crawl_left_out_is_said() {
        let named = vec![LeftOut { of: "12".into(), what: "stories".into(), reason: "server".into() }];
        let healed = |restored: Restored, left_out: Vec<LeftOut>| {
            let (gap_id, restored, left_out_count) = ("g".to_owned(), restored.into(), left_out.len() as u64);
            let healed = pb::SourceGapHealed { gap_id, restored, left_out, left_out_count, ..Default::default() };
            summary(&record(Body::SourceGapHealed(healed)), Names::GidAndName)
        };
        let in_part = healed(Restored::PartOfState, named.clone());
        assert_eq!(in_part, "source gap g healed in part; left out: stories of 12 (server)");
        assert_eq!(healed(Restored::State, Vec::new()), "source gap g healed");
        let end = pb::SnapshotEnd { left_out: named, left_out_count: 3, ..pb::SnapshotEnd::default() };
        assert_eq!(
            summary(&record(Body::SnapshotEnd(end)), Names::GidAndName),
            "snapshots of - are complete: 0; left out: stories of 12 (server) and 2 more"
        );
    }

    #[test]
    fn bookkeeping_is_told_from_what_happened() {
        let is_hidden = |body: Body| is_bookkeeping(&record(body));
        assert!(is_hidden(Body::Watermark(pb::Watermark::default())));
        assert!(is_hidden(Body::EpochStart(pb::EpochStart::default())));
        assert!(is_hidden(Body::SnapshotEnd(pb::SnapshotEnd::default())));
        assert!(!is_hidden(Body::Event(pb::Event::default())));
        assert!(!is_hidden(Body::StandIn(pb::StandIn::default())));
        assert!(!is_hidden(Body::SourceGap(pb::SourceGap::default())));
        assert!(is_bookkeeping(&pb::Record::default()));
    }

    #[test]
    fn an_event_has_its_own_time_and_else_that_of_its_arrival() {
        let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let event = Body::Event(pb::Event { created_at: at(5), ..pb::Event::default() });
        let mut record = pb::Record { received_at: at(9), ..record(event) };
        assert_eq!(time(happened_at(&record).as_ref()), "1970-01-01T00:00:05.000Z");
        record.body = Some(Body::StreamEnded(pb::StreamEnded {}));
        assert_eq!(time(happened_at(&record).as_ref()), "1970-01-01T00:00:09.000Z");
        assert_eq!(time(None).len(), "1970-01-01T00:00:05.000Z".len());
    }

    #[test]
    fn the_first_are_named_and_the_rest_counted() {
        let one = LeftOut { of: "12\u{1b}01".into(), what: "stories".into(), reason: "server".into() };
        let line = |count: usize, all: u64| LeftOutLine { named: &vec![one.clone(); count], count: all }.to_string();
        let named = r"stories of 12\u{1b}01 (server)";
        assert_eq!(line(1, 1), named);
        assert_eq!(line(5, 140), format!("{named}, {named}, {named} and 137 more"));
        assert_eq!((line(0, 7), line(0, 0)), ("7".to_owned(), String::new()));
    }
}

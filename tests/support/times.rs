//! The times that records promise, against when Asana could have shown each event first.

use bridge_consumer::{Body, Event, Record, Resource};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::collections::BTreeMap;

/// The times at which events of one stream could be seen first; several if nothing tells these events apart.
type Visible = BTreeMap<String, Vec<DateTime<Utc>>>;

/// Judges watermarks and the windows of source gaps. `ledgers`: what the simulator shows of each stream, by the stream's
/// name. `lanes`: all records, in order by lane.
pub(crate) fn judge_times(ledgers: impl IntoIterator<Item = (String, Value)>, lanes: &[Vec<Record>]) {
    let mut visible: BTreeMap<_, _> = ledgers.into_iter().map(|(stream, ledger)| (stream, times(&ledger))).collect();
    let mut windows: BTreeMap<&str, Vec<[DateTime<Utc>; 2]>> = BTreeMap::new();
    for record in lanes.iter().flatten() {
        if let Body::SourceGap(gap) = &record.body {
            let window = [gap.last_complete_poll_at.unwrap(), gap.resumed_at.unwrap()];
            windows.entry(&record.position.stream).or_default().push(window);
        }
    }
    for records in lanes {
        judge_watermarks(records, &mut visible);
    }
    for (stream, left) in &visible {
        for at in left.values().flatten() {
            let windows = windows.get(stream.as_str()).map_or(&[][..], Vec::as_slice);
            let is_told = windows.iter().any(|[from, to]| from <= at && at <= to);
            assert!(is_told, "{stream}: an event of {at} is on the bus nowhere, and in no gap of {windows:?}");
        }
    }
}

/// Nothing behind a watermark in its lane could have been seen before its time. Takes what the lane has out of
/// `visible`.
fn judge_watermarks(records: &[Record], visible: &mut BTreeMap<String, Visible>) {
    let mut earliest: BTreeMap<u32, DateTime<Utc>> = BTreeMap::new();
    for record in records.iter().rev() {
        let shard = record.position.shard;
        match &record.body {
            Body::Event(event) => {
                let times = visible.get_mut(&record.position.stream).and_then(|of| of.get_mut(&key_of(event)));
                // The last of its like in the ledger, as this is the last on the bus.
                let at = times.and_then(Vec::pop).expect("it is in the ledger");
                earliest.entry(shard).and_modify(|least| *least = at.min(*least)).or_insert(at);
            }
            Body::Watermark(watermark) => {
                for progress in &watermark.progress {
                    let later = earliest.get(&progress.shard);
                    let is_true = |later| !progress.empty && progress.complete_up_to.is_some_and(|time| time <= later);
                    let holds = later.is_none_or(|later| is_true(*later));
                    assert!(holds, "{progress:?}, and an event of {later:?} came later");
                }
            }
            _ => {}
        }
    }
}

fn times(ledger: &Value) -> Visible {
    let (events, times) = (ledger["events"].as_array().unwrap(), ledger["visible_at"].as_array().unwrap());
    let established = usize::try_from(ledger["established_at"].as_u64().unwrap()).unwrap();
    let mut visible = Visible::new();
    for (event, at) in events.iter().zip(times).skip(established) {
        let at = at.as_str().expect("all are visible by now").parse().unwrap();
        visible.entry(key(event)).or_default().push(at);
    }
    visible
}

/// What tells two events of a stream apart, as far as anything does.
fn key(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |key: &str| [text(&event[key]["gid"]), text(&event[key]["name"])].join(" ");
    let change = [text(&event["change"]["field"]), text(&event["change"]["action"])];
    [text(&event["created_at"]), text(&event["action"]), of("resource"), of("parent"), change.join(" ")].join(" ")
}

/// The same of an event that was published.
fn key_of(event: &Event) -> String {
    let of = |resource: &Option<Resource>| {
        let [gid, name] =
            resource.as_ref().map_or_else(Default::default, |it| [it.gid.clone(), it.name.clone().unwrap_or_default()]);
        [gid, name].join(" ")
    };
    let change = event.change.as_ref().map(|change| [change.field.clone(), change.action.as_str().to_owned()]);
    let created_at = event.created_at.unwrap().to_rfc3339_opts(SecondsFormat::Millis, true);
    let change = change.unwrap_or_default().join(" ");
    [created_at, event.action.as_str().to_owned(), of(&event.resource), of(&event.parent), change].join(" ")
}

//! The fingerprint of an event, by which the same change in two streams is recognised.
//!
//! The hash includes action, time, the changed field, and the gids and types of resource, parent, user and changed
//! values. Everything else is left out: Asana fills in names when a page is read, so the same event may have two names
//! in two polls, and the fields of an object depend on the stream. `proto/conformance/README.md` describes it for other
//! languages, and has test vectors.

use bridge_contract::pb;
use xxhash_rust::xxh3::xxh3_128;

/// The fingerprint: 16 bytes, the same on every machine and in every version of format 1. `created_at`: the time as it
/// was written. `json`: the event's text, which is included if the event has no resource.
pub(crate) fn of(event: &pb::Event, created_at: &str, json: &str) -> [u8; 16] {
    let empty = pb::Change::default();
    let change = event.change.as_ref().unwrap_or(&empty);
    // Hashing many short texts one by one takes several times as long.
    let mut content = Vec::with_capacity(512);
    text(&mut content, &event.action);
    resource(&mut content, event.resource.as_ref());
    resource(&mut content, event.parent.as_ref());
    text(&mut content, &change.field);
    text(&mut content, &change.action);
    for value in [&change.added_value, &change.new_value, &change.removed_value] {
        resource(&mut content, value.as_ref().and_then(|value| value.resource.as_ref()));
    }
    text(&mut content, created_at);
    resource(&mut content, event.user.as_ref());
    if event.resource.as_ref().is_none_or(|it| it.gid.is_empty()) {
        text(&mut content, json);
    }
    xxh3_128(&content).to_be_bytes()
}

/// Adds a text with its length first, so that no two sequences of texts give the same bytes.
fn text(content: &mut Vec<u8>, text: &str) {
    content.extend_from_slice(&(text.len() as u64).to_be_bytes());
    content.extend_from_slice(text.as_bytes());
}

fn resource(content: &mut Vec<u8>, resource: Option<&pb::Resource>) {
    text(content, resource.map_or("", |it| &it.gid));
    text(content, resource.map_or("", |it| &it.resource_type));
}

//! The fingerprint of an event, by which the same change in two streams is recognised.
//!
//! The hash includes action, time, the changed field, and the gids and types of resource, parent, user and changed
//! values. Everything else is left out: Asana fills in names when a page is read, so the same event may have two names
//! in two polls, and the fields of an object depend on the stream. `proto/conformance/README.md` describes it for other
//! languages, and has test vectors.

use bridge_contract::pb;
use xxhash_rust::xxh3::Xxh3;

/// The fingerprint: 16 bytes, the same on every machine and in every version of format 1. `created_at`: the time as it
/// was written. `json`: the event's text, which is included if the event has no resource.
pub(crate) fn of(event: &pb::Event, created_at: &str, json: &str) -> [u8; 16] {
    let empty = pb::Change::default();
    let change = event.change.as_ref().unwrap_or(&empty);
    let mut hash = Xxh3::new();
    text(&mut hash, &event.action);
    resource(&mut hash, event.resource.as_ref());
    resource(&mut hash, event.parent.as_ref());
    text(&mut hash, &change.field);
    text(&mut hash, &change.action);
    for value in [&change.added_value, &change.new_value, &change.removed_value] {
        resource(&mut hash, value.as_ref().and_then(|value| value.resource.as_ref()));
    }
    text(&mut hash, created_at);
    resource(&mut hash, event.user.as_ref());
    if event.resource.as_ref().is_none_or(|it| it.gid.is_empty()) {
        text(&mut hash, json);
    }
    hash.digest128().to_be_bytes()
}

/// Adds a text with its length first, so that no two sequences of texts give the same bytes.
fn text(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn resource(hash: &mut Xxh3, resource: Option<&pb::Resource>) {
    text(hash, resource.map_or("", |it| &it.gid));
    text(hash, resource.map_or("", |it| &it.resource_type));
}

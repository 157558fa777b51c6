//! The same change, recognised when two streams bring it.
//!
//! What is hashed: action, time, and the ids and types of resource, parent, user and
//! changed values. Display names are left out, since Asana fills them in when a
//! page is read, so that the same event polled twice may show two names. An
//! event that isn't of the ordinary form is hashed by its text.

use crate::pb::{self, change_value};
use xxhash_rust::xxh3::Xxh3;

/// 16 bytes, the same on every machine and in every version of format 1.
pub(crate) fn of(event: &pb::Event) -> [u8; 16] {
    let mut hash = Xxh3::new();
    if event.raw_json.is_empty() {
        text(&mut hash, &event.action);
        resource(&mut hash, event.resource.as_ref());
        resource(&mut hash, event.parent.as_ref());
        if let Some(change) = &event.change {
            text(&mut hash, &change.field);
            text(&mut hash, &change.action);
            for value in [&change.added_value, &change.new_value, &change.removed_value] {
                resource(&mut hash, value.as_ref().and_then(value_resource));
            }
        }
        if let Some(time) = &event.created_at {
            hash.update(&time.seconds.to_be_bytes());
            hash.update(&time.nanos.to_be_bytes());
        }
        resource(&mut hash, event.user.as_ref());
    } else {
        hash.update(event.raw_json.as_bytes());
    }
    hash.digest128().to_be_bytes()
}

fn value_resource(value: &pb::ChangeValue) -> Option<&pb::Resource> {
    match value.value.as_ref()? {
        change_value::Value::Resource(resource) => Some(resource),
        change_value::Value::Json(_) => None,
    }
}

/// With its length first, so that no two sequences of texts look alike.
fn text(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn resource(hash: &mut Xxh3, resource: Option<&pb::Resource>) {
    text(hash, resource.map_or("", |it| &it.gid));
    text(hash, resource.map_or("", |it| &it.resource_type));
}

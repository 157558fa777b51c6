//! Attributes of `CloudEvents` that are the same on every bus.

use bridge_core::ids::StreamId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that a segment of a URI may have besides letters and digits, in all places (RFC 3986, section 2.3).
const NOT_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `source`: a URI reference to the origin: a stream, or the lanes of a topic.
pub(super) fn source(stream: Option<&StreamId>, topic: &str) -> String {
    let segment = |text| utf8_percent_encode(text, NOT_IN_SEGMENT);
    match stream {
        Some(StreamId { account, resource }) => {
            format!("/asana/{}/{}", segment(account.as_str()), segment(resource.as_str()))
        }
        None => format!("/topics/{}", segment(topic)),
    }
}

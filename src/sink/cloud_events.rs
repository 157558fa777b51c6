//! Attributes of `CloudEvents` that are the same on every bus.

use bridge_core::ids::StreamId;
use bridge_core::record::trace::Trace;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that a segment of a URI may have besides letters and digits, in all places (RFC 3986, section 2.3).
const NOT_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `source`: a URI reference to the origin: a stream, or the lanes of a topic.
fn source(stream: Option<&StreamId>, topic: &str) -> String {
    let segment = |text| utf8_percent_encode(text, NOT_IN_SEGMENT);
    match stream {
        Some(StreamId { account, resource }) => {
            format!("/asana/{}/{}", segment(account.as_str()), segment(resource.as_str()))
        }
        None => format!("/topics/{}", segment(topic)),
    }
}

/// The attributes that are the same for all records of a page, which follow each other in a batch.
#[derive(Debug, Default)]
pub(super) struct PageTexts {
    stream: Option<StreamId>,
    source: String,
    trace: Option<Trace>,
    traceparent: String,
}

impl PageTexts {
    /// [`source`], made again only for another stream.
    pub(super) fn source(&mut self, stream: Option<&StreamId>, topic: &str) -> &str {
        if stream.is_none() || stream != self.stream.as_ref() {
            self.stream = stream.cloned();
            self.source = source(stream, topic);
        }
        &self.source
    }

    /// `traceparent`, made again only for another trace.
    pub(super) fn traceparent(&mut self, trace: Trace) -> &str {
        if self.trace != Some(trace) {
            self.trace = Some(trace);
            self.traceparent = trace.to_string();
        }
        &self.traceparent
    }
}

//! A span, created when all of it is known.

use bridge_core::record::trace::Trace;
use chrono::{DateTime, Utc};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// The maximum number of links: OpenTelemetry's default (specification, "Span Limits"). A commit may have more pages.
const MOST_LINKS: usize = 128;

pub(super) struct Span {
    pub(super) context: SpanContext,
    pub(super) parent: SpanId,
    pub(super) kind: SpanKind,
    pub(super) name: &'static str,
    pub(super) began: DateTime<Utc>,
    pub(super) ended: DateTime<Utc>,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) links: Vec<SpanContext>,
    pub(super) status: Status,
}

impl From<Span> for SpanData {
    fn from(span: Span) -> Self {
        let mut links = SpanLinks::default();
        links.dropped_count = u32::try_from(span.links.len().saturating_sub(MOST_LINKS)).unwrap_or(u32::MAX);
        let linked = span.links.into_iter().take(MOST_LINKS);
        links.links = linked.map(|context| Link::new(context, Vec::new(), 0)).collect();
        Self {
            span_context: span.context,
            parent_span_id: span.parent,
            parent_span_is_remote: false,
            span_kind: span.kind,
            name: span.name.into(),
            start_time: span.began.into(),
            end_time: span.ended.into(),
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: span.status,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }
}

/// The span of the request that returned a page.
pub(super) fn poll_context(trace: Trace) -> SpanContext {
    context(trace, trace.request())
}

/// The span of a page, which its records' `traceparent` names.
pub(super) fn page_context(trace: Trace) -> SpanContext {
    context(trace, trace.span())
}

/// The span of a commit, which the `traceparent` of records without a page names.
pub(super) fn commit_context(trace: Trace) -> SpanContext {
    context(trace, trace.span())
}

fn context(trace: Trace, span: u64) -> SpanContext {
    let flags = if trace.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(TraceId::from(trace.id()), SpanId::from(span), flags, false, TraceState::NONE)
}

/// The value of an attribute that is a number.
pub(super) fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

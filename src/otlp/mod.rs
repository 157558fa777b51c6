//! Sends a trace of each poll to an OpenTelemetry collector.
//!
//! A poll's trace has the span `poll`, and, if there were records, its child `page`: from the answer to the commit. The
//! records' `traceparent` is the span `page`. Many pages are in one commit, which has a trace of its own with the span
//! `commit`. The commit and its pages are linked to each other.
//!
//! The address and the sampling are in the variables of OpenTelemetry's specification. Spans that can't be sent are
//! dropped: nothing waits for a collector.

mod export;
mod span;

use crate::clock::Clock;
use crate::config::{Checked, Environment};
use crate::observe::{BridgeEvent, Observer};
use bridge_core::engine::{CommitSummary, Poll};
use bridge_core::outcome::poll::PollOutcome;
use bridge_core::record::batch::Batch;
use bridge_core::record::trace::{Sampling, Trace};
use chrono::{DateTime, Utc};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor as _};
use span::{Span, commit_context, page_context, poll_context};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// The timeout of sending the remaining spans at the end. With the bridge's own timeouts, it is below the grace period
/// that Kubernetes gives a pod.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Sends traces. See the [module](self).
#[derive(Debug)]
pub struct Otlp {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// The sink's name in OpenTelemetry's conventions for messaging.
    system: &'static str,
    clock: Clock,
    commit: Mutex<Option<Commit>>,
}

/// A commit in flight that is reported.
#[derive(Debug)]
struct Commit {
    trace: Trace,
    began: DateTime<Utc>,
    records: usize,
    bytes: usize,
    shards: usize,
    /// The traces of its pages, each once.
    pages: Vec<Trace>,
}

impl Otlp {
    /// Starts to send traces, if the configuration asks for it. Requests run on `runtime`. If nothing can be sent, the
    /// log contains the reason, and the bridge runs without traces.
    #[must_use]
    pub fn start(checked: &Checked, environment: &Environment, runtime: &Handle) -> Option<Arc<Self>> {
        if checked.sampling == Sampling::NONE {
            return None;
        }
        let exporter = export::exporter(runtime)
            .inspect_err(|error| tracing::warn!(error = format!("{error:#}"), "trace export disabled"))
            .ok()?;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&resource(environment, &checked.replica));
        let scope =
            InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_version(env!("CARGO_PKG_VERSION")).build();
        let system = checked.sink.name();
        Some(Arc::new(Self { processor, scope, system, clock: Clock::start(), commit: Mutex::default() }))
    }

    /// Sends the remaining spans. Blocks, at most 3 seconds.
    pub fn end(&self) {
        if self.processor.shutdown_with_timeout(END_TIMEOUT).is_err() {
            tracing::debug!("spans not exported in time");
        }
    }

    fn tell(&self, span: Span) {
        // It goes to a queue, or is dropped if the queue is full.
        self.processor.on_end(SpanData { instrumentation_scope: self.scope.clone(), ..span.into() });
    }

    fn end_commit(&self, status: Status) {
        let Some(Commit { trace, began, records, bytes, shards, pages }) = self.commit().take() else { return };
        self.tell(Span {
            context: commit_context(trace),
            parent: SpanId::INVALID,
            kind: SpanKind::Producer,
            name: "commit",
            began,
            ended: self.clock.now().wall,
            attributes: vec![
                KeyValue::new("messaging.system", self.system),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.batch.message_count", span::integer(records)),
                KeyValue::new("asana_event_bridge.bytes", span::integer(bytes)),
                KeyValue::new("asana_event_bridge.shards", span::integer(shards)),
            ],
            links: pages.into_iter().map(page_context).collect(),
            status,
        });
    }

    /// A task that panicked while it held the lock left nothing half done.
    fn commit(&self) -> MutexGuard<'_, Option<Commit>> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Otlp {
    fn polled(&self, poll: &Poll, outcome: &PollOutcome, took: Duration) {
        if !poll.trace.is_sampled() {
            return;
        }
        let mut attributes = vec![
            KeyValue::new("asana_event_bridge.stream", poll.stream.id.to_string()),
            KeyValue::new("asana_event_bridge.outcome", outcome.label()),
        ];
        if let PollOutcome::Page(page) = outcome {
            attributes.push(KeyValue::new("asana_event_bridge.events", span::integer(page.events.len())));
            attributes.push(KeyValue::new("asana_event_bridge.bytes", span::integer(page.bytes)));
        }
        let is_error = matches!(outcome, PollOutcome::Denied(_) | PollOutcome::Failed(_));
        let ended = self.clock.now().wall;
        self.tell(Span {
            context: poll_context(poll.trace),
            parent: SpanId::INVALID,
            kind: SpanKind::Client,
            name: "poll",
            began: ended - took,
            ended,
            attributes,
            links: Vec::new(),
            status: if is_error { Status::error(outcome.label()) } else { Status::Unset },
        });
    }

    fn committing(&self, batch: &Batch, trace: Trace) {
        *self.commit() = trace.is_sampled().then(|| {
            let mut pages: Vec<_> = batch.messages.iter().map(|message| message.attributes.trace).collect();
            // A page's records follow each other.
            pages.dedup();
            pages.retain(|page| page.is_sampled() && *page != trace);
            Commit {
                trace,
                began: self.clock.now().wall,
                records: batch.messages.len(),
                bytes: batch.messages.iter().map(|message| message.value.len()).sum(),
                shards: batch.shards().len(),
                pages,
            }
        });
    }

    fn committed(&self, summary: &CommitSummary) {
        let commit = self.commit().as_ref().map(|commit| commit_context(commit.trace));
        let ended = self.clock.now().wall;
        for page in &summary.pages {
            self.tell(Span {
                context: page_context(page.trace),
                parent: if page.is_polled { poll_context(page.trace).span_id() } else { SpanId::INVALID },
                kind: SpanKind::Internal,
                name: "page",
                began: ended - page.took,
                ended,
                attributes: vec![
                    KeyValue::new("asana_event_bridge.stream", page.stream.to_string()),
                    KeyValue::new("asana_event_bridge.shard", i64::from(page.shard.0)),
                    KeyValue::new("asana_event_bridge.records", span::integer(page.records)),
                ],
                links: commit.iter().cloned().collect(),
                status: Status::Unset,
            });
        }
        self.end_commit(Status::Unset);
    }
}

impl Observer for Otlp {
    #[expect(clippy::wildcard_enum_match_arm, reason = "it follows a few events only")]
    fn notify(&self, event: &BridgeEvent<'_>) {
        match event {
            BridgeEvent::SessionEnded(end) => self.end_commit(Status::error(end.label())),
            BridgeEvent::Polled { poll, outcome, took } => self.polled(poll, outcome, *took),
            BridgeEvent::Committing(batch, trace) => self.committing(batch, *trace),
            BridgeEvent::Committed(summary) => self.committed(summary),
            BridgeEvent::CommitFailed(error) => self.end_commit(Status::error(error.label())),
            _ => {}
        }
    }
}

/// The attributes of this program: from the variables, and otherwise from the program.
fn resource(environment: &Environment, replica: &str) -> Resource {
    let attributes = environment.get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = |key: &str| attributes.split(',').any(|pair| pair.trim_start().starts_with(&format!("{key}=")));
    let is_service_named = environment.get("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
    let ours = [
        ("service.name", env!("CARGO_PKG_NAME"), is_service_named || is_named("service.name")),
        ("service.version", env!("CARGO_PKG_VERSION"), is_named("service.version")),
        ("service.instance.id", replica, is_named("service.instance.id")),
    ];
    let ours = ours.into_iter().filter(|(_, _, named)| !named);
    Resource::builder().with_attributes(ours.map(|(key, value, _)| KeyValue::new(key, value.to_owned()))).build()
}

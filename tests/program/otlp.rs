//! Traces reach an OpenTelemetry collector, and a collector that is away harms nothing.

use crate::support::foreign::read_lines;
use crate::support::program::{Program, Simulator, TOKEN};
use crate::support::wait_for;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bridge_contract::pb::{self, record::Body};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message as _;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(60);
const COLLECTOR_KEY: &str = "a-key-of-the-collector";

/// What came, and how it is answered.
#[derive(Debug)]
struct Collected {
    status: StatusCode,
    requests: Vec<(HeaderMap, Bytes)>,
}

/// A collector on loopback.
struct Collector {
    address: String,
    collected: Arc<Mutex<Collected>>,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let collected = Arc::new(Mutex::new(Collected { status: StatusCode::OK, requests: Vec::new() }));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let collect = async |State(collected): State<Arc<Mutex<Collected>>>, headers: HeaderMap, body: Bytes| {
            let mut collected = collected.lock().unwrap();
            collected.requests.push((headers, body));
            collected.status
        };
        let router = axum::Router::new().route("/v1/traces", post(collect)).with_state(Arc::clone(&collected));
        runtime.spawn(axum::serve(listener, router).into_future());
        Self { address, collected, _runtime: runtime }
    }

    fn answer(&self, status: StatusCode) {
        self.collected.lock().unwrap().status = status;
    }

    fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        self.collected.lock().unwrap().requests.clone()
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        self.requests().into_iter().map(|(_, body)| ExportTraceServiceRequest::decode(body).unwrap()).collect()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.exports().into_iter().flat_map(|export| export.resource_spans);
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }
}

/// A bridge that polls the stream "1" of a simulator into a file.
struct Bench {
    folder: tempfile::TempDir,
    simulator: Simulator,
    bridge: Program,
}

impl Bench {
    /// `delay`: from a span to its being sent, in milliseconds.
    fn start(endpoint: &str, delay: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let simulator = Simulator::start(&[], &folder.path().join("simulator.log"));
        simulator.post("/_sim/events", &json!({ "resource": "1", "events": [] }));
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let config = folder.path().join("config.yaml");
        let document = json!({
            "accounts": { "main": {
                "token": { "file": folder.path().join("token") }, "baseUrl": format!("{}/api/1.0", simulator.url),
                "requestsPerMinute": 6000,
            } },
            "streams": [{ "resource": "1" }],
            "polling": { "minInterval": "100ms", "maxInterval": "200ms" },
            "sink": { "file": { "path": folder.path().join("records.jsonl") } },
            "replica": "replica-1",
        });
        std::fs::write(&config, document.to_string()).unwrap();
        let variables =
            [&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", delay)], variables].concat();
        let arguments = ["run", "--config", config.to_str().unwrap()];
        let bridge = Program::start_with(&variables, &arguments, &folder.path().join("bridge.log"));
        let bench = Self { folder, simulator, bridge };
        wait_for("the stream", TIMEOUT, || bench.log().contains("stream established").then_some(()));
        bench
    }

    fn offer(&self, events: usize) {
        let event = json!({
            "action": "changed", "resource": { "gid": "10", "resource_type": "task" }, "parent": null,
            "change": { "field": "name", "action": "changed" }, "user": null, "created_at": "2026-01-01T00:00:00.000Z",
        });
        let events = vec![event; events];
        self.simulator.post("/_sim/events", &json!({ "resource": "1", "events": events }));
    }

    fn wait_for_events(&mut self, count: usize) {
        let file = self.folder.path().join("records.jsonl");
        wait_for("the events in the file", TIMEOUT, || {
            self.bridge.assert_running();
            let records = read_lines(&file).into_iter().map(|seen| pb::Record::decode(seen.value.as_slice()).unwrap());
            (records.filter(|record| matches!(record.body, Some(Body::Event(_)))).count() == count).then_some(())
        });
    }

    fn log(&self) -> String {
        read(&self.folder.path().join("bridge.log"))
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match value(attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

fn number(attributes: &[KeyValue], key: &str) -> i64 {
    match value(attributes, key) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{key} is {other:?}"),
    }
}

/// A page's three spans.
fn followed(spans: &[Span], events: i64) -> Option<(Span, Span, Span)> {
    let is_poll = |span: &&Span| {
        span.name == "poll"
            && text(&span.attributes, "asana_event_bridge.outcome") == "page"
            && number(&span.attributes, "asana_event_bridge.events") == events
    };
    let poll = spans.iter().find(is_poll)?;
    let page = spans.iter().find(|span| span.parent_span_id == poll.span_id)?;
    let commit = spans.iter().find(|span| page.links.iter().any(|link| link.span_id == span.span_id))?;
    Some((poll.clone(), page.clone(), commit.clone()))
}

#[test]
fn a_poll_is_followed_to_its_commit() {
    let collector = Collector::start();
    let headers = format!("x-key={COLLECTOR_KEY}");
    let mut bench = Bench::start(
        &format!("http://{}", collector.address),
        "100",
        &[("OTEL_EXPORTER_OTLP_HEADERS", &headers), ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")],
    );
    bench.offer(3);
    bench.wait_for_events(3);
    let (poll, page, commit) = wait_for("its spans", TIMEOUT, || followed(&collector.spans(), 3));

    assert_eq!([&poll.name, &page.name, &commit.name], ["poll", "page", "commit"]);
    assert_eq!([poll.kind(), page.kind(), commit.kind()], [SpanKind::Client, SpanKind::Internal, SpanKind::Producer]);
    assert_eq!(page.trace_id, poll.trace_id);
    assert!(poll.parent_span_id.is_empty() && commit.parent_span_id.is_empty());
    assert!(commit.links.iter().any(|link| (&link.trace_id, &link.span_id) == (&page.trace_id, &page.span_id)));
    assert_eq!(page.links[0].trace_id, commit.trace_id);
    assert!(poll.start_time_unix_nano <= poll.end_time_unix_nano);
    assert!(commit.start_time_unix_nano <= commit.end_time_unix_nano);
    assert!(page.start_time_unix_nano <= commit.start_time_unix_nano, "a page waits for its commit");
    for span in [&poll, &page] {
        assert_eq!(text(&span.attributes, "asana_event_bridge.stream"), "main/1");
    }
    assert_eq!(number(&page.attributes, "asana_event_bridge.records"), 3);
    assert!(number(&commit.attributes, "messaging.batch.message_count") >= 3);
    assert!(number(&commit.attributes, "asana_event_bridge.bytes") > 0);
    assert_eq!(number(&commit.attributes, "asana_event_bridge.shards"), 1);
    assert_eq!(text(&commit.attributes, "messaging.system"), "file");

    let spans = collector.spans();
    let ids: BTreeSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(ids.len(), spans.len(), "each span once");
    let reset = spans.iter().find(|span| span.attributes.iter().any(|it| it.key.ends_with("outcome"))).unwrap();
    assert_eq!(text(&reset.attributes, "asana_event_bridge.outcome"), "token_reset", "the first poll gets the token");
    let resource = collector.exports()[0].resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(text(&resource, "service.name"), "asana-event-bridge");
    assert_eq!(text(&resource, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&resource, "service.instance.id"), "replica-1");
    assert_eq!(text(&resource, "deployment.environment.name"), "test");

    let sync_token = regex::bytes::Regex::new("[0-9a-f]{32}:[0-9]").unwrap();
    for (headers, body) in collector.requests() {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["x-key"], COLLECTOR_KEY);
        assert!(!body.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()), "no credential");
        assert!(!sync_token.is_match(&body), "no sync token");
    }
    let log = bench.log();
    assert!(!log.contains(COLLECTOR_KEY) && !log.contains(TOKEN), "{log}");
}

#[test]
fn what_is_left_is_sent_at_the_end() {
    let collector = Collector::start();
    let mut bench = Bench::start(&format!("http://{}", collector.address), "600000", &[]);
    bench.offer(2);
    bench.wait_for_events(2);
    assert!(collector.requests().is_empty(), "its time hasn't come");
    assert!(bench.bridge.stop().success());
    assert!(followed(&collector.spans(), 2).is_some());
}

#[test]
fn a_part_of_the_traces_can_be_had_or_none() {
    let collector = Collector::start();
    let url = format!("http://{}", collector.address);
    let sampler = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let mut bench = Bench::start(&url, "50", &sampler);
    bench.offer(2);
    bench.wait_for_events(2);
    assert!(bench.bridge.stop().success());
    assert_eq!(collector.spans(), []);
}

#[test]
fn a_collector_that_refuses_is_said_once() {
    let collector = Collector::start();
    collector.answer(StatusCode::FORBIDDEN);
    let mut bench = Bench::start(&format!("http://{}", collector.address), "50", &[]);
    bench.offer(5);
    bench.wait_for_events(5);
    wait_for("several tries", TIMEOUT, || (collector.requests().len() >= 5).then_some(()));
    let said = |what: &str| bench.log().matches(what).count();
    assert_eq!(said("trace export failed"), 1, "{}", bench.log());
    assert_eq!(said("403 Forbidden"), 1);
    collector.answer(StatusCode::OK);
    wait_for("its being well", TIMEOUT, || (said("trace export works again") == 1).then_some(()));
    assert_eq!(said("trace export failed"), 1);
}

#[test]
fn a_dead_collector_and_a_silent_one_hold_up_nothing() {
    // Nobody is there; and the system takes connections that nobody will answer.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for address in [dead, silent.local_addr().unwrap()] {
        // Room for less than what comes: the rest is dropped.
        let small = [("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")];
        let mut bench = Bench::start(&format!("http://{address}"), "50", &small);
        for round in 1..=10 {
            bench.offer(5);
            bench.wait_for_events(5 * round);
        }
        let told = Instant::now();
        assert!(bench.bridge.stop().success());
        assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
        let log = read(&bench.folder.path().join("bridge.log"));
        assert!(log.matches("trace export failed").count() <= 1, "{log}");
    }
}

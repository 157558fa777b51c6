//! Asana's event streams on your own bus, exactly once, every loss announced.
//!
//! | module | what it holds | does IO |
//! | --- | --- | --- |
//! | `config` | what the operator says, checked | files, environment |
//! | `asana` | polls Asana | HTTP |
//! | `discovery` | streams from rules | through `asana` |
//! | `sink` | commits batches: Kafka, NATS JetStream, console, file | the bus |
//! | `index` | what was published of each resource, in an embedded store | a file |
//! | `observe` | what happens, as events; the log | no |
//! | `bridge` | wires the core to the edges | through them |
//! | `webhooks` | receives webhook deliveries, which request polls | HTTP |
//! | `admin` | probes, metrics, a status page | HTTP |
//! | `otlp` | tells an OpenTelemetry collector what became of each poll | HTTP |
//! | `commands` | the program's commands | through all of these |
//! | `http_server` | serves HTTP to peers that may be hostile | HTTP |
//! | `clock`, `escape`, `finding`, `fold`, `one_line`, `record_text`, `stdout` | what several of these need | the clock, standard output |
//!
//! Every decision is in the crate `bridge_core`, what consumers read in `bridge_contract`, how they read it in
//! `bridge_consumer`.

pub mod admin;
pub mod asana;
pub mod bridge;
pub mod clock;
pub mod commands;
pub mod config;
pub mod discovery;
pub mod escape;
pub mod finding;
pub mod fold;
pub mod http_server;
pub mod index;
pub mod observe;
pub mod one_line;
#[cfg(feature = "otlp")]
pub mod otlp;
mod record_text;
pub mod sink;
mod stdout;
pub mod webhooks;

//! Asana's event streams on your own bus, exactly once, every loss announced.
//!
//! | module | what it holds | does IO |
//! | --- | --- | --- |
//! | `pb` | the wire contract, generated from `proto/` | no |
//! | `core` | streams, sequences, checkpoints, detection: all decisions | no |
//! | `config` | what the operator says, checked | files, environment |
//! | `asana` | polls Asana | HTTP |
//! | `discovery` | streams from rules | through `asana` |
//! | `sink` | commits batches: Kafka, NATS JetStream, console, file | the bus |
//! | `admin` | probes, metrics, a status page | HTTP |
//! | `doctor` | tries all that the bridge needs, changes nothing | through the edges |
//! | `otlp` | tells an OpenTelemetry collector what became of each poll | HTTP |
//! | `webhooks` | receives webhook deliveries, which request polls | HTTP |
//! | `bridge` | wires the core to the edges | through them |
//! | `index` | what was published of each resource, in an embedded store | a file |
//! | `run`, `reload` | make a bridge of a configuration, and have it follow a changed one | through the edges, files |
//! | `consumer` | decode records, know whether any is missing | no; adapters do |
//! | `reader`, `verify`, `tail` | read a bus to its end, judge or show what is there | through `consumer` |
//! | `checkpoints` | looks at stored progress, resets and moves it | through `sink` |
//! | `demo`, `ledger` | all of it in one process; what a simulator offered | through the edges |
//! | `simulator` | an Asana to try things on | HTTP |

#[cfg(feature = "program")]
pub mod admin;
#[cfg(feature = "bridge")]
pub mod asana;
#[cfg(feature = "bridge")]
pub mod bridge;
#[cfg(feature = "program")]
pub mod checkpoints;
#[cfg(feature = "bridge")]
pub mod config;
#[cfg(feature = "consumer")]
pub mod consumer;
pub mod core;
#[cfg(feature = "program")]
pub mod demo;
#[cfg(feature = "bridge")]
pub mod discovery;
#[cfg(feature = "program")]
pub mod doctor;
#[cfg(feature = "bridge")]
pub mod index;
#[cfg(feature = "program")]
pub mod ledger;
#[cfg(feature = "bridge")]
pub mod one_line;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod pb;
#[cfg(feature = "program")]
pub mod reader;
#[cfg(feature = "program")]
pub mod reload;
#[cfg(feature = "program")]
pub mod run;
#[cfg(feature = "simulator")]
pub mod simulator;
#[cfg(feature = "bridge")]
pub mod sink;
#[cfg(feature = "program")]
pub mod tail;
#[cfg(feature = "program")]
pub mod verify;
#[cfg(feature = "program")]
pub mod webhooks;

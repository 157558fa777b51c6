//! Asana's event streams on your own bus, exactly once, every loss announced.
//!
//! | module | what it holds | does IO |
//! | --- | --- | --- |
//! | `config` | what the operator says, checked | files, environment |
//! | `asana` | polls Asana | HTTP |
//! | `discovery` | streams from rules | through `asana` |
//! | `sink` | commits batches: Kafka, NATS JetStream, console, file | the bus |
//! | `admin` | probes, metrics, a status page | HTTP |
//! | `doctor` | tries all that the bridge needs, changes nothing | through the edges |
//! | `otlp` | tells an OpenTelemetry collector what became of each poll | HTTP |
//! | `bell` | webhooks that have streams polled at once | HTTP |
//! | `bridge` | wires the core to the edges | through them |
//! | `index` | what was published of each resource, in an embedded store | a file |
//! | `run`, `reload` | make a bridge of a configuration, and have it follow a changed one | through the edges, files |
//! | `reader`, `verify`, `tail` | read a bus to its end, judge or show what is there | through `consumer` |
//! | `checkpoints` | looks at stored progress, resets and moves it | through `sink` |
//! | `demo`, `ledger` | all of it in one process; what a simulator offered | through the edges |

pub mod admin;
pub mod asana;
pub mod bell;
pub mod bridge;
pub mod checkpoints;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod doctor;
pub mod finding;
pub mod index;
pub mod ledger;
mod left_out;
pub mod one_line;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod reader;
pub mod reload;
pub mod run;
pub mod sink;
pub mod tail;
pub mod verify;

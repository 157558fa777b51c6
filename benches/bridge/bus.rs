//! A real bus.

use super::machine;
use super::support::service::Service;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The number of lanes, on both kinds.
pub(crate) const LANES: u32 = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Kafka,
    Nats,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Nats => "nats",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Bus {
    pub(crate) kind: Kind,
    service: Service,
}

impl Bus {
    pub(crate) fn start(kind: Kind) -> Self {
        Self { kind, service: Service::start(kind.name(), &[]) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.service.address
    }

    /// The section `sink` of the bridge's configuration.
    pub(crate) fn sink(&self) -> Value {
        match self.kind {
            Kind::Kafka => json!({ "kafka": { "bootstrapServers": self.address(), "topics": {
                "partitions": LANES, "replicationFactor": 1, "minInsyncReplicas": 1,
            }}}),
            Kind::Nats => json!({ "nats": { "servers": [format!("nats://{}", self.address())], "lanes": LANES }}),
        }
    }

    /// CPU time of the server so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.service.nodes.iter().map(|node| machine::cpu(&node.pid.to_string())).sum()
    }

    /// The size of its logs.
    pub(crate) fn log_bytes(&self) -> u64 {
        machine::folder_bytes(Path::new(self.service.folder()), &["log", "blk"])
    }
}

//! A real service, of one node or of several, started by `scripts/services`, gone when dropped.

use super::proxy::Network;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Kafka, or a nats-server: a process tree that ends with its standard input.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    /// Where clients begin: `host:port`, in a cluster all of them, separated by commas.
    pub(crate) address: String,
    pub(crate) nodes: Vec<Node>,
    dir: String,
}

/// One of its processes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    /// From 1. Kafka's broker id.
    pub(crate) id: u32,
    pub(crate) address: String,
    /// Where a proxy has to lead to, if there is one.
    pub(crate) upstream: Option<String>,
    /// What a nats-server calls itself.
    pub(crate) name: Option<String>,
    /// Where a nats-server is asked for its state by HTTP.
    pub(crate) monitor: Option<String>,
    /// Where Kafka's further listeners are, by name.
    #[serde(default)]
    pub(crate) listeners: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Announcement {
    address: String,
    nodes: Vec<Node>,
    dir: String,
}

impl Service {
    /// Starts `kafka`, `nats` or `nats-old`, with further arguments for `scripts/services run`.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        let mut command = script();
        command.args(["run", name]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("run scripts/services");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut line).expect("read its stdout");
        let Announcement { address, nodes, dir } =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{name} did not start ({error}): {line:?}"));
        Self { child, address, nodes, dir }
    }

    /// A cluster.
    pub(crate) fn start_cluster(name: &str, nodes: usize, arguments: &[&str]) -> Self {
        Self::start(name, &[&["--nodes", &nodes.to_string()], arguments].concat())
    }

    /// A cluster, and a network before it: who begins at [`Network::address`] hears of no other way to the nodes.
    /// Who begins at [`Service::address`] comes to them directly.
    pub(crate) fn start_proxied(name: &str, nodes: usize, arguments: &[&str]) -> (Self, Network) {
        let network = Network::listen(nodes);
        let ports = ["--advertised-ports", &network.ports()];
        let service = Self::start_cluster(name, nodes, &[&ports, arguments].concat());
        network.lead_to(service.nodes.iter().map(|node| node.upstream.as_deref().expect("an upstream")));
        (service, network)
    }

    /// What one of Kafka's own tools says.
    pub(crate) fn tool(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = script();
        command.args([name, "--bootstrap-server", &self.address]).args(arguments);
        let output = command.output().expect("run scripts/services");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// An outage in order. Data and address stay.
    pub(crate) fn stop(&self) {
        self.order("stop", None);
    }

    /// An outage by SIGKILL.
    pub(crate) fn kill(&self) {
        self.order("kill", None);
    }

    /// The end of an outage, for each node that is away.
    pub(crate) fn restart(&self) {
        self.order("start", None);
    }

    /// [`stop`](Self::stop) for one node.
    pub(crate) fn stop_node(&self, id: u32) {
        self.order("stop", Some(id));
    }

    /// [`kill`](Self::kill) for one node.
    pub(crate) fn kill_node(&self, id: u32) {
        self.order("kill", Some(id));
    }

    /// Starts a node and waits until it is in the cluster again; its replicas may still be catching up.
    pub(crate) fn restart_node(&self, id: u32) {
        self.order("start", Some(id));
    }

    /// SIGSTOP for one node.
    pub(crate) fn pause_node(&self, id: u32) {
        self.order("pause", Some(id));
    }

    /// SIGCONT for one node.
    pub(crate) fn resume_node(&self, id: u32) {
        self.order("resume", Some(id));
    }

    /// A nats-server reads its configuration again, in which one setting has changed.
    pub(crate) fn reload(&self, setting: &str) {
        self.tell("reload", &["--set", setting]);
    }

    fn order(&self, verb: &str, node: Option<u32>) {
        match node {
            Some(node) => self.tell(verb, &["--node", &node.to_string()]),
            None => self.tell(verb, &[]),
        }
    }

    fn tell(&self, verb: &str, arguments: &[&str]) {
        let output = script().args([verb, &self.dir]).args(arguments).output().expect("run scripts/services");
        assert!(output.status.success(), "{verb} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// `scripts/services`, ready for its verb.
pub(crate) fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services"))
}

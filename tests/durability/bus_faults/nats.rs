//! The faults of a JetStream of three nodes.

use super::play::{Play, play};
use crate::support::foreign::read_nats;
use crate::support::proxy::Network;
use crate::support::service::{Node, Service};
use crate::support::wait_for;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const STREAM: &str = "ASANA";

/// How long the cluster may take to become whole.
const WHOLE: Duration = Duration::from_secs(180);

#[test]
fn nats_has_every_event_once_though_its_nodes_and_the_network_fail() {
    let (service, network) = Service::start_proxied("nats", 3, &[]);
    let servers: Vec<_> = network.proxies.iter().map(|proxy| format!("'nats://{}'", proxy.address)).collect();
    let sink = format!("nats: {{ servers: [{}], lanes: 6, replicas: 3 }}", servers.join(", "));
    let cluster = Cluster { service, network };
    let read = || read_nats(&cluster.service.nodes[0].address, STREAM, "asana.lane.>");
    play("nats", &sink, |play| cluster.faults(play), read);
}

struct Cluster {
    service: Service,
    network: Network,
}

impl Cluster {
    fn faults(&self, play: &mut Play<'_>) {
        let leader = self.stream_leader(play);
        play.fault(&format!("kill -9: node {leader}, leader of the JetStream stream"), |play| {
            self.killed(play, leader);
        });
        let leader = self.meta_leader(play);
        play.fault(&format!("kill -9: node {leader}, the meta leader"), |play| self.killed(play, leader));
        play.fault("rolling restart of all nodes", |play| {
            for node in &self.service.nodes {
                self.service.stop_node(node.id);
                self.service.restart_node(node.id);
                self.wait_until_whole(play);
            }
        });
        play.fault("the network is cut for 20 s, longer than a lease holds", |play| {
            self.network.cut();
            play.lasts(Duration::from_secs(20));
            self.network.mend();
        });
        play.fault("the network swallows everything for 15 s, longer than a lease holds", |play| {
            self.network.freeze();
            play.lasts(Duration::from_secs(15));
            self.network.mend();
        });
        play.fault("two nodes are away for 15 s, and the quorum with them", |play| {
            self.service.stop_node(1);
            self.service.kill_node(2);
            play.lasts(Duration::from_secs(15));
            self.service.restart();
            self.wait_until_whole(play);
        });
    }

    /// The bridges have to do without the node, and then with it.
    fn killed(&self, play: &mut Play<'_>, node: u32) {
        self.service.kill_node(node);
        let recovery = play.recovers();
        play.say(&format!("  all streams are polled again without it after {recovery:.1?}"));
        self.service.restart_node(node);
        self.wait_until_whole(play);
    }

    /// Every JetStream stream is on every node, and has a leader that finds the others up to date.
    fn wait_until_whole(&self, play: &Play<'_>) {
        wait_for("all replicas to be up to date", WHOLE, || {
            let told: Option<Vec<_>> = self.service.nodes.iter().map(|node| streams(play, node)).collect();
            let mut copies: BTreeMap<String, Vec<bool>> = BTreeMap::new();
            for (node, streams) in self.service.nodes.iter().zip(told?) {
                for stream in streams {
                    let cluster = &stream["cluster"];
                    let replicas = cluster["replicas"].as_array().map_or(&[][..], Vec::as_slice);
                    let others_are_current =
                        replicas.len() == 2 && replicas.iter().all(|other| other["current"] == true);
                    let leads = cluster["leader"].as_str() == node.name.as_deref();
                    copies.entry(stream["name"].to_string()).or_default().push(leads && others_are_current);
                }
            }
            let is_whole = |copies: &Vec<bool>| copies.len() == self.service.nodes.len() && copies.contains(&true);
            (!copies.is_empty() && copies.values().all(is_whole)).then_some(())
        });
    }

    fn stream_leader(&self, play: &Play<'_>) -> u32 {
        wait_for("a leader of the JetStream stream", WHOLE, || {
            self.service.nodes.iter().find_map(|node| {
                let streams = streams(play, node)?;
                let stream = streams.iter().find(|stream| stream["name"] == STREAM)?;
                self.node(&stream["cluster"]["leader"])
            })
        })
    }

    fn meta_leader(&self, play: &Play<'_>) -> u32 {
        wait_for("a meta leader", WHOLE, || {
            let mut answers = self.service.nodes.iter().filter_map(|node| jsz(play, node));
            answers.find_map(|jsz| self.node(&jsz["meta_cluster"]["leader"]))
        })
    }

    fn node(&self, name: &Value) -> Option<u32> {
        Some(self.service.nodes.iter().find(|node| node.name.as_deref() == name.as_str())?.id)
    }
}

/// The JetStream streams, as a node knows them.
fn streams(play: &Play<'_>, node: &Node) -> Option<Vec<Value>> {
    Some(jsz(play, node)?["account_details"][0]["stream_detail"].as_array()?.clone())
}

/// What a node says of its JetStream.
fn jsz(play: &Play<'_>, node: &Node) -> Option<Value> {
    play.ask(&format!("http://{}/jsz?streams=true", node.monitor.as_deref()?))
}

//! Two bridges on a bus of three nodes, whose nodes and network fail one after the other under load; then a
//! consumer that isn't ours counts.
mod kafka;
mod nats;
mod network;
mod play;

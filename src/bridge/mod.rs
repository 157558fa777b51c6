//! Wires the core to the edges.

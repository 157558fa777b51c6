//! Every decision of the bridge, without IO, clock, runtime or log.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`ids`], [`now`] | names of things, and the present as an argument |
//! | [`record`] | what is published: events, positions, topics, and the batch that is committed |
//! | [`outcome`] | what Asana answered: to a poll, to a list; and when |
//! | [`crawl`] | a crawl's way through lists, and what the index knows |
//! | [`stream`] | the machine of one stream |
//! | [`checkpoint`] | what is kept of shards and streams, and how it is moved |
//! | [`engine`] | who is polled when, what waits, what is committed |

pub mod checkpoint;
pub mod crawl;
pub mod engine;
pub mod format;
pub mod ids;
pub mod lenient;
pub mod now;
pub mod outcome;
pub mod record;
pub mod state;
pub mod stream;

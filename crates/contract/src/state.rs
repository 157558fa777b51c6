//! Keys of the state topic that aren't gids.

/// The beginning of the key.
const PROGRESS: &str = "_shard.";

/// The key of a shard's [`StateProgress`](crate::pb::StateProgress). On NATS it follows `PREFIX.state.` in the subject.
#[must_use]
pub fn progress_key(shard: u32) -> String {
    format!("{PROGRESS}{shard}")
}

/// Whether it is the key of a shard's [`StateProgress`](crate::pb::StateProgress). All others are gids.
#[must_use]
pub fn is_progress_key(key: &str) -> bool {
    key.strip_prefix(PROGRESS).is_some_and(|shard| shard.parse::<u32>().is_ok())
}

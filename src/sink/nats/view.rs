//! What a replica knows of the bucket of leases, and what follows from it: the live replicas and their quotas.
//!
//! Pure: observations come in with their time, and none counts for longer than the lease time. Actions that follow from
//! it need compare-and-set, because it is always a little old.

use super::subject::{escape, unescape};
use bridge_core::ids::ShardId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// A key of the bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// The lease of a replica's name, which shows that the replica runs.
    Replica(String),
    /// The lease of a shard, which shows its owner.
    Shard(ShardId),
}

impl Key {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_once('.')? {
            ("replica", name) => unescape(name).map(Self::Replica),
            ("shard", number) => Some(Self::Shard(ShardId(number.parse().ok()?))),
            _ => None,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(name) => write!(f, "replica.{}", escape(name)),
            Self::Shard(shard) => write!(f, "shard.{shard}"),
        }
    }
}

/// The holder of a lease: the value of its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    /// The replica's name, which is configured and stays the same after a restart.
    pub(super) replica: String,
    /// An id that is different each time the sink is opened.
    pub(super) session: String,
}

impl Holder {
    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (replica, session) = std::str::from_utf8(value).ok()?.rsplit_once(' ')?;
        Some(Self { replica: replica.to_owned(), session: session.to_owned() })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.replica, self.session)
    }
}

/// The newest state that is known of a key.
#[derive(Clone, Debug)]
struct Seen {
    /// The revision; 0 if the key doesn't exist.
    revision: u64,
    /// The holder; `None` if the lease was released.
    holder: Option<Holder>,
    /// The time when this was first seen.
    at: Duration,
    /// Whether it wasn't renewed in time, and the server confirmed that.
    expired: bool,
}

/// The bucket, as one replica knows it.
#[derive(Debug)]
pub(super) struct View {
    lease: Duration,
    keys: BTreeMap<Key, Seen>,
}

impl View {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, keys: BTreeMap::new() }
    }

    /// Takes the revision of a key. Older ones than the known one are ignored. Returns whether something changed.
    pub(super) fn observe(&mut self, now: Duration, key: &Key, revision: u64, holder: Option<Holder>) -> bool {
        if revision <= self.revision(key) {
            return false;
        }
        self.keys.insert(key.clone(), Seen { revision, holder, at: now, expired: false });
        true
    }

    /// Takes the server's answer to a request that was sent when `revision` was the newest known one: nothing is newer
    /// (`there`), or the key doesn't exist. Returns whether something changed.
    pub(super) fn confirm(&mut self, now: Duration, key: &Key, revision: u64, there: bool) -> bool {
        let Some(seen) = self.keys.get_mut(key).filter(|seen| seen.revision == revision) else { return false };
        if there {
            seen.expired = now >= seen.at + self.lease;
        } else {
            self.keys.remove(key);
        }
        true
    }

    /// Notes that the key was released, at a revision that isn't known yet.
    pub(super) fn vacate(&mut self, key: &Key, revision: u64) {
        if let Some(seen) = self.keys.get_mut(key).filter(|seen| seen.revision == revision) {
            seen.holder = None;
        }
    }

    /// The revision that compare-and-set has to expect.
    pub(super) fn revision(&self, key: &Key) -> u64 {
        self.keys.get(key).map_or(0, |seen| seen.revision)
    }

    /// The holder of the key, as long as its time isn't known to be over.
    pub(super) fn holder(&self, key: &Key) -> Option<&Holder> {
        self.keys.get(key).filter(|seen| !seen.expired).and_then(|seen| seen.holder.as_ref())
    }

    /// The keys that should have been renewed by now. Older servers don't notify watchers of expired keys, and a watch
    /// may be behind: ask the server.
    pub(super) fn overdue(&self, now: Duration) -> impl Iterator<Item = &Key> {
        self.expiring().filter(move |(_, due)| *due <= now).map(|(key, _)| key)
    }

    /// The time when each key is overdue.
    pub(super) fn expiring(&self) -> impl Iterator<Item = (&Key, Duration)> {
        let expires = |seen: &Seen| seen.holder.is_some() && !seen.expired;
        self.keys.iter().filter(move |(_, seen)| expires(seen)).map(|(key, seen)| (key, seen.at + self.lease))
    }

    /// The replicas that run.
    pub(super) fn members(&self) -> BTreeSet<&str> {
        let live = self.keys.keys().filter(|key| self.holder(key).is_some());
        let names = live.filter_map(|key| match key {
            Key::Replica(name) => Some(name.as_str()),
            Key::Shard(_) => None,
        });
        names.collect()
    }

    /// The number of shards that a replica of this name holds.
    pub(super) fn held_by(&self, replica: &str) -> usize {
        let shards = self.keys.keys().filter(|key| matches!(key, Key::Shard(_)));
        shards.filter(|key| self.holder(key).is_some_and(|holder| holder.replica == replica)).count()
    }
}

/// The number of shards for each member: the same for all, but the first ones by name have one more if it can't be
/// divided evenly. When a member joins, no other quota grows, and when one leaves, none shrinks, so only the necessary
/// shards move.
pub(super) fn quotas<'a>(members: &BTreeSet<&'a str>, shards: usize) -> BTreeMap<&'a str, usize> {
    let count = members.len().max(1);
    let (each, more) = (shards / count, shards % count);
    members.iter().enumerate().map(|(place, name)| (*name, each + usize::from(place < more))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn holder(replica: &str) -> Holder {
        Holder { replica: replica.to_owned(), session: "s".to_owned() }
    }

    #[test]
    fn keys_and_holders_survive_their_text() {
        for key in [Key::Replica("pod 1.x".to_owned()), Key::Replica(String::new()), Key::Shard(ShardId(31))] {
            assert_eq!(Key::parse(&key.to_string()), Some(key));
        }
        assert_eq!(Key::Replica("a b".to_owned()).to_string(), "replica.a=20b");
        assert_eq!((Key::parse("owner"), Key::parse("shard.x")), (None, None));
        let holder = holder("pod 1");
        assert_eq!(Holder::parse(holder.to_string().as_bytes()), Some(holder));
        assert_eq!(Holder::parse(b""), None);
    }

    #[test]
    fn what_is_older_than_what_is_known_is_passed_over() {
        let mut view = View::new(LEASE);
        let key = Key::Shard(ShardId(1));
        assert!(view.observe(at(0), &key, 5, Some(holder("a"))));
        assert!(!view.observe(at(1), &key, 5, Some(holder("b"))));
        assert!(!view.observe(at(1), &key, 4, None));
        assert!(!view.confirm(at(1), &key, 4, false));
        assert_eq!((view.holder(&key), view.revision(&key)), (Some(&holder("a")), 5));
    }

    #[test]
    fn a_key_is_over_when_it_wasnt_renewed_and_the_server_says_so() {
        let mut view = View::new(LEASE);
        let key = Key::Replica("a".to_owned());
        view.observe(at(0), &key, 5, Some(holder("a")));
        assert_eq!(view.overdue(at(9)).count(), 0);
        assert_eq!(view.overdue(at(10)).collect::<Vec<_>>(), [&key]);
        // A look that is early says nothing.
        view.confirm(at(9), &key, 5, true);
        assert!(view.members().contains("a"));
        view.confirm(at(10), &key, 5, true);
        assert!(view.members().is_empty() && view.overdue(at(99)).count() == 0);
        // It comes back, and the server forgets it.
        view.observe(at(20), &key, 9, Some(holder("a")));
        assert!(view.members().contains("a"));
        view.confirm(at(21), &key, 9, false);
        assert_eq!((view.members().len(), view.revision(&key)), (0, 0));
    }

    #[test]
    fn holdings_are_counted_by_name() {
        let mut view = View::new(LEASE);
        for (number, name) in [(0, "a"), (1, "b"), (2, "a")] {
            view.observe(at(0), &Key::Shard(ShardId(number)), 1, Some(holder(name)));
        }
        view.observe(at(0), &Key::Replica("a".to_owned()), 1, Some(holder("a")));
        assert_eq!((view.held_by("a"), view.held_by("b"), view.held_by("c")), (2, 1, 0));
        view.vacate(&Key::Shard(ShardId(2)), 1);
        assert_eq!(view.held_by("a"), 1);
    }

    proptest! {
        #[test]
        fn quotas_are_even_sum_up_and_change_one_way(names: BTreeSet<u8>, joiner: u8, shards in 1_usize..300) {
            let mut names: Vec<String> = names.into_iter().filter(|n| *n != joiner).map(|n| n.to_string()).collect();
            names.push("z".to_owned());
            let joiner = joiner.to_string();
            let before: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let mut after = before.clone();
            after.insert(&joiner);
            let (before, after) = (quotas(&before, shards), quotas(&after, shards));
            for quotas in [&before, &after] {
                prop_assert_eq!(quotas.values().sum::<usize>(), shards);
                prop_assert!(quotas.values().max().unwrap() - quotas.values().min().unwrap() <= 1);
            }
            prop_assert!(before.iter().all(|(name, quota)| after[name] <= *quota));
        }
    }
}

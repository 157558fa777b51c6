//! One check of an account's webhooks, and the requests that follow from it. No IO.
//!
//! A replica decides about a webhook if its address is one of ours and the replica owns the stream's shard: so each
//! webhook has one such replica at a time, whether its stream still exists or not. A webhook is kept if its secret is
//! known. The secret of a webhook that another replica created, or that was created before a restart, isn't known: such
//! a webhook is replaced.

use super::target::Targets;
use crate::asana::Webhook;
use bridge_core::ids::{Gid, ShardId, StreamId};
use bridge_core::record::placement::shard_of;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

/// The next request of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// List the workspaces, from this offset on.
    Workspaces(Option<String>),
    /// List the webhooks in a workspace, from this offset on.
    Webhooks(Gid, Option<String>),
    /// Delete the webhook of a stream.
    Delete(StreamId, Gid),
    /// Create a webhook for the stream.
    Create(StreamId),
}

impl Task {
    /// A constant name, for metrics and logs.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Workspaces(_) | Self::Webhooks(..) => "webhook_list",
            Self::Delete(..) => "webhook_deleted",
            Self::Create(_) => "webhook_created",
        }
    }

    pub(super) fn is_look(&self) -> bool {
        matches!(self, Self::Workspaces(_) | Self::Webhooks(..))
    }
}

/// The streams for which this replica maintains webhooks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mine {
    pub(super) shards: BTreeSet<ShardId>,
    /// The number of all shards.
    pub(super) of: Option<NonZeroU32>,
    /// The streams of these shards that can have a webhook.
    pub(super) streams: BTreeSet<StreamId>,
    /// Whether all streams are known. Then a stream that isn't among them has ended.
    pub(super) all_known: bool,
}

impl Mine {
    /// Whether the task is still useful.
    pub(super) fn wants(&self, task: &Task) -> bool {
        match task {
            Task::Workspaces(_) | Task::Webhooks(..) => true,
            Task::Delete(stream, _) => self.judges(stream),
            Task::Create(stream) => self.streams.contains(stream),
        }
    }

    fn judges(&self, stream: &StreamId) -> bool {
        self.of.is_some_and(|of| self.shards.contains(&shard_of(stream, of)))
    }
}

/// The requests to send after all webhooks of an account were listed, and the streams whose webhook is kept. `known`
/// has the gid of each stream's webhook whose secret is known.
pub(super) fn judge(
    found: &[Webhook],
    mine: &Mine,
    known: &BTreeMap<StreamId, Gid>,
    targets: &Targets,
) -> (Vec<Task>, BTreeSet<StreamId>) {
    let (mut deletions, mut kept) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
    for webhook in found {
        let Some(stream) = targets.stream_of_url(&webhook.target).filter(|stream| mine.judges(stream)) else {
            continue;
        };
        if known.get(&stream) == Some(&webhook.gid) && webhook.active && mine.streams.contains(&stream) {
            kept.insert(stream);
        } else if mine.all_known || mine.streams.contains(&stream) {
            deletions.entry(stream).or_default().push(webhook.gid.clone());
        }
    }
    let mut tasks = Vec::new();
    for stream in mine.streams.iter().chain(deletions.keys()).collect::<BTreeSet<_>>() {
        let deletions = deletions.get(stream).into_iter().flatten();
        tasks.extend(deletions.map(|gid| Task::Delete(stream.clone(), gid.clone())));
        if mine.streams.contains(stream) && !kept.contains(stream) {
            tasks.push(Task::Create(stream.clone()));
        }
    }
    (tasks, kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    const SHARDS: NonZeroU32 = NonZeroU32::new(2).unwrap();

    fn targets(key: &str) -> Targets {
        Targets::new(&"https://example.com".parse().unwrap(), &Secret::new(key))
    }

    /// The first streams of each shard.
    fn streams(shard: u32) -> impl Iterator<Item = StreamId> {
        (0..).map(|n| StreamId::new("main", n.to_string())).filter(move |it| shard_of(it, SHARDS) == ShardId(shard))
    }

    fn mine(streams: impl IntoIterator<Item = StreamId>) -> Mine {
        let streams = streams.into_iter().collect();
        Mine { shards: BTreeSet::from([ShardId(0)]), of: Some(SHARDS), streams, all_known: true }
    }

    fn webhook(gid: &str, target: String) -> Webhook {
        Webhook { gid: gid.into(), target, active: true }
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_known_stays() {
        let [a, b] = [0, 1].map(|n| streams(0).nth(n).unwrap());
        let targets = targets("key");
        let known = BTreeMap::from([(a.clone(), "7".into())]);
        let (tasks, kept) = judge(&[webhook("7", targets.url(&a))], &mine([a.clone(), b.clone()]), &known, &targets);
        assert_eq!((tasks, kept), (vec![Task::Create(b)], BTreeSet::from([a])));
    }

    #[test]
    fn what_nobody_knows_the_secret_of_is_replaced_and_twins_go() {
        let a = streams(0).next().unwrap();
        let targets = targets("key");
        let twins = [webhook("7", targets.url(&a)), webhook("8", targets.url(&a))];
        let delete = |gid: &str| Task::Delete(a.clone(), gid.into());
        let (tasks, _) = judge(&twins, &mine([a.clone()]), &BTreeMap::new(), &targets);
        assert_eq!(tasks, [delete("7"), delete("8"), Task::Create(a.clone())]);
        let known = BTreeMap::from([(a.clone(), "8".into())]);
        let (tasks, _) = judge(&twins, &mine([a.clone()]), &known, &targets);
        assert_eq!(tasks, [delete("7")]);
        let silent = Webhook { active: false, ..webhook("8", targets.url(&a)) };
        let (tasks, _) = judge(&[silent], &mine([a.clone()]), &known, &targets);
        assert_eq!(tasks, [delete("8"), Task::Create(a)]);
    }

    #[test]
    fn others_webhooks_are_never_touched() {
        let (a, of_peer) = (streams(0).next().unwrap(), streams(1).next().unwrap());
        let ours = targets("key");
        let found = [
            webhook("1", "https://example.com/other".to_owned()),
            webhook("2", targets("another key").url(&a)),
            webhook("3", ours.url(&of_peer)),
            webhook("4", ours.url(&a).replace("example.com", "example.org")),
        ];
        assert_eq!(judge(&found, &mine([]), &BTreeMap::new(), &ours), (Vec::new(), BTreeSet::new()));
    }

    #[test]
    fn that_of_an_ended_stream_goes_once_all_streams_are_known() {
        let gone = streams(0).next().unwrap();
        let targets = targets("key");
        let found = [webhook("7", targets.url(&gone))];
        let known = BTreeMap::from([(gone.clone(), "7".into())]);
        let unsure = Mine { all_known: false, ..mine([]) };
        assert_eq!(judge(&found, &unsure, &known, &targets).0, []);
        assert_eq!(judge(&found, &mine([]), &known, &targets).0, [Task::Delete(gone, "7".into())]);
    }
}

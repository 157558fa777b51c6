//! Names of subjects. The table is in the [module's doc](super).

use bridge_contract::state::is_progress_key;
use bridge_contract::token::token;
use bridge_core::ids::{ShardId, Topic};
use bridge_core::record::batch::{Attributes, Message, Target};

/// The server searches for each filter separately. With more filters than this, everything is read, and the rest is
/// dropped.
const MOST_FILTERS: usize = 16;

/// The subjects of one JetStream stream.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    prefix: Topic,
    /// The token that all subjects of a checkpoint have.
    checkpoint: String,
}

impl Subjects {
    pub(super) fn new(prefix: Topic) -> Self {
        Self { prefix, checkpoint: "_checkpoint".to_owned() }
    }

    /// The same subjects, with a named checkpoint.
    pub(super) fn with_checkpoint(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => Self { checkpoint: format!("_checkpoint-{name}"), ..self },
            None => self,
        }
    }

    pub(super) fn prefix(&self) -> &Topic {
        &self.prefix
    }

    /// The subjects that the JetStream stream stores.
    pub(super) fn all(&self) -> String {
        format!("{}.>", self.prefix)
    }

    /// The subject of a message.
    pub(super) fn message(&self, message: &Message) -> String {
        let Attributes { stream, resource_type, .. } = &message.attributes;
        let (account, resource) = match stream {
            Some(stream) => (token(stream.account.as_str()), token(stream.resource.as_str())),
            None => (token(""), token("")),
        };
        let place = match &message.target {
            Target::Lane { partition, .. } => format!("lane.{partition}"),
            Target::DeadLetter => "dead-letter".to_owned(),
            // Nobody who wants only resources subscribes to it.
            Target::State { .. } if is_progress_key(message.key.as_str()) => {
                return format!("{}.state.{}", self.prefix, message.key);
            }
            // The last token is all that a key-value bucket may have as its key.
            Target::State { .. } => return format!("{}.state.{}", self.prefix, token(message.key.as_str())),
            Target::RefreshLog(part) => {
                return format!("{}.{part}.{}", self.refresh_log(), escape(message.key.as_str()));
            }
        };
        let kind = token(resource_type);
        // Of a record without a stream the shard: a subject has one writer.
        let gid = match stream {
            Some(_) => token(message.key.as_str()),
            None => message.shard.to_string(),
        };
        format!("{}.{place}.{account}.{resource}.{kind}.{gid}", self.prefix)
    }

    /// The part of the refresh log's subjects that all of them have. It belongs to the checkpoint, which has the places in it.
    fn refresh_log(&self) -> String {
        let name = self.checkpoint.strip_prefix("_checkpoint").unwrap_or_default();
        format!("{}._refresh{name}", self.prefix)
    }

    /// Every entry of the refresh log.
    pub(super) fn refresh_log_pattern(&self) -> String {
        format!("{}.>", self.refresh_log())
    }

    /// The parts of the refresh log of some shards, with few filters.
    pub(super) fn refresh_logs(&self, shards: &[ShardId]) -> Vec<String> {
        let log = self.refresh_log();
        if shards.len() > MOST_FILTERS {
            return vec![self.refresh_log_pattern()];
        }
        shards.iter().map(|shard| format!("{log}.{shard}.>")).collect()
    }

    /// The shard of an entry of the refresh log.
    pub(super) fn shard_of_log(&self, subject: &str) -> Option<ShardId> {
        let rest = subject.strip_prefix(&self.refresh_log())?.strip_prefix('.')?;
        Some(ShardId(rest.split_once('.')?.0.parse().ok()?))
    }

    /// All that a commit writes besides checkpoints: records, dead letters, states and the refresh log.
    pub(super) fn written(&self) -> Vec<String> {
        let mut subjects = self.messages();
        subjects.extend([format!("{}.state.>", self.prefix), self.refresh_log_pattern()]);
        subjects
    }

    /// Every record and every dead letter, and no checkpoint.
    pub(super) fn messages(&self) -> Vec<String> {
        vec![format!("{}.lane.>", self.prefix), format!("{}.dead-letter.>", self.prefix)]
    }

    /// The records of a lane.
    pub(super) fn lane(&self, lane: u32) -> String {
        format!("{}.lane.{lane}.>", self.prefix)
    }

    /// The head of a shard: its fence and its log of intents.
    pub(super) fn head(&self, shard: ShardId) -> String {
        format!("{}.{}.{shard}.head", self.prefix, self.checkpoint)
    }

    /// One entry of a shard's checkpoint.
    pub(super) fn entry(&self, shard: ShardId, key: &str) -> String {
        format!("{}.{}.{shard}.entry.{}", self.prefix, self.checkpoint, escape(key))
    }

    /// All subjects of the checkpoint.
    pub(super) fn checkpoint_pattern(&self) -> String {
        format!("{}.{}.>", self.prefix, self.checkpoint)
    }

    /// The entries of every shard.
    pub(super) fn entries(&self) -> String {
        format!("{}.{}.*.entry.*", self.prefix, self.checkpoint)
    }

    /// Heads and entries of some shards, with few filters.
    pub(super) fn checkpoints(&self, shards: &[ShardId]) -> Vec<String> {
        let Self { prefix, checkpoint } = self;
        if shards.len() > MOST_FILTERS {
            return vec![format!("{prefix}.{checkpoint}.>")];
        }
        shards.iter().map(|shard| format!("{prefix}.{checkpoint}.{shard}.>")).collect()
    }

    /// Whether this is the head of a shard.
    pub(super) fn is_head(&self, subject: &str) -> bool {
        let rest = self.of_checkpoint(subject).and_then(|rest| rest.strip_suffix(".head"));
        rest.is_some_and(|shard| shard.parse::<u32>().is_ok())
    }

    /// The part after the tokens that all subjects of the checkpoint have.
    fn of_checkpoint<'a>(&self, subject: &'a str) -> Option<&'a str> {
        let rest = subject.strip_prefix(self.prefix.as_str())?.strip_prefix('.')?;
        rest.strip_prefix(self.checkpoint.as_str())?.strip_prefix('.')
    }

    /// The shard and the key of an [`entry`](Self::entry).
    pub(super) fn parse_entry(&self, subject: &str) -> Option<(ShardId, String)> {
        let (shard, key) = self.of_checkpoint(subject)?.split_once(".entry.")?;
        Some((ShardId(shard.parse().ok()?), unescape(key)?))
    }
}

pub(super) use bridge_contract::token::escape;

/// The text that [`escape`] turned into a token.
pub(super) fn unescape(token: &str) -> Option<String> {
    if token == "_" {
        return Some(String::new());
    }
    let mut bytes = token.bytes();
    let mut out = Vec::with_capacity(token.len());
    while let Some(byte) = bytes.next() {
        if byte == b'=' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::ids::{Gid, StreamId};
    use bridge_core::record::encoding::Encoding;
    use bridge_core::record::trace::Trace;
    use chrono::DateTime;
    use proptest::prelude::*;

    fn message(target: Target, stream: Option<StreamId>, kind: &str, key: &str) -> Message {
        Message {
            target,
            shard: ShardId(0),
            key: Gid::from(key),
            value: Vec::new(),
            attributes: Attributes {
                id: "i".to_owned(),
                encoding: Encoding::Protobuf,
                kind: "k",
                stream,
                resource_type: kind.into(),
                trace: Trace::new("r1", 1, DateTime::UNIX_EPOCH),
                time: DateTime::UNIX_EPOCH,
            },
        }
    }

    #[test]
    fn subjects_have_the_documented_form() {
        let subjects = Subjects::new(Topic::from("asana"));
        let lane = || Target::Lane { topic: Topic::from("asana"), partition: 3 };
        let stream = || Some(StreamId::new("team a", "1200"));
        let of = |target, stream, kind, key| subjects.message(&message(target, stream, kind, key));
        assert_eq!(of(lane(), stream(), "task", "1201"), "asana.lane.3.team=20a.1200.task.1201");
        assert_eq!(of(lane(), None, "", ""), "asana.lane.3._._._.0");
        let state = || Target::State { topic: Topic::from("asana.state"), partition: 0 };
        assert_eq!(of(state(), None, "task", "1201"), "asana.state.1201");
        assert_eq!(of(state(), None, "", "_shard.7"), "asana.state._shard.7");
        assert_eq!(of(Target::DeadLetter, stream(), "a.b", "1"), "asana.dead-letter.team=20a.1200.a=2Eb.1");
        assert_eq!(subjects.entry(ShardId(7), "a/b"), "asana._checkpoint.7.entry.a=2Fb");
        let named = subjects.clone().with_checkpoint(Some("v2"));
        let entry = named.entry(ShardId(7), "a/b");
        assert_eq!(entry, "asana._checkpoint-v2.7.entry.a=2Fb");
        assert_eq!(named.parse_entry(&entry), Some((ShardId(7), "a/b".to_owned())));
        assert_eq!(subjects.parse_entry(&entry), None);
    }

    #[test]
    fn an_overlong_gid_is_hashed() {
        let subjects = Subjects::new(Topic::from("asana"));
        let stream = || Some(StreamId::new("main", "1"));
        let of = |key: &str| subjects.message(&message(Target::DeadLetter, stream(), "task", key));
        let subject = of(&"9".repeat(5_000));
        assert!(subject.len() < 100, "{subject}");
        assert_ne!(subject, of(&"9".repeat(5_001)));
    }

    proptest! {
        #[test]
        fn an_entry_names_its_shard_and_key(shard: u32, key: String) {
            let subjects = Subjects::new(Topic::from("asana"));
            let subject = subjects.entry(ShardId(shard), &key);
            prop_assert!(subject.split('.').count() == 5 && subject.split('.').all(|token| !token.is_empty()));
            prop_assert!(subject.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'>'));
            prop_assert_eq!(subjects.parse_entry(&subject), Some((ShardId(shard), key)));
        }
    }
}

//! The owned shards: a member of the consumer group on the checkpoint topic.
//!
//! An assigned partition is an owned shard. The member fetches nothing. It lives on a thread of its own, because
//! librdkafka calls back, and waits, on the thread that polls.
//!
//! ```text
//! assigned ──► restoring ──► granted ──► revoked: reported, answered, released
//!                  │             └─────► lost: reported
//!                  └── revoked or lost: dropped without a report
//! ```

use super::KafkaSettings;
use super::client::{self, Logs};
use super::error::{self, Right};
use super::membership::{Generation, Membership, Tenure};
use super::restore::{self, Restored, Ticket};
use crate::sink::{Ownership, OwnershipEvent, SinkError};
use bridge_core::ids::ShardId;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::oneshot::{self, error::TryRecvError};

/// The timeout of a revocation: the time in which staged records may still be committed. Far below
/// `max.poll.interval.ms` (300 s by default); meanwhile the whole group waits.
const REVOKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The interval at which the thread checks for finished restores.
const TICK: Duration = Duration::from_millis(20);

/// The capacity of the channel for events. If it is full, the thread waits, and after `max.poll.interval.ms` the group
/// removes this replica.
const EVENTS: usize = 64;

impl Generation for BaseConsumer<Member> {
    fn current(&self) -> Option<ConsumerGroupMetadata> {
        let metadata = self.group_metadata()?;
        // A member that left the group has metadata that fence nothing. librdkafka marks the
        // loss at the same time as it takes the metadata back, so this order sees either.
        (!self.assignment_lost()).then_some(metadata)
    }
}

/// The running member. If it is dropped, it leaves the group on its own thread.
pub(super) struct Group {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Group {
    /// Joins the group. The thread drops `kept` when it ends.
    pub(super) fn join(
        settings: &Arc<KafkaSettings>,
        membership: &Arc<Membership>,
        kept: Arc<dyn Send + Sync>,
    ) -> Result<(Self, Ownership), SinkError> {
        let (events, ownership) = mpsc::channel(EVENTS);
        let (restored_to, restored) = std_mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let context = Member {
            settings: Arc::clone(settings),
            membership: Arc::clone(membership),
            events,
            stop: Arc::clone(&stop),
            restored_to,
            state: Mutex::new(State::default()),
        };
        let member: BaseConsumer<Member> = client::create(settings, &client::member(settings), context)?;
        let topic = &settings.config.checkpoint_topic;
        member.subscribe(&[topic]).map_err(|error| error::setup("joining the group", error))?;
        let member = Arc::new(member);
        let generation: Weak<dyn Generation> = Arc::<BaseConsumer<Member>>::downgrade(&member);
        membership.joined(generation);
        let thread = std::thread::Builder::new()
            .name("kafka-group".to_owned())
            .spawn(move || {
                run(&member, &restored);
                // Leaves the group, which takes time. Then drops what was kept.
                drop(member);
                drop(kept);
            })
            .map_err(|error| SinkError::unavailable("starting the group's thread", error))?;
        Ok((Self { stop, thread: Some(thread) }, ownership))
    }

    /// Leaves the group, and waits until that is done. Blocks.
    pub(super) fn leave(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("thread of the group member panicked");
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn run(member: &BaseConsumer<Member>, restored: &std_mpsc::Receiver<Restored>) {
    let context = member.context();
    while !context.ends() {
        match member.poll(TICK) {
            None | Some(Ok(_)) => {}
            Some(Err(error)) => {
                if let Some(failure) = ending(&error, &context.settings.config.checkpoint_topic) {
                    context.send(OwnershipEvent::Failed(failure));
                    return;
                }
                client::problem("MEMBER", &error.to_string());
            }
        }
        for outcome in restored.try_iter() {
            context.state().finished.push(outcome);
        }
        if let Err(failure) = context.grant_restored() {
            context.send(OwnershipEvent::Failed(failure));
            return;
        }
    }
}

/// The error, if the member can't continue after it.
#[expect(clippy::wildcard_enum_match_arm, reason = "librdkafka's codes are an open set; it goes on after the rest")]
fn ending(error: &KafkaError, topic: &str) -> Option<SinkError> {
    use RDKafkaErrorCode as Code;
    let failure = || error::setup_with("being a member of the group", &Right::describe(topic), error.clone());
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    match error.rdkafka_error_code().unwrap_or(Code::Unknown) {
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::InconsistentGroupProtocol => Some(failure()),
        _ => fatal.then(failure),
    }
}

/// The callbacks of librdkafka.
pub(super) struct Member {
    settings: Arc<KafkaSettings>,
    membership: Arc<Membership>,
    events: mpsc::Sender<OwnershipEvent>,
    stop: Arc<AtomicBool>,
    restored_to: std_mpsc::Sender<Restored>,
    state: Mutex<State>,
}

/// The state that only the group's thread uses.
#[derive(Default)]
struct State {
    /// Shards whose checkpoints are being read, each with its reading.
    restoring: BTreeMap<ShardId, Ticket>,
    finished: Vec<Restored>,
    /// Answers to revocations that took too long.
    late: Vec<oneshot::Receiver<()>>,
    tenures: u64,
}

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Logs.log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logs.error(error, reason);
    }
}

impl ConsumerContext for Member {
    fn rebalance(&self, member: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let outcome = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned(member, partitions)
        } else {
            self.withdrawn(member, partitions)
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "rebalance rejected by librdkafka");
        }
    }

    fn main_queue_min_poll_interval(&self) -> Timeout {
        Timeout::After(TICK)
    }
}

impl Member {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.events.is_closed()
    }

    fn send(&self, event: OwnershipEvent) {
        if self.events.blocking_send(event).is_err() {
            tracing::debug!("ownership event dropped, receiver closed");
        }
    }

    fn assigned(&self, member: &BaseConsumer<Self>, partitions: &mut TopicPartitionList) -> Result<(), KafkaError> {
        let mut shards = shards_of(partitions);
        let known = self.settings.shards.get();
        if shards.iter().any(|shard| shard.0 >= known) {
            // No stream is in these partitions. The next session is rejected, with a remedy.
            tracing::error!(
                shards = known,
                hint = "the partitions beyond are ignored",
                "checkpoint topic has more partitions than shards"
            );
            shards.retain(|shard| shard.0 < known);
        }
        // Nothing is fetched: the restore reads with a client of its own.
        partitions.set_all_offsets(Offset::End)?;
        member.incremental_assign(partitions)?;
        if shards.is_empty() || self.ends() {
            return Ok(());
        }
        member.pause(partitions)?;
        tracing::info!(shards = shards.len(), "shards assigned, reading their checkpoints");
        let ticket = restore::start(Arc::clone(&self.settings), shards.clone(), &self.restored_to);
        self.state().restoring.extend(shards.into_iter().map(|shard| (shard, ticket.clone())));
        Ok(())
    }

    fn withdrawn(&self, member: &BaseConsumer<Self>, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        let shards = shards_of(partitions);
        self.state().restoring.retain(|shard, _| !shards.contains(shard));
        if member.assignment_lost() {
            let lost = self.membership.take(&shards);
            if !lost.is_empty() && !self.ends() {
                tracing::warn!(shards = lost.len(), shard_ids = ?lost, "shards lost");
                self.send(OwnershipEvent::Lost(lost));
            }
        } else {
            let owned = self.membership.has(&shards);
            if !owned.is_empty() && !self.ends() {
                self.give_up(owned);
            }
            // Before the rebalance continues: from here on nothing is committed for these shards.
            self.membership.take(&shards);
        }
        member.incremental_unassign(partitions)
    }

    fn give_up(&self, shards: Vec<ShardId>) {
        tracing::info!(shards = shards.len(), shard_ids = ?shards, "shards revoked");
        let (done, mut answer) = oneshot::channel();
        self.send(OwnershipEvent::Revoked { shards, done });
        let since = now();
        while matches!(answer.try_recv(), Err(TryRecvError::Empty)) {
            if self.ends() {
                return;
            }
            if now().duration_since(since) > REVOKE_TIMEOUT {
                tracing::warn!(timeout = ?REVOKE_TIMEOUT, hint = "what is staged is fenced",
                    "revoked shards not released in time");
                self.state().late.push(answer);
                return;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    /// Reports restored shards, unless they were withdrawn meanwhile. The caller must have taken and answered all
    /// earlier events. Otherwise it might commit what it staged in an earlier tenure.
    fn grant_restored(&self) -> Result<(), SinkError> {
        let mut state = self.state();
        state.late.retain_mut(|answer| matches!(answer.try_recv(), Err(TryRecvError::Empty)));
        let caught_up = state.late.is_empty() && self.events.capacity() == self.events.max_capacity();
        if !caught_up {
            return Ok(());
        }
        for Restored { ticket, outcome } in std::mem::take(&mut state.finished) {
            if !state.restoring.values().any(|current| *current == ticket) {
                continue;
            }
            let mut granted = Vec::new();
            for restored in outcome? {
                if state.restoring.get(&restored.shard) == Some(&ticket) {
                    state.restoring.remove(&restored.shard);
                    state.tenures += 1;
                    let tenure = Tenure { number: state.tenures, offset: restored.end };
                    self.membership.granted().insert(restored.shard, tenure);
                    granted.push((restored.shard, restored.checkpoint));
                }
            }
            self.send(OwnershipEvent::Assigned(granted));
        }
        Ok(())
    }
}

fn shards_of(partitions: &TopicPartitionList) -> Vec<ShardId> {
    let numbers = partitions.elements().into_iter().map(|element| element.partition());
    numbers.filter_map(|partition| u32::try_from(partition).ok()).map(ShardId).collect()
}

#[expect(clippy::disallowed_methods, reason = "the group's thread is an edge: it measures its own waiting")]
fn now() -> Instant {
    Instant::now()
}

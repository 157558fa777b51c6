//! A replica at work: commits record after record to each shard that it owns, and starts over as the bridge would.

use super::nats_support::{TIMEOUT, batch};
use asana_event_bridge::sink::nats::{NatsCommitter, NatsSettings, open};
use asana_event_bridge::sink::{CommitError, Committer as _, Ownership, OwnershipEvent};
use bridge_core::ids::ShardId;
use bridge_core::record::batch::{Batch, StoredCheckpoint};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What is to be known of a replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Its shards, each with the number of its next record.
    pub(crate) owned: BTreeMap<ShardId, usize>,
    pub(crate) revoked: Vec<ShardId>,
    pub(crate) lost: Vec<ShardId>,
    pub(crate) commits: usize,
    pub(crate) aborted: usize,
    /// Why its sessions ended.
    pub(crate) ended: Vec<String>,
}

pub(crate) struct Worker {
    account: Arc<Mutex<Account>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(settings: NatsSettings, name: &str) -> Self {
        let settings = NatsSettings { replica: name.to_owned(), ..settings };
        let account = Arc::new(Mutex::new(Account::default()));
        let stop = CancellationToken::new();
        let (accounted, stopped) = (Arc::clone(&account), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the worker ends the task")]
        let task = tokio::spawn(async move { work(settings, accounted, stopped).await });
        Self { account, stop, task }
    }

    pub(crate) fn account(&self) -> Account {
        lock(&self.account).clone()
    }

    pub(crate) fn owns(&self) -> usize {
        lock(&self.account).owned.len()
    }

    /// Leaves in order.
    pub(crate) async fn close(self) -> Account {
        self.stop.cancel();
        self.task.await.unwrap();
        lock(&self.account).clone()
    }

    /// Stops in the middle of whatever it does, and gives nothing up.
    pub(crate) async fn crash(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap()
}

async fn work(settings: NatsSettings, account: Arc<Mutex<Account>>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let (mut committer, ownership) = match open(settings.clone()).await {
            Ok(opened) => opened,
            Err(error) => {
                println!("{}: {error}", settings.replica);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let end = session(&settings.config.stream, &mut committer, ownership, &account, &stop).await;
        lock(&account).owned.clear();
        if let Some(end) = end {
            println!("{}: {end}", settings.replica);
            lock(&account).ended.push(end);
        }
        committer.close().await;
    }
}

async fn session(
    prefix: &str,
    committer: &mut NatsCommitter,
    mut ownership: Ownership,
    account: &Mutex<Account>,
    stop: &CancellationToken,
) -> Option<String> {
    loop {
        let owned = lock(account).owned.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            event = ownership.recv() => match event {
                Some(OwnershipEvent::Assigned(shards)) => {
                    let next = |stored: &StoredCheckpoint| {
                        let value = stored.get("stream/main/1200").cloned().unwrap_or_else(|| b"0".to_vec());
                        String::from_utf8(value).unwrap().parse().unwrap()
                    };
                    lock(account).owned.extend(shards.iter().map(|(shard, stored)| (*shard, next(stored))));
                }
                Some(OwnershipEvent::Revoked { shards, done }) => {
                    lock(account).owned.retain(|shard, _| !shards.contains(shard));
                    lock(account).revoked.extend(shards);
                    done.send(()).ok();
                }
                Some(OwnershipEvent::Lost(shards)) => {
                    lock(account).owned.retain(|shard, _| !shards.contains(shard));
                    lock(account).lost.extend(shards);
                }
                Some(OwnershipEvent::Emptied(shards)) => return Some(format!("emptied: {shards:?}")),
                Some(OwnershipEvent::Failed(error)) => return Some(error.to_string()),
                None => return Some("the ownership ended".to_owned()),
            },
            () = tokio::time::sleep(Duration::from_millis(10)), if !owned.is_empty() => {
                let mut all = Batch::default();
                for (shard, next) in &owned {
                    let part = batch(prefix, shard.0, *next, next + 1);
                    all.messages.extend(part.messages);
                    all.checkpoints.extend(part.checkpoints);
                }
                let outcome = committer.commit(&all).await;
                let mut account = lock(account);
                match outcome {
                    Ok(()) => {
                        account.commits += 1;
                        account.owned.values_mut().for_each(|next| *next += 1);
                    }
                    Err(CommitError::Aborted(_)) => account.aborted += 1,
                    Err(error) => return Some(error.to_string()),
                }
            }
        }
    }
}

/// Waits until the workers own so many shards each; how long it took.
pub(crate) async fn balanced(workers: &[&Worker], counts: &[usize]) -> Duration {
    let begin = Instant::now();
    let owned = || workers.iter().map(|worker| worker.owns()).collect::<Vec<_>>();
    while owned() != counts {
        assert!(begin.elapsed() < TIMEOUT, "they own {:?}, wanted {counts:?}", owned());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begin.elapsed()
}

/// Waits until the worker has made so many more commits.
pub(crate) async fn progress(worker: &Worker, commits: usize) {
    let (begin, from) = (Instant::now(), worker.account().commits);
    while worker.account().commits < from + commits {
        assert!(begin.elapsed() < TIMEOUT, "{:?}", worker.account());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Checks that nothing is missing, twice or out of order: each shard's lanes go on by three.
pub(crate) fn assert_contiguous(found: &BTreeMap<(String, u32), Vec<usize>>, shards: usize) {
    let mut next: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for ((lane, shard), numbers) in found {
        let lane: usize = lane.parse().unwrap();
        let expected: Vec<usize> = (0..numbers.len()).map(|place| lane + 3 * place).collect();
        assert_eq!(*numbers, expected, "lane {lane} of shard {shard}");
        next.entry(*shard).or_default().extend(numbers.last());
    }
    assert_eq!(next.len(), shards);
    for (shard, last) in next {
        let (least, most) = (last.iter().min().unwrap(), last.iter().max().unwrap());
        assert!(most - least < 3, "shard {shard} ends at {last:?}");
    }
}

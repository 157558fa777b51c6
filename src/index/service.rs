//! The thread that owns the index. It serves requests in the order in which they arrive.
//!
//! The index only saves work: if its store fails, that is logged once, and from then on the index answers nothing.

use super::{Index, IndexError};
use bridge_core::crawl::known::{Absent, AbsentFrom, Entry, Mark, Shortfall, Update};
use bridge_core::ids::{Gid, StreamId};
use bridge_core::outcome::list::What;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{mpsc, oneshot};

/// The maximum number of waiting requests. Each has at most the changes of one commit, so this limits memory.
const WAITING: usize = 64;

/// The index can't be trusted: its store has failed, and the log contains the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the index has failed: nothing is known")]
pub struct Untrusted;

/// A handle for requests to the thread that owns the index. The thread ends when all handles are dropped and all
/// requests are served.
#[derive(Clone, Debug)]
pub struct IndexHandle {
    requests: mpsc::Sender<Request>,
    failed: Arc<AtomicBool>,
}

enum Request {
    Apply(Vec<(StreamId, Update)>),
    /// A query, which sends its own answer.
    Look(Box<dyn FnOnce(&mut Service) + Send>),
}

impl IndexHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system's error if the thread can't be started.
    pub fn start(index: Index) -> std::io::Result<Self> {
        let (requests, receiver) = mpsc::channel(WAITING);
        let failed = Arc::new(AtomicBool::new(false));
        let service = Service { index: Some(index), failed: Arc::clone(&failed) };
        std::thread::Builder::new().name("index".to_owned()).spawn(move || service.serve(receiver))?;
        Ok(Self { requests, failed })
    }

    /// Lets the index apply what a commit changed. Returns when the request is in the queue, not when it is applied.
    ///
    /// # Cancel safety
    /// Waits for room in the queue. If it is dropped before, the commit is missing from the index: from then on the
    /// index can't be trusted, and reports so.
    pub async fn apply(&self, commit: Vec<(StreamId, Update)>) {
        self.tell(Request::Apply(commit)).await;
    }

    /// Like [`Index::is_trusted`]; `false` after the index has failed.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn is_trusted(&self, stream: StreamId, mark: Mark) -> bool {
        self.look(move |index| index.is_trusted(&stream, mark)).await.unwrap_or(false)
    }

    /// Like [`Index::look_up`].
    ///
    /// # Errors
    /// [`Untrusted`] if the index has failed.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn look_up(&self, stream: StreamId, gids: Vec<Gid>) -> Result<Vec<Option<Entry>>, Untrusted> {
        self.look(move |index| index.look_up(&stream, &gids)).await
    }

    /// Like [`Index::absent`].
    ///
    /// # Errors
    /// [`Untrusted`] if the index has failed.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn absent(
        &self,
        stream: StreamId,
        from: AbsentFrom,
        after: Option<Gid>,
        limit: usize,
    ) -> Result<Vec<Absent>, Untrusted> {
        self.look(move |index| index.absent(&stream, &from, after.as_ref(), limit)).await
    }

    /// Like [`Index::below`].
    ///
    /// # Errors
    /// [`Untrusted`] if the index has failed.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn below(
        &self,
        stream: StreamId,
        of: Gid,
        lists: &'static [What],
        crawl: u64,
        limit: usize,
    ) -> Result<Vec<(Gid, Entry)>, Untrusted> {
        self.look(move |index| index.below(&stream, &of, lists, crawl, limit)).await
    }

    /// Like [`Index::shortfalls`].
    ///
    /// # Errors
    /// [`Untrusted`] if the index has failed.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn shortfalls(
        &self,
        stream: StreamId,
        crawl: u64,
        least: u32,
        percent: u32,
    ) -> Result<Vec<Shortfall>, Untrusted> {
        self.look(move |index| index.shortfalls(&stream, crawl, least, percent)).await
    }

    /// Returns when all earlier requests are served.
    ///
    /// # Errors
    /// [`Untrusted`]: not all of them were applied.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the future has no effect.
    pub async fn flush(&self) -> Result<(), Untrusted> {
        self.look(|_| Ok(())).await
    }

    #[cfg(test)]
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    async fn tell(&self, request: Request) {
        let mut untold = Untold { failed: &self.failed, told: false };
        untold.told = self.requests.send(request).await.is_ok();
    }

    async fn look<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Index) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, Untrusted> {
        let (reply, answer) = oneshot::channel();
        // The caller may not wait for the answer any more.
        let look = |service: &mut Service| drop(reply.send(service.run(question)));
        self.requests.send(Request::Look(Box::new(look))).await.map_err(|_stopped| Untrusted)?;
        answer.await.map_err(|_stopped| Untrusted)?
    }
}

/// A commit that didn't reach the index. A later mark would hide that it is missing.
struct Untold<'h> {
    failed: &'h AtomicBool,
    told: bool,
}

impl Drop for Untold<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.failed.store(true, Ordering::Release);
        }
    }
}

struct Service {
    /// The index; `None` after it has failed.
    index: Option<Index>,
    failed: Arc<AtomicBool>,
}

impl Service {
    fn serve(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.blocking_recv() {
            match request {
                Request::Apply(commit) => drop(self.run(|index| index.apply(&commit))),
                Request::Look(look) => look(&mut self),
            }
        }
    }

    fn run<T>(&mut self, work: impl FnOnce(&mut Index) -> Result<T, IndexError>) -> Result<T, Untrusted> {
        if self.failed.load(Ordering::Acquire) && self.index.take().is_some() {
            tracing::error!("state index missed a commit, continuing without it");
        }
        let index = self.index.as_mut().ok_or(Untrusted)?;
        work(index).map_err(|error| {
            tracing::error!(%error, "state index failed, continuing without it");
            self.failed.store(true, Ordering::Release);
            self.index = None;
            Untrusted
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::crawl::known::Change;
    use bridge_core::outcome::list::Listing;
    use std::collections::BTreeSet;

    fn commit(sequence: u64, gids: std::ops::Range<u64>) -> Vec<(StreamId, Update)> {
        let seen = |gid: u64| Change::Seen {
            gid: Gid::from(gid.to_string()),
            resource_type: "task".to_owned(),
            hash: gid,
            evident: gid,
            crawl: 1,
            place: Listing { of: Gid::from("x"), what: What::Tasks },
        };
        let mark = |sequence| Mark { epoch: 1, sequence };
        let changes = gids.map(seen).chain([Change::Complete]).collect();
        vec![(StreamId::new("main", "1"), Update { from: mark(sequence - 1), to: mark(sequence), changes })]
    }

    #[tokio::test]
    async fn a_question_is_answered_after_what_was_told_before() {
        let index = IndexHandle::start(Index::temporary().unwrap()).unwrap();
        let stream = StreamId::new("main", "1");
        for sequence in 1..=200 {
            index.apply(commit(sequence, 0..sequence)).await;
        }
        assert!(index.is_trusted(stream.clone(), Mark { epoch: 1, sequence: 200 }).await);
        assert!(!index.is_trusted(stream.clone(), Mark { epoch: 1, sequence: 199 }).await);
        let from = AbsentFrom { crawl: 2, scope: BTreeSet::new(), unread: BTreeSet::new() };
        assert_eq!(index.absent(stream.clone(), from, Some(Gid::from("9")), 1_000).await.unwrap().len(), 190);
        let known = index.look_up(stream.clone(), vec![Gid::from("7"), Gid::from("700")]).await.unwrap();
        assert_eq!((known[0].as_ref().unwrap().hash, &known[1]), (7, &None));
        assert_eq!(index.flush().await, Ok(()));
        assert!(!index.has_failed());
    }

    #[tokio::test]
    async fn a_full_disk_ends_the_index_and_not_the_bridge() {
        let index = Index::temporary().unwrap();
        index.store.pragma_update(None, "max_page_count", 20).unwrap();
        let index = IndexHandle::start(index).unwrap();
        index.apply(commit(1, 0..1)).await;
        assert_eq!(index.flush().await, Ok(()));
        index.apply(commit(2, 0..100_000)).await;
        assert_eq!(index.flush().await, Err(Untrusted));
        index.apply(commit(3, 0..1)).await;
        assert!(!index.is_trusted(StreamId::new("main", "1"), Mark { epoch: 1, sequence: 3 }).await);
        assert!(index.has_failed());
    }

    #[tokio::test]
    async fn what_the_index_was_not_told_is_not_hidden_by_a_later_mark() {
        let (requests, mut receiver) = mpsc::channel(1);
        let failed = Arc::new(AtomicBool::new(false));
        let index = IndexHandle { requests, failed: Arc::clone(&failed) };
        index.apply(commit(1, 0..1)).await;
        let waits = index.apply(commit(2, 0..1));
        tokio::select! {
            biased;
            () = waits => unreachable!("there is no room"),
            () = std::future::ready(()) => {}
        }
        assert!(index.has_failed());
        let index = Some(Index::temporary().unwrap());
        let mut service = Service { index, failed };
        assert!(matches!(receiver.recv().await, Some(Request::Apply(_))));
        assert_eq!(service.run(|index| index.apply(&commit(3, 0..1))), Err(Untrusted));
    }
}

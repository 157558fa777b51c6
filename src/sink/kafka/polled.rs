//! A producer whose delivery reports a thread of its own takes.

use crate::sink::SinkError;
use rdkafka::producer::{BaseProducer, ProducerContext};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The time of one poll, and so the maximum time that closing waits for the thread.
///
/// A poll of `rdkafka` waits for whole milliseconds, and for the rest of its time it spins. Right after a wait that begins
/// with this time no rest is left. `rdkafka`'s own `ThreadedProducer` waits 100 ms, which are 99 ms and a millisecond of
/// spinning: a hundredth of a core, for as long as it exists.
const POLL: Duration = Duration::from_micros(100_050);

/// A producer that is polled until it is dropped.
pub(super) struct PolledProducer<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> PolledProducer<C> {
    /// Polls the producer from now on.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] if the thread can't be started.
    pub(super) fn new(producer: BaseProducer<C>) -> Result<Self, SinkError> {
        let (producer, ends) = (Arc::new(producer), Arc::new(AtomicBool::new(false)));
        let (polled, is_over) = (Arc::clone(&producer), Arc::clone(&ends));
        let poll = move || {
            while !is_over.load(Ordering::Acquire) {
                polled.poll(POLL);
            }
        };
        let thread = std::thread::Builder::new().name("kafka-deliveries".to_owned()).spawn(poll);
        let thread = thread.map_err(|error| SinkError::unavailable("starting the producer's thread", error))?;
        Ok(Self { producer, ends, thread: Some(thread) })
    }
}

impl<C: ProducerContext + 'static> Deref for PolledProducer<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for PolledProducer<C> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was printed, and there is nothing to wait for.
            thread.join().ok();
        }
    }
}

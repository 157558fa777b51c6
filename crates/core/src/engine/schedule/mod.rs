//! When each stream is polled: rate budgets, the pace of a stream, a queue by due time, and backoff.

pub mod backoff;
pub mod budget;
pub(crate) mod pace;
pub mod queue;

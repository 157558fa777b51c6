//! When each stream is polled: the streams' event rates, the plan that shares an account's requests among them, rate
//! budgets, and backoff.

pub mod backoff;
pub mod budget;
mod heap;
pub(crate) mod pace;
mod plan;
mod polls;
pub mod queue;

pub use plan::{Freshness, Terms};
pub use polls::Schedule;

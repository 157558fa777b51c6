//! Who is asked when: rate budgets, a queue by due time, and backoff.

pub mod backoff;
pub mod budget;
pub mod queue;

//! What Asana answered.

pub mod list;
pub mod poll;
pub mod stamp;

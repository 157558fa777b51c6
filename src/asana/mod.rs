//! Polls Asana: status and body become a poll outcome.

//! The progress of reading a bus to its end.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// A progress bar on standard error, if that is a terminal. It is removed at the end.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// `expected`: the maximum number of records, if it is known.
    pub(super) fn new(expected: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(expected, ProgressDrawTarget::stderr_with_hz(5));
        let template = match expected {
            Some(_) => "{bar:32} {human_pos} of {human_len} records, {per_sec}, {eta} left",
            None => "{spinner} {human_pos} records, {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// One more record is read.
    pub(super) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

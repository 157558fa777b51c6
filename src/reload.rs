//! Notices that the configuration was changed.

use crate::config::{self, Checked, Environment, Source};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// How often the file is looked at. By its content: a mounted `ConfigMap` is replaced through links, with old times.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the configuration again at each SIGHUP, and when its file has changed, and hands on what is fine. One
/// with problems is told, each problem with its path, and nothing else comes of it.
///
/// # Errors
/// The signal can't be listened to.
///
/// # Cancel safety
/// Dropped, nothing is noticed any more.
pub async fn watch(source: &Source, environment: &Environment, reloads: mpsc::Sender<Checked>) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut seen = content(source).await;
    loop {
        tokio::select! {
            received = hangup.recv() => {
                if received.is_none() {
                    return Ok(());
                }
                seen = content(source).await;
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => {
                let content = content(source).await;
                // A file that is away for a moment is being replaced.
                if content.is_none() || content == seen {
                    continue;
                }
                seen = content;
            }
        }
        match config::load(source, environment) {
            Ok(checked) => {
                for warning in &checked.warnings {
                    tracing::warn!("{warning}");
                }
                if reloads.send(checked).await.is_err() {
                    return Ok(());
                }
            }
            Err(problems) => {
                tracing::error!("the new configuration is refused, the one before stays:\n{problems}");
            }
        }
    }
}

async fn content(source: &Source) -> Option<Vec<u8>> {
    tokio::fs::read(source.file.as_ref()?).await.ok()
}

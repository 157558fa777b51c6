//! Notices changes of the configuration and of files with credentials.

use crate::config::{self, Checked, Environment, Source};
use crate::observe::{BridgeEvent, Observer};
use futures_util::future::join_all;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The interval between two checks of the files. Their content is compared: a mounted `ConfigMap` is replaced by way of
/// links, and keeps old modification times.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the configuration again at each SIGHUP and when its file has changed, and passes it on if it is valid. An
/// invalid one is reported, each problem with its path, and is read again until it is valid: what it needs, such as a
/// secret's file, may be created later.
///
/// # Errors
/// The signal handler can't be installed.
///
/// # Cancel safety
/// After a drop, changes go unnoticed.
pub async fn watch(
    source: &Source,
    environment: &Environment,
    reloads: mpsc::Sender<Checked>,
    observer: &dyn Observer,
) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let content = async || content(source.file.as_ref()?).await;
    let mut seen = content().await;
    let mut refused = None;
    loop {
        let is_told = tokio::select! {
            received = hangup.recv() => {
                if received.is_none() {
                    return Ok(());
                }
                true
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => false,
        };
        let found = content().await;
        // A missing file is just being replaced.
        if !is_told && (found.is_none() || found == seen && refused.is_none()) {
            continue;
        }
        seen = found;
        match config::load(source, environment) {
            Ok(checked) => {
                refused = None;
                for warning in &checked.warnings {
                    tracing::warn!(reason = %warning, "configuration warning");
                }
                if reloads.send(checked).await.is_err() {
                    return Ok(());
                }
            }
            Err(problems) => {
                let problems = Some(problems.to_string());
                if is_told || problems != refused {
                    observer.notify(&BridgeEvent::Configured { rejected: problems.as_deref() });
                }
                refused = problems;
            }
        }
    }
}

/// Sends a message whenever the content of one of the files has changed.
///
/// # Cancel safety
/// After a drop, changes go unnoticed.
pub async fn watch_files(paths: Vec<PathBuf>, changes: mpsc::Sender<()>) -> Infallible {
    let contents = async || join_all(paths.iter().map(|path| content(path))).await;
    let mut seen = contents().await;
    while !paths.is_empty() {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let newer = contents().await.into_iter().zip(&seen);
        // A missing file is just being replaced.
        let newer: Vec<_> = newer.map(|(content, before)| content.or_else(|| before.clone())).collect();
        if newer != seen {
            seen = newer;
            // One waiting message is enough.
            changes.try_send(()).ok();
        }
    }
    std::future::pending().await
}

async fn content(path: &Path) -> Option<Vec<u8>> {
    tokio::fs::read(path).await.ok()
}

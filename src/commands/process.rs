//! The runtime and the signals of a command.

use std::io;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// A token that SIGINT or SIGTERM cancels. The second signal ends the process at once.
pub(super) fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = stop.clone();
    #[expect(clippy::disallowed_methods, reason = "it lives as long as the process, and nothing waits for it")]
    tokio::spawn(async move {
        for order in 1.. {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if order > 1 {
                std::process::exit(130);
            }
            tracing::info!("stopping, committing polled events first");
            token.cancel();
        }
    });
    Ok(stop)
}

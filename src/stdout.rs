//! Standard output: whether it still has a reader.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

/// The pause after the system reported something else.
const PAUSE: Duration = Duration::from_millis(100);

/// Waits until the reader of standard output is gone, as in `… | head -1`. Files have no reader that could go.
///
/// # Cancel safety
/// May be dropped and called again.
pub(crate) async fn reader_gone() {
    gone(&io::stdout()).await;
}

/// Waits until nothing can be written to `to` any more, without writing.
async fn gone(to: &impl AsFd) {
    // Of a copy, because the watch closes what it watches. The system refuses to watch files, which is right.
    let watched = to.as_fd().try_clone_to_owned().and_then(Sender::from_owned_fd_unchecked);
    let Ok(watched) = watched else { return pending().await };
    loop {
        match watched.ready(Interest::ERROR).await {
            Ok(ready) if ready.is_error() => return,
            Ok(_) => tokio::time::sleep(PAUSE).await,
            // The runtime ends.
            Err(_) => return pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_reader_is_gone_when_its_end_of_the_pipe_is_closed() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"x").unwrap();
        let mut gone = Box::pin(gone(&writer));
        timeout(Duration::from_millis(50), &mut gone).await.expect_err("it is there");
        drop(reader);
        timeout(Duration::from_secs(10), gone).await.expect("it is gone");
    }

    #[tokio::test]
    async fn a_file_has_no_reader() {
        let file = tempfile::tempfile().unwrap();
        timeout(Duration::from_millis(50), gone(&file)).await.expect_err("nobody can go");
    }
}

//! What the bridge needs on its own machine.

use crate::config::{Checked, CheckedAdmin};
use crate::finding::{CheckResult, Finding};
use crate::sink::file::writable;
use std::io;
use std::net::TcpListener;
use std::path::Path;

/// Checks the index and the admin port.
pub(super) fn examine(checked: &Checked) -> Vec<Finding> {
    let index = checked.index.path.as_deref().map(|folder| index(folder).of(format!("index {}", folder.display())));
    let admin = checked.admin.as_ref().map(|CheckedAdmin { listen, .. }| {
        let free = TcpListener::bind(listen).map(drop);
        admin(&free).of(format!("admin port {listen}"))
    });
    index.into_iter().chain(admin).collect()
}

fn index(folder: &Path) -> CheckResult {
    match writable(folder) {
        Ok(()) => CheckResult::ok("can be written"),
        Err((place, error)) => CheckResult::failed(
            format!("{} can't be written: {error}", place.display()),
            "give the bridge's user a folder that it may write as `index.path`, on a local disk",
        ),
    }
}

fn admin(free: &io::Result<()>) -> CheckResult {
    match free {
        Ok(()) => CheckResult::ok("is free"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            CheckResult::notice("is in use", "expected if the bridge runs here; otherwise set another `admin.listen`")
        }
        Err(error) => CheckResult::failed(
            format!("can't listen on it: {error}"),
            "set an address of this machine, and a port from 1024 on, as `admin.listen`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_isnt_there_is_judged_by_where_it_would_be() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(index(&folder.path().join("a/b")), CheckResult::Ok { .. }));
        assert!(folder.path().read_dir().unwrap().next().is_none(), "nothing stays behind");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(index(&file.join("a")).is_failed());
    }

    #[test]
    fn a_port_that_is_in_use_may_be_the_bridges() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let again = TcpListener::bind(taken.local_addr().unwrap()).map(drop);
        assert!(matches!(admin(&again), CheckResult::Notice { .. }));
        let elsewhere = TcpListener::bind("192.0.2.1:8080").map(drop);
        assert!(admin(&elsewhere).is_failed());
    }
}

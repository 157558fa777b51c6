//! A host's clock that a test can set, for programs under test.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The clock of the programs that are started with its variables.
#[derive(Debug)]
pub(crate) struct HostClock {
    library: PathBuf,
    file: PathBuf,
}

impl HostClock {
    /// One that is right, with its files in a folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clock.c");
        let clock = Self { library: folder.join("clock.so"), file: folder.join("clock-ahead") };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&clock.library).arg(source).arg("-ldl");
        assert!(compiler.status().expect("run cc").success(), "{compiler:?}");
        std::fs::write(&clock.file, [0; 8]).expect("write a file");
        clock
    }

    /// It is so many seconds ahead from now on.
    pub(crate) fn set(&self, ahead: i64) {
        // In place, since programs have it mapped.
        let file = std::fs::OpenOptions::new().write(true).open(&self.file).expect("open the file");
        file.write_all_at(&ahead.to_ne_bytes(), 0).expect("write the file");
    }

    /// The variables of a program that has this clock.
    pub(crate) fn variables(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("CLOCK_AHEAD", &self.file)]
            .map(|(name, path)| (name, path.to_str().expect("UTF-8")))
    }
}

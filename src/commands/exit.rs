//! Exit codes, and which error has which.

use crate::admin::AdminError;
use crate::config::Problems;
use crate::sink::SinkError;
use asana_simulator::SimulatorError;
use bridge_consumer::ReadError;
use std::error::Error;
use std::io;
use std::process::ExitCode;

/// The exit code of the program. Scripts depend on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded, and checks found no fault.
    Ok = 0,
    /// Something was checked, and failed.
    Failed = 1,
    /// The command line or the configuration is wrong (`EX_USAGE` of sysexits.h).
    Usage = 64,
    /// A needed service can't be reached (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A bug of the program (`EX_SOFTWARE`).
    Internal = 70,
}

impl Exit {
    /// [`Ok`](Self::Ok) if `is_ok`, otherwise [`Failed`](Self::Failed).
    #[must_use]
    pub fn of(is_ok: bool) -> Self {
        if is_ok { Self::Ok } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that ends a command.
pub trait Failure: Error + 'static {
    /// The exit code for this error.
    fn exit(&self) -> Exit;
}

impl<E: Failure> From<E> for Box<dyn Failure> {
    fn from(error: E) -> Self {
        Box::new(error)
    }
}

impl Failure for io::Error {
    fn exit(&self) -> Exit {
        // The output's reader has read enough, as in `config-schema | head`.
        if self.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Internal }
    }
}

impl Failure for serde_json::Error {
    fn exit(&self) -> Exit {
        Exit::Internal
    }
}

impl Failure for Problems {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

impl Failure for ReadError {
    fn exit(&self) -> Exit {
        Exit::Unavailable
    }
}

impl Failure for SinkError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. } | Self::Setup { .. } | Self::Tampered { .. } => Exit::Usage,
            Self::Unavailable { .. } => Exit::Unavailable,
            Self::ReaderGone => Exit::Ok,
        }
    }
}

impl Failure for AdminError {
    fn exit(&self) -> Exit {
        if self.is_setup() { Exit::Usage } else { Exit::Unavailable }
    }
}

impl Failure for SimulatorError {
    fn exit(&self) -> Exit {
        match self {
            Self::Scenario(_) | Self::ScenarioFile { .. } => Exit::Usage,
            Self::Listen { .. } => Exit::Unavailable,
            Self::Serve(_) => Exit::Internal,
        }
    }
}

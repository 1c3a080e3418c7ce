//! How the command ends, for scripts.

use std::process::ExitCode;

/// The exit statuses, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was done; a run that was asked for may proceed.
    Success = 0,
    /// It was not done, or a check or a test failed.
    Failure = 1,
    /// The command line or the configuration is not right; nothing was tried.
    Usage = 2,
    /// The run must not proceed.
    Denied = 3,
    /// No answer: the server is away, or not ready. Trying again may help.
    Unavailable = 4,
}

/// What `--help` ends with.
pub const STATUSES: &str = "Exit status:
  0  done; the run that was asked for may proceed
  1  failed; a check or a test did not pass
  2  the command line or the configuration is not right
  3  denied: the run must not proceed
  4  unavailable: no answer, trying again may help";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

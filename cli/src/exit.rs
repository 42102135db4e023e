//! Exit statuses, which scripts rely on.

use std::process::ExitCode;

use rollcall::verdict::Verdict;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: consistent, or done.
    Success,
    /// 1: inconsistent.
    Inconsistent,
    /// 2: unknown, misused, or failed.
    Failure,
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Consistent => Self::Success,
            Verdict::Inconsistent => Self::Inconsistent,
            Verdict::Unknown => Self::Failure,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Inconsistent => 1,
            Exit::Failure => 2,
        })
    }
}

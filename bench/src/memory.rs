//! What a process keeps in memory, as Linux has it.

use std::fs;

use anyhow::{Context, Result};

/// Lets the peak of this process begin anew.
pub(crate) fn forget_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("the peak of memory could not be reset")
}

/// The most that this process has had resident, in megabytes.
pub(crate) fn peak() -> Result<f64> {
    megabytes("self", "VmHWM:")
}

/// What another process has for itself, in megabytes; what it shares with others is left out.
pub(crate) fn own(process: i32) -> Result<f64> {
    megabytes(&process.to_string(), "RssAnon:")
}

fn megabytes(process: &str, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kilobytes: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .with_context(|| format!("there is no {field} of the process {process}"))?
        .parse()?;
    Ok(kilobytes / 1024.0)
}

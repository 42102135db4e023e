//! What a machine may lack: the tests that need it are skipped with a word. In CI they fail.

use std::{
    env,
    io::{self, Write},
};

use anyhow::{Result, ensure};
use rollcall_sandbox::{Binaries, Source};

/// Says on standard error what is skipped and what it lacks; in CI, which is where `CI` is `true`,
/// this is an error.
pub fn skip(what: &str) -> Result<()> {
    ensure!(
        env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{what}; in CI nothing may be skipped"
    );
    // Past the test harness, which hides what a test that passes prints.
    writeln!(io::stderr(), "{what}")?;
    Ok(())
}

/// Whether PostgreSQL is to be had from `source`; [`skip`]s what needs it if not.
pub fn has_postgres(source: &Source) -> Result<bool> {
    match Binaries::find(source) {
        Ok(_) => Ok(true),
        Err(reason) => {
            skip(&format!(
                "skipped: what needs PostgreSQL from {source:?} ({reason:#})"
            ))?;
            Ok(false)
        }
    }
}

//! The workspace's own programs, built once per test process and found through Cargo's own answer.
//!
//! The tests are a package of their own, so Cargo sets no `CARGO_BIN_EXE_*` for them.

use std::{
    collections::HashMap,
    env,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

static BUILT: OnceLock<Result<HashMap<String, PathBuf>, String>> = OnceLock::new();

/// The path of the program `name` (`rollcall`, `health-check` …), built from the present sources.
///
/// The first call of a process runs `cargo build`, which does nothing when all is fresh; without it
/// a test could run yesterday's program.
pub fn program(name: &str) -> Result<PathBuf> {
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|message| anyhow!("{message}"))?
        .get(name)
        .cloned()
        .with_context(|| format!("the workspace has no program named {name}"))
}

/// Builds all programs: the whole workspace, because features are unified over the packages
/// asked for, and asking for fewer than `cargo test --workspace` does would compile the
/// dependencies a second time.
fn build() -> Result<HashMap<String, PathBuf>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if cfg!(debug_assertions) {
        "dev"
    } else {
        "release"
    };
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--bins", "--profile", profile])
        .args(["--features", "rollcall-cli/tls"])
        .args(["--quiet", "--message-format=json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "the programs under test do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str::<Value>)
        .filter_map(|message| message.map(|message| executable(&message)).transpose())
        .collect::<Result<_, _>>()
        .context("cargo's messages are not JSON lines")
}

/// The name and path of the program a Cargo message announces, if it announces one.
fn executable(message: &Value) -> Option<(String, PathBuf)> {
    let path = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), PathBuf::from(path)))
}

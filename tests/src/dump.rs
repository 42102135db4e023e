//! Dumps: how a database is carried to another one.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Binaries, Options};

use crate::missing;

/// The folder of `pg_dump`, `pg_dumpall` and `psql`; none, and a word about it, where the server came without them. In CI that
/// is an error.
pub fn programs() -> Result<Option<String>> {
    let binaries = Binaries::find(&Options::from_env()?.source)?;
    let folder = binaries.folder();
    if !folder.join("pg_dump").is_file() || !folder.join("psql").is_file() {
        missing::skip("skipped: what needs pg_dump and psql")?;
        return Ok(None);
    }
    Ok(Some(folder.to_string_lossy().into_owned()))
}

/// What `pg_dump` prints of the database at `url`, without the commands that are psql's own.
pub fn pg_dump(programs: &str, url: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(format!("{programs}/pg_dump"))
        .args(arguments)
        .arg(url)
        .output()?;
    let text = printed(output)?;
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    Ok(lines.collect::<Vec<&str>>().join("\n") + "\n")
}

/// Runs a script of bash with these programs before all others, and gives what it prints.
pub fn bash(programs: &str, script: &str) -> Result<String> {
    let path = std::env::var("PATH")?;
    let output = Command::new("bash")
        .args(["-c", script])
        .env("PATH", format!("{programs}:{path}"))
        .output()?;
    printed(output)
}

/// Restores a dump as people do: `psql`, as this role, one statement after the other; in one transaction where `is_whole`, and
/// then nothing may fail. Data are loaded with triggers off, as Supabase's guide has it.
pub fn restore(
    programs: &str,
    url: &str,
    role: &str,
    is_whole: bool,
    parts: &[&str],
) -> Result<()> {
    let mut command = Command::new(format!("{programs}/psql"));
    command.args(["-X", "-q", "-o", "/dev/null"]);
    if is_whole {
        command.args(["--single-transaction", "-v", "ON_ERROR_STOP=1"]);
    }
    let mut psql = command
        .args(["-f", "-"])
        .arg(url)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let script = format!(
        "set session_replication_role = replica;\nset role {role};\n{}",
        parts.join("\n")
    );
    let mut stdin = psql.stdin.take().context("a pipe")?;
    stdin.write_all(script.as_bytes())?;
    drop(stdin);
    printed(psql.wait_with_output()?).map(drop)
}

fn printed(output: Output) -> Result<String> {
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

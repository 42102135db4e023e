//! `rollcall demo`, on the system's PostgreSQL and on the one from PyPI.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::Source;
use rollcall_tests::{
    command_line::{Finished, rollcall, run},
    missing,
    programs::program,
};
use tempfile::TempDir;

use crate::schema;

/// How long a stopped server may take to be gone.
const LIMIT: Duration = Duration::from_secs(30);

/// What `ROLLCALL_POSTGRES` takes.
const SOURCES: [(&str, Source); 2] = [("system", Source::System), ("wheel", Source::Wheel)];

/// The sources that are to be had here, and a word about the others.
fn sources() -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for (name, source) in SOURCES {
        if missing::has_postgres(&source)? {
            found.push(name);
        }
    }
    Ok(found)
}

/// A place for temporary files that only one demo uses, so that what is left there is its own.
struct Place(TempDir);

impl Place {
    /// Open to other users: root's servers run as one of them.
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A demo on `source` in the test's own surroundings, which pip may need. The variable that
    /// names a database is wrong: a demo has its own.
    fn command(&self, source: &str, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("rollcall")?);
        command
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", self.path())
            .env("ROLLCALL_POSTGRES", source)
            .env("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/postgres")
            .env_remove("ROLLCALL_POSTGRES_BIN")
            .env_remove("CLICOLOR_FORCE");
        Ok(command)
    }

    async fn demo(&self, source: &str, arguments: &[&str]) -> Result<Finished> {
        let shown = format!("demo {}", arguments.join(" "));
        run(self.command(source, arguments)?, shown.trim()).await
    }

    fn servers(&self) -> Result<Vec<PathBuf>> {
        fs::read_dir(self.path())?
            .map(|entry| Ok(entry?.path()))
            .collect()
    }

    async fn wait_until_empty(&self) -> Result<()> {
        let started = Instant::now();
        while !self.servers()?.is_empty() {
            ensure!(
                started.elapsed() < LIMIT,
                "left behind: {:?}",
                self.servers()?
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// The address in `… listens on 127.0.0.1:PORT.`
fn address(talk: &str) -> Result<String> {
    let (_, rest) = talk
        .split_once("listens on ")
        .with_context(|| format!("no address in {talk}"))?;
    let line = rest.lines().next().unwrap_or_default();
    Ok(line.trim_end_matches('.').to_owned())
}

fn nobody_listens(address: &str) -> bool {
    std::net::TcpStream::connect(address).is_err()
}

fn with_filters(assertions: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "[moment]");
    settings.add_filter(r"(\n  email +)(-|.\*\*\*@e\*\*\*\.com)", "$1[email]");
    settings.add_filter("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[id]");
    settings.add_filter(r"\d+ migrations applied", "[number] migrations applied");
    // in the order of ids, which is another each time
    settings.add_filter(r"(│ (investor|sme) +┆ .*\n)+", "[profiles]\n");
    settings.add_filter(r"about \d+(\.\d)? s,", "about [estimate] s,");
    settings.bind(assertions);
}

#[tokio::test]
async fn it_tells_the_same_story_on_both_ends_consistent_and_leaves_nothing() -> Result<()> {
    for source in sources()? {
        let place = Place::new()?;
        let finished = place.demo(source, &[]).await?;
        assert_eq!(finished.status, Some(0), "{source}: {finished}");
        for phrase in [
            "Subject: Rollcall: 12 users without a profile",
            "Dry run: nothing was changed.",
            "Created 12 of 12 missing profiles",
            "Verdict: consistent",
        ] {
            ensure!(finished.stdout.contains(phrase), "{phrase}: {finished}");
        }
        ensure!(
            finished.stdout.trim_end().ends_with("consistent"),
            "{finished}"
        );
        ensure!(
            !finished.stdout.contains("person"),
            "an address: {finished}"
        );
        place.wait_until_empty().await?;
        ensure!(nobody_listens(&address(&finished.stderr)?), "{finished}");
        with_filters(|| insta::assert_snapshot!("story", finished.stdout));
    }
    Ok(())
}

#[tokio::test]
async fn its_last_report_is_the_only_data_where_json_is_asked_for() -> Result<()> {
    let Some(source) = sources()?.into_iter().next() else {
        return Ok(());
    };
    let place = Place::new()?;
    let finished = place.demo(source, &["--format", "json"]).await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    let report = finished.json()?;
    assert_eq!(report["verdict"], "consistent");
    assert_eq!(report["users"]["missing"], 0);
    schema::check(std::slice::from_ref(&finished)).await?;
    place.wait_until_empty().await
}

/// Stops a kept server even where the test fails before it does.
struct Stop(String);

impl Stop {
    fn run(&self) -> Result<bool> {
        let status = Command::new("sh").args(["-c", &self.0]).status()?;
        Ok(status.success())
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        // It fails where the server is stopped already.
        let _ = Command::new("sh")
            .args(["-c", &self.0])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

#[tokio::test]
async fn kept_it_accepts_connections_until_the_printed_command_stops_it() -> Result<()> {
    for source in sources()? {
        let place = Place::new()?;
        let finished = place.demo(source, &["--keep"]).await?;
        assert_eq!(finished.status, Some(0), "{source}: {finished}");
        let after = |mark: &str| -> Result<&str> {
            let (_, rest) = finished
                .stderr
                .split_once(mark)
                .with_context(|| format!("no {mark:?}: {finished}"))?;
            Ok(rest.trim_start().lines().next().unwrap_or_default())
        };
        let stop = Stop(after("To stop and remove it:")?.to_owned());
        let url = after("DATABASE_URL=")?.to_owned();

        let health = rollcall(&[("DATABASE_URL", &url)], &["health"]).await?;
        assert_eq!(health.status, Some(0), "{source}: {health}");
        assert_eq!(place.servers()?.len(), 1, "{source}");

        ensure!(stop.run()?, "{source}: {}", stop.0);
        place.wait_until_empty().await?;
        ensure!(nobody_listens(&address(&finished.stderr)?), "{source}");
        let health = rollcall(&[("DATABASE_URL", &url)], &["health"]).await?;
        assert_eq!(health.status, Some(2), "{source}: {health}");
    }
    Ok(())
}

#[tokio::test]
async fn killed_in_the_middle_it_leaves_nothing_either() -> Result<()> {
    for source in sources()? {
        let place = Place::new()?;
        let mut child = place
            .command(source, &[])?
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut talk = String::new();
        let mut lines = BufReader::new(child.stderr.take().context("a pipe")?);
        while !talk.contains("listens on") {
            ensure!(lines.read_line(&mut talk)? > 0, "{source}: {talk}");
        }
        child.kill()?;
        child.wait()?;
        place.wait_until_empty().await?;
        ensure!(nobody_listens(&address(&talk)?), "{source}");
    }
    Ok(())
}

#[tokio::test]
async fn a_source_that_there_is_not_is_named() -> Result<()> {
    let place = Place::new()?;
    let finished = place.demo("oracle", &[]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    assert_eq!(finished.stdout, "", "{finished}");
    ensure!(finished.stderr.contains("ROLLCALL_POSTGRES"), "{finished}");
    place.wait_until_empty().await
}

//! A server's whole life, on whatever PostgreSQL the environment asks for.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rollcall_sandbox::{Options, Server, connect};

/// How long anything may take before the test fails, on a slow and busy machine too.
const LIMIT: Duration = Duration::from_secs(60);

fn start() -> Result<Server> {
    Server::start(&Options::from_env()?)
}

/// A process that has ended but was not reaped counts as running.
fn is_running(pid: u32) -> bool {
    let kill = Command::new("kill").args(["-0", &pid.to_string()]).output();
    kill.is_ok_and(|output| output.status.success())
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "{what} did not happen in {LIMIT:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_and_no_files() -> Result<()> {
    let server = start()?;
    let (pid, folder) = (server.pid(), server.folder().to_owned());
    let open_connection = connect(&server.url("supabase_admin", "postgres")).await?;
    assert!(is_running(pid) && folder.exists());

    drop(server);

    assert!(!is_running(pid));
    assert!(!folder.exists());
    assert!(open_connection.batch_execute("select 1").await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_restart_after_a_kill_keeps_address_and_committed_rows() -> Result<()> {
    let server = start()?;
    let database = server.fresh_database().await?;
    let client = database.connect().await?;
    client
        .batch_execute("create table kept (id int); insert into kept values (1)")
        .await?;
    let killed = server.pid();

    server.kill()?;

    assert!(!is_running(killed));
    assert!(database.connect().await.is_err());

    server.restart()?;

    let rows = database
        .connect()
        .await?
        .query_typed("select id from kept", &[])
        .await?;
    assert_eq!(rows.len(), 1);
    assert_ne!(server.pid(), killed);

    server.restart()?;

    assert!(database.connect().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn each_fresh_database_is_empty_and_belongs_to_postgres() -> Result<()> {
    let server = start()?;
    let (first, second) = tokio::try_join!(server.fresh_database(), server.fresh_database())?;
    assert_ne!(first.name(), second.name());
    first
        .connect()
        .await?
        .batch_execute("create table public.mine ()")
        .await?;

    let rows = second
        .connect()
        .await?
        .query_typed(
            "select pg_catalog.pg_get_userbyid(datdba)::text,
               pg_catalog.to_regclass('public.mine') is null,
               pg_catalog.to_regclass('auth.users') is not null
             from pg_catalog.pg_database where datname = pg_catalog.current_database()",
            &[],
        )
        .await?;
    let row = rows.first().expect("one database has this name");
    assert_eq!(row.get::<_, &str>(0), "postgres");
    assert!(row.get::<_, bool>(1) && row.get::<_, bool>(2));
    Ok(())
}

#[tokio::test]
async fn a_database_of_a_strange_name_is_refused() -> Result<()> {
    let server = start()?;
    for name in ["", "Rollcall", "a\"b", "a-b"] {
        assert!(server.create_database(name).await.is_err(), "{name:?}");
    }
    assert_eq!(server.create_database("rollcall").await?.name(), "rollcall");
    assert!(server.create_database("rollcall").await.is_err());
    Ok(())
}

#[tokio::test]
async fn settings_reach_the_server_and_a_wrong_one_is_named() -> Result<()> {
    let mut options = Options::from_env()?;
    options
        .settings
        .push(("max_connections".to_owned(), "7".to_owned()));
    let server = Server::start(&options)?;
    let client = connect(&server.url("supabase_admin", "postgres")).await?;
    let row = client
        .query_typed_one("select current_setting('max_connections')", &[])
        .await?;
    assert_eq!(row.get::<_, &str>(0), "7");

    options
        .settings
        .push(("no_such_setting".to_owned(), "1".to_owned()));
    let error = Server::start(&options).expect_err("the setting does not exist");
    assert!(
        format!("{error:#}").contains("no_such_setting"),
        "{error:#}"
    );
    Ok(())
}

/// The variables turn this test into the program that the next two tests start.
#[test]
fn child_process_that_starts_a_server() -> Result<()> {
    let Ok(report) = std::env::var("SANDBOX_TEST_REPORT") else {
        return Ok(());
    };
    let server = start()?;
    // Under its own name only when it is complete: the parent reads it as soon as it is there.
    let report_to = |pid: u32, folder: &Path| {
        let partial = format!("{report}.partial");
        std::fs::write(&partial, format!("{pid} {}", folder.display()))?;
        std::fs::rename(partial, &report)
    };
    if std::env::var_os("SANDBOX_TEST_KEEP").is_some() {
        let kept = server.keep()?;
        std::fs::write(format!("{report}.stop"), kept.stop_command())?;
        report_to(kept.pid, &kept.folder)?;
    } else {
        report_to(server.pid(), server.folder())?;
        // Until it is killed, or its parent is long gone.
        std::thread::sleep(2 * LIMIT);
    }
    Ok(())
}

fn spawn_child_process(report: &Path, keep: bool) -> Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--exact", "child_process_that_starts_a_server"])
        .env("SANDBOX_TEST_REPORT", report);
    if keep {
        command.env("SANDBOX_TEST_KEEP", "1");
    }
    Ok(command.stdout(std::process::Stdio::null()).spawn()?)
}

fn read_report(report: &Path) -> Result<(u32, std::path::PathBuf)> {
    let text = std::fs::read_to_string(report)?;
    let (pid, folder) = text
        .split_once(' ')
        .context("no process id and folder in the report")?;
    Ok((pid.parse()?, folder.into()))
}

#[test]
fn a_process_that_is_killed_leaves_no_server_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report");
    let mut child = spawn_child_process(&report, false)?;
    wait_until("the child's report", || report.exists());
    let (pid, server_folder) = read_report(&report)?;
    assert!(is_running(pid));

    child.kill()?;
    child.wait()?;

    wait_until("the clean-up", || {
        !is_running(pid) && !server_folder.exists()
    });
    Ok(())
}

#[tokio::test]
async fn a_kept_server_outlives_its_process_until_it_is_stopped() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report");
    let mut child = spawn_child_process(&report, true)?;
    assert!(child.wait()?.success());
    let (pid, server_folder) = read_report(&report)?;

    // Longer than the clean-up of a server that is not kept takes.
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_running(pid) && server_folder.join("data").exists());

    let stop = std::fs::read_to_string(format!("{}.stop", report.display()))?;
    assert!(Command::new("sh").args(["-c", &stop]).status()?.success());
    wait_until("the stop", || !is_running(pid) && !server_folder.exists());
    Ok(())
}

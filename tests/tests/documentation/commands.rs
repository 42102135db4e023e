//! Every command and every query, in the order in which they stand.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::programs::program;
use rollcall_tests::project::Project;
use rollcall_tests::webhook::Webhook;

use crate::{GUIDE, blocks, document, documents, root, section};

/// Commands that are not run here, and why.
const NOT_HERE: [(&str, &str); 29] = [
    (
        "cargo run --release -p rollcall-bench",
        "minutes; tests/benchmark.rs runs a small one",
    ),
    (
        "python3 tests/lambda_cost/",
        "measures for minutes, and needs Node.js",
    ),
    ("cargo run -- demo", "tests/demo.rs runs it"),
    ("tests/run", "it is what runs this test"),
    (
        "tests/postgres-versions",
        "runs tests like this one on other servers",
    ),
    ("cargo test ", "it is what runs this test"),
    ("ROLLCALL_FUZZ_SECONDS=", "the same tests for longer"),
    (
        "cargo deny ",
        "needs the network; .ci/run checks licences and sources",
    ),
    ("tar ", "tests/infra/test_release.py unpacks it"),
    ("pipx ", "tests/infra/test_release.py installs it"),
    ("npm ", "tests/infra/test_release.py installs it"),
    (
        "cargo install",
        "builds the program that is tested here anew",
    ),
    ("export ", "the test gives the database of its own"),
    ("supabase ", "needs the Supabase CLI"),
    ("aws ", "needs an AWS account"),
    ("read -rs ", "asks a person for the connection string"),
    (
        "sam ",
        "needs an AWS account; tests/infra checks the templates and the parameters",
    ),
    (
        "cargo lambda build",
        "compiles everything once more, for another processor",
    ),
    (
        "curl ",
        "needs the deployed API; tests/lambda_backfill.rs sends what API Gateway sends",
    ),
    ("user = ", "continues the curl command"),
    ("header = ", "continues the curl command"),
    ("END", "ends the curl command"),
    ("python3 -m pip ", "tests/run does it"),
    (
        "rollcall dashboard",
        "serves until Ctrl-C; tests/dashboard_server.rs starts it",
    ),
    (
        "rollcall watch",
        "goes on until Ctrl-C; tests/scheduled_checks.rs starts it",
    ),
    (".ci/run", "it runs tests/run"),
    ("INSTA_UPDATE=always tests/run", "it is what runs this test"),
    (
        "ROLLCALL_KEEP_VERSION=1 ",
        "keeps what the tests compare with",
    ),
    (
        "cargo run -p rollcall-tests --bin pictures",
        "changes the pictures that are compared here",
    ),
];

/// The user whom the documentation asks for, who has no profile.
const SHOWN_USER: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

/// The chapters of the guide whose tables and definitions are for projects of their own.
const EXAMPLES: [&str; 4] = [
    "### Another shape",
    "### Another table",
    "### A text key",
    "### No table yet",
];

/// A project whose own trigger makes the profiles, and missed one of them.
async fn project() -> Result<Project> {
    let project = Project::without_rollcall().await?;
    project
        .connect()
        .await?
        .batch_execute(include_str!("../../src/project/application.sql"))
        .await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, aud, role, email, created_at)
             values ('{SHOWN_USER}', 'authenticated', 'authenticated', 'ada@example.com', now() - interval '1 day');
             commit"
        ))
        .await?;
    Ok(project)
}

/// A folder as a user's project has it, with what the documentation's paths name.
fn scratch() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir_all(folder.path().join("supabase/migrations"))?;
    for name in ["scripts", "migrations", "Cargo.toml"] {
        std::os::unix::fs::symlink(root().join(name).canonicalize()?, folder.path().join(name))?;
    }
    Ok(folder)
}

/// Runs a line as a shell does, with the program on its path; `RUN` is the newest run.
async fn run(line: &str, project: &Project, webhook: &Webhook, folder: &Path) -> Result<()> {
    let mut line = line.to_owned();
    if line.split(' ').any(|word| word == "RUN") {
        let newest = "select r.run_id::text from rollcall.run r order by r.created_at desc limit 1";
        let row = project
            .connect()
            .await?
            .query_typed_one(newest, &[])
            .await
            .with_context(|| format!("no run stands before `{line}`"))?;
        line = line.replace(" RUN", &format!(" {}", row.try_get::<_, &str>(0)?));
    }
    let programs = program("rollcall")?;
    let programs = programs.parent().context("a folder")?.to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs].into_iter().chain(env::split_paths(&path)))?;
    let mut command = Command::new("bash");
    command
        .args(["-c", &line])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("SUPABASE_DB_URL")
        .env("DATABASE_URL", project.url())
        .env("WEBHOOK_URL", webhook.url());
    // the webhook answers meanwhile
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    // a verdict of inconsistent is an answer, too
    ensure!(
        matches!(output.status.code(), Some(0 | 1)),
        "`{line}` failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn runs_here(line: &str) -> bool {
    !line.is_empty() && !NOT_HERE.iter().any(|(start, _)| line.starts_with(start))
}

#[tokio::test]
async fn every_command_and_every_query_runs_in_the_order_in_which_they_stand() -> Result<()> {
    let mut number = 0;
    let webhook = Webhook::start().await?;
    for name in documents()? {
        let mut text = document(&name)?;
        if name == GUIDE {
            for heading in EXAMPLES {
                text = text.replace(section(&text.clone(), heading)?, "");
            }
        }
        let blocks = blocks(&text);
        if !blocks
            .iter()
            .any(|block| ["sh", "sql"].contains(&block.language.as_str()))
        {
            continue;
        }
        let project = project().await?;
        // a document that installs Rollcall begins without it
        if !text.contains("\nrollcall migrate --yes\n") {
            project.migrate().await?;
        }
        let folder = scratch()?;
        for block in blocks {
            match block.language.as_str() {
                "sh" => {
                    for line in block
                        .text
                        .lines()
                        .map(str::trim)
                        .filter(|line| runs_here(line))
                    {
                        run(line, &project, &webhook, folder.path())
                            .await
                            .with_context(|| name.clone())?;
                        number += 1;
                    }
                }
                "sql" => {
                    project
                        .connect()
                        .await?
                        .batch_execute(&block.text)
                        .await
                        .with_context(|| format!("{name}: this failed:\n{}", block.text))?;
                    number += 1;
                }
                // tests/infra/test_action.py reads it
                "yaml" | "text" => {}
                other => anyhow::bail!("{name}: nobody knows what a block of {other:?} is"),
            }
        }
    }
    ensure!(number > 40, "{number}");
    Ok(())
}

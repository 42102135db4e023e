//! Every command and every query in the documentation runs as it stands there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rollcall_tests::programs::program;
use rollcall_tests::project::Project;

/// Commands that are not run here, and why.
const NOT_HERE: [(&str, &str); 14] = [
    (
        "cargo run --release -p rollcall-bench",
        "minutes; tests/benchmark.rs runs a small one",
    ),
    ("cargo build --release", "builds what is tested here anew"),
    (
        "python3 tests/lambda_cost/",
        "measures for minutes, and needs Node.js",
    ),
    ("cargo run -- demo", "tests/demo.rs runs it"),
    ("tests/run", "it is what runs this test"),
    (
        "cargo install",
        "builds the program that is tested here anew",
    ),
    ("export ", "the test gives the database of its own"),
    ("aws ", "needs an AWS account"),
    (
        "sam ",
        "needs an AWS account; tests/infra checks the template and the options",
    ),
    (
        "curl ",
        "needs the deployed API; tests/lambda_backfill.rs sends what API Gateway sends",
    ),
    ("user = ", "continues the curl command"),
    ("header = ", "continues the curl command"),
    ("END", "ends the curl command"),
    ("python3 -m pip ", "tests/run does it"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts of the fenced blocks of a language.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in markdown.lines() {
        match &mut block {
            None if line == format!("```{language}") => block = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    blocks
}

fn documents() -> Result<Vec<String>> {
    ["README.md", "infra/README.md", "docs/performance.md"]
        .iter()
        .map(|name| {
            fs::read_to_string(root().join(name)).with_context(|| format!("{name} is not there"))
        })
        .collect()
}

#[tokio::test]
async fn every_command_runs_or_is_known_not_to_run_here() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let rollcall = program("rollcall")?;
    let mut run = 0;
    for document in documents()? {
        for line in blocks(&document, "sh")
            .iter()
            .flat_map(|block| block.lines())
        {
            let line = line.trim();
            if NOT_HERE.iter().any(|(start, _)| line.starts_with(start)) || line.is_empty() {
                continue;
            }
            let arguments = line.strip_prefix("rollcall ").with_context(|| {
                format!("the documentation has a command that no test runs: {line}")
            })?;
            let output = Command::new(&rollcall)
                .args(arguments.split_whitespace())
                .env("DATABASE_URL", project.url())
                .output()?;
            ensure!(
                output.status.success(),
                "`{line}` failed:\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            run += 1;
        }
    }
    ensure!(run > 0, "no command was found");
    Ok(())
}

#[tokio::test]
async fn every_query_runs() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut run = 0;
    for document in documents()? {
        for block in blocks(&document, "sql") {
            client
                .batch_execute(&block)
                .await
                .with_context(|| format!("this failed:\n{block}"))?;
            run += 1;
        }
    }
    ensure!(run > 0, "no query was found");
    // the definition that the README shows is in place now, and takes effect
    let mut auth = project.auth().await?;
    let person = rollcall_sandbox::Person::numbered(1);
    auth.sign_up(rollcall_sandbox::SignupKind::EmailAutoconfirm, &person)
        .await?;
    auth.sign_up(rollcall_sandbox::SignupKind::Anonymous, &person)
        .await?;
    ensure!(
        project
            .count("select count(*) from public.profiles where full_name = 'Person 1'")
            .await?
            == 1
    );
    ensure!(
        project
            .count("select count(*) from public.profiles")
            .await?
            == 1
    );
    Ok(())
}

//! `rollcall schema`: whatever is printed with `--format json`, by every command and every failure, is as it says.

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{
    command_line::{Finished, rollcall},
    missing,
    project::Project,
    webhook::Webhook,
};
use serde_json::{Value, json};

use crate::cli::{LOOKS, NOBODY_LISTENS, commands, with_id};

/// The commands that need no arguments, and end at once where the database is out of reach.
const NEED_A_DATABASE: [&str; 12] = [
    "backfill",
    "ci",
    "dashboard",
    "diagnose",
    "doctor",
    "health",
    "migrate",
    "mismatches",
    "probe",
    "recent",
    "rollback",
    "runs",
];

/// Compares answers with the schema.
pub(crate) async fn check(answers: &[Finished]) -> Result<()> {
    let Some(packages) = env::var_os("ROLLCALL_TEST_PYTHON") else {
        return missing::skip(
            "skipped: answers against their schema (jsonschema is not installed)",
        );
    };
    let schema = rollcall(&[], &["schema"]).await?.json()?;
    let mut typed: Vec<(&str, Value)> = Vec::new();
    for answer in answers {
        typed.push((&answer.arguments, answer.json()?));
    }
    let mut python = Command::new("python3")
        .args(["-c", include_str!("schema.py")])
        .env("PYTHONPATH", packages)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let input = json!([schema, typed]).to_string();
    let mut stdin = python.stdin.take().context("a pipe")?;
    stdin.write_all(input.as_bytes())?;
    drop(stdin);
    let output = python.wait_with_output()?;
    let trouble = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(output.status.success() && trouble.is_empty(), "{trouble}");
    Ok(())
}

/// The answers of one project's life.
struct Answers {
    env: Vec<(&'static str, String)>,
    all: Vec<Finished>,
}

impl Answers {
    async fn of(&mut self, arguments: &str) -> Result<Value> {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        self.of_words(arguments).await
    }

    async fn of_words(&mut self, mut arguments: Vec<String>) -> Result<Value> {
        arguments.extend(["--format".to_owned(), "json".to_owned()]);
        let env: Vec<(&str, &str)> = self.env.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let finished = rollcall(&env, &arguments).await?;
        let answer = finished.json()?;
        self.all.push(finished);
        Ok(answer)
    }
}

/// From a project that has never met Rollcall to one that it has left: every report that there is, and every one of them valid.
#[tokio::test]
async fn every_report_is_as_the_schema_says() -> Result<()> {
    let project = Project::with_application().await?;
    let webhook = Webhook::start().await?;
    let mut answers = Answers {
        env: vec![
            ("DATABASE_URL", project.url()),
            ("WEBHOOK_URL", webhook.url()),
        ],
        all: Vec::new(),
    };
    let mut auth = project.auth().await?;
    let first = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    for command in LOOKS {
        answers.of_words(with_id(command, first)).await?;
    }
    for command in [
        "doctor",
        "ci",
        "probe",
        "definition show",
        "definition draft",
        "definition check",
    ] {
        answers.of(command).await?;
    }

    answers.of("migrate --plan").await?;
    answers.of("migrate").await?;
    answers.of("migrate --yes").await?;
    answers.of("check").await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().display();
    answers.of(&format!("export {path}")).await?;
    answers.of(&format!("export {path} --upgrade")).await?;

    // the application refuses one person, and loses another
    let client = project.connect().await?;
    client
        .batch_execute(
            "alter table public.profiles add check (email <> 'eve@example.com') not valid",
        )
        .await?;
    project.break_signups().await?;
    let eve = Person::with_email("eve@example.com");
    let eve = auth.sign_up(SignupKind::EmailAutoconfirm, &eve).await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    auth.sql_delete(first).await?;
    for command in LOOKS {
        answers.of_words(with_id(command, eve)).await?;
        answers
            .of_words(with_id(&format!("{command} --show-pii"), eve))
            .await?;
    }
    for command in [
        "doctor",
        "ci",
        "probe",
        "check",
        "dashboard",
        "definition show",
        "definition check",
    ] {
        answers.of(command).await?;
    }
    let draft = answers.of("definition draft").await?;
    let file = folder.path().join("definition.sql");
    fs::write(&file, draft["query"].as_str().context("a query")?)?;
    let set = format!(
        "definition set {} --table public.profiles --yes",
        file.display()
    );
    answers.of(&set).await?;
    answers.of("trigger status").await?;
    answers.of("trigger guard public.handle_new_user").await?;
    answers
        .of("trigger guard public.handle_new_user --apply")
        .await?;

    answers.of("backfill --replay").await?;
    answers.of("backfill --apply").await?;
    let repair = answers.of("backfill --apply --yes --note once").await?;
    let run = repair["backfill"]["run_id"]
        .as_str()
        .context("a run")?
        .to_owned();
    answers.of("runs").await?;
    for action in ["runs show", "runs pause", "undo", "undo --yes", "runs show"] {
        answers.of(&format!("{action} {run}")).await?;
    }

    answers.of("backfill --apply --yes").await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("update auth.users set email = 'moved-' || email")
        .await?;
    for command in [
        "verify",
        "diagnose",
        "sync-emails",
        "sync-emails --apply --yes",
    ] {
        answers.of(command).await?;
    }
    answers.of("rollback --plan").await?;
    answers.of("rollback --yes").await?;

    check(&answers.all).await?;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for answer in &answers.all {
        seen.extend(answer.json()?["report"].as_str().map(str::to_owned));
    }
    let schema = rollcall(&[], &["schema"]).await?.json()?;
    let branches = schema["oneOf"].as_array().context("reports")?;
    let known: BTreeSet<String> = branches
        .iter()
        .filter_map(|branch| branch["properties"]["report"]["const"].as_str())
        .map(str::to_owned)
        .collect();
    assert_eq!(seen, known);
    Ok(())
}

#[tokio::test]
async fn every_failure_is_as_the_schema_says() -> Result<()> {
    let env = [("DATABASE_URL", NOBODY_LISTENS)];
    let mut failures = Vec::new();
    for name in commands().await? {
        let mut lines = vec![format!("{name} --nonsense")];
        if NEED_A_DATABASE.contains(&name.as_str()) {
            lines.push(name);
        }
        for line in lines {
            let arguments: Vec<&str> = line.split(' ').chain(["--format", "json"]).collect();
            let finished = rollcall(&env, &arguments).await?;
            assert_eq!(finished.status, Some(2), "{finished}");
            let answer = finished.json()?;
            assert_eq!(answer["verdict"], "unknown", "{finished}");
            assert_eq!(answer["findings"][0]["verdict"], "unknown", "{finished}");
            failures.push(finished);
        }
    }
    check(&failures).await
}

//! Every command and every query in the documentation runs as it stands there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::picture::lines_of;
use rollcall_tests::programs::program;
use rollcall_tests::project::Project;

/// Commands that are not run here, and why.
const NOT_HERE: [(&str, &str); 24] = [
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
    ("cargo cyclonedx ", "builds its tool first"),
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
        "rollcall undo RUN",
        "needs the id of a run; tests/runs.rs takes runs back",
    ),
    (".ci/run", "it runs tests/run"),
    ("INSTA_UPDATE=always tests/run", "it is what runs this test"),
    (
        "cargo run -p rollcall-tests --bin pictures",
        "changes the pictures that are compared here",
    ),
];

/// The guide, and the chapter of it whose queries are for projects of their own.
const GUIDE: &str = "docs/AUTH_PROFILE_CONSISTENCY_GUIDE.md";
const ADAPTING: &str = "## Adapting to your own profiles table";

/// The user whom the documentation asks for.
const SHOWN_USER: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

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

fn document(name: &str) -> Result<String> {
    fs::read_to_string(root().join(name)).with_context(|| format!("{name} is not there"))
}

fn documents() -> Result<Vec<String>> {
    [
        "README.md",
        "docs/doctor.md",
        "docs/performance.md",
        "docs/probe.md",
        "docs/reliability.md",
        "docs/security.md",
        "infra/README.md",
        GUIDE,
        "CONTRIBUTING.md",
    ]
    .into_iter()
    .map(document)
    .collect()
}

/// What stands below a heading, up to the next of its rank or a higher one.
fn section<'a>(markdown: &'a str, heading: &str) -> Result<&'a str> {
    let (_, text) = markdown
        .split_once(&format!("\n{heading}\n"))
        .with_context(|| format!("there is no {heading}"))?;
    let rank = heading.bytes().take_while(|byte| *byte == b'#').count();
    let end = (2..=rank)
        .filter_map(|rank| text.find(&format!("\n{} ", "#".repeat(rank))))
        .min();
    Ok(&text[..end.unwrap_or(text.len())])
}

/// The command of a line, ready to run in the repository's root with `rollcall` on the path.
fn command(line: &str) -> Result<Command> {
    let rollcall = program("rollcall")?;
    let mut command = match line.strip_prefix("rollcall ") {
        Some(arguments) => {
            let mut command = Command::new(&rollcall);
            command.args(arguments.split_whitespace());
            command
        }
        None => {
            let script = line.strip_prefix("bash ").with_context(|| {
                format!("the documentation has a command that no test runs: {line}")
            })?;
            let mut command = Command::new("bash");
            command.args(script.split_whitespace());
            command
        }
    };
    let folder = rollcall.parent().context("a folder")?.to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path)))?;
    command
        .current_dir(root())
        .env("PATH", path)
        .env_remove("SUPABASE_DB_URL");
    Ok(command)
}

#[tokio::test]
async fn every_command_runs_or_is_known_not_to_run_here() -> Result<()> {
    let project = Project::without_rollcall().await?;
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
            let output = command(line)?.env("DATABASE_URL", project.url()).output()?;
            ensure!(
                output.status.success(),
                "`{line}` failed:\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            run += 1;
            if line == "rollcall migrate" {
                project
                    .connect()
                    .await?
                    .batch_execute(&format!(
                        "insert into auth.users (id, aud, role, email, created_at)
                         values ('{SHOWN_USER}', 'authenticated', 'authenticated', 'ada@example.com', now())
                         on conflict do nothing"
                    ))
                    .await?;
            }
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
    let adapting = document(GUIDE)?;
    let adapting = section(&adapting, ADAPTING)?;
    for document in documents()? {
        for block in blocks(&document.replace(adapting, ""), "sql") {
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

/// One example of the guide: the table, the definition, and when which of them is made.
async fn adapted(heading: &str, before_migration: bool) -> Result<Project> {
    let guide = document(GUIDE)?;
    let sql = blocks(section(section(&guide, ADAPTING)?, heading)?, "sql");
    let [table, definition] = sql.as_slice() else {
        anyhow::bail!(
            "{heading} has {} queries, not a table and a definition",
            sql.len()
        );
    };
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(table).await?;
    if before_migration {
        client.batch_execute(definition).await?;
        project.migrate().await?;
    } else {
        project.migrate().await?;
        client.batch_execute(definition).await?;
    }
    Ok(project)
}

/// Signups of every kind, some of them while the trigger is off; a repair; and what the checks say at each step.
async fn live(project: &Project, people: usize) -> Result<()> {
    let verdict = async || -> Result<Verdict> {
        Ok(Diagnosis::take(&mut project.rollcall().await?)
            .await?
            .verdict)
    };
    let mut auth = project.auth().await?;
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    assert_eq!(verdict().await?, Verdict::Consistent);
    project.break_signups().await?;
    for (number, kind) in (100..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    assert_eq!(verdict().await?, Verdict::Inconsistent);
    project.fix_signups().await?;
    let outcome = rollcall::backfill::apply(
        &mut project.session()?,
        &rollcall_tests::backfills::order(5, None, None),
        None,
        |_| (),
    )
    .await?;
    assert_eq!(
        (usize::try_from(outcome.created)?, outcome.failed),
        (people, 0)
    );
    assert_eq!(verdict().await?, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn a_table_of_another_shape_is_adapted_as_the_guide_says() -> Result<()> {
    let project = adapted("### Another shape", false).await?;
    live(&project, 12).await?;
    // nobody names himself an administrator
    let mut auth = project.auth().await?;
    for (number, role) in (200..).zip(["seller", "admin", "nonsense"]) {
        let person = Person::numbered(number).with_metadata("role", role.into());
        auth.sign_up(SignupKind::EmailAutoconfirm, &person).await?;
    }
    let roles = "select count(*) from public.profiles where role = ";
    assert_eq!(project.count(&format!("{roles} 'seller'")).await?, 1);
    assert_eq!(project.count(&format!("{roles} 'admin'")).await?, 0);
    assert_eq!(project.count(&format!("{roles} 'buyer'")).await?, 26);
    Ok(())
}

#[tokio::test]
async fn a_table_of_another_name_is_adapted_as_the_guide_says() -> Result<()> {
    let project = adapted("### Another table", true).await?;
    // one of the kinds is anonymous
    live(&project, 11).await?;
    assert_eq!(
        project.count("select count(*) from public.members").await?,
        22
    );
    assert_eq!(
        project
            .count("select count(*) from pg_catalog.pg_class where relname = 'profiles'")
            .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_table_with_a_text_key_is_adapted_as_the_guide_says() -> Result<()> {
    let project = adapted("### A text key", false).await?;
    live(&project, 12).await?;
    let fitting = "select count(*) from public.profiles p join auth.users u on u.id::text = p.uid where p.plan = 'free'";
    assert_eq!(project.count(fitting).await?, 24);
    Ok(())
}

/// Names of findings and errors that the guide explains are names that the program uses.
#[test]
fn the_guide_explains_what_there_is() -> Result<()> {
    let guide = document(GUIDE)?;
    let mut sources = String::new();
    for folder in ["shared/src", "shared/src/checks"] {
        for entry in fs::read_dir(root().join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(path)?;
            }
        }
    }
    let mut explained = 0;
    for heading in ["## Root causes", "## Troubleshooting"] {
        for row in section(&guide, heading)?
            .lines()
            .filter(|line| line.starts_with("| `"))
        {
            let name = row.split('`').nth(1).context("a name")?;
            ensure!(
                sources.contains(&format!("\"{name}\"")),
                "nothing is called {name}"
            );
            explained += 1;
        }
    }
    ensure!(explained > 10, "{explained}");
    Ok(())
}

/// What differs from run to run, as the record of the demo has it.
fn timeless(line: &str) -> String {
    line.split(' ')
        .map(|word| {
            if word.parse::<uuid::Uuid>().is_ok() {
                "[id]"
            } else if word.parse::<jiff::Timestamp>().is_ok() {
                "[time]"
            } else {
                word
            }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Pictures that are shown are there; every line of the demo's is one that the demo says.
#[test]
fn the_pictures_show_what_the_programs_say() -> Result<()> {
    for name in ["README.md", GUIDE] {
        let text = document(name)?;
        for picture in text.split("images/").skip(1) {
            let picture = picture.split(')').next().context("a name")?;
            let path = root().join("docs/images").join(picture);
            ensure!(path.is_file(), "{name} shows {picture}");
        }
    }
    let svg = document("docs/images/demo.svg")?;
    let story = document("tests/tests/snapshots/demo__story.snap")?;
    let lines = lines_of(&svg);
    ensure!(lines.len() > 20, "{lines:?}");
    for line in lines.iter().filter(|line| !line.starts_with("$ ")) {
        let told = timeless(line);
        ensure!(
            story.lines().any(|said| said == told),
            "the demo does not say: {line}; make the picture anew (CONTRIBUTING.md)"
        );
    }
    Ok(())
}

//! The command line as scripts and people meet it: exit statuses, streams, whole outputs.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{
    command_line::{Finished, rollcall, run},
    programs::program,
    project::Project,
};
use uuid::Uuid;

use crate::schema;

/// The commands that look and change nothing, `ID` standing for a user.
pub(crate) const LOOKS: [&str; 10] = [
    "diagnose",
    "mismatches",
    "mismatches --limit 1",
    "recent",
    "health",
    "verify",
    "events ID",
    "explain ID",
    "backfill",
    "backfill --user ID",
];

/// The exit statuses of [`LOOKS`] where everything is well, and where something is wrong. A dry run
/// is done once it is made; one for a single user says whether this one can be helped.
const STATUSES: [(i32, i32); 10] = [
    (0, 1),
    (0, 1),
    (0, 1),
    (0, 1),
    (0, 1),
    (0, 1),
    (0, 1),
    (0, 1),
    (0, 0),
    (0, 1),
];

/// What is said where Rollcall is not installed.
const LOOKING: &str = "Rollcall is not installed here: this looks through a copy that is rolled back; nothing is left behind.\n";

/// Nobody listens there: the port is for the system's own use.
pub(crate) const NOBODY_LISTENS: &str = "postgresql://postgres:hunter2@127.0.0.1:1/postgres";

/// What differs from run to run: ids, moments, ages. What stands for them in a table is as wide.
fn with_filters(assertions: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
    );
    settings.add_filter(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]");
    settings.add_filter(r#""path": "[0-9a-f]{32}""#, r#""path": "[path]""#);
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD hh:mm:ss");
    settings.add_filter(r"fresh_\d+", "fresh_N");
    // profiles as they would be stand in the order of ids, which is another each time
    settings.add_filter(r"(\n  email +)(-|.\*\*\*@e\*\*\*\.com)", "$1[email]");
    settings.add_filter(
        r"(YYYY-MM-DD hh:mm:ssZ ┆ )(-|.\*\*\*@e\*\*\*\.com) +",
        "$1[email] ",
    );
    settings.add_filter(
        r#""email": (null|"[^"]*"),\n( +"id")"#,
        "\"email\": \"[email]\",\n$2",
    );
    settings.add_filter(r"about \d+(\.\d)? s,", "about [estimate] s,");
    settings.add_filter(
        r#""estimated_seconds": [0-9.]+"#,
        r#""estimated_seconds": [estimate]"#,
    );
    settings.add_filter(
        r#""minutes_since_signup": [0-9.]+"#,
        r#""minutes_since_signup": [age]"#,
    );
    settings.add_filter(r"┆ \d\.\d( +┆ user)", "┆ m.m$1");
    settings.add_filter(
        r"rollcall \d+\.\d+\.\d+ \(migrations \d{14}\)",
        "rollcall [version]",
    );
    settings.bind(assertions);
}

pub(crate) fn with_id(command: &str, id: Uuid) -> Vec<String> {
    command
        .replace("ID", &id.to_string())
        .split(' ')
        .map(str::to_owned)
        .collect()
}

/// Runs all of [`LOOKS`] and compares the transcript with the one on record.
async fn transcript(
    name: &str,
    url: &str,
    id: Uuid,
    said: &str,
    status: impl Fn(usize) -> i32,
) -> Result<()> {
    for format in ["table", "json"] {
        let mut all = String::new();
        let mut answers = Vec::new();
        for (number, command) in LOOKS.iter().enumerate() {
            let mut arguments = with_id(command, id);
            if format == "json" {
                arguments.extend(["--format".to_owned(), "json".to_owned()]);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let finished = rollcall(&[("DATABASE_URL", url)], &arguments).await?;
            assert_eq!(finished.status, Some(status(number)), "{finished}");
            assert_eq!(finished.stderr, said, "{finished}");
            ensure!(!finished.stdout.contains('\u{1b}'), "colours: {finished}");
            if format == "json" {
                check_report(&finished)?;
            }
            all += &format!("{finished}\n");
            answers.push(finished);
        }
        if format == "json" {
            // without it the page is served, which tests/dashboard_server.rs looks at
            let arguments = ["dashboard", "--format", "json"];
            let finished = rollcall(&[("DATABASE_URL", url)], &arguments).await?;
            assert_eq!(finished.status, Some(status(0)), "{finished}");
            check_report(&finished)?;
            all += &format!("{finished}\n");
            answers.push(finished);
            schema::check(&answers).await?;
        }
        with_filters(|| insta::assert_snapshot!(format!("{name}_{format}"), all));
    }
    Ok(())
}

/// Verdict and findings at the top, whatever the command.
fn check_report(finished: &Finished) -> Result<()> {
    ensure!(finished.stdout.ends_with("}\n"), "{finished}");
    let report = finished.json()?;
    let verdict = report["verdict"].as_str().context("no verdict")?;
    ensure!(
        ["consistent", "inconsistent", "unknown"].contains(&verdict),
        "{report}"
    );
    for finding in report["findings"].as_array().context("no findings")? {
        for field in ["id", "severity", "summary", "next_step"] {
            ensure!(finding[field].is_string(), "{field}: {finding}");
        }
    }
    let fits = match finished.status {
        Some(0) => verdict == "consistent" || report["dry_run"] == true,
        Some(1) => verdict == "inconsistent",
        _ => verdict == "unknown",
    };
    ensure!(fits, "{finished}");
    Ok(())
}

/// A user of every kind, each with a profile.
async fn consistent_project() -> Result<(Project, Uuid)> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    let mut newest = Uuid::nil();
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        newest = auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    Ok((project, newest))
}

/// Missing profiles of three kinds, one of them for a reason on record; a user deleted past the
/// audit log; a changed address. Returns the user with the reason on record.
async fn inconsistent_project() -> Result<(Project, Uuid)> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    let ada = auth
        .sign_up(
            SignupKind::EmailAutoconfirm,
            &Person::with_email("ada@example.com"),
        )
        .await?;
    auth.change_email(ada, "ada@example.org").await?;
    let gone = auth
        .sign_up(SignupKind::Oauth, &Person::with_email("gone@example.com"))
        .await?;
    auth.sql_delete(gone).await?;

    project.break_signups().await?;
    auth.sign_up(
        SignupKind::EmailAutoconfirm,
        &Person::with_email("bob@example.com"),
    )
    .await?;
    auth.sign_up(SignupKind::PhoneAutoconfirm, &Person::numbered(1))
        .await?;
    project.fix_signups().await?;

    project
        .connect()
        .await?
        .batch_execute(
            "alter table public.profiles add constraint no_eve check (email <> 'eve@example.com')",
        )
        .await?;
    let eve = auth
        .sign_up(
            SignupKind::EmailAutoconfirm,
            &Person::with_email("eve@example.com"),
        )
        .await?;
    Ok((project, eve))
}

/// Profiles, events and remembered failures: what only a changing command changes.
async fn state(project: &Project) -> Result<[i64; 3]> {
    Ok([
        project
            .count("select count(*) from public.profiles")
            .await?,
        project.count("select count(*) from rollcall.event").await?,
        project
            .count("select count(*) from rollcall.failure")
            .await?,
    ])
}

#[tokio::test]
async fn every_command_on_a_consistent_project() -> Result<()> {
    let (project, id) = consistent_project().await?;
    let before = state(&project).await?;
    transcript("consistent", &project.url(), id, "", |number| {
        STATUSES[number].0
    })
    .await?;
    assert_eq!(state(&project).await?, before);
    Ok(())
}

#[tokio::test]
async fn every_command_on_an_inconsistent_project() -> Result<()> {
    let (project, id) = inconsistent_project().await?;
    let before = state(&project).await?;
    transcript("inconsistent", &project.url(), id, "", |number| {
        STATUSES[number].1
    })
    .await?;
    assert_eq!(state(&project).await?, before);
    Ok(())
}

#[tokio::test]
async fn every_command_on_a_database_without_rollcall() -> Result<()> {
    let project = Project::without_rollcall().await?;
    transcript("not_migrated", &project.url(), Uuid::nil(), LOOKING, |_| 2).await
}

#[tokio::test]
async fn every_command_without_a_server() -> Result<()> {
    transcript("no_server", NOBODY_LISTENS, Uuid::nil(), "", |_| 2).await
}

/// "Nothing went wrong" must not stand below a verdict of `unknown`.
#[tokio::test]
async fn a_check_that_saw_nothing_says_nothing_good() -> Result<()> {
    for command in ["diagnose", "recent", "health", "verify", "mismatches"] {
        let finished = rollcall(&[("DATABASE_URL", NOBODY_LISTENS)], &[command]).await?;
        let after = finished.stdout.split_once("database_unreachable");
        let after = after.with_context(|| finished.to_string())?.1;
        for claim in ["No signup", "Nobody", "PASS", "consistent", "┌"] {
            ensure!(!after.contains(claim), "{finished}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn misuse_is_2_and_says_nothing_on_standard_output() -> Result<()> {
    let mut all = String::new();
    for command in [
        "",
        "nonsense",
        "diagnose --nonsense",
        "diagnose --format xml",
        "mismatches --limit 0",
        "mismatches --limit many",
        "events",
        "events nobody",
        "backfill --yes",
        "backfill --batch-size 0",
        "backfill --batch-size 10001",
        "backfill --max-users 0",
        "backfill --user 7d444840-9dc0-11d1-b245-5ffdce74fad2 --max-users 5",
        "backfill --account-type drop;table",
        "rollback --everything",
        "dashboard --port 65536",
        "dashboard --refresh 0",
        "completions tcsh",
        "manual nonsense",
        "diagnose --nonsense --format json",
        "backfill --batch-size 0 --format json",
    ] {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let finished = rollcall(&[("DATABASE_URL", NOBODY_LISTENS)], &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        // whoever asked for JSON gets it
        assert_eq!(
            finished.stdout.is_empty(),
            !command.contains("json"),
            "{finished}"
        );
        ensure!(
            !finished.stderr.is_empty() || command.contains("json"),
            "{finished}"
        );
        all += &format!("{finished}\n");
    }
    with_filters(|| insta::assert_snapshot!("misuse", all));
    Ok(())
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_unknown() -> Result<()> {
    let mut all = String::new();
    for (what, env) in [
        ("no settings", vec![]),
        (
            "empty settings",
            vec![("DATABASE_URL", ""), ("SUPABASE_DB_URL", " ")],
        ),
        ("no connection string", vec![("DATABASE_URL", "hunter2")]),
        (
            "plaintext to elsewhere",
            vec![(
                "DATABASE_URL",
                "postgresql://u:hunter2@db.example/x?sslmode=disable",
            )],
        ),
        (
            "no certificate",
            vec![
                (
                    "DATABASE_URL",
                    "postgresql://u:hunter2@127.0.0.1:1/x?sslmode=verify-full",
                ),
                ("DATABASE_CA_CERT", "/nonexistent/hunter2.pem"),
            ],
        ),
    ] {
        for format in ["table", "json"] {
            let finished = rollcall(&env, &["health", "--format", format]).await?;
            assert_eq!(finished.status, Some(2), "{finished}");
            ensure!(!format!("{finished}").contains("hunter2"), "{finished}");
            if format == "json" {
                check_report(&finished)?;
            }
            all += &format!("# {what}\n{finished}\n");
        }
    }
    with_filters(|| insta::assert_snapshot!("settings", all));
    Ok(())
}

#[tokio::test]
async fn the_argument_comes_before_database_url_and_that_before_supabase_db_url() -> Result<()> {
    let (consistent, _) = consistent_project().await?;
    let (inconsistent, _) = inconsistent_project().await?;
    let (good, bad) = (consistent.url(), inconsistent.url());
    let both = [("DATABASE_URL", good.as_str()), ("SUPABASE_DB_URL", &bad)];
    let only_supabase = [("SUPABASE_DB_URL", bad.as_str())];
    let empty = [("DATABASE_URL", ""), ("SUPABASE_DB_URL", bad.as_str())];
    let in_argument = ["health", "--database-url", &bad];
    assert_eq!(rollcall(&both, &["health"]).await?.status, Some(0));
    assert_eq!(rollcall(&only_supabase, &["health"]).await?.status, Some(1));
    assert_eq!(rollcall(&empty, &["health"]).await?.status, Some(1));
    assert_eq!(rollcall(&both, &in_argument).await?.status, Some(1));
    let first = ["--database-url", &good, "health"];
    assert_eq!(rollcall(&only_supabase, &first).await?.status, Some(0));
    Ok(())
}

#[tokio::test]
async fn addresses_are_masked_unless_somebody_asks() -> Result<()> {
    let (project, _) = inconsistent_project().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    for format in ["table", "json"] {
        let masked = rollcall(&env, &["mismatches", "--format", format]).await?;
        ensure!(masked.stdout.contains("b***@e***.com"), "{masked}");
        ensure!(!masked.stdout.contains("@example"), "{masked}");
        let shown = rollcall(&env, &["mismatches", "--show-pii", "--format", format]).await?;
        ensure!(shown.stdout.contains("bob@example.com"), "{shown}");
        ensure!(!shown.stdout.contains("***"), "{shown}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_changed_without_a_terminal_to_confirm_on() -> Result<()> {
    let (project, id) = inconsistent_project().await?;
    let before = state(&project).await?;
    let url = project.url();
    let id = id.to_string();
    let file = tempfile::NamedTempFile::new()?;
    let draft = rollcall(&[("DATABASE_URL", &url)], &["definition", "draft"]).await?;
    fs::write(file.path(), draft.stdout)?;
    let definition = file.path().to_str().context("a path")?;
    for arguments in [
        vec!["backfill", "--apply"],
        vec!["backfill", "--apply", "--format", "json"],
        vec!["backfill", "--apply", "--user", &id],
        vec!["rollback"],
        vec!["rollback", "--diagnostics"],
        vec!["definition", "set", definition],
    ] {
        let finished = rollcall(&[("DATABASE_URL", &url)], &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        ensure!(
            finished.stderr.contains("nothing was changed"),
            "{finished}"
        );
        ensure!(finished.stderr.contains("--yes"), "{finished}");
    }
    assert_eq!(state(&project).await?, before);
    assert_eq!(
        rollcall(&[("DATABASE_URL", &url)], &["health"])
            .await?
            .status,
        Some(1)
    );
    Ok(())
}

/// As it would be on an endless line.
fn in_one_line(finished: &Finished) -> String {
    let shown = finished.to_string();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_named_with_the_cause() -> Result<()> {
    for (url, host, cause) in [
        (NOBODY_LISTENS, "127.0.0.1", "connection refused"),
        (
            "postgresql://postgres:hunter2@no-such-host.invalid/postgres",
            "no-such-host.invalid",
            "its host name cannot be resolved",
        ),
    ] {
        for command in ["health", "migrate", "runs resume abcd"] {
            let arguments: Vec<&str> = command.split(' ').collect();
            let finished = rollcall(&[("DATABASE_URL", url)], &arguments).await?;
            let shown = in_one_line(&finished);
            ensure!(shown.contains(&format!("postgres on {host}")), "{finished}");
            ensure!(shown.contains(cause), "{finished}");
            ensure!(!shown.contains("hunter2"), "{finished}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn whoever_locks_a_table_is_named() -> Result<()> {
    for (mode, command) in [
        ("access exclusive", "health"),
        ("access exclusive", "mismatches"),
        ("share row exclusive", "backfill --apply --yes"),
    ] {
        let project = Project::migrated().await?;
        // as many as are no busy rows any more, but a table
        project.add_users_without_profile(20).await?;
        let holder = project.connect().await?;
        holder
            .batch_execute(&format!("begin; lock table public.profiles in {mode} mode"))
            .await?;
        let row = holder
            .query_typed_one("select pg_backend_pid()", &[])
            .await?;
        let pid: i32 = row.get(0);
        let arguments: Vec<&str> = command.split(' ').collect();
        let url = project.url();
        let finished = rollcall(&[("DATABASE_URL", &url)], &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        let shown = in_one_line(&finished);
        for words in [
            format!("public.profiles is locked by process {pid} (role postgres)"),
            format!("select pg_terminate_backend({pid})"),
        ] {
            ensure!(shown.contains(&words), "{words}: {finished}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_user_may_be_named_by_address_and_nobody_of_it_leads_to_the_probe() -> Result<()> {
    let (project, id) = inconsistent_project().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    for command in ["explain", "events", "backfill --user"] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("eve@example.com");
        let finished = rollcall(&env, &arguments).await?;
        assert_eq!(finished.status, Some(1), "{finished}");
        ensure!(
            command == "events" || finished.stdout.contains(&id.to_string()),
            "{finished}"
        );
        arguments.pop();
        arguments.push("nobody@example.com");
        let finished = rollcall(&env, &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        ensure!(finished.stderr.contains("rollcall probe"), "{finished}");
        arguments.pop();
        arguments.push("nobody");
        let finished = rollcall(&env, &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        ensure!(
            finished
                .stderr
                .contains("neither a user's id nor an e-mail"),
            "{finished}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn from_an_empty_project_to_a_repaired_one_and_back() -> Result<()> {
    let project = Project::without_rollcall().await?;
    project
        .connect()
        .await?
        .batch_execute(include_str!("../../src/project/application.sql"))
        .await?;
    let url = project.url();
    let mut all = String::new();
    let mut step = async |arguments: &str, status: i32| -> Result<()> {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let finished = rollcall(&[("DATABASE_URL", &url)], &arguments).await?;
        assert_eq!(finished.status, Some(status), "{finished}");
        all += &format!("{finished}\n");
        Ok(())
    };
    step("health", 0).await?;
    step("migrate", 2).await?;
    step("migrate --yes", 0).await?;
    step("migrate", 0).await?;
    step("migrate --plan --format json", 0).await?;
    step("health", 0).await?;
    project.add_users_without_profile(5).await?;
    step("health", 1).await?;
    step("backfill", 0).await?;
    step("backfill --apply --yes --max-users 2 --format json", 1).await?;
    step("backfill --apply --yes --batch-size 1", 0).await?;
    step("backfill --apply --yes", 0).await?;
    step("verify", 0).await?;
    step("rollback --diagnostics --yes", 0).await?;
    step("health", 0).await?;
    step("migrate --yes", 0).await?;
    step("health", 0).await?;
    step("rollback --yes --format json", 0).await?;
    step("health", 0).await?;
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        5
    );
    with_filters(|| insta::assert_snapshot!("whole_life", all));
    Ok(())
}

#[tokio::test]
async fn a_profile_that_cannot_be_made_is_named_with_its_reason() -> Result<()> {
    let (project, id) = inconsistent_project().await?;
    let url = project.url();
    let id = id.to_string();
    let mut all = String::new();
    for arguments in [
        vec!["backfill", "--apply", "--yes"],
        vec!["backfill", "--apply", "--yes", "--format", "json"],
        vec!["backfill", "--apply", "--yes", "--user", &id],
    ] {
        let finished = rollcall(&[("DATABASE_URL", &url)], &arguments).await?;
        assert_eq!(finished.status, Some(1), "{finished}");
        ensure!(finished.stdout.contains("no_eve"), "{finished}");
        all += &format!("{finished}\n");
    }
    with_filters(|| insta::assert_snapshot!("failed_repair", all));
    Ok(())
}

#[tokio::test]
async fn help_and_version_are_data() -> Result<()> {
    let mut all = String::new();
    let mut arguments = vec![vec!["--version".to_owned()], vec!["--help".to_owned()]];
    let commands = commands().await?;
    arguments.extend(
        commands
            .into_iter()
            .map(|name| vec![name, "--help".to_owned()]),
    );
    for arguments in arguments {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // the password would be shown as the default of --database-url
        let finished = rollcall(&[("DATABASE_URL", NOBODY_LISTENS)], &arguments).await?;
        assert_eq!(finished.status, Some(0), "{finished}");
        assert_eq!(finished.stderr, "", "{finished}");
        ensure!(!finished.stdout.contains("hunter2"), "{finished}");
        all += &format!("{finished}\n");
    }
    with_filters(|| insta::assert_snapshot!("help", all));
    Ok(())
}

/// The names under "Commands" in the help.
pub(crate) async fn commands() -> Result<Vec<String>> {
    let help = rollcall(&[], &["--help"]).await?.stdout;
    let (_, list) = help.split_once("Commands:\n").context("no commands")?;
    let names: Vec<String> = list
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect();
    ensure!(names.len() > 10, "{names:?}");
    Ok(names)
}

#[tokio::test]
async fn the_version_is_the_crates_and_the_newest_migrations() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let newest = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".sql")?.split_once('_')?.0.to_owned()))
        .max()
        .context("no migration")?;
    let version = format!(
        "rollcall {} (migrations {newest})\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(rollcall(&[], &["--version"]).await?.stdout, version);
    // and what a database says that has them all
    let project = Project::migrated().await?;
    let row = project
        .connect()
        .await?
        .query_typed_one("select rollcall.schema_version()", &[])
        .await?;
    assert_eq!(row.get::<_, String>(0), newest);
    Ok(())
}

#[tokio::test]
async fn shells_and_man_get_what_they_understand() -> Result<()> {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        // needs no database and no settings
        let finished = rollcall(&[], &["completions", shell]).await?;
        assert_eq!(finished.status, Some(0), "{finished}");
        for name in commands().await? {
            let is_known = finished
                .stdout
                .split(|letter: char| !letter.is_alphanumeric() && letter != '-')
                .any(|word| word == name);
            ensure!(is_known, "{shell} does not know {name}");
        }
    }
    let bash = rollcall(&[], &["completions", "bash"]).await?.stdout;
    let asked = format!(
        "{bash}\nCOMP_WORDS=(rollcall back); COMP_CWORD=1; _rollcall rollcall back rollcall; echo ${{COMPREPLY[@]}}"
    );
    let answer = Command::new("bash").args(["-c", &asked]).output()?;
    assert_eq!(String::from_utf8(answer.stdout)?, "backfill\n");

    for arguments in [&["manual"] as &[&str], &["manual", "backfill"]] {
        let finished = rollcall(&[], arguments).await?;
        assert_eq!(finished.status, Some(0), "{finished}");
        for section in [".TH rollcall", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            ensure!(finished.stdout.contains(section), "{section}: {finished}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_who_has_had_enough_is_no_error() -> Result<()> {
    let project = Project::migrated().await?;
    // more than a pipe holds
    project.add_users_without_profile(3000).await?;
    for format in ["table", "json"] {
        let mut child = Command::new(program("rollcall")?)
            .args(["mismatches", "--limit", "3000", "--format", format])
            .env_clear()
            .env("DATABASE_URL", project.url())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().context("a pipe")?);
        reader.read_line(&mut line)?;
        drop(reader);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .context("a pipe")?
            .read_to_string(&mut stderr)?;
        assert_eq!(stderr, "", "{format}");
        assert_eq!(child.wait()?.code(), Some(1), "{format}");
    }
    Ok(())
}

/// Half a report that looks like a whole one would be the worst of both.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error() -> Result<()> {
    let (project, _) = consistent_project().await?;
    let status = Command::new(program("rollcall")?)
        .args(["health"])
        .env_clear()
        .env("DATABASE_URL", project.url())
        .stdin(Stdio::null())
        .stdout(File::options().write(true).open("/dev/full")?)
        .stderr(Stdio::null())
        .status()?;
    assert_eq!(status.code(), Some(2));
    Ok(())
}

/// What a terminal shows; `script` gives the program one, and types `keys`.
#[cfg(target_os = "linux")]
async fn on_a_terminal(env: &[(&str, &str)], arguments: &str, keys: &str) -> Result<Finished> {
    on_a_terminal_of(100, env, arguments, keys).await
}

/// The same on one with so many columns.
#[cfg(target_os = "linux")]
async fn on_a_terminal_of(
    columns: u16,
    env: &[(&str, &str)],
    arguments: &str,
    keys: &str,
) -> Result<Finished> {
    let rollcall = program("rollcall")?;
    let folder = tempfile::tempdir()?;
    let typed = folder.path().join("keys");
    fs::write(&typed, keys)?;
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            r#"(sleep 1; cat "$1"; sleep 1) | script -qec "$2" /dev/null"#,
            "sh",
        ])
        .arg(&typed)
        .arg(format!(
            "stty rows 24 columns {columns} && '{}' {arguments}",
            rollcall.display()
        ))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .envs(env.iter().copied());
    run(command, arguments).await
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_terminal_there_is_colour_unless_no_color_is_set() -> Result<()> {
    let (project, _) = inconsistent_project().await?;
    let url = project.url();
    let plain = [("DATABASE_URL", url.as_str())];
    let colourful = on_a_terminal(&plain, "health", "").await?;
    assert_eq!(colourful.status, Some(1), "{colourful}");
    ensure!(colourful.stdout.contains("\u{1b}["), "{colourful}");
    let quiet = [("DATABASE_URL", url.as_str()), ("NO_COLOR", "1")];
    let quiet = on_a_terminal(&quiet, "health", "").await?;
    assert_eq!(quiet.status, Some(1), "{quiet}");
    ensure!(!quiet.stdout.contains("\u{1b}["), "{quiet}");
    Ok(())
}

/// A table that is wider than the terminal falls apart; text wraps by itself.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_narrow_terminal_tables_and_findings_stay_in_shape() -> Result<()> {
    let (project, id) = inconsistent_project().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str()), ("NO_COLOR", "1")];
    let mut drawn = 0;
    for command in LOOKS {
        let arguments = with_id(command, id).join(" ");
        let finished = on_a_terminal_of(40, &env, &arguments, "").await?;
        let is_drawn = |line: &&str| {
            "┌│╞└".contains(line.chars().next().unwrap_or(' ')) || line.starts_with("    ")
        };
        for line in finished.stdout.lines().filter(is_drawn) {
            drawn += 1;
            let width = line.trim_end().chars().count();
            ensure!(
                width <= 40,
                "{command}: {width} columns: {line}\n{finished}"
            );
        }
        // and nobody's id is cut short in a pipe
        let arguments = with_id(command, id);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let piped = rollcall(&[env[0]], &arguments).await?;
        ensure!(
            !piped.stdout.contains('\u{1b}') && !piped.stdout.contains('…'),
            "{piped}"
        );
    }
    ensure!(drawn > 100, "{drawn} lines of tables and findings");
    Ok(())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_terminal_a_repair_asks_first() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(2).await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str()), ("NO_COLOR", "1")];
    for (keys, status, profiles) in [("n", 2, 0), ("\r", 2, 0), ("y", 0, 2)] {
        let finished = on_a_terminal(&env, "backfill --apply", keys).await?;
        assert_eq!(finished.status, Some(status), "{keys:?}: {finished}");
        ensure!(
            finished.stdout.contains("Create 2 profiles in database"),
            "{finished}"
        );
        assert_eq!(state(&project).await?[0], profiles, "{keys:?}: {finished}");
    }
    Ok(())
}

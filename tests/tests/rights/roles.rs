//! The two roles for programs: what each can do, and that it can do nothing else.

use anyhow::{Context, Result, ensure};
use rollcall::migrations::{self, Extent};
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::lambda::Lambda;
use rollcall_tests::pooler::Pooler;
use rollcall_tests::project::{self, Project};
use rollcall_tests::sql::{refusal, value};
use serde_json::json;
use uuid::Uuid;

const MONITOR: &str = "rollcall_monitor";
const REPAIRER: &str = "rollcall_repairer";

/// A project with one user who has a profile and one who has none, and roles that may log in.
async fn project() -> Result<(Project, Uuid)> {
    let project = Project::migrated().await?;
    project.let_roles_log_in().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.break_signups().await?;
    let missed = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    project.fix_signups().await?;
    Ok((project, missed))
}

async fn run(url: &str, arguments: &str) -> Result<Finished> {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    rollcall(&[("DATABASE_URL", url)], &arguments).await
}

/// Every report, `ID` standing for a user.
const REPORTS: [&str; 9] = [
    "diagnose",
    "doctor",
    "probe",
    "mismatches",
    "recent",
    "health",
    "verify",
    "events ID",
    "explain ID",
];

/// What is the same at any moment, and without the addresses, of which the owner sees the masked ones.
fn comparable(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.contains("minutes_since_signup") && !line.contains('Z'))
    {
        match line.split_once(": ") {
            Some((key, value)) if value.starts_with('"') && value.contains("***@") => {
                let comma = if value.ends_with(',') { "," } else { "" };
                lines.push(format!("{key}: null{comma}"));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn both_roles_take_every_report_as_the_owner_does_and_see_no_address() -> Result<()> {
    let (project, missed) = project().await?;
    let pooler = Pooler::start(project::server()?).await?;
    for report in REPORTS {
        let arguments = report.replace("ID", &missed.to_string()) + " --format json";
        let owner = run(&project.url(), &arguments).await?;
        assert_ne!(owner.status, Some(2), "{owner}");
        for role in [MONITOR, REPAIRER] {
            let mut urls = vec![project.database.url_as(role)];
            urls.extend(
                pooler
                    .as_ref()
                    .map(|pooler| pooler.url_as(role, &project.database)),
            );
            for url in urls {
                let theirs = run(&url, &arguments).await?;
                assert_eq!(theirs.status, owner.status, "{role}: {theirs}");
                ensure!(!theirs.stdout.contains('@'), "{role}: {theirs}");
                assert_eq!(
                    comparable(&theirs.stdout),
                    comparable(&owner.stdout),
                    "{role}"
                );
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_monitor_can_repair_nothing() -> Result<()> {
    let (project, missed) = project().await?;
    let url = project.database.url_as(MONITOR);
    for arguments in [
        "backfill --apply --yes".to_owned(),
        format!("backfill --apply --yes --user {missed}"),
    ] {
        let finished = run(&url, &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
    }
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn the_repairer_repairs() -> Result<()> {
    let (project, _) = project().await?;
    let url = project.database.url_as(REPAIRER);
    let finished = run(&url, "backfill").await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    let finished = run(&url, "backfill --apply --yes").await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        2
    );
    Ok(())
}

#[tokio::test]
async fn neither_role_reaches_a_table_or_a_setting() -> Result<()> {
    let (project, _) = project().await?;
    for role in [MONITOR, REPAIRER] {
        let client = rollcall_sandbox::connect(&project.database.url_as(role)).await?;
        for statement in [
            "select 1 from auth.users",
            "select 1 from auth.audit_log_entries",
            "select 1 from public.profiles",
            "update public.profiles set email = 'x'",
            "delete from public.profiles",
            "insert into public.profiles (id) values (gen_random_uuid())",
            "select 1 from public.user_events",
            "select 1 from public.auth_profile_mismatch",
            "select 1 from public.signup_audit_summary",
            "select 1 from rollcall.event",
            "select 1 from rollcall.settings",
            "select 1 from rollcall.failure",
            "select 1 from rollcall.receipt",
            "update rollcall.settings set grace_period = '1 hour'",
            "update rollcall.message set sent_at = now()",
            "insert into rollcall.check_run (check_name, verdict, finding_ids, counts) values ('health', 'consistent', '{}', '{}')",
            "delete from rollcall.check_run",
            "create table public.mine (id integer)",
            "create function rollcall.mine() returns void language sql as ''",
            "select rollcall.expected_profile()",
            "select rollcall.actual_profile()",
            "select rollcall.create_many(array[gen_random_uuid()], '{}', false)",
            "select rollcall.repair_many(array[gen_random_uuid()], '{}', '{}', false)",
            "select rollcall.define('public.profiles', 'select')",
            "select rollcall.adopt_draft()",
            "select rollcall.create_profile_table()",
            "select rollcall.install_signup_trigger()",
            "select rollcall.remove_signup_trigger()",
            "select rollcall.forget_old()",
            "drop function rollcall.user_counts()",
        ] {
            let code = refusal(&client, statement)
                .await
                .with_context(|| format!("{role} may {statement}"))?;
            ensure!(code == "42501", "{role}: {statement}: {code}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn neither_role_may_call_the_public_api() -> Result<()> {
    let (project, missed) = project().await?;
    for role in [MONITOR, REPAIRER] {
        let client = rollcall_sandbox::connect(&project.database.url_as(role)).await?;
        for call in [
            "diagnose_auth_profile_consistency()",
            "get_auth_profile_mismatches()",
            "check_recent_signup_issues()",
            "monitor_signup_health()",
            "verify_profile_completeness()",
            "backfill_all_missing_profiles(10, false)",
            &format!("get_user_signup_events('{missed}')"),
            &format!("backfill_user_profile('{missed}')"),
            &format!("ensure_profile_exists('{missed}')"),
        ] {
            let code = refusal(&client, &format!("select public.{call}")).await;
            assert_eq!(code.as_deref(), Some("42501"), "{role}: {call}");
        }
    }
    Ok(())
}

/// Neither a value nor the application's own code may be chosen by a role that repairs.
#[tokio::test]
async fn the_repairer_repairs_by_the_definition_only() -> Result<()> {
    let (project, missed) = project().await?;
    let url = project.database.url_as(REPAIRER);
    let client = rollcall_sandbox::connect(&url).await?;
    for call in [
        format!(
            "repair_users(array['{missed}']::uuid[], 'backfill', '{{\"account_type\": \"admin\"}}')"
        ),
        format!(
            "repair_users(array['{missed}']::uuid[], 'backfill', '{{\"email\": \"x@example.com\"}}')"
        ),
        format!("preview_users(array['{missed}']::uuid[], 1, '{{\"account_type\": \"admin\"}}')"),
        format!("preview_users(array['{missed}']::uuid[], 1, '{{}}', true)"),
        "start_run('lambda', '{\"overrides\": {\"account_type\": \"admin\"}}')".to_owned(),
        "start_run('lambda', '{\"replay\": true}')".to_owned(),
    ] {
        let code = refusal(&client, &format!("select rollcall.{call}")).await;
        assert_eq!(code.as_deref(), Some("42501"), "{call}");
    }
    for arguments in [
        "backfill --apply --yes --account-type admin".to_owned(),
        "backfill --apply --yes --replay".to_owned(),
        format!("backfill --apply --yes --account-type admin --user {missed}"),
    ] {
        let finished = run(&url, &arguments).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        ensure!(
            finished
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains("role rollcall_repairer may"),
            "{finished}"
        );
    }
    // a run that a trusted role began is not continued with its values
    let owner = project.connect().await?;
    owner
        .batch_execute(
            "select rollcall.start_run('cli', '{\"overrides\": {\"account_type\": \"admin\"}}')",
        )
        .await?;
    let finished = run(&url, "backfill --apply --yes").await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    assert_eq!(
        project
            .count("select count(*) from public.profiles where account_type = 'admin'")
            .await?,
        0
    );
    // a source is one of four words
    for source in ["x".repeat(1_000_000), "'; select 1 --".to_owned()] {
        let call = format!("select rollcall.start_run($q${source}$q$, '{{}}')");
        ensure!(refusal(&client, &call).await.is_some());
        let call =
            format!("select rollcall.repair_users(array['{missed}']::uuid[], $q${source}$q$)");
        ensure!(refusal(&client, &call).await.is_some());
    }
    Ok(())
}

#[tokio::test]
async fn the_time_limits_are_on_the_roles() -> Result<()> {
    let (project, _) = project().await?;
    for role in [MONITOR, REPAIRER] {
        let client = rollcall_sandbox::connect(&project.database.url_as(role)).await?;
        for (setting, expected) in [
            ("statement_timeout", "1min"),
            ("lock_timeout", "2s"),
            ("idle_in_transaction_session_timeout", "1min"),
        ] {
            assert_eq!(
                value::<String>(&client, &format!("show {setting}")).await?,
                expected,
                "{role}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_functions_work_as_these_roles() -> Result<()> {
    let (project, _) = project().await?;
    for (function, role) in [
        ("health-check", MONITOR),
        ("recent-issues", MONITOR),
        ("dashboard", MONITOR),
        ("backfill", REPAIRER),
    ] {
        let url = project.database.url_as(role);
        let lambda = Lambda::start(function, &[("DATABASE_URL", &url)]).await?;
        let answer = lambda.invoke(json!({ "dry_run": false })).await?;
        match function {
            "backfill" => assert_eq!(answer["created"], 1, "{answer}"),
            _ => assert_eq!(answer["verdict"], "inconsistent", "{answer}"),
        }
    }
    assert_eq!(
        project
            .count("select count(distinct check_name) from rollcall.check_run")
            .await?,
        2
    );
    Ok(())
}

/// Roles belong to the whole server, so another project may need them.
#[tokio::test]
async fn rolling_back_leaves_the_roles_and_says_how_to_drop_them() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let (first, second) = (
        Project::migrated_on(&server).await?,
        Project::migrated_on(&server).await?,
    );
    migrations::roll_back(&mut first.rollcall().await?, Extent::Everything).await?;
    let finished = run(&second.database.url_as("postgres"), "diagnose").await?;
    assert_eq!(finished.status, Some(0), "{finished}");
    let rolled_back =
        migrations::roll_back(&mut second.rollcall().await?, Extent::Everything).await?;
    let left = rolled_back
        .steps
        .iter()
        .find(|step| step.contains("roles"))
        .context("nothing is said of the roles")?;
    let (_, drop) = left
        .split_once("no other database uses them: ")
        .context("no command")?;
    second.connect().await?.batch_execute(drop).await?;
    let roles = "select count(*) from pg_roles where rolname like 'rollcall%'";
    assert_eq!(second.count(roles).await?, 0);
    Ok(())
}

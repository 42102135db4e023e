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
use tokio::sync::OnceCell;
use uuid::Uuid;

const MONITOR: &str = "rollcall_monitor";
const REPAIRER: &str = "rollcall_repairer";

/// A project with one user who has a profile and one who has none, and roles that may log in. Roles
/// belong to the cluster, so that happens once.
async fn project() -> Result<(Project, Uuid)> {
    static LOGIN: OnceCell<()> = OnceCell::const_new();
    let project = Project::migrated().await?;
    LOGIN
        .get_or_try_init(async || {
            let client = project.connect().await?;
            for role in [MONITOR, REPAIRER] {
                ensure!(
                    !value::<bool>(
                        &client,
                        &format!("select rolcanlogin from pg_roles where rolname = '{role}'")
                    )
                    .await?,
                    "{role} may log in before anybody gave it a password"
                );
                // hosted Supabase's postgres can give a role of its own a password
                client
                    .batch_execute(&format!("alter role {role} login"))
                    .await?;
            }
            Ok(())
        })
        .await?;
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
const REPORTS: [&str; 7] = [
    "diagnose",
    "mismatches",
    "recent",
    "health",
    "verify",
    "events ID",
    "explain ID",
];

/// What the same moment would have made the same.
fn timeless(text: &str) -> String {
    text.lines()
        .filter(|line| !line.contains("minutes_since_signup") && !line.contains('Z'))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn both_roles_take_every_report_as_the_owner_does() -> Result<()> {
    let (project, missed) = project().await?;
    let pooler = Pooler::start(project::server()?).await?;
    for report in REPORTS {
        let arguments = report.replace("ID", &missed.to_string()) + " --format json";
        let owner = run(&project.url(), &arguments).await?;
        assert_eq!(owner.status, Some(1), "{owner}");
        for role in [MONITOR, REPAIRER] {
            let mut urls = vec![project.database.url_as(role)];
            urls.extend(
                pooler
                    .as_ref()
                    .map(|pooler| pooler.url_as(role, &project.database)),
            );
            for url in urls {
                let theirs = run(&url, &arguments).await?;
                assert_eq!(theirs.status, Some(1), "{role}: {theirs}");
                assert_eq!(timeless(&theirs.stdout), timeless(&owner.stdout), "{role}");
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
            "select 1 from rollcall.expected_profile",
            "select 1 from rollcall.repair_failure",
            "update rollcall.settings set settle_time = '1 hour'",
            "delete from rollcall.check_run",
            "create table public.mine (id integer)",
            "create function rollcall.mine() returns void language sql as ''",
            "select public.ensure_profile_exists(gen_random_uuid())",
            "select rollcall.bootstrap_profile(gen_random_uuid())",
            "select rollcall.adopt_profile_table()",
            "drop function rollcall.census()",
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

#[tokio::test]
async fn rolling_back_takes_the_roles_along_unless_something_depends_on_them() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let roles = "select count(*) from pg_roles where rolname like 'rollcall%'";
    let (first, second) = (
        Project::migrated_on(&server).await?,
        Project::migrated_on(&server).await?,
    );
    migrations::roll_back(&mut first.rollcall().await?, Extent::Everything).await?;
    assert_eq!(first.count(roles).await?, 2, "the other project needs them");
    assert_eq!(
        second
            .count("select missing from rollcall.census()")
            .await?,
        0
    );
    migrations::roll_back(&mut second.rollcall().await?, Extent::Everything).await?;
    assert_eq!(second.count(roles).await?, 0);
    Ok(())
}

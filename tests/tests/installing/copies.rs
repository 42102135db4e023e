//! Dumps, restored into a new project: what is missing or open is said, and one command mends it.

use anyhow::{Result, ensure};
use rollcall::checks::doctor::DoctorReport;
use rollcall::checks::health::HealthReport;
use rollcall::finding::{Finding, Severity};
use rollcall::migrations;
use rollcall_sandbox::{Options, Server};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::dump::{self, pg_dump, restore};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, contents, difference, value};
use rollcall_tests::supabase_cli::SupabaseCli;

/// The regime of new projects since 2026: nothing that is made in public is open to the API's roles.
const NEW_REGIME: &str = "
    alter default privileges for role postgres in schema public revoke all on tables from anon, authenticated, service_role;
    alter default privileges for role postgres in schema public revoke all on sequences from anon, authenticated, service_role;
    alter default privileges for role postgres in schema public revoke all on functions from anon, authenticated, service_role;";

/// What a restore brings back of the application: its trigger on auth.users, which dumps leave out.
const SIGNUP_TRIGGER: &str = "create trigger on_auth_user_created after insert on auth.users
    for each row execute function public.handle_new_user()";

/// A project with a repair behind it: three users who got their profiles by a run.
async fn repaired() -> Result<(Project, String)> {
    let project = Project::watched().await?;
    project.add_users_without_profile(3).await?;
    let url = project.url();
    let run = rollcall(&[("DATABASE_URL", &url)], &["backfill", "--apply", "--yes"]).await?;
    ensure!(run.status == Some(0), "{run}");
    let client = project.connect().await?;
    let run_id = value(&client, "select run_id::text from rollcall.run").await?;
    Ok((project, run_id))
}

async fn ids(project: &Project) -> Result<(Vec<&'static str>, Vec<&'static str>)> {
    let ids = |findings: &[Finding]| findings.iter().map(|finding| finding.id).collect();
    let mut database = project.rollcall().await?;
    let doctor = DoctorReport::take(&mut database).await?;
    let health = HealthReport::take(&mut database).await?;
    Ok((ids(&doctor.findings), ids(&health.findings)))
}

/// Says what is amiss by `finding` in the doctor's report, in the hourly check and in the plan; then `migrate` mends it.
async fn is_said_and_mended(project: &Project, finding: &str) -> Result<()> {
    let (doctor, health) = ids(project).await?;
    ensure!(
        doctor.contains(&finding) && health.contains(&finding),
        "{doctor:?} {health:?}"
    );
    let url = project.url();
    let plan = rollcall(&[("DATABASE_URL", &url)], &["migrate", "--plan"]).await?;
    ensure!(
        plan.stdout.contains("again") && !plan.stdout.contains("Up to date"),
        "{plan}"
    );
    let done = migrations::apply(&mut project.rollcall().await?, false).await?;
    ensure!(!done.is_up_to_date, "{done:?}");
    let (doctor, health) = ids(project).await?;
    ensure!(
        !doctor.contains(&finding) && !health.contains(&finding),
        "{doctor:?} {health:?}"
    );
    ensure!(
        migrations::plan(&mut project.rollcall().await?, false)
            .await?
            .is_up_to_date
    );
    Ok(())
}

/// An undo of the run that came with the dump: refused with the reason, and nothing is deleted.
async fn undo_is_refused(project: &Project, run_id: &str) -> Result<()> {
    let client = project.connect().await?;
    let before = contents(&client).await?;
    let url = project.url();
    let undone = rollcall(&[("DATABASE_URL", &url)], &["undo", run_id, "--yes"]).await?;
    ensure!(
        undone.status == Some(2) && undone.stderr.contains("restored from a dump"),
        "{undone}"
    );
    assert_eq!(difference(&before, &contents(&client).await?), [""; 0]);
    Ok(())
}

/// The scripts that `supabase db dump` would run in Docker, run here.
async fn dumped_by_the_supabase_cli(
    project: &Project,
    programs: &str,
) -> Result<Option<Vec<String>>> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(None);
    };
    let url = project.url();
    let mut parts = Vec::new();
    for more in [&[][..], &["--data-only", "--use-copy"]] {
        let script = cli
            .succeed(&[&["db", "dump", "--dry-run", "--remote", &url], more].concat())
            .await?;
        let text = dump::bash(programs, &script.stdout)?;
        // a role that may not set it is what the sandbox has; hosted Supabase's postgres may
        let lines = text.lines().filter(|line| {
            !line.starts_with("SET session_replication_role") && !line.starts_with("RESET ALL")
        });
        parts.push(lines.collect::<Vec<&str>>().join("\n"));
    }
    Ok(Some(parts))
}

#[tokio::test]
async fn a_project_made_from_a_dump_of_the_supabase_cli_is_open_or_whole_by_its_regime()
-> Result<()> {
    let Some(programs) = dump::programs()? else {
        return Ok(());
    };
    let (project, run_id) = repaired().await?;
    let Some(parts) = dumped_by_the_supabase_cli(&project, &programs).await? else {
        return Ok(());
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let expected = catalog(&project.connect().await?).await?;

    for regime in ["", NEW_REGIME] {
        let copy = Project::without_rollcall().await?;
        let client = copy.connect().await?;
        client.batch_execute(regime).await?;
        restore(
            &programs,
            &copy.database.url_as("supabase_admin"),
            "postgres",
            true,
            &parts,
        )?;
        let (doctor, _) = ids(&copy).await?;
        ensure!(doctor.contains(&"signup_trigger_missing"), "{doctor:?}");
        client.batch_execute(SIGNUP_TRIGGER).await?;
        if regime.is_empty() {
            is_said_and_mended(&copy, "rollcall_exposed").await?;
        } else {
            let plan = migrations::plan(&mut copy.rollcall().await?, false).await?;
            ensure!(plan.is_up_to_date, "{plan:?}");
        }
        let is_default = |line: &String| !line.starts_with("right on schema public");
        let (expected, got): (Vec<String>, Vec<String>) = (
            expected
                .iter()
                .filter(|line| is_default(line))
                .cloned()
                .collect(),
            catalog(&client)
                .await?
                .into_iter()
                .filter(is_default)
                .collect(),
        );
        assert_eq!(difference(&expected, &got), [""; 0]);
        undo_is_refused(&copy, &run_id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_project_made_from_a_dump_without_rights_and_roles_is_mended_by_migrate() -> Result<()> {
    let Some(programs) = dump::programs()? else {
        return Ok(());
    };
    let (project, run_id) = repaired().await?;
    let url = project.database.url_as("supabase_admin");
    let of_schemas = [
        "--schema=public",
        "--schema=rollcall",
        "--no-owner",
        "--no-privileges",
    ];
    let everything = [
        pg_dump(&programs, &url, &["--data-only", "--table=auth.users"])?,
        pg_dump(&programs, &url, &of_schemas)?,
    ];
    // roles belong to the server: a new project has none of ours
    let server = Server::start(&Options::from_env()?)?;
    let copy = Project::without_rollcall_on(&server).await?;
    restore(
        &programs,
        &copy.database.url_as("supabase_admin"),
        "postgres",
        false,
        &[&everything[0], &everything[1]],
    )?;
    let client = copy.connect().await?;
    client.batch_execute(SIGNUP_TRIGGER).await?;

    let (doctor, health) = ids(&copy).await?;
    for finding in ["rollcall_exposed", "migrations_incomplete"] {
        ensure!(
            doctor.contains(&finding) && health.contains(&finding),
            "{doctor:?} {health:?}"
        );
    }
    is_said_and_mended(&copy, "migrations_incomplete").await?;
    let (doctor, _) = ids(&copy).await?;
    ensure!(!doctor.contains(&"rollcall_exposed"), "{doctor:?}");
    undo_is_refused(&copy, &run_id).await
}

/// What a branch is like that was made through the Management API.
async fn branch_off(project: &Project) -> Result<()> {
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "drop trigger on_auth_user_created on auth.users;
             grant execute on all functions in schema public to public, anon, authenticated, service_role",
        )
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_copy_without_the_trigger_that_rollcall_had_is_told_how_to_get_it_back() -> Result<()> {
    let project = Project::migrated().await?;
    branch_off(&project).await?;
    is_said_and_mended(&project, "rollcall_exposed").await?;
    let report = DoctorReport::take(&mut project.rollcall().await?).await?;
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.id == "signup_trigger_missing");
    ensure!(
        finding.is_some_and(|finding| finding
            .next_step
            .contains("rollcall trigger install --apply")
            && finding.severity == Severity::Critical),
        "{report:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_branch_without_the_signup_trigger_and_with_default_rights_is_told_and_refuses_anon()
-> Result<()> {
    let project = Project::watched().await?;
    branch_off(&project).await?;
    let url = project.url();
    let ci = rollcall(
        &[("DATABASE_URL", &url), ("GITHUB_ACTIONS", "true")],
        &["ci"],
    )
    .await?;
    assert_eq!(ci.status, Some(1), "{ci}");
    for finding in ["signup_trigger_missing", "rollcall_exposed"] {
        ensure!(
            ci.stdout
                .contains(&format!("\n::error title=rollcall {finding}::")),
            "{ci}"
        );
    }
    let anon = rollcall_tests::sql::acting_as(&project.database, "anon", None).await?;
    let refused =
        rollcall_tests::sql::refusal(&anon, "select * from public.get_auth_profile_mismatches()")
            .await;
    assert_eq!(refused.as_deref(), Some("42501"));
    is_said_and_mended(&project, "rollcall_exposed").await
}

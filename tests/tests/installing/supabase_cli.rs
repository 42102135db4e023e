//! Beside the real Supabase CLI: nothing is refused, nothing is to be repaired, and no difference and no advice is ours.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::Server;
use rollcall_tests::at_once::at_once;
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::pooler::Pooler;
use rollcall_tests::project::{Project, server};
use rollcall_tests::sql::{catalog, difference, values};
use rollcall_tests::supabase_cli::SupabaseCli;
use serde_json::Value;

const APPLICATION: &str = include_str!("../../src/project/application.sql");

/// A migration of the application's that comes later.
const LATER: &str = "alter table public.profiles add column bio text;\n\
                     create table public.post (id uuid primary key, author uuid not null references public.profiles);\n\
                     alter table public.post enable row level security;\n\
                     create policy own_post on public.post for all to authenticated using ((select auth.uid()) = author);\n\
                     create index on public.post (author);";

/// By which way Rollcall came.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Migrate,
    Export,
    MigrateAndExport,
}

async fn run(project: &Project, arguments: &[&str]) -> Result<Finished> {
    let finished = rollcall(&[("DATABASE_URL", &project.url())], arguments).await?;
    ensure!(finished.status == Some(0), "{finished}");
    Ok(finished)
}

/// `rollcall export` into the project of the CLI.
async fn export(cli: &SupabaseCli, more: &[&str]) -> Result<Finished> {
    let folder = cli.migrations();
    let arguments = [&["export", folder.to_str().context("UTF-8")?], more].concat();
    let finished = rollcall(&[], &arguments).await?;
    ensure!(finished.status == Some(0), "{finished}");
    Ok(finished)
}

/// A project whose first migration the CLI has pushed.
async fn pushed(cli: &SupabaseCli) -> Result<Project> {
    let project = Project::without_rollcall().await?;
    cli.add("20240101000000_app.sql", APPLICATION)?;
    push(cli, &project).await?;
    Ok(project)
}

async fn push(cli: &SupabaseCli, project: &Project) -> Result<Finished> {
    cli.succeed(&["db", "push", "--remote", &project.url()])
        .await
}

async fn install(way: Way, cli: &SupabaseCli, project: &Project) -> Result<()> {
    if way != Way::Export {
        run(project, &["migrate", "--yes"]).await?;
    }
    if way != Way::Migrate {
        export(cli, &[]).await?;
        push(cli, project).await?;
    }
    Ok(())
}

/// The versions that stand on both sides of `migration list`.
async fn listed(cli: &SupabaseCli, project: &Project) -> Result<Vec<String>> {
    let list = cli
        .succeed(&["migration", "list", "--remote", &project.url()])
        .await?;
    list.stdout
        .lines()
        .chain(list.stderr.lines())
        .filter_map(|line| {
            let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
            let (local, remote) = (cells.next()?, cells.next()?);
            let is_version =
                |cell: &str| cell.len() == 14 && cell.bytes().all(|b| b.is_ascii_digit());
            (is_version(local) || is_version(remote)).then(|| {
                ensure!(local == remote, "{list}");
                Ok(local.to_owned())
            })
        })
        .collect()
}

fn files(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .context("a name")?
            .to_string_lossy()
            .into_owned();
        files.push((name, fs::read_to_string(&path)?));
    }
    files.sort();
    Ok(files)
}

#[tokio::test]
async fn a_project_is_pushed_listed_and_fetched_beside_rollcall_whichever_way_it_came() -> Result<()>
{
    let ways = [Way::Migrate, Way::Export, Way::MigrateAndExport].map(|way| async move {
        let Some(cli) = SupabaseCli::find()? else {
            return Ok(());
        };
        let project = pushed(&cli).await?;
        install(way, &cli, &project).await?;
        // a file of the application's that comes afterwards, with the next second as its version
        let next = cli.exported().map_or_else(
            |_| "20240102000000".to_owned(),
            |path| {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                format!("{}", name[..14].parse::<u64>().unwrap_or_default() + 1)
            },
        );
        cli.add(&format!("{next}_later.sql"), LATER)?;
        push(&cli, &project).await?;
        let before = files(&cli.migrations())?;
        ensure!(
            listed(&cli, &project).await?.len() == before.len(),
            "{way:?}"
        );
        cli.succeed(&["migration", "fetch", "--remote", &project.url()])
            .await?;
        let names = |files: &[(String, String)]| -> Vec<String> {
            files.iter().map(|(name, _)| name.clone()).collect()
        };
        ensure!(
            names(&files(&cli.migrations())?) == names(&before),
            "{way:?}"
        );
        let plan = run(&project, &["migrate", "--plan"]).await?;
        ensure!(plan.stdout.contains("Up to date"), "{way:?}: {plan}");
        // and gone again
        let removed = run(&project, &["rollback", "--yes"]).await?;
        if way != Way::Migrate {
            let version = &before
                .iter()
                .find(|(name, _)| name.ends_with("_rollcall.sql"))
                .context("the exported file")?
                .0[..14];
            let repair = format!("--status reverted {version}");
            ensure!(
                removed
                    .to_string()
                    .replace("\n              ", " ")
                    .contains(&repair),
                "{removed}"
            );
            cli.succeed(&[
                "migration",
                "repair",
                "--remote",
                &project.url(),
                "--status",
                "reverted",
                version,
            ])
            .await?;
            fs::remove_file(cli.exported()?)?;
        }
        let again = push(&cli, &project).await?;
        ensure!(again.to_string().contains("up to date"), "{way:?}: {again}");
        Ok(())
    });
    at_once(ways).await.map(drop)
}

#[tokio::test]
async fn no_difference_is_ours_and_a_reset_makes_it_again() -> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let never_met = pushed(&cli).await?;
    let live = Project::without_rollcall().await?;
    push(&cli, &live).await?;
    run(&live, &["migrate", "--yes"]).await?;
    // what a branch or a local database is made of: the project's migrations with the exported file
    let branch = Project::without_rollcall().await?;
    export(&cli, &[]).await?;
    push(&cli, &branch).await?;
    assert_eq!(cli.difference(&branch.url(), &live.url()).await?, "");
    ensure!(
        cli.difference(&never_met.url(), &live.url())
            .await?
            .contains("rollcall"),
        "it is blind"
    );

    cli.succeed(&["db", "reset", "--remote", &branch.url(), "--no-seed"])
        .await?;
    assert_eq!(cli.difference(&live.url(), &branch.url()).await?, "");
    let plan = run(&branch, &["migrate", "--plan"]).await?;
    ensure!(plan.stdout.contains("Up to date"), "{plan}");

    run(&live, &["rollback", "--yes"]).await?;
    assert_eq!(cli.difference(&never_met.url(), &live.url()).await?, "");
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_a_migration_installs_is_no_difference_either() -> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let branch = pushed(&cli).await?;
    export(&cli, &[]).await?;
    cli.add(
        "20991231000000_trigger.sql",
        "select rollcall.install_signup_trigger();",
    )?;
    push(&cli, &branch).await?;
    let live = Project::with_application().await?;
    live.migrate().await?;
    run(&live, &["trigger", "install", "--apply"]).await?;
    assert_eq!(cli.difference(&branch.url(), &live.url()).await?, "");
    Ok(())
}

#[tokio::test]
async fn the_exported_file_can_be_replayed_statement_by_statement_and_through_a_pooler()
-> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let project = pushed(&cli).await?;
    export(&cli, &[]).await?;
    let server: &Server = server()?;
    if let Some(pooler) = Pooler::start(server).await? {
        let url = pooler.url(&project.database).replace("?pgbouncer=true", "");
        cli.succeed(&["db", "push", "--remote", &url]).await?;
    } else {
        push(&cli, &project).await?;
    }
    let client = project.connect().await?;
    let statements: Vec<String> = values(
        &client,
        "select s from supabase_migrations.schema_migrations m, unnest(m.statements) s where m.name = 'rollcall'",
    )
    .await?;
    ensure!(statements.len() > 100, "{}", statements.len());
    // a branch replays what the history holds
    let branch = Project::with_application().await?;
    let by_statement = branch.connect().await?;
    for _ in 0..2 {
        for statement in &statements {
            by_statement
                .batch_execute(statement)
                .await
                .with_context(|| statement.chars().take(200).collect::<String>())?;
        }
    }
    let expected = catalog(&client).await?;
    assert_eq!(
        difference(&expected, &catalog(&by_statement).await?),
        [""; 0]
    );
    Ok(())
}

#[tokio::test]
async fn an_upgrade_is_one_more_file_with_what_is_new() -> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let project = pushed(&cli).await?;
    export(&cli, &[]).await?;
    push(&cli, &project).await?;
    // as if an earlier version had exported it, with another text of one file
    let client = project.connect().await?;
    let exported = cli.exported()?;
    let text = fs::read_to_string(&exported)?;
    let checks = rollcall::migrations::ALL
        .iter()
        .find(|migration| migration.name == "rollcall_checks")
        .context("the checks")?;
    fs::write(&exported, text.replace(&checks.checksum(), &"0".repeat(64)))?;
    client
        .batch_execute(
            "update rollcall.migration set checksum = repeat('0', 64) where name = 'rollcall_checks';
             drop function rollcall.user_counts()",
        )
        .await?;
    export(&cli, &["--upgrade"]).await?;
    let upgrade = cli.exported()?;
    ensure!(upgrade != exported);
    let text = fs::read_to_string(&upgrade)?;
    ensure!(
        text.contains("rollcall.user_counts()") && !text.contains("create table if not exists")
    );
    push(&cli, &project).await?;
    let plan = run(&project, &["migrate", "--plan"]).await?;
    ensure!(plan.stdout.contains("Up to date"), "{plan}");
    let again = export(&cli, &["--upgrade"]).await?;
    ensure!(again.stdout.contains("Up to date"), "{again}");
    ensure!(cli.exported()? == upgrade);
    Ok(())
}

/// What Supabase's advisor says of an object of Rollcall's.
fn about_us(advice: &str) -> Result<Vec<String>> {
    let start = advice.find("\n[").map_or(0, |at| at + 1);
    let advice: Vec<Value> = serde_json::from_str(advice[start..].trim_start()).or_else(|_| {
        if advice.trim_start().starts_with('[') {
            serde_json::from_str(advice)
        } else {
            Ok(Vec::new())
        }
    })?;
    let api = [
        "auth_profile_mismatch",
        "signup_audit_summary",
        "user_events",
    ];
    Ok(advice
        .iter()
        .map(|advice| advice["detail"].as_str().unwrap_or_default().to_owned())
        .filter(|detail| {
            detail.contains("rollcall") || api.iter().any(|name| detail.contains(name))
        })
        .collect())
}

#[tokio::test]
async fn supabases_own_advisor_has_nothing_to_say_of_it() -> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let project = pushed(&cli).await?;
    run(&project, &["migrate", "--yes"]).await?;
    run(&project, &["trigger", "install", "--apply"]).await?;
    let url = project.url();
    let client = project.connect().await?;
    // proof that it looks: an index without a use
    client
        .batch_execute("create index bait_idx on rollcall.failure (sqlstate)")
        .await?;
    let advisors = ["db", "advisors", "--remote", &url, "--level", "info"];
    let advice = cli.succeed(&advisors).await?;
    ensure!(about_us(&advice.stdout)?.len() == 1, "{advice}");
    client.batch_execute("drop index rollcall.bait_idx").await?;
    let advice = cli.succeed(&advisors).await?;
    assert_eq!(about_us(&advice.stdout)?, [""; 0]);
    cli.succeed(&["inspect", "db", "table-stats", "--remote", &url])
        .await?;
    Ok(())
}

#[tokio::test]
async fn declarative_schemas_are_written_with_what_is_installed() -> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let project = pushed(&cli).await?;
    run(&project, &["migrate", "--yes"]).await?;
    cli.succeed(&["db", "pull", "--declarative", "--remote", &project.url()])
        .await?;
    let schemas = cli.folder().join("supabase/schemas");
    ensure!(
        schemas.join("rollcall/tables/settings.sql").is_file()
            && schemas
                .join("public/functions/handle_new_user.sql")
                .is_file()
    );
    run(&project, &["rollback", "--yes"]).await?;
    cli.succeed(&["db", "pull", "--declarative", "--remote", &project.url()])
        .await?;
    // empty folders stay
    ensure!(!schemas.join("rollcall/tables/settings.sql").exists());
    Ok(())
}

#[tokio::test]
async fn what_needs_docker_is_known() -> Result<()> {
    let Some(cli) = SupabaseCli::find()? else {
        return Ok(());
    };
    let project = pushed(&cli).await?;
    cli.add("20240102000000_later.sql", LATER)?;
    push(&cli, &project).await?;
    let url = project.url();
    for arguments in [
        &["db", "diff", "--remote", &url][..],
        &["db", "pull", "--remote", &url],
        &["migration", "squash", "--remote", &url],
    ] {
        let finished = cli.run(arguments).await?;
        ensure!(
            finished.status == Some(0) || finished.to_string().contains("Docker"),
            "{finished}"
        );
    }
    Ok(())
}

//! Every version that has landed, with rows in every table, is brought to this one and taken back.
//!
//! `tests/upgrades` holds each as a dump. `ROLLCALL_KEEP_VERSION=1` writes the one of this version; the newest file of
//! `migrations/` names it, and gets another version when the SQL changes after that.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rollcall::migrations::{self, Extent};
use rollcall_tests::dump;
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, difference, values};
use rollcall_tests::supabase_cli::SupabaseCli;
use tokio_postgres::Client;

const ROWS: &str = include_str!("../../upgrades/rows.sql");

/// Nothing of Rollcall's depends on these, and a dump holds no row of auth.
const WITHOUT_APPLICATION: &str =
    "drop table public.profiles; drop function public.handle_new_user() cascade";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("upgrades")
}

/// Every version that was kept, and its dump.
fn kept() -> Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy();
        if let Some(version) = name.strip_suffix(".sql.gz") {
            let output = Command::new("gzip").arg("-dc").arg(&path).output()?;
            ensure!(output.status.success(), "{name}");
            versions.insert(version.to_owned(), String::from_utf8(output.stdout)?);
        }
    }
    Ok(versions)
}

async fn keep(programs: &str) -> Result<()> {
    let project = Project::watched().await?;
    let client = project.connect().await?;
    client.batch_execute(ROWS).await?;
    client.batch_execute(WITHOUT_APPLICATION).await?;
    let text = dump::pg_dump(
        programs,
        &project.database.url_as("supabase_admin"),
        &[
            "--inserts",
            "--no-owner",
            "--schema=rollcall",
            "--schema=public",
        ],
    )?
    .replace("CREATE SCHEMA public;\n", "");
    let file = fs::File::create(folder().join(format!("{}.sql.gz", migrations::newest())))?;
    let mut gzip = Command::new("gzip")
        .args(["-9", "-n"])
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()?;
    gzip.stdin
        .take()
        .context("a pipe")?
        .write_all(text.as_bytes())?;
    ensure!(gzip.wait()?.success());
    Ok(())
}

/// What stands in the tables, but what an upgrade is meant to change.
async fn rows(client: &Client) -> Result<Vec<String>> {
    values(
        client,
        "select to_jsonb(x)::text from rollcall.event x
         union all select to_jsonb(x)::text from rollcall.check_run x
         union all select to_jsonb(x)::text from rollcall.incident x
         union all select to_jsonb(x)::text from rollcall.message x
         union all select (to_jsonb(x) - 'kind')::text from rollcall.run x
         union all select (to_jsonb(x) - '{written_by,former_emails}'::text[])::text from rollcall.receipt x
         union all select to_jsonb(x)::text from rollcall.failure x
         union all select jsonb_build_array(x.keep_days, x.grace_period, x.target_table, x.is_draft)::text from rollcall.settings x
         order by 1",
    )
    .await
}

#[tokio::test]
async fn this_version_is_kept_as_it_is() -> Result<()> {
    let Some(programs) = dump::programs()? else {
        return Ok(());
    };
    if env::var_os("ROLLCALL_KEEP_VERSION").is_some() {
        keep(&programs).await?;
    }
    let newest = migrations::newest();
    let kept = kept()?;
    let dump = kept.get(newest).with_context(|| {
        format!(
            "{newest} is not kept: ROLLCALL_KEEP_VERSION=1 tests/run -- --test installing upgrades"
        )
    })?;
    for migration in migrations::ALL {
        ensure!(
            dump.contains(&migration.checksum()),
            "{} has changed since {newest} was kept. If that has landed, give the newest file of migrations/ another version; \
             then: ROLLCALL_KEEP_VERSION=1 tests/run -- --test installing upgrades",
            migration.name
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_version_that_landed_is_brought_to_this_one_and_taken_back() -> Result<()> {
    let fresh = Project::watched().await?;
    let never_met = catalog(&Project::with_application().await?.connect().await?).await?;
    let expected = catalog(&fresh.connect().await?).await?;
    let kept = kept()?;
    ensure!(!kept.is_empty(), "no version is kept");
    for (version, dump) in kept {
        let project = Project::with_application().await?;
        let client = project.connect().await?;
        client
            .batch_execute(&dump)
            .await
            .with_context(|| version.clone())?;
        client.batch_execute("set search_path = public").await?;
        let before = rows(&client).await?;
        ensure!(before.len() == 10, "{version}: {before:?}");

        migrations::apply(&mut project.rollcall().await?, false).await?;
        assert_eq!(
            difference(&before, &rows(&client).await?),
            [""; 0],
            "{version}"
        );
        assert_eq!(
            difference(&expected, &catalog(&client).await?),
            [""; 0],
            "{version}"
        );
        ensure!(
            migrations::plan(&mut project.rollcall().await?, false)
                .await?
                .is_up_to_date
        );
        if let Some(cli) = SupabaseCli::find()? {
            assert_eq!(
                cli.difference(&fresh.url(), &project.url()).await?,
                "",
                "{version}"
            );
        }

        migrations::roll_back(&mut project.rollcall().await?, Extent::Everything).await?;
        assert_eq!(
            difference(&never_met, &catalog(&client).await?),
            [""; 0],
            "{version}"
        );
    }
    Ok(())
}

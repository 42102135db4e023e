//! Tables of the documentation against the code and the catalog.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use rollcall::backfill::BackfillRequest;
use rollcall_tests::command_line::rollcall;
use rollcall_tests::project::Project;

use crate::{GUIDE, code_under, document, quoted, root, section, table};

const REFERENCE: &str = "docs/reference.md";

/// The first cell of each row, without its backquotes.
fn names(rows: &[Vec<&str>]) -> BTreeSet<String> {
    rows.iter()
        .filter_map(|row| row.first())
        .map(|cell| cell.trim_matches('`').to_owned())
        .collect()
}

#[tokio::test]
async fn the_commands_are_those_of_the_program() -> Result<()> {
    let help = rollcall(&[], &["--help"]).await?;
    let commands: BTreeSet<String> = help
        .stdout
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .map(str::to_owned)
        .collect();
    let readme = document("README.md")?;
    assert_eq!(names(&table(&readme, "| command |")?), commands);
    Ok(())
}

#[test]
fn the_variables_are_those_that_the_programs_read() -> Result<()> {
    /// Named in the sources for other reasons.
    const OTHERS: [&str; 5] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_PKG_VERSION",
        "LC_ALL",
        "ROLLCALL_ALERT_SEQUENCES",
        "ROLLCALL_LONG",
    ];
    let is_variable = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            && (text == "PROBE" || text.trim_matches('_').contains('_'))
            && !text.starts_with("AWS_")
            && !text.starts_with("XDG_")
            && !OTHERS.contains(&text)
    };
    let mut read = BTreeSet::new();
    for folder in ["shared/src", "functions", "cli/src", "sandbox/src"] {
        let code = code_under(folder)?;
        read.extend(
            code.split('"')
                .filter(|text| is_variable(text))
                .map(str::to_owned),
        );
    }
    let reference = document(REFERENCE)?;
    assert_eq!(names(&table(&reference, "| variable |")?), read);
    Ok(())
}

#[test]
fn the_fields_of_a_request_and_their_defaults_are_those_of_the_code() -> Result<()> {
    let reference = document(REFERENCE)?;
    let rows = table(&reference, "| field |")?;
    let refusal = BackfillRequest::from_json(br#"{"?": 1}"#)
        .err()
        .context("an unknown field is refused")?
        .to_string();
    let (_, known) = refusal
        .split_once("known are ")
        .context("the refusal names the fields")?;
    let known: BTreeSet<String> = known
        .trim_end_matches('.')
        .split(", ")
        .map(str::to_owned)
        .collect();
    assert_eq!(names(&rows), known);

    let defaults = BackfillRequest::default().canonical();
    for row in rows {
        let [field, default, ..] = row.as_slice() else {
            continue;
        };
        let field = field.trim_matches('`');
        let value = &defaults[field];
        let shown = match value.as_str() {
            Some(text) => format!("`{text}`"),
            None if value.is_null() => String::new(),
            None => format!("`{value}`"),
        };
        assert_eq!(*default, shown, "{field}");
    }
    Ok(())
}

#[tokio::test]
async fn the_settings_and_their_defaults_are_those_of_the_table() -> Result<()> {
    let reference = document(REFERENCE)?;
    let project = Project::without_rollcall().await?;
    project.migrate().await?;
    let client = project.connect().await?;
    for row in table(&reference, "| setting |")? {
        let [name, default, ..] = row.as_slice() else {
            continue;
        };
        let name = name.trim_matches('`');
        let value = client
            .query_typed_one(
                &format!("select s.{name}::text from rollcall.settings s"),
                &[],
            )
            .await
            .with_context(|| name.to_owned())?;
        assert_eq!(
            format!("`{}`", value.try_get::<_, &str>(0)?),
            *default,
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_sql_api_is_what_stands_in_public() -> Result<()> {
    let reference = document(REFERENCE)?;
    let project = Project::without_rollcall().await?;
    project.migrate().await?;
    let there: BTreeSet<String> = project
        .connect()
        .await?
        .query_typed(
            "select lower(replace(format('%s(%s)', p.proname, pg_catalog.pg_get_function_arguments(p.oid)), '::text', ''))
             from pg_catalog.pg_proc p
             where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') like 'Rollcall: %'
             union all
             select c.relname from pg_catalog.pg_class c
             where c.relnamespace = 'public'::regnamespace and obj_description(c.oid, 'pg_class') like 'Rollcall: %'",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    assert_eq!(names(&table(&reference, "| object |")?), there);
    Ok(())
}

/// What the README counts, and how.
const COUNTED: [(&str, &str); 6] = [
    (
        "tables in the schema `rollcall`",
        "select count(*) from pg_catalog.pg_class where relnamespace = to_regnamespace('rollcall') and relkind in ('r', 'p')",
    ),
    (
        "functions in the schema `rollcall`",
        "select count(*) from pg_catalog.pg_proc where pronamespace = to_regnamespace('rollcall')",
    ),
    (
        "functions in `public`",
        "select count(*) from pg_catalog.pg_proc p
         where p.pronamespace = 'public'::regnamespace and obj_description(p.oid, 'pg_proc') like 'Rollcall: %'",
    ),
    (
        "views in `public`",
        "select count(*) from pg_catalog.pg_class c
         where c.relnamespace = 'public'::regnamespace and obj_description(c.oid, 'pg_class') like 'Rollcall: %'",
    ),
    (
        "triggers",
        "select count(*) from pg_catalog.pg_trigger t where not t.tgisinternal",
    ),
    (
        "roles without login",
        "select count(*) from pg_catalog.pg_roles r where r.rolname like 'rollcall\\_%'",
    ),
];

async fn counts(project: &Project) -> Result<Vec<i64>> {
    let mut counts = Vec::new();
    for (_, sql) in COUNTED {
        counts.push(project.count(sql).await?);
    }
    Ok(counts)
}

#[tokio::test]
async fn what_each_stance_puts_into_the_database_is_counted_right() -> Result<()> {
    // a server of its own: roles belong to all its databases
    let server = rollcall_sandbox::Server::start(&rollcall_sandbox::Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    project
        .connect()
        .await?
        .batch_execute("create table public.profiles (id uuid primary key references auth.users on delete cascade)")
        .await?;
    let before = counts(&project).await?;
    let url = project.url();
    rollcall(&[("DATABASE_URL", &url)], &["diagnose"]).await?;
    let look = counts(&project).await?;
    project.migrate().await?;
    let watch = counts(&project).await?;
    rollcall(
        &[("DATABASE_URL", &url)],
        &["trigger", "install", "--apply"],
    )
    .await?;
    let make = counts(&project).await?;

    let readme = document("README.md")?;
    let rows = table(&readme, "| in your database |")?;
    ensure!(rows.len() == COUNTED.len(), "{rows:?}");
    for (index, ((label, _), row)) in COUNTED.iter().zip(&rows).enumerate() {
        assert_eq!(row.first(), Some(label));
        ensure!(row.len() == 4, "{row:?}");
        for (stance, shown) in [&look, &watch, &make].into_iter().zip(&row[1..]) {
            let added = stance[index] - before[index];
            let is_right = match shown.strip_prefix("< ") {
                Some(bound) => 0 < added && added < bound.parse::<i64>()?,
                None => added == shown.parse::<i64>()?,
            };
            ensure!(is_right, "{label}: {added}, and the README says {shown}");
        }
    }
    Ok(())
}

#[test]
fn the_sql_is_as_short_as_the_readme_says() -> Result<()> {
    let readme = document("README.md")?;
    let (before, _) = readme
        .split_once(" lines, to be read")
        .context("the README says how many")?;
    let most: usize = before
        .rsplit(' ')
        .next()
        .context("a number")?
        .replace(',', "")
        .parse()?;
    let mut lines = 0;
    for entry in fs::read_dir(root().join("migrations"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            lines += fs::read_to_string(path)?.lines().count();
        }
    }
    ensure!(lines < most, "{lines} lines");
    Ok(())
}

/// Names of findings and errors that the guide explains are names that the program uses.
#[test]
fn the_guide_explains_what_there_is() -> Result<()> {
    let guide = document(GUIDE)?;
    let sources = code_under("shared/src")?;
    let mut explained = 0;
    for heading in ["## Root causes", "## Troubleshooting"] {
        for row in section(&guide, heading)?
            .lines()
            .filter(|line| line.starts_with("| `"))
        {
            let name = row.split('`').nth(1).context("a name")?;
            let check = root().join(format!("shared/src/checks/doctor/{name}.sql"));
            ensure!(
                sources.contains(&format!("\"{name}\"")) || check.is_file(),
                "nothing is called {name}"
            );
            explained += 1;
        }
    }
    ensure!(explained > 10, "{explained}");
    Ok(())
}

#[test]
fn the_outcomes_of_a_probe_are_those_of_the_database() -> Result<()> {
    let page = document("docs/probe.md")?;
    let sql = document("migrations/20261127000500_rollcall_probe.sql")?;
    for head in ["| kind |", "| outcome |"] {
        for row in table(&page, head)? {
            for name in quoted(row.first().context("a cell")?) {
                ensure!(
                    sql.contains(&format!("'{name}'")),
                    "nothing is called {name}"
                );
            }
        }
    }
    Ok(())
}

//! `scripts/`: the usage that people know, over the command line.

use std::{
    env,
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use rollcall_tests::{programs::program, project::Project};

/// Runs a script with the program on its path, and `input` on its standard input.
fn run(
    script: &str,
    variables: &[(&str, &str)],
    arguments: &[&str],
    input: &str,
) -> Result<Output> {
    let folder = program("rollcall")?;
    let folder = folder.parent().context("a folder")?;
    let path = env::join_paths(
        [folder.to_owned()]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut typed = tempfile::NamedTempFile::new()?;
    typed.write_all(input.as_bytes())?;
    Ok(Command::new("bash")
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../scripts")
                .join(script),
        )
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .envs(variables.iter().copied())
        .stdin(Stdio::from(File::open(typed.path())?))
        .output()?)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

async fn profiles(project: &Project) -> Result<i64> {
    project.count("select count(*) from public.profiles").await
}

#[tokio::test]
async fn the_diagnosis_takes_either_variable_and_ends_with_the_verdict() -> Result<()> {
    let (good, bad) = (Project::migrated().await?, Project::migrated().await?);
    bad.add_users_without_profile(2).await?;
    let (good, bad) = (good.url(), bad.url());
    let script = "diagnose-auth-profile.sh";
    for (variables, arguments, status) in [
        (vec![("SUPABASE_DB_URL", bad.as_str())], &[] as &[&str], 1),
        (vec![("DATABASE_URL", good.as_str())], &[], 0),
        (
            vec![("SUPABASE_DB_URL", good.as_str()), ("DATABASE_URL", &bad)],
            &["--format", "json"],
            1,
        ),
        (vec![], &[], 2),
    ] {
        let output = run(script, &variables, arguments, "")?;
        assert_eq!(output.status.code(), Some(status), "{}", text(&output));
        if arguments.is_empty() {
            ensure!(text(&output).contains("Verdict: "), "{}", text(&output));
        } else {
            serde_json::from_slice::<serde_json::Value>(&output.stdout)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_backfill_is_a_dry_run_until_false_is_given_and_confirmed() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(3).await?;
    let url = project.url();
    let backfill = |arguments: &[&str], input: &str| {
        run(
            "backfill-profiles.sh",
            &[("SUPABASE_DB_URL", &url)],
            arguments,
            input,
        )
    };
    for arguments in [
        &[] as &[&str],
        &["true"],
        &["true", "50"],
        &["true", "50", "--format", "json"],
    ] {
        let output = backfill(arguments, "yes\n")?;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        assert_eq!(profiles(&project).await?, 0, "{arguments:?}");
    }
    for input in ["", "no\n", "maybe\nyes\n"] {
        let output = backfill(&["false"], input)?;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{input:?}: {}",
            text(&output)
        );
        ensure!(
            text(&output).contains("Nothing was changed"),
            "{}",
            text(&output)
        );
        assert_eq!(profiles(&project).await?, 0, "{input:?}");
    }
    let output = backfill(&["false", "2"], "yes\n")?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    ensure!(
        text(&output).contains("consistent"),
        "no proof afterwards: {}",
        text(&output)
    );
    assert_eq!(profiles(&project).await?, 3);

    project.add_users_without_profile(1).await?;
    let output = backfill(&["false", "100", "--yes"], "")?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(profiles(&project).await?, 4);
    Ok(())
}

#[tokio::test]
async fn a_backfill_that_is_not_understood_changes_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(1).await?;
    let url = project.url();
    for arguments in [
        &["False"] as &[&str],
        &["no"],
        &["--apply"],
        &["false", "0"],
        &["false", "10001"],
        &["false", "many"],
        &["false", "-1"],
        &["false", ""],
        &["false", "1", "--nonsense"],
        &[""],
    ] {
        let output = run(
            "backfill-profiles.sh",
            &[("DATABASE_URL", &url)],
            arguments,
            "yes\n",
        )?;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&output)
        );
        ensure!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{arguments:?}"
        );
        assert_eq!(profiles(&project).await?, 0, "{arguments:?}");
    }
    Ok(())
}

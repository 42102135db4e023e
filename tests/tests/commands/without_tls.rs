//! The program as `cargo run -- demo` builds it: without TLS, for databases on this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rollcall_tests::command_line::{Finished, run};
use rollcall_tests::project::Project;

/// Builds it beside the one with TLS, which the other tests start.
fn build() -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("a folder")?;
    let folder = workspace.join("target/without-tls");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--target-dir"])
        .arg(&folder)
        // most of what it is made of is there already
        .env("CARGO_BUILD_BUILD_DIR", workspace.join("target"))
        .current_dir(workspace)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(folder.join("debug/rollcall"))
}

async fn health(program: &Path, url: &str) -> Result<Finished> {
    let mut command = Command::new(program);
    command.arg("health").env_clear().env("DATABASE_URL", url);
    run(command, "health").await
}

#[tokio::test]
async fn it_reaches_this_machine_and_says_how_another_one_is_reached() -> Result<()> {
    let program = build()?;
    let here = health(&program, &Project::migrated().await?.url()).await?;
    assert_eq!(here.status, Some(0), "{here}");
    let elsewhere = health(
        &program,
        "postgresql://postgres:secret@db.example.com:5432/postgres",
    )
    .await?;
    assert_eq!(elsewhere.status, Some(2), "{elsewhere}");
    ensure!(
        elsewhere.stdout.contains("built_without_tls")
            && elsewhere.stdout.contains("--features tls"),
        "{elsewhere}"
    );
    Ok(())
}

#[test]
fn it_is_built_without_openssl() -> Result<()> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "tree",
            "--locked",
            "--package",
            "rollcall-cli",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    let tree = String::from_utf8(output.stdout)?;
    ensure!(
        tree.contains("tokio-postgres")
            && !tree.contains("openssl")
            && !tree.contains("native-tls"),
        "{tree}"
    );
    Ok(())
}

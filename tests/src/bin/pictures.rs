//! Makes the pictures of the documentation anew, from what the programs really show:
//!
//! ```sh
//! cargo run -p rollcall-tests --bin pictures
//! ```
//!
//! Needs Chromium, as the tests of the dashboard do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{
    browser::Browser, dashboard::Dashboard, lambda::Lambda, picture::terminal, programs::program,
    project::Project,
};

use serde_json::json;

/// Nobody listens there.
const NOBODY: &str = "postgresql://postgres@127.0.0.1:1/postgres";

/// The chapters of the demo that the picture shows.
const CHAPTERS: [&str; 3] = ["4. ", "7. ", "8. "];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/images");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("demo.svg"), terminal(&demo()?))?;

    let project = broken_project().await?;
    for (name, url, (width, height), is_dark) in [
        ("dashboard-light.png", project.url(), (900, 1930), false),
        ("dashboard-dark.png", project.url(), (900, 640), true),
        ("dashboard-phone.png", project.url(), (360, 740), false),
        (
            "dashboard-unknown.png",
            NOBODY.to_owned(),
            (900, 460),
            false,
        ),
    ] {
        let dashboard = Dashboard::start(&url, 3600).await?;
        let mut browser = Browser::start(width, height, is_dark).await?;
        browser.open(&dashboard.url()).await?;
        save(folder.join(name), &browser.screenshot(width, height).await?)?;
    }
    Ok(())
}

fn save(path: PathBuf, picture: &[u8]) -> Result<()> {
    fs::write(&path, picture).with_context(|| path.display().to_string())
}

/// What the demo says in those chapters.
fn demo() -> Result<String> {
    let output = Command::new(program("rollcall")?).arg("demo").output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let story = String::from_utf8(output.stdout)?;
    let mut shown = false;
    let mut text = String::from("$ cargo run -- demo\n\n");
    for line in story.lines() {
        let is_title = line
            .split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if is_title {
            shown = CHAPTERS.iter().any(|chapter| line.starts_with(chapter));
        }
        if shown {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// A project whose signups have failed for some hours, with a week of checks on record.
async fn broken_project() -> Result<Project> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    let mut number = 0;
    for kind in SignupKind::ALL {
        for _ in 0..3 {
            number += 1;
            auth.sign_up(kind, &Person::numbered(number)).await?;
        }
    }
    project.break_signups().await?;
    for kind in [
        SignupKind::EmailAutoconfirm,
        SignupKind::Anonymous,
        SignupKind::Oauth,
        SignupKind::PhoneAutoconfirm,
    ] {
        number += 1;
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    project
        .connect_as_superuser()
        .await?
        .batch_execute(include_str!("pictures.sql"))
        .await?;
    // the alert opens an incident
    let lambda = Lambda::start("health-check", &[("DATABASE_URL", &project.url())]).await?;
    lambda.invoke(json!({})).await?;
    Ok(project)
}

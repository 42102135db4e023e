//! `rollcall dashboard`: what its server on loopback answers, and whom.

use anyhow::{Result, ensure};
use axum::http::StatusCode;
use rollcall_tests::{command_line::rollcall, dashboard::Dashboard, project::Project};
use serde_json::Value;

/// Nobody listens there: the port is for the system's own use.
const NOBODY_LISTENS: &str = "postgresql://postgres:hunter2@127.0.0.1:1/postgres";

#[tokio::test]
async fn it_says_where_it_listens_and_ends_with_control_c() -> Result<()> {
    let project = Project::migrated().await?;
    let dashboard = Dashboard::start(&project.url(), 60).await?;
    let (status, page) = dashboard.get("/", &[]).await?;
    assert_eq!(status, StatusCode::OK);
    ensure!(page.starts_with("<!DOCTYPE html>"), "{page}");
    assert_eq!(dashboard.get("/dashboard", &[]).await?.0, StatusCode::OK);
    assert_eq!(dashboard.get("/other", &[]).await?.0, StatusCode::NOT_FOUND);
    ensure!(dashboard.stderr()?.contains("Ctrl-C"));
    assert_eq!(dashboard.interrupt().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn data_is_there_for_whoever_asks_for_it() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(2).await?;
    let dashboard = Dashboard::start(&project.url(), 60).await?;
    let by_header: &[(&str, &str)] = &[("accept", "application/json")];
    for (path, headers) in [("/?format=json", &[] as &[_]), ("/", by_header)] {
        let (_, text) = dashboard.get(path, headers).await?;
        let overview: Value = serde_json::from_str(&text)?;
        assert_eq!(overview["users"]["missing"], 2, "{text}");
    }
    Ok(())
}

/// A page elsewhere may have its own name resolve to 127.0.0.1; the browser then sends that name.
#[tokio::test]
async fn a_request_by_another_name_learns_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    let dashboard = Dashboard::start(&project.url(), 60).await?;
    let port = dashboard.port();
    for name in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("LOCALHOST:{port}"),
    ] {
        assert_eq!(
            dashboard.get("/", &[("host", &name)]).await?.0,
            StatusCode::OK,
            "{name}"
        );
    }
    for name in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "127.0.0.1".to_owned(),
        "localhost:1".to_owned(),
        String::new(),
    ] {
        let (status, text) = dashboard.get("/?format=json", &[("host", &name)]).await?;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{name}");
        ensure!(!text.contains("verdict"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_not_there_is_a_page_that_says_so() -> Result<()> {
    let dashboard = Dashboard::start(NOBODY_LISTENS, 60).await?;
    let (status, page) = dashboard.get("/", &[]).await?;
    assert_eq!(status, StatusCode::OK);
    ensure!(
        page.contains("database_unreachable") && page.contains(r#"data-verdict="unknown""#),
        "{page}"
    );
    ensure!(!page.contains("hunter2") && !dashboard.stderr()?.contains("hunter2"));
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_with_a_way_out() -> Result<()> {
    let dashboard = Dashboard::start(NOBODY_LISTENS, 60).await?;
    let port = dashboard.port().to_string();
    let finished = rollcall(
        &[("DATABASE_URL", NOBODY_LISTENS)],
        &["dashboard", "--port", &port],
    )
    .await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    ensure!(finished.stderr.contains("--port 0"), "{finished}");
    Ok(())
}

//! The dashboard in a real headless Chromium, served by the command line.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use rollcall::{checks::health::HealthReport, dashboard::Theme, scheduled_check::ScheduledReport};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{
    browser::{self, Browser},
    dashboard::Dashboard,
    missing,
    project::Project,
};

/// Nobody listens there: the port is for the system's own use.
const NOBODY_LISTENS: &str = "postgresql://postgres:hunter2@127.0.0.1:1/postgres";

/// As wide as the pages are meant for.
const DESK: (u32, u32) = (1000, 800);
const PHONE: (u32, u32) = (360, 740);

const VERDICT: &str = "document.getElementById('verdict').dataset.verdict";

fn has_browser() -> Result<bool> {
    if browser::find().is_none() {
        missing::skip("skipped: what needs Chromium (apt-get install chromium)")?;
        return Ok(false);
    }
    Ok(true)
}

async fn healthy() -> Result<Project> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    record(&project).await?;
    Ok(project)
}

/// What the hourly function keeps.
async fn record(project: &Project) -> Result<()> {
    let mut database = project.rollcall().await?;
    let report = HealthReport::take(&mut database).await?;
    report.to_check_run().record(&mut database).await?;
    Ok(())
}

async fn break_it(project: &Project) -> Result<()> {
    project.break_signups().await?;
    let mut auth = project.auth().await?;
    for number in 100..103 {
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
            .await?;
    }
    record(project).await
}

/// Nothing but the page itself was asked for, and nobody complained.
fn check_quiet(browser: &Browser, dashboard: &Dashboard) -> Result<()> {
    let complaints = browser.complaints();
    ensure!(complaints.is_empty(), "{complaints:?}");
    let requests = browser.requests();
    ensure!(!requests.is_empty(), "no request was seen");
    for request in requests {
        ensure!(
            request == dashboard.url() || request.starts_with("data:"),
            "asked for {request}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_verdict_is_shown_as_what_it_is_without_a_complaint_or_a_request_elsewhere()
-> Result<()> {
    if !has_browser()? {
        return Ok(());
    }
    let (good, bad, half_blind) = (healthy().await?, healthy().await?, healthy().await?);
    break_it(&bad).await?;
    // everything that can be looked at is in order
    half_blind
        .connect()
        .await?
        .batch_execute("drop function rollcall.check_history(text, timestamptz)")
        .await?;
    for (url, verdict, title) in [
        (good.url(), "consistent", "Rollcall: consistent"),
        (
            bad.url(),
            "inconsistent",
            "Rollcall: inconsistent, 3 missing",
        ),
        (half_blind.url(), "unknown", "Rollcall: unknown"),
        (NOBODY_LISTENS.to_owned(), "unknown", "Rollcall: unknown"),
    ] {
        let dashboard = Dashboard::start(&url, 60).await?;
        let mut browser = Browser::start(DESK.0, DESK.1, false).await?;
        browser.open(&dashboard.url()).await?;
        assert_eq!(browser.evaluate(VERDICT).await?, verdict);
        assert_eq!(browser.evaluate("document.title").await?, title);
        let stale = "document.getElementById('stale').checkVisibility()";
        assert_eq!(browser.evaluate(stale).await?, false);
        let shown = "getComputedStyle(document.getElementById('verdict')).backgroundColor";
        let colour = browser.evaluate(shown).await?;
        let is_green = colour == "rgb(11, 107, 58)";
        assert_eq!(is_green, verdict == "consistent", "{verdict} is {colour}");
        let text = browser.evaluate("document.body.innerText").await?;
        let text = text.as_str().context("text")?;
        if verdict == "unknown" {
            ensure!(!text.contains("Consistent"), "{text}");
        }
        if url == NOBODY_LISTENS {
            // cause and remedy, and nothing that reads as good news
            ensure!(text.contains("database_unreachable"), "{text}");
            for claim in ["None.", "No signup", "Rollcall's", "100"] {
                ensure!(!text.contains(claim), "{claim}: {text}");
            }
        }
        check_quiet(&browser, &dashboard)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_page_renews_itself_and_says_so_when_nobody_answers_any_more() -> Result<()> {
    if !has_browser()? {
        return Ok(());
    }
    let project = healthy().await?;
    let dashboard = Dashboard::start(&project.url(), 1).await?;
    let mut browser = Browser::start(DESK.0, DESK.1, false).await?;
    browser.open(&dashboard.url()).await?;
    assert_eq!(browser.evaluate(VERDICT).await?, "consistent");
    browser
        .evaluate("document.getElementById('hours').open = true; window.same = true")
        .await?;

    break_it(&project).await?;
    browser
        .wait_until(&format!("{VERDICT} === 'inconsistent'"))
        .await?;
    browser
        .wait_until("document.querySelector('#recent').parentElement.querySelectorAll('tbody tr').length === 3")
        .await?;
    // renewed in place: what the reader opened stays open
    assert_eq!(
        browser
            .evaluate("window.same && document.getElementById('hours').open")
            .await?,
        true
    );
    check_quiet(&browser, &dashboard)?;

    drop(dashboard);
    let hidden = "document.getElementById('verdict').checkVisibility() === false";
    browser.wait_until(hidden).await?;
    assert_eq!(
        browser.evaluate("document.title").await?,
        "Rollcall: unknown"
    );
    assert_eq!(
        browser
            .evaluate("document.getElementById('stale').checkVisibility()")
            .await?,
        true
    );
    Ok(())
}

#[tokio::test]
async fn the_page_can_be_kept_still() -> Result<()> {
    if !has_browser()? {
        return Ok(());
    }
    let project = healthy().await?;
    let dashboard = Dashboard::start(&project.url(), 1).await?;
    let mut browser = Browser::start(DESK.0, DESK.1, false).await?;
    browser.open(&dashboard.url()).await?;
    browser
        .evaluate("document.getElementById('pause').click()")
        .await?;
    break_it(&project).await?;
    // what a renewal would have brought comes at once when it is wanted again
    assert_eq!(browser.evaluate(VERDICT).await?, "consistent");
    browser
        .evaluate("document.getElementById('pause').click()")
        .await?;
    browser
        .wait_until(&format!("{VERDICT} === 'inconsistent'"))
        .await
}

#[tokio::test]
async fn the_page_passes_the_rules_of_accessibility_in_both_schemes_and_on_a_phone() -> Result<()> {
    if !has_browser()? {
        return Ok(());
    }
    let Some(axe) = axe()? else { return Ok(()) };
    let bad = healthy().await?;
    break_it(&bad).await?;
    let mut browser = Browser::start(DESK.0, DESK.1, false).await?;
    for url in [bad.url(), NOBODY_LISTENS.to_owned()] {
        let dashboard = Dashboard::start(&url, 60).await?;
        for (size, is_dark) in [(DESK, false), (DESK, true), (PHONE, false), (PHONE, true)] {
            browser.emulate(size.0, size.1, is_dark).await?;
            browser.open(&dashboard.url()).await?;
            browser.evaluate(&axe).await?;
            let found = browser
                .evaluate("axe.run().then(result => ({ violations: JSON.stringify(result.violations.map(v => [v.id, v.nodes.map(n => n.html)])), passes: result.passes.length }))")
                .await?;
            assert_eq!(found["violations"], "[]", "{size:?}, dark: {is_dark}");
            // rules that could not run prove nothing
            ensure!(found["passes"].as_u64() > Some(15), "{found}");
            let overflow = "document.documentElement.scrollWidth <= window.innerWidth";
            assert_eq!(browser.evaluate(overflow).await?, true, "{size:?}");
        }
    }
    Ok(())
}

/// The rules, if `tests/prerequisites.sh` has fetched them.
fn axe() -> Result<Option<String>> {
    let tools = env::var_os("ROLLCALL_TEST_PYTHON").map(PathBuf::from);
    match tools.map(|folder| fs::read_to_string(folder.join("axe_playwright_python/axe.min.js"))) {
        Some(Ok(axe)) => Ok(Some(axe)),
        _ => {
            missing::skip("skipped: rules of accessibility (tests/run fetches them)")?;
            Ok(None)
        }
    }
}

#[tokio::test]
async fn the_widget_needs_no_script_and_asks_for_nothing() -> Result<()> {
    if !has_browser()? {
        return Ok(());
    }
    let project = healthy().await?;
    break_it(&project).await?;
    let mut database = project.rollcall().await?;
    let overview = rollcall::dashboard::Overview::take(&mut database).await?;
    for (theme, ink) in [
        (Theme::Light, "rgb(26, 29, 33)"),
        (Theme::Dark, "rgb(232, 234, 237)"),
    ] {
        let fragment = rollcall::dashboard::widget(&overview, theme);
        for unwanted in [
            "<script",
            "<iframe",
            "<use",
            "javascript:",
            "onload",
            "http://",
            "https://",
            "<html",
            "<body",
        ] {
            ensure!(!fragment.contains(unwanted), "{unwanted}");
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("widget.html");
        fs::write(
            &file,
            format!("<!doctype html><meta charset=utf-8><title>w</title>{fragment}"),
        )?;
        // the theme is the surrounding dashboard's, whatever the browser prefers
        for is_dark in [false, true] {
            let mut browser = Browser::start(588, 369, is_dark).await?;
            browser.open(&format!("file://{}", file.display())).await?;
            assert_eq!(browser.evaluate(VERDICT).await?, "inconsistent");
            let colour = "getComputedStyle(document.querySelector('.rollcall')).color";
            assert_eq!(browser.evaluate(colour).await?, ink);
            assert_eq!(browser.requests().len(), 1, "{:?}", browser.requests());
            ensure!(
                browser.complaints().is_empty(),
                "{:?}",
                browser.complaints()
            );
        }
    }
    Ok(())
}

//! `rollcall check` and `rollcall watch`: the scheduled checks, published to a webhook on loopback.

use anyhow::{Result, ensure};
use axum::http::StatusCode;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::project::Project;
use rollcall_tests::watch::Watch;
use rollcall_tests::webhook::{Delivery, Webhook};
use serde_json::{Value, json};

async fn fail_a_signup(project: &Project) -> Result<()> {
    project.break_signups().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    Ok(())
}

/// Switches the trigger on again and repairs.
async fn repair(project: &Project) -> Result<()> {
    project.fix_signups().await?;
    let client = project.connect().await?;
    client
        .batch_execute("select public.backfill_all_missing_profiles(100, false)")
        .await?;
    Ok(())
}

/// What everything here runs with.
fn variables<'a>(url: &'a str, hook: &'a str, ping: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("DATABASE_URL", url),
        ("WEBHOOK_URL", hook),
        ("PING_URL", ping),
        ("PROJECT_NAME", "myapp"),
        ("ENVIRONMENT_NAME", "production"),
        ("PROBE", "off"),
    ]
}

async fn check(project: &Project, webhook: &Webhook, more: &[&str]) -> Result<Finished> {
    let (url, hook, ping) = (project.url(), webhook.url(), webhook.ping_url());
    let arguments: Vec<&str> = ["check"].iter().chain(more).copied().collect();
    let finished = rollcall(&variables(&url, &hook, &ping), &arguments).await?;
    ensure!(!finished.to_string().contains("s3cret"), "{finished}");
    Ok(finished)
}

/// `health opened`, sorted: both checks have incidents of their own.
fn kinds(deliveries: &[Delivery]) -> Result<Vec<String>> {
    let mut kinds = Vec::new();
    for delivery in deliveries {
        let event = delivery.json()?;
        let kind = event["type"].as_str().unwrap_or_default();
        let check = event["data"]["check"].as_str().unwrap_or_default();
        kinds.push(format!(
            "{check} {}",
            kind.trim_start_matches("rollcall.incident.")
        ));
    }
    kinds.sort();
    Ok(kinds)
}

#[tokio::test]
async fn a_check_publishes_an_incident_when_it_opens_and_when_it_is_over_and_exits_by_verdict()
-> Result<()> {
    let project = Project::migrated().await?;
    let webhook = Webhook::start().await?;
    let quiet = check(&project, &webhook, &[]).await?;
    assert_eq!(quiet.status, Some(0), "{quiet}");
    fail_a_signup(&project).await?;
    let opened = check(&project, &webhook, &[]).await?;
    assert_eq!(opened.status, Some(1), "{opened}");
    let again = check(&project, &webhook, &["--format", "json"]).await?;
    assert_eq!(again.status, Some(1), "{again}");
    let report = again.json()?;
    assert_eq!(report["verdict"], "inconsistent");
    assert_eq!(report["checks"][0]["alert"], "already_sent", "{again}");
    repair(&project).await?;
    let resolved = check(&project, &webhook, &[]).await?;
    assert_eq!(resolved.status, Some(0), "{resolved}");
    assert_eq!(
        kinds(&webhook.deliveries())?,
        [
            "health opened",
            "health resolved",
            "recent opened",
            "recent resolved"
        ]
    );
    assert_eq!(webhook.pings(), 8, "two checks each");
    let event = webhook.deliveries()[1].json()?;
    assert_eq!(
        event["data"]["causes"][0]["id"], "signup_trigger_disabled",
        "{event}"
    );
    assert_eq!(event["data"]["project"], "myapp");
    insta::with_settings!({filters => vec![
        (r"(?s)^.*UTC\n\n", ""),
    ]}, {
        insta::assert_snapshot!(opened.stdout);
    });
    Ok(())
}

#[tokio::test]
async fn a_signed_message_can_be_verified_and_one_for_slack_is_text() -> Result<()> {
    let project = Project::migrated().await?;
    fail_a_signup(&project).await?;
    let webhook = Webhook::start().await?;
    let (url, hook) = (project.url(), webhook.url());
    let mut env = variables(&url, &hook, "");
    env.push(("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    rollcall(&env, &["check"]).await?;
    let signed = &webhook.deliveries()[0];
    assert_eq!(
        signed.header("webhook-id"),
        signed.json()?["data"]["id"].as_str().unwrap_or("?")
    );
    ensure!(signed.header("webhook-timestamp").parse::<i64>()? > 1_700_000_000);
    let content = format!(
        "{}.{}.{}",
        signed.header("webhook-id"),
        signed.header("webhook-timestamp"),
        signed.body
    );
    let key = openssl::base64::decode_block("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    let key = openssl::pkey::PKey::hmac(&key)?;
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key)?;
    let expected = openssl::base64::encode_block(&signer.sign_oneshot_to_vec(content.as_bytes())?);
    assert_eq!(signed.header("webhook-signature"), format!("v1,{expected}"));

    repair(&project).await?;
    rollcall(&env, &["check", "--message", "slack", "--project", "other"]).await?;
    let slack = webhook.deliveries()[2].json()?;
    let text = slack["text"].as_str().unwrap_or_default();
    ensure!(
        text.starts_with("*:white_check_mark: [other production] Rollcall, resolved after"),
        "{text}"
    );
    assert_eq!(slack.as_object().map(serde_json::Map::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn what_a_webhook_did_not_take_is_sent_by_the_next_check_and_the_exit_status_says_so()
-> Result<()> {
    let project = Project::migrated().await?;
    let webhook = Webhook::start().await?;
    fail_a_signup(&project).await?;
    for answer in [
        Some(StatusCode::NOT_FOUND),
        Some(StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        webhook.answer(answer);
        let failed = check(&project, &webhook, &[]).await?;
        assert_eq!(failed.status, Some(1), "{failed}");
        ensure!(failed.stdout.contains("not published opened"), "{failed}");
    }
    repair(&project).await?;
    let failed = check(&project, &webhook, &[]).await?;
    assert_eq!(
        failed.status,
        Some(2),
        "all is well, and nobody heard of it: {failed}"
    );
    assert_eq!(webhook.pings(), 0, "whoever waits for a ping notices");
    let tries = webhook.deliveries().len();
    webhook.answer(Some(StatusCode::NO_CONTENT));
    let taken = check(&project, &webhook, &[]).await?;
    assert_eq!(taken.status, Some(0), "{taken}");
    let deliveries = webhook.deliveries();
    assert_eq!(
        kinds(&deliveries[tries..])?,
        [
            "health opened",
            "health resolved",
            "recent opened",
            "recent resolved"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_webhook_that_hangs_is_given_up_and_its_message_kept() -> Result<()> {
    let project = Project::migrated().await?;
    let webhook = Webhook::start().await?;
    fail_a_signup(&project).await?;
    webhook.answer(None);
    let hanging = check(&project, &webhook, &[]).await?;
    assert_eq!(hanging.status, Some(1), "{hanging}");
    ensure!(hanging.stdout.contains("no answer"), "{hanging}");
    webhook.answer(Some(StatusCode::OK));
    let taken = check(&project, &webhook, &["--format", "json"]).await?;
    assert_eq!(taken.json()?["checks"][0]["alert"], "sent", "{taken}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_away_is_left_to_the_exit_status_and_the_ping_that_stays_away()
-> Result<()> {
    let project = Project::migrated().await?;
    let webhook = Webhook::start().await?;
    let (hook, ping) = (webhook.url(), webhook.ping_url());
    // the name of a database that is not there does not pass by itself
    let url = format!("{}x", project.url());
    let finished = rollcall(&variables(&url, &hook, &ping), &["check"]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    ensure!(finished.stdout.contains("session_refused"), "{finished}");
    ensure!(finished.stdout.contains("nothing published"), "{finished}");
    assert_eq!((webhook.deliveries().len(), webhook.pings()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn addresses_that_nobody_may_use_are_refused_without_being_repeated() -> Result<()> {
    let project = Project::migrated().await?;
    let url = project.url();
    for (to, words) in [
        ("", "nobody is named"),
        ("http://example.com/s3cret", "http://"),
        ("s3cret", "not a web address"),
    ] {
        let env = [("DATABASE_URL", url.as_str()), ("WEBHOOK_URL", to)];
        let finished = rollcall(&env, &["check"]).await?;
        assert_eq!(finished.status, Some(2), "{finished}");
        ensure!(finished.stderr.contains(words), "{finished}");
        ensure!(!finished.to_string().contains("s3cret"), "{finished}");
    }
    Ok(())
}

/// The database goes away and comes back, and so does the program.
#[tokio::test]
async fn a_watch_publishes_an_outage_once_and_its_end_and_a_restart_repeats_nothing() -> Result<()>
{
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    fail_a_signup(&project).await?;
    let webhook = Webhook::start().await?;
    let (url, hook, ping) = (project.url(), webhook.url(), webhook.ping_url());
    let env = variables(&url, &hook, &ping);
    let watch = Watch::start(&env)?;
    watch.wait_for("recent inconsistent", 2).await?;
    let opened = ["health opened", "recent opened"];
    assert_eq!(kinds(&webhook.deliveries())?, opened);
    assert_eq!(watch.interrupt().await?, Some(0));

    let watch = Watch::start(&env)?;
    watch.wait_for("recent inconsistent", 2).await?;
    assert_eq!(
        kinds(&webhook.deliveries())?,
        opened,
        "a restart repeats it"
    );

    server.kill()?;
    let deliveries = webhook.wait_for(3).await?;
    let outage = deliveries[2].json()?;
    assert_eq!(
        outage["data"]["findings"][0]["id"], "database_unreachable",
        "{outage}"
    );
    let pings = webhook.pings();
    server.restart()?;
    let deliveries = webhook.wait_for(4).await?;
    let over = deliveries[3].json()?;
    assert_eq!(over["type"], "rollcall.incident.resolved", "{over}");
    assert_eq!(over["data"]["incident"], outage["data"]["incident"]);
    ensure!(
        over["data"]["title"]
            .to_string()
            .contains("can be reached again"),
        "{over}"
    );
    repair(&project).await?;
    let deliveries = webhook.wait_for(5).await?;
    assert_eq!(
        deliveries[4].json()?["type"],
        json!("rollcall.incident.resolved")
    );
    ensure!(webhook.pings() > pings, "{pings}");
    let said = watch.stderr()?;
    ensure!(!said.contains("s3cret"), "{said}");
    assert_eq!(watch.interrupt().await?, Some(0));
    let ids: Vec<Value> = deliveries
        .iter()
        .map(|delivery| json!(delivery.header("webhook-id")))
        .collect();
    let mut once = ids.clone();
    once.sort_by_key(Value::to_string);
    once.dedup();
    assert_eq!(once.len(), ids.len(), "{ids:?}");
    Ok(())
}

//! Alerts through a real SNS server: what a check publishes is taken, delivered, and reads well.

use std::time::Duration;

use anyhow::{Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{inbox::Inbox, lambda::Lambda, moto::Moto, project::Project};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(20);

/// What differs from run to run: ids, moments, ports.
fn with_filters(assertions: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "[id]");
    settings.add_filter(
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z)?",
        "[time]",
    );
    settings.add_filter(r"\d+\.\d minutes ago", "[age] ago");
    settings.add_filter(r"-\d{13}", "-[ms]");
    settings.bind(assertions);
}

/// Everyone's profile is there but those of two signups of just now.
async fn project_with_failed_signups() -> Result<Project> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::Oauth, &Person::numbered(1))
        .await?;
    project.break_signups().await?;
    for number in 2..=3 {
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
            .await?;
    }
    project.fix_signups().await?;
    Ok(project)
}

#[tokio::test]
async fn a_subscriber_reads_what_the_checks_publish_and_nothing_goes_to_the_other_topic()
-> Result<()> {
    let project = project_with_failed_signups().await?;
    let url = project.url();
    let moto = Moto::start().await?;
    let (alerts, critical) = (moto.topic("alerts").await?, moto.topic("critical").await?);
    let (alerts_inbox, critical_inbox) = (Inbox::start().await?, Inbox::start().await?);
    moto.subscribe_http(&alerts, &alerts_inbox).await?;
    moto.subscribe_http(&critical, &critical_inbox).await?;
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("AWS_ENDPOINT_URL_SNS", moto.url()),
        ("ALERT_TOPIC_ARN", &alerts),
        ("CRITICAL_TOPIC_ARN", &critical),
    ];

    for (binary, topic, inbox) in [
        ("health-check", &alerts, &alerts_inbox),
        ("recent-issues", &critical, &critical_inbox),
    ] {
        let lambda = Lambda::start(binary, &env).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["alert"], "sent", "{binary}: {answer}");
        let received = inbox.next(LIMIT).await?;
        assert_eq!(&received.topic_arn, topic);
        let subject = received.subject.unwrap_or_default();
        ensure!(subject.is_ascii() && subject.len() <= 100, "{subject}");
        let event: serde_json::Value = serde_json::from_str(&received.message)?;
        assert_eq!(event["type"], "rollcall.incident.opened");
        let shown = format!("{subject}\n\n{}", serde_json::to_string_pretty(&event)?);
        with_filters(|| insta::assert_snapshot!(format!("{binary}_inconsistent"), shown));
    }
    alerts_inbox.none_within(Duration::from_millis(300)).await?;
    critical_inbox.none_within(Duration::from_millis(300)).await
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_a_failed_alert_with_advice_in_the_log() -> Result<()> {
    let project = project_with_failed_signups().await?;
    let url = project.url();
    let moto = Moto::start().await?;
    let gone = format!("{}-that-is-gone", moto.topic("alerts").await?);
    let env = [
        ("DATABASE_URL", url.as_str()),
        ("AWS_ENDPOINT_URL_SNS", moto.url()),
        ("ALERT_TOPIC_ARN", &gone),
        ("CRITICAL_TOPIC_ARN", &gone),
    ];
    for binary in ["health-check", "recent-issues"] {
        let lambda = Lambda::start(binary, &env).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}: {answer}");
        assert_eq!(answer["alert"], "failed");
        let log = lambda.process.stdout()?;
        ensure!(log.contains("The topic does not exist"), "{log}");
    }
    Ok(())
}

//! The template, run: what a real server creates of it, the functions' own programs in the environment that it gives
//! them, started by the events that its schedules send, and what subscribers of its topics receive.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{inbox::Inbox, lambda::Lambda, moto::Moto, project::Project};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);

/// The template after the SAM transform.
fn transformed() -> Result<Value> {
    let infra = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra");
    let mut path = infra.clone().into_os_string();
    if let Some(packages) = std::env::var_os("ROLLCALL_TEST_PYTHON") {
        path.push(":");
        path.push(packages);
    }
    let output = Command::new("python3")
        .args([
            "-c",
            "import json, transformed; print(json.dumps(transformed.transformed()))",
        ])
        .env("PYTHONPATH", path)
        .output()?;
    ensure!(
        output.status.success(),
        "the template cannot be transformed (`tests/run` installs what that needs): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut template: Value = serde_json::from_slice(&output.stdout)?;
    // moto does not know HTTP APIs, and would have to name the address of one
    let outputs = template["Outputs"].as_object_mut().context("outputs")?;
    for address in ["BackfillUrl", "DashboardPageUrl"] {
        outputs
            .remove(address)
            .with_context(|| format!("no {address}"))?;
    }
    Ok(template)
}

/// Where `transformed` says that `sam deploy` has put it. Nobody runs it.
async fn upload_code(moto: &Moto) -> Result<()> {
    let mut empty_zip = b"PK\x05\x06".to_vec();
    empty_zip.resize(22, 0);
    moto.put("/bucket", Vec::new()).await?;
    moto.put("/bucket/key", empty_zip).await
}

/// What each schedule hands to its function, by the function's logical id.
fn scheduled_events(template: &Value) -> Result<HashMap<String, Value>> {
    template["Resources"]
        .as_object()
        .context("resources")?
        .values()
        .filter(|resource| resource["Type"] == "AWS::Scheduler::Schedule")
        .map(|schedule| {
            let target = &schedule["Properties"]["Target"];
            let function = target["Arn"]["Fn::GetAtt"][0]
                .as_str()
                .context("a function")?;
            let input = target["Input"].as_str().context("an input")?;
            Ok((function.to_owned(), serde_json::from_str(input)?))
        })
        .collect()
}

async fn project_with_a_failed_signup() -> Result<Project> {
    let project = Project::migrated().await?;
    project.break_signups().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.fix_signups().await?;
    Ok(project)
}

#[tokio::test]
async fn subscribers_of_the_stacks_topics_hear_of_an_incident_from_its_beginning_to_its_end()
-> Result<()> {
    let template = transformed()?;
    let events = scheduled_events(&template)?;
    assert_eq!(events.len(), 2);
    let project = project_with_a_failed_signup().await?;
    let moto = Moto::start().await?;
    upload_code(&moto).await?;
    let secret = moto.secret("rollcall/database", &project.url()).await?;
    let outputs = moto
        .stack(
            "rollcall",
            &template,
            &[("DatabaseSecretArn", &secret), ("LogLevel", "debug")],
        )
        .await?;

    for (function, binary, topic, subject) in [
        (
            "HealthCheckFunction",
            "health-check",
            "AlertTopicArn",
            "Rollcall: 1 user without a profile",
        ),
        (
            "RecentIssuesFunction",
            "recent-issues",
            "CriticalTopicArn",
            "Rollcall: 1 signup failing now",
        ),
    ] {
        let topic = &outputs[topic];
        let inbox = Inbox::start().await?;
        moto.subscribe_http(topic, &inbox).await?;
        let queue = moto.queue(binary).await?;
        moto.subscribe_queue(topic, binary).await?;

        let deployed = moto
            .function_environment(&outputs[&format!("{function}Name")])
            .await?;
        ensure!(
            deployed
                .values()
                .all(|value| !value.contains("postgresql://")),
            "{binary} is deployed with the secret itself"
        );
        let mut env = vec![
            ("AWS_ENDPOINT_URL_SNS", moto.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto.url()),
            // the stack's, or none
            ("ALERT_TOPIC_ARN", ""),
            ("CRITICAL_TOPIC_ARN", ""),
        ];
        env.extend(
            deployed
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let lambda = Lambda::start(binary, &env).await?;
        let event = events.get(function).context("no schedule")?;

        for outcome in ["sent", "already_sent"] {
            let answer = lambda.invoke(event.clone()).await?;
            assert_eq!(answer["alert"], outcome, "{binary}: {answer}");
        }
        let opened = inbox.next(LIMIT).await?;
        assert_eq!(&opened.topic_arn, topic);
        assert_eq!(opened.subject.as_deref(), Some(subject));
        ensure!(
            opened.message.contains("rollcall.incident.opened"),
            "{opened:?}"
        );

        project
            .connect()
            .await?
            .batch_execute("select public.backfill_all_missing_profiles(100, false)")
            .await?;
        for outcome in ["sent", "not_needed"] {
            let answer = lambda.invoke(event.clone()).await?;
            assert_eq!(answer["alert"], outcome, "{binary}: {answer}");
        }
        let resolved = inbox.next(LIMIT).await?;
        ensure!(
            resolved.message.contains("rollcall.incident.resolved"),
            "{resolved:?}"
        );
        inbox.none_within(Duration::from_millis(300)).await?;

        let queued = moto.receive(&queue).await?;
        let subjects: Vec<_> = queued
            .iter()
            .map(|message| message["Subject"].as_str())
            .collect();
        assert_eq!(
            subjects,
            [opened.subject.as_deref(), resolved.subject.as_deref()]
        );
        assert_eq!(
            queued[0]["MessageAttributes"]["rollcall_kind"]["Value"],
            "opened"
        );
        ensure!(!lambda.process.output()?.contains("postgresql://"));

        // for the next check
        project
            .connect_as_superuser()
            .await?
            .batch_execute("delete from public.profiles")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_stack_is_created_with_every_kind_of_subscriber_too() -> Result<()> {
    let moto = Moto::start().await?;
    upload_code(&moto).await?;
    let secret = moto.secret("rollcall/database", "postgresql://x").await?;
    let outputs = moto
        .stack(
            "all",
            &transformed()?,
            &[
                ("DatabaseSecretArn", &secret),
                ("AlertEmail", "alerts@example.com"),
                ("CriticalEmail", "critical@example.com"),
                ("SlackWorkspaceId", "T012ABCDEFG"),
                ("SlackChannelId", "C012ABCDEFG"),
                (
                    "PagerDutyUrl",
                    "https://events.pagerduty.com/integration/0123456789abcdef/enqueue",
                ),
                ("SubnetIds", "subnet-0123abcd,subnet-0123abce"),
                ("SecurityGroupIds", "sg-0123abcd"),
            ],
        )
        .await?;
    assert_eq!(
        outputs["AlertTopicArn"],
        "arn:aws:sns:us-east-1:123456789012:all-alerts"
    );
    Ok(())
}

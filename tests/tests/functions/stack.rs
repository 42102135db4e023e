//! The templates, run: what a real server creates of them, the checks' own programs in the environment that the core gives
//! them, and what subscribers of its topic receive.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::{inbox::Inbox, lambda::Lambda, moto::Moto, project::Project};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// The templates by name, after the SAM transform.
fn transformed() -> Result<HashMap<String, Value>> {
    let infra = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra");
    let packages = std::env::var_os("ROLLCALL_TEST_PYTHON").unwrap_or_default();
    let output = Command::new("python3")
        .arg(infra.join("transformed.py"))
        .env("PYTHONPATH", packages)
        .output()?;
    ensure!(
        output.status.success(),
        "the templates cannot be transformed (`tests/run` installs what that needs): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut templates: HashMap<String, Value> = serde_json::from_slice(&output.stdout)?;
    // moto does not know HTTP APIs, and would have to name the address of one
    for (name, address) in [("repair", "BackfillUrl"), ("dashboard", "PageUrl")] {
        templates
            .get_mut(name)
            .and_then(|template| template["Outputs"].as_object_mut())
            .and_then(|outputs| outputs.remove(address))
            .with_context(|| format!("no {address}"))?;
    }
    Ok(templates)
}

/// Where `transformed` says that `sam deploy` has put it. Nobody runs it.
async fn upload_code(moto: &Moto) -> Result<()> {
    let mut empty_zip = b"PK\x05\x06".to_vec();
    empty_zip.resize(22, 0);
    moto.put("/bucket", Vec::new()).await?;
    moto.put("/bucket/key", empty_zip).await
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
async fn subscribers_of_the_stacks_topic_hear_of_an_incident_from_its_beginning_to_its_end()
-> Result<()> {
    let project = project_with_a_failed_signup().await?;
    let moto = Moto::start().await?;
    upload_code(&moto).await?;
    let secret = moto.secret("rollcall/monitor", &project.url()).await?;
    let outputs = moto
        .stack(
            "rollcall-shop",
            &transformed()?["template"],
            &[
                ("DatabaseSecretArn", &secret),
                ("AlertEmail", "team@example.com"),
                ("EnvironmentName", "production"),
            ],
        )
        .await?;
    let topic = &outputs["AlertTopicArn"];
    let inbox = Inbox::start().await?;
    moto.subscribe_http(topic, &inbox).await?;
    let queue = moto.queue("everything").await?;
    moto.subscribe_queue(topic, "everything").await?;

    for binary in ["health-check", "recent-issues"] {
        let deployed = moto
            .function_environment(&format!("rollcall-shop-{binary}"))
            .await?;
        ensure!(
            deployed
                .values()
                .all(|value| !value.contains("postgresql://")),
            "{binary} is deployed with the secret itself"
        );
        assert_eq!(deployed["PROJECT_NAME"], "rollcall-shop");
        let mut env = vec![
            ("AWS_ENDPOINT_URL_SNS", moto.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto.url()),
            // none but the stack's
            ("CRITICAL_TOPIC_ARN", ""),
        ];
        env.extend(
            deployed
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let lambda = Lambda::start(binary, &env).await?;

        for outcome in ["sent", "already_sent"] {
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["alert"], outcome, "{binary}: {answer}");
        }
        let opened = inbox.next(LIMIT).await?;
        assert_eq!(&opened.topic_arn, topic);
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
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["alert"], outcome, "{binary}: {answer}");
        }
        let resolved = inbox.next(LIMIT).await?;
        ensure!(
            resolved.message.contains("rollcall.incident.resolved"),
            "{resolved:?}"
        );
        inbox.none_within(Duration::from_millis(300)).await?;

        let kinds: Vec<_> = moto
            .receive(&queue)
            .await?
            .iter()
            .map(|message| message["MessageAttributes"]["rollcall_kind"]["Value"].clone())
            .collect();
        assert_eq!(kinds, ["opened", "resolved"]);
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
async fn two_projects_with_everything_beside_them_share_an_account() -> Result<()> {
    let templates = transformed()?;
    let moto = Moto::start().await?;
    upload_code(&moto).await?;
    let secret = moto.secret("rollcall/monitor", "postgresql://x").await?;
    let vpc = [
        ("DatabaseSecretArn", secret.as_str()),
        ("SubnetIds", "subnet-0123abcd,subnet-0123abce"),
        ("SecurityGroupIds", "sg-0123abcd"),
        ("DualStack", "true"),
    ];
    for core in ["rollcall-shop", "rollcall-blog"] {
        let beside = ("Core", core);
        let mail = ("AlertEmail", "team@example.com");
        let pager = ("PagerUrl", "https://events.example.com/0123456789abcdef");
        let slack = [("WorkspaceId", "T012ABCDEFG"), ("ChannelId", "C012ABCDEFG")];
        for (name, parameters) in [
            ("template", [&vpc[..], &[mail]].concat()),
            ("repair", [&vpc[..], &[beside]].concat()),
            ("dashboard", [&vpc[..], &[beside]].concat()),
            ("pager", vec![beside, pager]),
            ("slack", [&slack[..], &[beside]].concat()),
        ] {
            let stack = match name {
                "template" => core.to_owned(),
                part => format!("{core}-{part}"),
            };
            moto.stack(&stack, &templates[name], &parameters)
                .await
                .with_context(|| stack)?;
        }
    }
    Ok(())
}

//! `health-check` and `recent-issues` as Lambda runs them: real processes, a real database.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use axum::http::StatusCode;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::{
    fake_sns::Behaviour,
    lambda::{ALERT_TOPIC, CRITICAL_TOPIC, DEADLINE, Lambda},
    moto::Moto,
    project::Project,
    runtime_api::Outcome,
};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The functions that check, and the topic that each alerts.
const CHECKS: [(&str, &str); 2] = [
    ("health-check", ALERT_TOPIC),
    ("recent-issues", CRITICAL_TOPIC),
];

/// A time limit for what waits until there is none left.
const SHORT: Duration = Duration::from_secs(6);

/// What a schedule, a rule, a person or a mistake may hand to a check.
fn events() -> [Value; 9] {
    [
        json!({}),
        json!({"schedule": "rollcall-hourly", "note": "the input of a schedule"}),
        json!({
            "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
            "detail-type": "Scheduled Event", "source": "aws.events",
            "account": "123456789012", "time": "2026-11-22T00:00:00Z", "region": "us-east-1",
            "resources": ["arn:aws:events:us-east-1:123456789012:rule/rollcall"], "detail": {},
        }),
        json!({"source": "aws.events"}),
        json!(null),
        json!([]),
        json!("a string"),
        json!(7),
        json!({"detail-type": 7, "verdict": "consistent"}),
    ]
}

/// A project with a profile for everyone but one user, who has just signed up.
async fn project_with_a_failed_signup() -> Result<(Project, String)> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.break_signups().await?;
    let id = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    project.fix_signups().await?;
    Ok((project, id.to_string()))
}

/// The same for both checks at once, where a test waits more than it works.
async fn both(test: impl AsyncFn(&str, &str) -> Result<()>) -> Result<()> {
    let [health, recent] = CHECKS;
    tokio::try_join!(test(health.0, health.1), test(recent.0, recent.1))?;
    Ok(())
}

async fn start(binary: &str, project: &Project) -> Result<Lambda> {
    Lambda::start(binary, &[("DATABASE_URL", &project.url())]).await
}

fn first_finding(answer: &Value) -> &str {
    answer["findings"][0]["id"].as_str().unwrap_or_default()
}

/// The server processes that functions of this project hold.
async fn backends(project: &Project) -> Result<Vec<i32>> {
    let rows = project
        .connect_as_superuser()
        .await?
        .query_typed(
            "select pid from pg_catalog.pg_stat_activity
             where datname = current_database() and application_name = 'rollcall' order by pid",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn a_consistent_project_is_reported_and_nobody_is_alerted() -> Result<()> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (0..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }

    let url = project.url();
    let health =
        Lambda::start("health-check", &[("DATABASE_URL", &url), ("PROBE", "auto")]).await?;
    let answer = health.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "consistent", "{answer}");
    assert_eq!(answer["recent_signups_count"], 12);
    assert_eq!(answer["signups_missing_profiles"], 0);
    assert_eq!(answer["health_percentage"], 100.0);
    assert_eq!(answer["alert"], "not_needed");
    assert_eq!(answer["findings"], json!([]));
    answer["check_time"]
        .as_str()
        .context("a time")?
        .parse::<jiff::Timestamp>()?;
    assert_eq!(health.alerts(), []);

    let recent = start("recent-issues", &project).await?;
    let answer = recent.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "consistent", "{answer}");
    assert_eq!(answer["issues"], json!([]));
    assert_eq!(answer["window"]["minutes"], 10);
    assert_eq!(answer["alert"], "not_needed");
    assert_eq!(recent.alerts(), []);
    Ok(())
}

#[tokio::test]
async fn every_event_leads_to_the_same_report() -> Result<()> {
    let project = Project::migrated().await?;
    for (binary, _) in CHECKS {
        let lambda = start(binary, &project).await?;
        for event in events() {
            let answer = lambda
                .invoke(event.clone())
                .await
                .with_context(|| format!("{binary}: {event}"))?;
            assert_eq!(
                answer["verdict"], "consistent",
                "{binary}: {event}: {answer}"
            );
        }
        assert_eq!(lambda.alerts(), []);
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_profile_alerts_the_topic_of_the_check_with_ids_only() -> Result<()> {
    let (project, id) = project_with_a_failed_signup().await?;
    for (binary, topic) in CHECKS {
        let lambda = start(binary, &project).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}: {answer}");
        assert_eq!(answer["alert"], "sent");
        let attempts = lambda.sns.attempts();
        assert_eq!(attempts.len(), 1, "{binary}");
        assert_eq!(attempts[0].topic_arn, topic);
        assert_eq!(attempts[0].message_structure.as_deref(), Some("json"));
        let opened = &answer["alerts"][0];
        assert_eq!(opened["kind"], "opened", "{answer}");
        assert_eq!(opened["outcome"], "sent", "{answer}");
        let all = format!("{answer}{attempts:?}{}", lambda.process.output()?);
        ensure!(!all.contains("person2"), "{binary} tells an address: {all}");
        let message = &attempts[0].message;
        ensure!(message.contains(&id), "{binary}: {message}");
        if binary == "health-check" {
            assert_eq!(answer["recent_signups_count"], 2);
            assert_eq!(answer["signups_missing_profiles"], 1);
            assert_eq!(answer["health_percentage"], 50.0);
            assert_eq!(lambda.alerts()[0].1, "Rollcall: 1 user without a profile");
        } else {
            assert_eq!(answer["issues"][0]["user_id"], id.as_str());
        }
    }

    Ok(())
}

#[tokio::test]
async fn a_signup_trigger_that_is_off_is_an_alert_before_anyone_is_missed() -> Result<()> {
    let project = Project::migrated().await?;
    project.break_signups().await?;
    let lambda = start("health-check", &project).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "inconsistent", "{answer}");
    assert_eq!(first_finding(&answer), "signup_trigger_disabled");
    assert_eq!(
        lambda.alerts(),
        [(
            ALERT_TOPIC.to_owned(),
            "Rollcall: new signups get no profile (signup_trigger_disabled)".to_owned()
        )]
    );
    Ok(())
}

#[tokio::test]
async fn recent_issues_uses_the_general_topic_where_there_is_no_critical_one() -> Result<()> {
    let (project, _) = project_with_a_failed_signup().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str()), ("CRITICAL_TOPIC_ARN", "")];
    let lambda = Lambda::start("recent-issues", &env).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["alert"], "sent");
    assert_eq!(lambda.alerts()[0].0, ALERT_TOPIC);
    Ok(())
}

#[tokio::test]
async fn an_alert_without_a_usable_topic_is_said_in_the_result_and_in_the_log() -> Result<()> {
    let (project, _) = project_with_a_failed_signup().await?;
    let url = project.url();
    for (topic, outcome) in [
        ("", "no_topic"),
        ("not an ARN", "failed"),
        ("arn:aws:sqs:us-east-1:123456789012:q", "failed"),
    ] {
        let env = [
            ("DATABASE_URL", url.as_str()),
            ("ALERT_TOPIC_ARN", topic),
            ("CRITICAL_TOPIC_ARN", topic),
        ];
        for (binary, _) in CHECKS {
            let lambda = Lambda::start(binary, &env).await?;
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["verdict"], "inconsistent", "{binary} {topic:?}");
            assert_eq!(answer["alert"], outcome, "{binary} {topic:?}");
            let log = lambda.process.stdout()?;
            ensure!(log.contains(r#""level":"ERROR""#), "{log}");
            assert_eq!(lambda.alerts(), []);
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_aws_credentials_the_check_still_reports() -> Result<()> {
    let (project, _) = project_with_a_failed_signup().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str()), ("AWS_ACCESS_KEY_ID", "")];
    for (binary, _) in CHECKS {
        let lambda = Lambda::start(binary, &env).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}");
        assert_eq!(answer["alert"], "failed", "{binary}");
    }
    Ok(())
}

/// Its name, the function's variables, and the finding it leads to.
type Blindness<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str);

/// What leaves a database that can keep an incident.
const KEEPS_INCIDENTS: [&str; 2] = ["no_definition", "statement_refused"];

/// Every way to see nothing: `unknown`, an alert or the metric of an alarm, and a function that lives on.
#[tokio::test]
async fn what_cannot_be_looked_at_is_unknown_and_an_alert() -> Result<()> {
    let migrated = Project::migrated().await?.url();
    let bare = Project::without_rollcall().await?.url();
    let undefined = Project::without_rollcall().await?;
    undefined.migrate().await?;
    let undefined = undefined.url();
    let dropped = Project::migrated().await?;
    dropped
        .connect()
        .await?
        .batch_execute("drop table public.profiles")
        .await?;
    let dropped = dropped.url();
    let nobody_listens = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        format!("postgresql://postgres@{}/x", listener.local_addr()?)
    };
    let nonexistent = format!("{migrated}_that_is_not_there");
    let unknown_role = migrated.replace("postgres@", "nobody_of_this_name@");
    let verified = format!("{migrated}?sslmode=verify-full");
    let no_role = format!("{}?user=anon", bare);
    let moto = Moto::start().await?;
    let unfit = moto.secret("unfit", "hunter2").await?;
    let missing = format!("{unfit}-missing");
    let secrets = moto.url().to_owned();

    let cases: Vec<Blindness> = vec![
        (
            "port closed",
            vec![("DATABASE_URL", &nobody_listens)],
            "database_unreachable",
        ),
        (
            "nonexistent database",
            vec![("DATABASE_URL", &nonexistent)],
            "session_refused",
        ),
        (
            "unknown role",
            vec![("DATABASE_URL", &unknown_role)],
            "authentication_failed",
        ),
        (
            "role that may not log in",
            vec![("DATABASE_URL", &no_role)],
            "authentication_failed",
        ),
        (
            "not migrated",
            vec![("DATABASE_URL", &bare)],
            "not_migrated",
        ),
        (
            "no definition",
            vec![("DATABASE_URL", &undefined)],
            "no_definition",
        ),
        (
            "profile table dropped",
            vec![("DATABASE_URL", &dropped)],
            "statement_refused",
        ),
        (
            "secret missing",
            vec![
                ("DATABASE_SECRET_ARN", &missing),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets),
            ],
            "settings_unavailable",
        ),
        (
            "secret unfit",
            vec![
                ("DATABASE_SECRET_ARN", &unfit),
                ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets),
            ],
            "settings_unavailable",
        ),
        (
            "secret's ARN malformed, and a good DATABASE_URL beside it",
            vec![
                ("DATABASE_SECRET_ARN", "rollcall"),
                ("DATABASE_URL", &migrated),
            ],
            "settings_unavailable",
        ),
        ("neither variable", vec![], "settings_unavailable"),
        (
            "both variables empty",
            vec![("DATABASE_SECRET_ARN", ""), ("DATABASE_URL", " ")],
            "settings_unavailable",
        ),
        (
            "malformed URL",
            vec![("DATABASE_URL", "postgresql://[")],
            "settings_unusable",
        ),
        (
            "no URL at all",
            vec![("DATABASE_URL", "hunter2")],
            "settings_unusable",
        ),
        (
            "CA certificate that is none",
            vec![
                ("DATABASE_URL", &verified),
                (
                    "DATABASE_CA_CERT",
                    "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----",
                ),
            ],
            "ca_certificate_unusable",
        ),
        (
            "CA certificate that is not there",
            vec![
                ("DATABASE_URL", &verified),
                ("DATABASE_CA_CERT", "/nonexistent/hunter2.pem"),
            ],
            "ca_certificate_unusable",
        ),
        (
            "server without TLS",
            vec![("DATABASE_URL", &verified)],
            "tls_refused",
        ),
    ];
    for (name, env, id) in &cases {
        for (binary, topic) in CHECKS {
            let lambda = Lambda::start(binary, env).await?;
            let answer = lambda
                .invoke_within(json!({}), SHORT)
                .await
                .with_context(|| format!("{binary}, {name}"))?;
            assert_eq!(answer["verdict"], "unknown", "{binary}, {name}: {answer}");
            assert_eq!(first_finding(&answer), *id, "{binary}, {name}: {answer}");
            let counts = [&answer["signups_missing_profiles"], &answer["issues"]];
            ensure!(
                counts.iter().all(|count| count.is_null()),
                "a number that nobody counted: {answer}"
            );
            // where the database can keep that people were notified, they are; else an alarm does it
            let (outcome, topics) = if KEEPS_INCIDENTS.contains(id) {
                ("sent", vec![topic.to_owned()])
            } else {
                ("left_to_alarm", vec![])
            };
            assert_eq!(answer["alert"], outcome, "{binary}, {name}");
            let alerts = lambda.alerts().into_iter().map(|alert| alert.0);
            assert_eq!(alerts.collect::<Vec<_>>(), topics, "{binary}, {name}");
            let unreachable = f64::from(u8::from(topics.is_empty()));
            let log = lambda.process.stdout()?;
            ensure!(
                log.contains(&format!("\"Unreachable\":{unreachable:.1}")),
                "{log}"
            );
            let all = format!("{:?}{}", lambda.sns.attempts(), lambda.process.output()?);
            ensure!(!all.contains("hunter2"), "{binary}, {name}: {all}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_alert_hides_no_result_and_is_sent_again() -> Result<()> {
    let (project, _) = project_with_a_failed_signup().await?;
    both(async |binary, topic| {
        let lambda = start(binary, &project).await?;
        let refusal = Behaviour::Fail {
            status: StatusCode::FORBIDDEN,
            code: "AuthorizationError",
        };
        for behaviour in [refusal, Behaviour::INTERNAL_ERROR, Behaviour::Hang] {
            lambda.sns.behave(behaviour);
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["verdict"], "inconsistent", "{binary} {behaviour:?}");
            assert_eq!(answer["alert"], "failed", "{binary} {behaviour:?}");
        }
        let log = lambda.process.stdout()?;
        assert_eq!(
            log.matches("alert not sent").count(),
            3,
            "{binary} does not log it: {log}"
        );
        let report = log.find(r#""message":"checked""#).context("no report")?;
        ensure!(
            Some(report) < log.find("alert not sent"),
            "the report has to come first: {log}"
        );

        lambda.sns.behave(Behaviour::Accept);
        let before = lambda.alerts().len();
        assert_eq!(lambda.invoke(json!({})).await?["alert"], "sent");
        let alerts = lambda.alerts();
        assert_eq!(alerts.len(), before + 1);
        assert_eq!(alerts[before].0, topic);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn one_connection_is_kept_between_invocations_and_replaced_once_when_lost() -> Result<()> {
    let project = Project::migrated().await?;
    for (binary, _) in CHECKS {
        let lambda = start(binary, &project).await?;
        lambda.invoke(json!({})).await?;
        let first = backends(&project).await?;
        assert_eq!(first.len(), 1, "{binary}");
        for _ in 0..4 {
            lambda.invoke(json!({})).await?;
        }
        assert_eq!(backends(&project).await?, first, "{binary}");

        let superuser = project.connect_as_superuser().await?;
        superuser
            .execute_typed(
                "select pg_terminate_backend($1, 5000)",
                &[(&first[0], tokio_postgres::types::Type::INT4)],
            )
            .await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "consistent", "{binary}: {answer}");
        let second = backends(&project).await?;
        assert_eq!(second.len(), 1, "{binary}");
        assert_ne!(second, first, "{binary}");

        // The next function's connection is to be the only one.
        drop(lambda);
        let all_gone = async {
            while !backends(&project).await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        timeout(Duration::from_secs(60), all_gone)
            .await
            .with_context(|| format!("the connection of {binary} outlives it"))??;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_went_away_is_unknown_and_its_return_is_noticed() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    for (binary, _) in CHECKS {
        let lambda = start(binary, &project).await?;
        assert_eq!(lambda.invoke(json!({})).await?["verdict"], "consistent");
        server.restart()?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "consistent", "{binary}: {answer}");

        server.kill()?;
        let answer = lambda.first_unknown().await?;
        assert_eq!(answer["verdict"], "unknown", "{binary}: {answer}");
        assert_eq!(first_finding(&answer), "database_unreachable");
        assert_eq!(answer["alert"], "left_to_alarm", "{binary}");

        server.restart()?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "consistent", "{binary}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_stays_locked_is_given_up_by_the_server_and_alerted() -> Result<()> {
    let project = Project::migrated().await?;
    let mut client = project.connect().await?;
    let lock = client.transaction().await?;
    lock.batch_execute("lock table public.profiles in access exclusive mode")
        .await?;
    both(async |binary, topic| {
        let lambda = start(binary, &project).await?;
        let answer = lambda.invoke_within(json!({}), SHORT).await?;
        assert_eq!(answer["verdict"], "unknown", "{binary}: {answer}");
        // lock_not_available: the server's limit ended the wait, not the function's own.
        ensure!(
            answer["findings"][0].to_string().contains("55P03"),
            "{binary}: {answer}"
        );
        assert_eq!(answer["alert"], "sent");
        assert_eq!(lambda.alerts()[0].0, topic);
        Ok(())
    })
    .await?;
    lock.rollback().await?;
    let lambda = start("health-check", &project).await?;
    assert_eq!(lambda.invoke(json!({})).await?["verdict"], "consistent");
    Ok(())
}

/// What passes while a check has time left is nobody's concern.
async fn passes_unnoticed(url: &str, trouble: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let env = [("DATABASE_URL", url)];
    let health = Lambda::start("health-check", &env).await?;
    let recent = Lambda::start("recent-issues", &env).await?;
    let (trouble, first, second) = tokio::join!(
        trouble(),
        health.invoke(json!({})),
        recent.invoke(json!({}))
    );
    trouble?;
    for (lambda, answer) in [(&health, first?), (&recent, second?)] {
        assert_eq!(answer["verdict"], "consistent", "{answer}");
        assert_eq!(answer["alert"], "not_needed", "{answer}");
        assert_eq!(lambda.alerts(), []);
        let log = lambda.process.stdout()?;
        ensure!(
            log.contains("trying again"),
            "nothing was in its way: {log}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_is_locked_for_seconds_is_waited_for_and_nobody_is_alerted() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute("begin; lock table public.profiles in access exclusive mode")
        .await?;
    passes_unnoticed(&project.url(), async || {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(client.batch_execute("commit").await?)
    })
    .await
}

/// Both functions start cold, so neither has ever reached it.
#[tokio::test]
async fn a_database_that_restarts_is_waited_for_and_nobody_is_alerted() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    server.kill()?;
    passes_unnoticed(&project.url(), async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.restart()
    })
    .await
}

#[tokio::test]
async fn a_connection_limit_that_is_reached_for_a_moment_is_waited_for_and_nobody_is_alerted()
-> Result<()> {
    let project = Project::migrated().await?;
    project.let_roles_log_in().await?;
    let owner = project.connect_as_superuser().await?;
    owner
        .batch_execute("alter role rollcall_monitor connection limit 0")
        .await?;
    let url = project.database.url_as("rollcall_monitor");
    passes_unnoticed(&url, async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(owner
            .batch_execute("alter role rollcall_monitor connection limit -1")
            .await?)
    })
    .await
}

/// A definition that sleeps, as a query over far too many rows does.
#[tokio::test]
async fn a_database_that_stalls_is_given_up_in_time_to_alert() -> Result<()> {
    both(async |binary, topic| {
        let (project, _) = project_with_a_failed_signup().await?;
        let client = project.connect().await?;
        client
            .batch_execute(
                "create table public.kept as select query from rollcall.settings;
                 update rollcall.settings set query =
                   'select d.* from (' || query || ') d, (select pg_sleep(60) is null as slept offset 0) s where not s.slept'",
            )
            .await?;

        let deadline = Duration::from_secs(9);
        let lambda = start(binary, &project).await?;
        let answer = lambda.invoke_within(json!({}), deadline).await?;
        assert_eq!(answer["verdict"], "unknown", "{binary}: {answer}");
        assert_eq!(first_finding(&answer), "database_timeout", "{binary}");
        assert_eq!(answer["alert"], "sent");
        assert_eq!(lambda.alerts()[0].0, topic);

        // What still runs on the given-up connection is not taken for the next answer.
        client
            .batch_execute("update rollcall.settings s set query = k.query from public.kept k")
            .await?;
        let answer = lambda.invoke_within(json!({}), deadline).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}: {answer}");
        Ok(())
    })
    .await
}

/// A proxy or firewall that takes the connection and says nothing.
#[tokio::test]
async fn an_address_that_never_answers_is_given_up_in_time_to_answer() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("postgresql://postgres@{}/x", listener.local_addr()?);
    both(async |binary, _| {
        let lambda = Lambda::start(binary, &[("DATABASE_URL", &url)]).await?;
        let answer = lambda.invoke_within(json!({}), SHORT).await?;
        assert_eq!(answer["verdict"], "unknown", "{binary}: {answer}");
        assert_eq!(answer["alert"], "left_to_alarm");
        Ok(())
    })
    .await
}

/// With the shortest time limit that a function is deployed with, and with one that is shorter than a single publication
/// may take.
#[tokio::test]
async fn a_hanging_topic_still_leaves_time_to_answer() -> Result<()> {
    let (project, _) = project_with_a_failed_signup().await?;
    let lambda = start("recent-issues", &project).await?;
    lambda.sns.behave(Behaviour::Hang);
    for deadline in [DEADLINE, SHORT] {
        let answer = lambda.invoke_within(json!({}), deadline).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{answer}");
        assert_eq!(answer["alert"], "failed");
    }
    Ok(())
}

#[tokio::test]
async fn the_connection_string_may_come_from_a_secret_in_every_form() -> Result<()> {
    let project = Project::migrated().await?;
    let url = project.url();
    let port = url
        .rsplit_once(':')
        .and_then(|(_, rest)| rest.split_once('/'))
        .context("a port")?
        .0;
    let moto = Moto::start().await?;
    let forms = [
        url.clone(),
        json!({ "DATABASE_URL": url }).to_string(),
        json!({ "url": url, "note": "more" }).to_string(),
        json!({
            "username": "postgres", "password": "not asked for", "host": "127.0.0.1",
            "port": port, "dbname": project.database.name(),
        })
        .to_string(),
    ];
    for (number, form) in forms.iter().enumerate() {
        let arn = moto.secret(&format!("form-{number}"), form).await?;
        let env = [
            ("DATABASE_SECRET_ARN", arn.as_str()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto.url()),
            ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x"),
        ];
        for (binary, _) in CHECKS {
            let lambda = Lambda::start(binary, &env).await?;
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["verdict"], "consistent", "{binary} {number}");
        }
    }
    Ok(())
}

/// A server of its own, since its access rules change: `postgres` needs a password there.
#[tokio::test]
async fn a_rotated_password_is_read_again_when_the_old_one_is_refused() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    let moved = Project::migrated_on(&server).await?;
    moved.add_users_without_profile(1).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("alter role postgres password 'first'")
        .await?;
    let rules = server.folder().join("data/pg_hba.conf");
    let trusting = fs::read_to_string(&rules)?;
    fs::write(
        &rules,
        format!("host all postgres 127.0.0.1/32 scram-sha-256\n{trusting}"),
    )?;
    admin.query_typed("select pg_reload_conf()", &[]).await?;

    let with_password = |password: &str| {
        project
            .url()
            .replace("postgres@", &format!("postgres:{password}@"))
    };
    let moto = Moto::start().await?;
    let arn = moto.secret("rotating", &with_password("first")).await?;
    let env = [
        ("DATABASE_SECRET_ARN", arn.as_str()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto.url()),
    ];
    // The new rules apply to the first connection after the server has read them.
    let mut enforced = false;
    for _ in 0..1_200 {
        if rollcall_sandbox::connect(&with_password("wrong"))
            .await
            .is_err()
        {
            enforced = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ensure!(enforced, "the server takes any password");

    let lambda = Lambda::start("health-check", &env).await?;
    assert_eq!(lambda.invoke(json!({})).await?["verdict"], "consistent");

    // The secret changes first, then the password: in between the old connection goes on.
    moto.replace_secret(&arn, &with_password("second")).await?;
    assert_eq!(lambda.invoke(json!({})).await?["verdict"], "consistent");
    admin
        .batch_execute("alter role postgres password 'second'")
        .await?;
    let terminate = "select pg_terminate_backend(pid, 5000) from pg_stat_activity
                     where application_name = 'rollcall'";
    admin.query_typed(terminate, &[]).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "consistent", "{answer}");
    ensure!(
        lambda
            .process
            .stdout()?
            .contains("reading the secret again")
    );

    // The password changes and the secret does not yet: unknown, until it does.
    admin
        .batch_execute("alter role postgres password 'third'")
        .await?;
    admin.query_typed(terminate, &[]).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "unknown", "{answer}");
    assert_eq!(first_finding(&answer), "authentication_failed");
    assert_eq!(answer["alert"], "left_to_alarm");
    // The secret follows while a check has time left.
    let follow = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        moto.replace_secret(&arn, &with_password("third")).await
    };
    let (answer, follow) = tokio::join!(lambda.invoke(json!({})), follow);
    follow?;
    let answer = answer?;
    assert_eq!(answer["verdict"], "consistent", "{answer}");
    assert_eq!(answer["alert"], "not_needed");
    // The new secret counts as a whole: it may name another database, too.
    admin
        .batch_execute("alter role postgres password 'fourth'")
        .await?;
    admin.query_typed(terminate, &[]).await?;
    let other = with_password("fourth").replace(project.database.name(), moved.database.name());
    moto.replace_secret(&arn, &other).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "inconsistent", "{answer}");

    let all = lambda.process.output()?;
    for password in ["first", "second", "third", "fourth"] {
        ensure!(!all.contains(&format!(":{password}@")), "{all}");
    }
    Ok(())
}

#[tokio::test]
async fn the_secret_is_fetched_once_by_an_instance_also_when_its_connection_is_lost() -> Result<()>
{
    let project = Project::migrated().await?;
    let moto = Moto::start().await?;
    for (binary, _) in CHECKS {
        let arn = moto.secret(binary, &project.url()).await?;
        let env = [
            ("DATABASE_SECRET_ARN", arn.as_str()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto.url()),
        ];
        let lambda = Lambda::start(binary, &env).await?;
        assert_eq!(lambda.invoke(json!({})).await?["verdict"], "consistent");
        moto.secrets_manager(
            "DeleteSecret",
            json!({"SecretId": arn, "ForceDeleteWithoutRecovery": true}),
        )
        .await?;
        for backend in backends(&project).await? {
            project
                .connect_as_superuser()
                .await?
                .execute_typed(
                    "select pg_terminate_backend($1, 5000)",
                    &[(&backend, tokio_postgres::types::Type::INT4)],
                )
                .await?;
        }
        for _ in 0..2 {
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["verdict"], "consistent", "{binary}: {answer}");
        }
    }
    Ok(())
}

/// Limits of others: 6 MiB for an answer, 256 KiB for an SNS message and for a log line.
/// Reading them takes longer than everything else that a function does. Whoever opens this pipe waits for ever.
#[tokio::test]
async fn the_systems_certificates_are_not_read_where_nothing_is_verified_by_them() -> Result<()> {
    let (project, _) = project_with_a_failed_signup().await?;
    let folder = tempfile::tempdir()?;
    let certificates = folder.path().join("certificates.pem");
    let made = Command::new("mkfifo").arg(&certificates).status()?;
    ensure!(made.success(), "there is no pipe: {made}");
    let env = [
        ("DATABASE_URL", project.url()),
        ("SSL_CERT_FILE", certificates.display().to_string()),
    ];
    let env = env.each_ref().map(|(name, value)| (*name, value.as_str()));
    let lambda = Lambda::start("health-check", &env).await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["alert"], "sent", "{answer}");
    Ok(())
}

#[tokio::test]
async fn thousands_of_failed_signups_fit_into_one_answer_one_alert_and_one_log_line() -> Result<()>
{
    const LIMIT: usize = 256 * 1024;
    let project = Project::migrated().await?;
    project.add_users_without_profile(5000).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("update auth.users set created_at = now()")
        .await?;
    for (binary, _) in CHECKS {
        let lambda = start(binary, &project).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}");
        assert_eq!(answer["alert"], "sent", "{binary}");
        ensure!(answer.to_string().len() <= LIMIT, "{binary}");
        let issues = answer["issues"].as_array().map(Vec::len);
        let listed = (binary == "recent-issues").then_some(500);
        assert_eq!(issues, listed, "{binary}");
        assert_eq!(answer["findings"][0]["count"], 5000, "{binary}");
        let message = &lambda.sns.attempts()[0].message;
        ensure!(
            message.len() < 16384 && message.contains("5000"),
            "{message}"
        );
        let log = lambda.process.stdout()?;
        ensure!(
            !log.is_empty() && log.lines().all(|line| line.len() <= LIMIT),
            "{binary}"
        );
    }
    Ok(())
}

/// Lambda lets nothing but JSON through; should it, one invocation is lost and not the instance.
#[tokio::test]
async fn an_event_that_is_not_json_fails_alone_and_is_not_repeated() -> Result<()> {
    let project = Project::migrated().await?;
    for (binary, _) in CHECKS {
        let lambda = start(binary, &project).await?;
        let outcome = lambda.outcome(b"{hunter2".as_slice(), DEADLINE).await?;
        ensure!(matches!(outcome, Outcome::Error { .. }), "{outcome:?}");
        assert_eq!(lambda.invoke(json!({})).await?["verdict"], "consistent");
        let all = format!("{outcome:?}{}", lambda.process.output()?);
        ensure!(!all.contains("hunter2"), "{binary}: {all}");
    }
    Ok(())
}

#[tokio::test]
async fn a_log_line_carries_the_request_id_and_the_report() -> Result<()> {
    let project = Project::migrated().await?;
    let lambda = start("health-check", &project).await?;
    let answer = lambda.invoke(json!({})).await?;
    let log = lambda.process.stdout()?;
    let line: Value = log
        .lines()
        .map(serde_json::from_str::<Value>)
        .collect::<Result<Vec<_>, _>>()
        .context("a log line is not JSON")?
        .into_iter()
        .find(|line| line["message"] == "checked")
        .context("the report is not logged")?;
    let mut report: Value = serde_json::from_str(line["report"].as_str().context("a report")?)?;
    for told in ["alert", "alerts"] {
        report[told] = answer[told].clone();
    }
    assert_eq!(report, answer);
    ensure!(
        line.to_string()
            .contains("00000000-0000-4000-8000-000000000001"),
        "{line}"
    );
    assert_eq!(lambda.process.stderr()?, "");
    Ok(())
}

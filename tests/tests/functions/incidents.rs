//! Incidents from end to end: real functions, a real database, a topic that fails when told to.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::{
    fake_sns::{Behaviour, Publication},
    lambda::{ALERT_TOPIC, CRITICAL_TOPIC, DEADLINE, Lambda},
    project::Project,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// The functions that check, what the database calls their check, and the topic of each.
const CHECKS: [(&str, &str, &str); 2] = [
    ("health-check", "health", ALERT_TOPIC),
    ("recent-issues", "recent", CRITICAL_TOPIC),
];

/// What all of them come to, at once.
async fn all<T: Send + 'static>(
    works: impl IntoIterator<Item = impl Future<Output = Result<T>> + Send + 'static>,
) -> Result<Vec<T>> {
    let mut set = JoinSet::from_iter(works);
    let mut outcomes = Vec::new();
    while let Some(outcome) = set.join_next().await {
        outcomes.push(outcome??);
    }
    Ok(outcomes)
}

async fn project_with_a_failed_signup() -> Result<Project> {
    let project = Project::migrated().await?;
    fail_a_signup(&project, 1).await?;
    Ok(project)
}

async fn fail_a_signup(project: &Project, number: u32) -> Result<()> {
    project.break_signups().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
        .await?;
    project.fix_signups().await
}

async fn repair(project: &Project) -> Result<()> {
    sql(
        project,
        "select public.backfill_all_missing_profiles(100, false)",
    )
    .await
}

async fn sql(project: &Project, statement: &str) -> Result<()> {
    project.connect().await?.batch_execute(statement).await?;
    Ok(())
}

async fn start(binary: &str, project: &Project) -> Result<Lambda> {
    Lambda::start(binary, &[("DATABASE_URL", &project.url())]).await
}

/// What a chat is shown: the text for `https` subscribers.
fn chat(publication: &Publication) -> Result<Value> {
    let message: Value = serde_json::from_str(&publication.message)?;
    let https = message["https"].as_str().context("no text for https")?;
    Ok(serde_json::from_str(https)?)
}

/// The kind of every message so far, in order.
fn kinds(publications: &[Publication]) -> Result<Vec<String>> {
    publications
        .iter()
        .map(|publication| {
            let kind = chat(publication)?["metadata"]["eventType"]
                .as_str()
                .context("no kind")?
                .to_owned();
            Ok(kind)
        })
        .collect()
}

/// Makes it so much later for all that was decided.
async fn let_pass(project: &Project, time: &str) -> Result<()> {
    sql(
        project,
        &format!(
            "update rollcall.incident set opened_at = opened_at - interval '{time}', told_at = told_at - interval '{time}',
               seen_at = seen_at - interval '{time}', good_since = good_since - interval '{time}',
               resolved_at = resolved_at - interval '{time}'"
        ),
    )
    .await
}

#[tokio::test]
async fn an_incident_is_told_when_it_opens_after_four_hours_and_when_it_is_over() -> Result<()> {
    for (binary, _, topic) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        let lambda = start(binary, &project).await?;
        let mut outcomes = Vec::new();
        let mut invoke = async || {
            let answer = lambda.invoke(json!({})).await?;
            outcomes.push(answer["alert"].as_str().unwrap_or_default().to_owned());
            anyhow::Ok(())
        };
        invoke().await?;
        invoke().await?;
        let_pass(&project, "3 hours").await?;
        invoke().await?;
        let_pass(&project, "1 hour").await?;
        invoke().await?;
        invoke().await?;
        repair(&project).await?;
        invoke().await?;
        invoke().await?;
        assert_eq!(
            outcomes,
            [
                "sent",
                "already_sent",
                "already_sent",
                "sent",
                "already_sent",
                "sent",
                "not_needed"
            ],
            "{binary}"
        );
        let sent = lambda.sns.attempts();
        assert_eq!(
            kinds(&sent)?,
            ["opened", "reminder", "resolved"],
            "{binary}"
        );
        ensure!(sent.iter().all(|message| message.topic_arn == topic));
        let subject = sent[2].subject.as_deref().unwrap_or_default();
        ensure!(
            subject.starts_with("Rollcall, resolved after 4 h"),
            "{subject}"
        );
        let threads: Vec<_> = sent
            .iter()
            .map(|message| anyhow::Ok(chat(message)?["metadata"]["threadId"].clone()))
            .collect::<Result<_, _>>()?;
        ensure!(
            threads.iter().all(|thread| *thread == threads[0]),
            "{threads:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_recent_signup_that_grew_old_without_a_profile_is_not_resolved() -> Result<()> {
    let project = project_with_a_failed_signup().await?;
    let lambda = start("recent-issues", &project).await?;
    lambda.invoke(json!({})).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("update auth.users set created_at = now() - interval '1 day'")
        .await?;
    let answer = lambda.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "consistent", "{answer}");
    assert_eq!(answer["alert"], "already_sent");
    repair(&project).await?;
    assert_eq!(lambda.invoke(json!({})).await?["alert"], "sent");
    assert_eq!(kinds(&lambda.sns.attempts())?, ["opened", "resolved"]);
    Ok(())
}

#[tokio::test]
async fn overlapping_invocations_of_many_instances_tell_each_thing_once() -> Result<()> {
    const INSTANCES: usize = 6;
    for (binary, _, _) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        let mut lambdas = Vec::new();
        for _ in 0..INSTANCES {
            lambdas.push(Arc::new(start(binary, &project).await?));
        }
        let at_once = async || {
            all(lambdas.iter().cloned().map(|lambda| async move {
                let answer = lambda.invoke(json!({})).await?;
                Ok(answer["alert"].as_str().unwrap_or_default().to_owned())
            }))
            .await
        };
        let told = || {
            let sent: Vec<_> = lambdas
                .iter()
                .flat_map(|lambda| lambda.sns.attempts())
                .collect();
            let mut kinds = kinds(&sent)?;
            kinds.sort();
            anyhow::Ok(kinds)
        };
        let outcomes = at_once().await?;
        assert_eq!(
            outcomes.iter().filter(|outcome| *outcome == "sent").count(),
            1,
            "{binary}: {outcomes:?}"
        );
        assert_eq!(told()?, ["opened"], "{binary}");
        at_once().await?;
        assert_eq!(told()?, ["opened"], "{binary}");
        repair(&project).await?;
        at_once().await?;
        at_once().await?;
        assert_eq!(told()?, ["opened", "resolved"], "{binary}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_topic_did_not_take_is_sent_by_another_instance_in_its_order() -> Result<()> {
    for (binary, _, _) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        let failing = start(binary, &project).await?;
        failing.sns.behave(Behaviour::INTERNAL_ERROR);
        let answer = failing.invoke(json!({})).await?;
        assert_eq!(answer["alert"], "failed", "{binary}: {answer}");
        assert_eq!(answer["alerts"][0]["kind"], "opened");
        assert_eq!(answer["alerts"][0]["error"], "InternalError");
        repair(&project).await?;
        let answer = failing.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "consistent");
        assert_eq!(answer["alert"], "failed", "{binary}: {answer}");
        drop(failing);

        let working = start(binary, &project).await?;
        assert_eq!(working.invoke(json!({})).await?["alert"], "sent");
        assert_eq!(kinds(&working.sns.attempts())?, ["opened", "resolved"]);
        assert_eq!(working.invoke(json!({})).await?["alert"], "not_needed");
    }
    Ok(())
}

#[tokio::test]
async fn a_message_whose_invocation_died_is_sent_by_the_next_one_when_its_lease_is_over()
-> Result<()> {
    let project = project_with_a_failed_signup().await?;
    let dying = start("health-check", &project).await?;
    dying.sns.behave(Behaviour::Hang);
    let client = project.connect().await?;
    let leased = async {
        let leases = "select count(*) from rollcall.message where leased_until > now()";
        loop {
            let row = client.query_typed_one(leases, &[]).await?;
            if row.get::<_, i64>(0) == 1 && !dying.sns.attempts().is_empty() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        outcome = dying.outcome(json!({}), DEADLINE) => anyhow::bail!("it ended: {outcome:?}"),
        leased = tokio::time::timeout(DEADLINE, leased) => leased??,
    }
    drop(dying);

    let next = start("health-check", &project).await?;
    let answer = next.invoke(json!({})).await?;
    assert_eq!(answer["verdict"], "inconsistent");
    assert_eq!(answer["alert"], "being_sent", "{answer}");
    assert_eq!(next.alerts(), []);
    sql(
        &project,
        "update rollcall.message set leased_until = now() - interval '1 second'",
    )
    .await?;
    assert_eq!(next.invoke(json!({})).await?["alert"], "sent");
    assert_eq!(kinds(&next.sns.attempts())?, ["opened"]);
    assert_eq!(next.invoke(json!({})).await?["alert"], "already_sent");
    Ok(())
}

/// A decision about a newer report is in force when an older one arrives.
#[tokio::test]
async fn a_report_that_was_overtaken_by_a_newer_one_tells_nothing() -> Result<()> {
    for (binary, check, _) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        // the report waits for a lock, its time is taken before, and meanwhile the newer one is decided on
        let newer = project.connect_as_superuser().await?;
        newer
            .batch_execute("begin; lock table public.profiles in access exclusive mode")
            .await?;
        let lambda = start(binary, &project).await?;
        let overtaking = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            newer
                .batch_execute(&format!(
                    "select rollcall.incident_record('{check}', clock_timestamp(), null, '[]'); commit"
                ))
                .await
        };
        let (answer, overtaking) = tokio::join!(lambda.invoke(json!({})), overtaking);
        overtaking?;
        let answer = answer?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}");
        assert_eq!(answer["alert"], "not_needed", "{binary}");
        assert_eq!(lambda.alerts(), []);
    }
    Ok(())
}

/// A check of this name at this moment, as the role of the functions may record it.
async fn as_monitor(project: &Project) -> Result<tokio_postgres::Client> {
    project.let_roles_log_in().await?;
    rollcall_sandbox::connect(&project.database.url_as("rollcall_monitor")).await
}

/// An incident that knows every finding and every number already, told of for ten years to come.
fn forged(check: &str, notices: &str) -> String {
    format!(
        "select rollcall.incident_record('{check}', 'infinity', jsonb_build_object(
           'id', gen_random_uuid(), 'severity', 'alert', 'opened_at', '-infinity'::timestamptz, 'seen_at', 'infinity'::timestamptz,
           'told_at', now() + interval '10 years', 'good_since', null, 'missing', 0, 'told_missing', 1000000000000000,
           'finding_ids', array['missing_profiles', 'recent_missing_profiles', 'signup_trigger_missing', null, repeat('x', 1000000)],
           'user_ids', array[null, gen_random_uuid()]::uuid[]), {notices})"
    )
}

/// Keeps P8 and P15 against a role that may record what it likes.
#[tokio::test]
async fn what_a_monitor_forges_keeps_no_alert_back_for_longer_than_a_reminder() -> Result<()> {
    for (binary, check, topic) in CHECKS {
        let project = Project::migrated().await?;
        let monitor = as_monitor(&project).await?;
        monitor.batch_execute(&forged(check, "'[]'")).await?;
        for _ in 0..3 {
            monitor
                .batch_execute(&format!(
                    "select rollcall.record_check('{check}', 'consistent', '{{}}', '{{}}')"
                ))
                .await?;
        }
        fail_a_signup(&project, 1).await?;
        // nobody has heard of that incident, so it is told at once, and to those whom it concerns
        let lambda = start(binary, &project).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}: {answer}");
        assert_eq!(answer["alert"], "sent", "{binary}: {answer}");
        let sent = lambda.sns.attempts();
        assert_eq!(sent[0].topic_arn, topic, "{binary}");

        // messages that nobody can read keep it back until the reminder
        let project = Project::migrated().await?;
        let monitor = as_monitor(&project).await?;
        let messages = "jsonb_build_array('{}'::jsonb, '7'::jsonb)";
        monitor.batch_execute(&forged(check, messages)).await?;
        fail_a_signup(&project, 1).await?;
        let lambda = start(binary, &project).await?;
        lambda.invoke(json!({})).await?;
        assert_eq!(lambda.alerts(), [], "{binary}");
        let_pass(&project, "4 hours").await?;
        assert_eq!(lambda.invoke(json!({})).await?["alert"], "sent", "{binary}");
        assert_eq!(kinds(&lambda.sns.attempts())?, ["reminder"], "{binary}");
        assert_eq!(lambda.sns.attempts()[0].topic_arn, topic, "{binary}");

        // an end that was none is told as a new beginning
        let open = "select to_jsonb(i) from rollcall.incident i where i.resolved_at is null";
        let incident: Value = project
            .connect()
            .await?
            .query_typed_one(open, &[])
            .await?
            .get(0);
        monitor
            .batch_execute(&format!(
                "select rollcall.incident_record('{check}', now(), '{incident}'::jsonb || '{{\"resolved_at\": \"2036-01-01\"}}', '[]')"
            ))
            .await?;
        assert_eq!(lambda.invoke(json!({})).await?["alert"], "sent", "{binary}");
        assert_eq!(
            kinds(&lambda.sns.attempts())?,
            ["reminder", "opened"],
            "{binary}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn times_that_a_monitor_records_are_not_later_than_the_servers_and_its_settings_are_these_two()
-> Result<()> {
    let project = Project::migrated().await?;
    let monitor = as_monitor(&project).await?;
    for check in ["health", "recent", "mine"] {
        let decided = format!("select rollcall.incident_record('{check}', 'infinity', null, '[]')");
        monitor.batch_execute(&decided).await?;
    }
    monitor.batch_execute(&forged("health", "'[]'")).await?;
    for lease in ["interval '10 years'", "null"] {
        monitor
            .batch_execute(&format!(
                "select rollcall.lease_message('health', gen_random_uuid(), {lease})"
            ))
            .await?;
    }
    let too_late = "
        select count(*) from (
          select d.value::timestamptz as moment from rollcall.settings s cross join jsonb_each_text(s.decided_at) d
          union all
          select m from rollcall.incident i cross join unnest(array[i.opened_at, i.seen_at, i.told_at, i.good_since, i.resolved_at]) m
          union all
          select m.leased_until - interval '5 minutes' from rollcall.message m
        ) w
        where w.moment > clock_timestamp() or not isfinite(w.moment)";
    assert_eq!(project.count(too_late).await?, 0);
    let checks = "select count(*) from rollcall.settings s cross join jsonb_object_keys(s.decided_at) where s.decided_at ?& '{health,recent}'";
    assert_eq!(project.count(checks).await?, 2);
    Ok(())
}

#[tokio::test]
async fn thresholds_keep_small_numbers_quiet_and_wrong_settings_count_as_none() -> Result<()> {
    for (binary, _, _) in CHECKS {
        // one of two
        let project = project_with_a_failed_signup().await?;
        project
            .auth()
            .await?
            .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
            .await?;
        let url = project.url();
        for (name, value, outcome) in [
            ("ALERT_MIN_MISSING", "2", "not_needed"),
            ("ALERT_MIN_PERCENT", "51", "not_needed"),
            ("ALERT_MIN_PERCENT", "50", "sent"),
            ("ALERT_MIN_MISSING", "many", "already_sent"),
        ] {
            let env = [("DATABASE_URL", url.as_str()), (name, value)];
            let lambda = Lambda::start(binary, &env).await?;
            let answer = lambda.invoke(json!({})).await?;
            assert_eq!(answer["verdict"], "inconsistent");
            assert_eq!(answer["alert"], outcome, "{binary}, {name}={value}");
            if value == "many" {
                let log = lambda.process.stdout()?;
                ensure!(log.contains("the default counts"), "{log}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn one_topic_is_enough_for_both_severities() -> Result<()> {
    for (binary, _, _) in CHECKS {
        for (only, other, topic) in [
            ("ALERT_TOPIC_ARN", "CRITICAL_TOPIC_ARN", ALERT_TOPIC),
            ("CRITICAL_TOPIC_ARN", "ALERT_TOPIC_ARN", CRITICAL_TOPIC),
        ] {
            let project = project_with_a_failed_signup().await?;
            let url = project.url();
            let env = [("DATABASE_URL", url.as_str()), (other, "")];
            let lambda = Lambda::start(binary, &env).await?;
            lambda.invoke(json!({})).await?;
            assert_eq!(lambda.alerts().len(), 1, "{binary} with {only}");
            assert_eq!(lambda.alerts()[0].0, topic, "{binary} with {only}");
        }
    }
    Ok(())
}

/// The metrics of every run so far.
fn metrics(lambda: &Lambda) -> Result<Vec<Value>> {
    let log = lambda.process.stdout()?;
    Ok(log
        .lines()
        .map(serde_json::from_str::<Value>)
        .filter_map(|line| line.ok().filter(|line| line["_aws"].is_object()))
        .collect())
}

/// Case by case: a database that is away for hours, and every invocation a cold start.
#[tokio::test]
async fn a_database_that_is_gone_is_left_to_the_alarm_whose_metric_goes_on_and_off() -> Result<()> {
    // away, it tries again until the time is up
    const AWAY: Duration = Duration::from_secs(4);
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    fail_a_signup(&project, 1).await?;
    for (binary, _, _) in CHECKS {
        let run = async |limit| {
            let lambda = start(binary, &project).await?;
            let answer = lambda.invoke_within(json!({}), limit).await?;
            let metrics = metrics(&lambda)?;
            ensure!(metrics.len() == 1, "{metrics:?}");
            let seen = ["Verdict", "Unreachable", "Alerting"].map(|name| metrics[0][name].clone());
            anyhow::Ok((answer["alert"].clone(), lambda.alerts().len(), json!(seen)))
        };
        assert_eq!(
            run(DEADLINE).await?,
            (json!("sent"), 1, json!([1.0, 0.0, 1.0]))
        );
        server.kill()?;
        for _ in 0..3 {
            let away = (json!("left_to_alarm"), 0, json!([2.0, 1.0, null]));
            assert_eq!(run(AWAY).await?, away, "{binary}");
        }
        server.restart()?;
        // what was open stays so: nobody has said that all is well
        assert_eq!(
            run(DEADLINE).await?,
            (json!("already_sent"), 0, json!([1.0, 0.0, 1.0]))
        );
    }
    Ok(())
}

#[tokio::test]
async fn incidents_that_cannot_be_kept_are_left_to_the_alarm() -> Result<()> {
    for (binary, _, _) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        sql(
            &project,
            "alter table rollcall.incident rename to elsewhere",
        )
        .await?;
        let lambda = start(binary, &project).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], "inconsistent", "{binary}: {answer}");
        assert_eq!(answer["alert"], "left_to_alarm", "{binary}: {answer}");
        assert_eq!(lambda.alerts(), []);
        let metrics = metrics(&lambda)?;
        assert_eq!(metrics[0]["Unreachable"], 1.0);
        ensure!(metrics[0]["Alerting"].is_null(), "{metrics:?}");
        let log = lambda.process.stdout()?;
        ensure!(log.contains("incidents cannot be kept"), "{log}");
    }
    Ok(())
}

/// The pager goes by what was decided, not by what was seen.
#[tokio::test]
async fn the_metric_of_the_pager_is_on_while_an_incident_is_open_and_thresholds_keep_it_off()
-> Result<()> {
    for (binary, _, _) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        let url = project.url();
        let env = [("DATABASE_URL", url.as_str()), ("ALERT_MIN_MISSING", "2")];
        let quiet = Lambda::start(binary, &env).await?;
        quiet.invoke(json!({})).await?;
        let loud = start(binary, &project).await?;
        loud.invoke(json!({})).await?;
        repair(&project).await?;
        loud.invoke(json!({})).await?;
        let seen: Vec<_> = metrics(&quiet)?
            .into_iter()
            .chain(metrics(&loud)?)
            .map(|line| json!([line["Verdict"], line["Alerting"]]))
            .collect();
        assert_eq!(
            json!(seen),
            json!([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]),
            "{binary}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_first_message_about_a_trigger_that_is_off_names_the_cause_and_the_fix() -> Result<()> {
    for (binary, _, topic) in CHECKS {
        let project = Project::migrated().await?;
        project.break_signups().await?;
        let mut auth = project.auth().await?;
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
            .await?;
        let url = project.url();
        let env = [
            ("DATABASE_URL", url.as_str()),
            ("PROJECT_NAME", "myapp"),
            ("ENVIRONMENT_NAME", "production"),
            ("AWS_REGION", "us-gov-west-1"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/check"),
        ];
        let lambda = Lambda::start(binary, &env).await?;
        assert_eq!(lambda.invoke(json!({})).await?["alert"], "sent");
        let sent = &lambda.sns.attempts()[0];
        assert_eq!(sent.topic_arn, topic);
        let subject = sent.subject.as_deref().unwrap_or_default();
        ensure!(
            subject.starts_with("[myapp production] Rollcall: 1 ")
                && subject.ends_with(" (signup_trigger_disabled)"),
            "{subject}"
        );
        let message: Value = serde_json::from_str(&sent.message)?;
        for form in ["email", "https", "sqs"] {
            let text = message[form].as_str().context("a text")?;
            for part in [
                "myapp",
                "production",
                "signup_trigger_disabled",
                "create or replace trigger",
                "https://us-gov-west-1.console.amazonaws-us-gov.com/cloudwatch/",
            ] {
                ensure!(text.contains(part), "{binary}, {form}: no {part} in {text}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_role_of_a_monitor_is_enough() -> Result<()> {
    for (binary, check, _) in CHECKS {
        let project = project_with_a_failed_signup().await?;
        project.let_roles_log_in().await?;
        let url = project.url().replace("postgres@", "rollcall_monitor@");
        let lambda = Lambda::start(binary, &[("DATABASE_URL", &url)]).await?;
        assert_eq!(lambda.invoke(json!({})).await?["alert"], "sent", "{binary}");
        // another instance knows
        let lambda = Lambda::start(binary, &[("DATABASE_URL", &url)]).await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["alert"], "already_sent", "{binary}: {answer}");
        let open = format!(
            "select count(*) from rollcall.incidents(now()) where check_name = '{check}'
               and resolved_at is null and unsent_messages = 0 and missing = 1"
        );
        assert_eq!(project.count(&open).await?, 1, "{binary}");
    }
    Ok(())
}

#[tokio::test]
async fn every_run_leaves_one_line_of_metrics() -> Result<()> {
    let project = project_with_a_failed_signup().await?;
    for (binary, event, metrics) in [
        (
            "health-check",
            json!({}),
            json!({"Verdict": 1.0, "Unreachable": 0.0, "Alerting": 1.0, "Missing": 1.0, "RecentSignups": 1.0, "RecentMissing": 1.0, "HealthPercentage": 0.0}),
        ),
        (
            "recent-issues",
            json!({}),
            json!({"Verdict": 1.0, "Unreachable": 0.0, "Alerting": 1.0, "RecentSignups": 1.0, "RecentMissing": 1.0}),
        ),
        ("backfill", json!({}), json!({"Verdict": 1.0})),
        (
            "backfill",
            json!({"dry_run": false}),
            json!({"Verdict": 0.0, "Repaired": 1.0, "Failed": 0.0, "Missing": 0.0}),
        ),
    ] {
        let lambda = start(binary, &project).await?;
        lambda.invoke(event).await?;
        let lines = self::metrics(&lambda)?;
        assert_eq!(lines.len(), 1, "{binary}: {lines:?}");
        let line = &lines[0];
        assert_eq!(line["FunctionName"], binary);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Dimensions"], json!([["FunctionName"]]));
        let mut found = serde_json::Map::new();
        for metric in directive["Metrics"].as_array().context("metrics")? {
            let name = metric["Name"].as_str().context("a name")?;
            ensure!(line[name].is_number(), "{name} is not at the root: {line}");
            found.insert(name.to_owned(), line[name].clone());
        }
        ensure!(found.remove("Duration").is_some(), "{line}");
        assert_eq!(Value::Object(found), metrics, "{binary}");
    }
    Ok(())
}

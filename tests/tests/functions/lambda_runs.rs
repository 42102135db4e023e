//! Runs over the functions: the same answer to the same key, and slices that continue.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rollcall_tests::lambda::Lambda;
use rollcall_tests::project::Project;
use serde_json::{Value, json};
use uuid::Uuid;

async fn start(project: &Project, binary: &str) -> Result<Lambda> {
    Lambda::start(binary, &[("DATABASE_URL", &project.url())]).await
}

/// `POST /backfill` with a key: status and body.
async fn post(lambda: &Lambda, key: Option<&str>, body: &Value) -> Result<(u64, Value)> {
    let mut event = json!({
        "version": "2.0",
        "headers": { "content-type": "application/json" },
        "requestContext": { "http": { "method": "POST", "path": "/backfill" } },
        "body": body.to_string(),
        "isBase64Encoded": false,
    });
    if let Some(key) = key {
        event["headers"]["idempotency-key"] = key.into();
    }
    let answer = lambda.invoke(event).await?;
    let body = answer["body"].as_str().context("a body")?;
    Ok((
        answer["statusCode"].as_u64().context("a status")?,
        serde_json::from_str(body)?,
    ))
}

async fn slow_down(project: &Project) -> Result<()> {
    project
        .connect()
        .await?
        .batch_execute(
            "create function public.be_slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.1); return new; end $$;
             create trigger be_slow before insert on public.profiles for each row execute function public.be_slow()",
        )
        .await?;
    Ok(())
}

async fn hurry_up(project: &Project) -> Result<()> {
    project
        .connect()
        .await?
        .batch_execute("drop trigger be_slow on public.profiles")
        .await?;
    Ok(())
}

async fn runs(project: &Project) -> Result<i64> {
    project.count("select count(*) from rollcall.run").await
}

#[tokio::test]
async fn the_same_key_and_body_are_the_same_run_and_another_body_is_refused() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(20).await?;
    let lambda = start(&project, "backfill").await?;
    let body = json!({"dry_run": false, "max_users": 5});
    let (status, first) = post(&lambda, Some("key-1"), &body).await?;
    assert_eq!(
        (status, &first["created"], &first["stop_reason"]),
        (200, &5.into(), &"max_users".into()),
        "{first}"
    );

    // in another order, and with what is the default anyway
    let same = json!({"max_users": 5, "batch_size": 1000, "dry_run": false});
    for body in [&body, &same] {
        let (status, again) = post(&lambda, Some("key-1"), body).await?;
        assert_eq!(status, 200);
        for field in [
            "run_id",
            "created",
            "attempted",
            "failed",
            "total_missing",
            "stop_reason",
        ] {
            assert_eq!(again[field], first[field], "{field}");
        }
    }
    assert_eq!(runs(&project).await?, 1);

    for other in [
        json!({"dry_run": false, "max_users": 6}),
        json!({"dry_run": false}),
    ] {
        let (status, refusal) = post(&lambda, Some("key-1"), &other).await?;
        assert_eq!(
            (status, refusal),
            (
                409,
                json!({"error": "Idempotency-Key was used for another request."})
            )
        );
    }
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        5
    );

    let (_, another) = post(&lambda, Some("key-2"), &body).await?;
    ensure!(another["run_id"] != first["run_id"]);
    assert_eq!(runs(&project).await?, 2);
    Ok(())
}

#[tokio::test]
async fn the_same_key_at_once_is_one_run() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(300).await?;
    let lambdas = [
        start(&project, "backfill").await?,
        start(&project, "backfill").await?,
    ];
    let body = json!({"dry_run": false, "batch_size": 10});
    let (one, other) = tokio::try_join!(
        post(&lambdas[0], Some("key"), &body),
        post(&lambdas[1], Some("key"), &body)
    )?;
    assert_eq!((one.0, other.0), (200, 200));
    assert_eq!(one.1["run_id"], other.1["run_id"]);
    assert_eq!(
        (&one.1["created"], &other.1["created"]),
        (&300.into(), &300.into())
    );
    assert_eq!(runs(&project).await?, 1);
    assert_eq!(
        project
            .count("select count(*) from public.user_events where kind = 'profile_backfilled'")
            .await?,
        300
    );
    Ok(())
}

#[tokio::test]
async fn a_run_is_shown_and_continued_by_its_id() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(60).await?;
    slow_down(&project).await?;
    let lambda = start(&project, "backfill").await?;
    let answer = lambda
        .invoke_within(
            json!({"dry_run": false, "batch_size": 2}),
            Duration::from_secs(8),
        )
        .await?;
    assert_eq!(
        (&answer["stop_reason"], &answer["run"]["state"]),
        (&"out_of_time".into(), &"running".into()),
        "{answer}"
    );
    let run_id = &answer["run_id"];
    let created = answer["created"].as_i64().context("a number")?;

    let shown = lambda.invoke(json!({"run_id": run_id})).await?;
    assert_eq!(
        (
            &shown["dry_run"],
            &shown["run"]["created"],
            &shown["remaining"]
        ),
        (&true.into(), &created.into(), &(60 - created).into())
    );
    hurry_up(&project).await?;
    let rest = lambda
        .invoke(json!({"run_id": run_id, "dry_run": false}))
        .await?;
    assert_eq!(
        (
            &rest["run_id"],
            &rest["created"],
            &rest["run"]["created"],
            &rest["run"]["state"]
        ),
        (run_id, &(60 - created).into(), &60.into(), &"done".into())
    );
    let none = lambda
        .invoke(json!({"run_id": Uuid::nil(), "dry_run": false}))
        .await?;
    assert_eq!(none["statusCode"], 404, "{none}");
    Ok(())
}

#[tokio::test]
async fn a_check_never_continues_a_run() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(60).await?;
    slow_down(&project).await?;
    let backfill = start(&project, "backfill").await?;
    let answer = backfill
        .invoke_within(
            json!({"dry_run": false, "batch_size": 2}),
            Duration::from_secs(8),
        )
        .await?;
    assert_eq!(answer["stop_reason"], "out_of_time", "{answer}");
    hurry_up(&project).await?;
    let created = "select count(*) from public.profiles";
    let before = project.count(created).await?;
    for check in ["recent-issues", "health-check"] {
        let lambda = start(&project, check).await?;
        lambda.invoke(json!({})).await?;
    }
    assert_eq!(project.count(created).await?, before);
    Ok(())
}

#[tokio::test]
async fn the_state_machines_slices_are_one_run_of_its_own_name() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(10).await?;
    let lambda = start(&project, "backfill").await?;
    let answer = lambda
        .invoke(json!({"dry_run": false, "source": "state_machine", "note": "execution-1"}))
        .await?;
    assert_eq!(
        (&answer["created"], &answer["run"]["source"]),
        (&10.into(), &"state_machine".into()),
        "{answer}"
    );
    assert_eq!(answer["run"]["note"], Value::Null, "it is not repeated");
    Ok(())
}

#[tokio::test]
async fn what_is_for_the_owner_alone_is_refused_to_the_role_of_the_function() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(2).await?;
    project.let_roles_log_in().await?;
    let url = project.database.url_as("rollcall_repairer");
    let lambda = Lambda::start("backfill", &[("DATABASE_URL", &url)]).await?;
    for dry_run in [true, false] {
        let body = json!({"dry_run": dry_run, "account_type": "partner"});
        let (status, refusal) = post(&lambda, None, &body).await?;
        assert_eq!(status, 403, "{refusal}");
    }
    let (status, answer) = post(&lambda, None, &json!({"dry_run": false})).await?;
    assert_eq!((status, &answer["created"]), (200, &2.into()), "{answer}");
    Ok(())
}

#[tokio::test]
async fn what_no_rollback_takes_back_is_asked_for_by_name() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(2).await?;
    project
        .connect()
        .await?
        .batch_execute(
            "create schema ext;
             create function ext.http_get(text) returns text language sql as $$ select $1 $$;
             create function public.send() returns trigger language plpgsql as $$
             begin perform ext.http_get('https://example.com/'); return new; end $$;
             create trigger send after insert on public.profiles for each row execute function public.send()",
        )
        .await?;
    let lambda = start(&project, "backfill").await?;
    let (status, preview) = post(&lambda, None, &json!({})).await?;
    assert_eq!(
        (status, &preview["total_missing"], &preview["tried"]),
        (200, &2.into(), &0.into()),
        "{preview}"
    );
    ensure!(
        preview["not_tried_because"]
            .to_string()
            .contains("http_get"),
        "{preview}"
    );
    let (status, refusal) = post(&lambda, None, &json!({"dry_run": false})).await?;
    assert_eq!(status, 409, "{refusal}");
    let allowed = json!({"dry_run": false, "allow_outside_calls": true});
    let (status, answer) = post(&lambda, None, &allowed).await?;
    assert_eq!((status, &answer["created"]), (200, &2.into()), "{answer}");
    Ok(())
}

//! Runs over the functions: the same answer to the same key, slices that go on, and what `recent-issues` finishes.

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
        (status, &first["created"], &first["ending"]),
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
            "ending",
        ] {
            assert_eq!(again[field], first[field], "{field}");
        }
    }
    assert_eq!(runs(&project).await?, 1);

    for other in [
        json!({"dry_run": false, "max_users": 6}),
        json!({"dry_run": false}),
        json!({"dry_run": false, "user_id": Uuid::nil()}),
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
async fn a_run_is_shown_and_gone_on_with_by_its_id() -> Result<()> {
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
        (&answer["ending"], &answer["run"]["state"]),
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
async fn recent_issues_checks_first_and_then_goes_on_with_what_was_left() -> Result<()> {
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
    assert_eq!(answer["ending"], "out_of_time", "{answer}");
    hurry_up(&project).await?;

    let recent = start(&project, "recent-issues").await?;
    // without time for a slice, the check alone
    let checked = recent
        .invoke_within(json!({}), Duration::from_secs(5))
        .await?;
    assert_eq!(
        (&checked["verdict"], &checked["backfill"]),
        (&"consistent".into(), &Value::Null),
        "{checked}"
    );

    let checked = recent.invoke(json!({})).await?;
    assert_eq!(checked["verdict"], "consistent", "{checked}");
    assert_eq!(
        (
            &checked["backfill"]["run_id"],
            &checked["backfill"]["state"],
            &checked["backfill"]["created"]
        ),
        (&answer["run_id"], &"done".into(), &60.into()),
        "{checked}"
    );
    assert_eq!(
        project
            .count("select count(*) from public.profiles")
            .await?,
        60
    );
    let checked = recent.invoke(json!({})).await?;
    assert_eq!(checked["backfill"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_plan_cuts_everyone_into_ranges_and_changes_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(100).await?;
    let lambda = start(&project, "backfill").await?;
    let plan = lambda.invoke(json!({"plan_ranges": 16})).await?;
    let ranges = plan["ranges"].as_array().context("ranges")?;
    assert_eq!((ranges.len(), &plan["total_missing"]), (16, &100.into()));
    let mut slice = json!({"dry_run": false});
    for bound in ["from_user_id", "to_user_id"] {
        slice[bound] = ranges[3][bound].clone();
    }
    let answer = lambda.invoke(slice).await?;
    assert_eq!(
        (
            &answer["created"],
            &answer["remaining"],
            &answer["run"]["face"]
        ),
        (&ranges[3]["missing"], &0.into(), &"state_machine".into())
    );
    Ok(())
}

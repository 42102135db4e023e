//! The audit log's payloads, in every shape they have had and in shapes they should never have.

use anyhow::{Context, Result};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::recent::RecentReport;
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

const ACTOR: &str = "7d444840-9dc0-41d1-b245-5ffdce74fad2";
const SUBJECT: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
const ADMIN: &str = "00000000-0000-0000-0000-000000000000";

async fn log(client: &Client, payload: &str) -> Result<()> {
    client
        .execute_typed(
            "insert into auth.audit_log_entries (instance_id, id, payload, created_at)
             values ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), $1::text::json, now())",
            &[(&payload, Type::TEXT)],
        )
        .await
        .with_context(|| payload.chars().take(200).collect::<String>())?;
    Ok(())
}

/// What Rollcall reads out of one payload: `action subject email`, `-` for what it does not say; `None`: no event.
async fn read(project: &Project, payload: &str) -> Result<Option<String>> {
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute("truncate auth.audit_log_entries")
        .await?;
    log(&client, payload).await?;
    let events: Vec<String> = values(
        &client,
        "select concat_ws(' ', action, coalesce(user_id::text, '-'), coalesce(email, '-')) from rollcall.audit_events()",
    )
    .await?;
    every_report_reads_on(project, payload).await?;
    Ok(events.into_iter().next())
}

async fn every_report_reads_on(project: &Project, payload: &str) -> Result<()> {
    let shown = || payload.chars().take(200).collect::<String>();
    let mut database = project.rollcall().await?;
    Diagnosis::take(&mut database).await.with_context(shown)?;
    RecentReport::take(&mut database)
        .await
        .with_context(shown)?;
    let client = project.connect().await?;
    for sql in [
        "select * from public.signup_audit_summary",
        "select * from public.auth_profile_mismatch",
        "select * from public.diagnose_auth_profile_consistency()",
        "select * from public.get_auth_profile_mismatches()",
        "select * from public.check_recent_signup_issues()",
    ] {
        client.batch_execute(sql).await.with_context(shown)?;
    }
    Ok(())
}

fn own(action: &str, more: &str) -> String {
    format!(
        r#"{{"action":"{action}","actor_id":"{ACTOR}","actor_username":"ada@example.com",{more}"log_type":"team"}}"#
    )
}

fn by_admin(action: &str, traits: &str) -> String {
    format!(
        r#"{{"action":"{action}","actor_id":"{ADMIN}","actor_username":"service_role","actor_via_sso":false,"log_type":"team","traits":{traits}}}"#
    )
}

#[tokio::test]
async fn every_shape_of_a_users_own_entry_names_the_actor() -> Result<()> {
    let project = Project::migrated().await?;
    for more in [
        "",
        r#""actor_via_sso":false,"#,
        r#""actor_via_sso":true,"actor_name":"Ada \u00e9","#,
        r#""traits":{"provider":"email"},"#,
        r#""traits":{"channel":"sms","provider":"phone"},"#,
        r#""traits":{"provider":"sso:5f0f4a3e-6b1c-4f4e-9d5a-0c3c5a7d1e20"},"#,
        r#""traits":null,"#,
        r#""traits":{},"#,
    ] {
        for action in ["user_signedup", "user_confirmation_requested"] {
            let payload = own(action, more);
            assert_eq!(
                read(&project, &payload).await?,
                Some(format!("{action} {ACTOR} ada@example.com")),
                "{payload}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_administrators_entry_names_whom_it_is_about() -> Result<()> {
    let project = Project::migrated().await?;
    let named = format!("{SUBJECT} eve@example.com");
    let nameless = format!("{SUBJECT} -");
    for (action, traits, expected) in [
        (
            "user_signedup",
            format!(
                r#"{{"provider":"email","user_email":"eve@example.com","user_id":"{SUBJECT}","user_phone":""}}"#
            ),
            &named,
        ),
        (
            "user_signedup",
            format!(
                r#"{{"user_email":"eve@example.com","user_id":"{SUBJECT}","user_phone":"15550000000001"}}"#
            ),
            &named,
        ),
        (
            "user_signedup",
            format!(r#"{{"user_email":"","user_id":"{SUBJECT}","user_phone":"15550000000001"}}"#),
            &nameless,
        ),
        (
            "user_invited",
            format!(r#"{{"user_email":"eve@example.com","user_id":"{SUBJECT}"}}"#),
            &named,
        ),
        (
            "user_deleted",
            format!(r#"{{"user_email":"eve@example.com","user_id":"{SUBJECT}","user_phone":""}}"#),
            &named,
        ),
        (
            "user_deleted",
            format!(
                r#"{{"user_email":"eve@example.com","user_id":"{}","user_phone":""}}"#,
                SUBJECT.to_uppercase()
            ),
            &named,
        ),
    ] {
        let payload = by_admin(action, &traits);
        assert_eq!(
            read(&project, &payload).await?,
            Some(format!("{action} {expected}")),
            "{payload}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_without_an_address_gets_none() -> Result<()> {
    let project = Project::migrated().await?;
    for username in ["", "15550000000001"] {
        let payload = format!(
            r#"{{"action":"user_signedup","actor_id":"{ACTOR}","actor_username":"{username}","log_type":"team"}}"#
        );
        assert_eq!(
            read(&project, &payload).await?,
            Some(format!("user_signedup {ACTOR} -"))
        );
    }
    Ok(())
}

#[tokio::test]
async fn actions_that_are_no_signup_and_no_deletion_are_passed_over() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    for action in [
        "login",
        "logout",
        "invite_accepted",
        "token_revoked",
        "token_refreshed",
        "user_modified",
        "user_recovery_requested",
        "user_reauthenticate_requested",
        "user_repeated_signup",
        "user_updated_password",
        "identity_linked",
        "identity_unlinked",
        "passkey_created",
        "factor_in_progress",
        "challenge_created",
        "generate_recovery_codes",
        "an_action_of_the_future",
        "USER_SIGNEDUP",
        "user_signedup ",
        "",
    ] {
        log(&client, &own(action, "")).await?;
    }
    // the words of an action anywhere else
    log(
        &client,
        &own("login", r#""traits":{"provider":"user_signedup"},"#),
    )
    .await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from rollcall.audit_events()").await?,
        0
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select signups + audit_only + recorded_deletions from rollcall.audit_counts()"
        )
        .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_malformed_entry_names_nobody_or_whom_it_can_and_stops_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    let signedup = |rest: &str| format!(r#"{{"action":"user_signedup"{rest}}}"#);
    let nobody = Some("user_signedup - -");
    let huge = "x".repeat(2_000_000);
    let actor = format!("user_signedup {ACTOR} -");
    let actor = Some(actor.as_str());
    let upper = ACTOR.to_uppercase();
    let deep = format!(
        "{}{}",
        r#"{"a":"#.repeat(1_000),
        "1".to_owned() + &"}".repeat(1_000)
    );
    for (payload, expected) in [
        // not an object
        ("null".to_owned(), None),
        ("7".to_owned(), None),
        (r#""user_signedup""#.to_owned(), None),
        (r#"["user_signedup"]"#.to_owned(), None),
        (r#"[{"action":"user_signedup"}]"#.to_owned(), None),
        ("{}".to_owned(), None),
        // an action of another type
        (r#"{"action":["user_signedup"]}"#.to_owned(), None),
        (r#"{"action":{"a":"user_signedup"}}"#.to_owned(), None),
        (r#"{"action":null,"user_signedup":1}"#.to_owned(), None),
        // an actor that is none
        (signedup(""), nobody),
        (signedup(r#","actor_id":null"#), nobody),
        (signedup(r#","actor_id":7"#), nobody),
        (signedup(r#","actor_id":{}"#), nobody),
        (signedup(&format!(r#","actor_id":["{ACTOR}"]"#)), nobody),
        (signedup(r#","actor_id":"""#), nobody),
        (
            signedup(r#","actor_id":"7d444840-9dc0-41d1-b245-5ffdce74fadZ""#),
            nobody,
        ),
        (signedup(&format!(r#","actor_id":" {ACTOR}""#)), nobody),
        (signedup(&format!(r#","actor_id":"{ACTOR}\n""#)), nobody),
        (
            signedup(r#","actor_id":"7d4448409dc041d1b2455ffdce74fad2""#),
            nobody,
        ),
        (signedup(&format!(r#","actor_id":"{ADMIN}""#)), nobody),
        (signedup(&format!(r#","actor_id":"{upper}""#)), actor),
        (
            signedup(&format!(r#","actor_id":"nonsense","actor_id":"{ACTOR}""#)),
            actor,
        ),
        // traits that are none: then it is the actor
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","traits":"{SUBJECT}""#)),
            actor,
        ),
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","traits":["{SUBJECT}"]"#)),
            actor,
        ),
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","traits":7"#)),
            actor,
        ),
        (
            signedup(&format!(
                r#","actor_id":"{ACTOR}","traits":{{"user_id":7}}"#
            )),
            actor,
        ),
        (
            signedup(&format!(
                r#","actor_id":"{ACTOR}","traits":{{"user_id":null}}"#
            )),
            actor,
        ),
        (
            signedup(&format!(
                r#","actor_id":"{ACTOR}","traits":{{"user_id":{{"id":"{SUBJECT}"}}}}"#
            )),
            actor,
        ),
        (
            signedup(&format!(
                r#","actor_id":"{ACTOR}","traits":{{"user_id":"nonsense","user_email":"eve@example.com"}}"#
            )),
            actor,
        ),
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","actor_username":7"#)),
            actor,
        ),
        // characters that text cannot hold
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","actor_name":"\u0000""#)),
            actor,
        ),
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","actor_name":"\ud800""#)),
            actor,
        ),
        (
            signedup(&format!(
                r#","actor_id":"{ACTOR}","actor_name":"\uDfff \uD83D""#
            )),
            actor,
        ),
        (
            signedup(&format!(
                r#","actor_id":"{ACTOR}","actor_name":"\ud83d\ude00 \\u0000 \\\u0000""#
            )),
            actor,
        ),
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","\u0000":"\u0000""#)),
            actor,
        ),
        // much of it
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","actor_name":"{huge}""#)),
            actor,
        ),
        (
            signedup(&format!(r#","actor_id":"{ACTOR}","traits":{deep}"#)),
            actor,
        ),
    ] {
        assert_eq!(
            read(&project, &payload).await?.as_deref(),
            expected,
            "{}",
            payload.chars().take(200).collect::<String>()
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_without_payload_or_time_stops_nothing() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(&format!(
            "insert into auth.audit_log_entries (id, payload, created_at) values
               (gen_random_uuid(), null, now()), (gen_random_uuid(), null, null),
               (gen_random_uuid(), '{}', null)",
            own("user_signedup", "")
        ))
        .await?;
    every_report_reads_on(&project, "null").await?;
    assert_eq!(
        values::<Uuid>(&client, "select user_id from public.signup_audit_summary").await?,
        [Uuid::parse_str(ACTOR)?]
    );
    Ok(())
}

#[tokio::test]
async fn all_of_them_together_count_each_subject_once() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    for _ in 0..3 {
        log(&client, &own("user_confirmation_requested", "")).await?;
        log(&client, &own("user_signedup", "")).await?;
        log(&client, &own("user_repeated_signup", "")).await?;
        let traits = json!({ "user_email": "eve@example.com", "user_id": SUBJECT }).to_string();
        log(&client, &by_admin("user_invited", &traits)).await?;
        log(&client, &by_admin("user_deleted", &traits)).await?;
    }
    let counts: String = value(&client, "select concat_ws(' ', signups, audit_only, recorded_deletions) from rollcall.audit_counts()").await?;
    assert_eq!(counts, "2 2 1");
    let mut listed: Vec<Uuid> = values(
        &client,
        "select user_id from public.get_auth_profile_mismatches()",
    )
    .await?;
    listed.sort();
    assert_eq!(listed, [Uuid::parse_str(ACTOR)?, Uuid::parse_str(SUBJECT)?]);
    Ok(())
}

#[tokio::test]
async fn a_log_of_another_type_is_read_and_one_that_is_gone_is_off() -> Result<()> {
    let project = Project::migrated().await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("alter table auth.audit_log_entries alter column payload type jsonb")
        .await?;
    admin
        .batch_execute(&format!(
            "insert into auth.audit_log_entries (id, payload, created_at) values (gen_random_uuid(), '{}', now())",
            own("user_signedup", "")
        ))
        .await?;
    let client = project.connect().await?;
    let read: String = value(
        &client,
        "select concat_ws(' ', action, user_id, email) from rollcall.audit_events()",
    )
    .await?;
    assert_eq!(read, format!("user_signedup {ACTOR} ada@example.com"));
    every_report_reads_on(&project, "a log of jsonb").await?;

    admin
        .batch_execute("drop table auth.audit_log_entries")
        .await?;
    every_report_reads_on(&project, "no log").await?;
    let log = Diagnosis::take(&mut project.rollcall().await?)
        .await?
        .audit_log
        .context("a state")?;
    assert_eq!((log.state.as_str(), log.signups), ("off", None));
    Ok(())
}

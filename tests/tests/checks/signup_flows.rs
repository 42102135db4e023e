//! Every way into a project and out of it: who gets a profile, who is missing, and whom the audit log names.

use anyhow::{Context, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::recent::RecentReport;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Auth, Person, Release, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio_postgres::Client;
use uuid::Uuid;

const RELEASES: [Release; 2] = [Release::Current, Release::Before2_177];

async fn sign_up_everyone(auth: &mut Auth) -> Result<Vec<(SignupKind, Uuid)>> {
    let mut users = Vec::new();
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        let id = auth
            .sign_up(kind, &Person::numbered(number))
            .await
            .with_context(|| format!("{kind:?}"))?;
        users.push((kind, id));
    }
    Ok(users)
}

/// What the audit log is read as for one user: `action,action…` of the signup events and deletions.
async fn audit_events(client: &Client, id: Uuid) -> Result<String> {
    value(
        client,
        &format!("select coalesce(string_agg(action, ',' order by created_at, action), '') from rollcall.audit_events(null, '{id}')"),
    )
    .await
}

async fn status(client: &Client, id: Uuid) -> Result<Vec<String>> {
    values(
        client,
        &format!("select status from public.auth_profile_mismatch where user_id = '{id}'"),
    )
    .await
}

async fn counts(client: &Client, columns: &str) -> Result<String> {
    value(
        client,
        &format!("select concat_ws(' ', {columns}) from rollcall.user_counts()"),
    )
    .await
}

#[tokio::test]
async fn every_kind_of_signup_gets_one_profile_and_two_events() -> Result<()> {
    for release in RELEASES {
        let project = Project::migrated().await?;
        let client = project.connect().await?;
        let mut auth = project.auth().await?;
        auth.release = release;
        for (kind, id) in sign_up_everyone(&mut auth).await? {
            let profile: Option<String> = value(
                &client,
                &format!(
                    "select case when p.email is not distinct from u.email then account_type end
                          from public.profiles p join auth.users u using (id) where id = '{id}'"
                ),
            )
            .await
            .with_context(|| format!("{kind:?}"))?;
            assert_eq!(profile.as_deref(), Some("sme"), "{kind:?}");
            let events: Vec<String> = values(
                &client,
                &format!("select kind from public.get_user_signup_events('{id}')"),
            )
            .await?;
            assert_eq!(
                events,
                ["auth_user_created", "profile_bootstrap_ok"],
                "{kind:?}"
            );
            assert_eq!(status(&client, id).await?, ["healthy"], "{kind:?}");
        }
        let without_address: i64 = value(
            &client,
            "select count(*) from public.profiles where email is null",
        )
        .await?;
        assert_eq!(
            without_address, 4,
            "two by phone, a wallet, an anonymous one"
        );
        let report = Diagnosis::take(&mut project.rollcall().await?).await?;
        assert_eq!(report.verdict, Verdict::Consistent, "{:?}", report.findings);
    }
    Ok(())
}

#[tokio::test]
async fn beside_the_applications_own_trigger_a_signup_leaves_nothing_of_rollcalls() -> Result<()> {
    let project = Project::watched().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    for (kind, id) in sign_up_everyone(&mut auth).await? {
        assert_eq!(status(&client, id).await?, ["healthy"], "{kind:?}");
    }
    assert_eq!(
        value::<i64>(&client, "select count(*) from rollcall.event").await?,
        0
    );
    let report = Diagnosis::take(&mut project.rollcall().await?).await?;
    assert_eq!(report.verdict, Verdict::Consistent, "{:?}", report.findings);
    Ok(())
}

#[tokio::test]
async fn single_sign_on_users_with_one_address_each_get_a_profile() -> Result<()> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    for _ in 0..3 {
        auth.sign_up(SignupKind::Saml, &Person::numbered(1)).await?;
    }
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    assert_eq!(
        counts(&project.connect().await?, "healthy, missing").await?,
        "4 0"
    );
    Ok(())
}

#[tokio::test]
async fn every_kind_of_signup_is_found_when_its_profile_is_missing() -> Result<()> {
    for release in RELEASES {
        for audit_log in [true, false] {
            let project = Project::migrated().await?;
            let client = project.connect().await?;
            let mut auth = project.auth().await?;
            (auth.release, auth.audit_log) = (release, audit_log);
            project.break_signups().await?;
            let users = sign_up_everyone(&mut auth).await?;

            let mut missing: Vec<Uuid> = values(&client, "select user_id from public.get_auth_profile_mismatches() where status = 'auth_only'").await?;
            let mut expected: Vec<Uuid> = users.iter().map(|(_, id)| *id).collect();
            missing.sort();
            expected.sort();
            assert_eq!(
                missing, expected,
                "each once, with or without an entry in the audit log"
            );
            assert_eq!(
                counts(
                    &client,
                    "missing, missing_anonymous, missing_phone, missing_sso, missing_unconfirmed"
                )
                .await?,
                // unconfirmed: e-mail, phone, OAuth, wallet, invitation, link
                "12 1 2 1 6"
            );
            let mut recent: Vec<Uuid> = values(
                &client,
                "select user_id from public.check_recent_signup_issues()",
            )
            .await?;
            recent.sort();
            assert_eq!(recent, expected);
            let health: String = value(&client, "select concat_ws(' ', recent_signups_count, signups_missing_profiles, health_percentage) from public.monitor_signup_health()").await?;
            assert_eq!(health, "12 12 0.00");

            let answer: serde_json::Value = value(
                &client,
                "select public.backfill_all_missing_profiles(100, false)",
            )
            .await?;
            assert_eq!(
                (&answer["successful"], &answer["failed"]),
                (&12.into(), &0.into()),
                "{answer}"
            );
            assert_eq!(counts(&client, "healthy, missing").await?, "12 0");
            let drift: i64 = value(&client, "select count from public.verify_profile_completeness() where check_name = 'Email consistency'").await?;
            assert_eq!(drift, 0);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_audit_log_names_the_subject_of_every_flow() -> Result<()> {
    for release in RELEASES {
        let project = Project::migrated().await?;
        let client = project.connect().await?;
        let mut auth = project.auth().await?;
        auth.release = release;
        for (kind, id) in sign_up_everyone(&mut auth).await? {
            let expected = match kind {
                SignupKind::EmailAutoconfirm
                | SignupKind::PhoneAutoconfirm
                | SignupKind::Oauth
                | SignupKind::Saml
                | SignupKind::AdminCreate => "user_signedup",
                SignupKind::EmailConfirmation | SignupKind::PhoneConfirmation => {
                    "user_confirmation_requested"
                }
                SignupKind::Invite => "user_invited",
                SignupKind::OauthUnverified
                | SignupKind::Web3
                | SignupKind::Anonymous
                | SignupKind::GeneratedLink => "",
            };
            assert_eq!(
                audit_events(&client, id).await?,
                expected,
                "{kind:?}, {release:?}"
            );
        }
        let strangers: i64 = value(
            &client,
            "select count(*) from rollcall.audit_events() e where not exists (select from auth.users u where u.id = e.user_id)",
        )
        .await?;
        assert_eq!(strangers, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_user_is_counted_once_however_often_the_log_mentions_them() -> Result<()> {
    for release in RELEASES {
        let project = Project::migrated().await?;
        let client = project.connect().await?;
        let mut auth = project.auth().await?;
        auth.release = release;
        let id = auth
            .sign_up(SignupKind::EmailConfirmation, &Person::numbered(1))
            .await?;
        auth.verify(id).await?;
        for _ in 0..3 {
            auth.repeat_sign_up(id).await?;
            auth.admin_update(id).await?;
        }
        auth.change_email(id, "other@example.com").await?;
        let rows: Vec<String> = values(&client, "select status || ' ' || count from public.diagnose_auth_profile_consistency() where count > 0").await?;
        assert_eq!(
            rows,
            [
                "Total Signup Audit Entries 1",
                "Healthy (Auth + Profile) 1",
                "Total auth.users 1",
                "Total public.profiles 1",
            ]
        );
        assert_eq!(
            audit_events(&client, id).await?,
            "user_confirmation_requested,user_signedup"
        );
        assert_eq!(
            value::<i64>(&client, "select count(*) from public.signup_audit_summary").await?,
            1
        );
        let first: String =
            value(&client, "select action from public.signup_audit_summary").await?;
        assert_eq!(first, "user_confirmation_requested");
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_by_an_administrator_is_not_a_user_who_vanished() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    let mut ids = Vec::new();
    for number in 1..=3 {
        ids.push(
            auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
                .await?,
        );
    }
    let [hard, soft, sql] = ids[..] else {
        anyhow::bail!("three")
    };
    auth.hard_delete(hard).await?;
    auth.soft_delete(soft).await?;
    auth.sql_delete(sql).await?;

    assert_eq!(status(&client, hard).await?, ["audit_only"]);
    assert_eq!(
        status(&client, soft).await?,
        [""; 0],
        "neither missing nor gone"
    );
    assert_eq!(status(&client, sql).await?, ["audit_only"]);
    let recent: Vec<Uuid> = values(
        &client,
        "select user_id from public.check_recent_signup_issues()",
    )
    .await?;
    assert_eq!(recent, [sql]);
    let logged: String = value(&client, "select concat_ws(' ', signups, audit_only, recorded_deletions) from rollcall.audit_counts()").await?;
    assert_eq!(logged, "3 2 2");
    assert_eq!(
        counts(
            &client,
            "users, soft_deleted, expected, profiles, healthy, missing, orphaned"
        )
        .await?,
        "1 1 0 1 0 0 0"
    );

    let report = RecentReport::take(&mut project.rollcall().await?).await?;
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| (finding.id, finding.count))
        .collect();
    assert_eq!(findings, [("vanished_users", Some(1))]);
    assert_eq!(report.verdict, Verdict::Consistent, "nobody is locked out");
    Ok(())
}

#[tokio::test]
async fn a_soft_deleted_user_without_a_profile_is_not_missing_and_not_repaired() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    project.break_signups().await?;
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        let id = auth.sign_up(kind, &Person::numbered(number)).await?;
        auth.soft_delete(id)
            .await
            .with_context(|| format!("{kind:?}"))?;
        let answer: serde_json::Value = value(
            &client,
            &format!("select public.backfill_user_profile('{id}')"),
        )
        .await?;
        assert_eq!(answer["sqlstate"], "P0002", "{kind:?}: {answer}");
    }
    assert_eq!(
        counts(&client, "users, soft_deleted, missing, profiles").await?,
        "12 12 0 0"
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.check_recent_signup_issues()"
        )
        .await?,
        0
    );
    assert_eq!(
        value::<i64>(
            &client,
            "select recent_signups_count from public.monitor_signup_health()"
        )
        .await?,
        0
    );
    let emails: String = value(&client, "select status from public.verify_profile_completeness() where check_name = 'Email consistency'").await?;
    assert_eq!(emails, "PASS");
    Ok(())
}

#[tokio::test]
async fn a_profile_goes_with_its_user_and_the_events_stay() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    let id = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    auth.hard_delete(id).await?;
    assert_eq!(
        value::<i64>(&client, "select count(*) from public.profiles").await?,
        0
    );
    let events: Vec<String> = values(
        &client,
        &format!("select kind from public.get_user_signup_events('{id}')"),
    )
    .await?;
    assert_eq!(events, ["auth_user_created", "profile_bootstrap_ok"]);
    let personal: i64 = value(&client, "select count(*) from rollcall.event where payload::text like '%@%' or payload::text like '%Person%'").await?;
    assert_eq!(personal, 0);
    Ok(())
}

#[tokio::test]
async fn an_anonymous_user_keeps_the_profile_when_they_give_an_address() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    let id = auth
        .sign_up(SignupKind::Anonymous, &Person::default())
        .await?;
    auth.upgrade_anonymous(id, "late@example.com").await?;
    assert_eq!(status(&client, id).await?, ["healthy"]);
    let emails: String = value(&client, "select status || ' ' || count from public.verify_profile_completeness() where check_name = 'Email consistency'").await?;
    assert_eq!(emails, "WARNING 1", "the address did not reach the profile");
    Ok(())
}

#[tokio::test]
async fn addresses_that_differ_in_case_agree() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    project
        .auth()
        .await?
        .sign_up(
            SignupKind::EmailAutoconfirm,
            &Person::with_email("Ada@Example.com"),
        )
        .await?;
    client
        .batch_execute("update public.profiles set email = 'ADA@example.COM'")
        .await?;
    assert_eq!(
        value::<i64>(&client, "select mismatches from rollcall.email_drift()").await?,
        0
    );
    client
        .batch_execute("update public.profiles set email = null")
        .await?;
    assert_eq!(
        value::<i64>(&client, "select mismatches from rollcall.email_drift()").await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn without_the_audit_log_everything_but_history_is_known() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    auth.audit_log = false;
    let healthy = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.break_signups().await?;
    let missing = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    assert_eq!(status(&client, healthy).await?, ["healthy"]);
    assert_eq!(status(&client, missing).await?, ["auth_only"]);
    let report = Diagnosis::take(&mut project.rollcall().await?).await?;
    let log = report.audit_log.context("a state")?;
    assert_eq!(
        (log.state.as_str(), log.signups, log.audit_only),
        ("off", None, None)
    );
    assert_eq!(report.verdict, Verdict::Inconsistent);
    let stated: Vec<String> = values(&client, "select description from public.diagnose_auth_profile_consistency() where description like '%audit log: off%'").await?;
    assert_eq!(stated.len(), 3);
    Ok(())
}

#[tokio::test]
async fn an_audit_log_that_ended_is_stale() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    assert_eq!(
        value::<String>(&client, "select rollcall.audit_log_state()").await?,
        "off"
    );
    auth.clock = Some(Timestamp::now() - SignedDuration::from_hours(30));
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    assert_eq!(
        value::<String>(&client, "select rollcall.audit_log_state()").await?,
        "on",
        "nothing happened since"
    );
    auth.audit_log = false;
    auth.clock = None;
    auth.sign_up(SignupKind::Anonymous, &Person::default())
        .await?;
    assert_eq!(
        value::<String>(&client, "select rollcall.audit_log_state()").await?,
        "on",
        "anonymous users write no entry"
    );
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(2))
        .await?;
    assert_eq!(
        value::<String>(&client, "select rollcall.audit_log_state()").await?,
        "stale"
    );
    Ok(())
}

#[tokio::test]
async fn a_signup_in_an_open_transaction_is_not_reported() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let open = project.connect_as_superuser().await?;
    open.batch_execute(
        "begin; set local session_replication_role = replica;
         insert into auth.users (id, email, created_at) values (gen_random_uuid(), 'slow@example.com', now())",
    )
    .await?;
    assert_eq!(counts(&client, "users, missing").await?, "0 0");
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.check_recent_signup_issues()"
        )
        .await?,
        0
    );
    open.batch_execute("commit").await?;
    assert_eq!(counts(&client, "users, missing").await?, "1 1");
    Ok(())
}

#[tokio::test]
async fn an_old_signup_is_missing_but_not_recent() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    project.break_signups().await?;
    for (minutes, number) in [(5, 1), (30, 2), (90, 3)] {
        auth.clock = Some(Timestamp::now() - SignedDuration::from_mins(minutes));
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(number))
            .await?;
    }
    assert_eq!(
        value::<i64>(
            &client,
            "select count(*) from public.check_recent_signup_issues()"
        )
        .await?,
        1
    );
    let age: f64 = value(
        &client,
        "select minutes_since_signup::float8 from public.check_recent_signup_issues()",
    )
    .await?;
    ensure!((5.0..7.0).contains(&age), "{age}");
    assert_eq!(
        value::<i64>(
            &client,
            "select signups_missing_profiles from public.monitor_signup_health()"
        )
        .await?,
        2
    );
    assert_eq!(counts(&client, "missing").await?, "3");
    let order: Vec<String> = values(
        &client,
        "select auth_email from public.get_auth_profile_mismatches()",
    )
    .await?;
    assert_eq!(
        order,
        [
            "person1@example.com",
            "person2@example.com",
            "person3@example.com"
        ],
        "newest first"
    );
    Ok(())
}

#[tokio::test]
async fn a_refused_signup_leaves_neither_user_nor_event() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    let refused = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await;
    ensure!(refused.is_err());
    assert_eq!(counts(&client, "users, profiles, missing").await?, "1 1 0");
    assert_eq!(
        value::<i64>(&client, "select count(*) from rollcall.event").await?,
        2
    );
    Ok(())
}

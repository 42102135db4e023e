//! One user explained: every kind of trouble has its words, and no address is shown unasked.

mod replay;

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::command_line::{Finished, rollcall};
use rollcall_tests::project::Project;
use uuid::Uuid;

async fn explain(project: &Project, arguments: &[&str]) -> Result<Finished> {
    let arguments: Vec<&str> = ["explain"].iter().chain(arguments).copied().collect();
    rollcall(&[("DATABASE_URL", &project.url())], &arguments).await
}

async fn findings(project: &Project, user: Uuid) -> Result<(i32, Vec<String>)> {
    let finished = explain(project, &[&user.to_string(), "--format", "json"]).await?;
    let report = finished.json()?;
    let ids = report["findings"]
        .as_array()
        .context("findings")?
        .iter()
        .filter_map(|finding| finding["id"].as_str().map(str::to_owned))
        .collect();
    Ok((finished.status.context("a signal")?, ids))
}

#[tokio::test]
async fn each_kind_of_trouble_has_its_words() -> Result<()> {
    let project = Project::migrated().await?;
    let superuser = project.connect_as_superuser().await?;
    let mut auth = project.auth().await?;
    let mut number = 0;
    let mut person = || {
        number += 1;
        Person::numbered(number)
    };
    let well = auth
        .sign_up(SignupKind::EmailAutoconfirm, &person())
        .await?;
    assert_eq!(findings(&project, well).await?, (0, vec![]));

    let deleted = auth
        .sign_up(SignupKind::EmailAutoconfirm, &person())
        .await?;
    auth.hard_delete(deleted).await?;
    assert_eq!(
        findings(&project, deleted).await?,
        (0, vec!["user_deleted".to_owned()])
    );

    let gone = auth
        .sign_up(SignupKind::EmailAutoconfirm, &person())
        .await?;
    superuser
        .execute("delete from auth.users where id = $1", &[&gone])
        .await?;
    assert_eq!(
        findings(&project, gone).await?,
        (0, vec!["user_gone".to_owned()])
    );

    let banned = auth
        .sign_up(SignupKind::EmailAutoconfirm, &person())
        .await?;
    superuser
        .execute(
            "update auth.users set banned_until = now() + interval '1 day' where id = $1",
            &[&banned],
        )
        .await?;
    assert_eq!(
        findings(&project, banned).await?,
        (0, vec!["user_banned".to_owned()])
    );

    let moved = auth
        .sign_up(SignupKind::EmailAutoconfirm, &person())
        .await?;
    superuser
        .execute(
            "update auth.users set email = 'new@example.com' where id = $1",
            &[&moved],
        )
        .await?;
    assert_eq!(
        findings(&project, moved).await?,
        (0, vec!["email_mismatches".to_owned()])
    );

    assert_eq!(
        findings(&project, Uuid::from_u128(7)).await?,
        (2, vec!["user_not_found".to_owned()])
    );

    superuser
        .batch_execute("alter table public.profiles add constraint no_new_ones check (created_at < '2000-01-01') not valid")
        .await?;
    let refused = auth
        .sign_up(SignupKind::EmailAutoconfirm, &person())
        .await?;
    // there is no signup trigger but Rollcall's
    let missing: Vec<String> = ["missing_profiles", "profile_refused", "signup_not_replayed"]
        .map(str::to_owned)
        .into();
    assert_eq!(findings(&project, refused).await?, (1, missing.clone()));
    rollcall(
        &[("DATABASE_URL", &project.url())],
        &["backfill", "--apply", "--yes"],
    )
    .await?;
    assert_eq!(findings(&project, refused).await?, (1, missing.clone()));
    let shown = explain(&project, &[&refused.to_string()]).await?.stdout;
    ensure!(
        shown.contains("23514") && shown.contains("no_new_ones"),
        "{shown}"
    );
    Ok(())
}

#[tokio::test]
async fn the_timeline_has_every_source_in_order() -> Result<()> {
    let project = Project::migrated().await?;
    project.break_signups().await?;
    let user = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project.fix_signups().await?;
    rollcall(
        &[("DATABASE_URL", &project.url())],
        &["backfill", "--apply", "--yes"],
    )
    .await?;
    let report = explain(&project, &[&user.to_string(), "--format", "json"])
        .await?
        .json()?;
    let entries = report["timeline"].as_array().context("a timeline")?;
    let sources: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["source"].as_str())
        .collect();
    for source in ["audit log", "user", "identity", "event", "profile"] {
        ensure!(sources.contains(&source), "{source} is not in {sources:?}");
    }
    let moments: Vec<&str> = entries
        .iter()
        .filter_map(|entry| entry["happened_at"].as_str())
        .collect();
    let mut sorted: Vec<jiff::Timestamp> = moments
        .iter()
        .map(|moment| moment.parse())
        .collect::<Result<_, _>>()?;
    let shown = sorted.clone();
    sorted.sort();
    assert_eq!(shown, sorted);
    Ok(())
}

#[tokio::test]
async fn an_address_finds_its_user_and_is_shown_only_on_request() -> Result<()> {
    let project = Project::migrated().await?;
    let user = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    let address: String = project
        .connect_as_superuser()
        .await?
        .query_one("select email::text from auth.users", &[])
        .await?
        .get(0);
    for format in ["table", "json"] {
        let masked = explain(&project, &[&address.to_uppercase(), "--format", format]).await?;
        assert_eq!(masked.status, Some(0), "{masked}");
        ensure!(masked.stdout.contains(&user.to_string()));
        ensure!(!masked.stdout.contains(&address), "{masked}");
        let shown = explain(&project, &[&address, "--show-pii", "--format", format]).await?;
        ensure!(shown.stdout.contains(&address), "{shown}");
    }
    let phone: String = project
        .connect_as_superuser()
        .await?
        .query_one(
            "update auth.users set phone = '15550000001' returning '+1 (555) ' || right(phone, 7)",
            &[],
        )
        .await?
        .get(0);
    let by_phone = explain(&project, &[&phone]).await?;
    ensure!(by_phone.stdout.contains(&user.to_string()), "{by_phone}");
    ensure!(!by_phone.stdout.contains("15550000001"), "{by_phone}");
    let nobody = explain(&project, &["nobody@example.org"]).await?;
    assert_eq!(nobody.status, Some(2));
    ensure!(!nobody.stderr.contains("nobody@example.org"), "{nobody}");
    let nonsense = explain(&project, &["nonsense"]).await?;
    assert_eq!((nonsense.status, nonsense.stdout.as_str()), (Some(2), ""));
    Ok(())
}

#[tokio::test]
async fn an_address_that_several_have_is_no_answer_but_their_ids() -> Result<()> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    let first = auth.sign_up(SignupKind::Saml, &Person::numbered(1)).await?;
    let second = auth.sign_up(SignupKind::Saml, &Person::numbered(2)).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("update auth.users set email = 'both@example.com', is_sso_user = true")
        .await?;
    let shown = explain(&project, &["both@example.com"]).await?;
    assert_eq!(shown.status, Some(2), "{shown}");
    ensure!(
        shown.stderr.contains(&first.to_string()) && shown.stderr.contains(&second.to_string())
    );
    ensure!(!shown.stderr.contains("both@example.com"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn what_an_audit_log_that_is_off_would_know_is_not_available() -> Result<()> {
    let project = Project::migrated().await?;
    let user = project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("delete from auth.audit_log_entries")
        .await?;
    let shown = explain(&project, &[&user.to_string()]).await?;
    ensure!(
        shown.stdout.contains("not available (audit log: off)"),
        "{shown}"
    );
    let client = project.connect().await?;
    let rows = client
        .query(
            "select status, count, description from public.diagnose_auth_profile_consistency()
             where status in ('Audit Only (Deleted/Orphaned)', 'Recorded Deletions')",
            &[],
        )
        .await?;
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row.get::<_, Option<i64>>(1), None);
        ensure!(row.get::<_, String>(2).contains("(audit log: off)"));
    }
    Ok(())
}

//! Reports of a project with a large audit log read what a trigger kept of it; each test here makes that lie, and the report
//! must not. "Large" is forced by reading the log on demand.

use std::time::Duration;

use anyhow::{Result, ensure};
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::ledger::{health, prepare, project_with_trusted_ledger};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio_postgres::Client;

/// Signups, signups of users who are gone, recorded deletions: `3 1 1`.
const BY: [&str; 2] = [
    "select concat_ws(' ', signups, audit_only, recorded_deletions) from rollcall.audit_census_kept()",
    "select concat_ws(' ', signups, audit_only, recorded_deletions) from rollcall.audit_census_read()",
];

/// An entry as Supabase Auth writes it, for a user who is not in `auth.users`.
const ENTRY: &str = r#"
    insert into auth.audit_log_entries (instance_id, id, payload, created_at)
    select '00000000-0000-0000-0000-000000000000', gen_random_uuid(),
      json_build_object('action', 'user_signedup', 'actor_id', gen_random_uuid(), 'actor_username', 'gone@example.com'), now()"#;

/// So many entries that whatever was written before is no longer at the end of the log.
const FILLER: &str = "
    insert into auth.audit_log_entries (instance_id, id, payload, created_at)
    select '00000000-0000-0000-0000-000000000000', gen_random_uuid(), json_build_object('action', 'login', 'filler', repeat('x', 1500)), now()
    from generate_series(1, 400)";

async fn project_with_trusted_log() -> Result<Project> {
    prove(project_with_trusted_ledger().await?).await
}

async fn prove(project: Project) -> Result<Project> {
    let client = project.connect().await?;
    client
        .batch_execute("select rollcall.prove_audit_log()")
        .await?;
    assert_eq!(doubt(&project).await?, None);
    Ok(project)
}

async fn doubt(project: &Project) -> Result<Option<String>> {
    value(
        &project.connect().await?,
        "select rollcall.audit_ledger_doubt()",
    )
    .await
}

async fn kept_and_read(client: &Client) -> Result<[String; 2]> {
    Ok([value(client, BY[0]).await?, value(client, BY[1]).await?])
}

/// The report's own answer is that of the log, whatever was kept.
async fn the_report_does_not_lie(project: &Project, expected: &str) -> Result<()> {
    let client = project.connect().await?;
    let [kept, read] = kept_and_read(&client).await?;
    ensure!(
        kept != read,
        "what was kept would have said the same: {kept}"
    );
    ensure!(read == expected, "the log says {read}");
    let reported: String = value(
        &client,
        "select concat_ws(' ', signups, audit_only, recorded_deletions) from rollcall.audit_census()",
    )
    .await?;
    ensure!(reported == expected, "the report says {reported}");
    Ok(())
}

#[tokio::test]
async fn what_is_kept_says_what_the_log_says_after_every_flow() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let client = project.connect().await?;
    let mut auth = project.auth().await?;
    let mut users = Vec::new();
    for (number, kind) in (100..).zip(SignupKind::ALL) {
        users.push(auth.sign_up(kind, &Person::numbered(number)).await?);
    }
    auth.repeat_sign_up(users[0]).await?;
    auth.hard_delete(users[0]).await?;
    auth.soft_delete(users[1]).await?;
    auth.sql_delete(users[2]).await?;
    client.batch_execute(ENTRY).await?;
    assert_eq!(doubt(&project).await?, None);

    let [kept, read] = kept_and_read(&client).await?;
    assert_eq!(kept, read);
    let rows = "select format('%s %s %s %s', k.user_id, k.deleted, k.signed_up_at, k.entry_id) from rollcall.audit_subject k order by 1";
    let before: Vec<String> = values(&client, rows).await?;
    client
        .batch_execute("select rollcall.prove_audit_log()")
        .await?;
    assert_eq!(values::<String>(&client, rows).await?, before);

    let affected = "select a::text from rollcall.affected(null) a";
    let by_what_is_kept: Vec<String> = values(&client, affected).await?;
    ensure!(
        by_what_is_kept
            .iter()
            .any(|row| row.contains("gone@example.com"))
    );
    client
        .batch_execute("delete from rollcall.audit_proof")
        .await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("no_proof"));
    assert_eq!(values::<String>(&client, affected).await?, by_what_is_kept);
    Ok(())
}

#[tokio::test]
async fn entries_that_a_restore_brought_past_the_trigger_are_seen_at_the_end_of_the_log()
-> Result<()> {
    let project = project_with_trusted_log().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "set session_replication_role = replica; {ENTRY} from generate_series(1, 3)"
        ))
        .await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("entries_not_kept"));
    the_report_does_not_lie(&project, "8 3 0").await
}

#[tokio::test]
async fn a_trigger_that_is_gone_or_off_is_in_the_catalog() -> Result<()> {
    for (off, on, name) in [
        (
            "alter table auth.audit_log_entries disable trigger rollcall_keep_audit_entry",
            "alter table auth.audit_log_entries enable trigger rollcall_keep_audit_entry",
            "log_changed",
        ),
        (
            "drop trigger rollcall_keep_audit_entry on auth.audit_log_entries",
            "select",
            "no_trigger",
        ),
    ] {
        let project = project_with_trusted_log().await?;
        let client = project.connect_as_superuser().await?;
        client.batch_execute(&[off, ENTRY, on].join(";")).await?;
        client.batch_execute(FILLER).await?;
        assert_eq!(doubt(&project).await?.as_deref(), Some(name));
        the_report_does_not_lie(&project, "6 1 0").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_log_that_was_emptied_or_cut_is_read() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute("truncate auth.audit_log_entries")
        .await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("log_changed"));
    the_report_does_not_lie(&project, "0 0 0").await?;

    let project = project_with_trusted_log().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "delete from auth.audit_log_entries where payload::text like '%person1@%' or payload::text like '%person2@%';
             select pg_stat_force_next_flush()",
        )
        .await?;
    let client = project.connect().await?;
    ensure!(
        kept_and_read(&client).await?[1] != "5 0 0",
        "nothing was deleted"
    );
    assert_eq!(doubt(&project).await?.as_deref(), Some("log_changed"));
    let read: String = value(&client, BY[1]).await?;
    the_report_does_not_lie(&project, &read).await?;

    // and reading all of it mends what was kept
    let project = prove(project).await?;
    let [kept, read] = kept_and_read(&project.connect().await?).await?;
    assert_eq!(kept, read);
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_what_is_kept_and_what_could_not_be_kept_is_known() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let mut holder = project.connect_as_superuser().await?;
    let held = holder.transaction().await?;
    held.batch_execute("lock table rollcall.audit_subject in access exclusive mode")
        .await?;
    let mut auth = project.auth().await?;
    tokio::time::timeout(
        Duration::from_secs(20),
        auth.sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(50)),
    )
    .await??;
    held.rollback().await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("log_changed"));
    the_report_does_not_lie(&project, "6 0 0").await
}

/// A deletion writes its entry before it takes the user's row; a confirmation has the row before it writes its entry.
#[tokio::test]
async fn two_transactions_about_one_user_never_wait_for_each_other_in_a_circle() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let user: String = value(
        &project.connect().await?,
        "select min(id::text) from auth.users",
    )
    .await?;
    let entry = |action: &str| {
        format!(
            "insert into auth.audit_log_entries (instance_id, id, payload, created_at)
             select '00000000-0000-0000-0000-000000000000', gen_random_uuid(), json_build_object('action', '{action}', 'actor_id', '{user}'), now()"
        )
    };
    let row = format!("update auth.users set updated_at = now() where id = '{user}'");

    let mut deleting = project.connect_as_superuser().await?;
    let mut confirming = project.connect_as_superuser().await?;
    let deletion = deleting.transaction().await?;
    let confirmation = confirming.transaction().await?;
    deletion.batch_execute(&entry("user_deleted")).await?;
    confirmation.batch_execute(&row).await?;
    let (deleted, confirmed) = tokio::join!(
        async {
            deletion.batch_execute(&row).await?;
            deletion.commit().await
        },
        async {
            // the other waits by now, and is asked after a second whether it waits in a circle
            tokio::time::sleep(Duration::from_millis(500)).await;
            confirmation.batch_execute(&entry("user_signedup")).await?;
            tokio::time::sleep(Duration::from_millis(1000)).await;
            confirmation.commit().await
        }
    );
    deleted?;
    confirmed?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("log_changed"));
    Ok(())
}

#[tokio::test]
async fn a_sign_in_passes_where_everything_that_is_kept_is_gone() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute("drop table rollcall.audit_subject cascade; drop sequence rollcall.audit_entries_not_kept")
        .await?;
    let mut auth = project.auth().await?;
    let user = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(50))
        .await?;
    ensure!(
        value::<bool>(
            &client,
            &format!("select exists (select from public.profiles where id = '{user}')")
        )
        .await?
    );
    Ok(())
}

#[tokio::test]
async fn an_entry_that_is_written_while_the_log_is_read_is_kept() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let mut writer = project.connect_as_superuser().await?;
    let open = writer.transaction().await?;
    open.batch_execute(ENTRY).await?;
    // the reader does not see it, and waits for nobody
    let reader = project.connect().await?;
    tokio::time::timeout(
        Duration::from_secs(20),
        reader.batch_execute("select rollcall.prove_audit_log()"),
    )
    .await??;
    open.commit().await?;
    assert_eq!(kept_and_read(&reader).await?, ["6 1 0", "6 1 0"]);
    assert_eq!(doubt(&project).await?, None);
    Ok(())
}

#[tokio::test]
async fn reading_the_log_mends_rows_that_are_missing_wrong_or_too_many() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(
            "delete from rollcall.audit_subject where user_id = (select min(user_id::text)::uuid from rollcall.audit_subject);
             update rollcall.audit_subject set deleted = true, entry_id = null
             where user_id = (select max(user_id::text)::uuid from rollcall.audit_subject);
             insert into rollcall.audit_subject (user_id, deleted, signed_up_at, entry_id) values (gen_random_uuid(), false, now(), gen_random_uuid())",
        )
        .await?;
    let [kept, read] = kept_and_read(&client).await?;
    ensure!(kept != read);
    let project = prove(project).await?;
    assert_eq!(
        kept_and_read(&project.connect().await?).await?,
        ["5 0 0", "5 0 0"]
    );
    Ok(())
}

#[tokio::test]
async fn a_restart_a_day_and_a_reset_of_the_counters_end_the_trust() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = prove(prepare(Project::migrated_on(&server).await?).await?).await?;
    project
        .connect()
        .await?
        .batch_execute("update rollcall.audit_proof set proved_at = now() - interval '26 hours'")
        .await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("proof_is_old"));
    let project = prove(project).await?;
    project
        .connect()
        .await?
        .batch_execute("update rollcall.audit_proof set log_inserted = log_inserted + 1000000")
        .await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("counters_reset"));
    let project = prove(project).await?;
    server.restart()?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("log_changed"));
    Ok(())
}

#[tokio::test]
async fn users_who_came_past_the_triggers_put_the_log_in_doubt_too() -> Result<()> {
    let project = project_with_trusted_log().await?;
    project.add_users_without_profile(30).await?;
    rollcall_tests::ledger::counter_reaches(&project, "users_inserted", 35).await?;
    assert_eq!(doubt(&project).await?.as_deref(), Some("users_in_doubt"));
    Ok(())
}

#[tokio::test]
async fn the_hourly_check_reads_a_large_log_once_a_day() -> Result<()> {
    let project = project_with_trusted_ledger().await?;
    let client = project.connect_as_superuser().await?;
    let proofs = "select count(*) from rollcall.audit_proof";
    health(&project).await?;
    ensure!(
        project.count(proofs).await? == 0,
        "a small log was kept for nothing"
    );
    client
        .batch_execute("update pg_class set reltuples = 1000000 where oid = 'auth.audit_log_entries'::regclass")
        .await?;
    health(&project).await?;
    assert_eq!(project.count(proofs).await?, 1);
    let proved_at = "select proved_at::text from rollcall.audit_proof";
    let first: String = value(&client, proved_at).await?;
    health(&project).await?;
    assert_eq!(value::<String>(&client, proved_at).await?, first);
    // one that did not come to its end is not begun again every hour
    client
        .batch_execute("update rollcall.audit_proof set proved_at = proved_at - interval '1 day'")
        .await?;
    let second: String = value(&client, proved_at).await?;
    health(&project).await?;
    assert_eq!(value::<String>(&client, proved_at).await?, second);
    client
        .batch_execute("update rollcall.audit_proof set tried_at = tried_at - interval '13 hours'")
        .await?;
    health(&project).await?;
    assert_ne!(value::<String>(&client, proved_at).await?, second);
    Ok(())
}

#[tokio::test]
async fn a_client_of_another_encoding_reads_the_same() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(&format!(
            "{ENTRY};
             insert into auth.audit_log_entries (instance_id, id, payload, created_at)
             select '00000000-0000-0000-0000-000000000000', gen_random_uuid(),
               format('{{\"action\":\"login\",\"actor_id\":\"%s\",\"actor_name\":\"\u{1F600}\"}}', gen_random_uuid())::json, now();
             set client_encoding = 'LATIN1'"
        ))
        .await?;
    assert_eq!(value::<String>(&client, BY[1]).await?, "1 1 0");
    Ok(())
}

#[tokio::test]
async fn what_hides_from_the_trigger_or_from_the_counters_ends_the_trust() -> Result<()> {
    for (hidden, shown) in [
        (
            "alter schema rollcall rename to away",
            "alter schema away rename to rollcall",
        ),
        (
            "alter table rollcall.audit_subject rename to away; alter sequence rollcall.audit_entries_not_kept rename to away_too",
            "alter table rollcall.away rename to audit_subject; alter sequence rollcall.away_too rename to audit_entries_not_kept",
        ),
    ] {
        let project = project_with_trusted_log().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&[hidden, ENTRY, shown, FILLER].join(";"))
            .await?;
        assert_eq!(doubt(&project).await?.as_deref(), Some("log_changed"));
        the_report_does_not_lie(&project, "6 1 0").await?;
    }

    let project = project_with_trusted_log().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "delete from auth.audit_log_entries where payload::text like '%person1@%';
             select pg_stat_reset_single_table_counters('auth.audit_log_entries'::regclass)",
        )
        .await?;
    ensure!(doubt(&project).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn the_log_is_not_proved_as_it_was_before() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "begin isolation level repeatable read; select count(*) from auth.audit_log_entries",
        )
        .await?;
    let refused = rollcall_tests::sql::refusal(&client, "select rollcall.prove_audit_log()").await;
    assert_eq!(refused.as_deref(), Some("25000"));
    Ok(())
}

#[tokio::test]
async fn the_first_signup_is_the_earliest_in_whatever_order_they_were_written() -> Result<()> {
    let project = project_with_trusted_log().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "insert into auth.audit_log_entries (instance_id, id, payload, created_at)
             select '00000000-0000-0000-0000-000000000000', gen_random_uuid(),
               json_build_object('action', 'user_signedup', 'actor_id', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'actor_username', 'gone@example.com'), t.at
             from (values (1, '2026-02-01'::timestamptz), (2, null), (3, '2026-01-01'), (4, '2026-03-01')) t (n, at)
             order by t.n",
        )
        .await?;
    assert_eq!(doubt(&project).await?, None);
    ensure!(
        value::<bool>(
            &client,
            "select k.signed_up_at = '2026-01-01' from rollcall.audit_subject k where k.user_id = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"
        )
        .await?
    );
    Ok(())
}

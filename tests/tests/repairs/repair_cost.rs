//! The shortcuts that keep a repair's cost with its work find whom the plain look at everyone finds.

use anyhow::{Result, ensure};
use rollcall::backfill::{self, RunResult, StopReason};
use rollcall_tests::backfills::{add_missing, options, project_with_missing, unwatched, user};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{value, values};
use tokio_postgres::Client;

async fn apply(project: &Project, batch_size: u32) -> Result<RunResult> {
    Ok(backfill::apply(
        &mut project.session()?,
        &options(batch_size, None, None),
        None,
        unwatched,
    )
    .await?)
}

const FOUND: &str = "select u::text
     from unnest(rollcall.missing_page(
       jsonb_populate_record(null::rollcall.run, jsonb_build_object('signed_up_before', %, 'pass', 1)), 10000)) u
     order by u";

const COUNTED: &str = "select rollcall.count_missing(%)";

const PLAIN: &str = "select e._user_id::text
     from rollcall.expected_profile() e
     where (e._signed_up_at <= % or e._signed_up_at is null or e._signed_up_at > now() + interval '5 minutes')
       and not exists (select from public.profiles p where p.id = e._user_id)
     order by e._user_id";

/// Compares for everyone and for a bound; how many everyone are.
async fn assert_all_are_found(client: &Client) -> Result<usize> {
    let mut everyone = 0;
    for bound in ["now() - interval '1 hour'", "'infinity'::timestamptz"] {
        let found: Vec<String> = values(client, &FOUND.replace('%', bound)).await?;
        let plain: Vec<String> = values(client, &PLAIN.replace('%', bound)).await?;
        assert_eq!(found, plain, "{bound}");
        let counted: i64 = value(client, &COUNTED.replace('%', bound)).await?;
        assert_eq!(counted, i64::try_from(plain.len())?, "{bound}");
        everyone = plain.len();
    }
    Ok(everyone)
}

#[tokio::test]
async fn ids_alone_find_whom_a_look_at_every_user_finds() -> Result<()> {
    let project = project_with_missing(400, &[]).await?;
    let client = project.connect_as_superuser().await?;
    apply(&project, 1000).await?;
    client
        .batch_execute(&format!(
            "delete from public.profiles where id in ('{}', '{}', '{}', '{}', '{}', '{}');
             update auth.users set deleted_at = now() where id = '{}';
             update auth.users set created_at = null where id = '{}';
             update auth.users set created_at = now() where id = '{}';
             update auth.users set created_at = now() + interval '1 year' where id = '{}'",
            user(1),
            user(5),
            user(6),
            user(7),
            user(8),
            user(400),
            user(5),
            user(6),
            user(7),
            user(8)
        ))
        .await?;
    for table in ["auth.users", "public.profiles"] {
        client
            .batch_execute(&format!("vacuum analyze {table}"))
            .await?;
    }
    let are_visible: bool = value(
        &client,
        "select bool_and(relpages > 0 and relallvisible = relpages) from pg_class
         where oid in ('auth.users'::regclass, 'public.profiles'::regclass)",
    )
    .await?;
    ensure!(are_visible, "the indexes would not be used");
    // the one who was deleted needs none
    assert_eq!(assert_all_are_found(&client).await?, 5);

    // written since the vacuum, and not visible by the index alone
    client
        .batch_execute(&format!(
            "delete from public.profiles where id = '{}'",
            user(9)
        ))
        .await?;
    assert_eq!(assert_all_are_found(&client).await?, 6);

    // most are missing
    client
        .batch_execute(&format!(
            "delete from public.profiles where id > '{}'",
            user(40)
        ))
        .await?;
    ensure!(assert_all_are_found(&client).await? > 100);

    // no vacuum
    client
        .batch_execute(
            "update auth.users set updated_at = now(); analyze auth.users; delete from public.profiles",
        )
        .await?;
    assert_eq!(assert_all_are_found(&client).await?, 399);
    Ok(())
}

#[tokio::test]
async fn a_page_goes_on_past_those_who_need_no_profile() -> Result<()> {
    let project = project_with_missing(1000, &[]).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "update auth.users set deleted_at = now() where id <> all (array['{}', '{}', '{}']::uuid[])",
            user(450),
            user(999),
            user(1000)
        ))
        .await?;
    let outcome = apply(&project, 2).await?;
    assert_eq!(
        (outcome.created, outcome.remaining, outcome.stop_reason),
        (3, Some(0), StopReason::Complete)
    );
    Ok(())
}

#[tokio::test]
async fn what_remains_is_everyone_without_a_profile_and_not_only_whom_the_run_was_to_come_to()
-> Result<()> {
    let project = project_with_missing(20, &[7]).await?;
    add_missing(&project, 21, 22, &[]).await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&format!(
            "update auth.users set created_at = now() + interval '2 minutes' where id in ('{}', '{}')",
            user(21),
            user(3)
        ))
        .await?;
    let outcome = apply(&project, 5).await?;
    assert_eq!(
        (outcome.created, outcome.failed, outcome.remaining),
        (19, 1, Some(3))
    );
    Ok(())
}

//! What a user wrote into his signup never comes back in an error, and failures that are settled are forgotten.

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::backfills::order;
use rollcall_tests::project::Project;
use rollcall_tests::sql::value;

#[tokio::test]
async fn a_definition_that_fails_on_what_a_user_wrote_repeats_none_of_it() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(1))
        .await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create or replace view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email, 'sme'::text as account_type
             from auth.users u where coalesce((u.raw_user_meta_data ->> 'age')::integer, 99) >= 18",
        )
        .await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "update auth.users set raw_user_meta_data = '{\"age\": \"canary@example.com\"}';
             -- whoever has a profile need not be looked at by a list of those who have none
             delete from public.profiles",
        )
        .await?;
    for call in [
        "select public.backfill_all_missing_profiles(100, true)",
        "select public.backfill_all_missing_profiles(100, false)",
        "select public.backfill_user_profile((select id from auth.users))",
        "select * from public.diagnose_auth_profile_consistency()",
        "select * from public.get_auth_profile_mismatches()",
        "select * from public.check_recent_signup_issues()",
        "select * from public.monitor_signup_health()",
        "select * from public.verify_profile_completeness()",
        "select * from public.auth_profile_mismatch",
    ] {
        let said = match client.simple_query(call).await {
            Ok(rows) => format!("{rows:?}"),
            Err(error) => {
                let error = error.as_db_error().context("from the server")?;
                assert_eq!(error.code().code(), "22P02", "{call}");
                format!("{error:?}")
            }
        };
        ensure!(!said.contains("canary"), "{call}: {said}");
        ensure!(said.contains("22P02"), "{call}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn events_that_cannot_be_written_cost_nobody_the_profile() -> Result<()> {
    let project = Project::migrated().await?;
    project.add_users_without_profile(3).await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as $$
             begin raise exception 'canary@example.com'; end $$;
             create trigger refuse before insert on public.user_events for each row execute function public.refuse()",
        )
        .await?;
    let repaired: String = value(
        &client,
        "select public.backfill_all_missing_profiles(10, false) ->> 'successful'",
    )
    .await?;
    assert_eq!(repaired, "3");
    Ok(())
}

#[tokio::test]
async fn failures_of_users_who_are_gone_or_got_their_profile_are_forgotten() -> Result<()> {
    const REMEMBERED: &str = "select count(*) from rollcall.failure";
    let project = Project::migrated().await?;
    project.add_users_without_profile(3).await?;
    let client = project.connect().await?;
    client
        .batch_execute("alter table public.profiles add constraint none check (email is null)")
        .await?;
    for by_program in [false, true] {
        client
            .batch_execute("select public.backfill_all_missing_profiles(10, false)")
            .await?;
        let before: i64 = value(&client, REMEMBERED).await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(
                "delete from auth.users where id = (select min(id::text)::uuid from auth.users)",
            )
            .await?;
        if by_program {
            rollcall::backfill::apply(
                &mut project.session()?,
                &options(10, None, None),
                None,
                unwatched,
            )
            .await?;
        } else {
            client
                .batch_execute("select public.backfill_all_missing_profiles(10, false)")
                .await?;
        }
        let after: i64 = value(&client, REMEMBERED).await?;
        assert_eq!(after, before - 1, "by the program: {by_program}");
    }
    // made by the client itself
    client
        .batch_execute(
            "insert into public.profiles (id) select user_id from rollcall.failure;
             select public.backfill_all_missing_profiles(10, false)",
        )
        .await?;
    assert_eq!(value::<i64>(&client, REMEMBERED).await?, 0);
    Ok(())
}

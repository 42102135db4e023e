//! What a user wrote into their signup never comes back in an error, and failures that are settled are forgotten.

use anyhow::{Context, Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::backfills::{options, unwatched};
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
            "select rollcall.define('public.profiles', $$
               select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email, 'sme'::text as account_type
               from auth.users u where coalesce((u.raw_user_meta_data ->> 'age')::integer, 99) >= 18$$)",
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
async fn failures_of_users_who_are_gone_or_got_their_profile_are_forgotten() -> Result<()> {
    const REMEMBERED: &str = "select count(*) from rollcall.failure";
    let project = Project::migrated().await?;
    project.add_users_without_profile(3).await?;
    let client = project.connect().await?;
    client
        .batch_execute("alter table public.profiles add constraint none check (email is null)")
        .await?;
    let repair = async || {
        rollcall::backfill::apply(
            &mut project.session()?,
            &options(10, None, None),
            None,
            unwatched,
        )
        .await?;
        value::<i64>(&client, REMEMBERED).await
    };
    assert_eq!(repair().await?, 3);
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "delete from auth.users where id = (select min(id::text)::uuid from auth.users)",
        )
        .await?;
    assert_eq!(repair().await?, 2);
    // made by the client itself
    client
        .batch_execute("insert into public.profiles (id) select user_id from rollcall.failure")
        .await?;
    assert_eq!(repair().await?, 0);
    Ok(())
}

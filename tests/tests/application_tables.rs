//! Profile tables of all shapes: what the first definition makes of them, and what is refused.

use anyhow::{Context, Result, bail, ensure};
use rollcall::checks::health::HealthReport;
use rollcall::error::Error;
use rollcall::migrations;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{catalog, contents, difference, value, values};
use serde_json::{Value, json};
use tokio_postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

async fn migrated_onto(table: &str) -> Result<(Project, Client)> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(table).await?;
    project.migrate().await?;
    Ok((project, client))
}

async fn sign_up(project: &Project, number: u32, metadata: Value) -> Result<Uuid> {
    let mut person = Person::numbered(number);
    for (key, value) in metadata.as_object().context("an object")? {
        person = person.with_metadata(key, value.clone());
    }
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailAutoconfirm, &person)
        .await
        .context("the signup is blocked")
}

/// What the failed signups and repairs failed on.
async fn reasons(client: &Client) -> Result<Vec<String>> {
    values(
        client,
        "select distinct concat_ws(' ', sqlstate, constraint_name, column_name) from rollcall.recent_errors(100) order by 1",
    )
    .await
}

async fn profiles(client: &Client) -> Result<i64> {
    value(client, "select count(*) from public.profiles").await
}

// The key -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_reference_to_the_user_that_is_not_unique_is_refused_and_nothing_changes() -> Result<()> {
    for id in [
        "id uuid primary key default gen_random_uuid()",
        "id uuid primary key",
        "id text primary key",
    ] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client
            .batch_execute(&format!(
                "create table public.profiles ({id}, user_id uuid references auth.users on delete cascade, email text)"
            ))
            .await?;
        let (objects, rows) = (catalog(&client).await?, contents(&client).await?);
        let mut database = project.rollcall().await?;
        match migrations::apply(&mut database, false).await {
            Err(Error::Statement { message, hint, .. }) => {
                assert_eq!(
                    message, "public.profiles has no column that can hold a user's id",
                    "{id}"
                );
                ensure!(
                    hint.is_some_and(|hint| hint.contains("unique (user_id)")),
                    "{id}"
                );
            }
            other => bail!("{id}: {other:?}"),
        }
        assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
        assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);

        // the hint helps
        client
            .batch_execute(
                "alter table public.profiles add constraint profiles_user_id_key unique (user_id)",
            )
            .await?;
        project.migrate().await.context(id)?;
        assert_eq!(
            value::<String>(&client, "select rollcall.profile_key()::text").await?,
            "user_id"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_unique_reference_to_the_user_is_the_key() -> Result<()> {
    let (project, client) = migrated_onto(
        "create table public.profiles (
           id uuid primary key default gen_random_uuid(), user_id uuid unique references auth.users on delete cascade, email text)",
    )
    .await?;
    let id = sign_up(&project, 1, json!({})).await?;
    assert_eq!(
        values::<Uuid>(&client, "select user_id from public.profiles").await?,
        [id]
    );
    assert_eq!(
        value::<i64>(&client, "select healthy from rollcall.census()").await?,
        1
    );
    Ok(())
}

/// The names in a plan of the statement that a signup runs.
#[tokio::test]
async fn a_signup_looks_a_text_key_up_in_its_index() -> Result<()> {
    let (project, client) =
        migrated_onto("create table public.profiles (id text primary key, email text)").await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, email, created_at) select gen_random_uuid(), 'u' || n || '@example.com', '2024-01-01' from generate_series(1, 20000) n;
             insert into public.profiles select id::text, email from auth.users;
             commit; analyze auth.users; analyze public.profiles",
        )
        .await?;
    let statement: String = value(&client, "select rollcall.profile_insert_sql('{}')").await?;
    let plan = client
        .simple_query(&format!(
            "explain (costs off) {}",
            statement.replace("$1", &format!("array['{}'::uuid]", Uuid::new_v4()))
        ))
        .await?;
    let plan: Vec<&str> = plan
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    ensure!(
        plan.iter().any(|line| line.contains("profiles_pkey"))
            && !plan.iter().any(|line| line.contains("Seq Scan")),
        "{plan:#?}"
    );
    let id = sign_up(&project, 1, json!({})).await?;
    assert_eq!(
        value::<i64>(
            &client,
            &format!("select count(*) from public.profiles where id = '{id}'")
        )
        .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_table_that_may_not_be_written_is_refused_before_anything_is_displaced() -> Result<()> {
    for rights in ["", "grant select on public.profiles to postgres;"] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client
            .batch_execute(
                "create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
                 begin return new; end $$;
                 create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user()",
            )
            .await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&format!(
                "create table public.profiles (id uuid primary key, email text);
                 revoke all on public.profiles from postgres; {rights}"
            ))
            .await?;
        let objects = catalog(&client).await?;
        let mut database = project.rollcall().await?;
        match migrations::apply(&mut database, false).await {
            Err(Error::Statement {
                sqlstate, message, ..
            }) => {
                assert_eq!(sqlstate, "42501");
                ensure!(message.contains("may not insert into"), "{message}");
            }
            Err(Error::NotPermitted(_)) => (),
            other => bail!("{other:?}"),
        }
        assert_eq!(difference(&objects, &catalog(&client).await?), [""; 0]);
        sign_up(&project, 1, json!({})).await?;
    }
    Ok(())
}

// The columns ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_name_that_is_taken_or_too_short_costs_nobody_his_profile() -> Result<()> {
    // Supabase's own template
    let (project, client) = migrated_onto(
        "create table public.profiles (
           id uuid references auth.users on delete cascade not null primary key,
           updated_at timestamp with time zone,
           username text unique,
           full_name text,
           avatar_url text,
           website text,
           constraint username_length check (char_length(username) >= 3)
         );
         alter table public.profiles enable row level security",
    )
    .await?;
    for (number, name) in (1..).zip(["john", "john", "jo", ""]) {
        let metadata = json!({"username": name, "user_name": name, "preferred_username": name, "full_name": "John"});
        sign_up(&project, number, metadata).await?;
    }
    assert_eq!(reasons(&client).await?, [""; 0]);
    assert_eq!(
        values::<String>(&client, "select full_name from public.profiles").await?,
        ["John"; 4]
    );
    Ok(())
}

#[tokio::test]
async fn a_column_of_fixed_length_is_filled_to_the_end() -> Result<()> {
    let (project, client) = migrated_onto(
        "create table public.profiles (
           id uuid primary key references auth.users, last_name char(20), first_name varchar(5), flags bit(4) not null default b'1010')",
    )
    .await?;
    sign_up(
        &project,
        1,
        json!({"last_name": "Mwanza", "first_name": "Maximilian"}),
    )
    .await?;
    let row: String = value(
        &client,
        "select concat_ws(' ', rtrim(last_name), first_name, flags) from public.profiles",
    )
    .await?;
    assert_eq!(row, "Mwanza Maxim 1010");

    // as a team's own definition fills it
    client
        .batch_execute(
            "drop view rollcall.expected_profile;
             create view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, 'Mwanza'::char(20) as last_name, b'0110' as flags
             from auth.users u",
        )
        .await?;
    let id = sign_up(&project, 2, json!({})).await?;
    let row: String = value(
        &client,
        &format!(
            "select concat_ws(' ', rtrim(last_name), flags) from public.profiles where id = '{id}'"
        ),
    )
    .await?;
    assert_eq!(row, "Mwanza 0110");
    Ok(())
}

#[tokio::test]
async fn an_account_type_of_any_shape_takes_what_it_knows_or_its_default() -> Result<()> {
    let before = "create table public.kinds (kind text primary key); insert into public.kinds values ('sme'), ('basic');
         create domain public.account as text default 'sme' check (value in ('sme', 'investor'));";
    for (column, wish, given) in [
        ("int default 1", "sme", "1"),
        ("int not null default 1", "2", "1"),
        ("int", "sme", ""),
        (
            "text not null default 'sme' references public.kinds",
            "donor",
            "sme",
        ),
        ("text references public.kinds", "donor", ""),
        ("varchar(8) default 'sme'", "professional", "sme"),
        ("varchar(8) default 'sme'", "investor", "investor"),
        ("varchar(8) not null", "professional", "sme"),
        ("public.account", "donor", "sme"),
        ("public.account not null", "donor", "sme"),
        (
            "public.account not null default 'investor'",
            "donor",
            "investor",
        ),
        ("text[] not null default '{}'", "sme", "{}"),
        (
            "text not null default 'free' check (account_type in ('free', 'pro'))",
            "pro",
            "free",
        ),
    ] {
        let (project, client) = migrated_onto(&format!(
            "{before} create table public.profiles (id uuid primary key references auth.users, account_type {column})"
        ))
        .await
        .with_context(|| column.to_owned())?;
        assert_eq!(
            values::<String>(&client, "select c::text from rollcall.unfilled_columns() c").await?,
            [""; 0],
            "{column}"
        );
        sign_up(&project, 1, json!({ "account_type": wish })).await?;
        assert_eq!(reasons(&client).await?, [""; 0], "{column}");
        assert_eq!(
            values::<String>(
                &client,
                "select coalesce(account_type::text, '') from public.profiles"
            )
            .await?,
            [given],
            "{column}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_required_value_that_nobody_knows_is_not_invented_but_named() -> Result<()> {
    let before = "create table public.kinds (kind text primary key);
         create domain public.account as text check (value in ('free', 'pro'));
         create domain public.birthday as date not null;";
    for (column, name) in [
        ("account_type uuid not null", "account_type"),
        ("account_type int not null", "account_type"),
        (
            "account_type text not null check (account_type in ('free', 'pro'))",
            "account_type",
        ),
        (
            "account_type text not null references public.kinds",
            "account_type",
        ),
        ("account_type public.account not null", "account_type"),
        ("date_of_birth date not null", "date_of_birth"),
        ("date_of_birth public.birthday", "date_of_birth"),
        (
            "subscription_expires_at timestamptz not null",
            "subscription_expires_at",
        ),
    ] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client
            .batch_execute(&format!(
                "{before} create table public.profiles (id uuid primary key references auth.users, {column})"
            ))
            .await?;
        project.migrate().await.with_context(|| column.to_owned())?;
        sign_up(&project, 1, json!({"account_type": "sme"})).await?;
        let why = reasons(&client).await?;
        // of a domain, the database does not name the column
        ensure!(
            why == [format!("23502 {name}")] || why == ["23502"] && column.contains("birthday"),
            "{column}: {why:?}"
        );
        let report = HealthReport::take(&mut project.rollcall().await?).await?;
        let finding = report
            .findings
            .iter()
            .find(|finding| finding.id == "unfilled_columns")
            .with_context(|| column.to_owned())?;
        ensure!(finding.summary.contains(name), "{finding:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_migration_warns_of_a_required_value_that_nobody_knows() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    // a warning does not reach the driver's user, but an error in its place does
    client
        .batch_execute("create table public.profiles (id uuid primary key references auth.users, date_of_birth date not null)")
        .await?;
    let file = migrations::ALL[0];
    let path = format!(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/{}_{}.sql"),
        file.version, file.name
    );
    let sql = std::fs::read_to_string(path)?.replace("raise warning", "raise exception");
    let error = client
        .batch_execute(&sql)
        .await
        .err()
        .context("a warning")?;
    let error = error.as_db_error().context("of the database")?;
    ensure!(
        error.message().contains("date_of_birth"),
        "{}",
        error.message()
    );
    Ok(())
}

#[tokio::test]
async fn a_required_unique_phone_is_left_to_those_who_have_one() -> Result<()> {
    let (project, client) = migrated_onto(
        "create table public.profiles (id uuid primary key references auth.users, phone text not null unique)",
    )
    .await?;
    sign_up(&project, 1, json!({})).await?;
    sign_up(&project, 2, json!({})).await?;
    let mut auth = project.auth().await?;
    for kind in [SignupKind::PhoneAutoconfirm, SignupKind::Anonymous] {
        auth.sign_up(kind, &Person::numbered(3)).await?;
    }
    assert_eq!(
        reasons(&client).await?,
        ["23502 phone"],
        "nobody takes an empty number from another"
    );
    assert_eq!(profiles(&client).await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_required_unique_name_fits_its_column() -> Result<()> {
    let (project, client) = migrated_onto(
        "create table public.profiles (id uuid primary key references auth.users, username varchar(20) not null unique)",
    )
    .await?;
    for number in 1..=3 {
        sign_up(&project, number, json!({"username": "john"})).await?;
    }
    assert_eq!(reasons(&client).await?, [""; 0]);
    assert_eq!(profiles(&client).await?, 3);
    Ok(())
}

#[tokio::test]
async fn counting_takes_nothing_from_a_sequence() -> Result<()> {
    let (project, client) = migrated_onto(
        "create sequence public.numbers;
         create table public.profiles (
           id uuid primary key references auth.users,
           username text not null default ('u' || nextval('public.numbers')),
           full_name text default ('n' || nextval('public.numbers')))",
    )
    .await?;
    sign_up(&project, 1, json!({})).await?;
    let taken = "select last_value::bigint from public.numbers";
    assert_eq!(value::<i64>(&client, taken).await?, 2);
    project.add_users_without_profile(10).await?;
    client
        .batch_execute(
            "select rollcall.count_missing(); select * from rollcall.census(); table public.auth_profile_mismatch;
             select * from public.diagnose_auth_profile_consistency(); select * from public.verify_profile_completeness();
             select * from rollcall.expected_profile",
        )
        .await?;
    assert_eq!(value::<i64>(&client, taken).await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_date_of_any_type_is_shown_or_left_out() -> Result<()> {
    for column in [
        "time",
        "time not null",
        "timetz not null default now()",
        "date not null",
        "timestamp not null default now()",
        "text default 'yesterday'",
        "bigint default 1700000000",
        "interval",
    ] {
        let (project, client) = migrated_onto(&format!(
            "create table public.profiles (id uuid primary key references auth.users, created_at {column})"
        ))
        .await
        .with_context(|| column.to_owned())?;
        sign_up(&project, 1, json!({})).await?;
        assert_eq!(reasons(&client).await?, [""; 0], "{column}");
        assert_eq!(profiles(&client).await?, 1, "{column}");
        client
            .batch_execute("table public.auth_profile_mismatch")
            .await
            .with_context(|| column.to_owned())?;
    }
    Ok(())
}

//! The definition: which table is taken, what a draft makes of it, what can be defined, and what is refused.

use anyhow::{Context, Result, ensure};
use rollcall::checks::health::HealthReport;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::project::Project;
use rollcall_tests::sql::{acting_as, contents, difference, refusal, value, values};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

async fn installed_onto(application: &str) -> Result<(Project, Client)> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(application)
        .await
        .with_context(|| application.to_owned())?;
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

async fn target(client: &Client) -> Result<Option<String>> {
    value(client, "select target_table from rollcall.settings").await
}

async fn sequences(client: &Client) -> Result<Vec<String>> {
    values(
        client,
        "select format('%s.%s %s', schemaname, sequencename, last_value) from pg_sequences where schemaname <> 'rollcall' order by 1",
    )
    .await
}

/// An application's signup trigger: on what it fires, and what its function does.
fn trigger(event: &str, body: &str) -> String {
    format!(
        "create function public.fill() returns trigger language plpgsql security definer set search_path = '' as $$
         begin {body} return new; end $$;
         create trigger fill after {event} execute function public.fill();"
    )
}

fn at_signup(body: &str) -> String {
    trigger("insert on auth.users for each row", body)
}

// Which table ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_table_that_stands_out_is_taken_and_no_other() -> Result<()> {
    let members = "create table public.members (id uuid primary key references auth.users on delete cascade, email text);";
    let sides = "create table public.user_roles (id bigserial primary key, user_id uuid unique references auth.users, role text);
                 create table public.push_tokens (user_id uuid primary key references auth.users, token text);
                 create table public.customers (id uuid primary key references auth.users, stripe_id text);";
    let orders = "create table public.orders (id uuid primary key default gen_random_uuid(), user_id uuid references auth.users);";
    let fill = at_signup("insert into public.members (id, email) values (new.id, new.email);");
    for (application, taken) in [
        (String::new(), None),
        (orders.to_owned(), None),
        (sides.to_owned(), None),
        (
            "create table public.users (id uuid primary key, email text)".to_owned(),
            None,
        ),
        (
            format!("{sides} create table public.profiles (user_id text primary key)"),
            Some("public.profiles"),
        ),
        (
            format!("{members} create table public.profiles (id uuid primary key, email text)"),
            Some("public.profiles"),
        ),
        (format!("{members} {sides} {orders}"), Some("public.members")),
        (
            format!("{members} {sides} {orders} {fill}"),
            Some("public.members"),
        ),
        // two could be it
        (
            format!("{members} create table public.teachers (id uuid primary key references auth.users, email text)"),
            None,
        ),
        // and a signup fills one of them
        (
            format!("{members} create table public.teachers (id uuid primary key references auth.users, email text); {fill}"),
            Some("public.members"),
        ),
        // nothing but a signup says what it is
        (
            format!(
                "create schema app; create table app.\"Konto\" (\"Nr\" bigserial primary key, \"Wer\" uuid unique, \"Mail\" text); {}",
                at_signup(
                    "insert into app.\"Konto\" (\"Wer\", \"Mail\") values (new.id, new.email);"
                )
            ),
            Some("app.\"Konto\""),
        ),
        // a key that fills itself, and no reference
        (
            format!(
                "create table public.users (id uuid primary key default gen_random_uuid(), email text); {}",
                at_signup("insert into public.users (id, email) values (new.id, new.email);")
            ),
            Some("public.users"),
        ),
        (
            "create table public.profiles (tenant_id uuid, user_id uuid references auth.users, primary key (tenant_id, user_id))".to_owned(),
            None,
        ),
        (
            format!("{members} create view public.profiles as select * from public.members"),
            Some("public.members"),
        ),
    ] {
        let (project, client) = installed_onto(&application).await?;
        assert_eq!(target(&client).await?.as_deref(), taken, "{application}");
        let report = HealthReport::take(&mut project.rollcall().await?).await;
        let verdict = report.map_or(Verdict::Unknown, |report| report.verdict);
        let expected = taken.map_or(Verdict::Unknown, |_| Verdict::Consistent);
        assert_eq!(verdict, expected, "{application}");
        let tables: Vec<String> = values(
            &client,
            "select c.oid::regclass::text from pg_class c where relkind = 'r' and relname = 'profiles'",
        )
        .await?;
        ensure!(
            tables.is_empty() || application.contains("table public.profiles"),
            "no table is made: {tables:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn candidates_come_with_their_reason_the_best_first() -> Result<()> {
    let (project, client) = installed_onto(
        "create table public.user_settings (user_id uuid primary key references auth.users);
         create table public.teachers (id uuid primary key references auth.users on delete cascade);
         create table public.members (id uuid primary key references auth.users on delete cascade);
         create table public.org_profiles (org_id uuid, user_id uuid references auth.users, primary key (org_id, user_id))",
    )
    .await?;
    for number in 1..=12 {
        sign_up(&project, number, json!({})).await?;
    }
    client
        .batch_execute("insert into public.members select id from auth.users limit 10")
        .await?;
    let candidates: Vec<String> = values(
        &client,
        "select concat_ws(': ', table_name, reason) from rollcall.candidate_tables()",
    )
    .await?;
    assert_eq!(
        candidates,
        [
            "public.members: id is unique and references auth.users, 10 of 12 users have a row",
            "public.teachers: id is unique and references auth.users, 0 of 12 users have a row",
            "public.user_settings: user_id is unique and references auth.users, its name is that of a table beside the profiles, 0 of 12 users have a row",
            "public.org_profiles: no column of its own tells whose a row is: one row for one user is needed",
        ]
    );
    // the rows have decided
    project.upgrade().await?;
    assert_eq!(target(&client).await?.as_deref(), Some("public.members"));
    Ok(())
}

#[tokio::test]
async fn what_a_person_has_set_is_never_replaced_and_a_draft_is() -> Result<()> {
    let (project, client) = installed_onto(
        "create table public.profiles (id uuid primary key references auth.users, email text)",
    )
    .await?;
    let query = "select query from rollcall.settings";
    let first: String = value(&client, query).await?;
    client
        .batch_execute("alter table public.profiles add column full_name text")
        .await?;
    project.upgrade().await?;
    let second: String = value(&client, query).await?;
    ensure!(second != first && second.contains("full_name"), "{second}");
    client
        .batch_execute(
            "select rollcall.define('public.profiles', 'select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u')",
        )
        .await?;
    project.upgrade().await?;
    let kept: String = value(&client, query).await?;
    assert_eq!(
        kept.trim(),
        "select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u"
    );
    Ok(())
}

// What a draft says ---------------------------------------------------------------------------------------------------

/// Applications of many shapes: their tables, what a signup does, and which columns cannot be known.
fn applications() -> Vec<(&'static str, String)> {
    let profiles = |columns: &str| {
        format!(
            "create table public.profiles (id uuid primary key references auth.users on delete cascade, {columns});"
        )
    };
    vec![
        (
            "Supabase's guide",
            include_str!("../../src/project/application.sql").to_owned(),
        ),
        (
            "side tables with numbers of their own",
            "create table public.members (id uuid primary key references auth.users on delete cascade, mail text not null, display text, role text not null default 'member');
             create table public.user_roles (id serial primary key, user_id uuid unique references auth.users on delete cascade, role text);
             create table public.credits (id bigint generated always as identity primary key, user_id uuid unique references auth.users on delete cascade, n int default 5);"
                .to_owned()
                + &at_signup(
                    "if new.is_anonymous then return new; end if;
                     insert into public.members (id, mail, display) values (new.id, coalesce(new.email, 'none'),
                       coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name', split_part(new.email, '@', 1)));
                     insert into public.user_roles (user_id, role) values (new.id, 'user');
                     insert into public.credits (user_id) values (new.id);",
                ),
        ),
        (
            "a key beside a random id",
            "create table public.\"Profiles\" (id uuid primary key default gen_random_uuid(), \"userId\" uuid unique references auth.users on delete cascade,
               \"fullName\" text, \"createdAt\" timestamptz not null, \"avatarUrl\" text, \"order\" text);"
                .to_owned()
                + &at_signup(
                    "insert into public.\"Profiles\" (\"userId\", \"fullName\", \"createdAt\", \"avatarUrl\", \"order\")
                     values (new.id, new.raw_user_meta_data ->> 'full_name', new.created_at, new.raw_user_meta_data ->> 'avatar_url', new.phone);",
                ),
        ),
        (
            "Prisma's",
            "create table public.\"User\" (id text primary key, email text unique, \"displayName\" text);".to_owned()
                + &at_signup("insert into public.\"User\" values (new.id::text, new.email, new.raw_user_meta_data ->> 'name');"),
        ),
        (
            "a username from the local part, and an enum",
            "create type public.user_type as enum ('customer', 'partner', 'admin');".to_owned()
                + &profiles("username text not null unique check (username ~ '^[a-z0-9_.-]{3,}$'), user_type public.user_type not null default 'customer', email text")
                + &at_signup(
                    "if new.email is null then return new; end if;
                     insert into public.profiles (id, username, email)
                     values (new.id, coalesce(new.raw_user_meta_data ->> 'username', split_part(new.email, '@', 1)), new.email);",
                ),
        ),
        (
            "made at the confirmation",
            profiles("email text not null")
                + &trigger(
                    "update of email_confirmed_at on auth.users for each row when (old.email_confirmed_at is null and new.email_confirmed_at is not null)",
                    "insert into public.profiles (id, email) values (new.id, new.email);",
                ),
        ),
        (
            "made with the identity",
            profiles("email text, provider text, full_name text")
                + &trigger(
                    "insert on auth.identities for each row",
                    "insert into public.profiles (id, email, provider, full_name)
                     select u.id, u.email, u.raw_app_meta_data ->> 'provider', nullif(concat_ws(' ', u.raw_user_meta_data ->> 'first_name', u.raw_user_meta_data ->> 'last_name'), '')
                     from auth.users u where u.id = new.user_id on conflict do nothing;",
                ),
        ),
        (
            "anonymous users left out by a condition",
            profiles("email text, is_anonymous boolean, level int not null")
                + &trigger(
                    "insert on auth.users for each row when (new.is_anonymous is not true)",
                    "insert into public.profiles values (new.id, new.email, new.is_anonymous, 3);",
                ),
        ),
        (
            "columns named like ours",
            "create table public.profiles (id uuid primary key default gen_random_uuid(), user_id uuid not null unique references auth.users on delete cascade,
               p text, seen text, candidates text, settled_before text, made text, code text, t text, e text, a text, u text, x text, k text, s text,
               val text, col text, src text, source text, i text, n text, r text, m text, kind text, outcome text, email text, profile text, pair text,
               cell text, matching text, present text, _user_id2 text, who text, target text, key text, written text, person text, evidence text,
               \"select\" text, \"From\" text, level text, users text, rows text, w text, q text, f text, d text, y text, b text);"
                .to_owned()
                + &at_signup(
                    "insert into public.profiles (user_id, p, seen, t, e, a, u, x, col, src, email, profile, pair, code, \"select\", level)
                     values (new.id, new.raw_user_meta_data ->> 'full_name', new.email, new.email, new.phone, new.email, new.raw_user_meta_data ->> 'name', 'x', new.email,
                       new.email, new.email, new.email, new.email, new.email, new.email, new.email);",
                ),
        ),
        (
            "other columns that refer to users, generated ones, domains",
            "create domain public.short as varchar(40);
             create table public.profiles (id uuid primary key references auth.users on delete cascade, created_by uuid references auth.users,
               email public.short, search text generated always as (lower(email)) stored, joined timestamptz not null default now());"
                .to_owned()
                + &at_signup("insert into public.profiles (id, created_by, email) values (new.id, new.id, new.email);"),
        ),
    ]
}

/// People of every kind, with metadata and without.
async fn everybody_signs_up(project: &Project) -> Result<()> {
    let mut auth = project.auth().await?;
    let mut number = 0;
    for _ in 0..2 {
        for kind in SignupKind::ALL {
            number += 1;
            let mut person = Person::numbered(number);
            if number % 3 > 0 {
                for key in [
                    "full_name",
                    "name",
                    "username",
                    "first_name",
                    "last_name",
                    "avatar_url",
                ] {
                    person = person.with_metadata(key, json!(format!("{}{number}", &key[..2])));
                }
                person = person
                    .with_metadata("role", json!("admin"))
                    .with_metadata("user_type", json!("admin"));
            }
            auth.sign_up(kind, &person).await?;
        }
    }
    Ok(())
}

/// Who has a row and must not, or must and has none; and rows of which the definition would make others.
const CONTRADICTIONS: &str = "
    select format('%s %s %s', (select u.email from auth.users u where u.id = coalesce(e._user_id, a._user_id)), e.profile, a.profile)
    from rollcall.expected_profile() e
    full join rollcall.actual_profile() a on a._user_id = e._user_id
    where a.profile is null or e.profile is null or not a.profile @> e.profile";

#[tokio::test]
async fn a_draft_from_tried_signups_says_what_signups_do() -> Result<()> {
    for (shape, application) in applications() {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(&application).await.context(shape)?;
        let (counters, rows) = (sequences(&client).await?, contents(&client).await?);
        project.migrate().await?;
        assert_eq!(
            difference(&counters, &sequences(&client).await?),
            [""; 0],
            "{shape}"
        );
        let kept: Vec<String> = difference(&rows, &contents(&client).await?);
        ensure!(
            kept.iter().all(|line| line.contains("rollcall.")),
            "{shape}: {kept:?}"
        );
        everybody_signs_up(&project).await.context(shape)?;
        let query: String = value(&client, "select query from rollcall.settings").await?;
        assert_eq!(
            values::<String>(&client, CONTRADICTIONS).await?,
            [""; 0],
            "{shape}: {query}"
        );
        // and a repair gives the same rows again
        let columns = "select to_jsonb(t.*) - 'id' - 'joined' from only %s t order by 1";
        let table = target(&client).await?.context("a definition")?;
        let before: Vec<Value> = values(&client, &columns.replace("%s", &table)).await?;
        client
            .batch_execute(&format!("delete from {table}"))
            .await?;
        client
            .batch_execute("select public.backfill_all_missing_profiles(1000, false)")
            .await?;
        let after: Vec<Value> = values(&client, &columns.replace("%s", &table)).await?;
        assert_eq!(after, before, "{shape}: {query}");
    }
    Ok(())
}

/// Every trigger function of the application does nothing from now on.
const FORGET: &str = "
    do $$
    declare f regprocedure;
    begin
      for f in select p.oid from pg_proc p where p.pronamespace = 'public'::regnamespace and p.prorettype = 'trigger'::regtype loop
        execute format('create or replace function %s returns trigger language plpgsql as ''begin return new; end''', f);
      end loop;
    end $$";

#[tokio::test]
async fn a_draft_from_rows_alone_says_what_signups_did() -> Result<()> {
    for (shape, application) in applications() {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(&application).await.context(shape)?;
        for _ in 0..6 {
            // enough of each kind to tell chance from rule
            everybody_signs_up_again(&project).await.context(shape)?;
        }
        // what the application does now is not what it did
        client.batch_execute(FORGET).await.context(shape)?;
        project.migrate().await?;
        let table: String = value(
            &client,
            "select table_name from rollcall.candidate_tables() limit 1",
        )
        .await?;
        client
            .batch_execute(&format!(
                "select rollcall.define('{table}', rollcall.draft_definition('{table}'))"
            ))
            .await
            .with_context(|| shape.to_owned())?;
        let query: String = value(&client, "select query from rollcall.settings").await?;
        assert_eq!(
            values::<String>(&client, CONTRADICTIONS).await?,
            [""; 0],
            "{shape}: {query}"
        );
    }
    Ok(())
}

async fn everybody_signs_up_again(project: &Project) -> Result<()> {
    let count: i64 = value(&project.connect().await?, "select count(*) from auth.users").await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (u32::try_from(count)? + 1..).zip(SignupKind::ALL) {
        let mut person = Person::numbered(number);
        for key in ["full_name", "name", "username", "first_name", "last_name"] {
            person = person.with_metadata(key, json!(format!("{}{number}", &key[..2])));
        }
        auth.sign_up(kind, &person).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_draft_says_what_it_was_concluded_from() -> Result<()> {
    let (project, client) = installed_onto(
        &("create table public.tenants (id uuid primary key default gen_random_uuid());
           create table public.profiles (id uuid primary key references auth.users on delete cascade, tenant_id uuid not null references public.tenants,
             email text, full_name text);"
            .to_owned()
            + &at_signup(
                "with tenant as (insert into public.tenants default values returning id)
                 insert into public.profiles select new.id, t.id, new.email, new.raw_user_meta_data ->> 'full_name' from tenant t;",
            )),
    )
    .await?;
    for number in 1..=5 {
        sign_up(
            &project,
            number,
            json!({"full_name": format!("Ann {number}")}),
        )
        .await?;
    }
    client
        .batch_execute(
            "update public.profiles set full_name = 'Bea' where email = 'person1@example.com'",
        )
        .await?;
    project.upgrade().await?;
    let draft: String = value(&client, "select query from rollcall.settings").await?;
    insta::assert_snapshot!(draft);
    assert_eq!(
        values::<String>(&client, "select c::text from rollcall.unfilled_columns() c").await?,
        ["tenant_id"]
    );
    Ok(())
}

#[tokio::test]
async fn nothing_that_a_user_writes_chooses_a_privilege() -> Result<()> {
    let types = "create type public.app_role as enum ('user', 'admin'); create table public.kinds (kind text primary key); insert into public.kinds values ('free'), ('pro');";
    for (column, given) in [
        ("role text not null default 'user'", "user"),
        ("role public.app_role not null default 'user'", "user"),
        ("\"accountType\" text default 'free'", "free"),
        (
            "account_type text not null default 'free' check (account_type in ('free', 'pro'))",
            "free",
        ),
        ("plan text default 'free' references public.kinds", "free"),
        ("user_type varchar(8) default 'free'", "free"),
        ("subscription_tier text", ""),
        ("is_admin boolean not null default false", "false"),
        ("colour public.app_role default 'user'", "user"),
    ] {
        let name = column
            .split(' ')
            .next()
            .context("a name")?
            .trim_matches('"');
        // also where the application's own signup lets them
        for signup in [
            String::new(),
            at_signup(&format!(
                "insert into public.profiles (id, \"{name}\") select new.id, x.\"{name}\"
                 from jsonb_populate_record(null::public.profiles, jsonb_build_object('{name}', coalesce(new.raw_user_meta_data ->> '{name}', '{given}'))) x;"
            )),
        ] {
            let project = Project::without_rollcall().await?;
            let client = project.connect().await?;
            client
                .batch_execute(&format!(
                    "{types} create table public.profiles (id uuid primary key references auth.users, {column}); {signup}"
                ))
                .await
                .context(column)?;
            for number in 1..=6 {
                let wish = ["true", "admin", "pro"]
                    .iter()
                    .find(|wish| match **wish {
                        "true" => column.contains("boolean"),
                        "admin" => column.contains("app_role") || column.starts_with("role"),
                        _ => true,
                    })
                    .context("a wish")?;
                sign_up(&project, number, json!({ name: wish })).await?;
            }
            project.migrate().await?;
            client.batch_execute("delete from public.profiles; select public.backfill_all_missing_profiles(100, false)").await?;
            let values: Vec<String> = values(
                &client,
                &format!("select distinct coalesce(\"{name}\"::text, '') from public.profiles"),
            )
            .await?;
            assert_eq!(values, [given], "{column}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_first_user_who_becomes_an_administrator_makes_no_rule() -> Result<()> {
    let (_, client) = installed_onto(
        &("create table public.profiles (id uuid primary key references auth.users, role text not null);".to_owned()
            + &at_signup(
                "insert into public.profiles values (new.id, case when exists (select from public.profiles) then 'user' else 'admin' end);",
            )),
    )
    .await?;
    assert_eq!(
        values::<String>(&client, "select c::text from rollcall.unfilled_columns() c").await?,
        ["role"]
    );
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_or_too_short_costs_nobody_their_profile() -> Result<()> {
    for application in [
        // Supabase's own template
        "create table public.profiles (
           id uuid references auth.users on delete cascade not null primary key, updated_at timestamp with time zone,
           username text unique, full_name text, avatar_url text, website text,
           constraint username_length check (char_length(username) >= 3))",
        "create table public.profiles (id uuid primary key references auth.users, username varchar(20) not null unique, full_name text not null)",
    ] {
        let (project, client) = installed_onto(application).await?;
        for (number, name) in (1..).zip(["john", "john", "jo", ""]) {
            let metadata = json!({"username": name, "user_name": name, "preferred_username": name, "full_name": "John"});
            sign_up(&project, number, metadata).await?;
        }
        client
            .batch_execute("select public.backfill_all_missing_profiles(100, false)")
            .await?;
        assert_eq!(
            values::<String>(&client, "select full_name from public.profiles").await?,
            ["John"; 4]
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
        let (project, client) = installed_onto(&format!(
            "{before} create table public.profiles (id uuid primary key references auth.users, {column})"
        ))
        .await?;
        sign_up(&project, 1, json!({"account_type": "pro"})).await?;
        assert_eq!(
            values::<String>(&client, "select c::text from rollcall.unfilled_columns() c").await?,
            [name],
            "{column}"
        );
        let draft: String = value(&client, "select query from rollcall.settings").await?;
        ensure!(draft.contains("NOT FILLED"), "{draft}");
        let result: Value = value(
            &client,
            "select public.backfill_all_missing_profiles(100, false)",
        )
        .await?;
        assert_eq!(result["failed"], 1, "{column}: {result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_column_of_any_type_is_filled_or_left_to_its_default() -> Result<()> {
    for column in [
        "created_at time",
        "created_at time not null",
        "created_at timetz not null default now()",
        "created_at date not null",
        "created_at timestamp not null default now()",
        "created_at text default 'yesterday'",
        "created_at bigint default 1700000000",
        "created_at interval",
        "email varchar(300) not null",
        "phone text not null",
        "username bit(4) not null default b'1010'",
        "last_name char(20)",
        "avatar_url varchar(5)",
        "name text[] default '{}'",
        "email jsonb",
    ] {
        let (project, client) = installed_onto(&format!(
            "create table public.profiles (id uuid primary key references auth.users, {column})"
        ))
        .await?;
        let metadata = json!({"last_name": "Mwanza", "avatar_url": "https://example.com/picture", "name": "Ann"});
        sign_up(&project, 1, metadata).await?;
        let result: Value = value(
            &client,
            "select public.backfill_all_missing_profiles(100, false)",
        )
        .await?;
        assert_eq!(result["successful"], 1, "{column}: {result}");
    }
    Ok(())
}

#[tokio::test]
async fn a_value_that_must_be_unique_is_taken_from_nobody() -> Result<()> {
    let (project, client) = installed_onto(
        "create table public.profiles (id uuid primary key references auth.users, phone text not null unique)",
    )
    .await?;
    sign_up(&project, 1, json!({})).await?;
    sign_up(&project, 2, json!({})).await?;
    let mut auth = project.auth().await?;
    auth.sign_up(SignupKind::PhoneAutoconfirm, &Person::numbered(3))
        .await?;
    let result: Value = value(
        &client,
        "select public.backfill_all_missing_profiles(100, false)",
    )
    .await?;
    assert_eq!(
        (&result["successful"], &result["failed"]),
        (&json!(1), &json!(2)),
        "{result}"
    );
    Ok(())
}

#[tokio::test]
async fn an_older_supabase_auth_and_a_locked_table_do_with_what_there_is() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(include_str!("../../src/project/application.sql"))
        .await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("alter table auth.users drop column is_anonymous")
        .await?;
    project.migrate().await?;
    let draft: String = value(&client, "select query from rollcall.settings").await?;
    ensure!(
        draft.contains("tried") && !draft.contains("anonymous"),
        "{draft}"
    );

    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(include_str!("../../src/project/application.sql"))
        .await?;
    let holder = project.connect().await?;
    holder
        .batch_execute("begin; lock table public.profiles in share mode")
        .await?;
    project.migrate().await?;
    let draft: String = value(&client, "select query from rollcall.settings").await?;
    ensure!(!draft.contains("tried"), "{draft}");
    Ok(())
}

// What can be defined -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_key_of_any_kind_can_be_named() -> Result<()> {
    for (table, column, source) in [
        (
            "public.people (id uuid primary key default gen_random_uuid(), email text)",
            "id",
            "u.id",
        ),
        (
            "public.people (no bigint generated always as identity primary key, auth_id uuid unique not null, email text)",
            "auth_id",
            "u.id",
        ),
        (
            "public.people (id text primary key, email text)",
            "id",
            "u.id::text",
        ),
        (
            "public.people (id varchar(40) unique, email text)",
            "id",
            "upper(u.id::text)",
        ),
        (
            "public.\"Nutzer.innen\" (\"wer?\" uuid primary key, email text)",
            "\"wer?\"",
            "u.id",
        ),
        (
            "public.people (\"select\" uuid primary key, email text)",
            "\"select\"",
            "u.id",
        ),
        (
            "public.people (t uuid primary key, e text, a text, u text, email text)",
            "t",
            "u.id",
        ),
        (
            &format!(
                "public.people ({} uuid primary key, email text)",
                "k".repeat(63)
            ),
            &"k".repeat(63),
            "u.id",
        ),
        (
            "public.people (id public.key_domain primary key, email text)",
            "id",
            "u.id",
        ),
        (
            "public.people (id uuid, email text, part int default 1, constraint p primary key (id)) partition by hash (id)",
            "id",
            "u.id",
        ),
    ] {
        let (project, client) = installed_onto("create domain public.key_domain as uuid").await?;
        let name = table.split(" (").next().context("a name")?;
        client
            .batch_execute(&format!("create table {table}"))
            .await?;
        if table.ends_with("(id)") {
            client
                .batch_execute("create table public.part partition of public.people for values with (modulus 1, remainder 0)")
                .await?;
        }
        let query = format!(
            "select u.id as _user_id, u.created_at as _signed_up_at, {source} as {column}, u.email::text as email from auth.users u"
        );
        client
            .execute(
                "select rollcall.define($1::text::regclass, $2)",
                &[&name, &query],
            )
            .await
            .context(table.to_owned())?;
        sign_up(&project, 1, json!({})).await?;
        let result: Value = value(
            &client,
            "select public.backfill_all_missing_profiles(100, false)",
        )
        .await?;
        assert_eq!(result["successful"], 1, "{table}: {result}");
        let report = HealthReport::take(&mut project.rollcall().await?).await?;
        assert_eq!(report.verdict, Verdict::Consistent, "{table}: {report:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_table_without_a_key_is_refused_with_the_true_reason() -> Result<()> {
    for table in [
        "table public.people (tenant_id uuid, user_id uuid references auth.users, primary key (tenant_id, user_id))",
        "table public.people (user_id uuid references auth.users, email text)",
        "table public.people (user_id uuid unique deferrable references auth.users)",
        "table public.people (user_id uuid references auth.users); create unique index on public.people (user_id) where user_id is not null",
        "table public.people (user_id bigint primary key)",
        "view public.people as select id as user_id from auth.users",
    ] {
        let (_, client) = installed_onto(&format!("create {table}")).await?;
        let before: String = value(&client, "select s::text from rollcall.settings s").await?;
        for attempt in [
            "select rollcall.draft_definition('public.people')",
            "select rollcall.define('public.people', 'select u.id as _user_id, u.created_at as _signed_up_at, u.id as user_id from auth.users u')",
        ] {
            let code = refusal(&client, attempt).await;
            ensure!(
                ["42P16", "42809", "42804"].contains(&code.as_deref().unwrap_or_default()),
                "{table}: {code:?}"
            );
        }
        let after: String = value(&client, "select s::text from rollcall.settings s").await?;
        assert_eq!(after, before);
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_changes_afterwards_no_longer_fits_and_the_reason_is_said() -> Result<()> {
    for (change, reason) in [
        (
            "alter table public.profiles rename column email to mail",
            "does not have: email",
        ),
        (
            "alter table public.profiles drop column full_name",
            "does not have: full_name",
        ),
        (
            "alter table public.profiles drop constraint profiles_pkey",
            "no unique index",
        ),
        (
            "revoke insert on public.profiles from postgres, anon, authenticated, service_role",
            "may not write",
        ),
        (
            "alter table public.profiles rename to people",
            "does not exist",
        ),
        (
            "create schema app; alter table public.profiles set schema app",
            "does not exist",
        ),
        ("drop table public.profiles", "does not exist"),
    ] {
        let project = Project::watched().await?;
        project
            .connect_as_superuser()
            .await?
            .batch_execute(&format!(
                "alter table public.profiles owner to supabase_admin; grant all on public.profiles to postgres; {change}"
            ))
            .await
            .context(change)?;
        let fault = project
            .connect()
            .await?
            .query_one("select rollcall.definition_fault()", &[])
            .await;
        let reported = match fault {
            Ok(row) => row.get::<_, Option<String>>(0).unwrap_or_default(),
            Err(error) => format!("{:?}", error.as_db_error()),
        };
        ensure!(reported.contains(reason), "{change}: {reported}");
    }
    Ok(())
}

// Rollcall's own table ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_table_is_made_on_request_only_and_users_reach_their_own_row() -> Result<()> {
    let (project, client) = installed_onto("").await?;
    client
        .batch_execute("select rollcall.create_profile_table()")
        .await?;
    assert_eq!(
        refusal(&client, "select rollcall.create_profile_table()")
            .await
            .as_deref(),
        Some("42P07")
    );
    let asks_for = |wish: &str| json!({ "account_type": wish });
    let ann = sign_up(&project, 1, asks_for("Donor")).await?;
    let bea = sign_up(&project, 2, asks_for("ADMIN")).await?;
    client
        .batch_execute("select public.backfill_all_missing_profiles(100, false)")
        .await?;
    assert_eq!(
        values::<String>(
            &client,
            "select account_type from public.profiles order by email"
        )
        .await?,
        ["donor", "sme"]
    );
    let user = acting_as(&project.database, "authenticated", Some(ann)).await?;
    assert_eq!(
        values::<Uuid>(&user, "select id from public.profiles").await?,
        [ann]
    );
    user.batch_execute("update public.profiles set email = 'new@example.com'")
        .await?;
    for attempt in [
        "update public.profiles set account_type = 'partner'".to_owned(),
        format!("insert into public.profiles (id, account_type) values ('{bea}', 'partner')"),
        "delete from public.profiles".to_owned(),
    ] {
        assert_eq!(
            refusal(&user, &attempt).await.as_deref(),
            Some("42501"),
            "{attempt}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_definition_is_one_statement_and_works_once_it_is_in_force() -> Result<()> {
    let (_project, client) = installed_onto(
        "create table public.profiles (id uuid primary key references auth.users, email text)",
    )
    .await?;
    let query = "select u.id as _user_id, u.created_at as _signed_up_at, u.id from auth.users u";
    for wrong in [
        format!("{query}; create table public.second (a integer)"),
        format!("{query}; -- everybody"),
    ] {
        let refused = refusal(
            &client,
            &format!("select rollcall.define('public.profiles', $q${wrong}$q$)"),
        )
        .await;
        assert_eq!(refused.as_deref(), Some("42P16"), "{wrong}");
    }
    client
        .batch_execute(&format!(
            "select rollcall.define('public.profiles', $q${query};\n$q$)"
        ))
        .await?;
    assert_eq!(
        value::<Option<String>>(&client, "select rollcall.definition_fault()").await?,
        None
    );
    Ok(())
}

#[tokio::test]
async fn a_table_in_which_nobody_is_does_not_stand_before_the_one_that_signups_fill() -> Result<()>
{
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(
            &("create table public.profiles (id uuid primary key references auth.users on delete cascade, email text, plan text);
               create table public.members (user_id uuid primary key references auth.users on delete cascade, email text);"
                .to_owned()
                + &at_signup("insert into public.members (user_id, email) values (new.id, new.email);")),
        )
        .await?;
    for number in 1..4 {
        sign_up(&project, number, json!({})).await?;
    }
    project.migrate().await?;
    assert_eq!(target(&client).await?.as_deref(), Some("public.members"));
    Ok(())
}

#[tokio::test]
async fn an_id_in_a_column_of_text_can_be_drafted() -> Result<()> {
    let (project, client) = installed_onto(
        &("create table public.profiles (id uuid primary key references auth.users on delete cascade, handle text not null unique, contact text);"
            .to_owned()
            + &at_signup("insert into public.profiles values (new.id, new.id::text, coalesce(new.email, new.id::text));")),
    )
    .await?;
    let id = sign_up(&project, 1, json!({})).await?;
    client.batch_execute("delete from public.profiles").await?;
    client
        .batch_execute(&format!("select public.backfill_user_profile('{id}')"))
        .await?;
    let handle: String = value(&client, "select handle from public.profiles").await?;
    assert_eq!(handle, id.to_string());
    Ok(())
}

#[tokio::test]
async fn a_column_that_is_dropped_blinds_no_comparison() -> Result<()> {
    let (project, client) = installed_onto(
        &("create table public.profiles (id uuid primary key references auth.users on delete cascade, email text);".to_owned()
            + &at_signup("insert into public.profiles (id, email) values (new.id, new.email);")),
    )
    .await?;
    sign_up(&project, 1, json!({})).await?;
    client
        .batch_execute("alter table public.profiles drop column email")
        .await?;
    let report = HealthReport::take(&mut project.rollcall().await?).await?;
    assert_eq!(report.users.map(|users| users.missing), Some(0));
    let fault: Option<String> = value(&client, "select rollcall.definition_fault()").await?;
    ensure!(fault.is_some_and(|fault| fault.contains("email")));
    Ok(())
}

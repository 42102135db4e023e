//! The probe: a signup of every kind that is tried and taken back.

use anyhow::{Context, Result, ensure};
use rollcall::checks::probe::{ProbeOutcome, ProbeReport};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::lambda::Lambda;
use rollcall_tests::pooler::Pooler;
use rollcall_tests::project::{self, Project};
use rollcall_tests::sql::{catalog, contents, difference, value, values};
use serde_json::json;

const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text
    );";

const INSERT: &str = "insert into public.profiles (id, email) values (new.id, new.email);";
const DEFINER: &str = "security definer set search_path = ''";

/// The application's signup trigger and its function.
fn function(options: &str, body: &str) -> String {
    format!(
        "create or replace function public.handle_new_user() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$;
         create or replace trigger on_auth_user_created after insert on auth.users
           for each row execute function public.handle_new_user();"
    )
}

/// One that works.
fn healthy() -> String {
    function(DEFINER, INSERT)
}

async fn project_with(before: &str, after: &str) -> Result<Project> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(before).await?;
    project.migrate().await?;
    client.batch_execute(after).await?;
    Ok(project)
}

async fn probe(project: &Project) -> Result<ProbeReport> {
    Ok(ProbeReport::take(&mut project.rollcall().await?).await?)
}

/// The outcome, and the SQLSTATE with the columns where there are some, of every kind.
fn outcomes(report: &ProbeReport) -> Vec<(String, ProbeOutcome, String)> {
    let signups = report.signups.iter().flatten();
    signups
        .map(|signup| {
            let mut reason: Vec<String> = signup
                .sqlstate
                .iter()
                .chain(&signup.column)
                .cloned()
                .collect();
            reason.extend(signup.wrong_columns.clone());
            (signup.kind.clone(), signup.outcome, reason.join(" "))
        })
        .collect()
}

fn ids(report: &ProbeReport) -> Vec<&str> {
    report.findings.iter().map(|finding| finding.id).collect()
}

/// All kinds but these have one outcome, and these another.
fn assert_outcomes(
    report: &ProbeReport,
    most: (ProbeOutcome, &str),
    others: &[&str],
    other: (ProbeOutcome, &str),
) {
    let outcomes = outcomes(report);
    assert!(!outcomes.is_empty(), "nothing was tried: {report:#?}");
    for (kind, outcome, reason) in outcomes {
        let wanted = if others.contains(&kind.as_str()) {
            other
        } else {
            most
        };
        assert_eq!((outcome, reason.as_str()), wanted, "{kind}: {report:#?}");
    }
}

const RIGHT: (ProbeOutcome, &str) = (ProbeOutcome::RightProfile, "");
const WITHOUT_EMAIL: [&str; 3] = ["phone", "anonymous", "web3"];

async fn sequences(project: &Project) -> Result<Vec<String>> {
    values(
        &project.connect_as_superuser().await?,
        "select schemaname || '.' || sequencename || ' ' || coalesce(last_value, 0) from pg_sequences order by 1",
    )
    .await
}

#[tokio::test]
async fn every_kind_gets_its_profile_and_nothing_stays_behind() -> Result<()> {
    let project = Project::migrated().await?;
    let mut auth = project.auth().await?;
    for (number, kind) in (1..).zip(SignupKind::ALL) {
        auth.sign_up(kind, &Person::numbered(number)).await?;
    }
    project.add_users_without_profile(2).await?;
    let admin = project.connect_as_superuser().await?;
    let (objects, rows, counters) = (
        catalog(&admin).await?,
        contents(&admin).await?,
        sequences(&project).await?,
    );
    let report = probe(&project).await?;
    assert_eq!(report.verdict, Verdict::Consistent, "{report:#?}");
    let kinds: Vec<String> = outcomes(&report)
        .into_iter()
        .map(|(kind, ..)| kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "email",
            "phone",
            "oauth",
            "sso",
            "anonymous",
            "web3",
            "admin_created",
            "odd_metadata"
        ]
    );
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    assert_eq!(difference(&objects, &catalog(&admin).await?), [""; 0]);
    assert_eq!(difference(&rows, &contents(&admin).await?), [""; 0]);
    let moved = difference(&counters, &sequences(&project).await?);
    ensure!(
        moved.iter().all(|line| line.contains("rollcall.")),
        "{moved:?}"
    );
    Ok(())
}

#[tokio::test]
async fn numbers_of_the_application_are_not_used_up_and_the_tables_it_writes_are_named()
-> Result<()> {
    let project = project_with(
        &format!(
            "{PROFILES}
             create table public.wallets (id bigserial primary key, user_id uuid);
             create table public.tickets (id bigint generated always as identity primary key, user_id uuid, number bigint);
             create sequence public.ticket_number start 100;
             create function public.write_ticket() returns trigger language plpgsql security definer set search_path = '' as $$
             begin
               insert into public.tickets (user_id, number) values (new.user_id, nextval('public.ticket_number'));
               return new;
             end $$;
             create trigger write_ticket after insert on public.wallets for each row execute function public.write_ticket();
             {}",
            function(
                DEFINER,
                &format!("{INSERT} insert into public.wallets (user_id) values (new.id);")
            )
        ),
        "",
    )
    .await?;
    // one is used, one was set by hand, one never was
    let client = project.connect().await?;
    client
        .batch_execute(
            "insert into public.wallets (user_id) values (null), (null);
             select setval('public.ticket_number', 7000, false)",
        )
        .await?;
    let counters = sequences(&project).await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    for signup in report.signups.iter().flatten() {
        assert_eq!(
            signup.tables_written,
            ["public.profiles", "public.tickets", "public.wallets"]
        );
    }
    assert_eq!(difference(&counters, &sequences(&project).await?), [""; 0]);
    let next: i64 = value(&client, "select nextval('public.ticket_number')").await?;
    assert_eq!(next, 7000);
    Ok(())
}

#[tokio::test]
async fn nothing_stays_behind_either_where_signups_fail() -> Result<()> {
    for (after, what) in [
        (
            function(
                "security definer",
                "insert into profiles (id) values (new.id);",
            ),
            "blocked",
        ),
        (
            function(
                DEFINER,
                "begin insert into public.profiles (id, emial) values (new.id, new.email); exception when others then null; end;",
            ),
            "no profile",
        ),
    ] {
        let project = project_with(PROFILES, &after).await?;
        let admin = project.connect_as_superuser().await?;
        let (objects, rows) = (catalog(&admin).await?, contents(&admin).await?);
        let report = probe(&project).await?;
        assert_eq!(report.verdict, Verdict::Inconsistent, "{what}");
        assert_eq!(
            difference(&objects, &catalog(&admin).await?),
            [""; 0],
            "{what}"
        );
        assert_eq!(
            difference(&rows, &contents(&admin).await?),
            [""; 0],
            "{what}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_who_commits_keeps_nothing_of_it() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    let rows = contents(&client).await?;
    client
        .batch_execute("begin; select rollcall.probe_signup(); commit")
        .await?;
    assert_eq!(difference(&rows, &contents(&client).await?), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn the_search_path_is_that_of_supabase_auth() -> Result<()> {
    let project = project_with(
        PROFILES,
        &function(
            "security definer",
            "insert into profiles (id, email) values (new.id, new.email);",
        ),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Blocked, "42P01"), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (
            Verdict::Inconsistent,
            vec!["signups_blocked", "unused_kinds_fail"]
        )
    );
    Ok(())
}

#[tokio::test]
async fn only_the_kinds_that_fail_are_named_and_they_matter_where_somebody_is_of_them() -> Result<()>
{
    let project = project_with(&(PROFILES.to_owned() + &healthy()), "").await?;
    project
        .auth()
        .await?
        .sign_up(SignupKind::PhoneAutoconfirm, &Person::numbered(1))
        .await?;
    let client = project.connect().await?;
    client
        .batch_execute("delete from public.profiles; alter table public.profiles alter column email set not null")
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &WITHOUT_EMAIL,
        (ProbeOutcome::Blocked, "23502 email"),
    );
    let phone = "phone (SQLSTATE 23502, column email, in public.handle_new_user())";
    ensure!(
        report.findings[0].summary.ends_with(&format!(": {phone}")),
        "{report:#?}"
    );
    assert_eq!(
        (report.verdict, ids(&report)),
        (
            Verdict::Inconsistent,
            vec!["signups_blocked", "unused_kinds_fail"]
        )
    );

    // a project that lets nobody in without an address is a healthy one
    client.batch_execute("delete from auth.users").await?;
    let report = probe(&project).await?;
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Consistent, vec!["unused_kinds_fail"])
    );

    // Rollcall's own trigger lets them in, and says why they have no profile
    let project = Project::migrated().await?;
    project
        .connect()
        .await?
        .batch_execute("alter table public.profiles alter column email set not null")
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &WITHOUT_EMAIL,
        (ProbeOutcome::NoProfile, "23502 email"),
    );
    Ok(())
}

#[tokio::test]
async fn odd_metadata_finds_the_cast_that_it_breaks() -> Result<()> {
    let project = project_with(
        PROFILES,
        &function(
            DEFINER,
            &format!("perform (new.raw_user_meta_data->>'birthday')::date; {INSERT}"),
        ),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &["odd_metadata"],
        (ProbeOutcome::Blocked, "22007"),
    );
    assert_eq!(ids(&report), ["unused_kinds_fail"]);
    Ok(())
}

#[tokio::test]
async fn a_gate_is_asked_with_an_address_that_it_lets_in() -> Result<()> {
    let gate =
        "if new.email not like '%@corp.test' then raise exception 'only for colleagues'; end if;";
    let project = project_with(PROFILES, &function(DEFINER, &format!("{gate} {INSERT}"))).await?;
    // nobody is there yet whose address could be a pattern
    let report = probe(&project).await?;
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Consistent, vec!["probe_refused_by_rule"]),
        "{report:#?}"
    );
    project
        .auth()
        .await?
        .sign_up(
            SignupKind::EmailAutoconfirm,
            &Person::with_email("ann@corp.test"),
        )
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Consistent, vec![])
    );

    // and one that discards the row
    let project = project_with(
        &(PROFILES.to_owned() + &healthy()),
        "create function public.gate() returns trigger language plpgsql as $$
         begin if new.email like '%@example.invalid' then return null; end if; return new; end $$;
         create trigger gate before insert on auth.users for each row execute function public.gate()",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        (ProbeOutcome::RefusedByRule, "RC002"),
        &WITHOUT_EMAIL,
        RIGHT,
    );
    assert_eq!(report.verdict, Verdict::Consistent);
    // one that discards everybody is none
    project
        .connect()
        .await?
        .batch_execute(
            "create or replace function public.gate() returns trigger language plpgsql as 'begin return null; end'",
        )
        .await?;
    let report = probe(&project).await?;
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Inconsistent, vec!["signups_blocked"])
    );
    Ok(())
}

#[tokio::test]
async fn a_failure_that_is_worded_anew_is_no_rule() -> Result<()> {
    let project = project_with(
        PROFILES,
        &function(
            DEFINER,
            "begin
               insert into public.profiles (id, emial) values (new.id, new.email);
             exception
               when others then
                 raise exception 'could not make the profile: %', sqlerrm;
             end;",
        ),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Blocked, "P0001"), &[], RIGHT);
    assert_eq!(report.verdict, Verdict::Inconsistent);
    Ok(())
}

#[tokio::test]
async fn the_function_that_failed_is_named_wherever_it_stands() -> Result<()> {
    let project = project_with(
        &format!(
            "{PROFILES} create function public.check_profile() returns trigger language plpgsql security definer as $$
             begin perform nobody.is_there(); return new; end $$;
             create trigger check_profile before insert on public.profiles for each row execute function public.check_profile();"
        ),
        &healthy(),
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Blocked, "3F000"), &[], RIGHT);
    for signup in report.signups.iter().flatten() {
        assert_eq!(
            signup.failed_functions,
            ["public.check_profile", "public.handle_new_user"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_is_off_is_no_profile_for_anybody() -> Result<()> {
    let project = Project::migrated().await?;
    project.break_signups().await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::NoProfile, ""), &[], RIGHT);
    assert_eq!(report.verdict, Verdict::Inconsistent);
    Ok(())
}

#[tokio::test]
async fn a_profile_that_differs_from_the_definition_is_a_wrong_one() -> Result<()> {
    let project = project_with(
        &(PROFILES.to_owned() + &healthy()),
        "select rollcall.define(s.target_table, s.query) from rollcall.settings s;
         create function public.mask() returns trigger language plpgsql as $$ begin new.email := 'hidden'; return new; end $$;
         create trigger mask before insert on public.profiles for each row execute function public.mask()",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::WrongProfile, "email"), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (
            Verdict::Inconsistent,
            vec!["signups_with_wrong_profile", "unused_kinds_fail"]
        )
    );

    // a name that is another one at every look is as right as any, and an address may differ in case
    let project = project_with(
        &(PROFILES.replace("email text", "email text, nickname text, score numeric(10, 2) default 1") + &healthy()),
        "select rollcall.define('public.profiles',
           'select u.id as _user_id, u.created_at as _signed_up_at, u.id, upper(u.email::text) as email,
              gen_random_uuid()::text as nickname, 1 as score
            from auth.users u where u.deleted_at is null');
         create function public.lower_address() returns trigger language plpgsql as $$ begin new.email := lower(new.email); return new; end $$;
         create trigger lower_address before insert on public.profiles for each row execute function public.lower_address()",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    Ok(())
}

#[tokio::test]
async fn a_kind_that_needs_no_profile_is_no_fault() -> Result<()> {
    let project = project_with(
        &(PROFILES.to_owned() + &healthy()),
        "select rollcall.define('public.profiles',
           'select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email
            from auth.users u where u.deleted_at is null and not u.is_anonymous')",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(
        &report,
        RIGHT,
        &["anonymous"],
        (ProbeOutcome::NotExpected, ""),
    );
    assert_eq!(report.verdict, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn a_profile_that_comes_later_in_the_signup_is_seen() -> Result<()> {
    for trigger in [
        "create trigger late after insert on auth.identities for each row execute function public.late()",
        "create trigger late after update of email_confirmed_at, phone_confirmed_at on auth.users for each row execute function public.late()",
        "create constraint trigger late after insert on auth.users deferrable initially deferred for each row execute function public.late()",
    ] {
        let id = if trigger.contains("identities") {
            "user_id"
        } else {
            "id"
        };
        let project = project_with(
            &format!(
                "{PROFILES} create function public.late() returns trigger language plpgsql security definer set search_path = '' as $$
                 begin insert into public.profiles (id, email) select u.id, u.email from auth.users u where u.id = new.{id} on conflict do nothing; return new; end $$;
                 {trigger}"
            ),
            "",
        )
        .await?;
        let report = probe(&project).await?;
        let others: &[&str] = if trigger.contains("constraint") {
            &[]
        } else {
            &["anonymous"]
        };
        let others = if trigger.contains("confirmed") {
            &["anonymous", "web3"][..]
        } else {
            others
        };
        // the signups that were tried at the install have shown who gets one
        assert_outcomes(&report, RIGHT, others, (ProbeOutcome::NotExpected, ""));
        assert_eq!(report.verdict, Verdict::Consistent, "{trigger}");
    }
    Ok(())
}

#[tokio::test]
async fn rights_that_the_probe_cannot_miss_are_the_doctors_and_make_it_inconsistent() -> Result<()>
{
    let project = project_with(
        PROFILES,
        &function(
            "set search_path = ''",
            "insert into public.profiles (id, email) values (new.id, new.email);",
        ),
    )
    .await?;
    let report = probe(&project).await?;
    // it runs as postgres, for whom the function works
    assert_outcomes(&report, RIGHT, &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (
            Verdict::Inconsistent,
            vec!["signup_function_runs_as_caller"]
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_lock_is_not_known_and_holds_nobody_up() -> Result<()> {
    let project = Project::migrated().await?;
    let holder = project.connect().await?;
    holder
        .batch_execute("begin; lock table public.profiles in share mode")
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Unknown, "55P03"), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Unknown, vec!["probe_without_answer"])
    );
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_taken_back_is_not_begun() -> Result<()> {
    let project = project_with(
        &format!(
            "{PROFILES} create table public.calls (at timestamptz);
             create function public.http_post(text) returns void language sql as 'insert into public.calls values (now())';
             create function public.tell() returns void language sql as $$ select public.http_post('https://example.com') $$;"
        ),
        "create function public.greet() returns trigger language plpgsql security definer as $$ begin perform public.tell(); return new; end $$;
         create trigger a_greeting after insert on auth.users for each row execute function public.greet()",
    )
    .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Refused, ""), &[], RIGHT);
    assert_eq!(
        (report.verdict, ids(&report)),
        (Verdict::Unknown, vec!["probe_refused"])
    );
    assert_eq!(report.findings[0].evidence, ["http_post"]);
    Ok(())
}

#[tokio::test]
async fn only_what_a_signup_runs_and_no_rollback_takes_back_counts() -> Result<()> {
    let project = project_with(
        &format!("{PROFILES} create schema net; create schema extensions; create table public.orders (id bigint);
          create function net.http_post(text) returns bigint language sql as 'select 1::bigint';
          create function extensions.http_get(text) returns bigint language sql as 'select 1::bigint'; {}", healthy()),
        "",
    )
    .await?;
    let client = project.connect().await?;
    let with = |body: &str| function(DEFINER, &format!("{INSERT} {body}"));
    let tell = "create function public.tell() returns trigger language plpgsql as $$ begin perform extensions.http_get('x'); return new; end $$;";
    for (change, named) in [
        (with("perform net.http_post('https://example.com');"), ""),
        (with("perform http_post('https://example.com');"), ""),
        (with("/* perform extensions.http_get('x'); */"), ""),
        (
            format!("{tell} create trigger tell after insert on public.orders for each row execute function public.tell()"),
            "",
        ),
        (
            format!("{tell} create trigger tell after insert on public.profiles for each row execute function public.tell()"),
            "http_get",
        ),
        (
            format!("{tell} create trigger tell after insert on public.profiles for each row execute function public.tell();
                     alter table public.profiles disable trigger tell"),
            "",
        ),
        (with("perform http_get('x');"), "http_get"),
        (with("perform \"extensions\" . \"http_get\" ('x');"), "http_get"),
        (with("execute 'select extensions.http_get($1)' using 'x';"), "http_get"),
        (with("execute format('select extensions.%I($1)', 'http_get') using 'x';"), "http_get"),
        (with("perform dblink_exec('x', 'y');"), "dblink_exec"),
        (with("copy public.orders to program 'mail';"), "copy … program"),
        (with("perform lo_export(1, '/tmp/x');"), "lo_export"),
        (
            "alter table public.profiles add column called bigint default extensions.http_get('x')".to_owned(),
            "http_get",
        ),
        (
            "alter table public.profiles add check (extensions.http_get(email) > 0) not valid".to_owned(),
            "http_get",
        ),
    ] {
        client.batch_execute(&format!("begin; {change}")).await?;
        let why: Vec<String> = values(&client, "select rollcall.beyond_rollback()").await?;
        client.batch_execute("rollback").await?;
        assert_eq!(why.join(" "), named, "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn an_owner_who_may_not_insert_users_says_so() -> Result<()> {
    let project = Project::migrated().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("revoke insert on auth.users from postgres")
        .await?;
    let report = probe(&project).await?;
    assert_outcomes(&report, (ProbeOutcome::Unknown, "42501"), &[], RIGHT);
    assert_eq!(report.verdict, Verdict::Unknown);
    ensure!(report.findings[0].next_step.contains("auth.users"));
    Ok(())
}

#[tokio::test]
async fn the_monitors_role_probes_through_a_pooler_and_can_write_nothing_else() -> Result<()> {
    let project = Project::migrated().await?;
    let Some(pooler) = Pooler::start(project::server()?).await? else {
        return Ok(());
    };
    project.let_roles_log_in().await?;
    let rows = contents(&project.connect().await?).await?;
    let url = pooler.url_as("rollcall_monitor", &project.database);
    for _ in 0..3 {
        let finished = rollcall(&[("DATABASE_URL", &url)], &["probe", "--format", "json"]).await?;
        assert_eq!(finished.status, Some(0), "{finished}");
        assert_eq!(finished.json()?["signups"][0]["outcome"], "right_profile");
    }
    assert_eq!(
        difference(&rows, &contents(&project.connect().await?).await?),
        [""; 0]
    );
    Ok(())
}

#[tokio::test]
async fn the_command_prints_a_line_for_every_kind() -> Result<()> {
    let project = project_with(
        &(PROFILES.to_owned() + &healthy()),
        "alter table public.profiles alter column email set not null",
    )
    .await?;
    let finished = rollcall(&[("DATABASE_URL", &project.url())], &["probe"]).await?;
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(
        r"Database fresh_\d+ on .*",
        "Database [name] on [host], [time]",
    );
    settings.bind(|| insta::assert_snapshot!(finished.to_string()));
    Ok(())
}

#[tokio::test]
async fn a_role_without_rights_and_a_database_without_the_migrations_are_unknown() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    let finished = rollcall(&[("DATABASE_URL", &project.url())], &["probe"]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    project.migrate().await?;
    let url = project.database.url_as("authenticator");
    let finished = rollcall(&[("DATABASE_URL", &url)], &["probe", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(2), "{finished}");
    assert_eq!(finished.json()?["findings"][0]["id"], "not_permitted");
    Ok(())
}

#[tokio::test]
async fn the_hourly_function_probes_only_where_it_is_told_to() -> Result<()> {
    let project = project_with(
        PROFILES,
        // nothing that its text says
        &function(
            "security definer set search_path = ''",
            "execute 'insert into public.profiles (id, emial) values ($1, $2)' using new.id, new.email;",
        ),
    )
    .await?;
    for (setting, verdict) in [
        ("", "inconsistent"),
        ("auto", "inconsistent"),
        ("off", "consistent"),
    ] {
        let counters = sequences(&project).await?;
        let lambda = Lambda::start(
            "health-check",
            &[("DATABASE_URL", &project.url()), ("PROBE", setting)],
        )
        .await?;
        let answer = lambda.invoke(json!({})).await?;
        assert_eq!(answer["verdict"], verdict, "PROBE={setting}: {answer}");
        let findings = answer["findings"].as_array().context("findings")?;
        assert_eq!(
            findings
                .iter()
                .any(|finding| finding["id"] == "signups_blocked"),
            setting != "off",
            "{answer}"
        );
        if setting == "off" {
            let moved = difference(&counters, &sequences(&project).await?);
            ensure!(
                moved.iter().all(|line| line.contains("rollcall.")),
                "{moved:?}"
            );
        }
    }
    Ok(())
}

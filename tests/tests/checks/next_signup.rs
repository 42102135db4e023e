//! Whether the next signup gets its profile: counts cannot tell, since a refused signup leaves no row.

use anyhow::{Result, ensure};
use rollcall_sandbox::{Person, SignupKind};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::lambda::Lambda;
use rollcall_tests::project::Project;
use serde_json::{Value, json};

/// The reports that judge signups.
const REPORTS: [&str; 4] = ["diagnose", "health", "recent", "doctor"];

/// The application's signup function with another body.
pub(crate) fn body(statements: &str) -> String {
    format!(
        "create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
         begin {statements} return new; end $$;"
    )
}

/// One more trigger of the application's on `auth.users`.
fn trigger(when: &str, statements: &str) -> String {
    format!(
        "create function public.extra() returns trigger language plpgsql security definer set search_path = '' as $$ begin {statements} return new; end $$;
         create trigger z_extra {when} on auth.users for each row execute function public.extra();"
    )
}

/// What `http` of the extension looks like to whoever reads the code that calls it.
const HTTP: &str = "create schema if not exists extensions;
    create function extensions.http_post(url text) returns integer language plpgsql as $$ begin return 200; end $$;";

/// A project in which people signed up, and then this was done.
async fn project_after(sql: &str) -> Result<Project> {
    let project = Project::with_application().await?;
    sign_up(&project, 1..4).await?;
    project.connect().await?.batch_execute(sql).await?;
    Ok(project)
}

async fn sign_up(project: &Project, numbers: std::ops::Range<u32>) -> Result<()> {
    let mut auth = project.auth().await?;
    for number in numbers {
        auth.sign_up(SignupKind::EmailConfirmation, &Person::numbered(number))
            .await?;
    }
    Ok(())
}

/// What a report says.
async fn report(project: &Project, command: &str) -> Result<Value> {
    let url = project.url();
    rollcall(&[("DATABASE_URL", &url)], &[command, "--format", "json"])
        .await?
        .json()
}

fn ids(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array();
    findings
        .into_iter()
        .flatten()
        .filter_map(|finding| finding["id"].as_str())
        .collect()
}

fn finding<'a>(report: &'a Value, id: &str) -> Option<&'a Value> {
    report["findings"]
        .as_array()?
        .iter()
        .find(|finding| finding["id"] == id)
}

/// Every report says so, where nothing is installed and where Rollcall watches.
async fn every_report(project: &Project, test: impl Fn(&str, &Value) -> Result<()>) -> Result<()> {
    for stance in ["look", "watch"] {
        if stance == "watch" {
            project.migrate().await?;
        }
        for command in REPORTS {
            let report = report(project, command).await?;
            test(&format!("{command}, {stance}"), &report)?;
        }
    }
    Ok(())
}

async fn is_found(sql: impl Into<String>, id: &str, function: Option<&str>) -> Result<()> {
    let sql = sql.into();
    let project = project_after(&sql).await?;
    every_report(&project, |name, report| {
        ensure!(
            report["verdict"] == "inconsistent",
            "{name}: {sql}: {report:#}"
        );
        let found = finding(report, id);
        ensure!(found.is_some(), "{name}: no {id}: {report:#}");
        if let (Some(found), Some(function)) = (found, function) {
            ensure!(
                found["summary"]
                    .as_str()
                    .unwrap_or_default()
                    .contains(function),
                "{name}: {function} is not named: {found:#}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_signup_that_fails_for_everybody_is_found_by_every_report() -> Result<()> {
    let function = Some("public.handle_new_user()");
    let insert = "insert into public.profiles (id, email) values (new.id, new.email)";
    tokio::try_join!(
        is_found(body("insert into public.profiles (id, email) values (new.id, new.nosuch);"), "signups_blocked", function),
        is_found(body(&format!("{insert} on conflict (email) do nothing;")), "signups_blocked", function),
        is_found(
            "alter table public.profiles add slug text generated always as (lower(email)) stored;
             create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email, slug) values (new.id, new.email, 'x'); return new; end $$;",
            "signups_blocked",
            function
        ),
        is_found(format!(
                "alter table public.profiles add news boolean not null default true; {}",
                body("insert into public.profiles (id, email, news) values (new.id, new.email, (new.raw_user_meta_data ->> 'news')::boolean);")
            ),
            "signups_blocked",
            function
        ),
    )?;
    Ok(())
}

#[tokio::test]
async fn every_report_lists_its_findings_by_severity() -> Result<()> {
    // an orphan is an info, a user who vanished a warning, and only a tried signup finds what is critical
    let project = project_after(&format!(
        "alter table public.profiles drop constraint profiles_id_fkey;
         insert into public.profiles (id) values (gen_random_uuid());
         delete from auth.users where id = (select u.id from auth.users u limit 1); {}",
        body("insert into public.profiles (id, email) values (new.id, new.nosuch);")
    ))
    .await?;
    every_report(&project, |name, report| {
        let rank = |finding: &Value| {
            ["critical", "warning", "info"].map(|word| finding["severity"] == word)
        };
        let findings = report["findings"].as_array();
        let ranks: Vec<_> = findings.into_iter().flatten().map(rank).collect();
        ensure!(ranks.len() > 1, "{name}: too few findings: {report:#}");
        ensure!(
            ranks.is_sorted_by(|worse, better| worse >= better),
            "{name}: {report:#}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_the_table_and_its_company_refuse_is_found() -> Result<()> {
    tokio::try_join!(
        // a sequence without a number left
        is_found(
            "create sequence public.member_number maxvalue 3;
             alter table public.profiles add number bigint not null default nextval('public.member_number');",
            "signups_blocked",
            None
        ),
        is_found(
            "create function public.fail() returns text language plpgsql as $$ begin return 1 / 0; end $$;
             alter table public.profiles add code text; alter table public.profiles alter code set default public.fail();",
            "signups_blocked",
            Some("public.fail()")
        ),
        is_found(
            "create function public.count_up() returns trigger language plpgsql as $$ begin insert into public.gone values (1); return new; end $$;
             create trigger count_up after insert on public.profiles for each statement execute function public.count_up();",
            "signups_blocked",
            Some("public.count_up()")
        ),
        is_found(
            "create table public.plans (id integer primary key);
             alter table public.profiles add plan integer;
             alter table public.profiles add foreign key (plan) references public.plans (id);
             alter table public.profiles alter plan set default 7;",
            "signups_blocked",
            None
        ),
    )?;
    Ok(())
}

#[tokio::test]
async fn a_confirmation_that_fails_is_a_finding_of_its_own() -> Result<()> {
    is_found(
        trigger("after update of email_confirmed_at", "perform 1 / 0;"),
        "confirmations_blocked",
        Some("public.extra()"),
    )
    .await
}

#[tokio::test]
async fn a_sign_in_that_fails_is_a_finding_of_its_own() -> Result<()> {
    is_found(
        trigger("after update of last_sign_in_at", "perform 1 / 0;"),
        "sign_ins_blocked",
        Some("public.extra()"),
    )
    .await
}

#[tokio::test]
async fn a_refused_change_of_address_or_deletion_locks_nobody_out() -> Result<()> {
    let project = project_after(&format!(
        "{} create function public.keep() returns trigger language plpgsql as $$ begin perform 1 / 0; return old; end $$;
         create trigger keep before delete on auth.users for each row execute function public.keep();",
        trigger("after update of email", "perform 1 / 0;")
    ))
    .await?;
    every_report(&project, |name, report| {
        ensure!(report["verdict"] == "consistent", "{name}: {report:#}");
        for (id, severity) in [
            ("email_changes_blocked", "warning"),
            ("deletions_blocked", "info"),
        ] {
            let found = finding(report, id);
            ensure!(
                found.is_some_and(|found| found["severity"] == severity),
                "{name}: {id}: {report:#}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_signup_that_takes_too_long_is_never_consistent() -> Result<()> {
    let project = project_after(&trigger("after insert", "perform pg_sleep(20);")).await?;
    let report = report(&project, "diagnose").await?;
    ensure!(report["verdict"] != "consistent", "{report:#}");
    Ok(())
}

#[tokio::test]
async fn calls_to_the_outside_are_not_made_and_nothing_is_claimed() -> Result<()> {
    let calls = [
        trigger("after insert", "perform extensions.http_post('https://example.invalid');"),
        "alter table public.profiles add reply integer default extensions.http_post('https://example.invalid');".to_owned(),
        "alter table public.profiles add constraint told check (extensions.http_post('https://example.invalid') = 200) not valid;".to_owned(),
        trigger("after insert", "execute 'select extensions.' || 'http_post($1)' using 'https://example.invalid';"),
        trigger("after insert", "copy public.profiles to program 'true';"),
    ];
    for call in calls {
        let project = project_after(&format!("{HTTP} {call}")).await?;
        let report = report(&project, "diagnose").await?;
        ensure!(report["verdict"] == "unknown", "{call}: {report:#}");
        ensure!(
            finding(&report, "unproven").is_some_and(|found| found["evidence"][0].is_string()),
            "{call}: {report:#}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_call_that_no_signup_makes_keeps_nothing_from_being_tried() -> Result<()> {
    let calls = [
        trigger("after update of email", "perform extensions.http_post('https://example.invalid');"),
        "create function public.extra() returns trigger language plpgsql security definer set search_path = '' as $$ begin perform extensions.http_post('x'); return new; end $$;
         create trigger z_extra after update on auth.users for each row when (old.email is distinct from new.email) execute function public.extra();"
            .to_owned(),
        "create function public.extra() returns trigger language plpgsql security definer set search_path = '' as $$ begin perform extensions.http_post('x'); return old; end $$;
         create trigger z_extra after delete on auth.users for each row execute function public.extra();"
            .to_owned(),
    ];
    for call in calls {
        let project = project_after(&format!("{HTTP} {call}")).await?;
        every_report(&project, |name, report| {
            ensure!(
                report["verdict"] == "consistent",
                "{name}: {call}: {report:#}"
            );
            ensure!(
                report["evidence"]["proved_by"] == "probe",
                "{name}: {call}: {report:#}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_signup_since_the_path_changed_is_evidence_without_any_memory() -> Result<()> {
    // a signup cannot be tried here
    let project = project_after(&format!(
        "{HTTP} {}",
        trigger(
            "after insert",
            "perform extensions.http_post('https://example.invalid');"
        )
    ))
    .await?;
    ensure!(report(&project, "health").await?["verdict"] == "unknown");
    sign_up(&project, 10..12).await?;
    every_report(&project, |name, report| {
        ensure!(report["verdict"] == "consistent", "{name}: {report:#}");
        ensure!(
            report["evidence"]["proved_by"] == "signup",
            "{name}: {report:#}"
        );
        Ok(())
    })
    .await?;
    // and none any more when the path is another
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("alter table public.profiles add color text")
        .await?;
    let changed = report(&project, "health").await?;
    ensure!(
        changed["verdict"] == "unknown" && ids(&changed).contains(&"unproven"),
        "{changed:#}"
    );
    Ok(())
}

async fn lambda(project: &Project, name: &str, probe: &str) -> Result<Lambda> {
    Lambda::start(name, &[("DATABASE_URL", &project.url()), ("PROBE", probe)]).await
}

#[tokio::test]
async fn a_changed_path_is_tried_by_the_next_check_whichever_it_is() -> Result<()> {
    for name in ["health-check", "recent-issues"] {
        let project = project_after("select").await?;
        project.migrate().await?;
        let check = lambda(&project, name, "auto").await?;
        let first = check.invoke(Value::Null).await?;
        ensure!(first["verdict"] == "consistent", "{name}: {first:#}");
        let second = check.invoke(Value::Null).await?;
        // what is fresh is believed
        ensure!(
            second["evidence"]["probed_at"] == first["evidence"]["probed_at"],
            "{name}: {second:#}"
        );
        ensure!(first["evidence"]["probed_at"].is_string());

        let admin = project.connect_as_superuser().await?;
        admin
            .batch_execute(&body(
                "insert into public.profiles (id) values (new.nosuch);",
            ))
            .await?;
        for _ in 0..2 {
            let broken = check.invoke(Value::Null).await?;
            ensure!(
                ids(&broken).contains(&"signups_blocked"),
                "{name}: {broken:#}"
            );
        }
        admin
            .batch_execute(&body(
                "insert into public.profiles (id, email) values (new.id, new.email);",
            ))
            .await?;
        let mended = check.invoke(Value::Null).await?;
        ensure!(mended["verdict"] == "consistent", "{name}: {mended:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_beside_the_functions_counts_as_a_change() -> Result<()> {
    let changes = [
        "revoke insert on public.profiles from postgres",
        "alter table public.profiles add constraint short check (length(email) < 3) not valid",
        "alter domain public.mail add constraint short check (length(value) < 3) not valid",
        "grant usage on schema public to supabase_auth_admin",
        "alter sequence public.member_number maxvalue 5",
        "alter role supabase_auth_admin in database %s set session_replication_role = replica",
        "create trigger z after insert on public.profiles for each row execute function public.fails()",
        "create unique index on public.profiles (full_name)",
    ];
    let project = project_after(
        "create domain public.mail as text; create sequence public.member_number;
         alter table public.profiles alter email type public.mail, add number bigint default nextval('public.member_number');
         create function public.fails() returns trigger language plpgsql as $$ begin return new; end $$;",
    )
    .await?;
    project.migrate().await?;
    let check = lambda(&project, "health-check", "off").await?;
    let mut path = check.invoke(Value::Null).await?["evidence"]["path"].clone();
    let admin = project.connect_as_superuser().await?;
    let name: String = admin
        .query_one("select quote_ident(current_database())", &[])
        .await?
        .get(0);
    for change in changes {
        admin.batch_execute(&change.replace("%s", &name)).await?;
        let after = check.invoke(Value::Null).await?["evidence"]["path"].clone();
        ensure!(after != path, "not seen: {change}");
        path = after;
    }
    // what belongs to nobody's signup is no change
    admin
        .batch_execute("create table public.articles (id integer); analyze public.profiles")
        .await?;
    ensure!(check.invoke(Value::Null).await?["evidence"]["path"] == path);
    Ok(())
}

#[tokio::test]
async fn what_stays_unproven_is_unknown_after_a_day() -> Result<()> {
    let project = project_after("select").await?;
    project.migrate().await?;
    let check = lambda(&project, "health-check", "off").await?;
    let first = check.invoke(Value::Null).await?;
    // whoever signed up before the first check did so on this path, as far as transactions tell
    ensure!(first["evidence"]["proved_by"] == "signup", "{first:#}");

    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(&body(
            "insert into public.profiles (id, email) values (new.id, new.email);",
        ))
        .await?;
    let changed = check.invoke(Value::Null).await?;
    ensure!(changed["verdict"] == "consistent", "{changed:#}");
    ensure!(
        finding(&changed, "unproven").is_some_and(|found| found["severity"] == "info"),
        "{changed:#}"
    );
    admin
        .batch_execute(
            "update rollcall.check_run r set counts = jsonb_set(r.counts, '{evidence,path_since}', to_jsonb(now() - interval '25 hours'));
             update auth.users set created_at = created_at - interval '2 days';",
        )
        .await?;
    let next_day = check.invoke(Value::Null).await?;
    ensure!(
        next_day["verdict"] == "unknown" && ids(&next_day).contains(&"unproven"),
        "{next_day:#}"
    );
    sign_up(&project, 20..21).await?;
    let after = check.invoke(Value::Null).await?;
    ensure!(
        after["verdict"] == "consistent" && !ids(&after).contains(&"unproven"),
        "{after:#}"
    );
    Ok(())
}

#[tokio::test]
async fn evidence_that_a_reader_made_up_is_bounded_and_runs_nothing() -> Result<()> {
    let project = project_after("select").await?;
    project.migrate().await?;
    let check = lambda(&project, "health-check", "off").await?;
    let path = check.invoke(Value::Null).await?["evidence"]["path"].clone();
    let reader = project.connect_as_superuser().await?;
    reader.batch_execute("set role rollcall_monitor").await?;
    let forged = json!({"evidence": {
        "path": path, "path_since": "2020-01-01T00:00:00Z", "proved_at": "2999-01-01T00:00:00Z", "proved_by": "probe",
        "probed_at": "2999-01-01T00:00:00Z",
        "side_tables": {"public.profiles t, (select pg_catalog.pg_sleep(1/0)) x": "id", "public.profiles": "id; drop table public.profiles"},
    }});
    reader
        .execute(
            "select rollcall.record_check('health', 'consistent', '{}', $1)",
            &[&forged],
        )
        .await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute(&body(
            "insert into public.profiles (id) values (new.nosuch);",
        ))
        .await?;
    let report = report(&project, "diagnose").await?;
    ensure!(report["verdict"] == "inconsistent", "{report:#}");
    ensure!(
        report["findings"]
            .as_array()
            .is_some_and(|findings| !findings.is_empty())
    );
    project
        .count("select count(*) from public.profiles")
        .await?;
    Ok(())
}

/// Signups at these moments, each an SQL expression, past every trigger and with a profile.
async fn signed_up_at(project: &Project, moments: &str) -> Result<()> {
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(&format!(
            "set session_replication_role = replica;
             with person as (
               insert into auth.users (id, aud, role, email, created_at, updated_at)
               select gen_random_uuid(), 'authenticated', 'authenticated', gen_random_uuid() || '@example.com', m, m from ({moments}) x (m)
               returning id, email)
             insert into public.profiles (id, email) select id, email from person;"
        ))
        .await?;
    Ok(())
}

#[tokio::test]
async fn signups_that_stop_are_a_finding_and_pauses_that_come_again_are_none() -> Result<()> {
    let stopped = "select m from generate_series(now() - interval '14 days', now() - interval '1 day', interval '20 minutes') m";
    let office_hours = "select m from generate_series(now() - interval '13 days 14 hours', now() - interval '14 hours', interval '10 minutes') m
        where extract(hour from (now() - interval '14 hours') - m)::integer % 24 < 8";
    let import = "select now() - interval '2 days' + i * interval '10 seconds' from generate_series(1, 5000) i";
    let few =
        "select now() - interval '13 days' + i * interval '8 hours' from generate_series(1, 12) i";
    let steady = "select m from generate_series(now() - interval '14 days', now() - interval '10 minutes', interval '20 minutes') m";
    for (moments, setting, is_finding) in [
        (stopped, "0.0001", true),
        (stopped, "0", false),
        (office_hours, "0.0001", false),
        (import, "0.0001", false),
        (few, "0.0001", false),
        (steady, "0.0001", false),
    ] {
        let project = Project::with_application().await?;
        signed_up_at(&project, moments).await?;
        project.migrate().await?;
        project
            .connect()
            .await?
            .batch_execute(&format!(
                "update rollcall.settings set stopped_below = {setting}"
            ))
            .await?;
        for command in ["diagnose", "health", "doctor"] {
            let report = report(&project, command).await?;
            ensure!(
                ids(&report).contains(&"signups_stopped") == is_finding,
                "{command}: {moments}: {report:#}"
            );
            ensure!(
                report["verdict"]
                    == if is_finding {
                        "inconsistent"
                    } else {
                        "consistent"
                    },
                "{moments}: {report:#}"
            );
        }
        if is_finding {
            let answer = lambda(&project, "health-check", "auto").await?;
            let said = answer.invoke(Value::Null).await?;
            ensure!(said["verdict"] == "inconsistent", "{said:#}");
            // the database takes signups all the same
            ensure!(said["evidence"]["proved_by"] == "probe", "{said:#}");
            ensure!(answer.alerts().len() == 1);
            let summary = finding(&said, "signups_stopped").map(|found| found["summary"].clone());
            ensure!(
                summary.as_ref().is_some_and(|text| text
                    .as_str()
                    .is_some_and(|text| text.contains("less than once in"))),
                "{said:#}"
            );
        }
    }
    Ok(())
}

/// An application whose signup gives everybody a role.
fn roles(schema: &str) -> String {
    format!(
        "create table {schema}.user_roles (id bigint generated always as identity primary key, user_id uuid not null references auth.users on delete cascade, role text default 'user');
         {}",
        body(&format!(
            "insert into public.profiles (id, email) values (new.id, new.email); insert into {schema}.user_roles (user_id) values (new.id);"
        ))
    )
}

#[tokio::test]
async fn a_profile_without_the_rest_of_the_signup_is_seen() -> Result<()> {
    let project = project_after(&roles("public")).await?;
    let side = |report: &Value| -> (Value, Option<String>) {
        (
            report["side_tables"].clone(),
            finding(report, "side_rows_missing").map(|found| found["severity"].to_string()),
        )
    };
    // those from before have none: nothing is wrong
    let (tables, severity) = side(&report(&project, "diagnose").await?);
    ensure!(
        tables[0]["table"] == "public.user_roles" && tables[0]["users_without"] == 3,
        "{tables:#}"
    );
    ensure!(severity.as_deref() == Some("\"info\""), "{severity:?}");
    sign_up(&project, 10..14).await?;
    let (tables, severity) = side(&report(&project, "diagnose").await?);
    ensure!(
        tables[0]["users_without"] == 3 && severity.as_deref() == Some("\"info\""),
        "{tables:#}"
    );
    // somebody lost theirs
    let admin = project.connect().await?;
    admin
        .batch_execute(
            "delete from public.user_roles where id = (select max(id) from public.user_roles)",
        )
        .await?;
    for _ in 0..2 {
        let report = report(&project, "diagnose").await?;
        let (tables, severity) = side(&report);
        ensure!(
            tables[0]["users_without"] == 4 && severity.as_deref() == Some("\"warning\""),
            "{report:#}"
        );
        ensure!(report["verdict"] == "consistent");
        project.migrate().await?;
    }
    Ok(())
}

#[tokio::test]
async fn rows_that_go_again_are_no_fault() -> Result<()> {
    let project = project_after(&roles("public")).await?;
    sign_up(&project, 10..16).await?;
    // a queue: the oldest are done
    let admin = project.connect().await?;
    admin
        .batch_execute(
            "delete from public.user_roles where id <= (select max(id) - 2 from public.user_roles)",
        )
        .await?;
    let report = report(&project, "diagnose").await?;
    ensure!(
        finding(&report, "side_rows_missing").is_some_and(|found| found["severity"] == "info"),
        "{report:#}"
    );
    Ok(())
}

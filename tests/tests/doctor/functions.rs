//! The functions that a signup runs.

use anyhow::{Context, Result, ensure};
use rollcall::finding::Severity;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Server, SignupKind};
use rollcall_tests::command_line::rollcall;

use crate::walk::{
    GREETING, INSERT, Maker, PROFILES, WALK, Walk, body, examine, function, ids, signup_works,
    trigger,
};

#[tokio::test]
async fn signup_function_runs_as_caller() -> Result<()> {
    Walk {
        // what writes nothing may run as anybody
        harmless: GREETING,
        wrong: &function("security invoker set search_path = ''", INSERT),
        ..WALK
    }
    .walk("signup_function_runs_as_caller")
    .await?;
    // as people write it: what a function needs that it calls, it needs, too
    Walk {
        application: &format!(
            "{PROFILES} create function public.make_profile(person uuid) returns void language sql set search_path = ''
             as $$ insert into public.profiles (id) values (person) $$;"
        ),
        wrong: &function("", "perform public.make_profile(new.id);")
            .replace("language plpgsql", "language plpgsql security invoker"),
        fixed_by: "alter function public.handle_new_user() security definer set search_path = ''",
        ..WALK
    }
    .walk_fixed_by_the_caller("signup_function_runs_as_caller")
    .await
}

#[tokio::test]
async fn signup_function_owner_lacks_rights() -> Result<()> {
    // roles belong to the whole server
    let server = Server::start(&Options::from_env()?)?;
    for (application, wrong, fixed_by) in [
        ("", "create role builder bypassrls; grant usage on schema public to builder; alter function public.handle_new_user() owner to builder", ""),
        (
            "create table public.visits (id serial, person uuid);",
            "create role clerk bypassrls; grant usage on schema public to clerk; grant insert on public.profiles, public.visits to clerk;
             create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) values (new.id, new.email); insert into public.visits (person) values (new.id); return new; end $$;
             alter function public.handle_new_user() owner to clerk",
            "",
        ),
        // what the triggers of the profile table need
        (
            "create function public.note() returns void language sql as 'select';
             create function public.further() returns trigger language plpgsql as $$ begin perform public.note(); return new; end $$;
             create trigger further after insert on public.profiles for each row execute function public.further();",
            "alter function public.note() owner to supabase_admin; revoke all on function public.note() from public, postgres, anon, authenticated, service_role",
            "grant execute on function public.note() to postgres",
        ),
        (
            "create materialized view public.totals as select 1 as one;
             create function public.further() returns trigger language plpgsql as $$ begin refresh materialized view public.totals; return new; end $$;
             create trigger further after insert on public.profiles for each row execute function public.further();",
            "alter materialized view public.totals owner to supabase_admin",
            "alter materialized view public.totals owner to postgres",
        ),
    ] {
        let walk = Walk {
            application: &format!("{PROFILES} {application}"),
            harmless: "revoke all on function public.handle_new_user() from public, anon, authenticated, service_role",
            wrong,
            fixed_by,
            ..WALK
        };
        if fixed_by.starts_with("grant") {
            // of another's function, postgres may not grant
            let project = walk.prepared_on(&server).await?;
            let admin = project.connect_as_superuser().await?;
            admin.batch_execute(wrong).await?;
            let report = examine(&project).await?;
            assert_eq!(report.findings[0].id, "signup_function_owner_lacks_rights");
            let fix = report.findings[0].fix.clone().context("a fix")?;
            assert_eq!(fix.trim_end_matches(';'), fixed_by);
            ensure!(!signup_works(&project, SignupKind::EmailAutoconfirm).await?);
            admin.batch_execute(&fix).await?;
            ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
        } else {
            walk.walk_on(&server, "signup_function_owner_lacks_rights").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn signup_function_lacks_schema() -> Result<()> {
    Walk {
        // what supabase_auth_admin may not use is no matter to a function that runs as its owner
        harmless: "revoke usage on schema public from supabase_auth_admin",
        wrong: &format!(
            "create schema app authorization postgres; create table app.signups (id uuid); alter table app.signups owner to postgres;
             grant insert on app.signups to supabase_auth_admin; {}",
            trigger("after insert on auth.users", "set search_path = ''", "insert into app.signups values (new.id);")
        ),
        ..WALK
    }
    .walk("signup_function_lacks_schema")
    .await
    .map(drop)
}

#[tokio::test]
async fn row_level_security_blocks_signup() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    Walk {
        harmless: "alter table public.profiles enable row level security; alter table public.profiles force row level security",
        wrong: "create role builder; grant usage on schema public to builder; grant insert on public.profiles to builder;
                alter function public.handle_new_user() owner to builder",
        fixed_by: "alter function public.handle_new_user() owner to postgres",
        ..WALK
    }
    .walk_on(&server, "row_level_security_blocks_signup")
    .await?;
    // a function that has the right and is bound, as its caller
    Walk {
        application: &format!("{PROFILES} alter table public.profiles enable row level security; grant insert on public.profiles to supabase_auth_admin;"),
        wrong: &function("security invoker set search_path = ''", INSERT),
        ..WALK
    }
    .walk("row_level_security_blocks_signup")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_search_path() -> Result<()> {
    let qualified = function(
        "security definer",
        "insert into public.profiles as p (id, email) values (new.id, new.email); perform count(*) from public.profiles;",
    );
    let unqualified = INSERT.replace("public.", "");
    Walk {
        harmless: &qualified,
        wrong: &function("security definer", &unqualified),
        ..WALK
    }
    .walk("signup_function_search_path")
    .await?;
    // a path that is set, and is the wrong one
    Walk {
        wrong: &body(&unqualified),
        ..WALK
    }
    .walk("signup_function_search_path")
    .await?;
    // a type and a function
    for named in ["'sme'::account_kind::text", "nickname(new.email)"] {
        Walk {
            harmless: "create type public.account_kind as enum ('sme');
                       create function public.nickname(text) returns text language sql as $$ select $1 $$",
            wrong: &function("security definer", &format!("insert into public.profiles (id, email) values (new.id, {named});")),
            ..WALK
        }
        .walk("signup_function_search_path")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_trigger_on_the_profile_table_is_examined_like_one_on_the_users() -> Result<()> {
    for maker in [Maker::Application, Maker::Rollcall] {
        Walk {
            maker,
            application: &format!(
                "{PROFILES} create schema app; create table app.history (id uuid);"
            ),
            harmless: &trigger(
                "after insert on public.profiles",
                "set search_path = app",
                "insert into history values (new.id);",
            ),
            wrong: &trigger(
                "after insert on public.profiles",
                "",
                "insert into history values (new.id);",
            ),
            ..WALK
        }
        .walk("signup_function_search_path")
        .await?;
    }
    // one that has no path of its own looks where its caller looks
    let project = Walk {
        application: &format!("{PROFILES} create schema app; create table app.history (id uuid);"),
        deployed: &format!(
            "{} {}",
            trigger(
                "after insert on public.profiles",
                "",
                "insert into history values (new.id);"
            ),
            function("security definer set search_path = app, public", INSERT)
        ),
        ..WALK
    }
    .prepared()
    .await?;
    assert_eq!(ids(&project).await?, ["audit_log_not_written"]);
    ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    Ok(())
}

#[tokio::test]
async fn signup_function_names_unknown_object() -> Result<()> {
    let settings = format!("{PROFILES} create table public.settings (id uuid, theme text);");
    for (wrong, fixed_by, kept) in [
        (
            "alter table public.settings rename to preferences",
            "alter table public.preferences rename to settings",
            "public.settings",
        ),
        (
            "alter table public.settings rename column theme to colours",
            "alter table public.settings rename column colours to theme",
            "column theme",
        ),
    ] {
        let finding = Walk {
            application: &settings,
            deployed: &body(&format!(
                "{INSERT} insert into public.settings (id, theme) values (new.id, 'dark');"
            )),
            harmless: "alter table public.settings add column size integer",
            wrong,
            fixed_by,
            ..WALK
        }
        .walk("signup_function_names_unknown_object")
        .await?;
        ensure!(finding.summary.contains(kept), "{finding:?}");
    }
    for (wrong, kept) in [
        (
            "insert into public.profiles (id, email) values (new.id, new.mail);",
            "field mail",
        ),
        (
            "insert into public.profiles (id) values (new.id); perform net.http_post('https://example.invalid');",
            "net.http_post",
        ),
        (
            "insert into public.profiles (id) values (new.id); perform 1 from public.gone;",
            "public.gone",
        ),
    ] {
        let finding = Walk {
            // it looks before it calls
            harmless: &body(&format!(
                "{INSERT} if exists (select from pg_extension where extname = 'pg_net') then perform net.http_post('https://example.invalid'); end if;"
            )),
            wrong: &body(wrong),
            fixed_by: &body(INSERT),
            ..WALK
        }
        .walk("signup_function_names_unknown_object")
        .await?;
        ensure!(finding.summary.contains(kept), "{finding:?}");
    }
    // what only a deletion comes to blocks no signup
    Walk {
        wrong: "create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
                begin
                  if tg_op = 'DELETE' then delete from public.gone where id = old.id; return old; end if;
                  insert into public.profiles (id, email) values (new.id, new.email);
                  return new;
                end $$;
                create or replace trigger on_auth_user_created after insert or delete on auth.users for each row execute function public.handle_new_user();",
        severity: Severity::Warning,
        fixed_by: &body(INSERT),
        ..WALK
    }
    .walk("signup_function_names_unknown_object")
    .await
    .map(drop)
}

#[tokio::test]
async fn what_fails_at_the_confirmation_is_said_of_the_confirmation() -> Result<()> {
    let project = Walk {
        deployed: "create function public.confirm() returns trigger language plpgsql as $$ begin insert into public.gone values (1); return new; end $$;
                   create trigger confirm after update of email_confirmed_at on auth.users for each row execute function public.confirm();",
        ..WALK
    }
    .prepared()
    .await?;
    let report = examine(&project).await?;
    ensure!(
        report.findings[0]
            .summary
            .contains("so nobody can confirm an address"),
        "{report:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_error_that_is_caught_leaves_users_without_a_profile() -> Result<()> {
    let caught = body(&format!(
        "{} return new; exception when others then raise warning 'no profile: %', sqlstate;",
        INSERT.replace("public.", "")
    ));
    let finding = Walk {
        wrong: &caught,
        ..WALK
    }
    .walk("signup_function_search_path")
    .await?;
    ensure!(
        finding
            .summary
            .contains("so users sign up without a profile"),
        "{finding:?}"
    );
    Ok(())
}

#[tokio::test]
async fn signup_function_conflict_without_index() -> Result<()> {
    let conflict =
        |target: &str| body(&INSERT.replace(';', &format!(" on conflict {target} do nothing;")));
    Walk {
        harmless: &conflict("(id)"),
        wrong: &conflict("(email)"),
        fixed_by: &conflict(""),
        ..WALK
    }
    .walk("signup_function_conflict_without_index")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_writes_generated_column() -> Result<()> {
    Walk {
        application: &PROFILES.replace("email text", "email text, domain text generated always as (split_part(email, '@', 2)) stored"),
        wrong: &body("insert into public.profiles (id, email, domain) values (new.id, new.email, 'example.com');"),
        fixed_by: &body(INSERT),
        ..WALK
    }
    .walk("signup_function_writes_generated_column")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_leaves_column_empty() -> Result<()> {
    for (wrong, fixed_by) in [
        (
            "alter table public.settings alter column theme set not null",
            "alter table public.settings alter column theme set default 'light'",
        ),
        // nobody is signed in yet
        (
            "alter table public.settings add column made_by uuid not null default auth.uid()",
            "alter table public.settings alter column made_by drop not null",
        ),
    ] {
        Walk {
            application: &format!("{PROFILES} create table public.settings (id uuid, theme text);"),
            deployed: &body(&format!(
                "{INSERT} insert into public.settings (id) values (new.id);"
            )),
            harmless: "alter table public.settings add column size integer not null default 1",
            wrong,
            fixed_by,
            ..WALK
        }
        .walk("signup_function_leaves_column_empty")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn signup_function_needs_email() -> Result<()> {
    for (value, kind) in [
        ("new.email", SignupKind::Anonymous),
        ("new.phone", SignupKind::EmailAutoconfirm),
        ("auth.uid()::text", SignupKind::EmailAutoconfirm),
    ] {
        let insert = |value: &str| {
            body(&format!(
                "{INSERT} insert into public.settings (id, name) values (new.id, {value});"
            ))
        };
        let project = Walk {
            application: &format!(
                "{PROFILES} create table public.settings (id uuid not null, name text);"
            ),
            deployed: &insert(value),
            ..WALK
        }
        .prepared()
        .await?;
        // such a user is there already
        ensure!(signup_works(&project, kind).await?);
        let admin = project.connect_as_superuser().await?;
        admin
            .batch_execute("update public.settings set name = ''; alter table public.settings alter column name set not null")
            .await?;
        let report = examine(&project).await?;
        assert_eq!(
            report.findings[0].id, "signup_function_needs_email",
            "{value}"
        );
        assert_eq!(report.findings[0].severity, Severity::Critical, "{value}");
        ensure!(!signup_works(&project, kind).await?);
        admin
            .batch_execute(&insert(&format!("coalesce({value}, 'nobody')")))
            .await?;
        ensure!(
            !ids(&project)
                .await?
                .contains(&"signup_function_needs_email")
        );
        ensure!(signup_works(&project, kind).await?);
    }
    // whether anybody comes without it is not known
    for value in [
        "new.email",
        "new.raw_user_meta_data->>'username'",
        "(new.raw_user_meta_data->>'flag')::boolean",
    ] {
        Walk {
            application: &format!("{PROFILES} create table public.settings (id uuid not null, name text not null, flag boolean);"),
            wrong: &body(&format!("{INSERT} insert into public.settings (id, name) values (new.id, {value});")),
            severity: Severity::Info,
            fixed_by: &body(INSERT),
            ..WALK
        }
        .walk("signup_function_needs_email")
        .await?;
    }
    Ok(())
}

/// A comma in a call of a call separates no values.
#[tokio::test]
async fn a_value_inside_calls_is_not_taken_for_that_of_a_later_column() -> Result<()> {
    let project = Walk {
        application: &PROFILES.replace("email text", "email text, phone text, note text, state text not null"),
        deployed: &body(
            "insert into public.profiles (id, email, phone, note, state)
             values (new.id, coalesce(new.raw_user_meta_data->>'name', split_part(new.email, '@', 1), 'friend'), new.phone, 'n', 'new');",
        ),
        ..WALK
    }
    .prepared()
    .await?;
    ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    let found = ids(&project).await?;
    ensure!(!found.contains(&"signup_function_needs_email"), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn signup_function_requires_session() -> Result<()> {
    let guard = |condition: &str| {
        trigger(
            "before insert on public.profiles",
            "",
            &format!("if {condition} then raise exception 'not yours'; end if;"),
        )
    };
    for wrong in ["auth.uid() is null", "new.id is distinct from auth.uid()"] {
        Walk {
            harmless: &guard("auth.uid() is not null and auth.uid() <> new.id"),
            wrong: &guard(wrong),
            fixed_by: &guard("auth.uid() is not null and auth.uid() <> new.id"),
            ..WALK
        }
        .walk("signup_function_requires_session")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn signup_function_casts_metadata() -> Result<()> {
    Walk {
        harmless: &body(
            "perform case when new.raw_user_meta_data ->> 'born' ~ '^\\d{4}-\\d{2}-\\d{2}$' then (new.raw_user_meta_data ->> 'born')::date end;
             insert into public.profiles (id, email) values (new.id, (new.raw_user_meta_data->>'mail')::text);",
        ),
        wrong: &body(&format!("perform (new.raw_user_meta_data->>'age')::integer; {INSERT}")),
        severity: Severity::Info,
        fixed_by: &body(INSERT),
        ..WALK
    }
    .walk("signup_function_casts_metadata")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_hides_errors() -> Result<()> {
    let catching = |handler: &str| {
        body(&format!(
            "{INSERT} return new; exception when others then {handler}"
        ))
    };
    Walk {
        harmless: &catching("raise exception 'no profile: %', sqlstate;"),
        wrong: &catching("raise warning 'no profile: %', sqlstate;"),
        severity: Severity::Info,
        fixed_by: &body(INSERT),
        ..WALK
    }
    .walk("signup_function_hides_errors")
    .await?;
    // users are missing: it may be why
    let project = Walk {
        deployed: &catching(""),
        ..WALK
    }
    .prepared()
    .await?;
    project.add_users_without_profile(1).await?;
    let report = examine(&project).await?;
    ensure!(
        report.findings.iter().any(|finding| {
            finding.id == "signup_function_hides_errors"
                && finding.severity == Severity::Warning
                && finding.next_step.contains("rollcall explain USER")
        }),
        "{report:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn signup_function_waits() -> Result<()> {
    Walk {
        wrong: &body(&format!("perform pg_sleep(0.1); {INSERT}")),
        severity: Severity::Warning,
        fixed_by: &body(INSERT),
        ..WALK
    }
    .walk("signup_function_waits")
    .await
    .map(drop)
}

#[tokio::test]
async fn recent_failures_in_function() -> Result<()> {
    let project = Walk {
        maker: Maker::Rollcall,
        deployed: &trigger(
            "before insert on public.profiles",
            "",
            "if new.email like 'person%' then raise exception 'not today'; end if;",
        ),
        ..WALK
    }
    .prepared()
    .await?;
    ensure!(
        !ids(&project)
            .await?
            .contains(&"recent_failures_in_function")
    );
    for _ in 0..2 {
        ensure!(!signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    }
    let report = examine(&project).await?;
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.id == "recent_failures_in_function")
        .with_context(|| format!("{report:#?}"))?;
    assert_eq!(finding.severity, Severity::Critical);
    ensure!(
        finding.summary.contains("the last 2 signups failed")
            && finding.summary.contains("public.further"),
        "{finding:?}"
    );
    // a success ends it
    project
        .connect()
        .await?
        .batch_execute("drop trigger further on public.profiles")
        .await?;
    ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    ensure!(
        !ids(&project)
            .await?
            .contains(&"recent_failures_in_function")
    );
    Ok(())
}

#[tokio::test]
async fn guard_overwritten() -> Result<()> {
    let project = WALK.prepared().await?;
    let url = project.url();
    let guard = async || {
        let arguments = ["trigger", "guard", "public.handle_new_user()", "--apply"];
        let finished = rollcall(&[("DATABASE_URL", &url)], &arguments).await?;
        ensure!(finished.status == Some(0), "{finished}");
        anyhow::Ok(())
    };
    guard().await?;
    ensure!(!ids(&project).await?.contains(&"guard_overwritten"));
    project
        .connect()
        .await?
        .batch_execute(&body(INSERT))
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Consistent);
    assert_eq!(report.findings[0].id, "guard_overwritten");
    assert_eq!(report.findings[0].severity, Severity::Warning);
    guard().await?;
    ensure!(!ids(&project).await?.contains(&"guard_overwritten"));
    Ok(())
}

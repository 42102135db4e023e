//! Every check of the doctor, one test each under the check's own name: content with what is healthy, content with a
//! harmless variant, one finding when it is made wrong, which is true of the next signup, and none once it is fixed. Where
//! the finding has SQL of its own, that is what fixes it, and it takes nothing away that held before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::doctor::{DoctorReport, check_ids};
use rollcall::checks::health::HealthReport;
use rollcall::finding::{Finding, Severity};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::project::Project;
use rollcall_tests::sql::values;
use uuid::Uuid;

const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text
    );";

/// The application's own way of making profiles.
const ITS_TRIGGER: &str = "
    create or replace function public.handle_new_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;
    create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();";

const INSERT: &str = "insert into public.profiles (id, email) values (new.id, new.email);";

const TOKENS: &str = "confirmation_token, recovery_token, email_change, email_change_token_new";
const EMPTY: &str = "'', '', '', ''";

/// The definition that fits [`PROFILES`], with further columns.
fn definition(columns: &str) -> String {
    format!(
        "select rollcall.define('public.profiles', $$
           select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email {columns}
           from auth.users u where u.deleted_at is null $$)"
    )
}

/// Who makes the profiles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// The application's own trigger, and Rollcall watches.
    Application,
    /// Rollcall's trigger.
    Rollcall,
    /// No trigger.
    Nobody,
}

/// How a check is walked through.
struct Walk<'a> {
    /// Who makes the profiles.
    maker: Maker,
    /// The application's tables, before Rollcall comes.
    application: &'a str,
    /// The definition; empty for the one of [`PROFILES`].
    definition: &'a str,
    /// What the application does afterwards, all of it healthy.
    deployed: &'a str,
    /// What looks like the fault and is none.
    harmless: &'a str,
    /// The fault.
    wrong: &'a str,
    /// How much it matters.
    severity: Severity,
    /// Ids of further findings that the same fault has.
    beside: &'a [&'a str],
    /// What fixes it, where no SQL of the finding does.
    fixed_by: &'a str,
    /// Who signs up: of a critical finding it must be true that they get no profile.
    kind: SignupKind,
}

const WALK: Walk<'_> = Walk {
    maker: Maker::Application,
    application: PROFILES,
    definition: "",
    deployed: "",
    harmless: "select",
    wrong: "",
    severity: Severity::Critical,
    beside: &[],
    fixed_by: "",
    kind: SignupKind::EmailAutoconfirm,
};

async fn examine(project: &Project) -> Result<DoctorReport> {
    Ok(DoctorReport::take(&mut project.rollcall().await?).await?)
}

async fn ids(project: &Project) -> Result<Vec<&'static str>> {
    let findings = examine(project).await?.findings;
    Ok(findings.iter().map(|finding| finding.id).collect())
}

/// Whether somebody who signs up now gets a profile.
async fn signup_works(project: &Project, kind: SignupKind) -> Result<bool> {
    let users: i64 = project.count("select count(*) from auth.users").await?;
    let person = Person::numbered(u32::try_from(users)? + 1);
    let Ok(id) = project.auth().await?.sign_up(kind, &person).await else {
        return Ok(false);
    };
    let sql = format!("select count(*) from public.profiles where id = '{id}'");
    Ok(project.count(&sql).await? == 1)
}

/// Everything that protects rows or does something at a signup; what it returns after a fix must hold all of it.
async fn protections(project: &Project) -> Result<BTreeSet<String>> {
    let client = project.connect().await?;
    Ok(
        values::<String>(&client, include_str!("doctor/protections.sql"))
            .await?
            .into_iter()
            .collect(),
    )
}

impl Walk<'_> {
    async fn walk(self, id: &str) -> Result<Finding> {
        let project = Project::without_rollcall().await?;
        self.walk_in(&project, id).await
    }

    async fn prepare(&self, project: &Project) -> Result<()> {
        let client = project.connect().await?;
        client.batch_execute(self.application).await?;
        if self.maker == Maker::Application {
            client.batch_execute(ITS_TRIGGER).await?;
        }
        project.migrate().await?;
        let definition = match self.definition {
            "" => definition(""),
            definition => definition.to_owned(),
        };
        client.batch_execute(&definition).await?;
        if self.maker == Maker::Rollcall {
            client
                .batch_execute("select rollcall.install_signup_trigger()")
                .await?;
        }
        client.batch_execute(self.deployed).await?;
        Ok(())
    }

    async fn walk_in(self, project: &Project, id: &str) -> Result<Finding> {
        let admin = project.connect_as_superuser().await?;
        let client = project.connect().await?;
        self.prepare(project).await?;
        let healthy = ids(project).await?;
        ensure!(!healthy.contains(&id), "healthy, and yet: {healthy:?}");

        client.batch_execute(self.harmless).await?;
        assert_eq!(ids(project).await?, healthy, "harmless, and yet");

        admin.batch_execute(self.wrong).await.context("wrong")?;
        let report = examine(project).await?;
        let found: Vec<&Finding> = report.findings.iter().filter(|f| f.id == id).collect();
        let [finding] = found[..] else {
            anyhow::bail!("{} findings, not one: {report:#?}", found.len());
        };
        assert_eq!(finding.severity, self.severity, "{finding:#?}");
        ensure!(
            finding.meaning.is_some()
                && !finding.evidence.is_empty()
                && !finding.next_step.is_empty(),
            "{finding:#?}"
        );
        let others: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|f| f.id != id && f.severity == Severity::Critical)
            .filter(|f| !self.beside.contains(&f.id))
            .collect();
        ensure!(others.is_empty(), "one fact, and yet: {others:#?}");
        if self.severity == Severity::Critical && finding.verdict() == Verdict::Inconsistent {
            assert_eq!(report.verdict, Verdict::Inconsistent);
            ensure!(!signup_works(project, self.kind).await?, "it is not true");
        }

        if self.fixed_by.is_empty() {
            let fix = finding.fix.as_deref().context("no fix")?;
            let before = protections(project).await?;
            client
                .batch_execute(fix)
                .await
                .with_context(|| fix.to_owned())?;
            let after = protections(project).await?;
            let gone: Vec<_> = before.difference(&after).collect();
            ensure!(gone.is_empty(), "{fix} took away {gone:#?}");
        } else {
            ensure!(finding.fix.is_none(), "it has SQL of its own: {finding:?}");
            admin
                .batch_execute(self.fixed_by)
                .await
                .context("fixed by")?;
        }
        let fixed = ids(project).await?;
        ensure!(!fixed.contains(&id), "fixed, and yet: {fixed:?}");
        if self.severity != Severity::Info
            && finding.verdict() != Verdict::Unknown
            && self.maker != Maker::Nobody
        {
            ensure!(
                signup_works(project, self.kind).await?,
                "fixed, and yet no profile"
            );
        }
        Ok(finding.clone())
    }
}

/// The application's function with other options or another body.
fn function(options: &str, body: &str) -> String {
    format!(
        "set role postgres; create or replace function public.handle_new_user() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$; reset role;"
    )
}

/// As it should be, around another body.
fn body(body: &str) -> String {
    function("security definer set search_path = ''", body)
}

/// A further trigger of the application's.
fn trigger(fires: &str, options: &str, body: &str) -> String {
    format!(
        "set role postgres; create or replace function public.further() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$;
         create or replace trigger further {fires} for each row execute function public.further(); reset role;"
    )
}

/// One that makes no profiles.
const GREETING: &str = "
    create function public.greet() returns trigger language plpgsql as $$ begin perform 'insert into profiles'; return new; end $$;
    create trigger a_greeting after insert on auth.users for each row execute function public.greet();";

// The signup trigger --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn signup_trigger_missing() -> Result<()> {
    // the function is there, and its trigger is lost: a restore, a branch
    Walk {
        harmless: GREETING,
        wrong: "drop trigger on_auth_user_created on auth.users",
        ..WALK
    }
    .walk("signup_trigger_missing")
    .await?;
    // the function went, too, and the profiles that are there came with their signup
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    project
        .connect_as_superuser()
        .await?
        .batch_execute("drop function public.handle_new_user() cascade")
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.findings[0].id, "signup_trigger_missing");
    assert_eq!(report.verdict, Verdict::Inconsistent);
    assert_eq!(report.findings[0].fix, None);
    Ok(())
}

#[tokio::test]
async fn profiles_that_a_server_makes_need_no_trigger() -> Result<()> {
    let project = Project::without_rollcall().await?;
    Walk {
        maker: Maker::Nobody,
        ..WALK
    }
    .prepare(&project)
    .await?;
    // as long as nobody has signed up, nobody can tell
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Consistent);
    assert_eq!(report.findings[0].id, "signup_trigger_missing");
    assert_eq!(report.findings[0].severity, Severity::Warning);

    ensure!(!signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    let client = project.connect().await?;
    client
        .batch_execute("insert into public.profiles (id, email) select id, email from auth.users")
        .await?;
    assert_eq!(ids(&project).await?, [""; 0]);
    // and now it does not any more
    ensure!(!signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    let report = examine(&project).await?;
    ensure!(
        report.findings.iter().any(|finding| {
            finding.id == "signup_trigger_missing" && finding.severity == Severity::Critical
        }),
        "{report:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn profiles_that_are_made_later_need_no_trigger_at_the_signup() -> Result<()> {
    for (name, later) in [
        (
            "at the confirmation",
            "create function public.later() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;
             create trigger later after update on auth.users for each row
               when (old.email_confirmed_at is null and new.email_confirmed_at is not null) execute function public.later();",
        ),
        (
            "with the identity",
            "create function public.later() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id) values (new.user_id); return new; end $$;
             create trigger later after insert on auth.identities for each row execute function public.later();",
        ),
        (
            "at the commit",
            "create function public.later() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) values (new.id, new.email); return null; end $$;
             create constraint trigger later after insert on auth.users deferrable initially deferred
               for each row execute function public.later();",
        ),
        (
            "by a web hook",
            "create schema net; create function net.http_post(text) returns void language sql as 'select';
             create function public.later() returns trigger language plpgsql security definer set search_path = '' as $$
             begin perform net.http_post('https://example.invalid'); return new; end $$;
             create trigger later after insert on auth.users for each row execute function public.later();",
        ),
    ] {
        let project = Project::without_rollcall().await?;
        Walk {
            maker: Maker::Nobody,
            deployed: later,
            ..WALK
        }
        .prepare(&project)
        .await?;
        assert_eq!(ids(&project).await?, ["audit_log_not_written"], "{name}");
        let health = HealthReport::take(&mut project.rollcall().await?).await?;
        assert_eq!(health.signup_trigger.as_deref(), Some("application"), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn signup_trigger_disabled() -> Result<()> {
    for (maker, how) in [
        (Maker::Rollcall, "disable"),
        (Maker::Application, "enable replica"),
        (Maker::Application, "disable"),
    ] {
        Walk {
            maker,
            // one that somebody switched off on purpose
            harmless: GREETING,
            wrong: &format!("alter table auth.users disable trigger a_greeting; alter table auth.users {how} trigger on_auth_user_created"),
            ..WALK
        }
        .walk("signup_trigger_disabled")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn triggers_skipped_by_role() -> Result<()> {
    // settings of roles belong to the whole server
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    let wrong = "do $$ begin execute format('alter role supabase_auth_admin in database %I set session_replication_role = replica', current_database()); end $$";
    Walk {
        harmless: "alter role current_user set statement_timeout = '1min'",
        wrong,
        fixed_by: &wrong.replace(
            "set session_replication_role = replica",
            "reset session_replication_role",
        ),
        ..WALK
    }
    .walk_in(&project, "triggers_skipped_by_role")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_trigger_conditional() -> Result<()> {
    let conditional =
        "create or replace trigger on_auth_user_created after insert on auth.users for each row
                       when (new.email is not null) execute function public.handle_new_user()";
    Walk {
        maker: Maker::Rollcall,
        harmless: "create function public.greet() returns trigger language plpgsql as $$ begin return new; end $$;
                   create trigger a_greeting after insert on auth.users for each row when (new.email is not null) execute function public.greet();",
        wrong: conditional,
        kind: SignupKind::PhoneAutoconfirm,
        ..WALK
    }
    .walk("signup_trigger_conditional")
    .await?;
    // in the application's own it may be meant
    Walk {
        wrong: conditional,
        severity: Severity::Info,
        fixed_by: "create or replace trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user()",
        ..WALK
    }
    .walk("signup_trigger_conditional")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_triggers_collide() -> Result<()> {
    let theirs = |on_conflict: &str| {
        trigger(
            "after insert on auth.users",
            "security definer set search_path = ''",
            &INSERT.replace(';', &format!(" {on_conflict};")),
        )
        .replace("trigger further", "trigger zz_zz")
    };
    for maker in [Maker::Application, Maker::Rollcall] {
        Walk {
            maker,
            harmless: &theirs("on conflict do nothing"),
            wrong: &theirs(""),
            fixed_by: "drop trigger zz_zz on auth.users",
            ..WALK
        }
        .walk("signup_triggers_collide")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn signup_trigger_not_for_insert() -> Result<()> {
    let wrong = "create function public.moddatetime() returns trigger language internal as 'suppress_redundant_updates_trigger';
                 create trigger touch before insert or update on public.profiles for each row execute function public.moddatetime()";
    Walk {
        harmless: &trigger("before insert or update on public.profiles", "", ""),
        wrong,
        ..WALK
    }
    .walk("signup_trigger_not_for_insert")
    .await
    .map(drop)
}

#[tokio::test]
async fn before_trigger_discards_rows() -> Result<()> {
    let before = |table: &str, body: &str| {
        trigger(&format!("before insert on {table}"), "", body)
            .replace("return new; end $$", "end $$")
    };
    for table in ["auth.users", "public.profiles"] {
        Walk {
            harmless: &before(
                table,
                "-- never return null\n raise debug 'return null'; return new;",
            ),
            wrong: &before(table, "return null;"),
            fixed_by: &before(table, "return new;"),
            ..WALK
        }
        .walk("before_trigger_discards_rows")
        .await?;
    }
    // a gate may be meant, and no SQL opens it
    for (table, severity) in [
        ("auth.users", Severity::Info),
        ("public.profiles", Severity::Warning),
    ] {
        Walk {
            wrong: &before(
                table,
                "if new.email like '%.nowhere' then return null; end if; return new;",
            ),
            severity,
            fixed_by: "drop function public.further() cascade",
            ..WALK
        }
        .walk("before_trigger_discards_rows")
        .await?;
    }
    Ok(())
}

// The functions that a signup runs ------------------------------------------------------------------------------------

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

impl Walk<'_> {
    /// As [`Self::walk`], where the finding's SQL is not what is asked for.
    async fn walk_fixed_by_the_caller(self, id: &str) -> Result<()> {
        let project = Project::without_rollcall().await?;
        self.prepare(&project).await?;
        let admin = project.connect_as_superuser().await?;
        admin.batch_execute(self.wrong).await?;
        ensure!(ids(&project).await?.contains(&id));
        ensure!(!signup_works(&project, self.kind).await?);
        admin.batch_execute(self.fixed_by).await?;
        ensure!(!ids(&project).await?.contains(&id));
        ensure!(signup_works(&project, self.kind).await?);
        Ok(())
    }
}

#[tokio::test]
async fn signup_function_owner_lacks_rights() -> Result<()> {
    // roles belong to the whole server
    for (application, wrong, fixed_by) in [
        ("", "create role builder bypassrls; grant usage on schema public to builder; alter function public.handle_new_user() owner to builder", ""),
        (
            "create table public.visits (id serial, person uuid);",
            "create role builder bypassrls; grant usage on schema public to builder; grant insert on public.profiles, public.visits to builder;
             create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) values (new.id, new.email); insert into public.visits (person) values (new.id); return new; end $$;
             alter function public.handle_new_user() owner to builder",
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
        let server = Server::start(&Options::from_env()?)?;
        let project = Project::without_rollcall_on(&server).await?;
        let walk = Walk {
            application: &format!("{PROFILES} {application}"),
            harmless: "revoke all on function public.handle_new_user() from public, anon, authenticated, service_role",
            wrong,
            fixed_by,
            ..WALK
        };
        if fixed_by.starts_with("grant") {
            // of another's function, postgres may not grant
            walk.prepare(&project).await?;
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
            walk.walk_in(&project, "signup_function_owner_lacks_rights").await?;
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
    let project = Project::without_rollcall_on(&server).await?;
    Walk {
        harmless: "alter table public.profiles enable row level security; alter table public.profiles force row level security",
        wrong: "create role builder; grant usage on schema public to builder; grant insert on public.profiles to builder;
                alter function public.handle_new_user() owner to builder",
        fixed_by: "alter function public.handle_new_user() owner to postgres",
        ..WALK
    }
    .walk_in(&project, "row_level_security_blocks_signup")
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
    let project = Project::without_rollcall().await?;
    Walk {
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
    .prepare(&project)
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
    let project = Project::without_rollcall().await?;
    Walk {
        deployed: "create function public.confirm() returns trigger language plpgsql as $$ begin insert into public.gone values (1); return new; end $$;
                   create trigger confirm after update of email_confirmed_at on auth.users for each row execute function public.confirm();",
        ..WALK
    }
    .prepare(&project)
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
        let project = Project::without_rollcall().await?;
        Walk {
            application: &format!(
                "{PROFILES} create table public.settings (id uuid not null, name text);"
            ),
            deployed: &insert(value),
            ..WALK
        }
        .prepare(&project)
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
    let project = Project::without_rollcall().await?;
    Walk {
        deployed: &catching(""),
        ..WALK
    }
    .prepare(&project)
    .await?;
    project.add_users_without_profile(1).await?;
    let report = examine(&project).await?;
    ensure!(
        report.findings.iter().any(|finding| {
            finding.id == "signup_function_hides_errors" && finding.severity == Severity::Warning
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
    let project = Project::without_rollcall().await?;
    Walk {
        maker: Maker::Rollcall,
        deployed: &trigger(
            "before insert on public.profiles",
            "",
            "if new.email like 'person%' then raise exception 'not today'; end if;",
        ),
        ..WALK
    }
    .prepare(&project)
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
    let guard = "select rollcall.guard_function('public.handle_new_user()', true)";
    Walk {
        harmless: guard,
        wrong: &body(INSERT),
        severity: Severity::Warning,
        fixed_by: guard,
        ..WALK
    }
    .walk("guard_overwritten")
    .await
    .map(drop)
}

// The definition and the profile table ----------------------------------------------------------------------------------

/// What keeps Rollcall from making a profile is critical where it makes them, else a warning about repairs.
const STANCES: [(Maker, Severity); 2] = [
    (Maker::Rollcall, Severity::Critical),
    (Maker::Application, Severity::Warning),
];

#[tokio::test]
async fn profiles_cannot_be_made() -> Result<()> {
    for (maker, wrong, fixed_by, severity) in [
        (
            Maker::Rollcall,
            "alter table public.profiles rename column email to address",
            "alter table public.profiles rename column address to email",
            Severity::Critical,
        ),
        // what counts users goes on
        (
            Maker::Application,
            "alter table public.profiles alter column nickname type integer using null",
            "alter table public.profiles alter column nickname type text",
            Severity::Warning,
        ),
    ] {
        Walk {
            maker,
            application: &PROFILES.replace("email text", "email text, nickname text"),
            definition: &definition(", null::jsonb ->> 'nickname' as nickname"),
            harmless: "alter table public.profiles add column plan text",
            wrong,
            severity,
            fixed_by,
            ..WALK
        }
        .walk("profiles_cannot_be_made")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn unfilled_columns() -> Result<()> {
    for (maker, severity) in STANCES {
        Walk {
            maker,
            harmless: "alter table public.profiles add column plan text not null default 'free'",
            // the application's function fills it
            wrong: &match maker {
                Maker::Rollcall => "alter table public.profiles add column tenant uuid not null".to_owned(),
                _ => format!(
                    "alter table public.profiles add column tenant uuid not null; {}",
                    body("insert into public.profiles (id, email, tenant) values (new.id, new.email, gen_random_uuid());")
                ),
            },
            severity,
            fixed_by: "alter table public.profiles alter column tenant set default gen_random_uuid()",
            ..WALK
        }
        .walk("unfilled_columns")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn definition_gives_null() -> Result<()> {
    for (maker, severity) in STANCES {
        Walk {
            maker,
            deployed: match maker {
                Maker::Application => "create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
                    begin insert into public.profiles (id, email) values (new.id, coalesce(new.email, '')); return new; end $$",
                _ => "",
            },
            harmless: "alter table public.profiles add column plan text",
            wrong: "alter table public.profiles alter column email set not null",
            severity,
            fixed_by: &definition("").replace("u.email::text", "coalesce(u.email::text, '')"),
            kind: SignupKind::Anonymous,
            ..WALK
        }
        .walk("definition_gives_null")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn definition_breaks_check() -> Result<()> {
    for (maker, severity) in STANCES {
        Walk {
            maker,
            deployed: match maker {
                Maker::Application => "create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
                    begin insert into public.profiles (id, email) values (new.id, 'somebody@company.example'); return new; end $$",
                _ => "",
            },
            harmless: "alter table public.profiles add constraint is_address check (email like '%@%')",
            wrong: "alter table public.profiles add constraint is_company check (email like '%@company.example')",
            severity,
            fixed_by: &definition("").replace("u.email::text", "'somebody@company.example'::text"),
            ..WALK
        }
        .walk("definition_breaks_check")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_check_that_calls_the_applications_functions_is_not_run() -> Result<()> {
    let project = Project::without_rollcall().await?;
    Walk {
        application: &format!(
            "{PROFILES} create function public.is_fine(text) returns boolean language plpgsql as $$
             begin raise exception 'somebody called'; end $$;
             alter table public.profiles add constraint fine check (public.is_fine(email)) not valid;"
        ),
        ..WALK
    }
    .prepare(&project)
    .await?;
    assert_eq!(ids(&project).await?, ["audit_log_not_written"]);
    Ok(())
}

#[tokio::test]
async fn definition_cannot_be_computed() -> Result<()> {
    let filled = |expression: &str| definition(&format!(", {expression} as age"));
    for (maker, severity) in [
        (Maker::Rollcall, Severity::Warning),
        (Maker::Application, Severity::Info),
    ] {
        Walk {
            maker,
            application: &PROFILES.replace("email text", "email text, age integer"),
            definition: &filled("null::integer"),
            harmless: &filled("case when u.raw_user_meta_data ->> 'age' ~ '^\\d{1,3}$' then (u.raw_user_meta_data ->> 'age')::integer end"),
            wrong: &filled("(u.raw_user_meta_data ->> 'age')::integer"),
            severity,
            fixed_by: &filled("null::integer"),
            ..WALK
        }
        .walk("definition_cannot_be_computed")
        .await?;
    }
    Walk {
        maker: Maker::Rollcall,
        harmless: "alter table public.profiles alter column email type varchar(255)",
        wrong: "alter table public.profiles alter column email type varchar(10)",
        fixed_by: "alter table public.profiles alter column email type text",
        ..WALK
    }
    .walk("definition_cannot_be_computed")
    .await
    .map(drop)
}

#[tokio::test]
async fn definition_repeats_unique_value() -> Result<()> {
    for (maker, severity) in STANCES {
        let project = Project::without_rollcall().await?;
        let walk = Walk {
            maker,
            application: &PROFILES.replace(
                "email text",
                "email text, username text not null default gen_random_uuid()",
            ),
            definition: &definition(
                ", coalesce(u.raw_user_meta_data ->> 'username', '') as username",
            ),
            harmless: "create unique index email_once on public.profiles (email)",
            wrong: "alter table public.profiles add constraint username_once unique (username)",
            severity,
            fixed_by: &definition(""),
            ..WALK
        };
        if maker == Maker::Rollcall {
            // the first such user gets a profile
            walk.prepare(&project).await?;
            ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
            Walk {
                maker: Maker::Nobody,
                application: "select",
                kind: SignupKind::EmailAutoconfirm,
                ..walk
            }
            .walk_in(&project, "definition_repeats_unique_value")
            .await?;
            ensure!(signup_works(&project, SignupKind::EmailAutoconfirm).await?);
        } else {
            walk.walk_in(&project, "definition_repeats_unique_value")
                .await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn profile_key_references_other_table() -> Result<()> {
    Walk {
        application: "create table public.users (id uuid primary key);
                      create table public.profiles (id uuid primary key references auth.users on delete cascade, email text, boss uuid references public.users);",
        harmless: "alter table public.profiles add column friend uuid references public.users",
        wrong: "alter table public.profiles drop constraint profiles_id_fkey, add constraint profiles_id_fkey foreign key (id) references public.users",
        fixed_by: "alter table public.profiles drop constraint profiles_id_fkey, add constraint profiles_id_fkey foreign key (id) references auth.users on delete cascade",
        ..WALK
    }
    .walk("profile_key_references_other_table")
    .await
    .map(drop)
}

#[tokio::test]
async fn profile_email_taken() -> Result<()> {
    // two users of single sign-on who share an address
    let user = format!(
        "insert into auth.users (id, email, is_sso_user, {TOKENS}) values (gen_random_uuid(), 'shared@example.com', true, {EMPTY});"
    );
    let project = Project::without_rollcall().await?;
    Walk {
        application: &PROFILES.replace("email text", "email text unique"),
        deployed: &user,
        ..WALK
    }
    .prepare(&project)
    .await?;
    ensure!(!ids(&project).await?.contains(&"profile_email_taken"));
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute(&format!(
            "set session_replication_role = replica; {user} reset session_replication_role"
        ))
        .await?;
    let report = examine(&project).await?;
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.id == "profile_email_taken")
        .with_context(|| format!("{report:#?}"))?;
    assert_eq!(
        (finding.severity, &finding.fix),
        (Severity::Critical, &None)
    );
    admin
        .batch_execute("update public.profiles set email = 'own@example.com'")
        .await?;
    ensure!(!ids(&project).await?.contains(&"profile_email_taken"));
    Ok(())
}

#[tokio::test]
async fn profile_key_without_cascade() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add column boss uuid references auth.users",
        wrong: "alter table public.profiles drop constraint profiles_id_fkey, add constraint profiles_id_fkey foreign key (id) references auth.users",
        severity: Severity::Info,
        fixed_by: "alter table public.profiles drop constraint profiles_id_fkey, add constraint profiles_id_fkey foreign key (id) references auth.users on delete cascade",
        ..WALK
    }
    .walk("profile_key_without_cascade")
    .await
    .map(drop)
}

#[tokio::test]
async fn profile_key_without_reference() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add column boss uuid",
        wrong: "alter table public.profiles drop constraint profiles_id_fkey",
        severity: Severity::Info,
        fixed_by: "alter table public.profiles add foreign key (id) references auth.users on delete cascade",
        ..WALK
    }
    .walk("profile_key_without_reference")
    .await
    .map(drop)
}

// Users ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn users_loaded_past_trigger() -> Result<()> {
    let load = |number: u32| {
        format!(
            "begin; set local session_replication_role = replica;
             insert into auth.users (id, email, {TOKENS}) select gen_random_uuid(), 'u' || gen_random_uuid() || '@example.com', {EMPTY} from generate_series(1, {number});
             commit"
        )
    };
    Walk {
        wrong: &load(10),
        severity: Severity::Warning,
        beside: &["missing_profiles", "signup_trigger_missing"],
        fixed_by: "insert into public.profiles (id, email) select id, email from auth.users",
        ..WALK
    }
    .walk("users_loaded_past_trigger")
    .await?;
    // one by one, they missed their trigger otherwise
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let admin = project.connect_as_superuser().await?;
    for _ in 0..12 {
        admin.batch_execute(&load(1)).await?;
    }
    assert_eq!(
        ids(&project).await?,
        ["missing_profiles", "audit_log_not_written"]
    );
    Ok(())
}

#[tokio::test]
async fn users_with_null_tokens() -> Result<()> {
    Walk {
        harmless: &format!("insert into auth.users (id, email, {TOKENS}) values (gen_random_uuid(), 'a@example.com', {EMPTY})"),
        wrong: "insert into auth.users (id, email) values (gen_random_uuid(), 'b@example.com')",
        severity: Severity::Warning,
        ..WALK
    }
    .walk("users_with_null_tokens")
    .await
    .map(drop)
}

#[tokio::test]
async fn anonymous_upgrade_unnoticed() -> Result<()> {
    Walk {
        definition: &definition("").replace("u.deleted_at is null", "u.deleted_at is null and not u.is_anonymous"),
        wrong: &format!("insert into auth.users (id, is_anonymous, {TOKENS}) values ('00000000-0000-0000-0000-0000000000aa', true, {EMPTY})"),
        severity: Severity::Info,
        fixed_by: "create function public.upgrade() returns trigger language plpgsql security definer set search_path = '' as $$
                   begin insert into public.profiles (id, email) values (new.id, new.email) on conflict do nothing; return new; end $$;
                   create trigger upgrade after update of is_anonymous on auth.users for each row execute function public.upgrade()",
        ..WALK
    }
    .walk("anonymous_upgrade_unnoticed")
    .await
    .map(drop)
}

#[tokio::test]
async fn profiles_left_to_client() -> Result<()> {
    let project = Project::without_rollcall().await?;
    Walk {
        maker: Maker::Nobody,
        deployed: "alter table public.profiles enable row level security;
                   create policy own on public.profiles for insert to authenticated with check (auth.uid() = id)",
        ..WALK
    }
    .prepare(&project)
    .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Consistent);
    assert_eq!(
        (report.findings[0].id, report.findings[0].severity),
        ("profiles_left_to_client", Severity::Info)
    );
    project
        .auth()
        .await?
        .sign_up(SignupKind::EmailConfirmation, &Person::numbered(1))
        .await?;
    let report = examine(&project).await?;
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.id == "profiles_left_to_client")
        .with_context(|| format!("{report:#?}"))?;
    assert_eq!((finding.severity, &finding.fix), (Severity::Warning, &None));
    project.connect().await?.batch_execute(ITS_TRIGGER).await?;
    ensure!(!ids(&project).await?.contains(&"profiles_left_to_client"));
    ensure!(signup_works(&project, SignupKind::EmailConfirmation).await?);
    Ok(())
}

// Rollcall itself, and rights -------------------------------------------------------------------------------------------

#[tokio::test]
async fn not_all_visible() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    let finding = Walk {
        wrong: "alter role postgres nobypassrls",
        fixed_by: "alter role postgres bypassrls",
        ..WALK
    }
    .walk_in(&project, "not_all_visible")
    .await?;
    assert_eq!(finding.verdict(), Verdict::Unknown);
    ensure!(finding.next_step.contains("BYPASSRLS"), "{finding:?}");
    Ok(())
}

#[tokio::test]
async fn migrations_incomplete() -> Result<()> {
    Walk {
        wrong: "drop function public.monitor_signup_health()",
        severity: Severity::Warning,
        fixed_by: "create function public.monitor_signup_health() returns void language sql as 'select'",
        ..WALK
    }
    .walk("migrations_incomplete")
    .await
    .map(drop)
}

#[tokio::test]
async fn rollcall_exposed() -> Result<()> {
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let client = project.connect().await?;
    let admin = project.connect_as_superuser().await?;
    client
        .batch_execute("grant execute on function public.monitor_signup_health() to service_role")
        .await?;
    for (wrong, severity) in [
        (
            "grant execute on function public.monitor_signup_health() to anon",
            Severity::Critical,
        ),
        (
            "grant execute on function public.monitor_signup_health() to public",
            Severity::Critical,
        ),
        (
            "grant select on public.signup_audit_summary to authenticated",
            Severity::Critical,
        ),
        // out of reach, as long as the schema is
        (
            "grant select on rollcall.event to authenticated",
            Severity::Warning,
        ),
    ] {
        ensure!(!ids(&project).await?.contains(&"rollcall_exposed"));
        admin.batch_execute(wrong).await?;
        let report = examine(&project).await?;
        let finding = report
            .findings
            .iter()
            .find(|finding| finding.id == "rollcall_exposed")
            .with_context(|| wrong.to_owned())?;
        assert_eq!(finding.severity, severity, "{wrong}");
        client
            .batch_execute(finding.fix.as_deref().context("a fix")?)
            .await?;
    }
    ensure!(!ids(&project).await?.contains(&"rollcall_exposed"));
    Ok(())
}

#[tokio::test]
async fn rollcall_owner_lacks_rights() -> Result<()> {
    for (maker, function, verdict) in [
        (
            Maker::Rollcall,
            "public.handle_new_user()",
            Verdict::Inconsistent,
        ),
        (
            Maker::Application,
            "rollcall.missing_user_ids(integer)",
            Verdict::Unknown,
        ),
    ] {
        let server = Server::start(&Options::from_env()?)?;
        let project = Project::without_rollcall_on(&server).await?;
        let finding = Walk {
            maker,
            wrong: &format!("create role nobody_in_particular; grant nobody_in_particular to postgres; alter function {function} owner to nobody_in_particular"),
            ..WALK
        }
        .walk_in(&project, "rollcall_owner_lacks_rights")
        .await?;
        assert_eq!(finding.verdict(), verdict);
    }
    Ok(())
}

#[tokio::test]
async fn auth_users_exposed() -> Result<()> {
    Walk {
        harmless: "create view public.mine with (security_invoker = on) as select id from auth.users; grant select on public.mine to anon;
                   create view public.ours as select id from auth.users; revoke all on public.ours from anon, authenticated;",
        wrong: "create view public.people as select id, email from auth.users; alter view public.people owner to postgres; grant select on public.people to anon",
        severity: Severity::Warning,
        fixed_by: "revoke all on public.people from anon, authenticated",
        ..WALK
    }
    .walk("auth_users_exposed")
    .await
    .map(drop)
}

#[tokio::test]
async fn audit_log_not_written() -> Result<()> {
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Consistent);
    let [finding] = &report.findings[..] else {
        anyhow::bail!("{report:?}");
    };
    assert_eq!(
        (finding.id, finding.severity),
        ("audit_log_not_written", Severity::Info)
    );
    signup_works(&project, SignupKind::EmailAutoconfirm).await?;
    assert_eq!(ids(&project).await?, [""; 0]);
    Ok(())
}

// All of them ---------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_doctor_who_cannot_look_says_so() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute("drop function rollcall.row_facts()")
        .await?;
    let mut database = project.rollcall().await?;
    ensure!(DoctorReport::take(&mut database).await.is_err());
    ensure!(HealthReport::take(&mut database).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_check_that_fails_by_itself_hides_no_other() -> Result<()> {
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "create or replace function rollcall.audit_log_state() returns text language plpgsql as $$ begin return 1 / 0; end $$; {}",
            body(&INSERT.replace("public.", ""))
        ))
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Inconsistent);
    let of = |id| report.findings.iter().find(|finding| finding.id == id);
    let failed = of("audit_log_not_written").context("it is not said")?;
    assert_eq!(failed.verdict(), Verdict::Unknown);
    ensure!(of("signup_function_search_path").is_some(), "{report:#?}");
    Ok(())
}

#[tokio::test]
async fn whoever_waits_for_a_lock_accuses_nobody() -> Result<()> {
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let mut admin = project.connect_as_superuser().await?;
    let transaction = admin.transaction().await?;
    transaction
        .batch_execute("lock table auth.users in access exclusive mode")
        .await?;
    let error = DoctorReport::take(&mut project.rollcall().await?)
        .await
        .expect_err("the users are locked");
    ensure!(error.is_retryable(), "{error:?}");
    transaction.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn without_a_definition_the_signup_path_is_examined_all_the_same() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute("create table public.notes (id bigint primary key, body text)")
        .await?;
    project.migrate().await?;
    client
        .batch_execute(&trigger(
            "after insert on auth.users",
            "",
            "insert into public.gone values (new.id);",
        ))
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Inconsistent);
    let ids: Vec<&str> = report.findings.iter().map(|finding| finding.id).collect();
    ensure!(
        ids.contains(&"no_definition") && ids.contains(&"signup_function_names_unknown_object"),
        "{ids:?}"
    );
    client
        .batch_execute("drop function public.further() cascade")
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Unknown);
    assert_eq!(report.findings[0].id, "no_definition");
    Ok(())
}

#[tokio::test]
async fn the_reports_say_what_the_doctor_finds_critical_and_leave_its_warnings_to_it() -> Result<()>
{
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let client = project.connect().await?;
    // blocks every signup, so that there is no row to count
    client
        .batch_execute(&format!(
            "{} alter table public.profiles add column tenant uuid not null default gen_random_uuid()",
            function("", "insert into profiles (id) values (new.id); perform pg_sleep(0);")
        ))
        .await?;
    ensure!(!signup_works(&project, SignupKind::EmailAutoconfirm).await?);
    assert_eq!(project.count("select count(*) from auth.users").await?, 0);
    let health = HealthReport::take(&mut project.rollcall().await?).await?;
    let diagnosis = Diagnosis::take(&mut project.rollcall().await?).await?;
    for (verdict, findings) in [
        (health.verdict, health.findings),
        (diagnosis.verdict, diagnosis.findings),
    ] {
        assert_eq!(verdict, Verdict::Inconsistent);
        let ids: Vec<&str> = findings.iter().map(|finding| finding.id).collect();
        assert_eq!(
            ids,
            [
                "signup_function_runs_as_caller",
                "signup_function_search_path",
                "audit_log_not_written"
            ]
        );
    }
    ensure!(ids(&project).await?.contains(&"signup_function_waits"));
    Ok(())
}

#[tokio::test]
async fn the_monitors_role_sees_the_same() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    WALK.prepare(&project).await?;
    let admin = project.connect_as_superuser().await?;
    admin
        .batch_execute("alter role rollcall_monitor login; alter table public.profiles add constraint is_company check (email like '%@company.example')")
        .await?;
    project.break_signups().await?;
    let as_owner = serde_json::to_value(examine(&project).await?.findings)?;
    let url = project.database.url_as("rollcall_monitor");
    let finished = rollcall(&[("DATABASE_URL", &url)], &["doctor", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    let report = finished.json()?;
    assert_eq!(report["verdict"], "inconsistent");
    assert_eq!(report["findings"], as_owner);
    assert_eq!(report["findings"][0]["id"], "signup_trigger_disabled");
    ensure!(
        report["findings"][0]["fix"]
            .as_str()
            .is_some_and(|fix| fix.starts_with("create or replace trigger"))
    );
    Ok(())
}

#[tokio::test]
async fn looking_without_installing_says_the_same() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "{PROFILES} {ITS_TRIGGER} {}",
            body(&INSERT.replace("public.", ""))
        ))
        .await?;
    let url = project.url();
    let finished = rollcall(&[("DATABASE_URL", &url)], &["doctor", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    assert_eq!(
        finished.json()?["findings"][0]["id"],
        "signup_function_search_path"
    );
    assert_eq!(
        project
            .count("select count(*) from pg_namespace where nspname = 'rollcall'")
            .await?,
        0
    );
    Ok(())
}

#[tokio::test]
async fn the_command_prints_the_findings_with_their_fix() -> Result<()> {
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let mut transcript = rollcall(&env, &["doctor"]).await?.to_string();
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "{} alter table public.profiles drop constraint profiles_id_fkey",
            function("security definer", &INSERT.replace("public.", ""))
        ))
        .await?;
    transcript += &rollcall(&env, &["doctor"]).await?.to_string();
    insta::assert_snapshot!(transcript);
    Ok(())
}

#[test]
fn a_check_is_a_file_an_id_a_test_and_a_section() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ids: BTreeSet<String> = check_ids().map(ToOwned::to_owned).collect();
    assert_eq!(ids.len(), check_ids().count());

    let mut files = BTreeSet::new();
    for entry in fs::read_dir(root.join("shared/src/checks/doctor"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        files.extend(name.strip_suffix(".sql").map(ToOwned::to_owned));
    }
    assert_eq!(files, ids);

    let tests: BTreeSet<String> = include_str!("doctor.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("async fn ")?.split('(').next())
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(ids.difference(&tests).collect::<Vec<_>>(), [""; 0]);

    let sections: BTreeSet<String> = fs::read_to_string(root.join("docs/doctor.md"))?
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .map(|id| id.trim_matches('`').to_owned())
        .collect();
    assert_eq!(sections, ids);
    Ok(())
}

#[tokio::test]
async fn nothing_that_the_doctor_says_repeats_a_value() -> Result<()> {
    let project = Project::without_rollcall().await?;
    WALK.prepare(&project).await?;
    let client = project.connect().await?;
    let marker = Uuid::new_v4().simple().to_string();
    client
        .batch_execute(&format!(
            "insert into auth.users (id, email, raw_user_meta_data) values (gen_random_uuid(), 'x{marker}@example.com', '{{\"name\": \"{marker}\"}}');
             alter table public.profiles add constraint no_{} check (email is null) not valid",
            &marker[..8]
        ))
        .await?;
    let report = serde_json::to_string(&examine(&project).await?)?;
    ensure!(
        report.contains("definition_breaks_check") && !report.contains(&marker),
        "{report}"
    );
    Ok(())
}

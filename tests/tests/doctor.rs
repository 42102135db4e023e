//! Every check of the doctor, one test each under the check's own name: content with what is healthy, content with a
//! harmless variant, one finding when it is made wrong, which is true of the next signup, and none once the finding's
//! own fix was run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::doctor::{CHECKS, DoctorReport};
use rollcall::checks::health::HealthReport;
use rollcall::finding::{Finding, Severity};
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Person, Server, SignupKind};
use rollcall_tests::command_line::rollcall;
use rollcall_tests::project::Project;
use rollcall_tests::sql::value;
use uuid::Uuid;

const PROFILES: &str = "
    create table public.profiles (
      id uuid primary key references auth.users (id) on delete cascade,
      email text
    );";

/// The application's own way of making profiles, put in place after Rollcall's.
const APPLICATIONS_OWN: &str = "
    create or replace function public.handle_new_user() returns trigger
    language plpgsql security definer set search_path = '' as $$
    begin insert into public.profiles (id, email) values (new.id, new.email); return new; end $$;";

/// How a check is walked through.
struct Walk<'a> {
    /// What the application has before Rollcall comes.
    application: &'a str,
    /// What it does afterwards, all of it healthy.
    deployed: &'a str,
    /// What looks like the fault and is none.
    harmless: &'a str,
    /// The fault.
    wrong: &'a str,
    /// How much it matters.
    severity: Severity,
    /// What mends it, where no SQL of the finding does.
    mended_by: &'a str,
    /// Who signs up: of a critical finding it must be true that they get no profile.
    kind: SignupKind,
}

const WALK: Walk<'_> = Walk {
    application: PROFILES,
    deployed: "",
    harmless: "select",
    wrong: "",
    severity: Severity::Critical,
    mended_by: "",
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
    let sql = format!("select count(*) from rollcall.actual_profile where _user_id = '{id}'");
    Ok(project.count(&sql).await? == 1)
}

impl Walk<'_> {
    async fn walk(self, id: &str) -> Result<Finding> {
        let project = Project::without_rollcall().await?;
        self.walk_in(&project, id).await
    }

    async fn walk_in(self, project: &Project, id: &str) -> Result<Finding> {
        let admin = project.connect_as_superuser().await?;
        let client = project.connect().await?;
        client.batch_execute(self.application).await?;
        project.migrate().await?;
        client.batch_execute(self.deployed).await?;
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
            .collect();
        ensure!(others.is_empty(), "one fact, and yet: {others:#?}");
        if self.severity == Severity::Critical {
            assert_eq!(report.verdict, finding.verdict());
            if finding.verdict() == Verdict::Inconsistent {
                ensure!(!signup_works(project, self.kind).await?, "it is not true");
            }
        }

        if self.mended_by.is_empty() {
            let fix = finding.fix.as_deref().context("no fix")?;
            client
                .batch_execute(fix)
                .await
                .with_context(|| fix.to_owned())?;
        } else {
            admin
                .batch_execute(self.mended_by)
                .await
                .context("mended by")?;
        }
        let mended = ids(project).await?;
        ensure!(!mended.contains(&id), "mended, and yet: {mended:?}");
        if self.severity != Severity::Info && finding.verdict() != Verdict::Unknown {
            ensure!(
                signup_works(project, self.kind).await?,
                "mended, and yet no profile"
            );
        }
        Ok(finding.clone())
    }
}

// The signup trigger --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn signup_trigger_missing() -> Result<()> {
    Walk {
        // another team's
        harmless: "create function public.greet() returns trigger language plpgsql as $$ begin perform 'insert into profiles'; return new; end $$;
                   create trigger a_greeting after insert on auth.users for each row execute function public.greet()",
        wrong: "drop trigger on_auth_user_created on auth.users",
        ..WALK
    }
    .walk("signup_trigger_missing")
    .await?;
    Walk {
        wrong: "drop function public.handle_new_user() cascade",
        ..WALK
    }
    .walk("signup_trigger_missing")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_trigger_disabled() -> Result<()> {
    for (deployed, how) in [
        ("", "disable"),
        ("", "enable replica"),
        (APPLICATIONS_OWN, "disable"),
    ] {
        Walk {
            deployed,
            // one that somebody switched off on purpose
            harmless: "create function public.greet() returns trigger language plpgsql as $$ begin return new; end $$;
                       create trigger a_greeting after insert on auth.users for each row execute function public.greet();",
            wrong: &format!("alter table auth.users disable trigger a_greeting; alter table auth.users {how} trigger on_auth_user_created"),
            ..WALK
        }
        .walk("signup_trigger_disabled")
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn signup_trigger_foreign() -> Result<()> {
    let project = Project::without_rollcall().await?;
    Walk {
        wrong: APPLICATIONS_OWN,
        severity: Severity::Info,
        mended_by: "create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.on_signup()",
        ..WALK
    }
    .walk_in(&project, "signup_trigger_foreign")
    .await?;
    assert_eq!(examine(&project).await?.verdict, Verdict::Consistent);
    Ok(())
}

#[tokio::test]
async fn signup_trigger_left_to_application() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let finding = Walk {
        wrong: "create function public.late() returns trigger language plpgsql security definer set search_path = '' as $$
                begin insert into public.profiles (id) values (new.user_id); return new; end $$;
                create trigger late after insert on auth.identities for each row execute function public.late();
                create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.leave_to_later_trigger()",
        mended_by: "drop trigger late on auth.identities;
                    create or replace trigger on_auth_user_created after insert on auth.users for each row execute function rollcall.on_signup()",
        ..WALK
    }
    .walk_in(&project, "signup_trigger_left_to_application")
    .await?;
    assert_eq!(finding.verdict(), Verdict::Unknown);
    ensure!(
        finding.evidence[0].contains("late on auth.identities"),
        "{finding:?}"
    );
    Ok(())
}

#[tokio::test]
async fn signup_trigger_conditional() -> Result<()> {
    Walk {
        harmless: "create function public.greet() returns trigger language plpgsql as $$ begin return new; end $$;
                   create trigger a_greeting after insert on auth.users for each row when (new.email is not null) execute function public.greet();",
        wrong: "create or replace trigger on_auth_user_created after insert on auth.users for each row
                when (new.email is not null) execute function public.handle_new_user()",
        kind: SignupKind::PhoneAutoconfirm,
        ..WALK
    }
    .walk("signup_trigger_conditional")
    .await?;
    // of the application's own, the definition may say the same
    Walk {
        deployed: APPLICATIONS_OWN,
        wrong:
            "create or replace trigger on_auth_user_created after insert on auth.users for each row
                when (not new.is_anonymous) execute function public.handle_new_user()",
        severity: Severity::Warning,
        ..WALK
    }
    .walk("signup_trigger_conditional")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_triggers_collide() -> Result<()> {
    let theirs = |on_conflict: &str| {
        format!(
            "create or replace function public.theirs() returns trigger language plpgsql security definer set search_path = '' as $$
             begin insert into public.profiles (id, email) values (new.id, new.email) {on_conflict}; return new; end $$;
             create or replace trigger on_signup after insert on auth.users for each row execute function public.theirs();"
        )
    };
    Walk {
        harmless: &theirs("on conflict do nothing"),
        wrong: &theirs(""),
        ..WALK
    }
    .walk("signup_triggers_collide")
    .await?;
    Walk {
        deployed: APPLICATIONS_OWN,
        wrong: &theirs(""),
        ..WALK
    }
    .walk("signup_triggers_collide")
    .await
    .map(drop)
}

#[tokio::test]
async fn before_trigger_discards_rows() -> Result<()> {
    let before = |table: &str, body: &str| {
        format!(
            "set role postgres; create or replace function public.look() returns trigger language plpgsql as $$ begin {body} end $$;
             create or replace trigger look before insert on {table} for each row execute function public.look(); reset role;"
        )
    };
    for table in ["auth.users", "public.profiles"] {
        Walk {
            harmless: &before(
                table,
                "-- never return null\n raise debug 'return null'; return new;",
            ),
            wrong: &before(table, "return null;"),
            ..WALK
        }
        .walk("before_trigger_discards_rows")
        .await?;
    }
    Walk {
        wrong: &before(
            "auth.users",
            "if new.email like '%.example' then return null; end if; return new;",
        ),
        severity: Severity::Warning,
        ..WALK
    }
    .walk("before_trigger_discards_rows")
    .await
    .map(drop)
}

// The application's own signup function ---------------------------------------------------------------------------------

/// The application's function with other options or another body.
fn function(options: &str, body: &str) -> String {
    format!(
        "set role postgres; create or replace function public.handle_new_user() returns trigger language plpgsql {options} as $$
         begin {body} return new; end $$; reset role;"
    )
}

const INSERT: &str = "insert into public.profiles (id, email) values (new.id, new.email);";

#[tokio::test]
async fn signup_function_runs_as_caller() -> Result<()> {
    Walk {
        deployed: APPLICATIONS_OWN,
        // what writes nothing may run as anybody
        harmless: "create function public.greet() returns trigger language plpgsql as $$ begin perform 1; return new; end $$;
                   create trigger a_greeting after insert on auth.users for each row execute function public.greet();",
        wrong: &function("security invoker set search_path = ''", INSERT),
        ..WALK
    }
    .walk("signup_function_runs_as_caller")
    .await?;
    // as people write it
    Walk {
        deployed: APPLICATIONS_OWN,
        wrong: &function("", "insert into public.profiles (id) values (new.id);")
            .replace("language plpgsql", "language plpgsql security invoker"),
        ..WALK
    }
    .walk("signup_function_runs_as_caller")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_owner_lacks_rights() -> Result<()> {
    // roles belong to the whole server
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::without_rollcall_on(&server).await?;
    Walk {
        deployed: APPLICATIONS_OWN,
        harmless: "revoke all on function public.handle_new_user() from public, anon, authenticated, service_role",
        wrong: "create role builder bypassrls; grant usage on schema public to builder; alter function public.handle_new_user() owner to builder",
        ..WALK
    }
    .walk_in(&project, "signup_function_owner_lacks_rights")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_lacks_schema() -> Result<()> {
    Walk {
        deployed: APPLICATIONS_OWN,
        // what supabase_auth_admin may not use is no matter to a function that runs as its owner
        harmless: "revoke usage on schema public from supabase_auth_admin",
        wrong: &format!(
            "create schema app authorization postgres; create table app.signups (id uuid); alter table app.signups owner to postgres;
             grant insert on app.signups to supabase_auth_admin; {}",
            "create function public.count_signups() returns trigger language plpgsql set search_path = '' as $$
             begin insert into app.signups values (new.id); return new; end $$;
             create trigger count_signups after insert on auth.users for each row execute function public.count_signups();"
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
        deployed: APPLICATIONS_OWN,
        harmless: "alter table public.profiles enable row level security; alter table public.profiles force row level security",
        wrong: "create role builder; grant usage on schema public to builder; grant insert on public.profiles to builder;
                alter function public.handle_new_user() owner to builder",
        ..WALK
    }
    .walk_in(&project, "row_level_security_blocks_signup")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_search_path() -> Result<()> {
    let qualified = function(
        "security definer",
        "insert into public.profiles as p (id, email) values (new.id, new.email); perform count(*) from public.profiles;",
    );
    Walk {
        deployed: APPLICATIONS_OWN,
        harmless: &qualified,
        wrong: &function("security definer", &INSERT.replace("public.", "")),
        ..WALK
    }
    .walk("signup_function_search_path")
    .await?;
    // a path that is set, and is the wrong one
    Walk {
        deployed: APPLICATIONS_OWN,
        wrong: &function(
            "security definer set search_path = ''",
            &INSERT.replace("public.", ""),
        ),
        ..WALK
    }
    .walk("signup_function_search_path")
    .await?;
    // a type and a function
    for named in ["'sme'::account_kind::text", "nickname(new.email)"] {
        Walk {
            deployed: APPLICATIONS_OWN,
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
async fn signup_function_names_unknown_object() -> Result<()> {
    for (wrong, kept) in [
        (
            "alter table public.settings rename to preferences",
            "public.settings",
        ),
        (
            "alter table public.settings rename column theme to colours",
            "column theme",
        ),
    ] {
        let finding = Walk {
            application: &format!("{PROFILES} create table public.settings (id uuid, theme text);"),
            deployed: &function(
                "security definer set search_path = ''",
                &format!(
                    "{INSERT} insert into public.settings (id, theme) values (new.id, 'dark');"
                ),
            ),
            harmless: "alter table public.settings add column size integer",
            wrong,
            ..WALK
        }
        .walk("signup_function_names_unknown_object")
        .await?;
        ensure!(finding.summary.contains(kept), "{finding:?}");
    }
    Ok(())
}

#[tokio::test]
async fn signup_function_leaves_column_empty() -> Result<()> {
    Walk {
        application: &format!("{PROFILES} create table public.settings (id uuid, theme text);"),
        deployed: &function(
            "security definer set search_path = ''",
            &format!("{INSERT} insert into public.settings (id) values (new.id);"),
        ),
        harmless: "alter table public.settings add column size integer not null default 1",
        wrong: "alter table public.settings alter column theme set not null",
        ..WALK
    }
    .walk("signup_function_leaves_column_empty")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_needs_email() -> Result<()> {
    for (value, kind) in [
        ("new.email", SignupKind::Anonymous),
        ("new.phone", SignupKind::EmailAutoconfirm),
        (
            "new.raw_user_meta_data->>'username'",
            SignupKind::EmailAutoconfirm,
        ),
    ] {
        Walk {
            application: &format!(
                "{PROFILES} create table public.settings (id uuid not null, name text);"
            ),
            deployed: &function(
                "security definer set search_path = ''",
                &format!(
                    "{INSERT} insert into public.settings (id, name) values (new.id, {value});"
                ),
            ),
            harmless: "alter table public.profiles alter column email drop not null",
            wrong: "alter table public.settings alter column name set not null",
            kind,
            ..WALK
        }
        .walk("signup_function_needs_email")
        .await?;
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client
            .batch_execute(&format!(
                "{PROFILES} create table public.settings (id uuid not null, name text not null);"
            ))
            .await?;
        project.migrate().await?;
        client
            .batch_execute(
                &function(
                    "security definer set search_path = ''",
                    &format!("{INSERT} insert into public.settings (id, name) values (new.id, coalesce({value}, 'nobody'));"),
                ),
            )
            .await?;
        assert_eq!(
            ids(&project).await?,
            ["signup_trigger_foreign", "audit_log_not_written"]
        );
    }
    Ok(())
}

#[tokio::test]
async fn signup_function_casts_metadata() -> Result<()> {
    Walk {
        deployed: APPLICATIONS_OWN,
        harmless: &function("security definer set search_path = ''", "insert into public.profiles (id, email) values (new.id, (new.raw_user_meta_data->>'mail')::text);"),
        wrong: &function("security definer set search_path = ''", &format!("perform (new.raw_user_meta_data->>'age')::integer; {INSERT}")),
        severity: Severity::Warning,
        ..WALK
    }
    .walk("signup_function_casts_metadata")
    .await
    .map(drop)
}

#[tokio::test]
async fn signup_function_hides_errors() -> Result<()> {
    let catching = |handler: &str| {
        format!(
            "create or replace function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
             begin {INSERT} return new; exception when others then {handler} return new; end $$; alter function public.handle_new_user() owner to postgres;"
        )
    };
    Walk {
        deployed: APPLICATIONS_OWN,
        harmless: &catching("raise exception 'no profile: %', sqlstate;"),
        wrong: &catching("raise warning 'no profile: %', sqlstate;"),
        severity: Severity::Warning,
        ..WALK
    }
    .walk("signup_function_hides_errors")
    .await
    .map(drop)
}

// The definition and the profile table ----------------------------------------------------------------------------------

#[tokio::test]
async fn profiles_cannot_be_made() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add column nickname text",
        wrong: "alter table public.profiles rename column email to address",
        mended_by: "alter table public.profiles rename column address to email",
        ..WALK
    }
    .walk("profiles_cannot_be_made")
    .await
    .map(drop)
}

#[tokio::test]
async fn unfilled_columns() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add column plan text not null default 'free'",
        wrong: "alter table public.profiles add column birthday date not null",
        ..WALK
    }
    .walk("unfilled_columns")
    .await
    .map(drop)
}

#[tokio::test]
async fn definition_gives_null() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add column plan text",
        wrong: "alter table public.profiles alter column email set not null",
        kind: SignupKind::Anonymous,
        ..WALK
    }
    .walk("definition_gives_null")
    .await
    .map(drop)
}

#[tokio::test]
async fn definition_breaks_check() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add constraint is_address check (email like '%@%')",
        wrong: "alter table public.profiles add constraint is_company check (email like '%@company.example')",
        ..WALK
    }
    .walk("definition_breaks_check")
    .await
    .map(drop)
}

#[tokio::test]
async fn definition_cannot_be_computed() -> Result<()> {
    let filled = |expression: &str| {
        format!(
            "create or replace view rollcall.expected_profile as
             select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email, {expression} as age
             from auth.users u where u.deleted_at is null"
        )
    };
    Walk {
        application: &PROFILES.replace("email text", "email text, age integer"),
        harmless: &filled("case when u.raw_user_meta_data ->> 'age' ~ '^\\d{1,3}$' then (u.raw_user_meta_data ->> 'age')::integer end"),
        wrong: &filled("(u.raw_user_meta_data ->> 'age')::integer"),
        severity: Severity::Warning,
        mended_by: &filled("null::integer"),
        ..WALK
    }
    .walk("definition_cannot_be_computed")
    .await?;
    Walk {
        harmless: "drop view rollcall.actual_profile; alter table public.profiles alter column email type varchar(255); select rollcall.adopt_profile_table()",
        wrong: "drop view rollcall.actual_profile; alter table public.profiles alter column email type varchar(10); select rollcall.adopt_profile_table()",
        mended_by: "drop view rollcall.actual_profile; alter table public.profiles alter column email type text; select rollcall.adopt_profile_table()",
        ..WALK
    }
    .walk("definition_cannot_be_computed")
    .await
    .map(drop)
}

#[tokio::test]
async fn definition_repeats_unique_value() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(&PROFILES.replace(
            "email text",
            "email text, username text not null default ''",
        ))
        .await?;
    project.migrate().await?;
    signup_works(&project, SignupKind::EmailAutoconfirm).await?;
    let sql = "create or replace view rollcall.expected_profile as
               select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email,
                 coalesce(u.raw_user_meta_data ->> 'username', '') as username
               from auth.users u where u.deleted_at is null";
    Walk {
        application: "select",
        deployed: sql,
        harmless: "create unique index email_once on public.profiles (email)",
        wrong: "alter table public.profiles add constraint username_once unique (username)",
        ..WALK
    }
    .walk_in(&project, "definition_repeats_unique_value")
    .await
    .map(drop)
}

#[tokio::test]
async fn profile_key_references_other_table() -> Result<()> {
    Walk {
        application: "create table public.users (id uuid primary key);
                      create table public.profiles (id uuid primary key references auth.users on delete cascade, email text, boss uuid references public.users);",
        harmless: "alter table public.profiles add column friend uuid references public.users",
        wrong: "alter table public.profiles drop constraint profiles_id_fkey, add constraint profiles_id_fkey foreign key (id) references public.users",
        ..WALK
    }
    .walk("profile_key_references_other_table")
    .await
    .map(drop)
}

#[tokio::test]
async fn profile_key_without_cascade() -> Result<()> {
    Walk {
        harmless: "alter table public.profiles add column boss uuid references auth.users",
        wrong: "alter table public.profiles drop constraint profiles_id_fkey, add constraint profiles_id_fkey foreign key (id) references auth.users",
        severity: Severity::Warning,
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
        severity: Severity::Warning,
        ..WALK
    }
    .walk("profile_key_without_reference")
    .await
    .map(drop)
}

#[tokio::test]
async fn profile_email_taken() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let finding = Walk {
        application: &PROFILES.replace("email text", "email text unique"),
        harmless: "create index other on public.profiles (email)",
        // two users of single sign-on who share an address
        wrong: &format!(
            "insert into auth.users (id, email, is_sso_user, {TOKENS}) values
               (gen_random_uuid(), 'shared@example.com', true, {EMPTY}), (gen_random_uuid(), 'shared@example.com', true, {EMPTY})"
        ),
        severity: Severity::Critical,
        mended_by: "alter table public.profiles drop constraint profiles_email_key; select public.backfill_all_missing_profiles(10, false)",
        ..WALK
    };
    // who comes with an address of his own is well
    ensure!(
        finding
            .walk_in(&project, "profile_email_taken")
            .await
            .is_err_and(|error| error.to_string() == "it is not true")
    );
    let report = examine(&project).await?;
    let fix = report.findings[0].fix.clone().context("a fix")?;
    let client = project.connect().await?;
    client.batch_execute(&fix).await?;
    client
        .batch_execute("select public.backfill_all_missing_profiles(10, false)")
        .await?;
    ensure!(!ids(&project).await?.contains(&"profile_email_taken"));
    assert_eq!(
        project
            .count("select count(*) from public.profiles where email = 'shared@example.com'")
            .await?,
        2
    );
    Ok(())
}

// Users ---------------------------------------------------------------------------------------------------------------

const TOKENS: &str = "confirmation_token, recovery_token, email_change, email_change_token_new";
const EMPTY: &str = "'', '', '', ''";

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
        harmless: "select",
        wrong: &load(10),
        severity: Severity::Warning,
        ..WALK
    }
    .walk("users_loaded_past_trigger")
    .await?;
    // one by one, they missed their trigger otherwise
    let project = Project::migrated().await?;
    let admin = project.connect_as_superuser().await?;
    for _ in 0..12 {
        admin.batch_execute(&load(1)).await?;
    }
    assert_eq!(ids(&project).await?, ["audit_log_not_written"]);
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
    let project = Project::without_rollcall().await?;
    Walk {
        harmless: "create or replace view rollcall.expected_profile as
                   select u.id as _user_id, u.created_at as _signed_up_at, u.id, u.email::text as email
                   from auth.users u where u.deleted_at is null and not u.is_anonymous",
        wrong: &format!("insert into auth.users (id, is_anonymous, {TOKENS}) values ('00000000-0000-0000-0000-0000000000aa', true, {EMPTY})"),
        severity: Severity::Warning,
        ..WALK
    }
    .walk_in(&project, "anonymous_upgrade_unnoticed")
    .await?;
    project
        .connect()
        .await?
        .batch_execute("update auth.users set is_anonymous = false, email = 'real@example.com' where is_anonymous")
        .await?;
    assert_eq!(
        project
            .count("select count(*) from public.profiles where email = 'real@example.com'")
            .await?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn profiles_left_to_client() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client
        .batch_execute(&format!(
            "{PROFILES} alter table public.profiles enable row level security;
             create policy own on public.profiles for insert to authenticated with check (auth.uid() = id)"
        ))
        .await?;
    project.migrate().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("drop trigger on_auth_user_created on auth.users")
        .await?;
    assert_eq!(
        ids(&project).await?,
        ["signup_trigger_missing", "audit_log_not_written"]
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
        .with_context(|| format!("{report:?}"))?;
    assert_eq!(finding.severity, Severity::Warning);
    client
        .batch_execute(finding.fix.as_deref().context("a fix")?)
        .await?;
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
        mended_by: "alter role postgres bypassrls",
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
        mended_by: "create function public.monitor_signup_health() returns void language sql as 'select'",
        ..WALK
    }
    .walk("migrations_incomplete")
    .await
    .map(drop)
}

#[tokio::test]
async fn rollcall_exposed() -> Result<()> {
    Walk {
        harmless: "grant execute on function public.monitor_signup_health() to service_role",
        wrong: "grant execute on function public.monitor_signup_health() to anon; grant select on rollcall.expected_profile to authenticated",
        severity: Severity::Warning,
        ..WALK
    }
    .walk("rollcall_exposed")
    .await
    .map(drop)
}

#[tokio::test]
async fn auth_users_exposed() -> Result<()> {
    Walk {
        harmless: "create view public.mine with (security_invoker = on) as select id from auth.users; grant select on public.mine to anon;
                   create view public.ours as select id from auth.users; revoke all on public.ours from anon, authenticated;",
        wrong: "create view public.people as select id, email from auth.users; alter view public.people owner to postgres; grant select on public.people to anon",
        severity: Severity::Warning,
        ..WALK
    }
    .walk("auth_users_exposed")
    .await
    .map(drop)
}

#[tokio::test]
async fn audit_log_not_written() -> Result<()> {
    let project = Project::migrated().await?;
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
async fn a_check_that_cannot_look_says_so() -> Result<()> {
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    client
        .batch_execute("drop function rollcall.doctor_signup_trigger_missing()")
        .await?;
    let report = examine(&project).await?;
    assert_eq!(report.verdict, Verdict::Unknown);
    assert_eq!(report.findings[0].id, "signup_trigger_missing");
    let report = HealthReport::take(&mut project.rollcall().await?).await?;
    assert_eq!(report.verdict, Verdict::Unknown);
    Ok(())
}

#[tokio::test]
async fn the_reports_say_what_the_doctor_finds_critical_and_leave_its_warnings_to_it() -> Result<()>
{
    let project = Project::migrated().await?;
    let client = project.connect().await?;
    // blocks every signup, so that there is no row to count
    client
        .batch_execute(&format!(
            "{} grant execute on function public.monitor_signup_health() to anon",
            "create or replace function public.handle_new_user() returns trigger language plpgsql as $$
             begin insert into profiles (id) values (new.id); return new; end $$;"
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
                "signup_trigger_foreign",
                "audit_log_not_written"
            ]
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_monitors_role_sees_the_same_in_sql_and_on_the_command_line() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let project = Project::migrated_on(&server).await?;
    project.break_signups().await?;
    project
        .connect_as_superuser()
        .await?
        .batch_execute("alter role rollcall_monitor login")
        .await?;
    let client = rollcall_sandbox::connect(&project.database.url_as("rollcall_monitor")).await?;
    assert_eq!(
        value::<Vec<String>>(&client, "select array_agg(id) from rollcall.doctor()").await?,
        ["signup_trigger_disabled", "audit_log_not_written"]
    );
    let url = project.database.url_as("rollcall_monitor");
    let finished = rollcall(&[("DATABASE_URL", &url)], &["doctor", "--format", "json"]).await?;
    assert_eq!(finished.status, Some(1), "{finished}");
    let report = finished.json()?;
    assert_eq!(report["verdict"], "inconsistent");
    assert_eq!(report["findings"][0]["id"], "signup_trigger_disabled");
    ensure!(
        report["findings"][0]["fix"]
            .as_str()
            .is_some_and(|fix| fix.starts_with("create or replace trigger"))
    );
    Ok(())
}

#[tokio::test]
async fn the_command_prints_the_findings_with_their_fix() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let url = project.url();
    let env = [("DATABASE_URL", url.as_str())];
    let mut transcript = rollcall(&env, &["doctor"]).await?.to_string();
    project.connect().await?.batch_execute(PROFILES).await?;
    project.migrate().await?;
    transcript += &rollcall(&env, &["doctor"]).await?.to_string();
    let client = project.connect().await?;
    client
        .batch_execute(
            "create or replace function public.handle_new_user() returns trigger language plpgsql security definer as $$
             begin insert into profiles (id, email) values (new.id, new.email); return new; end $$;
             alter table public.profiles drop constraint profiles_id_fkey",
        )
        .await?;
    transcript += &rollcall(&env, &["doctor"]).await?.to_string();
    insta::assert_snapshot!(transcript);
    Ok(())
}

#[tokio::test]
async fn a_healthy_project_of_any_shape_has_no_finding() -> Result<()> {
    for (name, application) in [
        ("nothing", ""),
        ("a table", PROFILES),
        (
            "a table and a trigger",
            "create table public.profiles (id uuid primary key references auth.users on delete cascade, email text unique, updated_at timestamptz, username text unique, full_name text, constraint username_length check (char_length(username) >= 3));
             alter table public.profiles enable row level security;
             create policy \"public\" on public.profiles for select using (true);
             create function public.handle_new_user() returns trigger set search_path = '' as $$
             begin insert into public.profiles (id, full_name, avatar_url) values (new.id, new.raw_user_meta_data->>'full_name', new.raw_user_meta_data->>'avatar_url'); return new; end;
             $$ language plpgsql security definer;
             alter table public.profiles add column avatar_url text;
             create trigger on_auth_user_created after insert on auth.users for each row execute procedure public.handle_new_user();",
        ),
        (
            "a text key and an organisation",
            "create table public.members (id text primary key, email text not null, plan text not null default 'free');
             create schema rollcall;
             create view rollcall.expected_profile as select u.id as _user_id, u.created_at as _signed_up_at, null::public.members as _profile, u.id::text as id, coalesce(u.email::text, '') as email
             from auth.users u where u.deleted_at is null;",
        ),
    ] {
        let project = Project::without_rollcall().await?;
        let client = project.connect().await?;
        client.batch_execute(application).await?;
        project.migrate().await?;
        assert_eq!(ids(&project).await?, ["audit_log_not_written"], "{name}");
        let mut auth = project.auth().await?;
        for kind in SignupKind::ALL {
            auth.sign_up(kind, &Person::numbered(kind as u32 + 1)).await?;
        }
        assert_eq!(ids(&project).await?, [""; 0], "{name}");
    }
    Ok(())
}

#[test]
fn a_check_is_a_file_an_id_a_test_and_a_section() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ids: BTreeSet<String> = CHECKS.iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), CHECKS.len());

    let files: BTreeSet<String> = fs::read_dir(root.join("migrations/doctor"))?
        .map(|entry| {
            Ok(entry?
                .file_name()
                .to_string_lossy()
                .trim_end_matches(".sql")
                .to_owned())
        })
        .collect::<Result<_>>()?;
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

#[test]
fn the_newest_migration_with_a_check_has_the_text_of_its_file() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut migrations: Vec<_> = fs::read_dir(&root)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path| {
            path.as_ref()
                .is_ok_and(|path| path.extension().is_some_and(|e| e == "sql"))
        })
        .collect::<Result<_>>()?;
    migrations.sort();
    let texts: Vec<String> = migrations
        .iter()
        .map(fs::read_to_string)
        .collect::<Result<_, _>>()?;
    for id in CHECKS {
        let file = fs::read_to_string(root.join(format!("doctor/{id}.sql")))?;
        let defines = format!("function rollcall.doctor_{id}()");
        let newest = texts
            .iter()
            .rev()
            .find(|text| text.contains(&format!("create or replace {defines}")))
            .with_context(|| id.to_owned())?;
        ensure!(
            newest.contains(&file),
            "{id}: the migration and the file differ"
        );
    }
    Ok(())
}

#[tokio::test]
async fn nothing_that_the_doctor_says_repeats_a_value() -> Result<()> {
    let project = Project::without_rollcall().await?;
    let client = project.connect().await?;
    client.batch_execute(PROFILES).await?;
    project.migrate().await?;
    let marker = Uuid::new_v4().simple().to_string();
    client
        .batch_execute(&format!(
            "alter table public.profiles add constraint no_{} check (email is null);
             insert into auth.users (id, email, raw_user_meta_data) values (gen_random_uuid(), 'x{marker}@example.com', '{{\"name\": \"{marker}\"}}')",
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

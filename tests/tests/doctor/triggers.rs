//! The signup trigger.

use anyhow::{Result, ensure};
use rollcall::checks::health::HealthReport;
use rollcall::finding::Severity;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Server, SignupKind};

use crate::walk::{GREETING, INSERT, Maker, WALK, Walk, examine, ids, signup_works, trigger};

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
    let project = WALK.prepared().await?;
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
    let project = Walk {
        maker: Maker::Nobody,
        ..WALK
    }
    .prepared()
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
        let project = Walk {
            maker: Maker::Nobody,
            deployed: later,
            ..WALK
        }
        .prepared()
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
    .walk_on(&server, "triggers_skipped_by_role")
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

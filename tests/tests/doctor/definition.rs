//! The definition and the profile table.

use anyhow::{Context, Result, ensure};
use rollcall::finding::Severity;
use rollcall_sandbox::SignupKind;
use rollcall_tests::project::Project;

use crate::walk::{
    EMPTY, Maker, PROFILES, TOKENS, WALK, Walk, body, definition, examine, ids, signup_works,
};

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
        // users and profiles can be compared all the same
        (
            Maker::Application,
            "alter table public.profiles drop constraint profiles_pkey",
            "alter table public.profiles add primary key (id)",
            Severity::Warning,
        ),
    ] {
        Walk {
            maker,
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
    Ok(())
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

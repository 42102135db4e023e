//! The definition and the profile table.

use anyhow::{Context, Result, ensure};
use rollcall::finding::Severity;

use crate::walk::{EMPTY, Maker, PROFILES, TOKENS, WALK, Walk, body, examine, ids};

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
    let project = Walk {
        application: &PROFILES.replace("email text", "email text unique"),
        deployed: &user,
        ..WALK
    }
    .prepared()
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

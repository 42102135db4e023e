//! Users.

use anyhow::{Context, Result, ensure};
use rollcall::finding::Severity;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Person, SignupKind};

use crate::walk::{
    EMPTY, ITS_TRIGGER, Maker, TOKENS, WALK, Walk, definition, examine, ids, signup_works,
};

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
    let project = WALK.prepared().await?;
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
        beside: &["definition_expects_nobody"],
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
    let project = Walk {
        maker: Maker::Nobody,
        deployed: "alter table public.profiles enable row level security;
                   create policy own on public.profiles for insert to authenticated with check (auth.uid() = id)",
        ..WALK
    }
    .prepared()
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

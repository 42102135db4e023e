//! Rollcall itself, and rights.

use anyhow::{Context, Result, ensure};
use rollcall::finding::Severity;
use rollcall::verdict::Verdict;
use rollcall_sandbox::{Options, Server, SignupKind};

use crate::walk::{Maker, WALK, Walk, examine, ids, signup_works};

#[tokio::test]
async fn not_all_visible() -> Result<()> {
    let server = Server::start(&Options::from_env()?)?;
    let finding = Walk {
        wrong: "alter role postgres nobypassrls",
        fixed_by: "alter role postgres bypassrls",
        ..WALK
    }
    .walk_on(&server, "not_all_visible")
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
    let project = WALK.prepared().await?;
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
    let server = Server::start(&Options::from_env()?)?;
    for (maker, role, function, verdict) in [
        (
            Maker::Rollcall,
            "somebody",
            "public.handle_new_user()",
            Verdict::Inconsistent,
        ),
        (
            Maker::Application,
            "nobody_in_particular",
            "rollcall.email_drift()",
            Verdict::Unknown,
        ),
    ] {
        let finding = Walk {
            maker,
            wrong: &format!("create role {role}; grant {role} to postgres; alter function {function} owner to {role}"),
            ..WALK
        }
        .walk_on(&server, "rollcall_owner_lacks_rights")
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
    let project = WALK.prepared().await?;
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

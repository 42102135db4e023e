//! Installing and removing: what is the application's stays byte for byte.

use anyhow::{Result, ensure};
use rollcall_tests::sql::{catalog, value};

use crate::stage::Stage;

/// The names of the public API. One that was taken before is nobody's but the application's.
const PUBLIC_API: [&str; 12] = [
    "auth_profile_mismatch",
    "backfill_all_missing_profiles",
    "backfill_user_profile",
    "check_recent_signup_issues",
    "diagnose_auth_profile_consistency",
    "ensure_profile_exists",
    "get_auth_profile_mismatches",
    "get_user_signup_events",
    "monitor_signup_health",
    "signup_audit_summary",
    "user_events",
    "verify_profile_completeness",
];

/// `rollcall migrate`, planned, done, and done again.
pub(crate) async fn install(stage: &mut Stage<'_>) -> Result<()> {
    let before = stage.subject.state().await?;
    let plan = stage.rollcall(&["migrate", "--plan"]).await?;
    stage.expect(plan.status == Some(0), || plan.to_string());
    stage.expect_unchanged("migrate --plan", &before).await?;

    let done = stage.rollcall(&["migrate", "--yes"]).await?;
    ensure!(done.status == Some(0), "{done}");
    let after = catalog(&stage.subject.client).await?;
    let others: Vec<String> = after
        .into_iter()
        .filter(|line| before.catalog.contains(line) || !is_ours(line, &before.catalog))
        .collect();
    stage.expect_same(
        "migrate changed the application's catalog",
        &before.catalog,
        &others,
    );
    stage.expect_same_rows("after migrate").await?;
    let sequences = stage.subject.sequences().await?;
    stage.expect_same("migrate advanced sequences", &before.sequences, &sequences);
    stage.align_sequences().await?;

    let target: Option<String> = value(
        &stage.subject.client,
        "select s.target_table from rollcall.settings s",
    )
    .await?;
    let expected = stage
        .shape
        .target
        .as_ref()
        .map(|target| target.table.clone());
    stage.expect(target == expected, || {
        format!(
            "the definition is for {target:?} instead of {expected:?}: {}",
            done.stderr
        )
    });
    if let (Some(target), Some(expected)) = (&target, &stage.shape.target) {
        let key: Option<String> = value(
            &stage.subject.client,
            "select quote_ident(s.key_column) from rollcall.settings s",
        )
        .await?;
        stage.expect(key.as_ref() == Some(&expected.key), || {
            format!("the key of {target} is {key:?} instead of {}", expected.key)
        });
    }
    stage.target = stage
        .shape
        .target
        .clone()
        .filter(|expected| target.as_ref() == Some(&expected.table));
    let drafted = stage.rollcall(&["definition", "show"]).await?;
    for table in stage.shape.also.clone() {
        let named = stage.target.is_none()
            || drafted.stdout.contains(&table)
            || done.stdout.contains(&table);
        stage.expect(named, || {
            format!("neither plan nor definition says that a signup writes {table}: {drafted}")
        });
    }
    for word in stage
        .shape
        .candidates
        .iter()
        .chain(&stage.shape.because)
        .cloned()
        .collect::<Vec<_>>()
    {
        let named = plan.stdout.contains(&word);
        stage.expect(named, || format!("the plan does not say {word:?}: {plan}"));
    }

    let installed = stage.subject.state().await?;
    let again = stage.rollcall(&["migrate", "--yes"]).await?;
    stage.expect(again.status == Some(0), || again.to_string());
    stage.expect_unchanged("a second migrate", &installed).await
}

/// `rollcall rollback`: what the twin has, and nothing else.
pub(crate) async fn roll_back(stage: &mut Stage<'_>) -> Result<()> {
    let done = stage.rollcall(&["rollback", "--yes"]).await?;
    stage.expect(done.status == Some(0), || done.to_string());
    let (twin, subject) = (
        catalog(&stage.twin.client).await?,
        catalog(&stage.subject.client).await?,
    );
    stage.expect_same(
        "rollback left another catalog than the twin's",
        &twin,
        &subject,
    );
    Ok(())
}

/// Whether a line of the catalog is about an object of Rollcall's: in its schema, or of its public API under a name that was free.
pub(crate) fn is_ours(line: &str, before: &[String]) -> bool {
    const KINDS: [&str; 7] = [
        "relation ",
        "column ",
        "constraint ",
        "type ",
        "right on ",
        "right on schema ",
        "schema ",
    ];
    let object = |name: &str| {
        KINDS.iter().any(|kind| {
            line.strip_prefix(kind)
                .is_some_and(|rest| rest.starts_with(name))
        }) || line.contains(&format!("FUNCTION {name}"))
            || line.starts_with("index ") && line.contains(&format!(" ON {name}"))
    };
    if object("rollcall.")
        || line.starts_with("schema rollcall ")
        || line.starts_with("right on schema rollcall:")
    {
        return true;
    }
    PUBLIC_API.iter().any(|name| {
        let was_free = !before.iter().any(|line| {
            line.contains(&format!("public.{name} ")) || line.contains(&format!("public.{name}("))
        });
        let ours = ["", "public."].iter().any(|schema| {
            [" ", "(", ".", ":"]
                .iter()
                .any(|end| object(&format!("{schema}{name}{end}")))
        });
        was_free && (ours || line.starts_with(&format!("type public._{name} ")))
    })
}

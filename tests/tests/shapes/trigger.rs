//! Stance "make": Rollcall's own trigger adds to what the application does and takes nothing away, or is refused.

use anyhow::Result;
use rollcall_sandbox::SignupKind;
use rollcall_tests::sql::catalog;

use crate::{
    people::{ambitious_person, confirm, person},
    stage::{Stage, id},
};

pub(crate) async fn make_and_remove(stage: &mut Stage<'_>) -> Result<()> {
    if stage.shape.broken {
        return Ok(());
    }
    let before = stage.subject.state().await?;
    let plan = stage.rollcall(&["trigger", "install"]).await?;
    stage.expect_unchanged("a planned trigger", &before).await?;
    let done = stage.rollcall(&["trigger", "install", "--apply"]).await?;
    if stage.target.is_none() {
        return stage
            .expect_unchanged("a trigger without a definition", &before)
            .await;
    }
    let shape = stage.shape;
    let refused = if shape.make_as_planned && plan.status == Some(2) {
        Some(String::new())
    } else {
        shape.make_refused.clone()
    };
    if let Some(words) = &refused {
        let why = [done.stdout.as_str(), &done.stderr].concat();
        stage.expect(done.status == Some(2), || {
            format!("the trigger is not refused: {done}")
        });
        let said = words.split_whitespace().all(|word| why.contains(word));
        stage.expect(said, || {
            format!("the refusal does not say {words:?}: {done}")
        });
        stage
            .expect_unchanged("a trigger that was refused", &before)
            .await?;
    } else {
        stage.expect(plan.status == Some(0), || plan.to_string());
        stage.expect(done.status == Some(0), || {
            format!("the trigger is refused: {done}")
        });
        let after = catalog(&stage.subject.client).await?;
        let ours = |line: &&String| {
            line.starts_with("trigger ")
                && line.contains(" ON auth.users ")
                && (line.contains("rollcall") || line.contains("handle_new_user"))
                || line.contains("handle_new_user") && line.contains("Rollcall: ")
                || line.starts_with("right on handle_new_user()")
                || line.starts_with("right on public.handle_new_user()")
        };
        let others: Vec<String> = after
            .iter()
            .filter(|line| before.catalog.contains(line) || !ours(line))
            .cloned()
            .collect();
        stage.expect_same(
            "trigger install changed the application's catalog",
            &before.catalog,
            &others,
        );
    }

    for (number, kind) in (301..).zip(shape.kinds()) {
        stage.sign_up(kind, &person(shape, number)).await?;
    }
    stage
        .sign_up(SignupKind::EmailAutoconfirm, &ambitious_person(shape, 320))
        .await?;
    let mut outsider = person(shape, 322);
    outsider.email = Some("stranger-too@elsewhere.test".to_owned());
    stage
        .sign_up(SignupKind::EmailAutoconfirm, &outsider)
        .await?;
    confirm(stage, 302).await?;
    stage
        .both("deletion", async |auth| auth.hard_delete(id(303)).await)
        .await?;
    stage
        .expect_same_rows("after signups with the trigger")
        .await?;
    for report in ["diagnose", "recent"] {
        stage.judge(report, false).await?;
    }

    if refused.is_none() {
        let removed = stage.rollcall(&["trigger", "remove", "--apply"]).await?;
        stage.expect(removed.status == Some(0), || removed.to_string());
        let after = catalog(&stage.subject.client).await?;
        stage.expect_same(
            "trigger remove left another catalog",
            &before.catalog,
            &after,
        );
    }
    Ok(())
}

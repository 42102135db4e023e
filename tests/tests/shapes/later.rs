//! What Supabase Auth and the application alter and drop later, with Rollcall installed: as on the twin.

use anyhow::Result;

use crate::stage::{Side, Stage};

/// Supabase Auth's own migrations.
const AUTH: [&str; 4] = [
    "alter table auth.users alter column email type text",
    "alter table auth.audit_log_entries alter column payload type jsonb using payload::jsonb",
    "alter table auth.users add column later_column text",
    "drop table auth.audit_log_entries",
];

/// The application's.
const APPLICATION: [&str; 5] = [
    "alter table TABLE add column added_later integer",
    "alter table TABLE alter column email type varchar(400)",
    "alter table TABLE drop column email",
    "alter table TABLE rename to renamed_later",
    "drop table RENAMED cascade",
];

pub(crate) async fn alter_and_drop(stage: &mut Stage<'_>) -> Result<()> {
    for sql in AUTH {
        on_both(stage, "supabase_auth_admin", sql).await?;
    }
    stage.report(&["diagnose"]).await?;
    let Some(target) = stage.shape.target.clone() else {
        return Ok(());
    };
    let schema = target
        .table
        .split_once('.')
        .map_or("public", |(schema, _)| schema);
    let renamed = format!("{schema}.renamed_later");
    for sql in APPLICATION {
        let sql = sql
            .replace("TABLE", &target.table)
            .replace("RENAMED", &renamed);
        on_both(stage, "postgres", &sql).await?;
    }
    stage.report(&["diagnose"]).await?;
    Ok(())
}

async fn on_both(stage: &mut Stage<'_>, role: &str, sql: &str) -> Result<()> {
    let twin = end(&stage.twin, role, sql).await?;
    let subject = end(&stage.subject, role, sql).await?;
    stage.expect(twin == subject, || {
        format!("{sql}: {subject}, but the twin's {twin}")
    });
    Ok(())
}

async fn end(side: &Side, role: &str, sql: &str) -> Result<String> {
    let client = side.connect_as(role).await?;
    client.batch_execute("set lock_timeout = '2s'").await?;
    Ok(match client.batch_execute(sql).await {
        Ok(()) => "done".to_owned(),
        Err(error) => error
            .as_db_error()
            .map_or_else(|| error.to_string(), |error| error.message().to_owned()),
    })
}

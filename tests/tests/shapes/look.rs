//! Looking without installing: nothing is left, and nobody waits.

use anyhow::Result;
use rollcall_tests::sql::value;
use tokio_postgres::Client;

use crate::stage::Stage;

/// Whoever wants more of a table than ACCESS SHARE waits for this.
const LOCK_ALL: &str = "
    select 'begin; lock table ' || string_agg(c.oid::regclass::text, ', ') || ' in exclusive mode'
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema$)'";

/// Reports, while somebody holds a lock on every table that lets nothing but reading through.
pub(crate) async fn look(stage: &mut Stage<'_>) -> Result<()> {
    let before = stage.subject.state().await?;
    let holder = lock_all(stage).await?;
    stage.look_around().await?;
    holder.batch_execute("rollback").await?;
    if let Some(word) = stage.shape.named.clone() {
        let doctor = stage.report(&["doctor"]).await?;
        let named = doctor.finished.stdout.contains(&word);
        stage.expect(named, || format!("doctor does not name {word}: {}", doctor));
    }
    stage.expect_unchanged("a look", &before).await
}

async fn lock_all(stage: &Stage<'_>) -> Result<Client> {
    let holder = stage.subject.connect_as("supabase_admin").await?;
    let lock: String = value(&holder, LOCK_ALL).await?;
    holder.batch_execute(&lock).await?;
    Ok(holder)
}

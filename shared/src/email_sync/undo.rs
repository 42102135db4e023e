//! Undoing a sync: setting back the addresses that still are what it wrote.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::is_about_rows;
use super::statements::Statements;
use crate::backfill::{MAX_SKIPPED, RunState, SkipReason, SkippedProfile, Undo, runs};
use crate::database::column;
use crate::error::{Error, Result};
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(30);

/// A run, and the statement that sets back a batch of it.
struct RunToUndo {
    run_id: Uuid,
    statement: String,
}

/// What became of a batch.
struct Batch {
    number: i32,
    gone: i64,
    /// What the sync wrote stood there.
    same: Vec<Uuid>,
    /// Something else did.
    changed: Vec<Uuid>,
    /// Of the same, those that were set back.
    restored: Vec<Uuid>,
}

/// Undoes a sync batch by batch, each a transaction; or only finds out what that would do. An address that is another one
/// by now stays, as does one that the database refuses to set back. What was done stays done when it is interrupted; the
/// next one continues.
///
/// # Errors
/// `RC007` for a run that is not there, `RC008` for one that has not ended, [`Error::NotPermitted`] for another role than
/// the owner of the schema, and what the database refuses.
pub async fn undo(session: &mut Session, run_id: Uuid, apply: bool) -> Result<Undo> {
    let state = runs::show(session, run_id).await?.state;
    if matches!(state, RunState::Running | RunState::Paused) {
        return Err(runs::has_not_ended(run_id));
    }
    let statement = session
        .read(LIMIT, async |queries| Statements::read(queries).await)
        .await?
        .undo
        .ok_or(Error::UnexpectedAnswer)?;
    let run = RunToUndo { run_id, statement };
    let mut done = Undo::default();
    let mut after = 0;
    while let Some(batch) = next(session, &run, after, apply).await? {
        after = batch.number;
        let (restored, refused): (Vec<Uuid>, Vec<Uuid>) = batch
            .same
            .into_iter()
            .partition(|user_id| !apply || batch.restored.contains(user_id));
        done.removed += i64::try_from(restored.len()).unwrap_or(i64::MAX);
        done.gone += batch.gone;
        let skipped = [
            (batch.changed, SkipReason::Changed),
            (refused, SkipReason::Refused),
        ];
        for (users, reason) in skipped {
            done.skipped += i64::try_from(users.len()).unwrap_or(i64::MAX);
            let room = MAX_SKIPPED - done.skipped_profiles.len();
            let listed = users.into_iter().take(room);
            done.skipped_profiles
                .extend(listed.map(|user_id| SkippedProfile { user_id, reason }));
        }
    }
    if apply {
        note(session, run_id).await?;
    }
    Ok(done)
}

/// The batch behind `after`. Where one row keeps the others back, row by row.
async fn next(
    session: &mut Session,
    run: &RunToUndo,
    after: i32,
    apply: bool,
) -> Result<Option<Batch>> {
    match step(session, run, after, apply, None).await {
        Err(error) if is_about_rows(&error) && !error.is_retryable() => {}
        batch => return batch,
    }
    let Some(mut batch) = step(session, run, after, false, None).await? else {
        return Ok(None);
    };
    for user_id in &batch.same {
        match step(session, run, after, true, Some(&[*user_id])).await {
            Ok(one) => batch
                .restored
                .extend(one.into_iter().flat_map(|one| one.restored)),
            Err(error) if is_about_rows(&error) && !error.is_retryable() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(batch))
}

/// One transaction.
async fn step(
    session: &mut Session,
    run: &RunToUndo,
    after: i32,
    apply: bool,
    only: Option<&[Uuid]>,
) -> Result<Option<Batch>> {
    session
        .write(LIMIT, async |queries| {
            queries
                .row(
                    include_str!("begin_batch.sql"),
                    &[(&run.run_id, Type::UUID)],
                )
                .await?;
            let rows = queries
                .rows(
                    &run.statement,
                    &[
                        (&run.run_id, Type::UUID),
                        (&after, Type::INT4),
                        (&apply, Type::BOOL),
                        (&only, Type::UUID_ARRAY),
                    ],
                )
                .await?;
            queries.script("set constraints all immediate").await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(Batch {
                number: column(row, "batch")?,
                gone: column(row, "gone")?,
                same: column(row, "same")?,
                changed: column(row, "changed")?,
                restored: column(row, "restored")?,
            }))
        })
        .await
}

async fn note(session: &mut Session, run_id: Uuid) -> Result<()> {
    session
        .write(LIMIT, async |queries| {
            let sql = "update rollcall.run r set undone_at = clock_timestamp() where r.run_id = $1";
            queries.rows(sql, &[(&run_id, Type::UUID)]).await
        })
        .await?;
    Ok(())
}

//! What a repair would do, found out by doing it in a transaction that is rolled back.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::count::count;
use super::options::overrides;
use super::{Failure, RunOptions};
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::masked::{Masked, RowValue};
use crate::session::Session;

/// How many profiles a dry run shows whole.
pub const MAX_ROWS: i32 = 100;

/// Limit of one trial. Those that are cut smaller fit, together with this one, into one call over HTTP.
const LIMIT: Duration = Duration::from_secs(3);

/// By how much a trial shrinks that took too long.
const SHRINK: i32 = 16;

/// How many users a dry run tries at most: enough to see what fails, few enough for one transaction.
const MAX_TRIED: u64 = 1000;

/// What a repair would do. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DryRun {
    /// Users without a profile.
    pub total_missing: i64,
    /// Why nobody was tried, only counted: what a try would do that no rollback takes back. Empty: they were tried.
    pub not_tried_because: Vec<String>,
    /// What a repair would send to other servers when it commits, by name. Empty: nothing that is known of.
    pub outside_calls: Vec<String>,
    /// How many of these were tried, and rolled back.
    pub tried: i64,
    /// How many were not: what would become of them is not known.
    pub not_tried: i64,
    /// Of the tried, how many profiles would be created.
    pub would_create: i64,
    /// Of the tried, how many could not be created.
    pub would_fail: i64,
    /// Of the tried, how many another transaction kept locked: nothing is known of them.
    pub busy: i64,
    /// Users whose profile would be created; at most 1,000.
    pub users: Vec<Uuid>,
    /// Users whose profile could not be created; at most 1,000.
    pub failures: Vec<Failure>,
    /// The profiles as they would be, at most 100.
    pub rows: Vec<PreviewRow>,
    /// Rows that creating the tried profiles would write, by table: the profiles, and what triggers write beside them.
    pub writes: Vec<TableWrites>,
    /// Of a replay: the application's signup triggers. Empty otherwise.
    pub triggers: Vec<ReplayedTrigger>,
    /// How long the repair of all would take, estimated from the trial's own speed, in seconds.
    pub estimated_seconds: f64,
}

/// A profile as it would be created, with defaults and what triggers make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreviewRow {
    /// Whose it is.
    pub user_id: Uuid,
    /// Its columns, what a person may have written in them masked.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "BTreeMap<String, Option<String>>")
    )]
    pub columns: BTreeMap<String, Option<Masked<RowValue>>>,
}

/// Rows of a table that a dry run wrote before it was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TableWrites {
    /// The table, with its schema.
    pub table: String,
    /// What was done to them.
    pub operation: WriteOperation,
    /// How many.
    pub rows: i64,
}

/// What was done to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WriteOperation {
    /// They are new.
    Inserted,
    /// They were there.
    Updated,
    /// They are gone.
    Deleted,
}

/// A signup trigger of the application's, in a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayedTrigger {
    /// Its name.
    pub trigger: String,
    /// The function that it runs, with its schema.
    pub function: String,
    /// Why it is left out; none: it is replayed.
    pub skipped: Option<String>,
}

/// What became of one user in a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Created,
    Failed,
    /// Something was locked.
    Busy,
}

/// The document of `rollcall.preview_users()`.
#[derive(Deserialize)]
pub(super) struct Preview {
    pub(super) not_tried_because: Vec<String>,
    pub(super) outside_calls: Vec<String>,
    pub(super) results: Vec<Tried>,
    writes: Vec<TableWrites>,
    triggers: Vec<ReplayedTrigger>,
}

/// One user of it.
#[derive(Deserialize)]
pub(super) struct Tried {
    user_id: Uuid,
    pub(super) outcome: Outcome,
    sqlstate: Option<String>,
    constraint: Option<String>,
    column: Option<String>,
    functions: Vec<String>,
    reason: Option<String>,
    profile: Option<Value>,
}

impl Tried {
    pub(super) fn failure(self) -> Result<Failure> {
        Ok(Failure {
            user_id: self.user_id,
            sqlstate: self.sqlstate.ok_or(Error::UnexpectedAnswer)?,
            constraint: self.constraint,
            column: self.column,
            functions: self.functions,
            reason: self.reason.ok_or(Error::UnexpectedAnswer)?,
        })
    }
}

/// Tries the repair of the first missing users and rolls it back. Where that takes too long, tries fewer; where the
/// database is busy, tries again until `until` at most. Where Rollcall is not installed, or where a try would do what
/// no rollback takes back, only counts.
///
/// Of the options, those that say whose profiles, with what and how count.
///
/// # Errors
/// What the database refuses; nothing is changed either way.
pub async fn dry_run(
    session: &mut Session,
    options: &RunOptions,
    until: Option<Instant>,
) -> Result<DryRun> {
    let total_missing = count(session, until).await?;
    let max_users = options.max_users;
    let mut page = i32::try_from(max_users.unwrap_or(MAX_TRIED).min(MAX_TRIED)).unwrap_or(i32::MAX);
    loop {
        let trial = session
            .retry(until, async |database| {
                let began = Instant::now();
                let tried = preview(database, None, page, options, MAX_ROWS).await?;
                Ok((tried, began.elapsed()))
            })
            .await;
        match trial {
            Err(Error::Timeout) if page > 1 => page = (page / SHRINK).max(1),
            Err(error) => return Err(error),
            Ok((preview, took)) => {
                let wanted = max_users.map_or(total_missing, |max| {
                    total_missing.min(i64::try_from(max).unwrap_or(i64::MAX))
                });
                return report(preview, total_missing, wanted, took);
            }
        }
    }
}

/// Tries these users, or the first so many missing ones.
pub(super) async fn preview(
    database: &mut Database,
    users: Option<&[Uuid]>,
    page: i32,
    options: &RunOptions,
    rows: i32,
) -> Result<Preview> {
    let overrides = overrides(options.account_type.as_deref());
    database
        .try_out(LIMIT, async |queries| {
            let row = queries
                .row(
                    include_str!("preview_users.sql"),
                    &[
                        (&users, Type::UUID_ARRAY),
                        (&page, Type::INT4),
                        (&overrides, Type::JSONB),
                        (&options.replay, Type::BOOL),
                        (&rows, Type::INT4),
                    ],
                )
                .await?;
            serde_json::from_value(column(&row, "preview")?).map_err(|_| Error::UnexpectedAnswer)
        })
        .await
}

fn report(preview: Preview, total_missing: i64, wanted: i64, took: Duration) -> Result<DryRun> {
    let mut report = DryRun {
        total_missing,
        not_tried_because: preview.not_tried_because,
        outside_calls: preview.outside_calls,
        tried: 0,
        not_tried: 0,
        would_create: 0,
        would_fail: 0,
        busy: 0,
        users: vec![],
        failures: vec![],
        rows: vec![],
        writes: preview.writes,
        triggers: preview.triggers,
        estimated_seconds: 0.0,
    };
    for tried in preview.results {
        report.tried += 1;
        match tried.outcome {
            Outcome::Busy => report.busy += 1,
            Outcome::Failed => {
                report.would_fail += 1;
                report.failures.push(tried.failure()?);
            }
            Outcome::Created => {
                report.would_create += 1;
                report.users.push(tried.user_id);
                if let Some(profile) = tried.profile {
                    report.rows.push(preview_row(tried.user_id, &profile)?);
                }
            }
        }
    }
    share_common_values(&mut report.rows);
    report.failures = Failure::bounded(report.failures);
    // signups between the count and the trial
    report.total_missing = total_missing.max(report.tried);
    report.not_tried = (report.total_missing - report.tried).max(0);
    report.estimated_seconds = estimate(wanted, report.tried, took);
    Ok(report)
}

/// As fast as the trial was, in seconds with one decimal.
#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn estimate(wanted: i64, tried: i64, took: Duration) -> f64 {
    if tried == 0 {
        return 0.0;
    }
    (took.as_secs_f64() / tried as f64 * wanted as f64 * 10.0).round() / 10.0
}

/// A value that so many different users have, and none of them another, is no person's: a default, or a constant.
const SHARED_BY: usize = 5;

fn share_common_values(rows: &mut [PreviewRow]) {
    let Some(first) = rows.first().filter(|_| rows.len() >= SHARED_BY) else {
        return;
    };
    let names: Vec<String> = first.columns.keys().cloned().collect();
    for name in names {
        let values = rows.iter_mut().filter_map(|row| row.columns.get_mut(&name));
        let mut values: Vec<_> = values.collect();
        let is_common = values.windows(2).all(|pair| {
            pair[0].as_ref().map(Masked::reveal) == pair[1].as_ref().map(Masked::reveal)
        });
        if is_common {
            for value in values.iter_mut().filter_map(|value| value.as_mut()) {
                value.share();
            }
        }
    }
}

fn preview_row(user_id: Uuid, profile: &Value) -> Result<PreviewRow> {
    let columns = profile
        .as_object()
        .ok_or(Error::UnexpectedAnswer)?
        .iter()
        .map(|(name, value)| {
            let shown = (!value.is_null()).then(|| Masked::new(RowValue::new(name, value)));
            (name.clone(), shown)
        })
        .collect();
    Ok(PreviewRow { user_id, columns })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_shown_that_five_users_have_in_common_and_no_address_is() {
        let rows = |number: u128| -> Vec<PreviewRow> {
            let profile = |user| json!({ "plan": "free", "full_name": format!("Ada {user}"), "email": "all@example.com" });
            let mut rows: Vec<PreviewRow> = (0..number)
                .map(|user| preview_row(Uuid::from_u128(user), &profile(user)).expect("a row"))
                .collect();
            share_common_values(&mut rows);
            rows
        };
        let shown = |number, column: &str| {
            rows(number)[0].columns[column]
                .as_ref()
                .map(ToString::to_string)
        };
        assert_eq!(shown(5, "plan").as_deref(), Some("free"));
        assert_eq!(shown(4, "plan").as_deref(), Some("***"));
        assert_eq!(shown(5, "full_name").as_deref(), Some("***"));
        assert_eq!(shown(5, "email").as_deref(), Some("a***@e***.com"));
    }

    /// Of a trial with these outcomes, while so many were missing.
    fn reported(outcomes: &[&str], total_missing: i64) -> DryRun {
        let results: Vec<Value> = outcomes
            .iter()
            .map(|outcome| {
                json!({
                    "user_id": Uuid::nil(), "outcome": outcome, "sqlstate": "23514", "functions": [],
                    "reason": "a value does not satisfy a check constraint", "profile": {}
                })
            })
            .collect();
        let preview = json!({
            "not_tried_because": [], "outside_calls": [], "results": results, "writes": [], "triggers": []
        });
        let preview = serde_json::from_value(preview).expect("a preview");
        report(
            preview,
            total_missing,
            total_missing,
            Duration::from_secs(3),
        )
        .expect("a report")
    }

    #[test]
    fn what_was_tried_is_counted_by_outcome_and_the_rest_is_not_known() {
        let report = reported(
            &["created", "failed", "busy", "created", "busy", "busy"],
            10,
        );
        assert_eq!((report.tried, report.not_tried), (6, 4));
        let outcomes = (report.would_create, report.would_fail, report.busy);
        assert_eq!(outcomes, (2, 1, 3));
        assert_eq!(
            (report.users.len(), report.rows.len(), report.failures.len()),
            (2, 2, 1)
        );
    }

    #[test]
    fn all_would_take_as_long_for_each_as_those_that_were_tried() {
        assert_eq!(reported(&["created"; 6], 10).estimated_seconds, 5.0);
        assert_eq!(reported(&[], 10).estimated_seconds, 0.0);
    }

    #[test]
    fn who_signed_up_between_the_count_and_the_trial_is_missing_too() {
        let report = reported(&["created", "created"], 1);
        assert_eq!((report.total_missing, report.not_tried), (2, 0));
    }
}

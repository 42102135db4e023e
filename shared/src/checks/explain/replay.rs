//! One user's signup, replayed through the application's own triggers and rolled back: why they have no profile, in the
//! application's own words.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::handlers::{self, Noted};
use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};

/// Limit of each try. Whoever signs up meanwhile may wait so long for a sequence.
const LIMIT: Duration = Duration::from_secs(5);

/// How many caught errors are reported; a loop that tries again catches the same one many times.
const MAX_ERRORS: usize = 5;

const IN_THE_WAY: &str = "another transaction is in the way; try again";

/// What came of a replay. Nothing was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Replay {
    /// In a word.
    pub outcome: ReplayOutcome,
    /// Why it was not tried; empty where it was.
    pub not_tried_because: Vec<String>,
    /// The error that refused the user, or those that the application's code caught, the likeliest cause first.
    pub errors: Vec<ReplayError>,
    /// The application's triggers that were replayed.
    pub triggers: Vec<String>,
    /// Functions that catch errors, and could not be looked into.
    pub unread: Vec<String>,
    /// The role that the replay ran as, where a signup runs code with another's rights; else none.
    pub role: Option<String>,
}

/// What came of a replay, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReplayOutcome {
    /// It was not tried, or nothing can be concluded from it.
    #[default]
    NotTried,
    /// An error refused the user.
    Refused,
    /// It made a profile.
    Created,
    /// It made none, and the application's code caught errors.
    Swallowed,
    /// It made none, without an error.
    LeftOut,
}

/// An error of a replay. Names are from the catalog; its message, which may quote a row, is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayError {
    /// SQLSTATE.
    pub sqlstate: String,
    /// Constraint that was broken.
    pub constraint: Option<String>,
    /// Column that was refused.
    pub column: Option<String>,
    /// Functions in which it failed, innermost first.
    pub functions: Vec<String>,
    /// What the SQLSTATE means.
    pub reason: String,
    /// The function that caught it.
    #[serde(default)]
    pub caught_in: Option<String>,
    /// Whether it names the profile table.
    #[serde(default, skip_serializing)]
    pub is_about_profile: bool,
    /// Whether a `raise` of the application's raised it.
    #[serde(default, skip_serializing)]
    is_raised: bool,
    /// Whether a handler raised it for the error before it.
    #[serde(skip)]
    is_reworded: bool,
}

impl ReplayError {
    /// Whether both are one error that was caught twice.
    fn is_same(&self, other: &Self) -> bool {
        (
            &self.sqlstate,
            &self.constraint,
            &self.column,
            &self.functions,
        ) == (
            &other.sqlstate,
            &other.constraint,
            &other.column,
            &other.functions,
        )
    }

    /// Another transaction was in the way, which says nothing of the user.
    fn is_lock(&self) -> bool {
        self.sqlstate == "55P03" || self.sqlstate.starts_with("40")
    }
}

/// What was read and tried.
struct Tried {
    code: Code,
    first: Answer,
    /// Of a second try, with copies of functions that note what they catch.
    noted: Option<Answer>,
    unread: Vec<String>,
}

/// The document of `replayed_code.sql`.
#[derive(Deserialize)]
struct Code {
    role: String,
    auth_role: String,
    beyond_rollback: Vec<String>,
    triggers: Vec<String>,
    as_caller: Vec<String>,
    catching: Vec<Catching>,
    left_out: Vec<String>,
}

/// A function that may catch errors.
#[derive(Deserialize)]
struct Catching {
    function_id: String,
    name: String,
    source: String,
    /// Whether this role may put a copy in its place.
    is_open: bool,
}

/// The document of `rollcall.replay_signup()`.
#[derive(Deserialize)]
struct Answer {
    outcome: Outcome,
    error: Option<ReplayError>,
    unread: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Created,
    Failed,
    Nothing,
    Locked,
    Gone,
}

/// Replays the signup of a user who has no profile. Whatever stands in the way of that is an answer, too: the rest of a
/// report does not depend on it.
pub(super) async fn replay(database: &mut Database, user_id: Uuid) -> Replay {
    database.take_notices();
    let tried = database
        .try_out(LIMIT, async |queries| try_in(queries, user_id).await)
        .await;
    let swallowed = swallowed(&database.take_notices());
    match tried {
        Ok(Ok(tried)) => concluded(tried, swallowed),
        Ok(Err(reasons)) => not_tried(reasons),
        Err(error) => not_tried(vec![in_the_way(&error)]),
    }
}

/// The inner error: why nothing was tried.
async fn try_in(
    queries: &Queries<'_>,
    user_id: Uuid,
) -> Result<std::result::Result<Tried, Vec<String>>> {
    let row = queries.row(include_str!("may_replay.sql"), &[]).await?;
    if !column::<bool>(&row, "has_triggers")? {
        return Ok(Err(vec![
            "auth.users has no trigger of the application's that fires for each row after an insert"
                .to_owned(),
        ]));
    }
    if !column::<bool>(&row, "is_permitted")? {
        let owner: String = column(&row, "owner")?;
        return Ok(Err(vec![format!(
            "that takes a connection as {owner}, the owner of the schema rollcall"
        )]));
    }
    let row = queries.row(include_str!("replayed_code.sql"), &[]).await?;
    let code: Code = document(&row, "code")?;
    if !code.beyond_rollback.is_empty() {
        let effects = code.beyond_rollback.join(", ");
        return Ok(Err(vec![format!(
            "a signup does what no rollback takes back ({effects})"
        )]));
    }
    queries.script(include_str!("replay.sql")).await?;
    let first = answer(queries, user_id, &json!([])).await?;
    let mut unread = Vec::new();
    let mut noted = None;
    if first.outcome == Outcome::Nothing {
        let mut bodies = Vec::new();
        for function in &code.catching {
            match handlers::note_errors(&function.source) {
                Noted::Text(source) if function.is_open => {
                    bodies.push(json!({"function_id": function.function_id, "source": source}));
                }
                Noted::Text(_) | Noted::NotUnderstood => unread.push(function.name.clone()),
                Noted::CatchesNothing => {}
            }
        }
        if !bodies.is_empty() {
            noted = Some(answer(queries, user_id, &Value::from(bodies)).await?);
        }
    }
    Ok(Ok(Tried {
        code,
        first,
        noted,
        unread,
    }))
}

async fn answer(queries: &Queries<'_>, user_id: Uuid, bodies: &Value) -> Result<Answer> {
    let row = queries
        .row(
            "select rollcall.replay_signup($1, $2) as answer",
            &[(&user_id, Type::UUID), (bodies, Type::JSONB)],
        )
        .await?;
    document(&row, "answer")
}

fn document<T: serde::de::DeserializeOwned>(row: &tokio_postgres::Row, name: &str) -> Result<T> {
    serde_json::from_value(column(row, name)?).map_err(|_| Error::UnexpectedAnswer)
}

/// The errors that copies of functions noted, each once, the likeliest cause first: of those that name the profile table
/// the last, since code went on after the others, and rather the error itself than the words that a handler put on it.
fn swallowed(notices: &[String]) -> Vec<ReplayError> {
    let mut errors: Vec<ReplayError> = Vec::new();
    for notice in notices {
        let Some(mut error) = notice
            .strip_prefix("swallowed ")
            .and_then(|document| serde_json::from_str::<ReplayError>(document).ok())
        else {
            continue;
        };
        error.is_reworded = error.is_raised
            && errors
                .last()
                .is_some_and(|last| last.caught_in.as_ref() == error.functions.first());
        // raised again as it was, or met again in a loop: who caught it last, hid it
        errors.retain(|earlier| !earlier.is_same(&error));
        errors.push(error);
    }
    errors.reverse();
    errors.sort_by_key(|error| (!error.is_about_profile, error.is_reworded));
    errors.truncate(MAX_ERRORS);
    errors
}

fn not_tried(reasons: Vec<String>) -> Replay {
    Replay {
        not_tried_because: reasons,
        ..Replay::default()
    }
}

fn in_the_way(error: &Error) -> String {
    match error {
        Error::Timeout => format!("it took longer than {} seconds", LIMIT.as_secs()),
        error => error.to_string(),
    }
}

fn concluded(tried: Tried, swallowed: Vec<ReplayError>) -> Replay {
    let Tried {
        code,
        first,
        noted,
        mut unread,
    } = tried;
    let last = match noted {
        // it did not before: the copies are to blame
        Some(noted) if noted.outcome == Outcome::Failed => {
            unread = code
                .catching
                .into_iter()
                .map(|function| function.name)
                .collect();
            first
        }
        noted => noted.unwrap_or(first),
    };
    unread.extend(last.unread);
    let is_locked = swallowed.first().is_some_and(ReplayError::is_lock);
    let (outcome, errors) = match last.outcome {
        Outcome::Gone => {
            return not_tried(vec![
                "meanwhile the user has a profile, or is gone".to_owned(),
            ]);
        }
        Outcome::Locked => return not_tried(vec![IN_THE_WAY.to_owned()]),
        Outcome::Nothing if is_locked => return not_tried(vec![IN_THE_WAY.to_owned()]),
        Outcome::Created => (ReplayOutcome::Created, Vec::new()),
        Outcome::Failed => (ReplayOutcome::Refused, last.error.into_iter().collect()),
        Outcome::Nothing if !swallowed.is_empty() => (ReplayOutcome::Swallowed, swallowed),
        Outcome::Nothing if !code.left_out.is_empty() => {
            return not_tried(
                code.left_out
                    .iter()
                    .map(|other| format!("a replay leaves out {other}"))
                    .collect(),
            );
        }
        Outcome::Nothing => (ReplayOutcome::LeftOut, Vec::new()),
    };
    let differs = !code.as_caller.is_empty() && code.role != code.auth_role;
    Replay {
        outcome,
        not_tried_because: Vec::new(),
        errors,
        triggers: code.triggers,
        unread,
        role: differs.then_some(code.role),
    }
}

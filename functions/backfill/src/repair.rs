//! One slice of a repair, and its result as JSON.

use lambda_runtime::Error;
use rollcall::backfill::{self, BackfillRequest, Selection, UserOutcome};
use rollcall::error::Error as DatabaseError;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use rollcall_lambda::function::Function;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::event::Reply;

/// SQLSTATEs of `rollcall.profile_insert_sql` for a value without a column, and for one that its column cannot take.
const NO_SUCH_COLUMN: &str = "RC003";
const NO_SUCH_VALUE: &str = "RC005";

/// Does what is asked until `until`, and says what remains.
///
/// # Errors
/// If the result cannot be written as JSON. What the database refuses becomes an answer.
pub(crate) async fn run(
    function: &Function,
    request: &BackfillRequest,
    until: Instant,
) -> Result<Reply, Error> {
    let outcome = function
        .with_session(until, async |session| slice(session, request, until).await)
        .await;
    Ok(match outcome {
        Ok(reply) => reply?,
        Err(error) => failure(&error),
    })
}

async fn slice(
    session: &mut Session,
    request: &BackfillRequest,
    until: Instant,
) -> Result<serde_json::Result<Reply>, DatabaseError> {
    let account_type = request.account_type.as_deref();
    let max_users = match request.selection {
        Selection::User(user_id) => {
            let outcome = backfill::apply_to_user(
                session,
                user_id,
                account_type,
                request.dry_run,
                Some(until),
            )
            .await?;
            let (status, verdict) = match &outcome {
                UserOutcome::NotExpected => {
                    return Ok(Ok(Reply::refusal(
                        404,
                        "There is no such user, or none who must have a profile.",
                    )));
                }
                UserOutcome::Created if request.dry_run => (200, Verdict::Inconsistent),
                UserOutcome::Created | UserOutcome::AlreadyExists => (200, Verdict::Consistent),
                UserOutcome::Failed(_) => (200, Verdict::Inconsistent),
            };
            let mut reply = reply(status, verdict, request.dry_run, &outcome);
            if let Ok(Reply {
                body: Value::Object(fields),
                ..
            }) = &mut reply
            {
                fields.insert("user_id".to_owned(), json!(user_id));
            }
            return Ok(reply);
        }
        Selection::Missing { max_users } => max_users,
    };

    if request.dry_run {
        let preview = backfill::dry_run(session, max_users, account_type, Some(until)).await?;
        let mut reply = reply(200, verdict(preview.total_missing), true, &preview);
        if let Ok(Reply {
            body: Value::Object(fields),
            ..
        }) = &mut reply
        {
            let message = format!("Would backfill {} profiles", preview.total_missing);
            fields.insert("message".to_owned(), message.into());
        }
        return Ok(reply);
    }
    let outcome = backfill::apply(
        session,
        request.batch_size,
        max_users,
        account_type,
        Some(until),
        |_| (),
    )
    .await?;
    let status = outcome.interruption.as_ref().map_or(200, status);
    let verdict = outcome.remaining.map_or(Verdict::Unknown, verdict);
    let mut reply = reply(status, verdict, false, &outcome);
    if let (Ok(reply), Some(error)) = (&mut reply, &outcome.interruption) {
        log(error);
        explain(&mut reply.body, error);
    }
    Ok(reply)
}

fn verdict(missing: i64) -> Verdict {
    if missing == 0 {
        Verdict::Consistent
    } else {
        Verdict::Inconsistent
    }
}

fn reply(
    status: u16,
    verdict: Verdict,
    dry_run: bool,
    result: &impl Serialize,
) -> serde_json::Result<Reply> {
    let mut body = json!({ "verdict": verdict, "dry_run": dry_run });
    if let (Value::Object(fields), Value::Object(more)) = (&mut body, serde_json::to_value(result)?)
    {
        fields.extend(more);
    }
    Ok(Reply { status, body })
}

/// What the database refused: the caller's fault where the profiles cannot have the wish, else ours,
/// with the cause by its stable name.
fn failure(error: &DatabaseError) -> Reply {
    if let DatabaseError::Statement { sqlstate, .. } = error {
        match sqlstate.as_str() {
            NO_SUCH_COLUMN => {
                return Reply::refusal(
                    400,
                    "account_type is given, but the profiles have no such column.",
                );
            }
            NO_SUCH_VALUE => {
                return Reply::refusal(400, "account_type is no value that the profiles can have.");
            }
            _ => {}
        }
    }
    log(error);
    let mut body = json!({ "verdict": Verdict::Unknown });
    explain(&mut body, error);
    Reply {
        status: status(error),
        body,
    }
}

fn status(error: &DatabaseError) -> u16 {
    if error.is_retryable() { 503 } else { 500 }
}

fn log(error: &DatabaseError) {
    tracing::error!(%error, error.id = error.id(), next_step = error.next_step(), "backfill failed");
}

fn explain(body: &mut Value, error: &DatabaseError) {
    body["error"] =
        "The repair could not be run or finished; what was done stays. The function's log has the cause.".into();
    body["error_id"] = error.id().into();
    body["retryable"] = error.is_retryable().into();
}

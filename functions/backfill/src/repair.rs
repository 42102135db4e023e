//! One slice of a repair, and its result as JSON.

use std::ops::ControlFlow;

use lambda_runtime::Error;
use rollcall::backfill::{
    self, BackfillRequest, RunOptions, RunResult, RunTarget, Selection, UserResult, runs,
};
use rollcall::error::Result as DatabaseResult;
use rollcall::session::Session;
use rollcall::session::SessionAccess;
use rollcall::verdict::Verdict;
use rollcall::wording::counted;
use rollcall_lambda::function::Function;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::event::{Call, Reply};
use crate::refusal;

/// Does what is asked until `until`, and says what remains.
///
/// # Errors
/// If the result cannot be written as JSON. What the database refuses becomes an answer.
pub(crate) async fn run(
    function: &Function,
    request: &BackfillRequest,
    call: &Call,
    until: Instant,
) -> Result<Reply, Error> {
    let outcome = function
        .with_session(until, async |session| {
            slice(session, request, call, until).await
        })
        .await;
    Ok(match outcome {
        Ok(reply) => reply?,
        Err(error) => refusal::of(&error),
    })
}

async fn slice(
    session: &mut Session,
    request: &BackfillRequest,
    call: &Call,
    until: Instant,
) -> DatabaseResult<serde_json::Result<Reply>> {
    let options = options(request, call);
    match request.selection {
        Selection::User(user_id) => one_user(session, &options, request, user_id, until).await,
        Selection::Run(run_id) if request.dry_run => {
            let run = runs::show(session, run_id).await?;
            let remaining = backfill::count(session, Some(until)).await?;
            Ok(reply(
                verdict(remaining),
                true,
                serde_json::to_value(
                    json!({ "run_id": run_id, "remaining": remaining, "run": run }),
                ),
            ))
        }
        Selection::Missing { .. } if request.dry_run => {
            let preview = backfill::dry_run(session, &options, Some(until)).await?;
            let message = if preview.not_tried_because.is_empty() {
                format!("Would backfill {} profiles", preview.would_create)
            } else {
                format!(
                    "{} have no profile; nothing was tried",
                    counted(preview.total_missing, "user")
                )
            };
            let result = serde_json::to_value(&preview).map(|mut result| {
                result["message"] = message.into();
                result
            });
            Ok(reply(verdict(preview.total_missing), true, result))
        }
        Selection::Run(_) | Selection::Missing { .. } => {
            let mut result =
                backfill::apply(
                    session,
                    &options,
                    Some(until),
                    |_| ControlFlow::Continue(()),
                )
                .await?;
            // asked again, the same is answered
            if let RunTarget::Keyed { .. } = options.target {
                whole_run(&mut result);
            }
            Ok(repaired(&result))
        }
    }
}

fn options(request: &BackfillRequest, call: &Call) -> RunOptions {
    let (target, max_users) = match (&call.idempotency_key, request.selection) {
        (_, Selection::Run(run_id)) => (RunTarget::Run(run_id), None),
        (_, Selection::User(_)) => (RunTarget::UnfinishedOrNew, None),
        (Some(key), Selection::Missing { max_users }) => (
            RunTarget::Keyed {
                key: key.clone(),
                request: request.canonical(),
            },
            max_users,
        ),
        (None, Selection::Missing { max_users }) => (RunTarget::UnfinishedOrNew, max_users),
    };
    RunOptions {
        target,
        note: request.note.clone(),
        batch_size: request.batch_size,
        max_users,
        account_type: request.account_type.clone(),
        throttle: request.throttle,
        allow_outside_calls: request.allow_outside_calls,
        ..RunOptions::new(call.source())
    }
}

fn whole_run(result: &mut RunResult) {
    let run = &result.run;
    result.total_missing = run.total_missing;
    result.attempted = run.attempted;
    result.created = run.created;
    result.failed = run.failed;
}

fn repaired(result: &RunResult) -> serde_json::Result<Reply> {
    let verdict = result.remaining.map_or(Verdict::Unknown, verdict);
    let mut reply = reply(verdict, false, serde_json::to_value(result))?;
    if let Some(error) = &result.interruption {
        refusal::log(error);
        refusal::explain(&mut reply.body, error);
        reply.status = refusal::status(error);
    }
    Ok(reply)
}

/// A repair of one user is the same twice, so it needs no idempotency key.
async fn one_user(
    session: &mut Session,
    options: &RunOptions,
    request: &BackfillRequest,
    user_id: Uuid,
    until: Instant,
) -> DatabaseResult<serde_json::Result<Reply>> {
    let result =
        backfill::apply_to_user(session, user_id, options, request.dry_run, Some(until)).await?;
    let verdict = match &result {
        UserResult::NotExpected => {
            return Ok(Ok(Reply::refusal(
                404,
                "There is no such user, or none who must have a profile.",
            )));
        }
        UserResult::Created if request.dry_run => Verdict::Inconsistent,
        UserResult::Created | UserResult::AlreadyExists => Verdict::Consistent,
        UserResult::Failed(_) | UserResult::NotTried { .. } => Verdict::Inconsistent,
    };
    let result = serde_json::to_value(&result).map(|mut result| {
        result["user_id"] = json!(user_id);
        result
    });
    Ok(reply(verdict, request.dry_run, result))
}

fn verdict(missing: i64) -> Verdict {
    if missing == 0 {
        Verdict::Consistent
    } else {
        Verdict::Inconsistent
    }
}

/// What the caller wrote is not repeated, here or in a log.
fn without_words(body: &mut Value) {
    if let Some(run) = body.get_mut("run").and_then(Value::as_object_mut) {
        run.remove("note");
        run.remove("account_type");
    }
}

fn reply(
    verdict: Verdict,
    dry_run: bool,
    result: serde_json::Result<Value>,
) -> serde_json::Result<Reply> {
    let mut body = json!({ "verdict": verdict, "dry_run": dry_run });
    if let (Value::Object(fields), Value::Object(more)) = (&mut body, result?) {
        fields.extend(more);
    }
    without_words(&mut body);
    Ok(Reply { status: 200, body })
}

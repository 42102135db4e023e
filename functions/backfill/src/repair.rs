//! One slice of a repair, and its result as JSON.

use lambda_runtime::Error;
use rollcall::backfill::{
    self, BackfillRequest, IdRange, Order, Outcome, Selection, UserOutcome, Which, runs,
};
use rollcall::error::Result as DatabaseResult;
use rollcall::session::Session;
use rollcall::verdict::Verdict;
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
    match request.selection {
        Selection::User(user_id) => one_user(session, request, call, user_id, until).await,
        Selection::Plan(ranges) => {
            let ranges = backfill::plan(session, ranges, Some(until)).await?;
            let missing = ranges.iter().map(|range| range.missing).sum();
            Ok(reply(
                verdict(missing),
                true,
                serde_json::to_value(json!({ "total_missing": missing, "ranges": ranges })),
            ))
        }
        Selection::Run(run_id) if request.dry_run => {
            let run = runs::show(session, run_id).await?;
            let range = IdRange {
                first: run.from_user_id,
                last: run.to_user_id,
            };
            let remaining = backfill::count(session, range, Some(until)).await?;
            Ok(reply(
                verdict(remaining),
                true,
                serde_json::to_value(
                    json!({ "run_id": run_id, "remaining": remaining, "run": run }),
                ),
            ))
        }
        Selection::Missing { max_users, range } if request.dry_run => {
            let account_type = request.account_type.as_deref();
            let preview =
                backfill::dry_run(session, range, max_users, account_type, Some(until)).await?;
            let message = format!("Would backfill {} profiles", preview.total_missing);
            let result = serde_json::to_value(&preview).map(|mut result| {
                result["message"] = message.into();
                result
            });
            Ok(reply(verdict(preview.total_missing), true, result))
        }
        Selection::Run(_) | Selection::Missing { .. } => {
            let order = order(request, call);
            let mut outcome = backfill::apply(session, &order, Some(until), |_| ()).await?;
            // asked again, the same is answered
            if let Which::Keyed { .. } = order.which {
                whole_run(&mut outcome);
            }
            Ok(repaired(&outcome))
        }
    }
}

fn order(request: &BackfillRequest, call: &Call) -> Order {
    let (max_users, range) = match request.selection {
        Selection::Missing { max_users, range } => (max_users, range),
        _ => (None, IdRange::EVERYONE),
    };
    let which = match (&call.idempotency_key, request.selection) {
        (_, Selection::Run(run_id)) => Which::Run(run_id),
        (Some(key), _) => Which::Keyed {
            key: key.clone(),
            request: request.canonical(),
        },
        (None, _) => Which::Open,
    };
    Order {
        which,
        note: request.note.clone(),
        batch_size: request.batch_size,
        max_users,
        account_type: request.account_type.clone(),
        range,
        duty: request.duty,
        ..Order::new(call.face())
    }
}

fn whole_run(outcome: &mut Outcome) {
    let run = &outcome.run;
    outcome.total_missing = run.total_missing;
    outcome.attempted = run.attempted;
    outcome.created = run.created;
    outcome.failed = run.failed;
    outcome.skipped = run.skipped;
}

fn repaired(outcome: &Outcome) -> serde_json::Result<Reply> {
    let verdict = outcome.remaining.map_or(Verdict::Unknown, verdict);
    let mut reply = reply(verdict, false, serde_json::to_value(outcome))?;
    if let Some(error) = &outcome.interruption {
        refusal::log(error);
        refusal::explain(&mut reply.body, error);
        reply.status = refusal::status(error);
    }
    Ok(reply)
}

async fn one_user(
    session: &mut Session,
    request: &BackfillRequest,
    call: &Call,
    user_id: Uuid,
    until: Instant,
) -> DatabaseResult<serde_json::Result<Reply>> {
    // a repair of one user is the same twice; the key still belongs to this request alone
    if let (Some(key), false) = (&call.idempotency_key, request.dry_run) {
        runs::claim(session, key, &request.canonical(), Some(until)).await?;
    }
    let account_type = request.account_type.as_deref();
    let outcome =
        backfill::apply_to_user(session, user_id, account_type, request.dry_run, Some(until))
            .await?;
    let verdict = match &outcome {
        UserOutcome::NotExpected => {
            return Ok(Ok(Reply::refusal(
                404,
                "There is no such user, or none who must have a profile.",
            )));
        }
        UserOutcome::Created if request.dry_run => Verdict::Inconsistent,
        UserOutcome::Created | UserOutcome::AlreadyExists => Verdict::Consistent,
        UserOutcome::Failed(_) => Verdict::Inconsistent,
    };
    let result = serde_json::to_value(&outcome).map(|mut result| {
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

/// What the caller wrote himself is not repeated, here or in a log.
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

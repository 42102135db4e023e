//! What the database refused, as an answer: the caller's fault where it is one, else ours, with the cause by its stable
//! name.

use rollcall::backfill::runs::{KEY_WAS_USED, NO_SUCH_RUN, OUTSIDE_CALLS, is_for_the_owner};
use rollcall::error::Error;
use rollcall::verdict::Verdict;
use serde_json::{Value, json};

use crate::event::Reply;

/// SQLSTATEs of `rollcall.insert_sql` for a value without a column, and for one that its column cannot take.
const NO_SUCH_COLUMN: &str = "RC003";
const NO_SUCH_VALUE: &str = "RC005";

pub(crate) fn of(error: &Error) -> Reply {
    if let Error::Statement { sqlstate, .. } = error {
        let callers_fault = match sqlstate.as_str() {
            NO_SUCH_COLUMN => Some((
                400,
                "account_type is given, but the profiles have no such column.",
            )),
            NO_SUCH_VALUE => Some((400, "account_type is no value that the profiles can have.")),
            NO_SUCH_RUN => Some((404, "There is no such run.")),
            KEY_WAS_USED => Some((409, "Idempotency-Key was used for another request.")),
            OUTSIDE_CALLS => Some((
                409,
                "Creating a profile here does what no rollback takes back (a call to another server); allow_outside_calls says that it may.",
            )),
            _ => None,
        };
        if let Some((status, sentence)) = callers_fault {
            return Reply::refusal(status, sentence);
        }
    }
    if is_for_the_owner(error) {
        return Reply::refusal(
            403,
            "account_type is given, or the run is a replay: both are for the owner of the database alone.",
        );
    }
    log(error);
    let mut body = json!({ "verdict": Verdict::Unknown });
    explain(&mut body, error);
    Reply {
        status: status(error),
        body,
    }
}

pub(crate) fn status(error: &Error) -> u16 {
    if error.is_retryable() { 503 } else { 500 }
}

pub(crate) fn log(error: &Error) {
    tracing::error!(%error, error.id = error.id(), next_step = error.next_step(), "backfill failed");
}

pub(crate) fn explain(body: &mut Value, error: &Error) {
    body["error"] =
        "The repair could not be run or finished; what was done stays. The function's log has the cause.".into();
    body["error_id"] = error.id().into();
    body["retryable"] = error.is_retryable().into();
}

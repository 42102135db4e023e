//! The two forms of a call, and the two forms of its answer.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lambda_runtime::{Context, Error};
use rollcall::backfill::{BackfillRequest, InvalidRequest, Source};
use rollcall_lambda::function::time_left;
use serde_json::{Value, json};
use tokio::time::Instant;

/// An HTTP API waits 30 s for its integration, whatever the function's own limit is
/// (API Gateway quotas, maximum integration timeout).
const HTTP_LIMIT: Duration = Duration::from_secs(28);

/// Kept free at the end for writing the answer.
const RESERVE: Duration = Duration::from_secs(1);

/// Longer ones are no keys.
const LONGEST_KEY: usize = 255;

/// A call as it was understood.
pub(crate) struct Call {
    pub(crate) request: Result<BackfillRequest, Reply>,
    /// Under which the same request is answered by the same run.
    pub(crate) idempotency_key: Option<String>,
    is_http: bool,
}

/// What is answered, before it takes the form that the caller expects.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// A JSON object.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn refusal(status: u16, sentence: &str) -> Self {
        Self {
            status,
            body: json!({ "error": sentence }),
        }
    }
}

impl From<InvalidRequest> for Reply {
    fn from(refusal: InvalidRequest) -> Self {
        Self::refusal(400, refusal.0)
    }
}

impl Call {
    /// Reads an event of an HTTP API (payload format 2.0) or, where it is none, a direct call whose
    /// event is the request itself. The text is read here, not by the runtime, whose errors quote it.
    pub(crate) fn read(event: &str) -> Self {
        let direct = |request| Self {
            request,
            idempotency_key: None,
            is_http: false,
        };
        let http = |request| Self {
            request,
            idempotency_key: None,
            is_http: true,
        };
        let Ok(fields) = serde_json::from_str::<Value>(event) else {
            return direct(Err(Reply::refusal(
                400,
                "The event is not JSON that can be read.",
            )));
        };
        if fields.get("httpMethod").is_some() {
            // REST APIs, load balancers and payload format 1.0; the same answer does for them
            return http(Err(Reply::refusal(
                400,
                "Only HTTP APIs with payload format 2.0 are answered.",
            )));
        }
        match http_method(&fields) {
            Some("POST") => match idempotency_key(&fields) {
                Ok(key) => Self {
                    idempotency_key: key,
                    ..http(http_request(&fields))
                },
                Err(refusal) => http(Err(refusal)),
            },
            Some(_) => http(Err(Reply::refusal(405, "Only POST is allowed."))),
            None => direct(BackfillRequest::from_json(event.as_bytes()).map_err(Reply::from)),
        }
    }

    /// From where a run is started that this call starts.
    pub(crate) fn source(&self) -> Source {
        match &self.request {
            _ if self.is_http => Source::Api,
            Ok(request) if request.is_state_machine => Source::StateMachine,
            _ => Source::Lambda,
        }
    }

    /// The moment by which the work must end so that the answer still arrives.
    pub(crate) fn end_of_work(&self, context: &Context) -> Instant {
        let remaining = time_left(context);
        let allowed = if self.is_http {
            remaining.min(HTTP_LIMIT)
        } else {
            remaining
        };
        Instant::now() + allowed.saturating_sub(RESERVE)
    }

    /// An HTTP answer for an HTTP call; for a direct one the body, with `statusCode` where the call
    /// was refused or failed.
    pub(crate) fn answer(&self, reply: Reply) -> Result<Value, Error> {
        if self.is_http {
            let mut response = ApiGatewayV2httpResponse::default();
            response.status_code = i64::from(reply.status);
            response
                .headers
                .insert("content-type", "application/json".parse()?);
            response
                .headers
                .insert("cache-control", "no-store".parse()?);
            response.body = Some(reply.body.to_string().into());
            return Ok(serde_json::to_value(response)?);
        }
        let mut body = reply.body;
        if let (Value::Object(fields), 400..) = (&mut body, reply.status) {
            fields.insert("statusCode".to_owned(), reply.status.into());
        }
        Ok(body)
    }
}

/// The method of an HTTP event; none for anything else.
fn http_method(event: &Value) -> Option<&str> {
    event.pointer("/requestContext/http/method")?.as_str()
}

/// The header of that name, which HTTP APIs write in small letters.
fn idempotency_key(event: &Value) -> Result<Option<String>, Reply> {
    let header = event
        .get("headers")
        .and_then(Value::as_object)
        .and_then(|headers| {
            headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
        });
    match header {
        None => Ok(None),
        Some((_, Value::String(key)))
            if (1..=LONGEST_KEY).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(Some(key.clone()))
        }
        Some(_) => Err(Reply::refusal(
            400,
            "Idempotency-Key must be 1 to 255 visible ASCII characters.",
        )),
    }
}

fn http_request(event: &Value) -> Result<BackfillRequest, Reply> {
    let text = match event.get("body") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err(Reply::refusal(400, "The body is not text.")),
    };
    let is_base64 = event
        .get("isBase64Encoded")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let request = if is_base64 {
        let bytes = STANDARD
            .decode(text)
            .map_err(|_| Reply::refusal(400, "The body is not valid Base64."))?;
        BackfillRequest::from_json(&bytes)
    } else {
        BackfillRequest::from_json(text.as_bytes())
    };
    Ok(request?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(method: &str, body: Value, is_base64: bool) -> Value {
        json!({
            "version": "2.0",
            "requestContext": { "http": { "method": method, "path": "/backfill" } },
            "body": body,
            "isBase64Encoded": is_base64,
        })
    }

    fn status(event: Value) -> u16 {
        Call::read(&event.to_string())
            .request
            .err()
            .map_or(200, |reply| reply.status)
    }

    #[test]
    fn a_body_may_be_text_or_base64_or_absent() {
        for event in [
            http("POST", json!("{\"dry_run\":true}"), false),
            http("POST", json!(STANDARD.encode("{\"dry_run\":true}")), true),
            http("POST", Value::Null, false),
            http("POST", json!(""), false),
        ] {
            assert_eq!(status(event.clone()), 200, "{event}");
        }
    }

    #[test]
    fn a_body_that_cannot_be_read_is_the_callers_fault() {
        for event in [
            http("POST", json!("no json"), false),
            http("POST", json!("***"), true),
            http("POST", json!(STANDARD.encode([0xff, 0xfe])), true),
            http("POST", json!({"dry_run": true}), false),
            http("POST", json!("{\"run\":1}"), false),
        ] {
            assert_eq!(status(event.clone()), 400, "{event}");
        }
        assert_eq!(status(http("GET", Value::Null, false)), 405);
    }

    #[test]
    fn an_event_that_is_neither_a_request_nor_http_is_refused() {
        for event in [
            json!(null),
            json!([]),
            json!("text"),
            json!({"source": "aws.events", "detail-type": "Scheduled Event"}),
            json!({"requestContext": {"http": {}}}),
        ] {
            let call = Call::read(&event.to_string());
            let refusal = call.request.as_ref().expect_err("refused").clone();
            assert_eq!(refusal.status, 400, "{event}");
            assert_eq!(call.answer(refusal).expect("an answer")["statusCode"], 400);
        }
    }

    #[test]
    fn an_empty_event_asks_for_a_dry_run() {
        assert_eq!(
            Call::read("{}").request.ok(),
            Some(BackfillRequest::default())
        );
    }

    #[test]
    fn text_that_is_no_event_is_refused_and_not_repeated() {
        for event in [
            "{\"ada@example.com\":\"\\ud800\"}",
            "ada@example.com",
            "",
            &"[".repeat(1000),
        ] {
            let refusal = Call::read(event).request.expect_err("refused");
            assert_eq!(refusal.status, 400, "{event}");
            assert!(!refusal.body.to_string().contains("ada"), "{event}");
        }
    }

    #[test]
    fn a_flag_given_twice_is_refused() {
        let refusal = Call::read(r#"{"dry_run":true,"dry_run":false}"#)
            .request
            .expect_err("refused");
        assert_eq!(refusal.status, 400);
    }

    #[test]
    fn a_key_is_taken_from_its_header_or_refused() {
        let with = |name: &str, key: Value| {
            let mut event = http("POST", json!("{}"), false);
            event["headers"] = json!({ name: key });
            Call::read(&event.to_string())
        };
        for name in ["idempotency-key", "Idempotency-Key"] {
            assert_eq!(
                with(name, json!("k-1")).idempotency_key.as_deref(),
                Some("k-1")
            );
        }
        for key in [
            json!(""),
            json!("a b"),
            json!("\u{e9}"),
            json!("k".repeat(256)),
            json!(7),
        ] {
            let refusal = with("idempotency-key", key).request.expect_err("refused");
            assert_eq!(refusal.status, 400);
        }
        assert_eq!(with("other", json!("x")).idempotency_key, None);
    }

    #[test]
    fn other_http_events_get_an_http_answer() {
        let call = Call::read(r#"{"httpMethod":"POST","path":"/backfill","body":"{}"}"#);
        let refusal = call.request.as_ref().expect_err("refused").clone();
        let answer = call.answer(refusal).expect("an answer");
        assert_eq!(
            (&answer["statusCode"], answer["body"].is_string()),
            (&json!(400), true)
        );
    }
}

//! The forms of a call, and of its answer.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use lambda_runtime::Error;
use rollcall::dashboard::{self, FrameAncestors, Overview, Theme};
use serde_json::{Value, json};

/// How long the page waits before it asks again.
const REFRESH: Duration = Duration::from_secs(60);

/// A call as it was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// CloudWatch asks what the widget is.
    Describe,
    /// CloudWatch shows the widget.
    Widget(Theme),
    /// An HTTP API hands on a request.
    Http(Request),
    /// Somebody invoked the function, with whatever event.
    Direct,
}

/// What an HTTP request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Page,
    Json,
    Refused(u16, &'static str),
}

impl Call {
    /// Reads an event. What is none of the known forms asks for JSON, since there is nothing to be wrong about.
    pub(crate) fn read(event: &str) -> Self {
        let event: Value = serde_json::from_str(event).unwrap_or_default();
        if event.get("describe") == Some(&Value::Bool(true)) {
            return Self::Describe;
        }
        if let Some(context) = event.get("widgetContext") {
            return Self::Widget(match context.get("theme").and_then(Value::as_str) {
                Some("dark") => Theme::Dark,
                _ => Theme::Light,
            });
        }
        if event.get("httpMethod").is_some() {
            // REST APIs, load balancers and payload format 1.0; the same answer does for them
            return Self::Http(Request::Refused(
                400,
                "Only HTTP APIs with payload format 2.0 are answered.",
            ));
        }
        match event
            .pointer("/requestContext/http/method")
            .and_then(Value::as_str)
        {
            Some("GET" | "HEAD") => Self::Http(wanted(&event)),
            Some(_) => Self::Http(Request::Refused(405, "Only GET is allowed.")),
            None => Self::Direct,
        }
    }

    /// Whether the database has to be asked.
    pub(crate) fn wants_overview(self) -> bool {
        !matches!(self, Self::Describe | Self::Http(Request::Refused(..)))
    }

    /// A word for the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Widget(_) => "widget",
            Self::Http(Request::Page) => "page",
            Self::Http(Request::Json) => "json",
            Self::Http(Request::Refused(..)) => "refused",
            Self::Direct => "direct",
        }
    }

    /// The answer in the form that the caller expects.
    ///
    /// A verdict of `unknown` is answered with 200, too: the question was what is known, and this is the answer. With a
    /// status of 5xx, whatever stands before the function would put its own error page in place of cause and remedy.
    pub(crate) fn answer(
        self,
        overview: Option<&Overview>,
        frames: &FrameAncestors,
    ) -> Result<Value, Error> {
        let overview = || overview.ok_or("nobody looked");
        match self {
            Self::Describe => Ok(dashboard::DOCUMENTATION.into()),
            Self::Widget(theme) => Ok(dashboard::widget(overview()?, theme).into()),
            Self::Direct => Ok(serde_json::to_value(overview()?)?),
            Self::Http(Request::Page) => response(
                200,
                "text/html; charset=utf-8",
                dashboard::page(overview()?, REFRESH),
                frames,
            ),
            Self::Http(Request::Json) => response(
                200,
                "application/json",
                serde_json::to_string(overview()?)?,
                frames,
            ),
            Self::Http(Request::Refused(status, sentence)) => response(
                status,
                "application/json",
                json!({ "error": sentence }).to_string(),
                frames,
            ),
        }
    }
}

/// Page or data. Browsers name HTML first, programs JSON; names of headers are in lower case here.
fn wanted(event: &Value) -> Request {
    let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
    match text("/queryStringParameters/format") {
        Some("json") => Request::Json,
        Some("html") => Request::Page,
        Some(_) => Request::Refused(400, "format is html or json."),
        None if dashboard::prefers_json(text("/headers/accept").unwrap_or_default()) => {
            Request::Json
        }
        None => Request::Page,
    }
}

fn response(
    status: u16,
    content_type: &str,
    body: String,
    frames: &FrameAncestors,
) -> Result<Value, Error> {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    response
        .headers
        .insert("content-type", content_type.parse()?);
    for (name, value) in dashboard::headers(frames) {
        response.headers.insert(name, value.parse()?);
    }
    if status == 405 {
        response.headers.insert("allow", "GET, HEAD".parse()?);
    }
    response.body = Some(body.into());
    Ok(serde_json::to_value(response)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(method: &str, accept: Option<&str>, format: Option<&str>) -> Call {
        let mut event = json!({
            "version": "2.0",
            "requestContext": { "http": { "method": method, "path": "/dashboard" } },
            "headers": {},
        });
        if let Some(accept) = accept {
            event["headers"]["accept"] = accept.into();
        }
        if let Some(format) = format {
            event["queryStringParameters"] = json!({ "format": format });
        }
        Call::read(&event.to_string())
    }

    #[test]
    fn a_browser_gets_the_page_and_a_program_the_data() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, format, request) in [
            (None, None, Request::Page),
            (Some(browser), None, Request::Page),
            (Some("*/*"), None, Request::Page),
            (Some("application/json"), None, Request::Json),
            (
                Some("application/json; charset=utf-8, text/plain"),
                None,
                Request::Json,
            ),
            (Some("text/html, application/json"), None, Request::Page),
            (Some(browser), Some("json"), Request::Json),
            (Some("application/json"), Some("html"), Request::Page),
        ] {
            assert_eq!(
                http("GET", accept, format),
                Call::Http(request),
                "{accept:?} {format:?}"
            );
        }
        assert!(matches!(
            http("GET", None, Some("xml")),
            Call::Http(Request::Refused(400, _))
        ));
        assert!(matches!(
            http("POST", None, None),
            Call::Http(Request::Refused(405, _))
        ));
    }

    #[test]
    fn cloudwatch_is_told_what_the_widget_is_and_shown_it_in_its_theme() {
        assert_eq!(Call::read(r#"{"describe":true}"#), Call::Describe);
        let widget =
            |theme: &str| Call::read(&json!({ "widgetContext": { "theme": theme } }).to_string());
        assert_eq!(widget("dark"), Call::Widget(Theme::Dark));
        assert_eq!(widget("light"), Call::Widget(Theme::Light));
        assert_eq!(widget("other"), Call::Widget(Theme::Light));
    }

    #[test]
    fn whatever_else_comes_is_a_direct_call() {
        for event in [
            "{}",
            "null",
            "[]",
            "7",
            "\"x\"",
            "no json",
            r#"{"describe":false}"#,
            r#"{"requestContext":{"http":{}}}"#,
        ] {
            assert_eq!(Call::read(event), Call::Direct, "{event}");
        }
    }
}

//! `rollcall dashboard`: the page of the function of this name, on this machine.

use std::convert::Infallible;
use std::env;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HOST};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use rollcall::alert::Origin;
use rollcall::connection_string::ConnectionSettings;
use rollcall::dashboard::{self, FrameAncestors, Overview, Place};
use rollcall::session::Session;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::report::Report;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall dashboard
  rollcall dashboard --port 8080 --refresh 10
  rollcall dashboard --format json")]
pub(crate) struct DashboardArguments {
    /// Port to listen on; 0 takes one that is free
    #[arg(long, default_value_t = 7655)]
    port: u16,

    /// Seconds after which the page asks again
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=3600))]
    refresh: u16,
}

/// A client that says nothing for so long is gone.
const HEADER_LIMIT: Duration = Duration::from_secs(10);

/// What every request shares.
struct Server {
    session: Mutex<Session>,
    port: u16,
    refresh: Duration,
}

pub(crate) async fn run(
    arguments: &DashboardArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = Session::new(settings);
    if output.format() == Format::Json {
        let overview = look(&mut session).await;
        output.data(&Report::Dashboard(&overview), String::new)?;
        return Ok(overview.health.verdict.into());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))
        .await
        .with_context(|| {
            format!(
                "cannot listen on port {}; for any port that is free, give --port 0",
                arguments.port
            )
        })?;
    let port = listener.local_addr()?.port();
    output.say(&format!(
        "The dashboard is at http://127.0.0.1:{port}/ for every user of this machine: ids and counts, no personal data.\n\
         To end it: Ctrl-C."
    ));
    let server = Arc::new(Server {
        session: Mutex::new(session),
        port,
        refresh: Duration::from_secs(arguments.refresh.into()),
    });
    tokio::select! {
        () = serve(listener, server) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(Exit::Success)
}

async fn look(session: &mut Session) -> Overview {
    let origin = Origin::from_variables(|name| env::var(name).ok());
    let place = Place::of(&origin, session.settings());
    session
        .run(async |database| Overview::take(database).await)
        .await
        .unwrap_or_else(|error| Overview::unknown(&error, Timestamp::now()))
        .at(place)
}

async fn serve(listener: TcpListener, server: Arc<Server>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // too many open files, say: what is being answered ends soon
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, Infallible>(server.answer(&request).await) }
            });
            // a client that went away is nobody's concern
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_LIMIT)
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

impl Server {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.is_named_in(request) {
            // a page elsewhere whose name was made to point here must not read this
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "This is the dashboard of 127.0.0.1.",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET is allowed.");
            refusal
                .headers_mut()
                .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        if !matches!(request.uri().path(), "/" | "/dashboard") {
            return text(StatusCode::NOT_FOUND, "The dashboard is at /.");
        }
        let overview = look(&mut *self.session.lock().await).await;
        let json = if wants_json(request) {
            serde_json::to_string(&overview).ok()
        } else {
            None
        };
        match json {
            Some(json) => response(StatusCode::OK, "application/json", json),
            None => response(
                StatusCode::OK,
                "text/html; charset=utf-8",
                dashboard::page(&overview, self.refresh),
            ),
        }
    }

    fn is_named_in(&self, request: &Request<Incoming>) -> bool {
        let host = request
            .headers()
            .get(HOST)
            .and_then(|host| host.to_str().ok());
        ["127.0.0.1", "localhost"].iter().any(|name| {
            host.is_some_and(|host| host.eq_ignore_ascii_case(&format!("{name}:{}", self.port)))
        })
    }
}

fn wants_json(request: &Request<Incoming>) -> bool {
    let mut parameters = request.uri().query().unwrap_or_default().split('&');
    match parameters.find_map(|parameter| parameter.strip_prefix("format=")) {
        Some(format) => format == "json",
        None => request
            .headers()
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(dashboard::prefers_json),
    }
}

fn text(status: StatusCode, sentence: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", format!("{sentence}\n"))
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    for (name, value) in dashboard::headers(&FrameAncestors::default()) {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    response
}

//! An SNS in the test's own process that fails on demand.
//!
//! It knows `Publish` and checks nothing; whether a message is one that SNS takes is for
//! [`moto`](crate::moto) to say.

use std::{
    collections::HashMap,
    future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use axum::{
    Form, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};

use crate::local_server::LocalServer;

/// How the topic behaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Behaviour {
    /// Takes every message.
    #[default]
    Accept,
    /// Answers with an error of SNS.
    Fail {
        /// For example 500, which the SDK tries again, or 403, which it does not.
        status: StatusCode,
        /// For example `InternalError`, `AuthorizationError`, `NotFound`.
        code: &'static str,
    },
    /// Takes the connection and never answers.
    Hang,
}

impl Behaviour {
    /// The error of SNS itself, which the SDK tries again.
    pub const INTERNAL_ERROR: Self = Self::Fail {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "InternalError",
    };
}

/// One `Publish` request, as it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Publication {
    /// `TopicArn`.
    pub topic_arn: String,
    /// `Subject`.
    pub subject: Option<String>,
    /// `Message`.
    pub message: String,
    /// `MessageStructure`: `json` where `message` holds a text per protocol.
    pub message_structure: Option<String>,
}

/// The endpoint, for `AWS_ENDPOINT_URL_SNS`.
#[derive(Debug)]
pub struct FakeSns {
    server: LocalServer,
    state: Arc<Mutex<Topic>>,
}

#[derive(Debug, Default)]
struct Topic {
    behaviour: Behaviour,
    attempts: Vec<Publication>,
}

impl FakeSns {
    /// Listens on a free port of 127.0.0.1 until it is dropped, and accepts what is published.
    pub async fn start() -> Result<Self> {
        let state = Arc::default();
        let router = Router::new()
            .route("/", post(publish))
            .with_state(Arc::clone(&state));
        Ok(Self {
            server: LocalServer::start(router).await?,
            state,
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Changes what happens to requests from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        lock(&self.state).behaviour = behaviour;
    }

    /// All requests so far in their order, whatever was answered; an SDK's retries count too.
    pub fn attempts(&self) -> Vec<Publication> {
        lock(&self.state).attempts.clone()
    }
}

async fn publish(
    State(state): State<Arc<Mutex<Topic>>>,
    Form(mut fields): Form<HashMap<String, String>>,
) -> Response {
    if fields.get("Action").map(String::as_str) != Some("Publish") {
        return error(StatusCode::BAD_REQUEST, "InvalidAction");
    }
    let behaviour = {
        let mut topic = lock(&state);
        topic.attempts.push(Publication {
            topic_arn: fields.remove("TopicArn").unwrap_or_default(),
            subject: fields.remove("Subject"),
            message: fields.remove("Message").unwrap_or_default(),
            message_structure: fields.remove("MessageStructure"),
        });
        topic.behaviour
    };
    match behaviour {
        Behaviour::Accept => xml(
            StatusCode::OK,
            "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
             <MessageId>00000000-0000-4000-8000-000000000001</MessageId></PublishResult>\
             <ResponseMetadata><RequestId>test</RequestId></ResponseMetadata></PublishResponse>"
                .to_owned(),
        ),
        Behaviour::Fail { status, code } => error(status, code),
        Behaviour::Hang => future::pending().await,
    }
}

fn error(status: StatusCode, code: &str) -> Response {
    xml(
        status,
        format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error>\
             <Type>Receiver</Type><Code>{code}</Code><Message>told to fail</Message></Error>\
             <RequestId>test</RequestId></ErrorResponse>"
        ),
    )
}

fn xml(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "text/xml")], text).into_response()
}

fn lock(state: &Mutex<Topic>) -> MutexGuard<'_, Topic> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

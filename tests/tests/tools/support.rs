//! The test support itself keeps its promises.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::{
    Form,
    body::Body,
    http::{Request, StatusCode, request::Builder},
    response::IntoResponse,
};
use rollcall_tests::{
    fake_sns::{Behaviour, FakeSns, Publication},
    function_process::FunctionProcess,
    http,
    inbox::{Inbox, Notification},
    moto::Moto,
    runtime_api::{Outcome, RuntimeApi},
};
use serde_json::{Value, json};
use tokio::time::timeout;

const ID: &str = "00000000-0000-4000-8000-000000000001";
const LIMIT: Duration = Duration::from_secs(10);

/// What a function does: fetches an event, and posts `answer` to `route` of that invocation.
async fn function(api: &RuntimeApi, route: &str, answer: &str) -> Result<(StatusCode, String)> {
    let event = http::send(next(api).body(Body::empty())?).await?;
    post(api, &format!("invocation/{ID}/{route}"), answer).await?;
    Ok(event)
}

fn next(api: &RuntimeApi) -> Builder {
    Request::get(format!(
        "http://{}/2018-06-01/runtime/invocation/next",
        api.address()
    ))
}

async fn post(api: &RuntimeApi, route: &str, body: &str) -> Result<StatusCode> {
    let uri = format!("http://{}/2018-06-01/runtime/{route}", api.address());
    let request = Request::post(uri).body(Body::from(body.to_owned()))?;
    Ok(http::send(request).await?.0)
}

#[tokio::test]
async fn a_functions_answer_reaches_the_invoker() -> Result<()> {
    let api = RuntimeApi::start().await?;
    let (outcome, event) = tokio::join!(
        api.invoke(json!({"dry_run": true}), LIMIT),
        function(&api, "response", r#"{"done": 1}"#),
    );
    assert_eq!(event?, (StatusCode::OK, r#"{"dry_run":true}"#.to_owned()));
    assert_eq!(outcome?.response()?, json!({"done": 1}));
    Ok(())
}

#[tokio::test]
async fn an_event_need_not_be_json() -> Result<()> {
    let api = RuntimeApi::start().await?;
    let (outcome, event) = tokio::join!(
        api.invoke(b"{broken".as_slice(), LIMIT),
        function(&api, "error", r#"{"errorType": "T", "errorMessage": "m"}"#),
    );
    assert_eq!(event?.1, "{broken");
    let Outcome::Error {
        error_type,
        message,
    } = outcome?
    else {
        panic!("not an error");
    };
    assert_eq!((error_type.as_str(), message.as_str()), ("T", "m"));
    Ok(())
}

#[tokio::test]
async fn an_instance_that_cannot_start_says_so() -> Result<()> {
    let api = RuntimeApi::start().await?;
    let (outcome, status) = tokio::join!(
        api.invoke(json!({}), LIMIT),
        post(
            &api,
            "init/error",
            r#"{"errorType": "T", "errorMessage": "m"}"#
        ),
    );
    assert_eq!(status?, StatusCode::ACCEPTED);
    let outcome = outcome?;
    ensure!(
        matches!(&outcome, Outcome::InitError { error_type, .. } if error_type == "T"),
        "{outcome:?}"
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_larger_than_lambda_takes_is_an_error() -> Result<()> {
    let api = RuntimeApi::start().await?;
    let answer = json!("x".repeat(6 * 1024 * 1024)).to_string();
    let (outcome, event) = tokio::join!(
        api.invoke(json!({}), LIMIT),
        function(&api, "response", &answer),
    );
    event?;
    let outcome = outcome?;
    ensure!(
        matches!(&outcome, Outcome::Error { error_type, .. } if error_type == "Function.ResponseSizeTooLarge"),
        "{outcome:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_hung_function_fails_at_its_deadline_and_cannot_answer_afterwards() -> Result<()> {
    let api = RuntimeApi::start().await?;
    let deadline = Duration::from_millis(300);
    let fetch = async { http::send(next(&api).body(Body::empty())?).await };
    let both = async { tokio::join!(api.invoke(json!({}), deadline), fetch) };
    let (outcome, event) = timeout(Duration::from_secs(60), both)
        .await
        .context("the deadline ends nothing")?;
    event?;
    let message = format!("{:#}", outcome.err().context("it answered")?);
    ensure!(
        message.contains("did not answer within its deadline of 300ms"),
        "{message}"
    );
    let late = post(&api, &format!("invocation/{ID}/response"), "{}").await?;
    assert_eq!(late, StatusCode::BAD_REQUEST);
    Ok(())
}

/// The command line is no Lambda function: it ends at once.
#[tokio::test]
async fn a_process_that_ends_without_an_answer_is_noticed() -> Result<()> {
    let api = RuntimeApi::start().await?;
    let process = FunctionProcess::start("rollcall", &api, &[])?;
    let outcome = api.invoke(json!({}), LIMIT).await?;
    ensure!(matches!(outcome, Outcome::Exited(_)), "{outcome:?}");
    ensure!(process.exit_status()?.is_some());
    Ok(())
}

#[tokio::test]
async fn moto_delivers_to_the_inbox_what_is_published() -> Result<()> {
    let (moto, inbox) = (Moto::start().await?, Inbox::start().await?);
    let (topic, other) = (moto.topic("alerts").await?, moto.topic("other").await?);
    moto.subscribe_http(&topic, &inbox).await?;
    let publish = async |topic: &str| {
        let fields = [
            ("Action", "Publish"),
            ("TopicArn", topic),
            ("Subject", "3 of 10 signups"),
            ("Message", "ä & b=c\nend"),
        ];
        moto.sns(&fields).await
    };

    publish(&topic).await?;
    let expected = Notification {
        subject: Some("3 of 10 signups".to_owned()),
        message: "ä & b=c\nend".to_owned(),
        topic_arn: topic.clone(),
    };
    assert_eq!(inbox.next(LIMIT).await?, expected);

    publish(&other).await?;
    inbox.none_within(Duration::from_millis(300)).await?;
    publish(&topic).await?;
    ensure!(inbox.none_within(LIMIT).await.is_err());

    let unknown = publish(&format!("{topic}-that-is-not-there")).await;
    let message = format!("{:#}", unknown.err().context("moto took it")?);
    ensure!(message.contains("NotFound"), "{message}");
    Ok(())
}

#[tokio::test]
async fn moto_keeps_secrets_and_rotates_them() -> Result<()> {
    let moto = Moto::start().await?;
    let arn = moto.secret("rollcall/database", "first").await?;
    let read = async || -> Result<Value> {
        let fields = json!({"SecretId": arn});
        let answer = moto.secrets_manager("GetSecretValue", fields).await?;
        Ok(answer["SecretString"].clone())
    };
    assert_eq!(read().await?, "first");
    moto.replace_secret(&arn, "second").await?;
    assert_eq!(read().await?, "second");
    Ok(())
}

#[tokio::test]
async fn the_inbox_confirms_a_subscription_and_shows_a_malformed_delivery() -> Result<()> {
    let (inbox, subscribed) = (Inbox::start().await?, Inbox::start().await?);
    let deliver = async |body: String| {
        let request = Request::post(inbox.url()).body(Body::from(body))?;
        anyhow::Ok(http::send(request).await?.0)
    };
    // Whether the URL was fetched shows in the answer: the other inbox takes no GET.
    let confirmation =
        json!({"Type": "SubscriptionConfirmation", "SubscribeURL": subscribed.url()});
    assert_eq!(
        deliver(confirmation.to_string()).await?,
        StatusCode::BAD_REQUEST
    );
    let message = format!("{:#}", inbox.next(LIMIT).await.err().context("taken")?);
    ensure!(message.contains("not confirmed"), "{message}");

    deliver("nonsense".to_owned()).await?;
    let message = format!("{:#}", inbox.next(LIMIT).await.err().context("taken")?);
    ensure!(message.contains("not JSON"), "{message}");
    Ok(())
}

#[tokio::test]
async fn the_fake_sns_records_every_attempt_and_fails_when_told_to() -> Result<()> {
    let sns = FakeSns::start().await?;
    let publish = async || {
        let fields = [
            ("Action", "Publish"),
            ("TopicArn", "arn:aws:sns:us-east-1:1:t"),
            ("Message", "m"),
        ];
        let (head, body) = Form(fields).into_response().into_parts();
        let mut request = Request::post(sns.url()).body(body)?;
        *request.headers_mut() = head.headers;
        http::send(request).await
    };

    assert_eq!(publish().await?.0, StatusCode::OK);
    sns.behave(Behaviour::INTERNAL_ERROR);
    let (status, answer) = publish().await?;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    ensure!(answer.contains("<Code>InternalError</Code>"), "{answer}");
    sns.behave(Behaviour::Hang);
    ensure!(
        timeout(Duration::from_millis(300), publish())
            .await
            .is_err()
    );

    let publication = Publication {
        topic_arn: "arn:aws:sns:us-east-1:1:t".to_owned(),
        subject: None,
        message: "m".to_owned(),
        message_structure: None,
    };
    assert_eq!(sns.attempts(), vec![publication; 3]);
    Ok(())
}

//! The AWS clients against a small server that plays SNS and Secrets Manager: what they send, how
//! they retry, and that nothing they wait for can hang.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up should fail loudly"
)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rollcall::alert::{Kind, Notification, Origin, Urgency};
use rollcall::checks::history::CheckName;
use rollcall::verdict::Verdict;
use rollcall_lambda::alert_topic::{AlertTopic, PublishError};
use rollcall_lambda::aws_clients::{AwsClients, TimeLimits};
use rollcall_lambda::aws_environment::AwsEnvironment;
use rollcall_lambda::database_secret::{DatabaseSecret, SecretError};
use secrecy::ExposeSecret;
use uuid::Uuid;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:alerts";
const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rollcall-AbCdEf";

const PUBLISHED: &str = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">
  <PublishResult><MessageId>94f20ce6-13c5-43a0-9a9e-ca52d816e90b</MessageId></PublishResult>
  <ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata>
</PublishResponse>"#;

const LIMITS: TimeLimits = TimeLimits {
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(500),
    operation: Duration::from_secs(4),
    backoff: Duration::from_millis(20),
};

/// What `work` comes to; a panic if it hangs, however slow the machine is.
async fn ends<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("it waits for ever")
}

enum Reply {
    Answer(u16, String),
    Silence,
}

impl Reply {
    fn published() -> Self {
        Self::Answer(200, PUBLISHED.to_owned())
    }

    fn sns_error(status: u16, code: &str, message: &str) -> Self {
        Self::Answer(
            status,
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
                 <Message>{message}</Message></Error><RequestId>r-42</RequestId></ErrorResponse>"
            ),
        )
    }

    fn secret(text: &str) -> Self {
        let answer = serde_json::json!({ "ARN": SECRET, "Name": "rollcall", "SecretString": text });
        Self::Answer(200, answer.to_string())
    }

    fn secrets_manager_error(status: u16, code: &str, message: &str) -> Self {
        let answer = serde_json::json!({ "__type": code, "Message": message });
        Self::Answer(status, answer.to_string())
    }
}

#[derive(Default)]
struct Script {
    replies: VecDeque<Reply>,
    requests: Vec<(HeaderMap, String)>,
}

/// Answers each request with the next reply of its script; silent once that has run out.
struct FakeAws {
    url: String,
    script: Arc<Mutex<Script>>,
}

impl FakeAws {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let script = Arc::new(Mutex::new(Script {
            replies: replies.into_iter().collect(),
            requests: Vec::new(),
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(play).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, script }
    }

    fn requests(&self) -> Vec<(HeaderMap, String)> {
        self.script.lock().unwrap().requests.clone()
    }
}

async fn play(
    State(script): State<Arc<Mutex<Script>>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let reply = {
        let mut script = script.lock().unwrap();
        script.requests.push((headers, body));
        script.replies.pop_front()
    };
    match reply {
        Some(Reply::Answer(status, body)) => {
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Some(Reply::Silence) | None => std::future::pending().await,
    }
}

fn clients(endpoint: &str) -> AwsClients {
    let environment = AwsEnvironment::from_variables(|name| {
        match name {
            "AWS_ACCESS_KEY_ID" => Some("AKIDEXAMPLE"),
            "AWS_SECRET_ACCESS_KEY" => Some("example"),
            "AWS_SESSION_TOKEN" => Some("session-token"),
            "AWS_ENDPOINT_URL" => Some(endpoint),
            _ => None,
        }
        .map(str::to_owned)
    });
    AwsClients::new(environment.unwrap()).with_limits(LIMITS)
}

fn topic(endpoint: &str) -> AlertTopic {
    AlertTopic::new(TOPIC, &clients(endpoint)).unwrap()
}

fn secret(endpoint: &str) -> DatabaseSecret {
    DatabaseSecret::new(SECRET, &clients(endpoint)).unwrap()
}

fn notification(headline: &str) -> Notification {
    Notification {
        kind: Kind::Opened,
        incident: Uuid::nil(),
        check: CheckName::Health,
        urgency: Urgency::Alert,
        verdict: Verdict::Inconsistent,
        headline: headline.to_owned(),
        change: None,
        causes: Vec::new(),
        findings: Vec::new(),
        facts: Vec::new(),
        users: Vec::new(),
        more_users: None,
        missing: None,
        finding_ids: Vec::new(),
        opened_at: Timestamp::UNIX_EPOCH,
        checked_at: Timestamp::UNIX_EPOCH,
        decided_at: Timestamp::UNIX_EPOCH,
    }
}

/// Why nothing could be published, where the reason is that nobody answers.
async fn failed_publish(endpoint: &str) -> PublishError {
    ends(topic(endpoint).publish(&notification("headline"), &Origin::default()))
        .await
        .unwrap_err()
}

async fn refused_publish(status: u16, code: &str, message: &str) -> PublishError {
    // More than the attempts there may be.
    let replies = (0..5).map(|_| Reply::sns_error(status, code, message));
    let aws = FakeAws::start(replies).await;
    topic(&aws.url)
        .publish(&notification("the text of the alert"), &Origin::default())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_published_alert_is_signed_for_the_topics_region_and_returns_its_id() {
    let aws = FakeAws::start([Reply::published()]).await;
    let id = topic(&aws.url)
        .publish(
            &notification("3 signups\nwithout profile"),
            &Origin::default(),
        )
        .await;
    assert_eq!(
        id.unwrap().to_string(),
        "94f20ce6-13c5-43a0-9a9e-ca52d816e90b"
    );

    let requests = aws.requests();
    let [(headers, body)] = requests.as_slice() else {
        panic!("one request, not {}", requests.len());
    };
    assert!(body.contains("Action=Publish&"), "{body}");
    assert!(
        body.contains("Subject=Rollcall%3A%203%20signups%20without%20profile"),
        "{body}"
    );
    assert!(body.contains("Message=%7B%22default%22%3A%22"), "{body}");
    assert!(body.contains("MessageStructure=json"), "{body}");
    assert!(
        body.contains("Name=rollcall_kind&MessageAttributes.entry.")
            && body.contains("StringValue=opened"),
        "{body}"
    );
    assert!(
        body.contains("TopicArn=arn%3Aaws%3Asns%3Aeu-west-1"),
        "{body}"
    );
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(
        authorization.contains("/eu-west-1/sns/aws4_request"),
        "{authorization}"
    );
    assert_eq!(headers["x-amz-security-token"], "session-token");
}

#[tokio::test]
async fn a_failing_sns_is_tried_again() {
    let aws = FakeAws::start([
        Reply::sns_error(500, "InternalError", "try again"),
        Reply::sns_error(400, "Throttling", "Rate exceeded"),
        Reply::published(),
    ])
    .await;
    topic(&aws.url)
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap();
    assert_eq!(aws.requests().len(), 3);
}

#[tokio::test]
async fn a_silent_attempt_is_given_up_and_the_next_one_counts() {
    let aws = FakeAws::start([Reply::Silence, Reply::published()]).await;
    topic(&aws.url)
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap();
    assert_eq!(aws.requests().len(), 2);
}

#[tokio::test]
async fn a_silent_sns_ends_in_a_retryable_error() {
    let aws = FakeAws::start([]).await;
    let error = failed_publish(&aws.url).await;
    assert!(error.is_retryable());
    assert!(
        error
            .to_string()
            .contains("no answer within the time limit"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_stops_half_way_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept_open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n<Publish")
                .unwrap();
            kept_open.push(stream);
        }
    });
    let error = failed_publish(&url).await;
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_refused_connection_is_retryable_and_names_the_cause() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = topic(&format!("http://{unused}"))
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap_err();
    assert!(error.is_retryable());
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn an_unknown_topic_is_permanent_and_tried_once() {
    let aws = FakeAws::start([Reply::sns_error(404, "NotFound", "Topic does not exist")]).await;
    let error = topic(&aws.url)
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap_err();
    assert!(!error.is_retryable());
    assert_eq!(error.failure().code(), Some("NotFound"));
    assert!(
        error
            .to_string()
            .contains("check the ARN's region and account"),
        "{error}"
    );
    assert_eq!(aws.requests().len(), 1);
}

#[tokio::test]
async fn a_missing_permission_is_reported_in_awss_own_words() {
    let sentence = "User: arn:aws:sts::123456789012:assumed-role/health-check is not authorized \
                    to perform: SNS:Publish";
    let error = refused_publish(403, "AuthorizationError", sentence).await;
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("assumed-role/health-check"), "{text}");
    assert!(text.contains("Allow sns:Publish"), "{text}");
}

#[tokio::test]
async fn lasting_throttling_stays_retryable_for_the_caller() {
    assert!(
        refused_publish(400, "Throttled", "Rate exceeded")
            .await
            .is_retryable()
    );
}

#[tokio::test]
async fn no_error_contains_the_alert_even_where_sns_quotes_it() {
    let error = refused_publish(
        400,
        "InvalidParameter",
        "Invalid parameter: Message Reason: the text of the alert",
    )
    .await;
    assert!(!error.is_retryable());
    let shown = format!("{error} {error:?} {:?}", anyhow::Error::new(error.clone()));
    assert!(!shown.contains("the text of the alert"), "{shown}");
}

#[tokio::test]
async fn an_answer_that_is_not_snss_is_retryable_and_not_quoted() {
    let aws = FakeAws::start((0..5).map(|_| Reply::Answer(502, "<html>proxy</html>".into()))).await;
    let error = topic(&aws.url)
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap_err();
    assert!(error.is_retryable());
    assert!(!format!("{error} {error:?}").contains("proxy"));
}

#[tokio::test]
async fn a_secret_is_read_from_its_own_region() {
    let text = r#"{"username":"u","password":"p@ss","host":"db.example","port":6543}"#;
    let aws = FakeAws::start([Reply::secret(text)]).await;
    let url = secret(&aws.url).fetch().await.unwrap();
    assert_eq!(
        url.expose_secret(),
        "postgresql://u:p%40ss@db.example:6543/postgres"
    );

    let (headers, body) = aws.requests().remove(0);
    assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
    assert!(
        headers["authorization"]
            .to_str()
            .unwrap()
            .contains("/eu-central-1/secretsmanager/")
    );
    assert!(body.contains(SECRET), "{body}");
}

#[tokio::test]
async fn each_fetch_asks_again_so_that_a_rotation_is_seen() {
    let aws = FakeAws::start([
        Reply::secret("postgresql://u:old@db.example/postgres"),
        Reply::secret("postgresql://u:new@db.example/postgres"),
    ])
    .await;
    let secret = secret(&aws.url);
    assert!(
        secret
            .fetch()
            .await
            .unwrap()
            .expose_secret()
            .contains(":old@")
    );
    assert!(
        secret
            .fetch()
            .await
            .unwrap()
            .expose_secret()
            .contains(":new@")
    );
}

#[tokio::test]
async fn an_unusable_secret_is_permanent_and_never_shown() {
    for text in [
        r#"{"password": "hunter2", "username" "#,
        "hunter2",
        r#"{"key": "hunter2"}"#,
    ] {
        let aws = FakeAws::start([Reply::secret(text)]).await;
        let error = secret(&aws.url).fetch().await.unwrap_err();
        assert!(matches!(error, SecretError::Unusable { .. }), "{error}");
        assert!(!error.is_retryable());
        let shown = format!("{error} {error:?} {:?}", anyhow::Error::new(error.clone()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_of_the_secret_does_not_show_it() {
    let cut = r#"{"ARN": "x", "SecretString": "postgresql://u:hunter2@db"#;
    let aws = FakeAws::start((0..5).map(|_| Reply::Answer(200, cut.into()))).await;
    let error = secret(&aws.url).fetch().await.unwrap_err();
    assert!(error.is_retryable());
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_secret_without_text_is_called_empty() {
    let aws = FakeAws::start([Reply::Answer(200, r#"{"SecretBinary": "aGk="}"#.into())]).await;
    let error = secret(&aws.url).fetch().await.unwrap_err();
    assert!(error.to_string().contains("the secret is empty"), "{error}");
}

#[tokio::test]
async fn a_refused_secret_says_what_to_allow() {
    for (code, advice) in [
        (
            "AccessDeniedException",
            "Allow secretsmanager:GetSecretValue",
        ),
        (
            "ResourceNotFoundException",
            "does not exist or has no value",
        ),
    ] {
        let aws = FakeAws::start([Reply::secrets_manager_error(400, code, "no")]).await;
        let error = secret(&aws.url).fetch().await.unwrap_err();
        assert!(!error.is_retryable());
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn a_silent_secrets_manager_ends_in_a_retryable_error() {
    let aws = FakeAws::start([]).await;
    let error = ends(secret(&aws.url).fetch()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

#[tokio::test]
async fn an_https_endpoint_is_never_spoken_to_in_plain_http() {
    let aws = FakeAws::start([Reply::published()]).await;
    let https = aws.url.replace("http://", "https://");
    topic(&https)
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap_err();
    assert!(aws.requests().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_with_a_certificate_nobody_signed_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = self_signed::acceptor("localhost");
    let handshakes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&handshakes);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            seen.lock()
                .unwrap()
                .push(acceptor.accept(stream.unwrap()).is_ok());
        }
    });
    let error = topic(&format!("https://localhost:{port}"))
        .publish(&notification("headline"), &Origin::default())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("certificate verify failed"),
        "{error}"
    );
    let handshakes = handshakes.lock().unwrap();
    assert!(!handshakes.is_empty());
    assert!(!handshakes.contains(&true), "a handshake was completed");
}

#[cfg(target_os = "linux")]
mod self_signed {
    use native_tls::{Identity, TlsAcceptor};
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509, X509NameBuilder};

    pub(crate) fn acceptor(host: &str) -> TlsAcceptor {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", host).unwrap();
        let name = name.build();
        let mut certificate = X509::builder().unwrap();
        certificate.set_version(2).unwrap();
        certificate.set_subject_name(&name).unwrap();
        certificate.set_issuer_name(&name).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        certificate
            .set_not_after(&Asn1Time::days_from_now(1).unwrap())
            .unwrap();
        let context = certificate.x509v3_context(None, None);
        let alternative = SubjectAlternativeName::new()
            .dns(host)
            .build(&context)
            .unwrap();
        certificate.append_extension(alternative).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let certificate = certificate.build().to_pem().unwrap();
        let key = key.private_key_to_pem_pkcs8().unwrap();
        TlsAcceptor::new(Identity::from_pkcs8(&certificate, &key).unwrap()).unwrap()
    }
}

//! SNS, SQS, Secrets Manager, CloudFormation and the configuration of Lambda, as moto's server gives them: a real server
//! that checks what it is sent.

use std::{
    collections::HashMap,
    env,
    io::ErrorKind,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use axum::{
    Form, Json,
    body::Body,
    http::{Request, header::AUTHORIZATION},
    response::IntoResponse,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{http, inbox::Inbox, owned_process::OwnedProcess};

/// It needs one to three seconds; a busy machine with a cold disk gets more.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The server prints this once it listens.
const LISTENING: &str = "Running on ";

const MISSING: &str = "moto's server is not installed: `tests/run` installs it into \
                       target/test-tools/python, where ROLLCALL_TEST_PYTHON has to point; a virtual \
                       environment with moto[server] does as well";

/// A server of its own for one test, stopped when dropped.
#[derive(Debug)]
pub struct Moto {
    _process: OwnedProcess,
    url: String,
}

impl Moto {
    /// Starts moto from the folder in `ROLLCALL_TEST_PYTHON`, which `tests/run` sets, or else from
    /// `PATH`, and waits until it listens.
    pub async fn start() -> Result<Self> {
        let mut command = match env::var_os("ROLLCALL_TEST_PYTHON") {
            Some(packages) => {
                let mut python = Command::new("python3");
                python
                    .args(["-m", "moto.server"])
                    .env("PYTHONPATH", packages);
                python
            }
            None => Command::new("moto_server"),
        };
        // Port 0: the system chooses a free one, and the server says which. Deliveries go to the
        // loopback interface, never to a proxy of the surroundings.
        command
            .args(["-H", "127.0.0.1", "-p", "0"])
            .envs([("NO_PROXY", "127.0.0.1"), ("no_proxy", "127.0.0.1")]);
        let process = OwnedProcess::spawn(&mut command).map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(MISSING),
            _ => anyhow!(error).context("cannot start moto's server"),
        })?;
        let url = listening_url(&process).await?;
        Ok(Self {
            _process: process,
            url,
        })
    }

    /// For `AWS_ENDPOINT_URL_SNS` and `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Creates a topic and returns its ARN.
    pub async fn topic(&self, name: &str) -> Result<String> {
        let answer = self
            .sns(&[("Action", "CreateTopic"), ("Name", name)])
            .await?;
        let arn = first(&answer, "TopicArn")?;
        Ok(arn.to_owned())
    }

    /// Has everything published to the topic delivered to `inbox`.
    pub async fn subscribe_http(&self, topic_arn: &str, inbox: &Inbox) -> Result<()> {
        self.sns(&[
            ("Action", "Subscribe"),
            ("TopicArn", topic_arn),
            ("Protocol", "http"),
            ("Endpoint", &inbox.url()),
        ])
        .await?;
        Ok(())
    }

    /// Sends one request of the SNS Query API and returns the XML of its answer; an answer that
    /// is not a success is an error.
    pub async fn sns(&self, fields: &[(&str, &str)]) -> Result<String> {
        let form = Form(fields).into_response();
        self.request("sns", None, form).await
    }

    /// Creates a queue and returns its URL.
    pub async fn queue(&self, name: &str) -> Result<String> {
        let fields = [
            ("Action", "CreateQueue"),
            ("QueueName", name),
            ("Version", "2012-11-05"),
        ];
        let answer = self.query("sqs", &fields).await?;
        Ok(first(&answer, "QueueUrl")?.to_owned())
    }

    /// Has everything published to the topic delivered to the queue of this name.
    pub async fn subscribe_queue(&self, topic_arn: &str, name: &str) -> Result<()> {
        let endpoint = format!("arn:aws:sqs:us-east-1:123456789012:{name}");
        self.sns(&[
            ("Action", "Subscribe"),
            ("TopicArn", topic_arn),
            ("Protocol", "sqs"),
            ("Endpoint", &endpoint),
        ])
        .await?;
        Ok(())
    }

    /// What SNS has delivered to a queue, at most ten, oldest first; each is read once.
    pub async fn receive(&self, queue_url: &str) -> Result<Vec<Value>> {
        let answer = self
            .query(
                "sqs",
                &[
                    ("Action", "ReceiveMessage"),
                    ("QueueUrl", queue_url),
                    ("MaxNumberOfMessages", "10"),
                    ("Version", "2012-11-05"),
                ],
            )
            .await?;
        all(&answer, "Body")
            .map(|body| {
                serde_json::from_str(&unescaped(body)).with_context(|| format!("not JSON: {body}"))
            })
            .collect()
    }

    /// Creates a stack of plain CloudFormation and returns its outputs. moto passes over the kinds of resources that it
    /// does not know.
    pub async fn stack(
        &self,
        name: &str,
        template: &Value,
        parameters: &[(&str, &str)],
    ) -> Result<HashMap<String, String>> {
        let template = template.to_string();
        let mut fields = vec![
            ("Action".to_owned(), "CreateStack"),
            ("StackName".to_owned(), name),
            ("TemplateBody".to_owned(), &template),
            ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM"),
            ("Version".to_owned(), "2010-05-15"),
        ];
        for (number, (key, value)) in (1..).zip(parameters) {
            fields.push((format!("Parameters.member.{number}.ParameterKey"), key));
            fields.push((format!("Parameters.member.{number}.ParameterValue"), value));
        }
        self.request("cloudformation", None, Form(fields).into_response())
            .await?;
        let answer = self
            .query(
                "cloudformation",
                &[
                    ("Action", "DescribeStacks"),
                    ("StackName", name),
                    ("Version", "2010-05-15"),
                ],
            )
            .await?;
        ensure!(
            first(&answer, "StackStatus")? == "CREATE_COMPLETE",
            "{answer}"
        );
        let keys = all(&answer, "OutputKey").map(unescaped);
        Ok(keys
            .zip(all(&answer, "OutputValue").map(unescaped))
            .collect())
    }

    /// Makes a bucket of S3 (`/bucket`) or an object in it (`/bucket/key`).
    pub async fn put(&self, path: &str, content: Vec<u8>) -> Result<()> {
        let request = Request::put(format!("{}{path}", self.url))
            .header(AUTHORIZATION, authorization("s3"))
            .body(Body::from(content))?;
        let (status, answer) = http::send(request).await?;
        ensure!(status.is_success(), "s3 answers {status}: {answer}");
        Ok(())
    }

    /// The environment that a function was deployed with.
    pub async fn function_environment(&self, name: &str) -> Result<HashMap<String, String>> {
        let request = Request::get(format!(
            "{}/2015-03-31/functions/{name}/configuration",
            self.url
        ))
        .header(AUTHORIZATION, authorization("lambda"))
        .body(Body::empty())?;
        let (status, answer) = http::send(request).await?;
        ensure!(status.is_success(), "lambda answers {status}: {answer}");
        let configuration: Value = serde_json::from_str(&answer)?;
        let variables = configuration["Environment"]["Variables"].as_object();
        Ok(variables
            .with_context(|| format!("no environment: {answer}"))?
            .iter()
            .map(|(name, value)| {
                // a parameter that is a number stays one here; Lambda makes a text of it
                let text = value.as_str().map(str::to_owned);
                (name.clone(), text.unwrap_or_else(|| value.to_string()))
            })
            .collect())
    }

    async fn query(&self, service: &str, fields: &[(&str, &str)]) -> Result<String> {
        self.request(service, None, Form(fields).into_response())
            .await
    }

    /// Stores a secret and returns its ARN.
    pub async fn secret(&self, name: &str, value: &str) -> Result<String> {
        let fields = json!({"Name": name, "SecretString": value});
        let answer = self.secrets_manager("CreateSecret", fields).await?;
        let arn = answer["ARN"].as_str();
        Ok(arn
            .with_context(|| format!("no ARN in {answer}"))?
            .to_owned())
    }

    /// Gives a secret a new value, as a rotation does.
    pub async fn replace_secret(&self, arn: &str, value: &str) -> Result<()> {
        let fields = json!({"SecretId": arn, "SecretString": value});
        self.secrets_manager("PutSecretValue", fields).await?;
        Ok(())
    }

    /// Sends one request of Secrets Manager's JSON protocol.
    pub async fn secrets_manager(&self, action: &str, fields: Value) -> Result<Value> {
        let target = format!("secretsmanager.{action}");
        let json = Json(fields).into_response();
        let answer = self.request("secretsmanager", Some(&target), json).await?;
        Ok(serde_json::from_str(&answer)?)
    }

    /// `content` is an axum response only because that is what encodes forms and JSON.
    async fn request(
        &self,
        service: &str,
        target: Option<&str>,
        content: axum::response::Response,
    ) -> Result<String> {
        let (head, body) = content.into_parts();
        let mut request = Request::post(&self.url).body(Body::new(body))?;
        *request.headers_mut() = head.headers;
        request
            .headers_mut()
            .insert(AUTHORIZATION, authorization(service).parse()?);
        if let Some(target) = target {
            request
                .headers_mut()
                .insert("x-amz-target", target.parse()?);
        }
        let (status, answer) = http::send(request).await?;
        ensure!(status.is_success(), "{service} answers {status}: {answer}");
        Ok(answer)
    }
}

/// moto looks at the scope of a signature for the service and region, never at the signature.
fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=none"
    )
}

/// The contents of every element of this name.
fn all<'a>(xml: &'a str, element: &str) -> impl Iterator<Item = &'a str> {
    let (start, end) = (format!("<{element}>"), format!("</{element}>"));
    xml.match_indices(&start)
        .map(|(at, _)| at + start.len())
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(move |from| xml[from..].split(&end).next())
}

fn first<'a>(xml: &'a str, element: &str) -> Result<&'a str> {
    all(xml, element)
        .next()
        .with_context(|| format!("no {element} in {xml}"))
}

fn unescaped(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (entity, character)| {
        text.replace(entity, character)
    })
}

/// Waits for the line in which the server names its address.
async fn listening_url(process: &OwnedProcess) -> Result<String> {
    let started = Instant::now();
    while started.elapsed() < START_LIMIT {
        let log = process.stderr()?;
        // A line that is still being written has no end yet.
        let url = log
            .split_once(LISTENING)
            .and_then(|(_, rest)| rest.split_once('\n'));
        if let Some((url, _)) = url {
            return Ok(url.trim().to_owned());
        }
        if log.contains("No module named") {
            bail!("{MISSING} ({})", log.trim());
        }
        if let Some(status) = process.exit_status()? {
            bail!("moto's server ended with {status}; {}", process.tail());
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!(
        "moto's server did not listen within {START_LIMIT:?}; {}",
        process.tail()
    )
}

//! The database session that a function keeps between invocations.

use std::env;
use std::time::Duration;

use rollcall::connection_string::{CaCertificate, ConnectionSettings};
use rollcall::error::{Error, Result};
use rollcall::session::Session;
use secrecy::SecretString;
use tokio::time::sleep;

use crate::aws_clients::AwsClients;
use crate::database_secret::DatabaseSecret;

/// How long a rotation may take from its first step to its last.
const ROTATION_PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Where the connection string comes from.
#[derive(Debug)]
enum Source {
    Secret(DatabaseSecret),
    /// `DATABASE_URL`, for local use.
    Variable(SecretString),
    /// Neither can be used, and why. A function says so in its result rather than fail to start,
    /// since a monitor that does not start tells nobody.
    Nowhere(String),
}

/// A session that is opened at the first use, kept, and opened anew with the secret read again when
/// the server refuses the password: the secret may have been rotated.
#[derive(Debug)]
pub struct KeptSession {
    source: Source,
    ca: Option<CaCertificate>,
    session: Option<Session>,
}

impl KeptSession {
    /// Reads `DATABASE_SECRET_ARN`, else `DATABASE_URL`, and `DATABASE_CA_CERT` (path or PEM text).
    /// Nothing is connected or fetched yet, and nothing fails before the first use.
    pub fn from_env(clients: Option<&AwsClients>) -> Self {
        let variable = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let source = match (variable("DATABASE_SECRET_ARN"), variable("DATABASE_URL")) {
            (Some(arn), _) => match clients {
                Some(clients) => match DatabaseSecret::new(&arn, clients) {
                    Ok(secret) => {
                        clients.prepare_secrets_manager();
                        Source::Secret(secret)
                    }
                    Err(error) => Source::Nowhere(format!("DATABASE_SECRET_ARN: {error}")),
                },
                None => Source::Nowhere("AWS cannot be asked for the secret".to_owned()),
            },
            (None, Some(url)) => Source::Variable(url.into()),
            (None, None) => {
                Source::Nowhere("neither DATABASE_SECRET_ARN nor DATABASE_URL is set".to_owned())
            }
        };
        let ca = variable("DATABASE_CA_CERT").map(|text| CaCertificate::from_text(&text));
        Self {
            source,
            ca,
            session: None,
        }
    }

    /// Runs `work`, which must be safe to run twice, on the kept session.
    ///
    /// # Errors
    /// [`Error::SettingsUnavailable`], [`Error::Settings`], and what the session and `work` return.
    pub async fn run<T>(&mut self, work: impl AsyncFn(&mut Session) -> Result<T>) -> Result<T> {
        let mut outcome = work(self.session().await?).await;
        if let (Err(Error::Authentication), Source::Secret(_)) = (&outcome, &self.source) {
            tracing::warn!("the password was refused, reading the secret again");
            let settings = self.settings_after_refusal().await?;
            outcome = work(self.session.insert(Session::new(settings))).await;
        }
        self.forget_unreachable();
        outcome
    }

    /// Ends whatever still runs on the connection.
    pub async fn give_up(&mut self) {
        if let Some(session) = &mut self.session {
            session.give_up().await;
        }
        self.forget_unreachable();
    }

    /// What could not be reached may be put right in the secret.
    fn forget_unreachable(&mut self) {
        self.session.take_if(|session| !session.was_connected());
    }

    async fn session(&mut self) -> Result<&mut Session> {
        if self.session.is_none() {
            let settings = self.settings().await?;
            self.session = Some(Session::new(settings));
        }
        self.session.as_mut().ok_or(Error::UnexpectedAnswer)
    }

    /// A rotation changes the secret and the password one after the other, so the secret is read until it has changed.
    /// Where it stays the same, the password may have followed. Each refusal counts against us where addresses are banned
    /// after a few of them, so nothing is tried in between.
    async fn settings_after_refusal(&self) -> Result<ConnectionSettings> {
        let refused = self.session.as_ref().map(Session::settings);
        let mut settings = self.settings().await?;
        for pause in ROTATION_PAUSES {
            if Some(&settings) != refused {
                break;
            }
            sleep(pause).await;
            settings = self.settings().await?;
        }
        Ok(settings)
    }

    async fn settings(&self) -> Result<ConnectionSettings> {
        let connection_string = match &self.source {
            Source::Variable(url) => url.clone(),
            Source::Nowhere(reason) => {
                return Err(Error::SettingsUnavailable {
                    reason: reason.clone(),
                    is_transient: false,
                });
            }
            Source::Secret(secret) => {
                // boxed: the SDK nests deeper than a compiler's default
                Box::pin(secret.fetch())
                    .await
                    .map_err(|error| Error::SettingsUnavailable {
                        reason: error.to_string(),
                        is_transient: error.is_retryable(),
                    })?
            }
        };
        ConnectionSettings::parse(&connection_string, self.ca.clone())
    }
}

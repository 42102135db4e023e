//! The database session that a function keeps between invocations.

use std::env;

use rollcall::connection_string::{CaCertificate, ConnectionSettings};
use rollcall::error::{Error, Result};
use rollcall::session::Session;
use secrecy::SecretString;

use crate::aws_clients::AwsClients;
use crate::database_secret::DatabaseSecret;

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
        let outcome = work(self.session().await?).await;
        match (outcome, &self.source) {
            (Err(Error::Authentication), Source::Secret(_)) => {
                tracing::warn!("the password was refused, reading the secret again");
                self.session = None;
                work(self.session().await?).await
            }
            (outcome, _) => {
                // what could not be reached may be mended in the secret
                if self
                    .session
                    .as_ref()
                    .is_some_and(|session| !session.was_connected())
                {
                    self.session = None;
                }
                outcome
            }
        }
    }

    /// Ends the session, and whatever still runs on its connection.
    pub async fn abandon(&mut self) {
        if let Some(session) = self.session.take() {
            session.abandon().await;
        }
    }

    async fn session(&mut self) -> Result<&mut Session> {
        match &mut self.session {
            Some(session) => Ok(session),
            none => {
                let connection_string = match &self.source {
                    Source::Variable(url) => url.clone(),
                    Source::Nowhere(reason) => {
                        return Err(Error::SettingsUnavailable {
                            reason: reason.clone(),
                            is_transient: false,
                        });
                    }
                    Source::Secret(secret) => {
                        secret
                            .fetch()
                            .await
                            .map_err(|error| Error::SettingsUnavailable {
                                reason: error.to_string(),
                                is_transient: error.is_retryable(),
                            })?
                    }
                };
                let settings = ConnectionSettings::parse(&connection_string, self.ca.clone())?;
                Ok(none.insert(Session::new(settings)))
            }
        }
    }
}

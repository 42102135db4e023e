//! The database's connection string, kept in Secrets Manager.

use secrecy::SecretString;

use crate::arn::{Arn, ArnError, Service};
use crate::aws_clients::AwsClients;
use crate::aws_failure::AwsFailure;
use crate::secret_text::{SecretFormatError, connection_string};

/// A secret and a client for the secret's own region.
#[derive(Clone, Debug)]
pub struct DatabaseSecret {
    arn: Arn,
    client: aws_sdk_secretsmanager::Client,
}

impl DatabaseSecret {
    /// Checks the ARN's form; asks AWS nothing.
    ///
    /// # Errors
    /// [`ArnError`] when `secret_arn` is not the ARN of a secret.
    pub fn new(secret_arn: &str, clients: &AwsClients) -> Result<Self, ArnError> {
        let arn = Arn::parse(secret_arn, Service::SecretsManager)?;
        let client = clients.secrets_manager(&arn);
        Ok(Self { arn, client })
    }

    /// Reads the secret's current version as [`connection_string`] does. Nothing is cached: call it
    /// at start-up, and again when PostgreSQL refuses the password, since the secret may have been
    /// rotated.
    ///
    /// Takes at most [`TimeLimits::operation`](crate::aws_clients::TimeLimits::operation).
    ///
    /// # Errors
    /// [`SecretError`], which never contains any part of the secret.
    pub async fn fetch(&self) -> Result<SecretString, SecretError> {
        let answer = self
            .client
            .get_secret_value()
            .secret_id(self.arn.as_str())
            .send()
            .await;
        let answer = answer.map_err(|error| SecretError::Unavailable {
            secret: self.arn.clone(),
            failure: AwsFailure::new(&error),
        })?;
        // Where only SecretBinary is set there is no text.
        let text = SecretString::from(answer.secret_string.unwrap_or_default());
        connection_string(secrecy::ExposeSecret::expose_secret(&text)).map_err(|reason| {
            SecretError::Unusable {
                secret: self.arn.clone(),
                reason,
            }
        })
    }
}

/// Why there is no connection string.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not hand the secret over.
    #[error(
        "the database secret {secret} could not be read: {failure}{}",
        advice(failure)
    )]
    Unavailable {
        /// The secret's ARN.
        secret: Arn,
        /// What AWS answered, if it did.
        failure: AwsFailure,
    },
    /// The secret was read and is not a connection string.
    #[error("the database secret {secret} cannot be used: {reason}")]
    Unusable {
        /// The secret's ARN.
        secret: Arn,
        /// What is wrong with its text.
        reason: SecretFormatError,
    },
}

impl SecretError {
    /// Whether reading the secret later may succeed without anyone mending something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { failure, .. } => failure.is_retryable(),
            Self::Unusable { .. } => false,
        }
    }
}

fn advice(failure: &AwsFailure) -> &'static str {
    match failure.code() {
        Some("ResourceNotFoundException") => {
            ". The secret does not exist or has no value: check the ARN's region and account"
        }
        Some("AccessDeniedException") => {
            ". Allow secretsmanager:GetSecretValue on this secret in the function's role and, if \
             the secret has a key of its own, kms:Decrypt on that key"
        }
        Some("InvalidRequestException") => ". The secret may be scheduled for deletion",
        Some("DecryptionFailure") => ". The key that encrypts the secret is disabled or gone",
        Some("UnrecognizedClientException" | "ExpiredTokenException") => {
            ". The AWS credentials are wrong or have expired"
        }
        _ => "",
    }
}

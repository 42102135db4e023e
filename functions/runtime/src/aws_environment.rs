//! What the environment says about AWS: credentials and endpoints.
//!
//! The region is not read here: a topic and a secret each name theirs in their ARN, and a request
//! sent to any other region fails, whatever `AWS_REGION` says.

use aws_sdk_sns::config::Credentials;

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const ANY_ENDPOINT: &str = "AWS_ENDPOINT_URL";
const SNS_ENDPOINT: &str = "AWS_ENDPOINT_URL_SNS";
const SECRETS_MANAGER_ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

/// Credentials and endpoints for the AWS clients. `Debug` redacts the keys.
#[derive(Clone, Debug)]
pub struct AwsEnvironment {
    pub(crate) credentials: Credentials,
    pub(crate) sns_endpoint: Option<EndpointUrl>,
    pub(crate) secrets_manager_endpoint: Option<EndpointUrl>,
}

impl AwsEnvironment {
    /// Reads the process's own variables, which Lambda sets from the function's role.
    ///
    /// # Errors
    /// As [`from_variables`](Self::from_variables).
    pub fn from_env() -> Result<Self, AwsEnvironmentError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` (optional) and, to
    /// talk to something other than AWS, `AWS_ENDPOINT_URL_SNS` and
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, each before `AWS_ENDPOINT_URL`. A variable that is
    /// empty counts as not set.
    ///
    /// # Errors
    /// [`AwsEnvironmentError`] names the variable and never its value.
    pub fn from_variables(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, AwsEnvironmentError> {
        let variable = |name: &str| {
            let value = lookup(name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let required = |name| variable(name).ok_or(AwsEnvironmentError::NoCredentials(name));
        let endpoint = |own: &'static str| {
            [own, ANY_ENDPOINT]
                .into_iter()
                .find_map(|name| Some((name, variable(name)?)))
                .map(|(name, url)| EndpointUrl::parse(name, url))
                .transpose()
        };
        Ok(Self {
            credentials: Credentials::new(
                required(ACCESS_KEY)?,
                required(SECRET_KEY)?,
                variable(SESSION_TOKEN),
                None,
                "Environment",
            ),
            sns_endpoint: endpoint(SNS_ENDPOINT)?,
            secrets_manager_endpoint: endpoint(SECRETS_MANAGER_ENDPOINT)?,
        })
    }
}

/// The address of an emulator, a proxy or a VPC endpoint in place of AWS's public one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointUrl(String);

impl EndpointUrl {
    fn parse(variable: &'static str, url: String) -> Result<Self, AwsEnvironmentError> {
        let host = ["https://", "http://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        match host {
            Some(host) if !host.is_empty() && !host.starts_with('/') => Ok(Self(url)),
            _ => Err(AwsEnvironmentError::BadEndpoint(variable)),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether requests to it go unencrypted, as a local emulator's do.
    pub(crate) fn is_plain_http(&self) -> bool {
        self.0.starts_with("http://")
    }
}

/// What is missing or malformed, and in which variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwsEnvironmentError {
    /// A key is not set.
    #[error(
        "no AWS credentials: {0} is not set, so nothing can be published and no secret read. \
         Lambda sets it from the function's role; elsewhere export it, for instance with \
         `aws configure export-credentials --format env`"
    )]
    NoCredentials(&'static str),
    /// An endpoint is not an address.
    #[error(
        "{0} is not an http:// or https:// address; leave it unset to reach AWS itself, or give \
         an emulator's address such as http://127.0.0.1:5000"
    )]
    BadEndpoint(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 2] = [
        (ACCESS_KEY, "AKIDEXAMPLE"),
        (SECRET_KEY, "example-secret-key"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<AwsEnvironment, AwsEnvironmentError> {
        let all: Vec<_> = more.iter().chain(&KEYS).copied().collect();
        AwsEnvironment::from_variables(|name| {
            all.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn sns_endpoint(environment: &AwsEnvironment) -> Option<&str> {
        environment.sns_endpoint.as_ref().map(EndpointUrl::as_str)
    }

    #[test]
    fn keys_alone_are_enough_and_mean_aws_itself() {
        let environment = read(&[]).expect("valid");
        assert_eq!(environment.credentials.access_key_id(), "AKIDEXAMPLE");
        assert_eq!(environment.credentials.session_token(), None);
        assert_eq!(environment.sns_endpoint, None);
        assert_eq!(environment.secrets_manager_endpoint, None);
    }

    #[test]
    fn the_session_token_of_a_role_is_used() {
        let environment = read(&[(SESSION_TOKEN, "token")]).expect("valid");
        assert_eq!(environment.credentials.session_token(), Some("token"));
    }

    #[test]
    fn a_missing_or_empty_key_is_named_with_what_to_do() {
        for missing in [ACCESS_KEY, SECRET_KEY] {
            let error = read(&[(missing, " ")]).expect_err("missing");
            assert_eq!(error, AwsEnvironmentError::NoCredentials(missing));
            assert!(error.to_string().contains(missing));
        }
    }

    #[test]
    fn a_services_own_endpoint_wins_over_the_general_one() {
        let environment = read(&[
            (ANY_ENDPOINT, "http://127.0.0.1:5000"),
            (SNS_ENDPOINT, "https://sns.internal.example"),
        ])
        .expect("valid");
        assert_eq!(
            sns_endpoint(&environment),
            Some("https://sns.internal.example")
        );
        let secrets = environment
            .secrets_manager_endpoint
            .expect("from the general one");
        assert!(secrets.is_plain_http());
    }

    #[test]
    fn an_empty_endpoint_counts_as_not_set() {
        let environment =
            read(&[(SNS_ENDPOINT, ""), (ANY_ENDPOINT, "http://localhost:5000")]).expect("valid");
        assert_eq!(sns_endpoint(&environment), Some("http://localhost:5000"));
    }

    #[test]
    fn a_malformed_endpoint_is_refused_under_its_own_name() {
        for url in ["127.0.0.1:5000", "ftp://host", "http://", "https:///path"] {
            assert_eq!(
                read(&[(SNS_ENDPOINT, url)]).expect_err(url),
                AwsEnvironmentError::BadEndpoint(SNS_ENDPOINT)
            );
            assert_eq!(
                read(&[(ANY_ENDPOINT, url)]).expect_err(url),
                AwsEnvironmentError::BadEndpoint(ANY_ENDPOINT)
            );
        }
    }

    #[test]
    fn debug_shows_neither_the_secret_key_nor_the_token() {
        let shown = format!(
            "{:?}",
            read(&[(SESSION_TOKEN, "the-token")]).expect("valid")
        );
        assert!(
            !shown.contains("example-secret-key") && !shown.contains("the-token"),
            "{shown}"
        );
    }
}

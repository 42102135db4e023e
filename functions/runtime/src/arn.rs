//! Amazon Resource Names, as far as choosing a client needs them.

use std::fmt;

/// A service whose resources this crate addresses by ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Simple Notification Service: `arn:aws:sns:REGION:ACCOUNT:TOPIC`.
    Sns,
    /// Secrets Manager: `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX`.
    SecretsManager,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Sns => "sns",
            Self::SecretsManager => "secretsmanager",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Sns => "arn:aws:sns:REGION:ACCOUNT:TOPIC",
            Self::SecretsManager => "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX",
        }
    }
}

/// A checked ARN of a known service. Prints as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arn {
    text: String,
    region_start: usize,
    region_end: usize,
}

impl Arn {
    /// Reads `text`, surrounding white space aside, as the ARN of a topic or a secret.
    ///
    /// # Errors
    /// [`ArnError`] when it is something else; the error never repeats the text, because what is
    /// put in the wrong variable is often a connection string.
    pub fn parse(text: &str, service: Service) -> Result<Self, ArnError> {
        let text = text.trim();
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, named, region, account, resource] = parts.as_slice() else {
            return Err(ArnError::NotAnArn(service.shape()));
        };
        if named != service.name() {
            return Err(ArnError::OtherService(service.shape()));
        }
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let resource_fits = match service {
            Service::Sns => !resource.is_empty() && !resource.contains(':'),
            Service::SecretsManager => resource
                .strip_prefix("secret:")
                .is_some_and(|n| !n.is_empty()),
        };
        if ![partition, region, account].into_iter().all(plain) || !resource_fits {
            return Err(ArnError::OtherResource(service.shape()));
        }
        if service == Service::Sns && resource.ends_with(".fifo") {
            return Err(ArnError::FifoTopic);
        }
        let region_start = "arn".len() + 1 + partition.len() + 1 + named.len() + 1;
        Ok(Self {
            text: text.to_owned(),
            region_start,
            region_end: region_start + region.len(),
        })
    }

    /// The region the resource lives in, such as `eu-west-1`.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.text[self.region_start..self.region_end]
    }

    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not the ARN that was asked for. The texts say which shape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// Not of the form `arn:…` with six parts.
    #[error("this is not an ARN; expected {0} (the value is not shown, it may be a secret)")]
    NotAnArn(&'static str),
    /// An ARN of another service.
    #[error("this ARN belongs to another service; expected {0}")]
    OtherService(&'static str),
    /// An ARN of the right service that names another kind of resource, or has an empty part.
    #[error("this ARN names another kind of resource, such as a subscription; expected {0}")]
    OtherResource(&'static str),
    /// FIFO topics need a message group and cannot reach e-mail subscribers.
    #[error("this is a FIFO topic, which cannot deliver e-mail; use a standard topic")]
    FifoTopic,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_read_in_every_partition() {
        for (arn, region) in [
            ("arn:aws:sns:eu-west-1:123456789012:alerts", "eu-west-1"),
            (
                "arn:aws-us-gov:sns:us-gov-west-1:123456789012:alerts",
                "us-gov-west-1",
            ),
            (
                " arn:aws-cn:sns:cn-north-1:123456789012:alerts\n",
                "cn-north-1",
            ),
        ] {
            let parsed = Arn::parse(arn, Service::Sns).expect(arn);
            assert_eq!(parsed.region(), region);
            assert_eq!(parsed.as_str(), arn.trim());
        }
    }

    #[test]
    fn a_secret_keeps_the_colon_in_its_resource_part() {
        let text = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rollcall/db-AbCdEf";
        let arn = Arn::parse(text, Service::SecretsManager).expect("valid");
        assert_eq!((arn.region(), arn.as_str()), ("us-east-1", text));
    }

    #[test]
    fn what_is_not_a_topic_is_refused_with_its_reason() {
        let refusal = |text| Arn::parse(text, Service::Sns).expect_err(text);
        assert!(matches!(refusal(""), ArnError::NotAnArn(_)));
        assert!(matches!(refusal("alerts"), ArnError::NotAnArn(_)));
        assert!(matches!(
            refusal("arn:aws:sqs:eu-west-1:123456789012:alerts"),
            ArnError::OtherService(_)
        ));
        assert!(matches!(
            refusal("arn:aws:sns:eu-west-1:123456789012:alerts:6b0e71bd-7e97"),
            ArnError::OtherResource(_)
        ));
        assert!(matches!(
            refusal("arn:aws:sns::123456789012:alerts"),
            ArnError::OtherResource(_)
        ));
        assert_eq!(
            refusal("arn:aws:sns:eu-west-1:123456789012:alerts.fifo"),
            ArnError::FifoTopic
        );
    }

    #[test]
    fn a_connection_string_in_the_wrong_variable_is_not_repeated() {
        let error = Arn::parse(
            "postgresql://u:hunter2@db.example/app",
            Service::SecretsManager,
        )
        .expect_err("not an ARN");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

//! Why a call to AWS failed, without what was sent or received.
//!
//! The SDK's own errors carry the raw response, and their `Debug` prints it; what this type keeps
//! is safe for a log.

use std::error::Error;
use std::fmt;

use aws_sdk_sns::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sns::operation::RequestId;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

/// A failed call, reduced to what helps to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsFailure(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    TimedOut,
    Unreachable { cause: String },
    NotSent { cause: String },
    Unreadable { status: u16 },
    Refused(Refusal),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: u16,
    code: String,
    /// AWS's sentence, only where it speaks of permissions: it names the role and the action. For
    /// other refusals it may quote the request.
    permission: Option<String>,
    request_id: Option<String>,
}

impl AwsFailure {
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        Self(match error {
            SdkError::TimeoutError(_) => Kind::TimedOut,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Kind::TimedOut,
            SdkError::DispatchFailure(failure) => {
                let cause = failure
                    .as_connector_error()
                    .map_or_else(String::new, causes);
                if failure.is_user() {
                    Kind::NotSent { cause }
                } else {
                    Kind::Unreachable { cause }
                }
            }
            // How the SDK reports a successful answer that it cannot parse.
            SdkError::ServiceError(answer) if answer.raw().status().is_success() => {
                Kind::Unreadable {
                    status: answer.raw().status().as_u16(),
                }
            }
            SdkError::ServiceError(answer) => {
                let code = answer.err().code().unwrap_or("an unnamed error").to_owned();
                let permission = speaks_of_permission(&code)
                    .then(|| answer.err().message().map(str::to_owned))
                    .flatten();
                Kind::Refused(Refusal {
                    status: answer.raw().status().as_u16(),
                    code,
                    permission,
                    request_id: answer.raw().request_id().map(str::to_owned),
                })
            }
            SdkError::ResponseError(answer) => Kind::Unreadable {
                status: answer.raw().status().as_u16(),
            },
            // ConstructionFailure, and whatever the SDK may add: the request never left.
            _ => Kind::NotSent {
                cause: error.source().map_or_else(String::new, causes),
            },
        })
    }

    /// Whether the same call may succeed later. The SDK has already tried a few times.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match &self.0 {
            Kind::TimedOut | Kind::Unreachable { .. } | Kind::Unreadable { .. } => true,
            Kind::NotSent { .. } => false,
            Kind::Refused(refusal) => {
                refusal.status >= 500 || refusal.status == 429 || is_throttling(&refusal.code)
            }
        }
    }

    /// AWS's name for the refusal, such as `NotFound`; `None` when AWS did not answer.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.0 {
            Kind::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// AWS's id of the refused request, for a support case.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match &self.0 {
            Kind::Refused(refusal) => refusal.request_id.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for AwsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::TimedOut => f.write_str(
                "no answer within the time limit; a function inside a VPC needs a NAT gateway or \
                 an interface endpoint for this service",
            ),
            Kind::Unreachable { cause } => write!(f, "the service could not be reached: {cause}"),
            Kind::NotSent { cause } => write!(f, "the request could not be sent: {cause}"),
            Kind::Unreadable { status } => {
                write!(
                    f,
                    "the answer (HTTP {status}) was cut off or not understood"
                )
            }
            Kind::Refused(refusal) => {
                write!(f, "refused with {} (HTTP {})", refusal.code, refusal.status)?;
                if let Some(id) = &refusal.request_id {
                    write!(f, ", request {id}")?;
                }
                if let Some(sentence) = &refusal.permission {
                    write!(f, ": {sentence}")?;
                }
                Ok(())
            }
        }
    }
}

fn speaks_of_permission(code: &str) -> bool {
    matches!(
        code,
        "AccessDenied" | "AccessDeniedException" | "AuthorizationError" | "KMSAccessDenied"
    )
}

fn is_throttling(code: &str) -> bool {
    code.contains("Throttl") || matches!(code, "TooManyRequestsException" | "RequestLimitExceeded")
}

/// An error's chain in one line, for transport errors, whose texts contain no payload.
fn causes(error: &(impl Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> AwsFailure {
        AwsFailure(Kind::Refused(Refusal {
            status,
            code: code.to_owned(),
            permission: None,
            request_id: Some("abc-123".to_owned()),
        }))
    }

    #[test]
    fn server_errors_and_throttling_are_retryable_and_refusals_are_not() {
        for (status, code) in [
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
            (400, "Throttled"),
            (400, "ThrottlingException"),
            (400, "KMSThrottling"),
            (429, "Unknown"),
        ] {
            assert!(refused(status, code).is_retryable(), "{status} {code}");
        }
        for (status, code) in [
            (404, "NotFound"),
            (403, "AuthorizationError"),
            (400, "InvalidParameter"),
        ] {
            assert!(!refused(status, code).is_retryable(), "{status} {code}");
        }
    }

    #[test]
    fn silence_is_retryable_and_a_request_that_cannot_be_made_is_not() {
        assert!(AwsFailure(Kind::TimedOut).is_retryable());
        assert!(
            AwsFailure(Kind::Unreachable {
                cause: "reset".to_owned()
            })
            .is_retryable()
        );
        assert!(
            !AwsFailure(Kind::NotSent {
                cause: "no signer".to_owned()
            })
            .is_retryable()
        );
    }

    #[test]
    fn a_refusal_names_its_code_and_request() {
        let failure = refused(404, "NotFound");
        assert_eq!(
            failure.to_string(),
            "refused with NotFound (HTTP 404), request abc-123"
        );
        assert_eq!(
            (failure.code(), failure.request_id()),
            (Some("NotFound"), Some("abc-123"))
        );
    }
}

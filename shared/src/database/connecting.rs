//! Why a connection could not be opened, of what the driver says.

use tokio_postgres::error::{DbError, SqlState};

use crate::error::{Error, pooler_code};
use crate::tls;

/// The error of an attempt to connect.
pub(super) fn error(error: &tokio_postgres::Error) -> Error {
    if let Some(code) = error.code() {
        return match *code {
            SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                Error::Authentication
            }
            // PgBouncer has one SQLSTATE for whatever it refuses, and fixed words
            SqlState::PROTOCOL_VIOLATION
                if error.as_db_error().is_some_and(|refusal| {
                    refusal.message().contains("authentication failed")
                        || refusal.message().starts_with("no such user")
                }) =>
            {
                Error::Authentication
            }
            SqlState::INTERNAL_ERROR => {
                refused_by_pooler(error.as_db_error().map_or("", DbError::message))
            }
            _ => Error::Refused(code.code().to_owned()),
        };
    }
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if tls::is_error(inner) {
            return Error::Tls(inner.to_string());
        }
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return Error::Unreachable(unreachable_because(io));
        }
        cause = inner.source();
    }
    // What remains are the driver's own words, which hold no value. Its kinds of error are private; the words for
    // a password that is missing or does not match are these.
    let message = error.to_string();
    if message.contains("TLS") {
        Error::Tls(message)
    } else if message.starts_with("authentication error")
        || message.starts_with("invalid configuration")
    {
        Error::Authentication
    } else {
        Error::Unreachable(message)
    }
}

/// What Supabase's pooler says under SQLSTATE XX000. Its texts name the project, so only its code is kept.
fn refused_by_pooler(message: &str) -> Error {
    match pooler_code(message) {
        Some("ENOTFOUND" | "ENOIDENTIFIER" | "EINVALIDUSERINFO") => Error::Authentication,
        // older poolers have no codes
        None if message.starts_with("Tenant or user not found") => Error::Authentication,
        code => Error::Refused(code.unwrap_or("XX000").to_owned()),
    }
}

/// Why nobody was reached, in words.
fn unreachable_because(error: &std::io::Error) -> String {
    // the system's own words for it differ, and the standard library has no kind for it
    if error.to_string().starts_with("failed to lookup address") {
        "its host name cannot be resolved".to_owned()
    } else {
        error.kind().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_is_no_wrong_password() {
        for (message, code) in [
            (
                "(EMAXCONNSESSION) max clients reached in session mode",
                "EMAXCONNSESSION",
            ),
            (
                "(EMAXCONN) max client connections reached, limit: 200",
                "EMAXCONN",
            ),
            (
                "(ECHECKOUTTIMEOUT) unable to check out connection",
                "ECHECKOUTTIMEOUT",
            ),
            (
                "(EPOOLTERMINATING) the pool is terminating",
                "EPOOLTERMINATING",
            ),
        ] {
            let error = refused_by_pooler(message);
            assert!(
                matches!(&error, Error::Refused(found) if found == code),
                "{message}"
            );
            assert!(error.is_retryable(), "{message}");
        }
    }

    #[test]
    fn a_user_that_the_pooler_does_not_know_is_a_wrong_user() {
        for message in [
            "(ENOTFOUND) tenant/user postgres.ref not found",
            "Tenant or user not found",
        ] {
            let error = refused_by_pooler(message);
            assert!(matches!(error, Error::Authentication), "{message}");
        }
    }

    #[test]
    fn nothing_of_the_poolers_words_is_repeated() {
        for message in [
            "(EBANNED) address 10.0.0.1 of ref",
            "(secret) text",
            "secret",
        ] {
            let error = refused_by_pooler(message);
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("10.0") && !shown.contains("secret"),
                "{shown}"
            );
            assert!(!error.is_retryable(), "{shown}");
        }
    }
}

//! What can go wrong between a face and the database.
//!
//! An error says what happened; [`Error::next_step`] says what to do. Neither ever holds a value of a row, a
//! connection string, or what PostgreSQL calls DETAIL, which quotes rows.

use tokio_postgres::error::SqlState;

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the database failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection settings cannot be used.
    #[error("the connection settings cannot be used: {0}")]
    Settings(&'static str),
    /// The connection settings cannot be had: a secret, a variable.
    #[error("the connection settings cannot be had: {0}")]
    SettingsUnavailable(String),
    /// The CA certificate cannot be used.
    #[error("the CA certificate cannot be used: {0}")]
    CaCertificate(&'static str),
    /// No connection to the server: unreachable, refused, or not answering in time.
    #[error("the database server cannot be reached: {0}")]
    Unreachable(String),
    /// The server's certificate, or the server itself, does not allow a verified connection.
    #[error("no verified TLS connection: {0}")]
    Tls(String),
    /// The server knows neither the user nor the password.
    #[error("the database server refused the user or the password")]
    Authentication,
    /// The server refused the session: no such database, too many connections, shutting down.
    #[error("the database server refused the connection (SQLSTATE {0})")]
    Refused(String),
    /// The connection broke, or the server went away.
    #[error("the connection to the database was lost")]
    ConnectionLost,
    /// The time limit of the operation passed.
    #[error("the database did not answer in time")]
    Timeout,
    /// The schema `rollcall` is not there, or not as a whole.
    #[error("Rollcall's migrations are not applied to this database")]
    NotMigrated,
    /// The migrations are of another version than the program.
    #[error("the database has Rollcall's migrations up to {found}, this program needs {needed}")]
    OtherVersion {
        /// Newest migration of the database.
        found: String,
        /// Newest migration of the program.
        needed: &'static str,
    },
    /// The role may not see or do what is needed.
    #[error("the database role lacks a right: {0}")]
    NotPermitted(String),
    /// The server ran the statement and refused it.
    #[error("the database refused a statement: {message} (SQLSTATE {sqlstate})")]
    Statement {
        /// SQLSTATE, five characters.
        sqlstate: String,
        /// The server's message where it is known to hold no values, else what its SQLSTATE class means.
        message: String,
        /// The server's hint, from Rollcall's own SQL only.
        hint: Option<String>,
    },
    /// The server answered with other columns than expected.
    #[error("the database answered in another shape than expected")]
    UnexpectedAnswer,
}

impl Error {
    /// Stable name, for findings and logs.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings_unusable",
            Self::SettingsUnavailable(_) => "settings_unavailable",
            Self::CaCertificate(_) => "ca_certificate_unusable",
            Self::Unreachable(_) => "database_unreachable",
            Self::Tls(_) => "tls_refused",
            Self::Authentication => "authentication_failed",
            Self::Refused(_) => "connection_refused",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "database_timeout",
            Self::NotMigrated => "not_migrated",
            Self::OtherVersion { .. } => "other_version",
            Self::NotPermitted(_) => "not_permitted",
            Self::Statement { .. } => "statement_refused",
            Self::UnexpectedAnswer => "unexpected_answer",
        }
    }

    /// What a person does next, in one or two sentences.
    pub fn next_step(&self) -> String {
        match self {
            Self::Settings(_) => {
                "Give a connection string as Supabase's dashboard shows it under Connect: postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
            }
            Self::SettingsUnavailable(_) => {
                "Set DATABASE_SECRET_ARN to the secret that holds the connection string, and allow the function's role to read it; or set DATABASE_URL for local use."
            }
            Self::CaCertificate(_) => {
                "Download the certificate from Supabase's dashboard (Database settings, SSL configuration) and give its path or its PEM text."
            }
            Self::Unreachable(_) => {
                "Check host and port. The direct host db.REF.supabase.co has IPv6 only; the pooler's host has IPv4."
            }
            Self::Tls(_) => {
                "Supabase's certificate is signed by its own authority: download it from the dashboard (Database settings, SSL configuration) and give it as sslrootcert or DATABASE_CA_CERT."
            }
            Self::Authentication => "Check user and password; through Supabase's pooler the user is USER.PROJECT_REF.",
            Self::Refused(_) => "Check the database's name and its connection limit, then try again.",
            Self::ConnectionLost | Self::Timeout => "Try again; if it stays so, look at the database's load and status.",
            Self::NotMigrated => "Apply them: rollcall migrate. Check that the connection string names the right database.",
            Self::OtherVersion { found, needed } if found.as_str() > *needed => "Update this program to the version of the database.",
            Self::OtherVersion { .. } => "Bring the database up to date: rollcall migrate.",
            Self::NotPermitted(_) => {
                "Connect as the role that applied the migrations, or one that was granted their functions; on Supabase: postgres."
            }
            Self::Statement { hint: Some(hint), .. } => return hint.clone(),
            Self::Statement { .. } => "The server's own log has the details.",
            Self::UnexpectedAnswer => "Compare the versions: rollcall --version, and select rollcall.schema_version().",
        }
        .to_owned()
    }

    /// Whether the same operation may succeed if it is simply tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::ConnectionLost | Self::Timeout | Self::Refused(_) => true,
            Self::Statement { sqlstate, .. } => {
                matches!(
                    &sqlstate[..2.min(sqlstate.len())],
                    "08" | "40" | "53" | "57" | "58"
                ) || sqlstate == "55P03"
            }
            _ => false,
        }
    }

    /// Whether the connection is of no more use.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, Self::ConnectionLost)
            || matches!(self, Self::Statement { sqlstate, .. } if sqlstate.starts_with("57P"))
    }

    /// The error of an attempt to connect.
    pub(crate) fn connecting(error: &tokio_postgres::Error) -> Self {
        if let Some(code) = error.code() {
            return match *code {
                SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                    Self::Authentication
                }
                _ => Self::Refused(code.code().to_owned()),
            };
        }
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if inner.is::<native_tls::Error>() {
                return Self::Tls(inner.to_string());
            }
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                return Self::Unreachable(io.kind().to_string());
            }
            cause = inner.source();
        }
        // what remains has no value in it: the driver's own words, such as "server does not support TLS"
        let message = error.to_string();
        if message.contains("TLS") {
            Self::Tls(message)
        } else {
            Self::Unreachable(message)
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(database) = error.as_db_error() else {
            return if error.is_closed() || has_io_cause(&error) {
                Self::ConnectionLost
            } else {
                Self::UnexpectedAnswer
            };
        };
        let ours = database.message().strip_prefix("rollcall: ");
        let sqlstate = database.code().code();
        match *database.code() {
            SqlState::INSUFFICIENT_PRIVILEGE => {
                Self::NotPermitted(ours.unwrap_or(database.message()).to_owned())
            }
            SqlState::QUERY_CANCELED => Self::Timeout,
            SqlState::UNDEFINED_FUNCTION
            | SqlState::UNDEFINED_TABLE
            | SqlState::INVALID_SCHEMA_NAME
                if ours.is_none() =>
            {
                Self::NotMigrated
            }
            _ => Self::Statement {
                sqlstate: sqlstate.to_owned(),
                message: match ours {
                    Some(message) => message.to_owned(),
                    None => safe_message(sqlstate, database.message()),
                },
                hint: ours.and(database.hint()).map(ToOwned::to_owned),
            },
        }
    }
}

fn has_io_cause(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
}

/// Messages of these classes name objects; others quote values (`invalid input syntax for type uuid: "…"`).
fn safe_message(sqlstate: &str, message: &str) -> String {
    match &sqlstate[..2.min(sqlstate.len())] {
        "42" | "2B" | "3F" | "53" | "55" | "57" => message.to_owned(),
        "22" => "a value does not fit its type".to_owned(),
        "23" => "a row breaks a constraint".to_owned(),
        "25" => "the transaction does not allow it".to_owned(),
        "40" => "another transaction was in the way".to_owned(),
        _ => "see the server's log".to_owned(),
    }
}

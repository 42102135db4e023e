//! What can go wrong between a face and the database.
//!
//! An error says what happened; [`Error::next_step`] says what to do. Neither ever holds a value of a row, a
//! connection string, or what PostgreSQL calls DETAIL, which quotes rows.

use tokio_postgres::error::{Severity, SqlState};

/// SQLSTATE of Rollcall's own: there is no definition.
const NO_DEFINITION: &str = "RC009";

/// Result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An operation on the database failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection settings cannot be used.
    #[error("the connection settings cannot be used: {0}")]
    Settings(&'static str),
    /// The connection settings cannot be had: a secret, a variable.
    #[error("the connection settings cannot be had: {reason}")]
    SettingsUnavailable {
        /// Why; no part of a secret.
        reason: String,
        /// Whether they may be had a moment later.
        is_transient: bool,
    },
    /// The CA certificate cannot be used.
    #[error("the CA certificate cannot be used: {0}")]
    CaCertificate(&'static str),
    /// No connection to the server: unreachable, refused, or not answering in time.
    #[error("the database server cannot be reached: {0}")]
    Unreachable(String),
    /// The server's certificate, or the server itself, does not allow a verified connection.
    #[error("no verified TLS connection: {0}")]
    Tls(String),
    /// The server is on another machine, and this program was built for the demo, without TLS.
    #[error("this program was built without TLS, so it reaches databases on this machine only")]
    WithoutTls,
    /// The server knows neither the user nor the password.
    #[error("the database server refused the user or the password")]
    Authentication,
    /// The server or its pooler refused the session: no such database, too many connections, shutting down. With the
    /// SQLSTATE, or the pooler's own code.
    #[error("the database server refused the connection: {why} ({0})", why = refusal(.0))]
    Refused(String),
    /// The connection broke, or the server went away.
    #[error("the connection to the database was lost")]
    ConnectionLost,
    /// The time limit of the operation passed.
    #[error("the database did not answer in time")]
    Timeout,
    /// The schema `rollcall` is not there, or not as a whole.
    #[error("Rollcall is not installed in this database, or something that it needs was dropped")]
    NotMigrated,
    /// Rollcall is not installed, and the report cannot look through a copy that is rolled back.
    #[error(
        "Rollcall is not installed in this database, and looking without installing is not possible: {0}"
    )]
    LookNotPossible(LookObstacle),
    /// There is no `auth.users`.
    #[error("this database is not a Supabase project: it has no table auth.users")]
    NotSupabase,
    /// Supabase Auth is so old that something is missing that nothing replaces.
    #[error("Supabase Auth is too old here: auth.users has no column {0}")]
    AuthTooOld(String),
    /// A schema named `rollcall` is there, and it is somebody else's.
    #[error("this database has a schema named rollcall that is not Rollcall's")]
    SchemaTaken,
    /// Another installation, rollback or look did not end in time.
    #[error("another installation, rollback or look at this database has not ended yet")]
    InstallInProgress,
    /// There is no definition of who must have a profile.
    #[error("{message}")]
    NoDefinition {
        /// The server's message, without its prefix.
        message: String,
        /// The server's hint.
        hint: Option<String>,
    },
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

/// Why a report cannot look where Rollcall is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookObstacle {
    /// The role may not create a schema.
    #[error("the role needs the privilege CREATE on the database, which it does not have")]
    MissingPrivilege,
    /// The server is a standby.
    #[error("the server is a standby, where nothing can be written, not even for a moment")]
    Standby,
    /// Transactions are read-only by a setting.
    #[error(
        "transactions are read-only here (default_transaction_read_only), so nothing can be written, not even for a moment"
    )]
    ReadOnly,
}

impl LookObstacle {
    fn next_step(self) -> &'static str {
        match self {
            Self::MissingPrivilege => {
                "Connect as the database's owner (on Supabase: postgres), or let them run: rollcall migrate."
            }
            Self::Standby => {
                "Connect to the primary; or install Rollcall there (rollcall migrate), then a standby can be asked, too."
            }
            Self::ReadOnly => {
                "Connect as a role whose transactions may write; all that a look writes is rolled back. A Supabase project is read-only while its disk is full."
            }
        }
    }
}

impl Error {
    /// Whether the database, as far as this error tells, can be asked for something else: it was reached, knows us, and
    /// has our migrations.
    pub fn leaves_database_usable(&self) -> bool {
        matches!(
            self,
            Self::ConnectionLost
                | Self::Timeout
                | Self::NotPermitted(_)
                | Self::NoDefinition { .. }
                | Self::Statement { .. }
                | Self::UnexpectedAnswer
        )
    }

    /// Stable name, for findings and logs.
    pub fn id(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings_unusable",
            Self::SettingsUnavailable { .. } => "settings_unavailable",
            Self::CaCertificate(_) => "ca_certificate_unusable",
            Self::Unreachable(_) => "database_unreachable",
            Self::Tls(_) => "tls_refused",
            Self::WithoutTls => "built_without_tls",
            Self::Authentication => "authentication_failed",
            Self::Refused(_) => "session_refused",
            Self::ConnectionLost => "connection_lost",
            Self::Timeout => "database_timeout",
            Self::NotMigrated => "not_migrated",
            Self::LookNotPossible(_) => "look_not_possible",
            Self::NotSupabase => "not_supabase",
            Self::AuthTooOld(_) => "auth_too_old",
            Self::SchemaTaken => "schema_taken",
            Self::InstallInProgress => "install_in_progress",
            Self::NoDefinition { .. } => "no_definition",
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
            Self::SettingsUnavailable { is_transient: true, .. } => {
                "Try again; if it stays so, look at the status of AWS Secrets Manager and at the function's network."
            }
            Self::SettingsUnavailable { .. } => {
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
            Self::WithoutTls => "Build it with TLS: cargo install --locked --path cli --features tls.",
            Self::Authentication => {
                "Check user and password; through Supabase's pooler the user is USER.PROJECT_REF. In a URL, special characters of the password are encoded: @ is %40, # is %23, % is %25."
            }
            Self::Refused(_) => "Check the database's name and its connection limit, then try again.",
            Self::ConnectionLost | Self::Timeout => "Try again; if it stays so, look at the database's load and status.",
            Self::NotMigrated => {
                "Check that the connection string names the right database; then install: rollcall migrate."
            }
            Self::LookNotPossible(obstacle) => obstacle.next_step(),
            Self::NotSupabase => "Check that the connection string names the right server and database.",
            Self::AuthTooOld(_) => "Update Supabase Auth (self-hosted: the image supabase/gotrue), then try again. Nothing was changed.",
            Self::SchemaTaken => "Rename that schema, or check that the connection string names the right database. Nothing was changed.",
            Self::InstallInProgress => "Try again when it has ended; see it in pg_stat_activity.",
            Self::NoDefinition { hint: Some(hint), .. } => return hint.clone(),
            Self::NoDefinition { .. } => "See the candidates: rollcall definition draft. Then choose one: rollcall definition set FILE.",
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

    /// Another transaction holds a row that the profile of one user needs.
    pub(crate) fn row_is_locked() -> Self {
        Self::locked(
            "another transaction is in the way of this user's profile".to_owned(),
            "See who holds it in pg_locks, and try again.".to_owned(),
        )
    }

    /// Whether it only waited for a lock, and not long enough.
    pub(crate) fn is_lock(&self) -> bool {
        matches!(self, Self::Statement { sqlstate, .. } if sqlstate == SqlState::LOCK_NOT_AVAILABLE.code())
    }

    pub(crate) fn locked(message: String, hint: String) -> Self {
        Self::Statement {
            sqlstate: SqlState::LOCK_NOT_AVAILABLE.code().to_owned(),
            message,
            hint: Some(hint),
        }
    }

    /// Whether the same operation may succeed if it is simply tried again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::ConnectionLost | Self::Timeout => true,
            Self::SettingsUnavailable { is_transient, .. } => *is_transient,
            Self::Refused(code) => is_transient(code),
            Self::Statement { sqlstate, .. } => is_transient(sqlstate),
            _ => false,
        }
    }

    /// Whether the connection is of no more use.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::ConnectionLost => true,
            Self::Statement { sqlstate, .. } => {
                matches!(class(sqlstate), "08") || sqlstate.starts_with("57P")
            }
            _ => false,
        }
    }

    /// Whether it only says that a query before, in the same transaction, has failed.
    pub(crate) fn is_of_aborted_transaction(&self) -> bool {
        matches!(self, Self::Statement { sqlstate, .. } if sqlstate == "25P02")
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
        // The server has ended the session: it shuts down, or somebody ended this backend. A trigger of the application
        // can choose the same SQLSTATE, but not this.
        if matches!(
            database.parsed_severity(),
            Some(Severity::Fatal | Severity::Panic)
        ) {
            return Self::ConnectionLost;
        }
        // Only our own SQL is known to put no value of a row into its messages. Whoever raises an error chooses its
        // SQLSTATE, so no class of them is.
        let ours = database.message().strip_prefix("rollcall: ");
        let sqlstate = database.code().code();
        match *database.code() {
            SqlState::INSUFFICIENT_PRIVILEGE => Self::NotPermitted(
                ours.unwrap_or("it may not run or read something that is needed")
                    .to_owned(),
            ),
            SqlState::QUERY_CANCELED => Self::Timeout,
            SqlState::INTERNAL_ERROR if pooler_code(database.message()).is_some() => {
                Self::ConnectionLost
            }
            _ if sqlstate == NO_DEFINITION && ours.is_some() => Self::NoDefinition {
                message: ours.unwrap_or_default().to_owned(),
                hint: database.hint().map(ToOwned::to_owned),
            },
            SqlState::UNDEFINED_FUNCTION
            | SqlState::UNDEFINED_TABLE
            | SqlState::INVALID_SCHEMA_NAME
                if ours.is_none() =>
            {
                Self::NotMigrated
            }
            _ => Self::Statement {
                sqlstate: sqlstate.to_owned(),
                message: ours.unwrap_or(meaning(sqlstate)).to_owned(),
                hint: ours.and(database.hint()).map(ToOwned::to_owned),
            },
        }
    }
}

fn has_io_cause(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>())
}

/// The first two characters of a SQLSTATE.
fn class(sqlstate: &str) -> &str {
    sqlstate.get(..2).unwrap_or_default()
}

/// The code of an error of Supabase's pooler, which begins its message: `(EMAXCONNSESSION) …`. Nearly all of them come
/// with SQLSTATE XX000 and end the session (supabase/supavisor, `lib/supavisor/error.ex`).
pub(crate) fn pooler_code(message: &str) -> Option<&str> {
    let (code, _) = message.strip_prefix('(')?.split_once(')')?;
    let is_code = code.starts_with('E') && code.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then_some(code)
}

/// Whether what a SQLSTATE, or a code of the pooler, is about may pass by itself: a connection, another transaction,
/// resources, a restart.
fn is_transient(code: &str) -> bool {
    matches!(class(code), "08" | "40" | "53" | "57" | "58")
        || code == "55P03"
        || ["EMAX", "ECHECKOUT", "EPOOL"]
            .iter()
            .any(|full| code.starts_with(full))
}

/// Why a session was refused.
fn refusal(code: &str) -> &'static str {
    match code {
        "3D000" => "there is no such database",
        "53300" => "it has too many connections",
        code => meaning(code),
    }
}

/// What a SQLSTATE says, by its class (PostgreSQL, appendix A).
pub(crate) fn meaning(sqlstate: &str) -> &'static str {
    match (class(sqlstate), sqlstate) {
        (_, "55P03") => "a lock was not free in time",
        (_, "25006") => {
            "nothing can be written here: it is a standby, or transactions are read-only (default_transaction_read_only)"
        }
        (_, "42P01" | "42703" | "42704" | "42883" | "3F000") => {
            "an object that it names does not exist"
        }
        ("08", _) => "the connection was not good",
        ("22", _) => "a value does not fit its type",
        ("23", _) => "a row breaks a constraint",
        ("25", _) => "the transaction does not allow it",
        ("2B" | "55", _) => "an object is in use or not in the right state",
        ("40", _) => "another transaction was in the way",
        ("42", _) => "it does not fit the objects that it names",
        ("53", _) => "the server is out of resources",
        ("57", _) => "the server is shutting down or starting",
        _ => "see the server's log",
    }
}

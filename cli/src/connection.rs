//! Which database: the argument, else `DATABASE_URL`, else `SUPABASE_DB_URL`.

use std::env;

use clap::Args;
use rollcall::connection_string::{CaCertificate, ConnectionSettings};
use rollcall::error::{Error, Result};
use rollcall::session::Session;
use secrecy::{ExposeSecret, SecretString};

use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct ConnectionArguments {
    /// Connection string of the database; better given as a variable, since others see arguments
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<SecretString>,

    /// CA certificate of the database server: a path or PEM text [env: DATABASE_CA_CERT]
    #[arg(long, global = true, value_name = "PEM")]
    ca_cert: Option<String>,
}

pub(crate) fn settings(arguments: &ConnectionArguments) -> Result<ConnectionSettings> {
    let variable = |name| env::var(name).ok().filter(|value| !value.trim().is_empty());
    let connection_string = arguments
        .database_url
        .clone()
        .filter(|url| !url.expose_secret().trim().is_empty())
        .or_else(|| variable("DATABASE_URL").map(SecretString::from))
        .or_else(|| variable("SUPABASE_DB_URL").map(SecretString::from))
        .ok_or(Error::Settings(
            "none are given: no --database-url, no DATABASE_URL, no SUPABASE_DB_URL",
        ))?;
    let ca = arguments
        .ca_cert
        .clone()
        .or_else(|| variable("DATABASE_CA_CERT"));
    ConnectionSettings::parse(
        &connection_string,
        ca.map(|text| CaCertificate::from_text(&text)),
    )
}

/// A session for reports: where Rollcall is not installed it looks, and says so.
pub(crate) fn session(settings: ConnectionSettings, output: &Output) -> Session {
    Session::of_any_stance(settings, output.on_stance())
}

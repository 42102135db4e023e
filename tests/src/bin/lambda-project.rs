//! The project on which `tests/lambda_cost/measure.py` runs the functions: consistent, small enough for full proofs, and
//! over TLS with a private authority, as on Supabase.
//!
//! Prints one line of JSON, and runs until its standard input ends. The database `logged` is the same as `measured`, but
//! each statement is written to the server's log.

use std::{
    fs,
    io::{self, Write as _},
};

use anyhow::{Context, Result};
use rollcall_sandbox::{Options, Server};
use rollcall_tests::{
    authority::{Authority, VALID, serve_tls},
    project::{APPLICATION, Project},
};
use serde_json::json;

/// Nothing of its own work between two invocations.
const SERVER_SETTINGS: [(&str, &str); 2] = [("autovacuum", "off"), ("log_line_prefix", "%d|")];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut options = Options::from_env()?;
    options
        .settings
        .extend(SERVER_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let server = Server::start(&options)?;
    let authority = Authority::new()?;
    let (certificate, key) = authority.issue("db.example", VALID)?;
    serve_tls(&server, &certificate, &key).await.context(
        "this needs a PostgreSQL with TLS, as a system's package is (apt-get install -y postgresql)",
    )?;
    let files = tempfile::tempdir()?;
    let ca = files.path().join("ca.pem");
    fs::write(&ca, authority.pem()?)?;

    let measured = project(&server, "measured").await?;
    let logged = project(&server, "logged").await?;
    logged
        .connect_as_superuser()
        .await?
        .batch_execute("alter database logged set log_statement = 'all'")
        .await?;
    let line = json!({
        "url": measured.url(),
        "logged_url": logged.url(),
        "ca": ca,
        "log": server.folder().join("server.log"),
    });
    writeln!(io::stdout(), "{line}")?;
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    Ok(())
}

/// A project of 1,000 users who signed up over the last weeks, each with a profile and an entry in the audit log.
async fn project(server: &Server, name: &str) -> Result<Project> {
    let database = server.create_database(name).await?;
    let project = Project { database };
    project.connect().await?.batch_execute(APPLICATION).await?;
    project.migrate().await?;
    let client = project.connect_as_superuser().await?;
    client
        .batch_execute(include_str!("lambda-project.sql"))
        .await?;
    client.batch_execute("vacuum analyze").await?;
    Ok(project)
}

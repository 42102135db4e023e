//! The project that is measured.

use anyhow::{Context, Result, ensure};
use rollcall::connection_string::ConnectionSettings;
use rollcall::migrations;
use rollcall_sandbox::{Database, Server};

/// What a small hosted project has, and room for the parallel workers that its two cores allow.
pub(crate) const SERVER_SETTINGS: [(&str, &str); 4] = [
    ("shared_buffers", "512MB"),
    ("work_mem", "16MB"),
    ("max_parallel_workers_per_gather", "1"),
    ("autovacuum", "off"),
];

/// How Rollcall connects.
pub(crate) fn settings(database: &Database) -> Result<ConnectionSettings> {
    Ok(ConnectionSettings::parse(&database.url().into(), None)?)
}

/// Rollcall's own connection.
pub(crate) async fn rollcall(database: &Database) -> Result<rollcall::database::Database> {
    Ok(rollcall::database::Database::connect(&settings(database)?).await?)
}

/// Makes a database with Rollcall, the baseline, and this many users and entries of the audit log.
pub(crate) async fn create(server: &Server, users: u32, audit: u32) -> Result<Database> {
    ensure!(
        audit >= users + users / 100,
        "the audit log needs an entry for each user, and some more"
    );
    let database = server.create_database("bench").await?;
    migrations::apply(&mut rollcall(&database).await?, false).await?;
    rollcall_sandbox::connect(&database.url())
        .await?
        .batch_execute(
            "select rollcall.create_profile_table(); select rollcall.install_signup_trigger()",
        )
        .await?;
    let client = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    let people = users + users / 200;
    let script = include_str!("data.sql")
        .replace("{users}", &users.to_string())
        .replace("{people}", &people.to_string())
        .replace("{audit}", &audit.to_string())
        .replace("{entries_a_person}", &(audit / people).max(1).to_string());
    // a vacuum is a statement of its own
    for statement in script.split_inclusive(";\n").collect::<Vec<_>>() {
        client
            .simple_query(statement)
            .await
            .context("the data could not be made")?;
    }
    client
        .batch_execute(include_str!("baseline.sql"))
        .await
        .context("the baseline could not be made")?;
    Ok(database)
}

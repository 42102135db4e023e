//! The project that is measured.

use anyhow::{Context, Result};
use rollcall::connection_string::ConnectionSettings;
use rollcall::migrations;
use rollcall_sandbox::{Database, Server};

use crate::scale::Scale;

/// What a hosted project with 2 GB has, and room for the parallel workers that its two cores allow. Vacuum runs when the
/// benchmark says so.
pub(crate) const SERVER_SETTINGS: [(&str, &str); 6] = [
    ("shared_buffers", "512MB"),
    ("effective_cache_size", "1536MB"),
    ("work_mem", "4MB"),
    ("random_page_cost", "1.1"),
    ("max_parallel_workers_per_gather", "1"),
    ("autovacuum", "off"),
];

/// How Rollcall connects.
pub(crate) fn settings(url: &str) -> Result<ConnectionSettings> {
    Ok(ConnectionSettings::parse(&url.into(), None)?)
}

/// Rollcall's own connection.
pub(crate) async fn rollcall(database: &Database) -> Result<rollcall::database::Database> {
    Ok(rollcall::database::Database::connect(&settings(&database.url())?).await?)
}

/// Makes a project with a profile table, Rollcall and its trigger, and nobody in it.
pub(crate) async fn project(server: &Server, name: &str) -> Result<Database> {
    let database = server.create_database(name).await?;
    migrations::apply(&mut rollcall(&database).await?, false).await?;
    rollcall_sandbox::connect(&database.url())
        .await?
        .batch_execute(
            "select rollcall.create_profile_table(); select rollcall.install_signup_trigger()",
        )
        .await?;
    Ok(database)
}

/// Makes a project with people and the baseline, neither vacuumed nor analyzed.
pub(crate) async fn create(server: &Server, scale: &Scale) -> Result<Database> {
    let database = project(server, "bench").await?;
    let people = scale.users + scale.users / 200;
    let script = include_str!("data.sql")
        .replace("{users}", &scale.users.to_string())
        .replace("{people}", &people.to_string())
        .replace("{audit}", &scale.audit.to_string())
        .replace("{entries_a_person}", &(scale.audit / people).to_string());
    let client = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    client
        .batch_execute(&script)
        .await
        .context("the data could not be made")?;
    client
        .batch_execute(include_str!("baseline.sql"))
        .await
        .context("the baseline could not be made")?;
    Ok(database)
}

/// Vacuums and analyzes all tables, and writes them to the disk.
pub(crate) async fn vacuum(database: &Database) -> Result<()> {
    let admin = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    // a vacuum is a statement of its own
    admin.batch_execute("vacuum analyze").await?;
    admin.batch_execute("checkpoint").await?;
    Ok(())
}

/// Leaves two dead rows behind for every user.
pub(crate) async fn update_everybody_twice(database: &Database) -> Result<()> {
    let admin = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    for _ in 0..2 {
        admin
            .batch_execute(
                "begin;
                 set local session_replication_role = replica;
                 update auth.users set updated_at = now();
                 commit",
            )
            .await?;
    }
    Ok(())
}

//! One Supabase-shaped database of a [`Server`].

use std::sync::atomic::Ordering;

use anyhow::{Context, Result, ensure};
use tokio_postgres::{Client, NoTls};

use crate::server::Server;

/// Every database is a copy of this one, which nobody connects to once it is made.
const TEMPLATE: &str = "supabase_template";

/// A database that belongs to the role `postgres`, as on hosted Supabase, with the roles and the
/// `auth` schema of `supabase.sql`, and nothing in `public`.
#[derive(Clone, Debug)]
pub struct Database {
    name: String,
    port: u16,
}

impl Server {
    /// Makes an empty Supabase-shaped database.
    ///
    /// # Errors
    /// If `name` is not made of 1 to 63 lower-case letters, digits and underscores, or is taken.
    pub async fn create_database(&self, name: &str) -> Result<Database> {
        ensure!(
            (1..=63).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{name:?} is no name for a database. Use lower-case letters, digits and underscores"
        );
        self.template
            .get_or_try_init(|| self.make_template())
            .await?;
        self.copy(name, TEMPLATE).await
    }

    /// Makes a copy of a database that nobody is connected to, under a name of its own.
    ///
    /// # Errors
    /// If the server is down, or somebody stays connected to the other database.
    pub async fn copy_database(&self, other: &Database) -> Result<Database> {
        self.copy(&self.fresh_name(), &other.name).await
    }

    async fn copy(&self, name: &str, template: &str) -> Result<Database> {
        let client = connect(&self.url("supabase_admin", "postgres")).await?;
        client
            .batch_execute(&format!(
                "create database \"{name}\" owner postgres template \"{template}\" strategy file_copy"
            ))
            .await
            .with_context(|| format!("the database {name} could not be made"))?;
        Ok(Database {
            name: name.to_owned(),
            port: self.port(),
        })
    }

    /// Makes an empty Supabase-shaped database under a name of its own, in a few tenths of a second.
    ///
    /// # Errors
    /// If the server is down.
    pub async fn fresh_database(&self) -> Result<Database> {
        self.create_database(&self.fresh_name()).await
    }

    fn fresh_name(&self) -> String {
        let number = self.fresh_databases.fetch_add(1, Ordering::Relaxed);
        format!("fresh_{number}")
    }

    async fn make_template(&self) -> Result<()> {
        let client = connect(&self.url("supabase_admin", "postgres")).await?;
        client
            .batch_execute(&format!("drop database if exists {TEMPLATE}"))
            .await?;
        client
            .batch_execute(&format!("create database {TEMPLATE}"))
            .await?;
        let client = connect(&self.url("supabase_admin", TEMPLATE)).await?;
        client
            .batch_execute(include_str!("supabase.sql"))
            .await
            .context("the Supabase-shaped schema could not be made; supabase.sql has an error")
    }
}

impl Database {
    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection string of `postgres`, the role that customers of hosted Supabase have.
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    /// The connection string of any role, such as `supabase_admin` (superuser),
    /// `supabase_auth_admin` or `authenticator`.
    pub fn url_as(&self, role: &str) -> String {
        crate::postgres::url(self.port, role, &self.name)
    }

    /// Connects as `postgres`, see [`connect`].
    ///
    /// # Errors
    /// If the server is down.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url()).await
    }
}

/// Connects without TLS, and drives the connection on the current tokio runtime until the client
/// is dropped.
///
/// # Errors
/// If the server is down or refuses the role.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .context("the database server could not be reached")?;
    tokio::spawn(async move {
        // Whatever ends the connection also fails the client's next call, with the same reason.
        let _ = connection.await;
    });
    Ok(client)
}

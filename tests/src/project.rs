//! A Supabase project as Rollcall meets it: one database server for the test's whole process, and
//! in it a fresh database for every test that asks.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use rollcall::{
    connection_string::ConnectionSettings, database::Database as RollcallDatabase, migrations,
    session::Session,
};
use rollcall_sandbox::{Auth, Database, Options, Server};
use tokio_postgres::Client;

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();

/// The server that the tests of this process share. It is stopped when the process ends.
pub fn server() -> Result<&'static Server> {
    SERVER
        .get_or_init(|| start().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|message| anyhow!("{message}"))
}

fn start() -> Result<Server> {
    Server::start(&Options::from_env()?)
}

/// One project with a database of its own.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its database.
    pub database: Database,
}

impl Project {
    /// A project in which Rollcall was never heard of.
    pub async fn without_rollcall() -> Result<Self> {
        let database = server()?.fresh_database().await?;
        Ok(Self { database })
    }

    /// A project with all of Rollcall's migrations, and nobody in it.
    pub async fn migrated() -> Result<Self> {
        let project = Self::without_rollcall().await?;
        project.migrate().await?;
        Ok(project)
    }

    /// Applies the migrations as `rollcall migrate` does.
    pub async fn migrate(&self) -> Result<()> {
        let mut database = RollcallDatabase::connect(&self.settings()?).await?;
        migrations::apply(&mut database, false).await?;
        Ok(())
    }

    /// The connection string of `postgres`, the role that customers have.
    pub fn url(&self) -> String {
        self.database.url()
    }

    /// The same for Rollcall's own library.
    pub fn settings(&self) -> Result<ConnectionSettings> {
        Ok(ConnectionSettings::parse(&self.url().into(), None)?)
    }

    /// Rollcall's session, not connected yet.
    pub fn session(&self) -> Result<Session> {
        Ok(Session::new(self.settings()?))
    }

    /// Supabase Auth of this project.
    pub async fn auth(&self) -> Result<Auth> {
        Auth::new(&self.database).await
    }

    /// A connection as `postgres`.
    pub async fn connect(&self) -> Result<Client> {
        self.database.connect().await
    }

    /// A connection as the superuser, for what Supabase's staff may do and customers may not.
    pub async fn connect_as_superuser(&self) -> Result<Client> {
        rollcall_sandbox::connect(&self.database.url_as("supabase_admin")).await
    }

    /// The first column of the only row of `sql`, a count.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let row = self.connect().await?.query_typed_one(sql, &[]).await?;
        Ok(row.try_get(0)?)
    }
}

//! A Supabase project as Rollcall meets it: one database server for the test's whole process, and
//! in it a fresh database for every test that asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use anyhow::{Result, anyhow, ensure};
use rollcall::{
    connection_string::ConnectionSettings, database::Database as RollcallDatabase, migrations,
    session::Session,
};
use rollcall_sandbox::{Auth, Database, Options, Server};
use tokio::sync::OnceCell;
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

/// A profile table and a signup trigger, as Supabase's guide has them.
pub const APPLICATION: &str = include_str!("project/application.sql");

impl Project {
    /// A project in which Rollcall was never heard of.
    pub async fn without_rollcall() -> Result<Self> {
        Self::without_rollcall_on(server()?).await
    }

    /// The same on a server that the test does not share.
    pub async fn without_rollcall_on(server: &Server) -> Result<Self> {
        let database = server.fresh_database().await?;
        Ok(Self { database })
    }

    /// A project whose profiles are Rollcall's: its table, its definition and its signup trigger, and nobody in it.
    pub async fn migrated() -> Result<Self> {
        Self::made_once("migrated", async || Self::migrated_on(server()?).await).await
    }

    /// A copy of the project that `make` makes: once in this process for each `key`, since a copy costs a fraction of
    /// the migrations.
    pub async fn made_once(key: &str, make: impl AsyncFnOnce() -> Result<Self>) -> Result<Self> {
        static MADE: Mutex<BTreeMap<String, Arc<OnceCell<Project>>>> = Mutex::new(BTreeMap::new());
        let cell = MADE
            .lock()
            .map_err(|_| anyhow!("a test failed while it looked for {key}"))?
            .entry(key.to_owned())
            .or_default()
            .clone();
        let made = cell.get_or_try_init(|| make()).await?;
        let database = server()?.copy_database(&made.database).await?;
        Ok(Self { database })
    }

    /// The same on a server that the test does not share.
    pub async fn migrated_on(server: &Server) -> Result<Self> {
        let project = Self::without_rollcall_on(server).await?;
        project.migrate().await?;
        project
            .connect()
            .await?
            .batch_execute(
                "select rollcall.create_profile_table(); select rollcall.install_signup_trigger()",
            )
            .await?;
        Ok(project)
    }

    /// An application that has never met Rollcall: a profile table and a signup trigger of its own, as Supabase's guide
    /// has them.
    pub async fn with_application() -> Result<Self> {
        let project = Self::without_rollcall().await?;
        project.connect().await?.batch_execute(APPLICATION).await?;
        Ok(project)
    }

    /// The same, and Rollcall watches it: it has no trigger there.
    pub async fn watched() -> Result<Self> {
        Self::made_once("watched", async || {
            let project = Self::with_application().await?;
            project.migrate().await?;
            Ok(project)
        })
        .await
    }

    /// Applies the migrations as `rollcall migrate` does.
    pub async fn migrate(&self) -> Result<()> {
        migrations::apply(&mut self.rollcall().await?, false).await?;
        Ok(())
    }

    /// Applies the migrations again, as an upgrade does.
    pub async fn upgrade(&self) -> Result<()> {
        self.connect()
            .await?
            .batch_execute("delete from rollcall.migration")
            .await?;
        self.migrate().await
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

    /// Rollcall's connection, whatever migrations there are.
    pub async fn rollcall(&self) -> Result<RollcallDatabase> {
        Ok(RollcallDatabase::connect(&self.settings()?).await?)
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

    /// Lets Rollcall's two roles log in. They belong to the whole server, which its tests share: so it happens once, and
    /// until then neither could.
    pub async fn let_roles_log_in(&self) -> Result<()> {
        static DONE: OnceCell<()> = OnceCell::const_new();
        DONE.get_or_try_init(async || {
            // hosted Supabase's postgres can give a role of its own a password
            let client = self.connect().await?;
            for role in ["rollcall_monitor", "rollcall_repairer"] {
                let sql = format!("select rolcanlogin from pg_roles where rolname = '{role}'");
                let row = client.query_typed_one(&sql, &[]).await?;
                ensure!(
                    !row.try_get::<_, bool>(0)?,
                    "{role} may log in before anybody gave it a password"
                );
                client
                    .batch_execute(&format!("alter role {role} login"))
                    .await?;
            }
            Ok(())
        })
        .await?;
        Ok(())
    }

    /// Switches the signup trigger off, so that whoever signs up from now on gets no profile.
    pub async fn break_signups(&self) -> Result<()> {
        let client = self.connect_as_superuser().await?;
        client
            .batch_execute("alter table auth.users disable trigger on_auth_user_created")
            .await?;
        Ok(())
    }

    /// Switches the signup trigger on again.
    pub async fn fix_signups(&self) -> Result<()> {
        let client = self.connect_as_superuser().await?;
        client
            .batch_execute("alter table auth.users enable trigger on_auth_user_created")
            .await?;
        Ok(())
    }

    /// Users who signed up a day ago, past every trigger: each misses a profile. By number, not by
    /// the way they came, which [`Auth`] plays one by one.
    pub async fn add_users_without_profile(&self, number: u32) -> Result<()> {
        let client = self.connect_as_superuser().await?;
        client
            .batch_execute(&format!(
                "begin; set local session_replication_role = replica;
                 insert into auth.users (id, aud, role, email, created_at, email_confirmed_at)
                 select gen_random_uuid(), 'authenticated', 'authenticated', gen_random_uuid() || '@example.com',
                   now() - interval '1 day', now() - interval '1 day'
                 from generate_series(1, {number});
                 commit"
            ))
            .await?;
        Ok(())
    }

    /// The first column of the only row of `sql`, a count.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        let row = self.connect().await?.query_typed_one(sql, &[]).await?;
        Ok(row.try_get(0)?)
    }
}

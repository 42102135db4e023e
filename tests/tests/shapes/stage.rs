//! The two projects of a shape, and what is asked of both.

use anyhow::{Context, Result};
use jiff::Timestamp;
use rollcall_sandbox::{Auth, Database, Release};
use rollcall_tests::{
    command_line::{Finished, rollcall},
    project::server,
    sql::{catalog, contents, difference, value, values},
};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::shape::{Shape, Target};

/// A project with the shape's application in it.
pub(crate) struct Side {
    pub(crate) database: Database,
    pub(crate) client: Client,
    pub(crate) auth: Auth,
}

/// The project that meets Rollcall, and its twin that never does.
pub(crate) struct Stage<'a> {
    pub(crate) shape: &'a Shape,
    pub(crate) subject: Side,
    pub(crate) twin: Side,
    /// Where the profiles are; none where an install found no definition, so that what depends on it is not asked.
    pub(crate) target: Option<Target>,
    /// What was found wrong in the step that is being taken.
    pub(crate) complaints: Vec<String>,
}

/// Everything in a database that could be changed.
pub(crate) struct State {
    pub(crate) catalog: Vec<String>,
    pub(crate) contents: Vec<String>,
    pub(crate) sequences: Vec<String>,
}

/// The user's id of person `number`: digits of the number, so that a person is found again in a message.
pub(crate) fn id(number: u32) -> Uuid {
    let digits = number
        .to_string()
        .bytes()
        .fold(0, |value, digit| value * 16 + u128::from(digit - b'0'));
    Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 + digits)
}

impl Side {
    async fn new(shape: &Shape) -> Result<Self> {
        let database = server()?.fresh_database().await?;
        let mut auth = Auth::new(&database).await?;
        if shape.before_anonymous {
            auth.release = Release::BeforeAnonymousUsers;
            rollcall_sandbox::connect(&database.url_as("supabase_auth_admin"))
                .await?
                .batch_execute("alter table auth.users drop column is_anonymous")
                .await?;
        }
        let client = database.connect().await?;
        client
            .batch_execute(&shape.sql)
            .await
            .context("the shape's own SQL")?;
        Ok(Self {
            database,
            client,
            auth,
        })
    }

    /// A connection as another role.
    pub(crate) async fn connect_as(&self, role: &str) -> Result<Client> {
        rollcall_sandbox::connect(&self.database.url_as(role)).await
    }

    /// The rows of the application, comparable with the twin's.
    pub(crate) async fn rows(&self, random: &str) -> Result<Vec<String>> {
        let query: String = value(
            &self.client,
            &include_str!("rows.sql").replace("RANDOM", random),
        )
        .await?;
        values(&self.client, &query).await
    }

    /// The application's sequences and where they stand; pg_net's is Supabase's.
    pub(crate) async fn sequences(&self) -> Result<Vec<String>> {
        values(
            &self.client,
            "select format('%I.%I %s', s.schemaname, s.sequencename, s.last_value) from pg_catalog.pg_sequences s
             where s.schemaname not in ('rollcall', 'net') order by 1",
        )
        .await
    }

    /// SQL that sets every sequence to where it stands now.
    pub(crate) async fn set_sequences(&self) -> Result<String> {
        let statements = values::<String>(
            &self.client,
            "select format('select setval(%L, %s, %L);', format('%I.%I', s.schemaname, s.sequencename),
               coalesce(s.last_value, s.start_value), s.last_value is not null)
             from pg_catalog.pg_sequences s where s.schemaname <> 'rollcall'",
        )
        .await?;
        Ok(statements.concat())
    }

    /// All of its objects, rows and sequences.
    pub(crate) async fn state(&self) -> Result<State> {
        Ok(State {
            catalog: catalog(&self.client).await?,
            contents: contents(&self.client).await?,
            sequences: self.sequences().await?,
        })
    }

    /// Whether person `number` has a profile.
    pub(crate) async fn has_profile(&self, shape: &Shape, number: u32) -> Result<bool> {
        let Some(target) = &shape.target else {
            return Ok(false);
        };
        let sql = format!(
            "select exists (select from {} t where t.{}::text = '{}')",
            target.table,
            target.key,
            id(number)
        );
        value(&self.client, &sql).await
    }
}

impl<'a> Stage<'a> {
    pub(crate) async fn new(shape: &'a Shape) -> Result<Self> {
        let (subject, twin) = (Side::new(shape).await?, Side::new(shape).await?);
        let mut stage = Self {
            shape,
            subject,
            twin,
            target: shape.target.clone(),
            complaints: Vec::new(),
        };
        stage.set_clock(Some(Timestamp::now()));
        Ok(stage)
    }

    /// The time at which both projects' users do what they do.
    pub(crate) fn set_clock(&mut self, clock: Option<Timestamp>) {
        self.subject.auth.clock = clock;
        self.twin.auth.clock = clock;
    }

    /// Notes what is wrong; the step goes on.
    pub(crate) fn complain(&mut self, complaint: impl Into<String>) {
        self.complaints.push(complaint.into());
    }

    /// Notes `complaint` unless it is as it should be.
    pub(crate) fn expect(&mut self, holds: bool, complaint: impl FnOnce() -> String) {
        if !holds {
            self.complain(complaint());
        }
    }

    /// Notes lines that only one of two dumps has.
    pub(crate) fn expect_same(&mut self, what: &str, before: &[String], after: &[String]) {
        let lines = difference(before, after);
        self.expect(lines.is_empty(), || format!("{what}\n{}", lines.join("\n")));
    }

    /// Notes what has changed in the subject since `before`.
    pub(crate) async fn expect_unchanged(&mut self, what: &str, before: &State) -> Result<()> {
        let after = self.subject.state().await?;
        self.expect_same(
            &format!("{what} changed the catalog"),
            &before.catalog,
            &after.catalog,
        );
        self.expect_same(
            &format!("{what} changed rows"),
            &before.contents,
            &after.contents,
        );
        self.expect_same(
            &format!("{what} advanced sequences"),
            &before.sequences,
            &after.sequences,
        );
        Ok(())
    }

    /// Notes rows of the application that differ between the two projects.
    pub(crate) async fn expect_same_rows(&mut self, what: &str) -> Result<()> {
        let random = self.random();
        let (twin, subject) = (
            self.twin.rows(&random).await?,
            self.subject.rows(&random).await?,
        );
        self.expect_same(
            &format!("{what}: not the rows that the twin has"),
            &twin,
            &subject,
        );
        Ok(())
    }

    /// Brings the twin's sequences to where the subject's stand: a trial that is rolled back leaves gaps behind.
    pub(crate) async fn align_sequences(&mut self) -> Result<()> {
        let places = self.subject.set_sequences().await?;
        self.twin.client.batch_execute(&places).await?;
        Ok(())
    }

    /// The column that no two projects fill alike, as `rows.sql` wants it.
    pub(crate) fn random(&self) -> String {
        self.shape
            .random
            .as_ref()
            .map_or_else(String::new, |(table, column)| format!("{table}/{column}"))
    }

    /// Runs `rollcall` on the subject.
    pub(crate) async fn rollcall(&self, arguments: &[&str]) -> Result<Finished> {
        let url = self.subject.database.url();
        rollcall(&[("DATABASE_URL", url.as_str())], arguments).await
    }
}

//! The ways to read that take turns.

use std::time::Instant;

use anyhow::{Context, Result};
use rollcall::checks::doctor::DoctorReport;
use rollcall::checks::recent::RecentReport;
use rollcall::session::Session;
use rollcall_sandbox::Database;
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::data;
use crate::figure::{self, Figure};
use crate::scheduled::{self, Check};

/// The ids alone, in the order of both indexes.
pub(crate) const MERGE: &str =
    "set enable_hashjoin = off; set enable_seqscan = off; set enable_sort = off; set enable_nestloop = off;
     select count(*) from auth.users u where not exists (select from public.profiles p where p.id = u.id);
     reset enable_hashjoin; reset enable_seqscan; reset enable_sort; reset enable_nestloop";

/// A way to read.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Sql(&'static str),
    /// The signups of the window, as scheduled.
    Recent,
    Check(Check),
    /// What a health report is made of at least: [`MERGE`], a scan of `auth.users`, and the catalog.
    Parts,
}

/// Connections to the project, and to one without users.
pub(crate) struct Reader {
    client: Client,
    session: Mutex<Session>,
    empty: Session,
}

impl Reader {
    pub(crate) async fn new(database: &Database, empty: &Database) -> Result<Self> {
        Ok(Self {
            client: rollcall_sandbox::connect(&database.url()).await?,
            session: Mutex::new(Session::new(data::settings(&database.url())?)),
            empty: Session::new(data::settings(&empty.url())?),
        })
    }

    pub(crate) async fn interleave<const N: usize>(
        &mut self,
        rounds: u32,
        ways: [Way; N],
    ) -> Result<[Figure; N]> {
        figure::interleave(rounds, ways, async |way| self.time(way).await).await
    }

    /// For what takes minutes in a large project.
    pub(crate) async fn once(&mut self, sql: &'static str) -> Result<Figure> {
        Ok(Figure::of(vec![self.time(Way::Sql(sql)).await?]))
    }

    /// Milliseconds.
    async fn time(&mut self, way: Way) -> Result<f64> {
        let start = Instant::now();
        match way {
            Way::Sql(sql) => self.query(sql).await?,
            Way::Recent => {
                let mut session = self.session.lock().await;
                session
                    .run(async |database| RecentReport::take_scheduled(database).await)
                    .await?;
            }
            Way::Check(check) => scheduled::run(&self.session, check).await?,
            Way::Parts => {
                self.query(MERGE).await?;
                self.query(
                    "select count(*), count(*) filter (where u.deleted_at is not null) from auth.users u",
                )
                .await?;
                self.empty
                    .run(async |database| DoctorReport::take(database).await)
                    .await?;
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1000.0)
    }

    async fn query(&self, sql: &'static str) -> Result<()> {
        self.client.simple_query(sql).await.context(sql)?;
        Ok(())
    }
}

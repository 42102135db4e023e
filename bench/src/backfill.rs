//! Repair: with real commits, taken back and vacuumed away after each run.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rollcall::backfill::{self, RunOptions, Source};
use rollcall::error::Error;
use rollcall::session::Session;
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::data;
use crate::figure::{self, Figure};
use crate::memory;
use crate::row::{Goal, Row, Unit};
use crate::scale::Scale;

/// Users in one batch.
const BATCH: u32 = 1000;

/// How many times as much memory many users may take as few: caches of the catalog grow by a megabyte.
const FLAT: f64 = 1.25;

/// A way to repair.
#[derive(Clone, Copy)]
enum Way {
    /// What `rollcall backfill --apply` and the Lambda function do.
    Run,
    /// The same, with 0.1 % of rows that a constraint refuses.
    PoisonedRun,
    /// Row by row, each in a block with an exception handler and with an event in another.
    Loop,
    /// Pages of ids, inserted and committed: no event, no cursor, no receipt.
    BareSets,
}

/// The lower bound's pages follow two indexes, as ours do.
const BARE_SETS: [&str; 3] = [
    "set enable_hashjoin = off; set enable_seqscan = off; set enable_sort = off; set enable_nestloop = off",
    "call baseline.bare_sets(1000)",
    "reset enable_hashjoin; reset enable_seqscan; reset enable_sort; reset enable_nestloop",
];

struct Bench {
    client: Client,
    admin: Client,
    session: Session,
    missing: u32,
    bad: u32,
}

pub(crate) async fn measure(database: &Database, scale: &Scale) -> Result<Vec<Row>> {
    let mut bench = Bench {
        client: rollcall_sandbox::connect(&database.url()).await?,
        admin: rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?,
        session: Session::new(data::settings(&database.url())?),
        missing: 0,
        bad: 0,
    };
    let [few, many] = scale.missing;
    bench.have_missing(few).await?;
    let ways = [Way::Run, Way::PoisonedRun, Way::BareSets, Way::Loop];
    let [run, poisoned, bare, row_by_row] =
        figure::interleave(scale.rounds, ways, async |way| bench.time(way).await).await?;
    let [few_ours, few_server] = bench.memory().await?;
    bench.have_missing(many).await?;
    let [many_ours, many_server] = bench.memory().await?;
    bench.remove_users().await?;

    let memory = |whose, ours, lower_bound| {
        Row::new(
            format!("memory of a repair of {many} users: {whose}"),
            Unit::Megabytes,
            ours,
        )
        .lower_bound(format!("of {few} users"), lower_bound)
        .goal(Goal::TimesLowerBound(FLAT))
    };
    Ok(vec![
        Row::milliseconds("backfill, per 1,000 users", run.clone())
            .baseline(row_by_row)
            .lower_bound("insert … select in sets of 1,000, no events", bare)
            .goal(Goal::TimesLowerBound(1.0 / 0.6)),
        Row::milliseconds("backfill with 0.1 % of bad rows, per 1,000 users", poisoned)
            .lower_bound("the same without", run)
            .goal(Goal::TimesLowerBound(1.0 / 0.9)),
        memory("the program", many_ours, few_ours),
        memory("its server process", many_server, few_server),
    ])
}

impl Bench {
    /// Milliseconds for each thousand users.
    async fn time(&mut self, way: Way) -> Result<f64> {
        let expected = match way {
            Way::PoisonedRun => {
                self.admin
                    .batch_execute("alter table public.profiles add constraint bad check (email not like 'bad%') not valid")
                    .await?;
                self.missing - self.bad
            }
            Way::Run | Way::Loop | Way::BareSets => self.missing,
        };
        if matches!(way, Way::BareSets) {
            self.client.batch_execute(BARE_SETS[0]).await?;
        }
        let start = Instant::now();
        match way {
            Way::Loop => {
                self.client
                    .batch_execute(&format!(
                        "select baseline.backfill_all_missing_profiles({expected})"
                    ))
                    .await?;
            }
            Way::BareSets => self.client.batch_execute(BARE_SETS[1]).await?,
            Way::Run | Way::PoisonedRun => self.run(|| ()).await?,
        }
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        self.client.batch_execute(BARE_SETS[2]).await?;
        self.take_back(expected).await?;
        Ok(milliseconds / f64::from(expected) * 1000.0)
    }

    async fn run(&mut self, mut after_batch: impl FnMut()) -> Result<()> {
        let options = RunOptions {
            batch_size: BATCH,
            ..RunOptions::new(Source::Cli)
        };
        backfill::apply(&mut self.session, &options, None, |_| {
            after_batch();
            ControlFlow::Continue(())
        })
        .await?;
        Ok(())
    }

    /// The most that a run takes, in this process, and after its batches in the server's.
    async fn memory(&mut self) -> Result<[Figure; 2]> {
        let process: i32 = self
            .session
            .run(async |database| {
                let ask = database.read(Duration::from_secs(1), async |queries| {
                    queries.row("select pg_backend_pid()", &[]).await
                });
                ask.await?.try_get(0).map_err(|_| Error::UnexpectedAnswer)
            })
            .await?;
        let mut server = Vec::new();
        memory::forget_peak()?;
        self.run(|| server.push(memory::own(process))).await?;
        let ours = memory::peak()?;
        self.take_back(self.missing).await?;
        let server = server.into_iter().collect::<Result<Vec<_>>>()?;
        let most = server.into_iter().fold(0.0, f64::max);
        Ok([ours, most].map(|megabytes| Figure::of(vec![megabytes])))
    }

    /// Removes the profiles that were made, and all traces.
    async fn take_back(&self, expected: u32) -> Result<()> {
        let made = self
            .admin
            .execute(
                "delete from public.profiles p using baseline.missing m where p.id = m.id",
                &[],
            )
            .await?;
        self.admin
            .batch_execute(
                "delete from rollcall.event;
                 delete from rollcall.failure;
                 delete from rollcall.run;
                 alter table public.profiles drop constraint if exists bad",
            )
            .await?;
        for table in ["public.profiles", "rollcall.event", "rollcall.failure"] {
            self.admin.batch_execute(&format!("vacuum {table}")).await?;
        }
        ensure!(
            made == u64::from(expected),
            "{made} profiles were made instead of {expected}"
        );
        Ok(())
    }

    /// Adds so many users past every trigger; one in a thousand has an address that can be refused. Keeps who has no profile.
    async fn have_missing(&mut self, added: u32) -> Result<()> {
        self.admin
            .batch_execute(&format!(
                "begin;
                 set local session_replication_role = replica;
                 insert into auth.users (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
                 select '00000000-0000-0000-0000-000000000000', md5('missing ' || {added} || ' ' || n)::uuid, 'authenticated', 'authenticated',
                   case when n % 1000 = 1 then 'bad' else 'missing' end || n || 'of{added}@example.com',
                   '{{\"provider\": \"email\"}}', jsonb_build_object('full_name', 'Person ' || n), now() - interval '1 day', now()
                 from generate_series(1, {added}) n;
                 commit",
            ))
            .await?;
        self.admin
            .batch_execute("vacuum analyze auth.users")
            .await?;
        let missing = self
            .admin
            .execute(
                "insert into baseline.missing
                 select u.id from auth.users u where not exists (select from public.profiles p where p.id = u.id)
                 on conflict do nothing",
                &[],
            )
            .await?;
        self.missing += u32::try_from(missing)?;
        self.bad += added.div_ceil(1000);
        Ok(())
    }

    async fn remove_users(&self) -> Result<()> {
        self.admin
            .batch_execute(
                "begin;
                 set local session_replication_role = replica;
                 delete from auth.users u using baseline.missing m where u.id = m.id and u.email like any (array['missing%', 'bad%']);
                 commit",
            )
            .await?;
        self.admin
            .batch_execute("vacuum analyze auth.users")
            .await?;
        Ok(())
    }
}

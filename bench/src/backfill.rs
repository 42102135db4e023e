//! Repair: with real commits, taken back and vacuumed away after each run.

use std::ops::ControlFlow;
use std::time::Instant;

use anyhow::{Result, ensure};
use rollcall::backfill::{self, RunOptions, Source};
use rollcall::session::Session;
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::data;
use crate::goals::Goal;
use crate::operation::Operation;
use crate::timing::Timing;

/// Users in one batch, and in one call of the public function.
const BATCH: u32 = 1000;
const CALL: u32 = 500;

/// How many users are made who have no profile, beside those that the data has: a tenth of all, between these.
const FEWEST: u32 = 100;
const MOST: u32 = 10_000;

/// Each round repairs everyone four times over.
const MOST_ROUNDS: u32 = 4;

/// The loop as shipped takes time with the square of its users, so it is run once, over so many.
const SHIPPED: u32 = 5000;

/// A way to repair.
#[derive(Clone, Copy)]
enum Way {
    /// The public function, or so many rows by the baseline's and by one statement.
    Sql(&'static str),
    /// As shipped: with an array of results that grows by each user.
    Shipped,
    /// What `rollcall backfill --apply` and the Lambda function do.
    Run,
    /// The same, with 0.1 % of rows that a constraint refuses.
    PoisonedRun,
    /// Row by row, each in a block with an exception handler and with an event in another.
    Loop,
    /// Pages of ids, inserted and committed: no event, no cursor, no receipt.
    BareSets,
}

const PUBLIC_CALL: &str = "select public.backfill_all_missing_profiles(500, false)";
const SEED_CALL: &str = "select baseline.backfill_all_missing_profiles(500)";
const BARE_CALL: &str = "insert into public.profiles (id, email, account_type)
     select u.id, u.email, 'sme'
     from auth.users u
     where not exists (select from public.profiles p where p.id = u.id)
     limit 500";

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

pub(crate) async fn measure(
    database: &Database,
    rounds: u32,
    users: u32,
) -> Result<Vec<Operation>> {
    let rounds = rounds.min(MOST_ROUNDS);
    let mut bench = Bench {
        client: rollcall_sandbox::connect(&database.url_as("postgres")).await?,
        admin: rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?,
        session: Session::new(data::settings(database)?),
        missing: 0,
        bad: 0,
    };
    bench.know_missing().await?;
    let [call, baseline_call, bare_call] = bench
        .interleave([PUBLIC_CALL, SEED_CALL, BARE_CALL].map(Way::Sql), rounds)
        .await?;

    bench.add_users((users / 10).clamp(FEWEST, MOST)).await?;
    let [run, poisoned, bare, row_by_row] = bench
        .interleave(
            [Way::Run, Way::PoisonedRun, Way::BareSets, Way::Loop],
            rounds,
        )
        .await?;
    let shipped = Timing::of(vec![bench.time(Way::Shipped).await?]);
    bench.remove_users().await?;

    Ok(vec![
        Operation {
            name: "backfill as a run, per 1,000 users",
            lower_bound_is: "insert … select in sets of 1,000, no events",
            ours: run.clone(),
            baseline: Some(row_by_row),
            lower_bound: bare.clone(),
            goals: vec![Goal::TimesLowerBound(1.0 / 0.6)],
        },
        Operation {
            name: "… beside the loop as shipped, over 5,000 users",
            lower_bound_is: "insert … select in sets of 1,000, no events",
            ours: run.clone(),
            baseline: Some(shipped),
            lower_bound: bare,
            goals: vec![],
        },
        Operation {
            name: "… with 0.1 % of bad rows",
            lower_bound_is: "the same without",
            ours: poisoned,
            baseline: None,
            lower_bound: run,
            goals: vec![Goal::TimesLowerBound(1.0 / 0.9)],
        },
        Operation {
            name: "backfill of 500 users, in one call",
            lower_bound_is: "insert … select, no events",
            ours: call,
            baseline: Some(baseline_call),
            lower_bound: bare_call,
            goals: vec![],
        },
    ])
}

impl Bench {
    /// The ways take turns. The first round warms caches, and counts for nobody.
    async fn interleave<const N: usize>(
        &mut self,
        ways: [Way; N],
        rounds: u32,
    ) -> Result<[Timing; N]> {
        let mut taken = [const { Vec::new() }; N];
        for round in 0..=rounds {
            for (way, taken) in ways.iter().zip(&mut taken) {
                let milliseconds = self.time(*way).await?;
                if round > 0 {
                    taken.push(milliseconds);
                }
            }
        }
        Ok(taken.map(Timing::of))
    }

    /// Milliseconds: of a call, or for each thousand users.
    async fn time(&mut self, way: Way) -> Result<f64> {
        if matches!(way, Way::PoisonedRun) {
            self.admin
                .batch_execute("alter table public.profiles add constraint bad check (email not like 'bad%') not valid")
                .await?;
        }
        let expected = match way {
            Way::Sql(_) => CALL.min(self.missing),
            Way::Shipped => SHIPPED.min(self.missing),
            Way::PoisonedRun => self.missing - self.bad,
            Way::Run | Way::Loop | Way::BareSets => self.missing,
        };
        if matches!(way, Way::BareSets) {
            self.client.batch_execute(BARE_SETS[0]).await?;
        }
        let start = Instant::now();
        match way {
            Way::Sql(sql) => self.client.batch_execute(sql).await?,
            Way::Shipped | Way::Loop => {
                let results = matches!(way, Way::Shipped);
                self.client
                    .batch_execute(&format!(
                        "select baseline.backfill_all_missing_profiles({expected}, {results})"
                    ))
                    .await?;
            }
            Way::BareSets => self.client.batch_execute(BARE_SETS[1]).await?,
            Way::Run | Way::PoisonedRun => {
                let options = RunOptions {
                    batch_size: BATCH,
                    ..RunOptions::new(Source::Cli)
                };
                backfill::apply(&mut self.session, &options, None, |_| {
                    ControlFlow::Continue(())
                })
                .await?;
            }
        }
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        self.client.batch_execute(BARE_SETS[2]).await?;
        let made = self.take_back().await?;
        ensure!(
            made == u64::from(expected),
            "{made} profiles were made instead of {expected}"
        );
        Ok(match way {
            Way::Sql(_) => milliseconds,
            _ => milliseconds / f64::from(expected) * 1000.0,
        })
    }

    /// How many profiles there were to take back.
    async fn take_back(&self) -> Result<u64> {
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
        Ok(made)
    }

    /// Keeps who has no profile.
    async fn know_missing(&mut self) -> Result<()> {
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
        Ok(())
    }

    /// Users past every trigger; one in a thousand of all who are missing has an address that can be refused.
    async fn add_users(&mut self, number: u32) -> Result<()> {
        self.bad = ((self.missing + number) / 1000).max(1);
        self.admin
            .batch_execute(&format!(
                "begin;
                 set local session_replication_role = replica;
                 insert into auth.users (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
                 select '00000000-0000-0000-0000-000000000000', md5('missing ' || n)::uuid, 'authenticated', 'authenticated',
                   case when n % {step} = 1 and n / {step} < {bad} then 'bad' else 'missing' end || n || '@example.com',
                   '{{\"provider\": \"email\"}}', jsonb_build_object('sub', md5('missing ' || n), 'full_name', 'Person ' || n),
                   now() - interval '1 day', now()
                 from generate_series(1, {number}) n;
                 commit",
                step = number / self.bad,
                bad = self.bad,
            ))
            .await?;
        self.admin
            .batch_execute("vacuum analyze auth.users")
            .await?;
        self.know_missing().await
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

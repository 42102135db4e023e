//! Repair, taken back after each run.

use std::time::Instant;

use anyhow::Result;
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::goals::Goal;
use crate::operation::Operation;
use crate::timing::Timing;

/// All who are missing in one call, as `rollcall backfill` has it in batches of its own.
const OURS: &str = "select public.backfill_all_missing_profiles(500, false)";

const SEED: &str = "select seed.backfill_all_missing_profiles(500)";

/// The same rows by one statement, without events.
const FLOOR: &str = "insert into public.profiles (id, email, account_type)
     select u.id, u.email, 'sme'
     from auth.users u
     where not exists (select from public.profiles p where p.id = u.id)
     limit 500";

pub(crate) async fn measure(database: &Database, rounds: u32) -> Result<Operation> {
    let client = rollcall_sandbox::connect(&database.url_as("postgres")).await?;
    let (mut ours, mut seed, mut floor) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let taken = [
            time(&client, OURS).await?,
            time(&client, SEED).await?,
            time(&client, FLOOR).await?,
        ];
        if round > 0 {
            ours.push(taken[0]);
            seed.push(taken[1]);
            floor.push(taken[2]);
        }
    }
    Ok(Operation {
        name: "backfill of 500 users, in one call",
        floor_is: "insert … select, no events",
        ours: Timing::of(ours),
        seed: Some(Timing::of(seed)),
        floor: Timing::of(floor),
        goals: vec![Goal::TimesFloor(2.0), Goal::TimesSeed(2.5)],
    })
}

async fn time(client: &Client, sql: &str) -> Result<f64> {
    client.batch_execute("begin").await?;
    let start = Instant::now();
    client.simple_query(sql).await?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    client.batch_execute("rollback").await?;
    Ok(milliseconds)
}

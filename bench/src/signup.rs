//! What a signup costs: eight clients, asynchronous commit, each trigger in turn.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::figure;
use crate::row::{Goal, Row};
use crate::scale::Scale;

const CLIENTS: u32 = 8;

/// The triggers on `auth.users`.
pub(crate) const OURS: &str = "on_auth_user_created";
pub(crate) const LEAN: &str = "baseline_lean";
const BASELINE: &str = "baseline_handle_new_user";

/// What Supabase Auth inserts first.
pub(crate) const SIGN_UP: &str = "insert into auth.users
     (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
   select '00000000-0000-0000-0000-000000000000', x.id, 'authenticated', '', x.id || '@bench.example.com',
     '{\"provider\": \"email\"}', '{\"full_name\": \"Ada\"}', now(), now()
   from gen_random_uuid() x (id)";

pub(crate) async fn measure(database: &Database, scale: &Scale) -> Result<Vec<Row>> {
    let admin = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    let triggers = [OURS, BASELINE, LEAN];
    let [ours, baseline, lean] = figure::interleave(scale.rounds, triggers, async |trigger| {
        enable_only(&admin, trigger).await?;
        milliseconds_a_signup(database, scale.signup_time)
    })
    .await?;
    enable_only(&admin, OURS).await?;
    Ok(vec![
        Row::milliseconds("signup, stance make, 8 clients", ours)
            .baseline(baseline)
            .lower_bound("leanest guarded trigger that writes the same rows", lean)
            .goal(Goal::TimesLowerBound(1.0 / 0.85)),
    ])
}

pub(crate) async fn enable_only(admin: &Client, trigger: &str) -> Result<()> {
    for other in [OURS, BASELINE, LEAN] {
        let state = if other == trigger {
            "enable"
        } else {
            "disable"
        };
        admin
            .batch_execute(&format!("alter table auth.users {state} trigger {other}"))
            .await?;
    }
    Ok(())
}

fn milliseconds_a_signup(database: &Database, length: Duration) -> Result<f64> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let url = database.url_as("supabase_admin");
            thread::spawn(move || signups(&url, length))
        })
        .collect();
    let mut signups = 0;
    for client in clients {
        signups += client
            .join()
            .map_err(|_| anyhow!("a client panicked"))?
            .context("a signup failed")?;
    }
    Ok(length.as_secs_f64() * 1000.0 / f64::from(signups.max(1)))
}

fn signups(url: &str, length: Duration) -> Result<u32> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let client = rollcall_sandbox::connect(url).await?;
            client.batch_execute("set synchronous_commit = off").await?;
            let statement = client.prepare(SIGN_UP).await?;
            let end = Instant::now() + length;
            let mut signups = 0;
            while Instant::now() < end {
                client.execute(&statement, &[]).await?;
                signups += 1;
            }
            Ok(signups)
        })
}

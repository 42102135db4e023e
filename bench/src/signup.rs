//! What a signup costs: eight clients, asynchronous commit, each trigger in turn.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rollcall_sandbox::Database;
use tokio_postgres::Client;

use crate::goals::Goal;
use crate::operation::Operation;
use crate::timing::Timing;

const CLIENTS: u32 = 8;

const ROUNDS: u32 = 3;

const TRIGGERS: [&str; 4] = [
    "on_auth_user_created",
    "baseline_handle_new_user",
    "baseline_lean",
    "baseline_lean_with_events",
];

/// What Supabase Auth inserts first.
const SIGN_UP: &str = "insert into auth.users
     (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
   select '00000000-0000-0000-0000-000000000000', x.id, 'authenticated', '', x.id || '@bench.example.com',
     '{\"provider\": \"email\"}', '{\"full_name\": \"Ada\"}', now(), now()
   from gen_random_uuid() x (id)";

pub(crate) async fn measure(database: &Database, seconds: f64) -> Result<[Operation; 2]> {
    let admin = rollcall_sandbox::connect(&database.url_as("supabase_admin")).await?;
    let mut taken = TRIGGERS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (trigger, taken) in TRIGGERS.iter().zip(&mut taken) {
            enable_only(&admin, trigger).await?;
            taken.push(milliseconds_a_signup(database, seconds)?);
        }
    }
    enable_only(&admin, TRIGGERS[0]).await?;
    let [ours, baseline, lean, lean_with_events] = taken.map(Timing::of);
    Ok([
        Operation {
            name: "signup, 8 clients",
            lower_bound_is: "leanest guarded trigger, no events",
            ours: ours.clone(),
            baseline: Some(baseline),
            lower_bound: lean,
            goals: vec![Goal::TimesLowerBound(1.0 / 0.85)],
        },
        Operation {
            name: "signup, 8 clients, beside a lean trigger with the same events",
            lower_bound_is: "leanest guarded trigger, the same two events",
            ours,
            baseline: None,
            lower_bound: lean_with_events,
            goals: Vec::new(),
        },
    ])
}

async fn enable_only(admin: &Client, trigger: &str) -> Result<()> {
    for other in TRIGGERS {
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

fn milliseconds_a_signup(database: &Database, seconds: f64) -> Result<f64> {
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let url = database.url_as("supabase_admin");
            thread::spawn(move || signups(&url, Duration::from_secs_f64(seconds)))
        })
        .collect();
    let mut signups = 0;
    for client in clients {
        signups += client
            .join()
            .map_err(|_| anyhow!("a client panicked"))?
            .context("a signup failed")?;
    }
    Ok(seconds * 1000.0 / f64::from(signups.max(1)))
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

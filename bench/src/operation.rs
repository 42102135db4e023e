//! The operations that read, each in three ways that take turns.

use std::time::Instant;

use anyhow::{Context, Result};
use rollcall::checks::Basis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::recent::RecentReport;
use rollcall_sandbox::Database;
use serde::Serialize;
use tokio_postgres::Client;

use crate::data;
use crate::goals::Goal;
use crate::timing::Timing;

/// An operation and what its ways took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// What the floor is.
    pub(crate) floor_is: &'static str,
    pub(crate) ours: Timing,
    pub(crate) seed: Option<Timing>,
    pub(crate) floor: Timing,
    pub(crate) goals: Vec<Goal>,
}

impl Operation {
    /// How much longer ours takes than the floor.
    pub(crate) fn over_floor(&self) -> f64 {
        self.ours.median_ms / self.floor.median_ms
    }

    /// How much longer the seed's way takes than ours.
    pub(crate) fn under_seed(&self) -> Option<f64> {
        Some(self.seed.as_ref()?.median_ms / self.ours.median_ms)
    }
}

/// A way to do it.
enum Way {
    Sql(&'static str),
    /// What the Lambda function `recent-issues` does.
    Recent,
    /// What the Lambda function `health-check` does.
    Health,
}

struct Plan {
    name: &'static str,
    floor_is: &'static str,
    ours: Way,
    seed: Option<&'static str>,
    floor: &'static str,
    goals: Vec<Goal>,
}

const PLAIN_COUNTS: &str =
    "select (select count(*) from auth.users), (select count(*) from public.profiles),
   (select count(*) from auth.audit_log_entries)";

/// The ids alone, in the order of both indexes.
const IDS_APART: &str =
    "set enable_hashjoin = off; set enable_seqscan = off; set enable_sort = off; set enable_nestloop = off;
     select count(*) from auth.users u where not exists (select from public.profiles p where p.id = u.id);
     reset enable_hashjoin; reset enable_seqscan; reset enable_sort; reset enable_nestloop";

fn plans() -> Vec<Plan> {
    vec![
        Plan {
            name: "recent issues, as scheduled",
            floor_is: "select 1",
            ours: Way::Recent,
            seed: Some("select * from seed.check_recent_signup_issues()"),
            floor: "select 1",
            goals: vec![Goal::Milliseconds(5.0)],
        },
        Plan {
            name: "health, as scheduled",
            floor_is: "select 1",
            ours: Way::Health,
            seed: Some("select * from seed.monitor_signup_health()"),
            floor: "select 1",
            goals: vec![Goal::Milliseconds(10.0)],
        },
        Plan {
            name: "users against profiles, both ways",
            floor_is: "anti-join of the ids in two indexes",
            ours: Way::Sql(
                "select cardinality(without_profile), cardinality(without_user) from rollcall.apart()",
            ),
            seed: Some(
                "select count(*) from auth.users u left join public.profiles p on p.id = u.id where p.id is null",
            ),
            floor: IDS_APART,
            goals: vec![Goal::TimesFloor(1.5)],
        },
        Plan {
            name: "all counts of users and profiles",
            floor_is: "anti-join of the ids in two indexes",
            ours: Way::Sql("select * from rollcall.census()"),
            seed: None,
            floor: IDS_APART,
            goals: vec![],
        },
        Plan {
            name: "diagnose, with the audit log",
            floor_is: "bare counts of the three tables",
            ours: Way::Sql("select * from public.diagnose_auth_profile_consistency()"),
            seed: Some("select * from seed.diagnose_auth_profile_consistency()"),
            floor: PLAIN_COUNTS,
            goals: vec![Goal::TimesSeed(8.0)],
        },
        Plan {
            name: "newest 20 mismatches, with the audit log",
            floor_is: "bare counts of the three tables",
            ours: Way::Sql("select * from public.get_auth_profile_mismatches(20)"),
            seed: Some("select * from seed.get_auth_profile_mismatches(20)"),
            floor: PLAIN_COUNTS,
            goals: vec![],
        },
        Plan {
            name: "a page of 20 from the middle",
            floor_is: "select 1",
            ours: Way::Sql(
                "select * from rollcall.missing_page('80000000-0000-0000-0000-000000000000', 20)",
            ),
            seed: Some("select * from seed.get_auth_profile_mismatches(20)"),
            floor: "select 1",
            goals: vec![Goal::Milliseconds(10.0)],
        },
    ]
}

/// Measures them all.
pub(crate) async fn measure(database: &Database, rounds: u32) -> Result<Vec<Operation>> {
    let client = rollcall_sandbox::connect(&database.url_as("postgres")).await?;
    let mut rollcall = data::rollcall(database).await?;
    // the first scheduled check keeps the proof that the others build on
    HealthReport::take_scheduled(&mut rollcall).await?;

    let mut operations = Vec::new();
    for plan in plans() {
        let (mut ours, mut seed, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        // the first round warms caches, and counts for nobody
        for round in 0..=rounds {
            let taken = [
                time(&client, &mut rollcall, &plan.ours).await?,
                match plan.seed {
                    Some(sql) => time(&client, &mut rollcall, &Way::Sql(sql)).await?,
                    None => 0.0,
                },
                time(&client, &mut rollcall, &Way::Sql(plan.floor)).await?,
            ];
            if round > 0 {
                ours.push(taken[0]);
                seed.push(taken[1]);
                floor.push(taken[2]);
            }
        }
        operations.push(Operation {
            name: plan.name,
            floor_is: plan.floor_is,
            ours: Timing::of(ours),
            seed: plan.seed.map(|_| Timing::of(seed)),
            floor: Timing::of(floor),
            goals: plan.goals,
        });
    }
    Ok(operations)
}

/// Milliseconds.
async fn time(
    client: &Client,
    rollcall: &mut rollcall::database::Database,
    way: &Way,
) -> Result<f64> {
    let start = Instant::now();
    match way {
        Way::Sql(sql) => {
            client
                .simple_query(sql)
                .await
                .with_context(|| (*sql).to_owned())?;
        }
        Way::Recent => {
            RecentReport::take_scheduled(rollcall).await?;
        }
        Way::Health => {
            HealthReport::take_scheduled(rollcall).await?;
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// Whether scheduled checks of this database read the ledger.
pub(crate) async fn reads_ledger(database: &Database) -> Result<bool> {
    let report = HealthReport::take_scheduled(&mut data::rollcall(database).await?).await?;
    Ok(report.basis == Some(Basis::Ledger))
}

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
    /// The second of three is timed.
    Between(&'static str, &'static str, &'static str),
    /// What the Lambda function `recent-issues` does.
    Recent,
    /// What the Lambda function `health-check` does.
    Health,
}

/// One of our ways.
struct Variant {
    name: &'static str,
    way: Way,
    goals: Vec<Goal>,
}

/// Our ways of doing one thing, beside the seed's and the floor.
struct Plan {
    ours: Vec<Variant>,
    seed: &'static str,
    floor_is: &'static str,
    floor: &'static str,
}

const PLAIN_COUNTS: &str =
    "select (select count(*) from auth.users), (select count(*) from public.profiles),
   (select count(*) from auth.audit_log_entries)";

/// The ids alone, in the order of both indexes.
const IDS_APART: &str =
    "set enable_hashjoin = off; set enable_seqscan = off; set enable_sort = off; set enable_nestloop = off;
     select count(*) from auth.users u where not exists (select from public.profiles p where p.id = u.id);
     reset enable_hashjoin; reset enable_seqscan; reset enable_sort; reset enable_nestloop";

/// Without what is kept of the audit log.
const FORGET_LOG: &str = "begin; delete from rollcall.audit_proof";

fn plans() -> Vec<Plan> {
    vec![
        Plan {
            ours: vec![Variant {
                name: "recent issues, as scheduled",
                way: Way::Recent,
                goals: vec![Goal::Milliseconds(5.0)],
            }],
            seed: "select * from seed.check_recent_signup_issues()",
            floor_is: "select 1",
            floor: "select 1",
        },
        Plan {
            ours: vec![Variant {
                name: "health, as scheduled",
                way: Way::Health,
                goals: vec![Goal::Milliseconds(10.0)],
            }],
            seed: "select * from seed.monitor_signup_health()",
            floor_is: "select 1",
            floor: "select 1",
        },
        Plan {
            ours: vec![
                Variant {
                    name: "users against profiles, both ways",
                    way: Way::Sql(
                        "select cardinality(without_profile), cardinality(without_user) from rollcall.apart()",
                    ),
                    goals: vec![Goal::TimesFloor(1.5)],
                },
                Variant {
                    name: "all counts of users and profiles",
                    way: Way::Sql("select * from rollcall.census()"),
                    goals: vec![],
                },
            ],
            seed: "select count(*) from auth.users u left join public.profiles p on p.id = u.id where p.id is null",
            floor_is: "anti-join of the ids in two indexes",
            floor: IDS_APART,
        },
        Plan {
            ours: vec![
                Variant {
                    name: "diagnose, by what is kept of the audit log",
                    way: Way::Sql("select * from public.diagnose_auth_profile_consistency()"),
                    goals: vec![Goal::TimesFloor(1.5), Goal::TimesSeed(60.0)],
                },
                Variant {
                    name: "diagnose, by the audit log itself",
                    way: Way::Between(
                        FORGET_LOG,
                        "select * from public.diagnose_auth_profile_consistency()",
                        "rollback",
                    ),
                    goals: vec![Goal::TimesSeed(8.0)],
                },
            ],
            seed: "select * from seed.diagnose_auth_profile_consistency()",
            floor_is: "bare counts of the three tables",
            floor: PLAIN_COUNTS,
        },
        Plan {
            ours: vec![
                Variant {
                    name: "newest 20 mismatches, by what is kept of the log",
                    way: Way::Sql("select * from public.get_auth_profile_mismatches(20)"),
                    goals: vec![Goal::Milliseconds(10.0)],
                },
                Variant {
                    name: "newest 20 mismatches, by the log itself",
                    way: Way::Between(
                        FORGET_LOG,
                        "select * from public.get_auth_profile_mismatches(20)",
                        "rollback",
                    ),
                    goals: vec![],
                },
                Variant {
                    name: "a page of 20 without a profile, from the middle",
                    way: Way::Sql(
                        "select * from rollcall.missing_page('80000000-0000-0000-0000-000000000000', 20)",
                    ),
                    goals: vec![Goal::Milliseconds(10.0)],
                },
            ],
            seed: "select * from seed.get_auth_profile_mismatches(20)",
            floor_is: "select 1",
            floor: "select 1",
        },
    ]
}

/// Measures them all, without the seed's way where that would take hours.
pub(crate) async fn measure(
    database: &Database,
    rounds: u32,
    with_seed: bool,
) -> Result<Vec<Operation>> {
    let client = rollcall_sandbox::connect(&database.url_as("postgres")).await?;
    let mut rollcall = data::rollcall(database).await?;
    // The first scheduled check keeps the proof that the others build on, the second one what the audit log says. What
    // autovacuum would do within minutes is done at once.
    for _ in 0..2 {
        HealthReport::take_scheduled(&mut rollcall).await?;
    }
    client
        .batch_execute("vacuum (analyze) rollcall.audit_subject")
        .await?;

    let mut operations = Vec::new();
    for plan in plans() {
        let mut ours = vec![Vec::new(); plan.ours.len()];
        let (mut seed, mut floor) = (Vec::new(), Vec::new());
        // the first round warms caches, and counts for nobody
        for round in 0..=rounds {
            for (variant, ours) in plan.ours.iter().zip(&mut ours) {
                let taken = time(&client, &mut rollcall, &variant.way).await?;
                if round > 0 {
                    ours.push(taken);
                }
            }
            if with_seed {
                let taken = time(&client, &mut rollcall, &Way::Sql(plan.seed)).await?;
                if round > 0 {
                    seed.push(taken);
                }
            }
            let taken = time(&client, &mut rollcall, &Way::Sql(plan.floor)).await?;
            if round > 0 {
                floor.push(taken);
            }
        }
        let seed = with_seed.then(|| Timing::of(seed));
        let floor = Timing::of(floor);
        operations.extend(
            plan.ours
                .into_iter()
                .zip(ours)
                .map(|(variant, taken)| Operation {
                    name: variant.name,
                    floor_is: plan.floor_is,
                    ours: Timing::of(taken),
                    seed: seed.clone(),
                    floor: floor.clone(),
                    goals: variant.goals,
                }),
        );
    }
    Ok(operations)
}

/// Milliseconds.
async fn time(
    client: &Client,
    rollcall: &mut rollcall::database::Database,
    way: &Way,
) -> Result<f64> {
    let run = async |sql: &'static str| client.simple_query(sql).await.context(sql);
    if let Way::Between(before, _, _) = way {
        run(before).await?;
    }
    let start = Instant::now();
    match way {
        Way::Sql(sql) | Way::Between(_, sql, _) => {
            run(sql).await?;
        }
        Way::Recent => {
            RecentReport::take_scheduled(rollcall).await?;
        }
        Way::Health => {
            HealthReport::take_scheduled(rollcall).await?;
        }
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    if let Way::Between(_, _, after) = way {
        run(after).await?;
    }
    Ok(milliseconds)
}

/// Whether scheduled checks of this database read the ledger.
pub(crate) async fn reads_ledger(database: &Database) -> Result<bool> {
    let report = HealthReport::take_scheduled(&mut data::rollcall(database).await?).await?;
    Ok(report.basis == Some(Basis::Ledger))
}

//! The operations that read, each in three ways that take turns.

use std::time::Instant;

use anyhow::{Context, Result};
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
    /// What the lower bound is.
    pub(crate) lower_bound_is: &'static str,
    pub(crate) ours: Timing,
    pub(crate) baseline: Option<Timing>,
    pub(crate) lower_bound: Timing,
    pub(crate) goals: Vec<Goal>,
}

impl Operation {
    /// How much longer ours takes than the lower bound.
    pub(crate) fn over_lower_bound(&self) -> f64 {
        self.ours.median_ms / self.lower_bound.median_ms
    }

    /// How much longer the baseline takes than ours.
    pub(crate) fn under_baseline(&self) -> Option<f64> {
        Some(self.baseline.as_ref()?.median_ms / self.ours.median_ms)
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

/// One of our ways.
struct Variant {
    name: &'static str,
    way: Way,
    goals: Vec<Goal>,
}

/// Our ways of doing one thing, beside the baseline's and the lower bound.
struct Plan {
    ours: Vec<Variant>,
    baseline: &'static str,
    lower_bound_is: &'static str,
    lower_bound: &'static str,
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
            ours: vec![Variant {
                name: "recent issues, as scheduled",
                way: Way::Recent,
                goals: vec![],
            }],
            baseline: "select * from baseline.check_recent_signup_issues()",
            lower_bound_is: "a scan of auth.users for the window",
            lower_bound: "select count(*) from auth.users u where u.created_at > now() - interval '10 minutes'",
        },
        Plan {
            ours: vec![Variant {
                name: "health, as scheduled",
                way: Way::Health,
                goals: vec![],
            }],
            baseline: "select * from baseline.monitor_signup_health()",
            lower_bound_is: "anti-join of the ids in two indexes",
            lower_bound: IDS_APART,
        },
        Plan {
            ours: vec![
                Variant {
                    name: "users against profiles: how many have none",
                    way: Way::Sql("select rollcall.count_missing()"),
                    goals: vec![Goal::TimesLowerBound(1.15)],
                },
                Variant {
                    name: "all counts of users and profiles, and the newest ten without",
                    way: Way::Sql("select * from rollcall.user_counts()"),
                    goals: vec![],
                },
            ],
            baseline: "select count(*) from auth.users u left join public.profiles p on p.id = u.id where p.id is null",
            lower_bound_is: "anti-join of the ids in two indexes",
            lower_bound: IDS_APART,
        },
        Plan {
            ours: vec![Variant {
                name: "diagnose, with the audit log",
                way: Way::Sql("select * from public.diagnose_auth_profile_consistency()"),
                goals: vec![Goal::TimesBaseline(8.0)],
            }],
            baseline: "select * from baseline.diagnose_auth_profile_consistency()",
            lower_bound_is: "bare counts of the three tables",
            lower_bound: PLAIN_COUNTS,
        },
        Plan {
            ours: vec![Variant {
                name: "newest 20 mismatches, with the audit log",
                way: Way::Sql("select * from public.get_auth_profile_mismatches(20)"),
                goals: vec![],
            }],
            baseline: "select * from baseline.get_auth_profile_mismatches(20)",
            lower_bound_is: "bare counts of the three tables",
            lower_bound: PLAIN_COUNTS,
        },
    ]
}

/// Measures them all, without the baseline where that would take hours.
pub(crate) async fn measure(
    database: &Database,
    rounds: u32,
    with_baseline: bool,
) -> Result<Vec<Operation>> {
    let client = rollcall_sandbox::connect(&database.url_as("postgres")).await?;
    let mut rollcall = data::rollcall(database).await?;
    let mut operations = Vec::new();
    for plan in plans() {
        let mut ours = vec![Vec::new(); plan.ours.len()];
        let (mut baseline, mut lower_bound) = (Vec::new(), Vec::new());
        // the first round warms caches, and counts for nobody
        for round in 0..=rounds {
            for (variant, ours) in plan.ours.iter().zip(&mut ours) {
                let taken = time(&client, &mut rollcall, &variant.way).await?;
                if round > 0 {
                    ours.push(taken);
                }
            }
            if with_baseline {
                let taken = time(&client, &mut rollcall, &Way::Sql(plan.baseline)).await?;
                if round > 0 {
                    baseline.push(taken);
                }
            }
            let taken = time(&client, &mut rollcall, &Way::Sql(plan.lower_bound)).await?;
            if round > 0 {
                lower_bound.push(taken);
            }
        }
        let baseline = with_baseline.then(|| Timing::of(baseline));
        let lower_bound = Timing::of(lower_bound);
        operations.extend(
            plan.ours
                .into_iter()
                .zip(ours)
                .map(|(variant, taken)| Operation {
                    name: variant.name,
                    lower_bound_is: plan.lower_bound_is,
                    ours: Timing::of(taken),
                    baseline: baseline.clone(),
                    lower_bound: lower_bound.clone(),
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
    let start = Instant::now();
    match way {
        Way::Sql(sql) => {
            client.simple_query(sql).await.context(*sql)?;
        }
        Way::Recent => {
            RecentReport::take_scheduled(rollcall).await?;
        }
        Way::Health => {
            HealthReport::take(rollcall).await?;
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

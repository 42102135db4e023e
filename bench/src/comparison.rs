//! All users against all profiles, whatever the server believes about its tables.

use anyhow::Result;
use rollcall::checks::health::HealthReport;
use rollcall::checks::next_signup::AboutSignups;

use crate::reader::{MERGE, Reader, Way};
use crate::row::{Goal, Row};

/// What the tables are like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Vacuumed,
    /// With the statistics of an empty table.
    Unanalyzed,
    /// Every user was updated twice since the last vacuum.
    Bloated,
}

/// How many users have no profile.
pub(crate) const FULL: Way = Way::Sql("select rollcall.count_missing()");

const ALL_COUNTS: Way = Way::Sql("select * from rollcall.user_counts()");

const BASELINE: Way = Way::Sql(
    "select count(*) from auth.users u left join public.profiles p on p.id = u.id where p.id is null",
);

pub(crate) async fn measure(
    reader: &mut Reader,
    condition: Condition,
    rounds: u32,
) -> Result<Vec<Row>> {
    let [full, all_counts, baseline, merge] = reader
        .interleave(rounds, [FULL, ALL_COUNTS, BASELINE, Way::Sql(MERGE)])
        .await?;
    let (name, goal) = match condition {
        Condition::Vacuumed => ("", Goal::TimesLowerBound(1.15)),
        Condition::Unanalyzed => (", statistics of an empty table", in_time()),
        Condition::Bloated => (", all users updated twice, not vacuumed", in_time()),
    };
    let row = |what, ours| {
        Row::milliseconds(format!("{what}{name}"), ours)
            .lower_bound("merge of the ids in two indexes", merge.clone())
    };
    Ok(vec![
        row("full comparison", full).baseline(baseline).goal(goal),
        row("all counts of users and profiles", all_counts).goal(in_time()),
    ])
}

/// A scheduled report gives up after this.
fn in_time() -> Goal {
    Goal::AtMost(HealthReport::LIMIT.as_secs_f64() * 1000.0)
}

//! Reports and lists.

use anyhow::Result;

use crate::comparison::FULL;
use crate::reader::{Reader, Way};
use crate::row::{Goal, Row};
use crate::scheduled::Check;

const WINDOW_SCAN: Way = Way::Sql(
    "select count(*) from auth.users u where u.created_at > now() - interval '10 minutes'",
);

const PLAIN_COUNTS: Way = Way::Sql(
    "select (select count(*) from auth.users), (select count(*) from public.profiles),
       (select count(*) from auth.audit_log_entries)",
);

/// From the middle of all ids.
const PAGE: Way = Way::Sql(
    "select rollcall.missing_page(jsonb_populate_record(null::rollcall.run,
       '{\"last_user_id\": \"80000000-0000-0000-0000-000000000000\", \"signed_up_before\": \"infinity\", \"pass\": 0}'), 20)",
);

const NEWEST: Way = Way::Sql("select * from rollcall.mismatches(20)");

const DIAGNOSE: Way = Way::Sql("select * from public.diagnose_auth_profile_consistency()");

pub(crate) async fn measure(reader: &mut Reader, rounds: u32) -> Result<Vec<Row>> {
    let [recent, scan] = reader
        .interleave(rounds, [Way::Recent, WINDOW_SCAN])
        .await?;
    let [health, parts] = reader
        .interleave(rounds, [Way::Check(Check::Health), Way::Parts])
        .await?;
    let [page, newest, comparison] = reader.interleave(rounds, [PAGE, NEWEST, FULL]).await?;
    let [diagnose, counts] = reader.interleave(rounds, [DIAGNOSE, PLAIN_COUNTS]).await?;
    let recent_baseline = reader
        .once("select * from baseline.check_recent_signup_issues()")
        .await?;
    let newest_baseline = reader
        .once("select * from baseline.get_auth_profile_mismatches(20)")
        .await?;
    let diagnose_baseline = reader
        .once("select * from baseline.diagnose_auth_profile_consistency()")
        .await?;
    Ok(vec![
        Row::milliseconds("recent signups, stance make or watch", recent)
            .baseline(recent_baseline)
            .lower_bound("scan of auth.users for the window", scan)
            .goal(Goal::TimesLowerBound(1.1))
            .goal(Goal::AtMost(2.0)),
        Row::milliseconds("health report, everything, with its record", health)
            .lower_bound(
                "the merge, a scan of auth.users, the doctor without users",
                parts,
            )
            .goal(Goal::TimesLowerBound(1.25)),
        Row::milliseconds("20 missing users by id, from the middle", page).goal(Goal::AtMost(10.0)),
        Row::milliseconds("newest 20 missing users, with the audit log", newest)
            .baseline(newest_baseline)
            .lower_bound("full comparison", comparison)
            .goal(Goal::TimesLowerBound(1.1)),
        Row::milliseconds("diagnose, with the audit log", diagnose)
            .baseline(diagnose_baseline)
            .lower_bound("counts of the three tables", counts)
            .goal(Goal::TimesBaseline(8.0)),
    ])
}

//! `rollcall diagnose`

use jiff::Timestamp;
use rollcall::checks::UserCounts;
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::connection_string::ConnectionSettings;

use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, proof, signup_trigger, verdict_and_findings};
use crate::report::Report;
use crate::table::{self, moment, or_dash};

pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let report = session
        .run(async |database| {
            let report: Diagnosis = next_signup::take(database, Asker::Person).await?;
            report.with_side_tables(database).await
        })
        .await
        .unwrap_or_else(|error| Diagnosis::unknown(&error, Timestamp::now()));
    output.data(&Report::Diagnosis(&report), || text(&report))?;
    Ok(report.verdict.into())
}

pub(crate) fn text(report: &Diagnosis) -> String {
    let mut text = verdict_and_findings(report.verdict, &report.findings);
    if let Some(users) = &report.users {
        text += "\n";
        text += &table::of_facts(facts(report, users));
    }
    if let Some(errors) = report
        .recent_errors
        .as_deref()
        .filter(|errors| !errors.is_empty())
    {
        text += "\nNewest errors\n";
        text += &table::with_head(
            [
                "when (UTC)",
                "user",
                "event",
                "SQLSTATE",
                "constraint or column",
            ],
            errors.iter().map(|error| {
                [
                    moment(error.created_at),
                    error.user_id.to_string(),
                    error.kind.clone(),
                    or_dash(error.sqlstate.as_deref()),
                    or_dash(error.constraint.as_deref().or(error.column.as_deref())),
                ]
            }),
        );
    }
    text
}

fn facts(report: &Diagnosis, users: &UserCounts) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Users in auth.users", users.total.to_string()),
        ("  soft-deleted", users.soft_deleted.to_string()),
        ("Users who must have a profile", users.expected.to_string()),
        ("  with their profile", users.healthy.to_string()),
        ("  without", users.missing.to_string()),
    ];
    let kinds = [
        ("    anonymous", users.missing_anonymous),
        ("    phone only", users.missing_phone),
        ("    single sign-on", users.missing_sso),
        ("    unconfirmed", users.missing_unconfirmed),
    ];
    facts.extend(
        kinds
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| (name, count.to_string())),
    );
    facts.push(("Profiles", users.profiles.to_string()));
    facts.push(("  whose user is gone", users.orphaned.to_string()));
    facts.push((
        "  with another e-mail",
        report
            .email_mismatches
            .map_or_else(|| "no e-mail column".to_owned(), |count| count.to_string()),
    ));
    if let Some(age) = &report.email_drift {
        facts.push((
            "    at least since (UTC)",
            moment(age.oldest_at_least_since),
        ));
        facts.push((
            "    the newest since (UTC)",
            moment(age.newest_at_least_since),
        ));
    }
    if let Some(signups) = &report.signups {
        facts.push((
            "Signups of the last hour",
            format!(
                "{}, {} without a profile ({:.2} % healthy)",
                signups.recent_signups_count,
                signups.signups_missing_profiles,
                signups.health_percentage
            ),
        ));
    }
    facts.push((
        "Signup trigger",
        signup_trigger(report.signup_trigger.as_deref()),
    ));
    facts.extend(proof(report.evidence.as_ref(), report.check_time));
    for table in report.side_tables.iter().flatten() {
        facts.push(("A signup also writes", table.table.clone()));
        facts.push(("  users without a row", table.users_without.to_string()));
    }
    if let Some(log) = &report.audit_log {
        let or_unavailable = |count: Option<i64>| {
            count.map_or_else(|| "not available".to_owned(), |count| count.to_string())
        };
        facts.push(("Audit log", log.state.clone()));
        facts.push(("  users with a signup", or_unavailable(log.signups)));
        facts.push(("  no longer in auth.users", or_unavailable(log.audit_only)));
        facts.push((
            "  deletions on record",
            or_unavailable(log.recorded_deletions),
        ));
    }
    facts
}

//! `rollcall explain`

use anyhow::bail;
use rollcall::checks::explain::{self, Explanation};
use rollcall::connection_string::ConnectionSettings;
use serde_json::{Value, json};
use uuid::Uuid;

use super::payload;
use crate::arguments::{ExplainArguments, UserName};
use crate::connection;
use crate::exit::Exit;
use crate::output::{JsonReport, Output, verdict_and_findings_in_full};
use crate::table::{self, moment, or_dash};

pub(crate) async fn run(
    arguments: &ExplainArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let user_id = match &arguments.user {
        UserName::Id(user_id) => *user_id,
        UserName::Contact(contact) => {
            let found = session
                .run(async |database| explain::users_by_contact(database, contact).await)
                .await;
            match found {
                Ok(users) => the_only(&users)?,
                Err(error) => return output.blind(&error),
            }
        }
    };
    match session
        .run(async |database| explain::of_user(database, user_id).await)
        .await
    {
        Ok(report) => {
            output.data(&json(&report, output), || text(&report, output))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

fn the_only(users: &[Uuid]) -> anyhow::Result<Uuid> {
    match users {
        [user] => Ok(*user),
        [] => bail!(
            "no user has this address or number. A signup that was refused leaves no row: rollcall probe. A deleted user is found by id: rollcall mismatches"
        ),
        several => {
            let ids: Vec<String> = several.iter().map(Uuid::to_string).collect();
            bail!(
                "several users have this address; name one by his id: {}",
                ids.join(", ")
            )
        }
    }
}

fn json<'a>(report: &'a Explanation, output: &Output) -> JsonReport<'a, Value> {
    let facts = &report.facts;
    let timeline: Vec<Value> = report
        .timeline
        .iter()
        .map(|entry| {
            json!({
                "happened_at": entry.happened_at,
                "source": entry.source,
                "happening": entry.happening,
                "details": payload::shown(&entry.details, output),
                "email": output.personal(entry.email.as_ref()),
            })
        })
        .collect();
    JsonReport {
        verdict: report.verdict,
        findings: &report.findings,
        more: json!({
            "user_id": report.user_id,
            "email": output.personal(facts.email.as_ref()),
            "is_user": facts.is_user,
            "is_expected": facts.is_expected,
            "has_profile": facts.has_profile,
            "is_soft_deleted": facts.is_soft_deleted,
            "is_anonymous": facts.is_anonymous,
            "is_sso": facts.is_sso,
            "is_confirmed": facts.is_confirmed,
            "is_banned": facts.is_banned,
            "phone_only": facts.phone_only,
            "audit_log": facts.audit_log,
            "failure": facts.failure,
            "replay": report.replay,
            "timeline": timeline,
        }),
    }
}

fn text(report: &Explanation, output: &Output) -> String {
    let facts = &report.facts;
    let mut text = verdict_and_findings_in_full(report.verdict, &report.findings);
    let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    text += "\n";
    text += &table::of_facts([
        ("user", report.user_id.to_string()),
        ("e-mail", or_dash(output.personal(facts.email.as_ref()))),
        ("in auth.users", yes_no(facts.is_user)),
        ("confirmed", yes_no(facts.is_confirmed)),
        ("profile expected", yes_no(facts.is_expected)),
        ("has profile", yes_no(facts.has_profile)),
        (
            "signup in the audit log",
            logged(facts.signup_logged, &facts.audit_log),
        ),
        (
            "deletion in the audit log",
            logged(facts.deletion_logged, &facts.audit_log),
        ),
    ]);
    if report.timeline.is_empty() {
        return text;
    }
    text += "\n";
    text += &table::with_head(
        ["when (UTC)", "source", "what", "e-mail", "details"],
        report.timeline.iter().map(|entry| {
            [
                or_dash(entry.happened_at.map(moment)),
                entry.source.clone(),
                entry.happening.clone(),
                or_dash(output.personal(entry.email.as_ref())),
                payload::text(&entry.details, output),
            ]
        }),
    );
    text
}

/// What the audit log says, or that it cannot.
fn logged(is_logged: bool, audit_log: &str) -> String {
    match (is_logged, audit_log) {
        (true, _) => "yes".to_owned(),
        (false, "off") => "not available (audit log: off)".to_owned(),
        (false, state) => format!("no (audit log: {state})"),
    }
}

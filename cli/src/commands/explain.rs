//! `rollcall explain`

use clap::Args;
use jiff::Timestamp;
use rollcall::checks::explain::{self, Explanation, Replay, UserFacts};
use rollcall::connection_string::ConnectionSettings;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::payload;
use super::user::{self, UserName};
use crate::connection;
use crate::exit::Exit;
use crate::output::{Output, verdict_and_findings_in_full};
use crate::report::{Judged, Report};
use crate::table::{self, moment, or_dash};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall explain 7d444840-9dc0-11d1-b245-5ffdce74fad2
  rollcall explain ada@example.com")]
pub(crate) struct ExplainArguments {
    /// Id, e-mail address or phone number of the user
    #[arg(value_name = "USER")]
    user: UserName,
}

pub(crate) async fn run(
    arguments: &ExplainArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let mut session = connection::session(settings, output);
    let user_id = match user::find(&mut session, &arguments.user).await? {
        Ok(user_id) => user_id,
        Err(error) => return output.blind(&error),
    };
    match session
        .run(async |database| explain::of_user(database, user_id).await)
        .await
    {
        Ok(report) => {
            let answer = Report::Explanation(judged(&report, output));
            output.data(&answer, || text(&report, output))?;
            Ok(report.verdict.into())
        }
        Err(error) => output.blind(&error),
    }
}

/// One user, and why there is no profile.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ExplanationReport<'a> {
    /// The user.
    user_id: Uuid,
    /// The address in `auth.users`, masked without `--show-pii`.
    email: Option<String>,
    #[serde(flatten)]
    facts: &'a UserFacts,
    /// What came of replaying the signup of a user who has no profile and must have one; null for others.
    replay: Option<&'a Replay>,
    /// What happened, oldest first, the newest 200 entries.
    timeline: Vec<Entry<'a>>,
}

/// One entry of a user's timeline.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TimelineEntry")]
struct Entry<'a> {
    /// When; null where the source does not say.
    happened_at: Option<Timestamp>,
    /// `audit log`, `user`, `identity`, `event`, `profile` or `repair`.
    source: &'a str,
    /// What.
    happening: &'a str,
    /// Ids and codes. What Rollcall did not write itself is masked without `--show-pii`.
    details: Option<Value>,
    /// The address, where the source names one, masked without `--show-pii`.
    email: Option<String>,
}

fn judged<'a>(report: &'a Explanation, output: &Output) -> Judged<'a, ExplanationReport<'a>> {
    let timeline = report.timeline.iter().map(|entry| Entry {
        happened_at: entry.happened_at,
        source: &entry.source,
        happening: &entry.happening,
        details: payload::shown(&entry.details, output),
        email: output.personal(entry.email.as_ref()),
    });
    Judged {
        verdict: report.verdict,
        findings: &report.findings,
        more: ExplanationReport {
            user_id: report.user_id,
            email: output.personal(report.facts.email.as_ref()),
            facts: &report.facts,
            replay: report.replay.as_ref(),
            timeline: timeline.collect(),
        },
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

//! What `--format json` prints: one shape for every command and every failure. Its JSON Schema is made of these types.

use jiff::Timestamp;
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::doctor::DoctorReport;
use rollcall::checks::health::HealthReport;
use rollcall::checks::probe::ProbeReport;
use rollcall::checks::recent::RecentReport;
use rollcall::checks::verification::Verification;
use rollcall::dashboard::Overview;
use rollcall::definition::{Comparison, Draft};
use rollcall::finding::Finding;
use rollcall::stance::Stance;
use rollcall::verdict::Verdict;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::json;

use crate::commands::backfill::{DryRunReport, RepairReport, UserReport};
use crate::commands::check::ChecksReport;
use crate::commands::definition::{DefinitionInForce, NewDefinition};
use crate::commands::events::EventsReport;
use crate::commands::explain::ExplanationReport;
use crate::commands::export::ExportReport;
use crate::commands::migrate::MigrationReport;
use crate::commands::mismatches::MismatchesReport;
use crate::commands::rollback::RollbackReport;
use crate::commands::runs::{RunReport, RunsReport};
use crate::commands::sync_emails::{EmailLookReport, EmailSyncReport};
use crate::commands::trigger::{TriggerChangeReport, TriggersReport};
use crate::commands::undo::UndoReport;

/// What rollcall prints with --format json.
///
/// Every answer has a verdict and findings. A command that cannot give its own report answers with the verdict unknown and a
/// finding that says why.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "rollcall --format json", transform = has_verdict)]
pub(crate) struct Answer<'a> {
    /// The database that it is about; null where it is about none, or none is known.
    pub(crate) database: Option<&'a DatabaseName>,
    /// When it was printed, by this machine's clock.
    pub(crate) taken_at: Timestamp,
    /// How much of Rollcall is in the database, where that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stance: Option<Stance>,
    #[serde(flatten)]
    pub(crate) report: &'a Report<'a>,
}

/// The database that a command is about.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct DatabaseName {
    pub(crate) host: String,
    pub(crate) name: String,
}

/// The reports, and what is in each. The field `report` names it.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "report", rename_all = "snake_case")]
pub(crate) enum Report<'a> {
    /// `diagnose`
    Diagnosis(&'a Diagnosis),
    /// `doctor`, `ci`
    Doctor(&'a DoctorReport),
    /// `probe`
    Probe(&'a ProbeReport),
    /// `mismatches`
    Mismatches(Judged<'a, MismatchesReport<'a>>),
    /// `recent`
    Recent(&'a RecentReport),
    /// `health`, `demo`
    Health(&'a HealthReport),
    /// `verify`
    Verification(&'a Verification),
    /// `events`
    Events(Judged<'a, EventsReport<'a>>),
    /// `explain`
    Explanation(Judged<'a, ExplanationReport<'a>>),
    /// `dashboard`
    Dashboard(&'a Overview),
    /// `check`
    Checks(Judged<'a, ChecksReport<'a>>),
    /// `backfill`, a dry run
    DryRun(Judged<'a, DryRunReport>),
    /// `backfill --apply`
    Repair(Judged<'a, RepairReport<'a>>),
    /// `backfill --user`
    User(Judged<'a, UserReport<'a>>),
    /// `sync-emails`, a dry run
    EmailLook(Judged<'a, EmailLookReport<'a>>),
    /// `sync-emails --apply`
    EmailSync(Judged<'a, EmailSyncReport<'a>>),
    /// `runs`
    Runs(Judged<'a, RunsReport<'a>>),
    /// `runs show`, `runs pause`, `runs resume`, `runs cancel`
    Run(Judged<'a, RunReport<'a>>),
    /// `undo`
    Undo(Judged<'a, UndoReport<'a>>),
    /// `definition show`
    Definition(Judged<'a, DefinitionInForce<'a>>),
    /// `definition draft`
    Draft(Judged<'a, &'a Draft>),
    /// `definition check`
    Comparison(&'a Comparison),
    /// `definition set`
    NewDefinition(Judged<'a, NewDefinition<'a>>),
    /// `trigger status`
    Triggers(Judged<'a, TriggersReport<'a>>),
    /// `trigger install`, `trigger remove`, `trigger guard`, `trigger unguard`
    TriggerChange(Judged<'a, TriggerChangeReport<'a>>),
    /// `migrate`
    Migration(Judged<'a, MigrationReport<'a>>),
    /// `rollback`
    Rollback(Judged<'a, RollbackReport<'a>>),
    /// `export`
    Export(Judged<'a, ExportReport<'a>>),
    /// Whatever command could not give its own report
    Failure(Judged<'a, ()>),
}

impl<'a> Report<'a> {
    pub(crate) fn failure(findings: &'a [Finding]) -> Self {
        Self::Failure(Judged {
            verdict: Verdict::Unknown,
            findings,
            more: (),
        })
    }
}

/// A verdict and findings, before what is a report's own.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Judged<'a, T> {
    /// The conclusion.
    pub(crate) verdict: Verdict,
    /// What led to it, the most severe first.
    pub(crate) findings: &'a [Finding],
    #[serde(flatten)]
    pub(crate) more: T,
}

impl<T> Judged<'_, T> {
    /// The report of a command that judges nothing: it did what it was asked to.
    pub(crate) fn done(more: T) -> Self {
        Self {
            verdict: Verdict::Consistent,
            findings: &[],
            more,
        }
    }
}

/// Says of every answer what each of the reports says of itself.
fn has_verdict(schema: &mut Schema) {
    for (name, definition) in [
        ("verdict", json!({ "$ref": "#/$defs/Verdict" })),
        (
            "findings",
            json!({ "type": "array", "items": { "$ref": "#/$defs/Finding" } }),
        ),
    ] {
        let schema = schema.ensure_object();
        schema["properties"][name] = definition;
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(name.into());
        }
    }
}

/// The JSON Schema of [`Answer`].
pub(crate) fn schema() -> Schema {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<Answer<'_>>()
}

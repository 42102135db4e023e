//! What the reports say, and what they have to say of a shape.

use std::fmt;

use anyhow::Result;
use rollcall_tests::command_line::Finished;
use serde_json::Value;

use crate::stage::{Stage, id};

/// Every report, asked about user 1.
const REPORTS: [&str; 9] = [
    "diagnose",
    "mismatches",
    "recent",
    "health",
    "verify",
    "doctor",
    "explain",
    "events",
    "backfill",
];

/// Reports that judge the whole project.
const JUDGES: [&str; 6] = [
    "diagnose",
    "mismatches",
    "recent",
    "health",
    "verify",
    "doctor",
];

/// A report in parts.
pub(crate) struct Report {
    pub(crate) finished: Finished,
    pub(crate) json: Value,
}

impl Report {
    pub(crate) fn verdict(&self) -> &str {
        self.json["verdict"].as_str().unwrap_or("no verdict")
    }

    /// The ids of findings above info.
    pub(crate) fn findings(&self) -> Vec<&str> {
        let findings = self.json["findings"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let grave = findings
            .iter()
            .filter(|finding| finding["severity"] != "info");
        grave.filter_map(|finding| finding["id"].as_str()).collect()
    }
}

/// Its verdict and what it found above info.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict())?;
        let findings = self.json["findings"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for finding in findings {
            write!(
                f,
                "\n{} {}: {} {}",
                finding["severity"], finding["id"], finding["summary"], finding["evidence"]
            )?;
        }
        let repair = &self.json["backfill"];
        if let Some(failures) = repair["failures"].as_array() {
            write!(
                f,
                "\ncreated {} failed {}",
                repair["created"], repair["failed"]
            )?;
            for failure in failures.iter().take(2) {
                write!(
                    f,
                    "\n{} {}: {} {}",
                    failure["user_id"],
                    failure["sqlstate"],
                    failure["reason"],
                    failure["functions"]
                )?;
            }
        }
        for line in self.finished.stderr.lines() {
            write!(f, "\nstderr: {line}")?;
        }
        Ok(())
    }
}

impl Stage<'_> {
    /// One report as JSON; what lacks its head or its exit status is noted.
    pub(crate) async fn report(&mut self, arguments: &[&str]) -> Result<Report> {
        let arguments = [arguments, &["--format", "json"]].concat();
        let finished = self.rollcall(&arguments).await?;
        let json = finished.json()?;
        let head = ["verdict", "findings", "database", "taken_at"];
        let lacks: Vec<_> = head
            .into_iter()
            .filter(|key| json[*key].is_null())
            .collect();
        self.expect(lacks.is_empty(), || {
            format!("{} lacks {lacks:?}", finished.arguments)
        });
        let expected = match json["verdict"].as_str() {
            Some("consistent") => 0,
            Some("inconsistent") => 1,
            _ => 2,
        };
        // a dry run that was done ends as done, whatever it saw
        let is_dry_run = arguments[0] == "backfill" && !arguments.contains(&"--apply");
        self.expect(
            finished.status == Some(expected) || is_dry_run && finished.status == Some(0),
            || format!("exit status and verdict differ: {finished}"),
        );
        Ok(Report { finished, json })
    }

    /// Notes what a report says of a healthy project that it should not. A look may say that it found no definition.
    pub(crate) async fn judge(&mut self, name: &'static str, may_be_unknown: bool) -> Result<()> {
        let user = id(1).to_string();
        let report = match name {
            "explain" | "events" => self.report(&[name, &user]).await?,
            _ => self.report(&[name]).await?,
        };
        if self.shape.broken {
            return Ok(());
        }
        let grave: Vec<_> = report
            .findings()
            .into_iter()
            .filter(|id| !self.is_right_to_warn(id))
            .collect();
        let no_definition = report.verdict() == "unknown" && grave == ["no_definition"];
        let healthy = report.verdict() == "consistent" && grave.is_empty();
        let is_right = match (&self.target, JUDGES.contains(&name)) {
            (Some(_), _) => healthy || may_be_unknown && no_definition,
            (None, true) => no_definition || name == "doctor" && healthy,
            (None, false) => no_definition || healthy,
        };
        self.expect(is_right, || {
            format!("{name} of a healthy project: {report}")
        });
        Ok(())
    }

    /// Whether a warning is none too many: somebody changed their e-mail address, and not every application follows; a
    /// repair by the definition cannot do what this one does; or the shape says so.
    fn is_right_to_warn(&self, finding: &str) -> bool {
        finding == "email_mismatches"
            || self.shape.needs_replay && finding == "unfilled_columns"
            || self.shape.warned.iter().any(|id| id == finding)
    }

    /// Looks at a healthy project with two reports that every shape is asked for, and two that take turns.
    pub(crate) async fn look_around(&mut self) -> Result<()> {
        let turn = self.shape.name.bytes().map(usize::from).sum::<usize>();
        let in_turn = |name: &str| {
            REPORTS
                .iter()
                .position(|other| *other == name)
                .unwrap_or_default()
        };
        for name in REPORTS {
            let is_due =
                matches!(name, "diagnose" | "doctor") || (in_turn(name) + turn) % REPORTS.len() < 2;
            if is_due {
                self.judge(name, true).await?;
            }
        }
        Ok(())
    }
}

/// On a healthy project nothing is found, and looking changes nothing of the application's.
pub(crate) async fn reports(stage: &mut Stage<'_>) -> Result<()> {
    let before = stage.subject.state().await?;
    for name in REPORTS {
        stage.judge(name, false).await?;
    }
    stage.expect_unchanged("a report", &before).await?;

    let events: Vec<String> = rollcall_tests::sql::values(
        &stage.subject.client,
        "select kind from rollcall.event limit 5",
    )
    .await?;
    stage.expect(events.is_empty(), || {
        format!("watching wrote events of signups: {events:?}")
    });

    let probe = stage.report(&["probe"]).await?;
    if let (Some(word), true) = (&stage.shape.named, stage.shape.broken) {
        let doctor = stage.report(&["doctor"]).await?;
        let named = doctor.finished.stdout.contains(word.as_str());
        stage.expect(doctor.verdict() == "inconsistent" && named, || {
            format!("doctor does not name {word}: {doctor}")
        });
        stage.expect(probe.verdict() == "inconsistent", || {
            format!("probe: {probe}")
        });
    } else if stage.target.is_some() {
        let content = probe.verdict() == "consistent" && probe.findings().is_empty();
        stage.expect(content, || format!("probe of a healthy project: {probe}"));
    }
    stage.expect_same_rows("after a probe").await?;
    stage.align_sequences().await
}

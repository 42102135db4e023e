//! Where words go: data to stdout as tables or JSON, talk and errors to stderr.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use console::Style;
use jiff::Timestamp;
use rollcall::checks::next_signup::{Evidence, ProvedBy};
use rollcall::connection_string::ConnectionSettings;
use rollcall::database::Warning;
use rollcall::error::Error;
use rollcall::finding::{self, Finding, Severity};
use rollcall::masked::{Masked, PersonalData};
use rollcall::stance::Stance;
use rollcall::verdict::Verdict;
use rollcall::wording::lasting;

use crate::exit::Exit;
use crate::report::{Answer, DatabaseName, Report};
use crate::table::moment;
use crate::terminal::{one_line, printable, sql, talk, whole_words, width, wrapped};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What a report says on stderr where Rollcall is not installed.
const LOOKING: &str = "Rollcall is not installed here: this looks through a copy that is rolled back; nothing is left behind.";

/// The one place that prints.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    show_pii: bool,
    database: OnceLock<DatabaseName>,
    is_headed: OnceLock<()>,
    stance: Arc<OnceLock<Stance>>,
}

impl Output {
    pub(crate) fn new(format: Format, show_pii: bool) -> Self {
        Self {
            format,
            show_pii,
            database: OnceLock::new(),
            is_headed: OnceLock::new(),
            stance: Arc::default(),
        }
    }

    /// From now on, answers are about this database.
    pub(crate) fn is_about(&self, settings: &ConnectionSettings) {
        self.database.get_or_init(|| DatabaseName {
            host: settings.host_name(),
            name: settings.database_name().to_owned(),
        });
    }

    /// What a session does when it has found out how Rollcall stands.
    pub(crate) fn on_stance(&self) -> impl Fn(Stance) + Send + Sync + 'static {
        let known = Arc::clone(&self.stance);
        move |stance| {
            if known.set(stance).is_ok() && stance == Stance::Look {
                talk(LOOKING);
            }
        }
    }

    /// How results are printed.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether Rollcall is not installed, as far as is known.
    pub(crate) fn looks(&self) -> bool {
        self.stance.get() == Some(&Stance::Look)
    }

    /// Whether this person asked to see personal data.
    pub(crate) fn shows_pii(&self) -> bool {
        self.show_pii
    }

    /// Personal data as this person asked to see it.
    pub(crate) fn personal<T: PersonalData>(&self, value: Option<&Masked<T>>) -> Option<String> {
        value.map(|value| {
            if self.show_pii {
                value.reveal().to_owned()
            } else {
                value.to_string()
            }
        })
    }

    /// Prints an answer: as JSON, or as the text that `table` makes; with the database and the time at the top.
    pub(crate) fn data(
        &self,
        report: &Report<'_>,
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => self.json(report, Timestamp::now())?,
            Format::Table => self.heading() + &table(),
        };
        unless_closed(io::stdout().write_all(text.as_bytes()))
    }

    /// Which database, and when; once, above the first text.
    fn heading(&self) -> String {
        match self.database.get() {
            Some(database) if self.is_headed.set(()).is_ok() => format!(
                "Database {} on {}, {} UTC\n\n",
                database.name,
                database.host,
                moment(Timestamp::now())
            ),
            _ => String::new(),
        }
    }

    fn json(&self, report: &Report<'_>, taken_at: Timestamp) -> anyhow::Result<String> {
        let answer = Answer {
            database: self.database.get(),
            taken_at,
            stance: self.stance.get().copied(),
            report,
        };
        Ok(serde_json::to_string_pretty(&answer)? + "\n")
    }

    /// A document for another program, which has a form of its own whatever `--format` says.
    pub(crate) fn document(&self, text: &[u8]) -> anyhow::Result<()> {
        unless_closed(io::stdout().write_all(text))
    }

    /// Text on the way to a result: a program that asked for JSON gets the result alone.
    pub(crate) fn narrate(&self, text: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Table => {
                let text = self.heading() + text;
                unless_closed(io::stdout().write_all(text.as_bytes()))
            }
            Format::Json => Ok(()),
        }
    }

    /// The head of a chapter on the way to a result.
    pub(crate) fn chapter(&self, title: &str) -> anyhow::Result<()> {
        let title = format!("\n{}\n\n", Style::new().bold().apply_to(title));
        self.narrate(&wrapped(&title, "   "))
    }

    /// A line of talk.
    pub(crate) fn say(&self, line: &str) {
        talk(line);
    }

    /// What the database warned of on the way to a result.
    pub(crate) fn warning(&self, warning: &Warning) {
        self.say(&format!(
            "{} {}",
            Style::new()
                .for_stderr()
                .yellow()
                .bold()
                .apply_to("warning:"),
            warning.message
        ));
        if let Some(hint) = &warning.hint {
            self.say(&format!(" next: {hint}"));
        }
    }

    /// The end of a failed command: words on stderr, and for a program the same answer that every command has.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        self.error(error);
        self.failure_data(error);
    }

    /// The part of it that is for a program.
    pub(crate) fn failure_data(&self, error: &anyhow::Error) {
        if self.format == Format::Json {
            let findings = [match error.downcast_ref::<Error>() {
                Some(known) => finding::check_failed(known),
                None => finding::failed(format!("{error:#}")),
            }];
            // a closed stdout is no news after a failure
            let _ = self.data(&Report::failure(&findings), String::new);
        }
    }

    fn error(&self, error: &anyhow::Error) {
        self.say(&format!(
            "{} {error:#}",
            Style::new().for_stderr().red().bold().apply_to("error:")
        ));
        if let Some(known) = error.downcast_ref::<Error>() {
            if let Some(database) = self.database.get() {
                self.say(&format!(
                    " database: {} on {}",
                    database.name, database.host
                ));
            }
            self.say(&format!(" next: {}", known.next_step()));
        }
    }

    /// The report of a check that could not look: the verdict is `unknown`.
    pub(crate) fn blind(&self, error: &Error) -> anyhow::Result<Exit> {
        let findings = [finding::check_failed(error)];
        self.data(&Report::failure(&findings), || {
            verdict_and_findings(Verdict::Unknown, &findings)
        })?;
        Ok(Exit::Failure)
    }
}

/// What a dry run says where Rollcall is not installed, and nothing was tried.
pub(crate) const INSTALL_TO_TRY: &str =
    "To try it, and to do it, install Rollcall first: rollcall migrate\n";

fn unless_closed(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        // the reader had enough
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}

/// `Verdict: …`, then each finding with its next step.
pub(crate) fn verdict_and_findings(verdict: Verdict, findings: &[Finding]) -> String {
    listed(verdict, findings, false)
}

/// The same, with all that is known of each finding: what it means, what was seen, the SQL that fixes it.
pub(crate) fn verdict_and_findings_in_full(verdict: Verdict, findings: &[Finding]) -> String {
    listed(verdict, findings, true)
}

/// A next step without its sentences that lead to what was done just now.
fn other_steps(next_step: &str) -> String {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|given| given == word);
    let done = if has("backfill") && has("--apply") {
        "rollcall backfill"
    } else if has("explain") {
        "rollcall explain"
    } else if has("mismatches") {
        "rollcall mismatches"
    } else if has("diagnose") {
        "rollcall diagnose"
    } else if has("doctor") || has("ci") {
        "rollcall doctor"
    } else {
        return next_step.to_owned();
    };
    let others: Vec<&str> = next_step
        .split_inclusive(". ")
        .filter(|sentence| !sentence.contains(done))
        .collect();
    if others.is_empty() {
        next_step.to_owned()
    } else {
        others.concat()
    }
}

fn listed(verdict: Verdict, findings: &[Finding], in_full: bool) -> String {
    let style = Style::new().bold();
    let style = match verdict {
        Verdict::Consistent => style.green(),
        Verdict::Inconsistent => style.red(),
        Verdict::Unknown => style.yellow(),
    };
    let width = width();
    let mut text = format!("Verdict: {}\n", style.apply_to(verdict));
    for finding in findings {
        let severity = match finding.severity {
            Severity::Critical => Style::new().red().apply_to("critical"),
            Severity::Warning => Style::new().yellow().apply_to("warning"),
            Severity::Info => Style::new().dim().apply_to("info"),
        };
        let head_options = whole_words(width);
        let next_step = head_options
            .clone()
            .initial_indent("    ")
            .subsequent_indent("    ");
        let head = format!("{severity} {}: {}", finding.id, finding.summary);
        text += &format!("\n{}\n", textwrap::fill(&head, head_options));
        if in_full {
            if let Some(meaning) = &finding.meaning {
                text += &format!("{}\n", textwrap::fill(meaning, &next_step));
            }
            for seen in &finding.evidence {
                let seen = format!("      seen: {}\n", one_line(seen));
                text += &wrapped(&seen, "  ");
            }
        }
        text += &format!(
            "{}\n",
            textwrap::fill(&other_steps(&finding.next_step), &next_step)
        );
        if let Some(fix) = finding.fix.as_ref().filter(|_| in_full) {
            let fix = printable(fix).trim_end().replace('\n', "\n      ");
            text += &sql(&format!("      {fix}\n"));
        }
    }
    text
}

/// A line of a plan: what becomes of something, and what that is.
pub(crate) fn labelled(label: &str, words: &str) -> String {
    let options = whole_words(width()).subsequent_indent("              ");
    let line = format!("  {label:<12}{}", one_line(words));
    format!("{}\n", textwrap::fill(&line, options))
}

/// `Audit log: …`, and what that costs where it is not written.
pub(crate) fn audit_log_line(state: Option<&str>, cost: &str) -> String {
    match state {
        Some("on") => "\nAudit log: on.\n".to_owned(),
        Some(state) => wrapped(&format!("\nAudit log: {state}; {cost}.\n"), ""),
        None => String::new(),
    }
}

/// What has shown that signups get their profiles, and how long ago. None where nobody could look.
pub(crate) fn proof(evidence: Option<&Evidence>, now: Timestamp) -> Option<(&'static str, String)> {
    let evidence = evidence?;
    let ago = |moment: Timestamp| {
        let age = now.duration_since(moment);
        if age.as_mins() < 1 {
            "just now".to_owned()
        } else {
            format!("{} ago", lasting(age))
        }
    };
    let value = match (evidence.proved_at, evidence.proved_by) {
        (Some(at), Some(ProvedBy::Probe)) => format!("tried {}", ago(at)),
        (Some(at), _) => format!("a person signed up {}", ago(at)),
        (None, _) => "not shown".to_owned(),
    };
    Some(("A signup gets its profile", value))
}

/// Which trigger makes the profiles, in words.
pub(crate) fn signup_trigger(state: Option<&str>) -> String {
    match state {
        None => "-",
        Some("in_place") => "Rollcall's",
        Some("application") => "the application's",
        Some(state) => state,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use rollcall::stance::Stance;
    use secrecy::SecretString;
    use serde_json::{Value, json};

    use super::*;
    use crate::commands::runs::RunsReport;
    use crate::report::Judged;

    fn json(output: &Output, report: &Report<'_>) -> Value {
        let text = output.json(report, Timestamp::UNIX_EPOCH).expect("JSON");
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn every_answer_names_its_database_its_time_and_a_verdict() {
        let output = Output::new(Format::Json, false);
        assert_eq!(
            json(&output, &Report::failure(&[])),
            json!({ "database": null, "taken_at": "1970-01-01T00:00:00Z", "report": "failure", "verdict": "unknown", "findings": [] })
        );

        let url = SecretString::from("postgresql://postgres:secret@127.0.0.1:5432/app");
        output.is_about(&ConnectionSettings::parse(&url, None).expect("settings"));
        output.on_stance()(Stance::Watch);
        let runs = Report::Runs(Judged::done(RunsReport { runs: &[] }));
        let answer = json(&output, &runs);
        assert_eq!(
            answer["database"],
            json!({ "host": "127.0.0.1", "name": "app" })
        );
        assert_eq!(answer["stance"], "watch");
        assert_eq!(answer["verdict"], "consistent");
        assert_eq!(answer["report"], "runs");
    }
}

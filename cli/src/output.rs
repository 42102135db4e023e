//! Where words go: data to stdout as tables or JSON, talk and errors to stderr.

use std::io::{self, Write};

use console::{Style, Term};
use rollcall::database::Warning;
use rollcall::error::Error;
use rollcall::finding::{self, Finding, Severity};
use rollcall::masked::{Masked, PersonalData};
use rollcall::verdict::Verdict;
use serde::Serialize;
use serde_json::json;
use textwrap::{Options, WordSplitter};

use crate::arguments::Format;
use crate::exit::Exit;

/// The head that every JSON report has, before what is its own.
#[derive(Serialize)]
pub(crate) struct JsonReport<'a, T> {
    pub(crate) verdict: Verdict,
    pub(crate) findings: &'a [Finding],
    #[serde(flatten)]
    pub(crate) more: T,
}

/// The one place that prints.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    show_pii: bool,
}

impl Output {
    pub(crate) fn new(format: Format, show_pii: bool) -> Self {
        Self { format, show_pii }
    }

    /// How results are printed.
    pub(crate) fn format(&self) -> Format {
        self.format
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

    /// Prints data: as JSON, or as the text that `table` makes.
    pub(crate) fn data(
        &self,
        json: &impl Serialize,
        table: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => serde_json::to_string_pretty(json)? + "\n",
            Format::Table => table(),
        };
        unless_closed(io::stdout().write_all(text.as_bytes()))
    }

    /// A document for another program, which has a form of its own whatever `--format` says.
    pub(crate) fn document(&self, text: &[u8]) -> anyhow::Result<()> {
        unless_closed(io::stdout().write_all(text))
    }

    /// Text on the way to a result: a program that asked for JSON gets the result alone.
    pub(crate) fn narrate(&self, text: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Table => unless_closed(io::stdout().write_all(text.as_bytes())),
            Format::Json => Ok(()),
        }
    }

    /// The head of a chapter on the way to a result.
    pub(crate) fn chapter(&self, title: &str) -> anyhow::Result<()> {
        self.narrate(&format!("\n{}\n\n", Style::new().bold().apply_to(title)))
    }

    /// A line of talk.
    pub(crate) fn say(&self, line: &str) {
        // nobody is left to hear of a closed stderr
        let _ = writeln!(io::stderr(), "{line}");
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

    /// The end of a failed command.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.say(&format!(
            "{} {error:#}",
            Style::new().for_stderr().red().bold().apply_to("error:")
        ));
        if let Some(known) = error.downcast_ref::<Error>() {
            self.say(&format!(" next: {}", known.next_step()));
        }
    }

    /// The report of a check that could not look: the verdict is `unknown`.
    pub(crate) fn blind(&self, error: &Error) -> anyhow::Result<Exit> {
        let findings = [finding::check_failed(error)];
        let report = JsonReport {
            verdict: Verdict::Unknown,
            findings: &findings,
            more: json!({}),
        };
        self.data(&report, || {
            verdict_and_findings(Verdict::Unknown, &findings)
        })?;
        Ok(Exit::Failure)
    }
}

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

/// The same, with all that is known of each finding: what it means, what was seen, the SQL that mends it.
pub(crate) fn verdict_and_findings_in_full(verdict: Verdict, findings: &[Finding]) -> String {
    listed(verdict, findings, true)
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
        // a flag such as --database-url stays in one piece
        let head_options = Options::new(width).word_splitter(WordSplitter::NoHyphenation);
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
                text += &format!("      seen: {}\n", one_line(seen));
            }
        }
        text += &format!("{}\n", textwrap::fill(&finding.next_step, &next_step));
        // as it is, to be copied
        if let Some(fix) = finding.fix.as_ref().filter(|_| in_full) {
            text += &format!(
                "      {}\n",
                printable(fix).trim_end().replace('\n', "\n      ")
            );
        }
    }
    text
}

/// `Audit log: …`, and what that costs where it is not written.
pub(crate) fn audit_log_line(state: Option<&str>, cost: &str) -> String {
    match state {
        Some("on") => "\nAudit log: on.\n".to_owned(),
        Some(state) => format!("\nAudit log: {state}; {cost}.\n"),
        None => String::new(),
    }
}

/// Names from the catalog may hold anything; nothing of it steers a terminal.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

fn one_line(text: &str) -> String {
    printable(text).replace('\n', " ")
}

/// Columns of the terminal; 100 where there is none, as long as a help line.
fn width() -> usize {
    Term::stdout()
        .size_checked()
        .map_or(100, |(_, columns)| usize::from(columns))
        .clamp(40, 100)
}

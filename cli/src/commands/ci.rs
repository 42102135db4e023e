//! `rollcall ci`

use std::env;

use jiff::Timestamp;
use rollcall::checks::doctor::DoctorReport;
use rollcall::checks::next_signup::Asker;
use rollcall::connection_string::ConnectionSettings;
use rollcall::finding::{Finding, Severity};

use super::doctor;
use crate::exit::Exit;
use crate::output::{Format, Output};
use crate::report::Report;

/// The doctor's report with a signup that is tried whatever was seen before; where GitHub Actions runs it, an annotation for
/// each finding that somebody should look at.
pub(crate) async fn run(settings: ConnectionSettings, output: &Output) -> anyhow::Result<Exit> {
    let report = doctor::take(settings, Asker::Deployment, output)
        .await
        .unwrap_or_else(|error| DoctorReport::unknown(&error, Timestamp::now()));
    output.data(&Report::Doctor(&report), || doctor::text(&report))?;
    if env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        let worth = |finding: &&Finding| finding.severity > Severity::Info;
        for finding in report.findings.iter().filter(worth) {
            let line = annotation(finding);
            match output.format() {
                Format::Table => output.document(line.as_bytes())?,
                // stdout holds the one document; GitHub reads stderr, too
                Format::Json => output.say(line.trim_end()),
            }
        }
    }
    Ok(report.verdict.into())
}

/// A workflow command, as GitHub documents them ("Workflow commands for GitHub Actions").
fn annotation(finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Critical => "error",
        Severity::Warning | Severity::Info => "warning",
    };
    let sentences = [
        Some(&finding.summary),
        finding.meaning.as_ref(),
        Some(&finding.next_step),
    ];
    let text: Vec<&str> = sentences
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let text = text
        .join("\n")
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    format!("::{level} title=rollcall {}::{text}\n", finding.id)
}

#[cfg(test)]
mod tests {
    use rollcall::finding;

    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_names_it_holds() {
        let mut finding = finding::missing_profiles(3);
        finding.meaning = Some("50% of\r\n::error::nobody".to_owned());
        let line = annotation(&finding);
        assert_eq!(line.lines().count(), 1);
        assert!(line.starts_with("::error title=rollcall missing_profiles::3 users without a profile%0A50%25 of%0D%0A"), "{line}");
    }
}

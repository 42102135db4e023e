//! The parts of the page and of the widget.

use jiff::Timestamp;
use maud::{Markup, html};

use super::chart;
use super::history::History;
use super::incidents::OpenIncident;
use super::overview::{Overview, Place, RecentSignups, capitalised};
use super::repairs::Repair;
use crate::checks::doctor::SignupPath;
use crate::checks::next_signup::{Evidence, ProvedBy};
use crate::finding::{Finding, Severity};
use crate::verdict::Verdict;
use crate::wording::lasting;

const NOT_KNOWN: &str = "not known";

/// Which project and database it is about.
pub(super) fn place(place: &Place) -> Markup {
    html! {
        @if let Some(project) = &place.project { p.project { (project) } }
        @if let Some(database) = &place.database { p { "Database " (database) } }
    }
}

/// The conclusion, which a screen reader announces when it changes.
pub(super) fn verdict(overview: &Overview) -> Markup {
    let verdict = overview.health.verdict;
    html! {
        div #verdict .banner .(verdict.as_str()) role="status" aria-live="polite" data-verdict=(verdict) {
            (sign(verdict))
            div {
                p.word { (capitalised(verdict.as_str()).trim_end_matches('.')) }
                p { (overview.sentence()) }
            }
        }
    }
}

/// The verdict as a shape, for whoever does not see its colour.
pub(super) fn sign(verdict: Verdict) -> Markup {
    let sign = match verdict {
        Verdict::Consistent => "✓",
        Verdict::Inconsistent => "✕",
        Verdict::Unknown => "?",
    };
    html! { span.sign aria-hidden="true" { (sign) } }
}

/// Everything below the conclusion.
pub(super) fn report(overview: &Overview) -> Markup {
    html! {
        p.when {
            "Checked " (time(overview.health.check_time))
        }
        @if overview.health.users.is_some() { (figures(overview)) }
        (findings(overview))
        // where nobody could look at all, the findings say why, and "not known" everywhere says no more
        @if overview.saw_anything() {
            // why some of them are not known comes before them
            @if overview.health.users.is_none() { (figures(overview)) }
            (next_signup(overview))
            (incidents(overview.incidents.as_deref()))
            (causes(overview.causes.as_deref()))
            (recent(overview.recent.as_ref()))
            (history(overview.history.as_ref()))
            (repairs(overview.repairs.as_deref()))
        }
    }
}

/// The numbers of now.
pub(super) fn figures(overview: &Overview) -> Markup {
    let health = &overview.health;
    let users = health.users.as_ref();
    let missing = users.map(|users| users.missing);
    let figures = [
        (
            "Users without a profile",
            number(missing),
            missing.is_some_and(|count| count > 0),
        ),
        (
            "Users who must have one",
            number(users.map(|users| users.expected)),
            false,
        ),
        (
            "Signups, last hour",
            number(health.recent_signups_count),
            false,
        ),
        (
            "of these without a profile",
            number(health.signups_missing_profiles),
            health
                .signups_missing_profiles
                .is_some_and(|count| count > 0),
        ),
        (
            "Healthy, last hour",
            health
                .health_percentage
                .map_or_else(|| NOT_KNOWN.to_owned(), |share| format!("{share:.2} %")),
            false,
        ),
        (
            "Signup trigger",
            health
                .signup_trigger
                .as_deref()
                .map_or(NOT_KNOWN, |state| match state {
                    "in_place" => "Rollcall's",
                    "application" => "yours",
                    "disabled" => "switched off",
                    other => other,
                })
                .to_owned(),
            false,
        ),
    ];
    html! {
        section aria-label="Now" {
            dl.figures {
                @for (name, value, is_bad) in figures {
                    div .bad[is_bad] .dim[value == NOT_KNOWN] { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

/// What the checks found, each with its next step; causes have a section of their own.
fn findings(overview: &Overview) -> Markup {
    let causes = overview.causes.as_deref().unwrap_or_default();
    let rest: Vec<&Finding> = overview
        .health
        .findings
        .iter()
        .filter(|finding| !causes.iter().any(|cause| cause.id == finding.id))
        .collect();
    html! {
        section aria-labelledby="findings" {
            h2 #findings { "Findings" }
            @if rest.is_empty() {
                p { "None." }
            } @else {
                (list(rest))
            }
        }
    }
}

/// What Rollcall does at a signup, what has shown that one gets its profile, and what one writes.
fn next_signup(overview: &Overview) -> Markup {
    let evidence = overview.health.evidence.as_ref();
    html! {
        section aria-labelledby="next-signup" {
            h2 #next-signup { "The next signup" }
            @match &overview.signup_path {
                None => (not_known()),
                Some(path) => dl.facts {
                    div { dt { "Rollcall" } dd { (stance(path)) } }
                    div { dt { "Evidence" } dd { (proof(evidence, overview.health.check_time)) } }
                    div { dt { "It writes" } dd { (written(path, evidence)) } }
                }
            }
        }
    }
}

fn stance(path: &SignupPath) -> Markup {
    html! {
        @if path.makes_profiles {
            "Makes: its trigger creates the profile where yours has not."
        } @else if path.guarded.is_empty() {
            "Watches: it changes nothing that happens at a signup."
        }
        @if !path.guarded.is_empty() {
            " Guards " (names(path.guarded.iter())) ": an error there is recorded and refuses nobody."
        }
    }
}

/// What has shown that a signup gets its profile, and how long ago.
fn proof(evidence: Option<&Evidence>, now: Timestamp) -> Markup {
    let ago = |moment: Timestamp| {
        let age = now.duration_since(moment);
        html! {
            @if age.as_mins() < 1 { "just now" } @else { (lasting(age)) " ago" }
            " (" (time(moment)) ")"
        }
    };
    html! {
        @match evidence.map(|evidence| (evidence, evidence.proved_at, evidence.proved_by)) {
            None => (NOT_KNOWN),
            Some((_, Some(at), Some(ProvedBy::Probe))) => {
                "A signup of every kind was tried " (ago(at)) ", and got its profile."
            }
            Some((_, Some(at), _)) => { "A person signed up " (ago(at)) ", and got a profile." }
            Some((evidence, None, _)) => {
                "None: no signup is known to have got its profile since triggers, functions or tables were last seen to change, "
                (ago(evidence.path_since)) ". " code { "rollcall probe" } " tries one."
            }
        }
    }
}

fn written(path: &SignupPath, evidence: Option<&Evidence>) -> Markup {
    let others = evidence
        .map(|evidence| &evidence.side_tables)
        .filter(|tables| !tables.is_empty());
    html! {
        @match &path.profile_table {
            None => "No table is defined that holds the profiles.",
            Some(table) => { "The profile in " (names([table].into_iter())) "." }
        }
        @if let Some(tables) = others {
            " As last seen, rows in " (names(tables.keys())) ", too."
        }
    }
}

/// Names from the catalog, one after the other.
fn names<'a>(names: impl Iterator<Item = &'a String>) -> Markup {
    html! {
        @for (number, name) in names.enumerate() {
            @if number > 0 { ", " }
            code { (name) }
        }
    }
}

/// What people were alerted about and is not over.
fn incidents(incidents: Option<&[OpenIncident]>) -> Markup {
    html! {
        section aria-labelledby="incidents" {
            h2 #incidents { "Open incidents" }
            @match incidents {
                None => (not_known()),
                Some([]) => p { "None." },
                Some(incidents) => (table(
                    "Incidents that people were alerted about and that are not over, newest first",
                    &["Opened", "Last seen", "Severity", "Check", "Found", "Users", "Unsent"],
                    incidents.iter().map(|incident| vec![
                        time(incident.opened_at),
                        time(incident.seen_at),
                        html! { (incident.severity) },
                        html! { (incident.check) },
                        html! { (incident.finding_ids.join(", ")) },
                        html! { (number(incident.missing)) },
                        html! { (incident.unsent_messages) },
                    ]),
                )),
            }
        }
    }
}

fn causes(causes: Option<&[Finding]>) -> Markup {
    html! {
        section aria-labelledby="causes" {
            h2 #causes { "Causes" }
            @match causes {
                None => (not_known()),
                Some([]) => p { "Nothing is known that would keep the next signup from its profile." },
                Some(causes) => (list(causes)),
            }
        }
    }
}

/// Findings, each with its next step.
pub(super) fn list<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Markup {
    html! {
        ul.findings {
            @for finding in findings {
                @let severity = match finding.severity {
                    Severity::Critical => "critical",
                    Severity::Warning => "warning",
                    Severity::Info => "info",
                };
                li.(severity) {
                    p { span.severity { (severity) } " " (capitalised(&finding.summary)) " " code { (finding.id) } }
                    @if let Some(meaning) = &finding.meaning {
                        p { (meaning) }
                    }
                    @if !finding.evidence.is_empty() {
                        ul.evidence { @for seen in &finding.evidence { li { (seen) } } }
                    }
                    p.next { (unbroken(&finding.next_step)) }
                    @if let Some(fix) = &finding.fix {
                        details id={ "fix-" (finding.id) } {
                            summary { "SQL that fixes " (finding.id) "; read it before you run it" }
                            pre { code { (fix) } }
                        }
                    }
                }
            }
        }
    }
}

/// Text in which no line ends within a flag, as behind the dashes of `--apply`.
fn unbroken(text: &str) -> Markup {
    html! {
        @for word in text.split_inclusive(' ') {
            @if word.starts_with("--") { span.flag { (word.trim_end()) } " " } @else { (word) }
        }
    }
}

/// Signups that went wrong just now.
fn recent(recent: Option<&RecentSignups>) -> Markup {
    html! {
        section aria-labelledby="recent" {
            h2 #recent { "Recent issues" }
            @match recent {
                None => (not_known()),
                Some(recent) if recent.issues.is_empty() => {
                    p { "No signup of the last " (recent.window.minutes) " minutes went wrong." }
                }
                Some(recent) => {
                    (table(
                        &format!("Signups of the last {} minutes that went wrong, newest first", recent.window.minutes),
                        &["User", "Signed up", "Minutes ago", "User exists", "Has profile"],
                        recent.issues.iter().map(|issue| {
                            let yes_no = |yes| html! { (if yes { "yes" } else { "no" }) };
                            vec![
                                html! { code { (issue.user_id) } },
                                time(issue.created_at),
                                html! { (format!("{:.1}", issue.minutes_since_signup)) },
                                yes_no(issue.has_auth_user),
                                yes_no(issue.has_profile),
                            ]
                        }),
                    ))
                    @if recent.issues_count > recent.issues.len() {
                        p { "And " (recent.issues_count - recent.issues.len()) " more: " code { "rollcall recent" } " lists them." }
                    }
                }
            }
        }
    }
}

/// What scheduled checks said: drawn, and as a table for whoever cannot see the drawing.
fn history(history: Option<&History>) -> Markup {
    html! {
        section aria-labelledby="history" {
            h2 #history { "The last seven days" }
            @match history {
                None => (not_known()),
                Some(history) if history.hours.is_empty() => {
                    p { "No scheduled check has been recorded: schedule the function " code { "health-check" } ", or run " code { "rollcall watch" } "." }
                }
                Some(history) => {
                    (chart::charts(history))
                    details #hours {
                        summary { "As a table" }
                        (table(
                            "Checks of everyone's profile by the hour, newest first; an hour that is not listed had none",
                            &["Hour", "Verdict", "Users without a profile", "Signups", "of these without", "Healthy"],
                            history.hours.iter().map(|hour| vec![
                                time(hour.hour),
                                html! { (hour.verdict) },
                                html! { (number(hour.missing)) },
                                html! { (number(hour.recent_signups_count)) },
                                html! { (number(hour.signups_missing_profiles)) },
                                html! { (hour.health_percentage.map_or_else(|| NOT_KNOWN.to_owned(), |share| format!("{share:.2} %"))) },
                            ]),
                        ))
                    }
                }
            }
        }
    }
}

fn repairs(repairs: Option<&[Repair]>) -> Markup {
    html! {
        section aria-labelledby="repairs" {
            h2 #repairs { "Last repairs" }
            @match repairs {
                None => (not_known()),
                Some([]) => p { "None yet." },
                Some(repairs) => (table(
                    "The last repairs, newest first",
                    &["Began", "Last step", "State", "Progress", "Created", "Failed", "Run"],
                    repairs.iter().map(|repair| vec![
                        time(repair.created_at),
                        time(repair.updated_at),
                        html! { (repair.state()) },
                        progress(repair),
                        html! { (repair.created) },
                        html! { (repair.failed) },
                        html! { code { (repair.run_id) } },
                    ]),
                )),
            }
        }
    }
}

/// Of those who were missing when it began, how many have been dealt with.
fn progress(repair: &Repair) -> Markup {
    let (done, total) = (repair.created + repair.failed, repair.total_missing.max(1));
    html! {
        progress max=(total) value=(done.min(total)) aria-label={ (done) " of " (repair.total_missing) } {}
        " " (done) " of " (repair.total_missing)
    }
}

/// A table that can be scrolled sideways on a phone, also with the keyboard.
fn table(caption: &str, head: &[&str], rows: impl Iterator<Item = Vec<Markup>>) -> Markup {
    html! {
        div.scroll role="region" tabindex="0" aria-label=(caption) {
            table {
                caption { span { (caption) } }
                thead { tr { @for name in head { th scope="col" { (name) } } } }
                tbody {
                    @for cells in rows {
                        tr { @for cell in cells { td { (cell) } } }
                    }
                }
            }
        }
    }
}

fn not_known() -> Markup {
    html! { p.dim { "Not known: it could not be looked at. The findings say why." } }
}

fn number(value: Option<i64>) -> String {
    value.map_or_else(|| NOT_KNOWN.to_owned(), |value| value.to_string())
}

/// A moment to the second, UTC.
pub(super) fn time(moment: Timestamp) -> Markup {
    html! { time datetime=(moment.strftime("%Y-%m-%dT%H:%M:%SZ")) { (moment.strftime("%Y-%m-%d %H:%M:%S")) } }
}

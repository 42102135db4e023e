//! `rollcall check` and `rollcall watch`: the scheduled checks without AWS.

use std::env;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use rollcall::alert::outage::Outage;
use rollcall::alert::{AlertOutcome, Attempt, Origin, Settings};
use rollcall::checks::health::HealthReport;
use rollcall::checks::recent::RecentReport;
use rollcall::connection_string::ConnectionSettings;
use rollcall::finding::{self, Finding};
use rollcall::scheduled_check::{self, ScheduledReport};
use rollcall::session::Session;
use rollcall::verdict::Verdict;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::exit::Exit;
use crate::http_client::WebAddress;
use crate::output::Output;
use crate::report::{Judged, Report};
use crate::terminal::wrapped;
use crate::webhook::{MessageForm, SigningKey, Webhook};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall check
  rollcall check --to https://example.com/hook --message slack
  rollcall check --ping https://hc-ping.com/7d444840-9dc0-11d1-b245-5ffdce74fad2")]
pub(crate) struct CheckArguments {
    /// Webhook that gets the messages; better given as a variable, since others see arguments [env: WEBHOOK_URL]
    #[arg(long, value_name = "URL")]
    to: Option<SecretString>,

    /// What the webhook takes; without it, slack for hooks.slack.com, else json
    #[arg(long, value_enum, value_name = "FORM")]
    message: Option<MessageForm>,

    /// Address that is called after each completed check, of a service that notices when they stop [env: PING_URL]
    #[arg(long, value_name = "URL")]
    ping: Option<SecretString>,

    /// Name that stands in every message [env: PROJECT_NAME]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rollcall watch
  rollcall watch --every 1m --to https://example.com/hook --project myapp")]
pub(crate) struct WatchArguments {
    /// How often recent signups are checked, as 30s, 5m or 1h; everyone is checked hourly
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = interval)]
    every: Duration,

    #[command(flatten)]
    check: CheckArguments,
}

fn interval(text: &str) -> Result<Duration, &'static str> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|length| Duration::try_from(length).ok())
        .filter(|length| (1..=3600).contains(&length.as_secs()))
        .ok_or("must be a time from 1s to 1h")
}

/// How long a check may look, trying again what may pass by itself: until the next is due, within these bounds.
const LOOK_LIMIT: Duration = Duration::from_secs(60);
const LEAST_LOOK_LIMIT: Duration = Duration::from_secs(10);

/// How long publishing may take, and keeping what was published.
const NOTIFY_LIMIT: Duration = Duration::from_secs(15);

/// How often everyone is checked, rather than the newest.
const HOUR: Duration = Duration::from_secs(3600);

/// Both checks, once; exits by the verdict, and with 2 where that is consistent and a message was not taken.
pub(crate) async fn run_once(
    arguments: &CheckArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let monitor = Monitor::new(arguments, settings)?;
    let checked = [
        monitor.check::<HealthReport>(LOOK_LIMIT, None).await,
        monitor.check::<RecentReport>(LOOK_LIMIT, None).await,
    ];
    for checked in &checked {
        monitor.ping(checked, output).await;
    }
    let mut findings: Vec<Finding> = Vec::new();
    for finding in checked.iter().flat_map(|checked| &checked.findings) {
        if findings.iter().all(|known| known.id != finding.id) {
            findings.push(finding.clone());
        }
    }
    let verdict = finding::conclude(&mut findings);
    let report = Report::Checks(Judged {
        verdict,
        findings: &findings,
        more: ChecksReport { checks: &checked },
    });
    output.data(&report, || {
        checked
            .iter()
            .map(|checked| wrapped(&(checked.line() + "\n"), "  "))
            .collect()
    })?;
    let is_published = checked.iter().all(Checked::is_published);
    Ok(match Exit::from(verdict) {
        Exit::Success if !is_published => Exit::Failure,
        exit => exit,
    })
}

/// The check of recent signups again and again, and everyone's hourly, until Ctrl-C.
pub(crate) async fn run(
    arguments: &WatchArguments,
    settings: ConnectionSettings,
    output: &Output,
) -> anyhow::Result<Exit> {
    let monitor = Monitor::new(&arguments.check, settings)?;
    output.say(&beginning(monitor.webhook.address.host(), arguments.every)?);
    tokio::select! {
        () = monitor.watch(arguments.every, output) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(Exit::Success)
}

fn beginning(host: &str, every: Duration) -> anyhow::Result<String> {
    let every = SignedDuration::try_from(every)?;
    Ok(format!(
        "Publishing to {host}; recent signups every {every:#}, everyone every hour. To end it: Ctrl-C."
    ))
}

/// What every check needs.
struct Monitor {
    session: Mutex<Session>,
    webhook: Webhook,
    ping: Option<WebAddress>,
    settings: Settings,
    probes: bool,
}

/// The scheduled checks, each once.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ChecksReport<'a> {
    checks: &'a [Checked],
}

/// One check, and what became of it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Checked {
    /// `health` or `recent`.
    check: &'static str,
    /// The conclusion.
    verdict: Verdict,
    /// What led to it.
    findings: Vec<Finding>,
    /// What became of all its messages.
    alert: AlertOutcome,
    /// What became of each.
    alerts: Vec<Attempt>,
}

impl Monitor {
    fn new(arguments: &CheckArguments, settings: ConnectionSettings) -> anyhow::Result<Self> {
        let address = |name: &str, variable: &str, given: &Option<SecretString>| {
            given
                .clone()
                .filter(|url| !url.expose_secret().trim().is_empty())
                .map(|url| (name.to_owned(), url))
                .or_else(|| Some((variable.to_owned(), value(variable)?.into())))
                .map(|(name, url)| WebAddress::parse(&name, &url))
                .transpose()
        };
        let webhook = address("--to", "WEBHOOK_URL", &arguments.to)?
            .context("nobody is named to notify: give --to URL, or set WEBHOOK_URL")?;
        let guessed = if webhook.host() == "hooks.slack.com" {
            MessageForm::Slack
        } else {
            MessageForm::Json
        };
        let key = value("WEBHOOK_SECRET").map(|secret| SigningKey::parse(&secret.into()));
        let origin = Origin::from_variables(value);
        Ok(Self {
            session: Mutex::new(Session::new(settings)),
            webhook: Webhook {
                address: webhook,
                form: arguments.message.unwrap_or(guessed),
                key: key.transpose()?,
                origin: match &arguments.project {
                    Some(project) => origin.of_project(project),
                    None => origin,
                },
            },
            ping: address("--ping", "PING_URL", &arguments.ping)?,
            settings: Settings::from_variables(value),
            probes: scheduled_check::may_probe(value),
        })
    }

    async fn watch(&self, every: Duration, output: &Output) {
        let limit = every.clamp(LEAST_LOOK_LIMIT, LOOK_LIMIT);
        let mut outage = Outage::default();
        let mut everyone_is_due = Instant::now();
        loop {
            let started = Instant::now();
            if started >= everyone_is_due {
                everyone_is_due = started + HOUR;
                let checked = self.check::<HealthReport>(limit, Some(&mut outage)).await;
                self.say(&checked, output).await;
            }
            let checked = self.check::<RecentReport>(limit, Some(&mut outage)).await;
            self.say(&checked, output).await;
            sleep_until(started + every).await;
        }
    }

    async fn say(&self, checked: &Checked, output: &Output) {
        output.say(&format!("{:.0} {}", Timestamp::now(), checked.line()));
        self.ping(checked, output).await;
    }

    /// Takes a check. With an `outage` to remember, one is published, too.
    async fn check<R: ScheduledReport>(
        &self,
        limit: Duration,
        outage: Option<&mut Outage>,
    ) -> Checked {
        let until = Instant::now() + limit;
        let look = scheduled_check::look::<R>(&self.session, self.probes, until).await;
        let until = Instant::now() + NOTIFY_LIMIT;
        let notified = look
            .notify(&self.session, &self.webhook, &self.settings, until)
            .await;
        let mut checked = Checked {
            check: look.result.check.as_str(),
            verdict: look.result.verdict,
            findings: look.report.findings().to_vec(),
            alert: notified.outcome,
            alerts: notified.attempts,
        };
        if let Some(outage) = outage {
            let (result, now) = (&look.result, Timestamp::now());
            match notified.is_incident_open {
                Some(_) => outage.is_over(result, now, &self.settings),
                None => outage.goes_on(result, now, &self.settings),
            }
            let until = Instant::now() + NOTIFY_LIMIT;
            while let Some(notification) = outage.unsent.first() {
                let attempt = Attempt::of(notification, &self.webhook, until).await;
                checked.alert = attempt.outcome;
                checked.alerts.push(attempt);
                if checked.alert != AlertOutcome::Sent {
                    break;
                }
                outage.unsent.remove(0);
            }
        }
        checked
    }

    /// Says to the service that waits for it that a check has completed. It hears nothing where the database was out of reach,
    /// or nobody took a message: then it is the one that notifies people.
    async fn ping(&self, checked: &Checked, output: &Output) {
        let Some(ping) = self.ping.as_ref().filter(|_| checked.is_completed()) else {
            return;
        };
        let trouble = match ping.get().await {
            Ok(status) if status.is_success() => return,
            Ok(status) => format!("status {}", status.as_u16()),
            Err(error) => format!("{error:#}"),
        };
        output.say(&format!("{} did not take the ping: {trouble}", ping.host()));
    }
}

impl Checked {
    fn is_published(&self) -> bool {
        !matches!(self.alert, AlertOutcome::Failed | AlertOutcome::LeftToAlarm)
    }

    fn is_completed(&self) -> bool {
        self.is_published() && self.verdict != Verdict::Unknown
    }

    /// `recent inconsistent (signup_trigger_disabled): published opened`
    fn line(&self) -> String {
        let ids: Vec<&str> = self
            .findings
            .iter()
            .filter(|finding| finding.verdict() != Verdict::Consistent)
            .map(|finding| finding.id)
            .collect();
        let because = match ids.as_slice() {
            [] => String::new(),
            ids => format!(" ({})", ids.join(", ")),
        };
        let news: Vec<String> = self
            .alerts
            .iter()
            .map(|attempt| match &attempt.error {
                None => format!("published {}", attempt.kind.as_str()),
                Some(error) => format!(
                    "not published {} ({error}); the next check tries again",
                    attempt.kind.as_str()
                ),
            })
            .collect();
        let news = match self.alert {
            _ if !news.is_empty() => news.join(", "),
            AlertOutcome::NotNeeded => "nothing to publish".to_owned(),
            AlertOutcome::BeingSent => "another check publishes it".to_owned(),
            AlertOutcome::LeftToAlarm => {
                "nothing published, since the database cannot keep what was".to_owned()
            }
            _ => "published before".to_owned(),
        };
        format!("{} {}{because}: {news}", self.check, self.verdict)
    }
}

fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_said_as_it_is_typed() {
        for (seconds, typed) in [(30, "30s"), (300, "5m"), (3600, "1h")] {
            let line = beginning("hooks.example", Duration::from_secs(seconds)).expect("a line");
            assert!(line.contains(&format!("every {typed}, ")), "{line}");
        }
    }
}

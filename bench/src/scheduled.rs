//! Checks as the functions run them, on a connection that is open, near the database and far from it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rollcall::alert::{AlertOutcome, Notification, Publisher, Settings, Unpublished};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::checks::recent::RecentReport;
use rollcall::scheduled_check::{self, ScheduledReport};
use rollcall::session::Session;
use rollcall_sandbox::{Database, RoundTrips, Server};
use tokio::sync::Mutex;

use crate::data;
use crate::figure::{self, Figure};
use crate::row::{Goal, Row, Unit};

/// What is checked.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    Health,
    Recent,
    /// By a person: nothing is recorded.
    Diagnose,
}

/// As long as the function that has least.
const LIMIT: Duration = Duration::from_secs(30);

/// What an answer takes on the way, each way.
const DELAYS_MS: [u32; 3] = [1, 20, 80];

/// How often a warm check may wait.
const ROUND_TRIPS: u32 = 4;

/// Takes the report, decides about alerts, and keeps both.
pub(crate) async fn run(session: &Mutex<Session>, check: Check) -> Result<()> {
    match check {
        Check::Health => scheduled::<HealthReport>(session).await,
        Check::Recent => scheduled::<RecentReport>(session).await,
        Check::Diagnose => {
            let mut session = session.lock().await;
            let _: Diagnosis = session
                .run(async |database| next_signup::take(database, Asker::Person).await)
                .await?;
            Ok(())
        }
    }
}

async fn scheduled<R: ScheduledReport>(session: &Mutex<Session>) -> Result<()> {
    let until = tokio::time::Instant::now() + LIMIT;
    let look = scheduled_check::look::<R>(session, true, until).await;
    let notified = look
        .notify(session, &TakesEverything, &Settings::default(), until)
        .await;
    ensure!(
        notified.outcome != AlertOutcome::LeftToAlarm,
        "the check could not look, or not keep what it saw"
    );
    Ok(())
}

/// A topic that takes each message at once.
struct TakesEverything;

impl Publisher for TakesEverything {
    async fn publish(
        &self,
        _: &Notification,
        _: tokio::time::Instant,
    ) -> std::result::Result<(), Unpublished> {
        Ok(())
    }
}

pub(crate) async fn measure(server: &Server, database: &Database, rounds: u32) -> Result<Vec<Row>> {
    let mut networks = Vec::new();
    let mut sessions = vec![Mutex::new(Session::new(data::settings(&database.url())?))];
    for delay in DELAYS_MS {
        let each_way = Duration::from_millis(delay.into());
        let network = RoundTrips::start(server.port(), each_way).await?;
        sessions.push(Mutex::new(Session::new(data::settings(
            &network.url(database),
        )?)));
        networks.push(network);
    }
    for session in &sessions {
        // connects
        run(session, Check::Recent).await?;
    }
    let mut rows = Vec::new();
    for (check, name, rounds) in [
        (Check::Health, "scheduled health check", rounds),
        (Check::Recent, "scheduled check of recent signups", rounds),
        // reads the whole audit log
        (Check::Diagnose, "diagnose, on an open connection", 1),
    ] {
        let [near, far @ ..] = figure::interleave(rounds, [0, 1, 2, 3], async |way: usize| {
            let start = Instant::now();
            run(&sessions[way], check).await?;
            Ok(start.elapsed().as_secs_f64() * 1000.0)
        })
        .await?;
        // counted where an answer takes longer than whatever is sent without waiting for one
        let (Some(farthest), Some(session)) = (networks.last(), sessions.last()) else {
            continue;
        };
        farthest.take();
        run(session, check).await?;
        let trips = f64::from(u32::try_from(farthest.take())?);
        rows.push(
            Row::new(
                format!("{name}: round trips"),
                Unit::Count,
                Figure::of(vec![trips]),
            )
            .goal(Goal::AtMost(ROUND_TRIPS.into())),
        );
        for (delay, far) in DELAYS_MS.into_iter().zip(far) {
            let waits = f64::from(ROUND_TRIPS * 2 * delay);
            rows.push(
                Row::milliseconds(format!("{name}, {delay} ms away each way"), far)
                    .lower_bound("the same without", near.clone())
                    .goal(Goal::AtMost((near.median + waits).ceil())),
            );
        }
    }
    Ok(rows)
}

//! Checks as the functions run them, on a connection that is open, near the database and far from it.

use std::time::{Duration, Instant};

use anyhow::Result;
use rollcall::alert::{Observation, Settings, store};
use rollcall::checks::diagnosis::Diagnosis;
use rollcall::checks::health::HealthReport;
use rollcall::checks::history::CheckRun;
use rollcall::checks::next_signup::{self, Asker};
use rollcall::checks::recent::RecentReport;
use rollcall::session::Session;
use rollcall_sandbox::{Database, RoundTrips, Server};
use uuid::Uuid;

use crate::data;
use crate::figure::{self, Figure};
use crate::goals::Goal;
use crate::row::{Row, Unit};

/// What is checked.
#[derive(Clone, Copy)]
pub(crate) enum Check {
    Health,
    Recent,
    /// By a person: nothing is recorded.
    Diagnose,
}

const AS_SCHEDULED: Asker = Asker::Schedule { probes: true };

/// The functions' own limits are longer.
const LIMIT: Duration = Duration::from_secs(3);

/// What an answer takes on the way, each way.
const DELAYS_MS: [u32; 3] = [1, 20, 80];

/// How often a warm check may wait.
const ROUND_TRIPS: u32 = 4;

/// Takes the report, decides about alerts, and keeps both. Where there is a message, a topic takes it at once.
pub(crate) async fn run(session: &mut Session, check: Check) -> rollcall::error::Result<()> {
    match check {
        Check::Health => {
            let report: HealthReport = session
                .run(async |database| next_signup::take(database, AS_SCHEDULED).await)
                .await?;
            record(
                session,
                Observation::of_health(&report),
                report.to_check_run(),
            )
            .await
        }
        Check::Recent => {
            let report: RecentReport = session
                .run(async |database| next_signup::take(database, AS_SCHEDULED).await)
                .await?;
            record(
                session,
                Observation::of_recent(&report),
                report.to_check_run(),
            )
            .await
        }
        Check::Diagnose => session
            .run(async |database| next_signup::take(database, Asker::Person).await)
            .await
            .map(|_: Diagnosis| ()),
    }
}

async fn record(
    session: &mut Session,
    observation: Observation,
    check_run: CheckRun,
) -> rollcall::error::Result<()> {
    let owner = Uuid::new_v4();
    let until = Some(tokio::time::Instant::now() + LIMIT);
    let kept = store::record(
        session,
        &observation,
        Some(&check_run),
        &Settings::default(),
        owner,
        until,
    )
    .await?;
    let mut next = kept.lease;
    let mut to_record = (!kept.is_recorded).then_some(&check_run);
    while let Some(lease) = next {
        next = session
            .run(async |database| {
                let id = lease.message_id;
                store::acknowledge(database, observation.check, id, owner, true, to_record).await
            })
            .await?;
        to_record = None;
    }
    Ok(())
}

pub(crate) async fn measure(server: &Server, database: &Database, rounds: u32) -> Result<Vec<Row>> {
    let mut networks = Vec::new();
    let mut sessions = vec![Session::new(data::settings(&database.url())?)];
    for delay in DELAYS_MS {
        let each_way = Duration::from_millis(delay.into());
        let network = RoundTrips::start(server.port(), each_way).await?;
        sessions.push(Session::new(data::settings(&network.url(database))?));
        networks.push(network);
    }
    for session in &mut sessions {
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
            run(&mut sessions[way], check).await?;
            Ok(start.elapsed().as_secs_f64() * 1000.0)
        })
        .await?;
        // counted where an answer takes longer than whatever is sent without waiting for one
        let (Some(farthest), Some(session)) = (networks.last(), sessions.last_mut()) else {
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

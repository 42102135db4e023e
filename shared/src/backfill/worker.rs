//! The loop of a run: step by step until nobody is left, enough were attempted, a person stopped it, or the time is up.
//!
//! Where the run stands is in the database, written together with what it did; this loop has the clock, the pace and
//! nothing that could be lost.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{self, Batch, Step};
use super::count::count;
use super::outcome::MAX_FAILURES;
use super::pace::{self, Pace};
use super::runs::{self, Run, RunState};
use super::{Ending, Failure, IdRange, Order, Outcome, Progress, Which};
use crate::database::column;
use crate::error::{Error, Result};
use crate::patience;
use crate::session::Session;

/// Limit of one batch; the largest one takes a few seconds.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// Limit of what is said about a run between its batches.
const NOTE_LIMIT: Duration = Duration::from_secs(5);

/// Kept free at the end of the time, for the last count; more if the first count took longer, but never more than half
/// of what is left then.
const RESERVE: Duration = Duration::from_secs(2);

/// Kept free for the answer, however long the last count takes.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

/// What the last count is given at least.
const SHORTEST_COUNT: Duration = Duration::from_secs(1);

/// How often those who were locked are tried again, and the pause before.
const BUSY_ROUNDS: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// How often a table that is locked is tried again; with the pauses between, some half a minute.
const LOCKED_ROUNDS: u32 = 10;
const LONGEST_LOCKED_PAUSE: Duration = Duration::from_secs(5);

/// Between two looks at standbys that are behind, and at a run that another is at.
const LAG_PAUSE: Duration = Duration::from_secs(1);
const HELD_PAUSE: Duration = Duration::from_millis(300);

/// A shorter pause than this is not worth a word to the database.
const WORTH_TELLING: Duration = Duration::from_millis(200);

/// How many runs one call may bring to their end: one that was left alone, and its own after that.
const MAX_RUNS: usize = 3;

/// Repairs everyone in the order's bounds who signed up before now and has no profile; signups during the repair are
/// left to their trigger and to the next run.
///
/// A run with the same bounds that was left alone is finished first. One that somebody else is at is waited for, and
/// gone on with where he stopped.
///
/// A batch that the database could not take just now (a lock, a lost connection) is tried again a few times; one
/// that took too long is cut smaller. Every batch that was taken stays, whatever happens later: an error after the
/// first batch ends the repair, and the outcome tells it together with what was done.
///
/// # Errors
/// What the database refuses before anything was done.
pub async fn apply(
    session: &mut Session,
    order: &Order,
    until: Option<Instant>,
    mut report: impl FnMut(&Progress),
) -> Result<Outcome> {
    let mut done: Option<Outcome> = None;
    for _ in 0..MAX_RUNS {
        let (is_new, outcome) = match one_run(session, order, until, &mut report).await {
            Ok(finished) => finished,
            Err(error) => {
                // what the run before did is not undone by this
                return match done {
                    Some(mut done) => {
                        done.ending = Ending::Interrupted;
                        done.interruption = Some(error);
                        Ok(done)
                    }
                    None => Err(error),
                };
            }
        };
        let run_id = outcome.run.run_id;
        let goes_on =
            !is_new && order.which == Which::Open && matches!(outcome.ending, Ending::Complete);
        done = Some(match done {
            Some(earlier) => earlier.followed_by(outcome),
            None => outcome,
        });
        if !goes_on || !has_more(session, run_id, until).await? {
            break;
        }
    }
    done.ok_or(Error::UnexpectedAnswer)
}

async fn has_more(session: &mut Session, run_id: Uuid, until: Option<Instant>) -> Result<bool> {
    patience::run_on(session, until, async |database| {
        database
            .read(BATCH_LIMIT, async |queries| {
                column(
                    &queries
                        .row(
                            "select rollcall.has_more($1) as has_more",
                            &[(&run_id, Type::UUID)],
                        )
                        .await?,
                    "has_more",
                )
            })
            .await
    })
    .await
}

struct Started {
    run_id: Uuid,
    is_new: bool,
    holder: Uuid,
    total_missing: i64,
}

async fn start(session: &mut Session, order: &Order, until: Option<Instant>) -> Result<Started> {
    let overrides = batch::overrides(order.account_type.as_deref());
    let batch_size = i32::try_from(order.batch_size).unwrap_or(i32::MAX);
    let max_users = order
        .max_users
        .map(|max| i64::try_from(max).unwrap_or(i64::MAX));
    let (key, asked) = match &order.which {
        Which::Keyed { key, request } => (Some(key), Some(request)),
        Which::Open | Which::Run(_) => (None, None),
    };
    let face = order.face.name();
    patience::run_on(session, until, async |database| {
        database
            .write(BATCH_LIMIT, async |queries| {
                let row = match &order.which {
                    Which::Run(run_id) => {
                        queries
                            .row(include_str!("join_run.sql"), &[(run_id, Type::UUID)])
                            .await?
                    }
                    Which::Open | Which::Keyed { .. } => {
                        queries
                            .row(
                                include_str!("start_run.sql"),
                                &[
                                    (&face, Type::TEXT),
                                    (&order.note, Type::TEXT),
                                    (&batch_size, Type::INT4),
                                    (&max_users, Type::INT8),
                                    (&overrides, Type::JSONB),
                                    (&order.range.first, Type::UUID),
                                    (&order.range.last, Type::UUID),
                                    (&order.duty, Type::FLOAT4),
                                    (&order.max_lag_ms, Type::INT4),
                                    (&key, Type::TEXT),
                                    (&asked, Type::JSONB),
                                ],
                            )
                            .await?
                    }
                };
                Ok(Started {
                    run_id: column(&row, "run_id")?,
                    is_new: column(&row, "is_new")?,
                    holder: column(&row, "holder")?,
                    total_missing: column(&row, "total_missing")?,
                })
            })
            .await
    })
    .await
}

/// Takes part in one run until it ends or the time does: whether this call began it, and what became of it.
async fn one_run(
    session: &mut Session,
    order: &Order,
    until: Option<Instant>,
    report: &mut impl FnMut(&Progress),
) -> Result<(bool, Outcome)> {
    let began = Instant::now();
    let started = start(session, order, until).await?;
    let counting = began.elapsed();
    let work_until = until.map(|until| {
        let left = until.saturating_duration_since(Instant::now());
        until - RESERVE.max(counting * 2).min(left / 2)
    });

    let mut worker = Worker {
        session,
        run_id: started.run_id,
        holder: started.holder,
        work_until,
        progress: Progress {
            run_id: started.run_id,
            total_missing: started.total_missing,
            attempted: 0,
            created: 0,
            failed: 0,
            waits_for: None,
        },
        skipped: 0,
        busy: 0,
        pace: Pace::new(order.batch_size),
        longest_batch: None,
        last_seen: None,
        remaining: None,
    };
    let ending = worker.work(report).await;
    worker.leave(ending.as_ref().err()).await;
    let Worker {
        progress,
        skipped,
        busy,
        last_seen,
        remaining: seen_remaining,
        ..
    } = worker;

    let (ending, interruption) = match ending {
        Ok(ending) => (ending, None),
        Err(error) if progress.attempted == 0 => return Err(error),
        Err(error) => (Ending::Interrupted, Some(error)),
    };
    // What was done is known, whether or not the rest can be read.
    let (run, failures, remaining) = match (&interruption, last_seen) {
        (Some(_), Some(run)) => (run, Vec::new(), None),
        (_, last_seen) => {
            let limit = until.map(answer_by);
            let run = match last_seen {
                // the lease that this call had is given back
                Some(run) => Run {
                    is_held: false,
                    waits_for: None,
                    ..run
                },
                None => runs::show(session, started.run_id).await?,
            };
            let failures = failures(session, started.run_id, limit)
                .await
                .unwrap_or_default();
            let range = IdRange {
                first: run.from_user_id,
                last: run.to_user_id,
            };
            let remaining = match seen_remaining {
                Some(remaining) => Some(remaining),
                None => count_in_time(session, range, limit).await,
            };
            (run, failures, remaining)
        }
    };
    let outcome = Outcome {
        ending,
        run_id: run.run_id,
        total_missing: started.total_missing,
        attempted: progress.attempted,
        created: progress.created,
        failed: progress.failed,
        skipped,
        busy,
        remaining,
        failures,
        run,
        interruption,
    };
    Ok((started.is_new, outcome))
}

/// The last moment for what is read at the end. A caller without time left waits a moment all the same.
fn answer_by(until: Instant) -> Instant {
    let now = Instant::now();
    (until - ANSWER_RESERVE.min(until.saturating_duration_since(now))).max(now + SHORTEST_COUNT)
}

async fn failures(
    session: &mut Session,
    run_id: Uuid,
    until: Option<Instant>,
) -> Result<Vec<Failure>> {
    let limit = i32::try_from(MAX_FAILURES).unwrap_or(i32::MAX);
    patience::run_on(session, until, async |database| {
        database
            .read(NOTE_LIMIT, async |queries| {
                queries
                    .rows(
                        include_str!("run_failures.sql"),
                        &[(&run_id, Type::UUID), (&limit, Type::INT4)],
                    )
                    .await?
                    .iter()
                    .map(Failure::read)
                    .collect()
            })
            .await
    })
    .await
}

/// How many remain, if that can be counted by then.
async fn count_in_time(
    session: &mut Session,
    range: IdRange,
    until: Option<Instant>,
) -> Option<i64> {
    let counting = count(session, range, until);
    match until {
        None => counting.await.ok(),
        Some(until) => timeout_at(until, counting).await.ok()?.ok(),
    }
}

struct Worker<'a> {
    session: &'a mut Session,
    run_id: Uuid,
    holder: Uuid,
    work_until: Option<Instant>,
    progress: Progress,
    skipped: i64,
    /// Users of the last round who were locked.
    busy: i64,
    pace: Pace,
    /// Of the batches of this size; none of them has been seen yet.
    longest_batch: Option<Duration>,
    last_seen: Option<Run>,
    /// Users without a profile, as the step that ended the run saw them.
    remaining: Option<i64>,
}

impl Worker<'_> {
    async fn work(&mut self, report: &mut impl FnMut(&Progress)) -> Result<Ending> {
        let (mut busy_rounds, mut locked_rounds) = (0, 0);
        // what others had created when this call began to wait for them
        let mut created_before: Option<i64> = None;
        loop {
            report(&self.progress);
            let needed = self.longest_batch.unwrap_or_default();
            if self.is_out_of_time(needed) {
                return Ok(Ending::OutOfTime);
            }

            let began = Instant::now();
            let batch = match self.step().await {
                Ok(batch) => batch,
                Err(Error::Timeout) if self.pace.size() > 1 => {
                    self.pace.was_too_slow();
                    self.longest_batch = None;
                    tracing::warn!(
                        batch_size = self.pace.size(),
                        "batch took too long, going on with smaller ones"
                    );
                    continue;
                }
                Err(error) if error.is_retryable() && self.is_out_of_time(Duration::ZERO) => {
                    return Ok(Ending::OutOfTime);
                }
                Err(error) => return Err(error),
            };
            let took = began.elapsed();
            self.skipped += batch.skipped;
            self.progress.failed += batch.skipped;
            self.progress.waits_for = None;
            let wanted = u32::try_from(batch.run.batch_size).unwrap_or(1);
            let duty = batch.run.duty;
            self.remaining = batch.remaining;
            let run = self.last_seen.insert(batch.run);

            match batch.step {
                Step::Batch => {
                    locked_rounds = 0;
                    self.longest_batch = self.longest_batch.max(Some(took));
                    self.progress.attempted += batch.attempted;
                    self.progress.created += batch.created;
                    self.progress.failed += batch.failed;
                    self.busy += batch.busy;
                    if batch.busy > 0 {
                        self.pace.met_a_lock();
                    } else {
                        self.pace.went_well(took, wanted);
                    }
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "a share needs no more digits"
                    )]
                    let pause = pace::pause(took, duty as f32);
                    self.wait(pause, "duty", report).await;
                }
                Step::Round => {
                    busy_rounds += 1;
                    if busy_rounds > BUSY_ROUNDS {
                        return Ok(Ending::Busy);
                    }
                    self.busy = 0;
                    self.wait(BUSY_PAUSE, "lock", report).await;
                }
                Step::Locked => {
                    locked_rounds += 1;
                    if locked_rounds > LOCKED_ROUNDS {
                        return Err(Error::table_is_locked());
                    }
                    self.pace.met_a_lock();
                    let pause = Duration::from_millis(200) * 2_u32.pow(locked_rounds.min(6));
                    self.wait(pause.min(LONGEST_LOCKED_PAUSE), "lock", report)
                        .await;
                }
                Step::Lagging => self.wait(LAG_PAUSE, "replication_lag", report).await,
                Step::Held => {
                    let before = *created_before.get_or_insert(run.created - self.progress.created);
                    let others = Progress {
                        created: run.created - before,
                        waits_for: Some("another worker".to_owned()),
                        ..self.progress.clone()
                    };
                    report(&others);
                    if self.is_out_of_time(HELD_PAUSE) {
                        return Ok(Ending::Held);
                    }
                    sleep(HELD_PAUSE).await;
                }
                Step::Stopped => {
                    return Ok(match run.state {
                        RunState::Paused => Ending::Paused,
                        RunState::Cancelled => Ending::Cancelled,
                        RunState::Failed => Ending::Failed,
                        RunState::Done | RunState::Running => how_it_ended(run),
                    });
                }
                Step::Finished => {
                    let ending = how_it_ended(run);
                    report(&self.progress);
                    return Ok(ending);
                }
            }
        }
    }

    fn is_out_of_time(&self, needed: Duration) -> bool {
        self.work_until
            .is_some_and(|until| Instant::now() + needed >= until)
    }

    /// Pauses, and says why where it is long enough to be seen. Never longer than there is time.
    async fn wait(&mut self, pause: Duration, why: &str, report: &mut impl FnMut(&Progress)) {
        let pause = self.work_until.map_or(pause, |until| {
            pause.min(until.saturating_duration_since(Instant::now()))
        });
        if pause.is_zero() {
            return;
        }
        if pause >= WORTH_TELLING {
            self.progress.waits_for = Some(why.to_owned());
            report(&self.progress);
            let milliseconds = i32::try_from(pause.as_millis()).unwrap_or(i32::MAX);
            let (run_id, holder) = (self.run_id, self.holder);
            let told = self
                .session
                .run(async |database| {
                    database
                        .write(NOTE_LIMIT, async |queries| {
                            queries
                                .rows(
                                    "select rollcall.hold_run($1, $2, $3, $4)",
                                    &[
                                        (&run_id, Type::UUID),
                                        (&holder, Type::UUID),
                                        (&milliseconds, Type::INT4),
                                        (&why, Type::TEXT),
                                    ],
                                )
                                .await
                        })
                        .await
                })
                .await;
            if let Err(error) = told {
                tracing::debug!(
                    error.id = error.id(),
                    "the reason of a pause was not written"
                );
            }
        }
        sleep(pause).await;
    }

    async fn step(&mut self) -> Result<Batch> {
        let (run_id, holder) = (self.run_id, self.holder);
        let size = i32::try_from(self.pace.size()).unwrap_or(i32::MAX);
        let work_until = self.work_until;
        let is_trial = self.longest_batch.is_none() && self.pace.size() > 1;
        patience::run_on(self.session, work_until, async |database| {
            let limit = work_until.map_or(BATCH_LIMIT, |until| {
                let rest = until.saturating_duration_since(Instant::now());
                // a first batch that takes all the time there is would leave none for smaller ones, now and every time
                BATCH_LIMIT.min(if is_trial { rest / 3 } else { rest })
            });
            database
                .write(limit, async |queries| {
                    let row = queries
                        .row(
                            include_str!("advance_run.sql"),
                            &[
                                (&run_id, Type::UUID),
                                (&holder, Type::UUID),
                                (&size, Type::INT4),
                            ],
                        )
                        .await?;
                    Batch::read(&row)
                })
                .await
        })
        .await
    }

    /// Gives the lease back. If that fails, it runs out.
    async fn leave(&mut self, error: Option<&Error>) {
        if error.is_some_and(|error| {
            error.is_connection_lost() || matches!(error, Error::Unreachable(_) | Error::Timeout)
        }) {
            return;
        }
        let ends_it = error.filter(|error| !error.is_retryable()).map(Error::id);
        let (run_id, holder) = (self.run_id, self.holder);
        let left = self
            .session
            .run(async |database| {
                database
                    .write(NOTE_LIMIT, async |queries| {
                        queries
                            .rows(
                                "select rollcall.leave_run($1, $2, $3)",
                                &[
                                    (&run_id, Type::UUID),
                                    (&holder, Type::UUID),
                                    (&ends_it, Type::TEXT),
                                ],
                            )
                            .await
                    })
                    .await
            })
            .await;
        if let Err(error) = left {
            tracing::warn!(
                error.id = error.id(),
                "the run could not be given back; the next one waits until its lease is over"
            );
        }
    }
}

fn how_it_ended(run: &Run) -> Ending {
    if run.ending.as_deref() == Some("max_users") {
        Ending::MaxUsers
    } else {
        Ending::Complete
    }
}

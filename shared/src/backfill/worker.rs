//! The loop of a run: step by step until nobody is left, enough were attempted, a person stopped it, or the time is up.
//!
//! Where the run stands is in the database, written together with what it did; this loop has the clock, the pace and
//! nothing that could be lost.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batch, Step};
use super::count::count;
use super::pace::{self, Pace};
use super::runs::{self, Run, RunState};
use super::start::{Started, start};
use super::{Failure, MAX_FAILURES, Progress, RunOptions, RunResult, RunTarget, StopReason};
use crate::database::lock_holders::{LockHolder, locked_by};
use crate::error::{Error, Result};
use crate::session::Session;

/// Limit of one batch; the largest one takes a few seconds.
const BATCH_LIMIT: Duration = Duration::from_secs(60);

/// Limit of what is said about a run between its batches.
const NOTE_LIMIT: Duration = Duration::from_secs(5);

/// Kept free at the end of the time, for the last count; more if the start, which counts for a new run, took longer, but
/// never more than half of what is left then.
const RESERVE: Duration = Duration::from_secs(2);

/// Kept free for the answer, however long the last count takes.
const ANSWER_RESERVE: Duration = Duration::from_millis(300);

/// What the last count is given at least.
const SHORTEST_COUNT: Duration = Duration::from_secs(1);

/// How often those who were locked are tried again, and the pause before.
const BUSY_ROUNDS: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// How often a table that is locked is tried again; with the pauses between, some fifteen seconds.
const LOCKED_ROUNDS: u32 = 5;
const LONGEST_LOCKED_PAUSE: Duration = Duration::from_secs(5);

const LEASED_PAUSE: Duration = Duration::from_millis(300);

/// A shorter pause than this is not worth a word to the database.
const WORTH_NOTING: Duration = Duration::from_millis(200);

/// How many runs one call may bring to their end: one that was left, and its own after that.
const MAX_RUNS: usize = 3;

/// Repairs all users within the options' bounds who signed up before now and have no profile; signups during the repair
/// are left to the next run.
///
/// An unfinished run with the same bounds is finished first. One that another worker has the lease of is waited for, and
/// continued where that one stopped.
///
/// A batch that the database could not take just now (a lock, a lost connection) is tried again a few times; one
/// that took too long is cut smaller. Every batch that was taken stays, whatever happens later: an error after the
/// first batch ends the repair, and the result has it together with what was done. Where `report` says so, it stops
/// after the batch in hand.
///
/// # Errors
/// What the database refuses before anything was done.
pub async fn apply(
    session: &mut Session,
    options: &RunOptions,
    until: Option<Instant>,
    mut report: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<RunResult> {
    let mut done: Option<RunResult> = None;
    for _ in 0..MAX_RUNS {
        let (is_new, result) = match one_run(session, options, until, &mut report).await {
            Ok(finished) => finished,
            Err(error) => {
                // what the run before did is not undone by this
                return match done {
                    Some(mut done) => {
                        done.stop_reason = StopReason::Interrupted;
                        done.interruption = Some(error);
                        Ok(done)
                    }
                    None => Err(error),
                };
            }
        };
        // users who signed up after the bound of a run that was continued
        let has_more = !is_new
            && options.target == RunTarget::UnfinishedOrNew
            && result.stop_reason == StopReason::Complete
            && result.remaining > Some(result.run.failed);
        done = Some(match done {
            Some(earlier) => earlier.followed_by(result),
            None => result,
        });
        if !has_more {
            break;
        }
    }
    done.ok_or(Error::UnexpectedAnswer)
}

/// Takes part in one run until it ends or the time does: whether this call began it, and what became of it.
async fn one_run(
    session: &mut Session,
    options: &RunOptions,
    until: Option<Instant>,
    report: &mut impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<(bool, RunResult)> {
    let began = Instant::now();
    let started = start(session, options, until).await?;
    let starting = began.elapsed();
    let work_until = until.map(|until| {
        let left = until.saturating_duration_since(Instant::now());
        until - RESERVE.max(starting * 2).min(left / 2)
    });

    let mut worker = Worker::new(session, &started, work_until, options.batch_size);
    let stop_reason = worker.work(report).await;
    worker.give_back(stop_reason.as_ref().err()).await;
    let Worker {
        progress,
        busy,
        last_seen,
        ..
    } = worker;

    let (stop_reason, interruption) = match stop_reason {
        Ok(stop_reason) => (stop_reason, None),
        Err(error) if progress.attempted == 0 => return Err(error),
        Err(error) => (StopReason::Interrupted, Some(error)),
    };
    // What was done is known, whether or not the rest can be read.
    let (run, failures, remaining) = match (&interruption, last_seen) {
        (Some(_), Some(run)) => (run, Vec::new(), None),
        (_, last_seen) => read_rest(session, started.run_id, last_seen, until).await?,
    };
    let result = RunResult {
        stop_reason,
        run_id: run.run_id,
        total_missing: started.total_missing,
        attempted: progress.attempted,
        created: progress.created,
        failed: progress.failed,
        busy,
        remaining,
        failures,
        run,
        interruption,
    };
    Ok((started.is_new, result))
}

/// What a result says beside what this call did: the run, who failed, and how many remain. The last two are left out where
/// there is no time for them.
async fn read_rest(
    session: &mut Session,
    run_id: Uuid,
    last_seen: Option<Run>,
    until: Option<Instant>,
) -> Result<(Run, Vec<Failure>, Option<i64>)> {
    let limit = until.map(answer_by);
    let run = match last_seen {
        // the lease that this call had is given back
        Some(run) => Run {
            is_leased: false,
            waits_for: None,
            ..run
        },
        None => runs::show(session, run_id).await?,
    };
    let failures = failures(session, run_id, limit)
        .await
        .map(Failure::bounded)
        .unwrap_or_default();
    let remaining = count_in_time(session, limit).await;
    Ok((run, failures, remaining))
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
    session
        .retry(until, async |database| {
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
async fn count_in_time(session: &mut Session, until: Option<Instant>) -> Option<i64> {
    let counting = count(session, until);
    match until {
        None => counting.await.ok(),
        Some(until) => timeout_at(until, counting).await.ok()?.ok(),
    }
}

struct Worker<'a> {
    session: &'a mut Session,
    run_id: Uuid,
    lease_owner: Uuid,
    work_until: Option<Instant>,
    progress: Progress,
    /// Users of the last round who were locked.
    busy: i64,
    pace: Pace,
    /// Of the batches of this size; none of them has been seen yet.
    longest_batch: Option<Duration>,
    busy_rounds: u32,
    locked_rounds: u32,
    /// What others had created when this call began to wait for them.
    created_before: Option<i64>,
    last_seen: Option<Run>,
}

impl<'a> Worker<'a> {
    fn new(
        session: &'a mut Session,
        started: &Started,
        work_until: Option<Instant>,
        batch_size: u32,
    ) -> Self {
        Self {
            session,
            run_id: started.run_id,
            lease_owner: started.lease_owner,
            work_until,
            progress: Progress {
                run_id: started.run_id,
                total_missing: started.total_missing,
                attempted: 0,
                created: 0,
                failed: 0,
                waits_for: None,
            },
            busy: 0,
            pace: Pace::new(batch_size),
            longest_batch: None,
            busy_rounds: 0,
            locked_rounds: 0,
            created_before: None,
            last_seen: None,
        }
    }

    async fn work(
        &mut self,
        report: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<StopReason> {
        loop {
            if report(&self.progress).is_break() {
                return Ok(StopReason::Stopped);
            }
            if self.is_out_of_time(self.longest_batch.unwrap_or_default()) {
                return Ok(StopReason::OutOfTime);
            }
            let began = Instant::now();
            match self.step().await {
                Ok(batch) => {
                    let stop_reason = self.follow(&batch, began.elapsed(), report).await;
                    self.last_seen = Some(batch.run);
                    if let Some(stop_reason) = stop_reason? {
                        return Ok(stop_reason);
                    }
                }
                Err(Error::Timeout) if self.pace.size() > 1 => {
                    self.pace.was_too_slow();
                    self.longest_batch = None;
                    tracing::warn!(
                        batch_size = self.pace.size(),
                        "batch took too long, going on with smaller ones"
                    );
                }
                Err(error) if error.is_retryable() && self.is_out_of_time(Duration::ZERO) => {
                    return Ok(StopReason::OutOfTime);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Does what follows from a step: a pause before the next one, or the end.
    async fn follow(
        &mut self,
        batch: &Batch,
        took: Duration,
        report: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Option<StopReason>> {
        self.progress.waits_for = None;
        match batch.step {
            Step::Batch => self.count(batch, took, report).await?,
            Step::Round => {
                self.busy_rounds += 1;
                if self.busy_rounds > BUSY_ROUNDS {
                    return Ok(Some(StopReason::Busy));
                }
                self.busy = 0;
                self.wait(BUSY_PAUSE, "lock", report).await;
            }
            Step::Locked => {
                self.locked_rounds += 1;
                if self.locked_rounds > LOCKED_ROUNDS {
                    let holders = self.lock_holders().await?;
                    return Err(locked_by(&holders, Timestamp::now()));
                }
                self.pace.met_a_lock();
                let pause = Duration::from_millis(200) * 2_u32.pow(self.locked_rounds.min(6));
                self.wait(pause.min(LONGEST_LOCKED_PAUSE), "lock", report)
                    .await;
            }
            Step::Leased => return Ok(self.wait_for_lease(&batch.run, report).await),
            Step::Stopped => {
                return Ok(Some(match batch.run.state {
                    RunState::Paused => StopReason::Paused,
                    RunState::Cancelled => StopReason::Cancelled,
                    RunState::Failed => StopReason::Failed,
                    RunState::Done | RunState::Running => stop_reason(&batch.run),
                }));
            }
            Step::Finished => {
                let _ = report(&self.progress);
                return Ok(Some(stop_reason(&batch.run)));
            }
        }
        Ok(None)
    }

    /// Adds a batch to what was done, and pauses as the throttle asks.
    async fn count(
        &mut self,
        batch: &Batch,
        took: Duration,
        report: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        // a few users of a table that is locked look like users who are
        if self.locked_rounds > 0 && batch.attempted == 0 && batch.busy > 0 {
            self.locked_rounds += 1;
        } else {
            self.locked_rounds = 0;
        }
        if self.locked_rounds > LOCKED_ROUNDS {
            let holders = self.lock_holders().await?;
            if !holders.is_empty() {
                return Err(locked_by(&holders, Timestamp::now()));
            }
        }
        self.longest_batch = self.longest_batch.max(Some(took));
        self.progress.attempted += batch.attempted;
        self.progress.created += batch.created;
        self.progress.failed += batch.failed;
        self.busy += batch.busy;
        if batch.busy > 0 {
            self.pace.met_a_lock();
        } else {
            let wanted = u32::try_from(batch.run.batch_size).unwrap_or(1);
            self.pace.went_well(took, wanted);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a share needs no more digits"
        )]
        let pause = pace::pause(took, batch.run.throttle as f32);
        self.wait(pause, "throttle", report).await;
        Ok(())
    }

    /// Waits a moment for another worker, whose progress is reported meanwhile.
    async fn wait_for_lease(
        &mut self,
        run: &Run,
        report: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Option<StopReason> {
        let before = *self
            .created_before
            .get_or_insert(run.created - self.progress.created);
        let others = Progress {
            created: run.created - before,
            waits_for: Some("another worker".to_owned()),
            ..self.progress.clone()
        };
        if report(&others).is_break() {
            return Some(StopReason::Stopped);
        }
        if self.is_out_of_time(LEASED_PAUSE) {
            return Some(StopReason::Leased);
        }
        sleep(LEASED_PAUSE).await;
        None
    }

    async fn lock_holders(&mut self) -> Result<Vec<LockHolder>> {
        self.session
            .run(async |database| Ok(database.lock_holders().await))
            .await
    }

    fn is_out_of_time(&self, needed: Duration) -> bool {
        self.work_until
            .is_some_and(|until| Instant::now() + needed >= until)
    }

    /// Pauses, and says why where it is long enough to be seen. Never longer than there is time.
    async fn wait(
        &mut self,
        pause: Duration,
        why: &str,
        report: &mut impl FnMut(&Progress) -> ControlFlow<()>,
    ) {
        let pause = self.work_until.map_or(pause, |until| {
            pause.min(until.saturating_duration_since(Instant::now()))
        });
        if pause.is_zero() {
            return;
        }
        if pause >= WORTH_NOTING {
            self.progress.waits_for = Some(why.to_owned());
            if report(&self.progress).is_break() {
                return;
            }
            let milliseconds = i32::try_from(pause.as_millis()).unwrap_or(i32::MAX);
            let noted = self.hold(Some(milliseconds), Some(why), None).await;
            if let Err(error) = noted {
                tracing::debug!(
                    error.id = error.id(),
                    "the reason of a pause was not written"
                );
            }
        }
        sleep(pause).await;
    }

    async fn step(&mut self) -> Result<Batch> {
        let (run_id, lease_owner) = (self.run_id, self.lease_owner);
        let size = i32::try_from(self.pace.size()).unwrap_or(i32::MAX);
        let work_until = self.work_until;
        let is_trial = self.longest_batch.is_none() && self.pace.size() > 1;
        self.session
            .retry(work_until, async |database| {
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
                                    (&lease_owner, Type::UUID),
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
    async fn give_back(&mut self, error: Option<&Error>) {
        if error.is_some_and(|error| {
            error.is_connection_lost() || matches!(error, Error::Unreachable(_) | Error::Timeout)
        }) {
            return;
        }
        let ends_it = error.filter(|error| !error.is_retryable()).map(Error::id);
        if let Err(error) = self.hold(None, None, ends_it).await {
            tracing::warn!(
                error.id = error.id(),
                "the lease of the run could not be given back; the next worker waits until it is over"
            );
        }
    }

    /// Keeps the lease over a pause, or gives it back.
    async fn hold(
        &mut self,
        milliseconds: Option<i32>,
        waits_for: Option<&str>,
        ends_it: Option<&str>,
    ) -> Result<()> {
        let (run_id, lease_owner) = (self.run_id, self.lease_owner);
        self.session
            .write(NOTE_LIMIT, async |queries| {
                queries
                    .rows(
                        include_str!("hold_run.sql"),
                        &[
                            (&run_id, Type::UUID),
                            (&lease_owner, Type::UUID),
                            (&milliseconds, Type::INT4),
                            (&waits_for, Type::TEXT),
                            (&ends_it, Type::TEXT),
                        ],
                    )
                    .await
            })
            .await?;
        Ok(())
    }
}

fn stop_reason(run: &Run) -> StopReason {
    if run.stop_reason.as_deref() == Some("max_users") {
        StopReason::MaxUsers
    } else {
        StopReason::Complete
    }
}

//! Runs with their lease, and workers that do what they like: each may ask for a batch, pause, give its lease back, lose
//! what it has in hand, or die, at any time and in any order. So whatever `backfill::apply` does is among it.

use std::collections::BTreeSet;

use rollcall_tests::random;
use stateright::{Model, Property};

use crate::explore;

/// Users, by number.
pub(crate) type Users = BTreeSet<u8>;

/// How long a lease lasts, and one that is kept over a pause, in times of [`Action::Wait`].
const LEASE: u8 = 1;
const LEASE_OVER_A_PAUSE: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RunState {
    Running,
    Paused,
    Cancelled,
    Done,
}

/// A row of `rollcall.run`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) state: RunState,
    /// Who had signed up when it began.
    bound: Users,
    pass: u8,
    last_user: Option<u8>,
    pub(crate) attempted: Users,
    pub(crate) created: usize,
    pub(crate) failed: usize,
    /// Whose, and until when.
    lease: Option<(usize, u8)>,
    has_attempted_twice: bool,
}

/// A transaction of `rollcall.advance_run` before its commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Batch {
    users: Users,
    pass: u8,
    is_last: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    run: usize,
    batch: Option<Batch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    now: u8,
    pub(crate) users: Users,
    pub(crate) profiles: Users,
    /// The newest run in which each failed.
    pub(crate) failures: Vec<(u8, usize)>,
    pub(crate) runs: Vec<Run>,
    /// None: dead, or has ended.
    workers: Vec<Option<Worker>>,
    /// Profiles that runs made.
    repaired: usize,
    /// Somebody wrote to a run that another had the lease of, or that was not running.
    has_intruded: bool,
    has_continued: bool,
    /// A run began while another had not come to its end.
    have_overlapped: bool,
    interventions: usize,
}

impl State {
    pub(crate) fn is_leased(&self, run: usize) -> bool {
        let run = &self.runs[run];
        run.state == RunState::Running && run.lease.is_some_and(|(_, until)| until > self.now)
    }
}

/// What a batch would be, as `rollcall.advance_run` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Batch,
    Leased,
    Stopped,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A worker comes, and starts a run or finds the one to continue.
    Start,
    /// Does a batch of so many users, and has yet to commit it.
    Advance {
        who: usize,
        limit: usize,
    },
    Commit(usize),
    /// Loses the batch in hand: a timeout, a connection.
    RollBack(usize),
    /// Keeps the lease over a pause.
    Hold(usize),
    GiveBack(usize),
    Crash(usize),
    Wait,
    Pause(usize),
    Resume(usize),
    Cancel(usize),
    SignUp,
    /// The application makes the profile itself.
    MakeProfile(u8),
}

#[derive(Clone)]
pub(crate) struct Runs {
    pub(crate) missing: Users,
    /// The database refuses their profiles.
    pub(crate) bad: Users,
    pub(crate) max_workers: usize,
    pub(crate) max_wait: u8,
    /// How often a person or the application comes between.
    pub(crate) max_interventions: usize,
}

impl Runs {
    pub(crate) fn new() -> Self {
        Self {
            missing: random::cases(Users::from([1, 2]), Users::from([1, 2, 3])),
            bad: Users::from([2]),
            max_workers: 2,
            max_wait: 2,
            max_interventions: 2,
        }
    }

    pub(crate) fn first(&self) -> State {
        State {
            now: 0,
            users: self.missing.clone(),
            profiles: Users::new(),
            failures: Vec::new(),
            runs: Vec::new(),
            workers: Vec::new(),
            repaired: 0,
            has_intruded: false,
            has_continued: false,
            have_overlapped: false,
            interventions: 0,
        }
    }

    /// `rollcall.start_run`.
    fn start(state: &mut State) {
        let profiles = &state.profiles;
        state.failures.retain(|(user, _)| !profiles.contains(user));
        let running = state
            .runs
            .iter()
            .position(|run| run.state == RunState::Running);
        state.has_continued |= running.is_some();
        let run = running.unwrap_or_else(|| {
            state.runs.push(Run {
                state: RunState::Running,
                bound: state.users.clone(),
                pass: 0,
                last_user: None,
                attempted: Users::new(),
                created: 0,
                failed: 0,
                lease: None,
                has_attempted_twice: false,
            });
            state.runs.len() - 1
        });
        state.workers.push(Some(Worker { run, batch: None }));
    }

    /// Whether a transaction has the run's locks.
    fn is_locked(state: &State, run: usize) -> bool {
        let mut workers = state.workers.iter().flatten();
        workers.any(|worker| worker.run == run && worker.batch.is_some())
    }

    /// `rollcall.missing_page`.
    fn page(state: &State, run: usize, pass: u8, after: Option<u8>, limit: usize) -> Users {
        let users = state.runs[run].bound.difference(&state.profiles).copied();
        users
            .filter(|user| Some(*user) > after)
            .filter(|user| {
                !state
                    .failures
                    .iter()
                    .any(|(failed, of)| failed == user && (pass == 0 || *of == run))
            })
            .take(limit)
            .collect()
    }

    /// `rollcall.advance_run` up to its commit.
    pub(crate) fn advance(state: &mut State, who: usize, limit: usize) -> Outcome {
        let Some(run) = state.workers[who].as_ref().map(|worker| worker.run) else {
            return Outcome::Stopped;
        };
        let row = &state.runs[run];
        if Self::is_locked(state, run) {
            return Outcome::Leased;
        } else if row.state != RunState::Running {
            return Outcome::Stopped;
        } else if row
            .lease
            .is_some_and(|(owner, until)| owner != who && until > state.now)
        {
            return Outcome::Leased;
        }
        let (mut pass, mut after) = (row.pass, row.last_user);
        let batch = loop {
            let users = Self::page(state, run, pass, after, limit);
            let is_last = users.is_empty()
                && (pass == 1
                    || state
                        .failures
                        .iter()
                        .all(|(_, failed_in)| *failed_in == run));
            if is_last || !users.is_empty() {
                break Batch {
                    users,
                    pass,
                    is_last,
                };
            }
            after = None;
            pass += 1;
        };
        let outcome = if batch.is_last {
            Outcome::Finished
        } else {
            Outcome::Batch
        };
        if let Some(worker) = &mut state.workers[who] {
            worker.batch = Some(batch);
        }
        outcome
    }

    /// The commit of `rollcall.advance_run`.
    fn commit(&self, state: &mut State, who: usize) {
        let Some(worker) = &mut state.workers[who] else {
            return;
        };
        let (Some(batch), run) = (worker.batch.take(), worker.run) else {
            return;
        };
        let row = &mut state.runs[run];
        state.has_intruded |= row.state != RunState::Running
            || row
                .lease
                .is_some_and(|(owner, until)| owner != who && until > state.now);
        // on conflict do nothing
        let missing: Users = batch.users.difference(&state.profiles).copied().collect();
        let failed: Users = missing.intersection(&self.bad).copied().collect();
        let created: Users = missing.difference(&self.bad).copied().collect();
        row.has_attempted_twice |= !row.attempted.is_disjoint(&batch.users);
        row.attempted.extend(&batch.users);
        row.created += created.len();
        row.failed += failed.len();
        row.pass = batch.pass;
        row.last_user = batch.users.last().copied();
        row.lease = Some((who, state.now + LEASE));
        if batch.is_last {
            row.state = RunState::Done;
            row.lease = None;
        }
        state.repaired += created.difference(&state.profiles).count();
        state.profiles.extend(created);
        state.failures.retain(|(user, _)| !failed.contains(user));
        state
            .failures
            .extend(failed.into_iter().map(|user| (user, run)));
        state.failures.sort_unstable();
    }

    /// `rollcall.hold_run`.
    fn hold(state: &mut State, who: usize, until: Option<u8>) {
        let Some(worker) = &state.workers[who] else {
            return;
        };
        let run = &mut state.runs[worker.run];
        let is_theirs = run.lease.is_some_and(|(owner, _)| owner == who);
        if is_theirs && run.state == RunState::Running {
            // free, and still of this owner
            run.lease = Some((who, until.unwrap_or_default()));
        }
    }

    /// `rollcall.change_run`.
    fn change(state: &mut State, run: usize, to: RunState) {
        let row = &mut state.runs[run];
        row.state = to;
        row.lease = row.lease.map(|(owner, _)| (owner, 0));
        state.interventions += 1;
    }

    pub(crate) fn play(&self, state: &mut State, action: Action) {
        match action {
            Action::Start => Self::start(state),
            Action::Advance { who, limit } => {
                Self::advance(state, who, limit);
            }
            Action::Commit(who) => self.commit(state, who),
            Action::RollBack(who) => {
                if let Some(worker) = &mut state.workers[who] {
                    worker.batch = None;
                }
            }
            Action::Hold(who) => Self::hold(state, who, Some(state.now + LEASE_OVER_A_PAUSE)),
            Action::GiveBack(who) => Self::hold(state, who, None),
            Action::Crash(who) => state.workers[who] = None,
            Action::Wait => state.now += 1,
            Action::Pause(run) => Self::change(state, run, RunState::Paused),
            Action::Resume(run) => Self::change(state, run, RunState::Running),
            Action::Cancel(run) => Self::change(state, run, RunState::Cancelled),
            Action::SignUp => {
                state.users.extend(state.users.last().map(|last| last + 1));
                state.interventions += 1;
            }
            Action::MakeProfile(user) => {
                state.profiles.insert(user);
                state.interventions += 1;
            }
        }
    }

    /// What the next repairs make of it after everyone at work has died. None: they do not come to an end.
    fn after_the_next_repairs(&self, state: &State) -> Option<State> {
        let mut state = state.clone();
        state.workers.fill(None);
        state.now += LEASE_OVER_A_PAUSE;
        let left = state.runs.len();
        while state.runs.iter().any(|run| run.state == RunState::Running) {
            self.play(&mut state, Action::Start);
            let who = state.workers.len() - 1;
            let run = state.workers[who].as_ref()?.run;
            if run >= left {
                return None;
            }
            for _ in 0..2 * state.users.len() + 2 {
                self.play(&mut state, Action::Advance { who, limit: 1 });
                self.play(&mut state, Action::Commit(who));
            }
            if state.runs[run].state != RunState::Done {
                return None;
            }
        }
        Some(state)
    }
}

/// A state in which somebody is: a worker could still crash, and that leads to a state of its own.
fn is_anyone_at_work(state: &State) -> bool {
    state.workers.iter().any(Option::is_some)
}

impl Model for Runs {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.workers.len() < self.max_workers {
            actions.push(Action::Start);
        }
        for (who, worker) in state.workers.iter().enumerate() {
            let Some(worker) = worker else { continue };
            actions.push(Action::Crash(who));
            if worker.batch.is_some() {
                actions.extend([Action::Commit(who), Action::RollBack(who)]);
                continue;
            }
            actions.extend([1, 2].map(|limit| Action::Advance { who, limit }));
            // these wait for the batch in hand of another
            if !Self::is_locked(state, worker.run) {
                actions.extend([Action::Hold(who), Action::GiveBack(who)]);
            }
        }
        if state.now < self.max_wait {
            actions.push(Action::Wait);
        }
        if state.interventions == self.max_interventions {
            return;
        }
        for (number, run) in state.runs.iter().enumerate() {
            // as above
            if Self::is_locked(state, number) {
                continue;
            }
            match run.state {
                RunState::Running => {
                    actions.extend([Action::Pause(number), Action::Cancel(number)])
                }
                RunState::Paused => {
                    actions.extend([Action::Resume(number), Action::Cancel(number)])
                }
                RunState::Cancelled | RunState::Done => {}
            }
        }
        actions.push(Action::SignUp);
        actions.extend(
            state
                .users
                .difference(&state.profiles)
                .copied()
                .map(Action::MakeProfile),
        );
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.play(&mut next, action);
        let unfinished = |run: &&Run| matches!(run.state, RunState::Running | RunState::Paused);
        next.have_overlapped |= next.runs.iter().filter(unfinished).count() > 1;
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(
                "one worker at a time has a batch of a run in hand",
                |_, state: &State| {
                    let workers = state
                        .workers
                        .iter()
                        .flatten()
                        .filter(|worker| worker.batch.is_some());
                    let runs: Vec<usize> = workers.map(|worker| worker.run).collect();
                    runs.len() == runs.iter().collect::<BTreeSet<_>>().len()
                },
            ),
            Property::<Self>::always(
                "nobody writes to a run under the lease of another, or while it is not running",
                |_, state| !state.has_intruded,
            ),
            // where two overlap, each comes once more to those who failed in the other meanwhile
            Property::<Self>::always(
                "P2: nobody is attempted twice in a run that is alone",
                |_, state| {
                    state.have_overlapped || state.runs.iter().all(|run| !run.has_attempted_twice)
                },
            ),
            Property::<Self>::always(
                "P2: what runs say they created is what they created",
                |_, state| {
                    state.runs.iter().map(|run| run.created).sum::<usize>() == state.repaired
                },
            ),
            Property::<Self>::always(
                "P3: a run that was left is continued, and comes to its end",
                |model: &Self, state| {
                    is_anyone_at_work(state) || model.after_the_next_repairs(state).is_some()
                },
            ),
            Property::<Self>::always(
                "P5: after a run, whoever is missing has failed or signed up later",
                |model: &Self, state| {
                    if is_anyone_at_work(state) {
                        return true;
                    }
                    let Some(end) = model.after_the_next_repairs(state) else {
                        return false;
                    };
                    end.runs
                        .iter()
                        .filter(|run| run.state == RunState::Done)
                        .all(|run| {
                            let mut missing = run.bound.difference(&end.profiles);
                            missing
                                .all(|user| end.failures.iter().any(|(failed, _)| failed == user))
                        })
                },
            ),
            Property::<Self>::sometimes("a run is continued by another", |_, state| {
                state.has_continued && state.runs.iter().any(|run| run.state == RunState::Done)
            }),
            Property::<Self>::sometimes("two runs overlap", |_, state| state.have_overlapped),
            Property::<Self>::sometimes("a failure is tried again by the next run", |_, state| {
                state.failures.iter().any(|(_, run)| *run == 1)
            }),
        ]
    }
}

/// Keeps P2, P3 and P5.
#[test]
fn a_run_that_was_left_is_continued_and_nobody_is_repaired_twice_whatever_workers_do() {
    explore("runs with their lease", Runs::new());
}

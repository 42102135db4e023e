//! Evidence as a small model of which every state is visited: two checks at a time, each of which may die before it has
//! kept what it knows, while the signup path changes and people sign up. [`weigh`] and [`NextSignup::judge`] are the
//! transitions.

use std::env;
use std::io::{self, Write};

use stateright::{Checker, Model, Property};

use super::super::probe::{NOT_SEEN, ProbedSignup};
use super::*;

/// Half a day: after one, what a signup has shown is old; after two, what a probe has, and a path that is unproven.
fn at(half_days: u8) -> Timestamp {
    Timestamp::from_second(2_000_000_000 + 12 * 3600 * i64::from(half_days)).expect("in range")
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct State {
    now: u8,
    signups: Signups,
    /// The evidence of the newest record of a check, as the database has it.
    kept: Option<String>,
    checks: Vec<Check>,
    /// The newest report of a check.
    said: Option<Said>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Signups {
    /// Another one after each change.
    path: u8,
    are_broken: bool,
    /// When the newest user who has a profile signed up, and the newest whose signup wrote it on this path.
    newest: Option<u8>,
    newest_on_this_path: Option<u8>,
    /// Whether a signup or a probe got its profile on this path.
    are_shown: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Check {
    Read {
        now: u8,
        signups: Signups,
        kept: Option<String>,
    },
    /// It has yet to keep this.
    Judged(String),
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Said {
    verdict: Verdict,
    is_unproven: bool,
    /// Whether anything had shown that signups work, before this check or in it.
    was_shown: bool,
    /// Whether a check had kept this path a day before, or longer.
    is_known_path: bool,
    probe: Option<Probe>,
    met_broken_signups: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A check reads (`next_signup/read.sql`).
    Read,
    /// Says what it means, after a probe where that is due.
    Judge(usize, Option<Probe>),
    Keep(usize),
    Crash(usize),
    SignUp,
    /// Something on the path is changed: signups work from now on, or do not.
    Change {
        are_broken: bool,
    },
    HalfADay,
}

/// What a probe meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Probe {
    /// Signups as they are.
    Signups,
    Lock,
    /// What no rollback takes back.
    BeyondRollback,
    /// A rule of the application's, which lets no made-up user in.
    Rule,
}

impl Probe {
    fn report(self, are_broken: bool, now: Timestamp) -> ProbeReport {
        let kinds = ["email".to_owned()];
        let (outcome, finding) = match self {
            Self::Signups if are_broken => (
                ProbeOutcome::NoProfile,
                Some(finding::signups_without_profile(&kinds)),
            ),
            Self::Signups => (ProbeOutcome::RightProfile, None),
            Self::Lock => (
                ProbeOutcome::Unknown,
                Some(finding::probe_without_answer(&kinds)),
            ),
            Self::BeyondRollback => (
                ProbeOutcome::Refused,
                Some(finding::probe_refused(vec!["a call".to_owned()])),
            ),
            Self::Rule => (
                ProbeOutcome::RefusedByRule,
                Some(finding::probe_refused_by_rule(&kinds)),
            ),
        };
        let findings = Vec::from_iter(finding);
        ProbeReport {
            verdict: Verdict::from_findings(&findings),
            findings,
            check_time: now,
            signups: Some(vec![ProbedSignup {
                kind: "email".to_owned(),
                outcome,
                sqlstate: (self == Self::Lock).then(|| "55P03".to_owned()),
                constraint: None,
                column: None,
                wrong_columns: Vec::new(),
                tables_written: Vec::new(),
                failed_functions: Vec::new(),
                is_in_use: None,
                step: None,
                later: BTreeMap::new(),
                side_tables: BTreeMap::new(),
            }]),
            not_seen: NOT_SEEN,
        }
    }
}

struct Checks {
    asker: Asker,
    max_checks: usize,
    max_changes: u8,
    half_days: u8,
}

fn evidence(kept: Option<&String>) -> Option<Evidence> {
    kept.map(|kept| serde_json::from_str(kept).expect("as it was kept"))
}

/// What `NextSignup::read` makes of what the database answers.
fn next(now: u8, signups: Signups, kept: Option<&String>) -> NextSignup {
    let kept = evidence(kept);
    let path = signups.path.to_string();
    // evidence that is fresh needs no other
    let is_fresh = kept.as_ref().is_some_and(|kept| {
        kept.path == path && kept.proved_at == Some(at(now)) && kept.probed_at.is_some()
    });
    let unless_fresh = |newest: Option<u8>| newest.filter(|_| !is_fresh).map(at);
    NextSignup {
        now: at(now),
        is_remembered: kept.is_some(),
        evidence: weigh(
            kept,
            path,
            unless_fresh(signups.newest),
            unless_fresh(signups.newest_on_this_path),
            at(now),
        ),
        replica_age: None,
    }
}

impl Checks {
    fn judge(&self, state: &mut State, who: usize, probe: Option<Probe>) {
        let Check::Read { now, signups, kept } = &state.checks[who] else {
            return;
        };
        let present = &mut state.signups;
        let passes = probe == Some(Probe::Signups) && !present.are_broken;
        let known = evidence(kept.as_ref());
        let is_known_path = known.is_some_and(|known| {
            known.path == signups.path.to_string() && known.path_since <= at(now.saturating_sub(2))
        }) && *now >= 2;
        let next = next(*now, *signups, kept.as_ref());
        let report = probe.map(|probe| probe.report(present.are_broken, at(*now)));
        let (evidence, findings) = next.judge(report, self.asker);
        state.said = Some(Said {
            verdict: Verdict::from_findings(&findings),
            is_unproven: findings.iter().any(|finding| finding.id == "unproven"),
            was_shown: signups.are_shown || passes,
            is_known_path,
            probe,
            met_broken_signups: probe == Some(Probe::Signups) && present.are_broken,
        });
        present.are_shown |= passes;
        state.checks[who] = Check::Judged(serde_json::to_string(&evidence).expect("JSON"));
    }
}

impl Model for Checks {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::default()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.checks.len() < self.max_checks {
            actions.push(Action::Read);
        }
        for (who, check) in state.checks.iter().enumerate() {
            match check {
                Check::Read { now, signups, kept } => {
                    if next(*now, *signups, kept.as_ref()).is_due(self.asker) {
                        let probes = [
                            Probe::Signups,
                            Probe::Lock,
                            Probe::BeyondRollback,
                            Probe::Rule,
                        ];
                        actions.extend(probes.map(|probe| Action::Judge(who, Some(probe))));
                    } else {
                        actions.push(Action::Judge(who, None));
                    }
                }
                Check::Judged(_) => actions.push(Action::Keep(who)),
                Check::Ended => continue,
            }
            actions.push(Action::Crash(who));
        }
        if !state.signups.are_broken {
            actions.push(Action::SignUp);
        }
        if state.signups.path < self.max_changes {
            actions.extend([true, false].map(|are_broken| Action::Change { are_broken }));
        }
        if state.now < self.half_days {
            actions.push(Action::HalfADay);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::Read => state.checks.push(Check::Read {
                now: state.now,
                signups: state.signups,
                kept: state.kept.clone(),
            }),
            Action::Judge(who, probe) => self.judge(&mut state, who, probe),
            Action::Keep(who) => {
                if let Check::Judged(evidence) = &state.checks[who] {
                    state.kept = Some(evidence.clone());
                }
                state.checks[who] = Check::Ended;
            }
            Action::Crash(who) => state.checks[who] = Check::Ended,
            Action::SignUp => {
                state.signups.newest = Some(state.now);
                state.signups.newest_on_this_path = Some(state.now);
                state.signups.are_shown = true;
            }
            Action::Change { are_broken } => {
                state.signups = Signups {
                    path: state.signups.path + 1,
                    are_broken,
                    newest: state.signups.newest,
                    ..Signups::default()
                };
            }
            Action::HalfADay => state.now += 1,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn says(state: &State, verdict: Verdict) -> bool {
            state.said.is_some_and(|said| said.verdict == verdict)
        }
        let mut properties = vec![
            Property::<Self>::always(
                "P7: what nothing has shown is not consistent, or says that it is unproven",
                |_, state: &State| {
                    state.said.is_none_or(|said| {
                        said.verdict != Verdict::Consistent || said.is_unproven || said.was_shown
                    })
                },
            ),
            Property::<Self>::always(
                "P7: a path that nothing has shown for a day is not consistent",
                |_, state| {
                    state.said.is_none_or(|said| {
                        let may_wait = matches!(said.probe, Some(Probe::Lock | Probe::Rule));
                        said.verdict != Verdict::Consistent
                            || !said.is_known_path
                            || said.was_shown
                            || may_wait
                    })
                },
            ),
            Property::<Self>::always("what a probe finds broken is inconsistent", |_, state| {
                state.said.is_none_or(|said| {
                    !said.met_broken_signups || said.verdict == Verdict::Inconsistent
                })
            }),
            Property::<Self>::always(
                "what is kept of the path as it is shows what was shown",
                |_, state| {
                    evidence(state.kept.as_ref()).is_none_or(|kept| {
                        kept.path != state.signups.path.to_string()
                            || kept.proved_at.is_none()
                            || state.signups.are_shown
                    })
                },
            ),
            Property::<Self>::sometimes("consistent", |_, state| says(state, Verdict::Consistent)),
            Property::<Self>::sometimes("unknown", |_, state| says(state, Verdict::Unknown)),
        ];
        if self.asker == (Asker::Schedule { probes: true }) {
            properties.push(Property::<Self>::sometimes("inconsistent", |_, state| {
                says(state, Verdict::Inconsistent)
            }));
        }
        properties
    }
}

fn explore(asker: Asker) {
    let is_long = env::var_os("ROLLCALL_LONG").is_some();
    let model = Checks {
        asker,
        max_checks: 2,
        max_changes: if is_long { 2 } else { 1 },
        half_days: if is_long { 3 } else { 2 },
    };
    let checker = model.checker().threads(2).spawn_bfs().join();
    let _ = writeln!(
        io::stderr(),
        "evidence, {asker:?}: {} states, at most {} steps deep",
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

/// Keeps P7.
#[test]
fn nothing_is_consistent_without_evidence_whatever_comes_between_a_look_and_what_is_kept() {
    for probes in [true, false] {
        explore(Asker::Schedule { probes });
    }
}

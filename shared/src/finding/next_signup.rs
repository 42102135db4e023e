//! The next signup: nobody has signed up for long, what was read is old, or nothing has shown that a signup works.

use jiff::SignedDuration;

use super::{Finding, Severity, not_known};
use crate::wording::lasting;

/// Nobody has signed up for longer than chance explains.
pub(crate) fn signups_stopped(pause: SignedDuration, probability: f64) -> Finding {
    // a chance of 1 in 3,000,000 is not known to the last digit
    let odds = 10_f64.powf((1.0 / probability.max(1e-15)).log10().floor());
    Finding {
        meaning: Some("Refused signups leave no row. Mail that is not sent, a hook that fails, or a form that is broken stops them, too.".to_owned()),
        ..Finding::new(
            "signups_stopped",
            Severity::Critical,
            format!(
                "nobody has signed up for {}; at the pace of the last two weeks, chance alone does that less than once in {odds:.0}",
                lasting(pause)
            ),
            "Try to sign up yourself. See whether the database takes a signup: rollcall probe. Then look at the logs of Supabase Auth. If the pause is meant: update rollcall.settings set stopped_below = 0.",
        )
    }
}

/// What was read comes from a replica that is behind.
pub(crate) fn replica_behind(seconds: f64) -> Finding {
    not_known(
        "replica_behind",
        format!("this is a replica, and it is {seconds:.0} seconds behind"),
        "Ask the primary, or wait until the replica has caught up.",
    )
}

/// No signup has shown that the signup path works as it is now; `reasons` are why none was tried.
pub(crate) fn unproven(may_wait: bool, is_by_rule: bool, reasons: Vec<String>) -> Finding {
    const SUMMARY: &str = "nothing has shown yet that a signup gets its profile";
    let meaning = if is_by_rule {
        "A made-up signup was let in by none of your rules, or must have no profile; and nobody has signed up since the signup path last changed."
    } else if reasons.is_empty() {
        "No signup was tried, and nobody has signed up since the signup path last changed, as far as is known."
    } else {
        "No signup was tried, since a signup does what a rollback does not take back; and nobody has signed up since the signup path last changed, as far as is known."
    };
    let next_step = if reasons.is_empty() {
        "Sign up once. Without anybody doing so, the verdict is unknown after a day."
    } else {
        "Sign up once; without anybody doing so, the verdict is unknown after a day. A signup that queues such calls (pg_net) can be tried: a rollback takes them back."
    };
    let finding = if may_wait {
        Finding::new("unproven", Severity::Info, SUMMARY, next_step)
    } else {
        not_known("unproven", SUMMARY, next_step)
    };
    Finding {
        meaning: Some(meaning.to_owned()),
        evidence: reasons,
        ..finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Verdict;

    #[test]
    fn the_odds_of_a_pause_are_a_round_number_that_is_no_exaggeration() {
        let said = |probability| {
            let finding = signups_stopped(SignedDuration::from_hours(5), probability);
            finding.summary.rsplit(' ').next().map(ToOwned::to_owned)
        };
        assert_eq!(said(1.0 / 3_000_000.0).as_deref(), Some("1000000"));
        assert_eq!(said(0.000_05).as_deref(), Some("10000"));
        assert_eq!(said(0.0).as_deref(), Some("1000000000000000"));
    }

    #[test]
    fn why_nothing_is_proven_is_said_with_what_was_not_tried() {
        let tried_nothing = unproven(true, false, Vec::new());
        let may_not_try = unproven(
            false,
            false,
            vec!["public.mail() calls a server".to_owned()],
        );
        let refused = unproven(true, true, Vec::new());
        assert_eq!(tried_nothing.verdict(), Verdict::Consistent);
        assert_eq!(may_not_try.verdict(), Verdict::Unknown);
        assert_eq!(may_not_try.evidence, ["public.mail() calls a server"]);
        let starts = |finding: &Finding, words: &str| {
            finding
                .meaning
                .as_ref()
                .is_some_and(|meaning| meaning.starts_with(words))
        };
        assert!(starts(&tried_nothing, "No signup was tried, and"));
        assert!(starts(&may_not_try, "No signup was tried, since"));
        assert!(starts(&refused, "A made-up signup was let in by none"));
    }
}

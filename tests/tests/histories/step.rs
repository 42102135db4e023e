//! What can happen to a project, one thing at a time.

use proptest::prelude::*;
use rollcall_sandbox::SignupKind;

/// Which user a step is about: whoever stands at this place among those who are there, counted round.
pub(crate) type Place = usize;

/// One step of a history. A step that finds nobody it could be about does nothing.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Somebody signs up. The profile of an `is_bad` address is refused by a constraint; who `is_old` signed up two
    /// days ago.
    SignUp {
        kind: SignupKind,
        is_bad: bool,
        is_old: bool,
    },
    /// A signup's transaction stays open while a check or a repair runs, and ends one way or the other.
    OpenSignUp {
        with_repair: bool,
        commits: bool,
    },
    Confirm(Place),
    SignUpAgain(Place),
    ChangeEmail {
        place: Place,
        is_bad: bool,
    },
    UpgradeAnonymous(Place),
    SoftDelete(Place),
    HardDelete(Place),
    SqlDelete(Place),
    /// The application deletes a profile.
    DeleteProfile(Place),
    /// The application changes a profile.
    EditProfile(Place),
    /// The user's own client makes the profile, under row level security.
    InsertProfile(Place),
    Trigger(TriggerState),
    /// Whether a trigger of the application refuses every profile.
    Refuse(bool),
    /// Why Rollcall cannot look, if it cannot.
    Blind(Option<Blindness>),
    /// Whether a missing profile is no finding in the first ten minutes.
    Grace(bool),
    /// `public.backfill_user_profile`
    RepairUser(Place),
    /// `public.ensure_profile_exists`
    Ensure(Place),
    /// `public.backfill_all_missing_profiles`
    RepairPage(u8),
    /// A repair that may attempt so many users.
    RepairSome {
        batch_size: u8,
        max_users: u8,
    },
    /// A repair of everyone, and once more.
    RepairAll {
        batch_size: u8,
    },
    /// Two repairs of everyone at once.
    RepairTwice {
        batch_sizes: [u8; 2],
    },
    /// A dry run, over SQL and as the command line does it.
    DryRun,
}

/// What became of the trigger that gives new users their profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TriggerState {
    Working,
    Disabled,
    Dropped,
    /// Somebody put another function in its function's place, which makes none.
    Foreign,
}

/// Why Rollcall cannot look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blindness {
    /// Nobody has said who must have a profile.
    NoDefinition,
    /// What every report asks belongs to a role without rights.
    NoRights,
}

/// At most 40 steps.
pub(crate) fn history() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..=40)
}

fn step() -> impl Strategy<Value = Step> {
    let place = any::<prop::sample::Index>().prop_map(|index| index.index(1_000));
    let place = move || place.clone();
    let kind = prop::sample::select(SignupKind::ALL.to_vec());
    let size = || 1..=9_u8;
    let trigger = prop::sample::select(vec![
        TriggerState::Working,
        TriggerState::Working,
        TriggerState::Disabled,
        TriggerState::Dropped,
        TriggerState::Foreign,
    ]);
    let blindness = prop::sample::select(vec![
        None,
        None,
        None,
        Some(Blindness::NoDefinition),
        Some(Blindness::NoRights),
    ]);
    prop_oneof![
        12 => (kind, prop::bool::weighted(0.2), any::<bool>())
            .prop_map(|(kind, is_bad, is_old)| Step::SignUp { kind, is_bad, is_old }),
        2 => (any::<bool>(), any::<bool>())
            .prop_map(|(with_repair, commits)| Step::OpenSignUp { with_repair, commits }),
        2 => place().prop_map(Step::Confirm),
        1 => place().prop_map(Step::SignUpAgain),
        2 => (place(), prop::bool::weighted(0.3))
            .prop_map(|(place, is_bad)| Step::ChangeEmail { place, is_bad }),
        2 => place().prop_map(Step::UpgradeAnonymous),
        1 => place().prop_map(Step::SoftDelete),
        1 => place().prop_map(Step::HardDelete),
        1 => place().prop_map(Step::SqlDelete),
        3 => place().prop_map(Step::DeleteProfile),
        2 => place().prop_map(Step::EditProfile),
        2 => place().prop_map(Step::InsertProfile),
        4 => trigger.prop_map(Step::Trigger),
        2 => prop::bool::weighted(0.4).prop_map(Step::Refuse),
        2 => blindness.prop_map(Step::Blind),
        2 => any::<bool>().prop_map(Step::Grace),
        2 => place().prop_map(Step::RepairUser),
        1 => place().prop_map(Step::Ensure),
        2 => size().prop_map(Step::RepairPage),
        2 => (size(), size()).prop_map(|(batch_size, max_users)| Step::RepairSome { batch_size, max_users }),
        2 => size().prop_map(|batch_size| Step::RepairAll { batch_size }),
        1 => [size(), size()].prop_map(|batch_sizes| Step::RepairTwice { batch_sizes }),
        1 => Just(Step::DryRun),
    ]
}

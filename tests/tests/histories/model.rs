//! What must be the case after each step, known without asking the product.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use uuid::Uuid;

use crate::step::{Blindness, Place, TriggerState};

/// A row of `auth.users`.
#[derive(Clone, Debug, Default)]
pub(crate) struct User {
    pub(crate) email: Option<String>,
    pub(crate) has_phone: bool,
    pub(crate) is_old: bool,
    pub(crate) is_anonymous: bool,
    pub(crate) is_soft_deleted: bool,
}

/// Whose trigger makes the profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// Rollcall's, which lets every signup through.
    Make,
    /// The application's, which refuses a signup whose profile is refused; Rollcall only watches.
    Watch,
}

/// The project as it should be.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) stance: Stance,
    pub(crate) users: BTreeMap<Uuid, User>,
    /// Every profile, whole, as the database writes a row.
    pub(crate) profiles: BTreeMap<Uuid, String>,
    pub(crate) trigger: TriggerState,
    pub(crate) refuses: bool,
    pub(crate) blindness: Option<Blindness>,
    pub(crate) has_grace_period: bool,
    /// Profiles that repairs have made.
    pub(crate) repaired: i64,
    /// Events there are at least.
    pub(crate) events: i64,
}

/// What a step may do to profiles.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// These have a profile afterwards.
    pub(crate) appear: BTreeSet<Uuid>,
    /// These may have one.
    pub(crate) may_appear: BTreeSet<Uuid>,
    /// The profiles of these are gone.
    pub(crate) vanish: BTreeSet<Uuid>,
    /// The application wrote to these itself.
    pub(crate) edited: BTreeSet<Uuid>,
    /// Whether what appears was made by a repair.
    pub(crate) is_repair: bool,
}

impl Model {
    pub(crate) fn new(stance: Stance) -> Self {
        Self {
            stance,
            users: BTreeMap::new(),
            profiles: BTreeMap::new(),
            trigger: TriggerState::Working,
            refuses: false,
            blindness: None,
            has_grace_period: false,
            repaired: 0,
            events: 0,
        }
    }

    /// The user at `place` among those for whom `fits` holds.
    pub(crate) fn at(&self, place: Place, fits: impl Fn(&Uuid, &User) -> bool) -> Option<Uuid> {
        let fitting: Vec<&Uuid> = self
            .users
            .iter()
            .filter(|(id, user)| fits(id, user))
            .map(|(id, _)| id)
            .collect();
        (!fitting.is_empty()).then(|| *fitting[place % fitting.len()])
    }

    /// Whether the database would take a profile for this user.
    pub(crate) fn can_have_profile(&self, user: &User) -> bool {
        let is_bad = user
            .email
            .as_deref()
            .is_some_and(|email| email.starts_with("bad"));
        !self.refuses && !is_bad
    }

    /// P11: whether the signup of this user goes through; where it does not, the application refuses it.
    pub(crate) fn signup_succeeds(&self, user: &User) -> bool {
        self.stance == Stance::Make
            || self.trigger != TriggerState::Working
            || self.can_have_profile(user)
    }

    /// Whether a signup of this user makes its profile.
    pub(crate) fn signup_makes_profile(&self, user: &User) -> bool {
        let has_definition =
            self.stance == Stance::Watch || self.blindness != Some(Blindness::NoDefinition);
        self.trigger == TriggerState::Working && has_definition && self.can_have_profile(user)
    }

    /// Who must have a profile and has none, whatever a check may say of them.
    pub(crate) fn missing(&self) -> BTreeSet<Uuid> {
        let users = self.users.iter();
        users
            .filter(|(id, user)| !user.is_soft_deleted && !self.profiles.contains_key(id))
            .map(|(id, _)| *id)
            .collect()
    }

    /// Of the missing, those whom a repair can help.
    pub(crate) fn repairable(&self) -> BTreeSet<Uuid> {
        let mut missing = self.missing();
        missing.retain(|id| self.can_have_profile(&self.users[id]));
        missing
    }

    /// P6: of the missing, those whom a check reports.
    pub(crate) fn reported(&self) -> BTreeSet<Uuid> {
        let mut missing = self.missing();
        missing.retain(|id| !self.has_grace_period || self.users[id].is_old);
        missing
    }

    /// Takes over what the database holds after a step, if it is what the step may have led to (P1).
    pub(crate) fn absorb(&mut self, now: BTreeMap<Uuid, String>, change: &Change) -> Result<()> {
        for (id, row) in &self.profiles {
            match now.get(id) {
                None => ensure!(
                    change.vanish.contains(id),
                    "P1: the profile of {id} is gone"
                ),
                Some(new) => ensure!(
                    new == row || change.edited.contains(id),
                    "P1: the profile of {id} was {row} and is {new}"
                ),
            }
        }
        for id in &change.vanish {
            ensure!(!now.contains_key(id), "the profile of {id} stayed");
        }
        for id in &change.appear {
            ensure!(now.contains_key(id), "{id} got no profile");
        }
        for id in now.keys().filter(|id| !self.profiles.contains_key(id)) {
            ensure!(
                change.appear.contains(id) || change.may_appear.contains(id),
                "{id} got a profile"
            );
            self.repaired += i64::from(change.is_repair);
        }
        self.profiles = now;
        Ok(())
    }
}

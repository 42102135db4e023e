//! How much of Rollcall is in a database, and so what a report may rely on.

use serde::Serialize;

use crate::database::Database;
use crate::error::{Error, LookObstacle, Result};
use crate::migrations::{self, Situation};

/// How Rollcall stands in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stance {
    /// It is not installed: reports look through a copy that is rolled back.
    Look,
    /// It is installed, and changes nothing that happens at a signup.
    Watch,
    /// Its own trigger makes the profiles that are expected and missing.
    Make,
}

/// Finds out how Rollcall stands, and lets the connection look where it is not installed.
///
/// # Errors
/// [`Error::OtherVersion`] for an installation that this program does not fit; [`Error::LookNotPossible`],
/// [`Error::NotSupabase`], [`Error::AuthTooOld`] where there is none and none can be tried; what the server refuses.
pub async fn take(database: &mut Database) -> Result<Stance> {
    let situation = Situation::of(database).await?;
    let stance = stance(&situation)?;
    if stance == Stance::Look {
        database.look();
    }
    Ok(stance)
}

fn stance(situation: &Situation) -> Result<Stance> {
    if let Some(found) = &situation.version {
        let needed = migrations::newest();
        if found != needed {
            return Err(Error::OtherVersion {
                found: found.clone(),
                needed,
            });
        }
        return Ok(if situation.makes_profiles {
            Stance::Make
        } else {
            Stance::Watch
        });
    }
    situation.require_fitting()?;
    let obstacle = if situation.is_standby {
        LookObstacle::Standby
    } else if situation.is_read_only {
        LookObstacle::ReadOnly
    } else if !situation.may_create {
        LookObstacle::MissingPrivilege
    } else {
        return Ok(Stance::Look);
    };
    Err(Error::LookNotPossible(obstacle))
}

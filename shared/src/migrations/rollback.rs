//! Taking the migrations back, or trying what that would do.

use std::time::Duration;

use super::Situation;
use crate::database::{Database, Queries, Warning};
use crate::error::Result;
use crate::retry;

const LIMIT: Duration = Duration::from_secs(60);

/// How much a rollback takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The functions and views that count and list.
    Diagnostics,
    /// All of Rollcall; profiles and everything of the application's stay.
    Everything,
}

impl Extent {
    fn script(self) -> &'static str {
        match self {
            Self::Diagnostics => include_str!("../../../migrations/rollback/diagnostics.sql"),
            Self::Everything => include_str!("../../../migrations/rollback/everything.sql"),
        }
    }
}

/// What a rollback has done: what it removed, gave back and left, a sentence each; and what it warns of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolledBack {
    /// What it did, in order.
    pub steps: Vec<String>,
    /// What it warns of.
    pub warnings: Vec<Warning>,
}

/// What [`roll_back`] would do: it is done in a transaction that is rolled back.
///
/// # Errors
/// As [`roll_back`].
pub async fn plan_roll_back(database: &mut Database, extent: Extent) -> Result<RolledBack> {
    retry::run(database, async |database| {
        forget(database);
        database
            .try_out(LIMIT, async |queries| remove(queries, extent).await)
            .await?;
        Ok(said(database))
    })
    .await
}

/// Runs a rollback script.
///
/// # Errors
/// [`crate::error::Error::OtherVersion`] for a database that is newer than the program,
/// [`crate::error::Error::SchemaTaken`], [`crate::error::Error::InstallInProgress`], and what the server refuses: objects
/// of the application's that need ours. Then nothing was changed.
pub async fn roll_back(database: &mut Database, extent: Extent) -> Result<RolledBack> {
    retry::run(database, async |database| {
        forget(database);
        database
            .write(LIMIT, async |queries| remove(queries, extent).await)
            .await?;
        Ok(said(database))
    })
    .await
}

async fn remove(queries: &Queries<'_>, extent: Extent) -> Result<()> {
    queries.lock_install().await?;
    Situation::read(queries).await?.require_removable()?;
    queries
        .script("set local client_min_messages = notice")
        .await?;
    queries.script(extent.script()).await
}

fn forget(database: &mut Database) {
    said(database);
}

fn said(database: &mut Database) -> RolledBack {
    RolledBack {
        steps: database.take_notices(),
        warnings: database.take_warnings(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::ALL;
    use super::*;

    /// The text of every function, by its name.
    fn functions() -> BTreeMap<&'static str, String> {
        let mut functions: BTreeMap<&str, String> = BTreeMap::new();
        for migration in ALL {
            for part in migration
                .sql
                .split("\ncreate or replace function rollcall.")
                .skip(1)
            {
                let name = part.split('(').next().expect("a name");
                let body = part.split("\ncomment on function").next().expect("a body");
                *functions.entry(name).or_default() += body;
            }
        }
        functions
    }

    /// What the script drops by name.
    fn diagnostics() -> Vec<&'static str> {
        let script = Extent::Diagnostics.script();
        let list = script.split("array[").nth(1).expect("the list");
        let list = list.split("];").next().expect("its end");
        list.split('\'').skip(1).step_by(2).collect()
    }

    #[test]
    fn what_the_diagnostics_script_drops_is_there_and_nothing_that_stays_needs_it() {
        let (functions, dropped) = (functions(), diagnostics());
        assert!(dropped.len() > 20, "{dropped:?}");
        let views = ["auth_profile_mismatch", "signup_audit_summary"];
        for name in &dropped {
            assert!(
                functions.contains_key(name) || views.contains(name),
                "{name}"
            );
        }
        for (name, body) in functions.iter().filter(|(name, _)| !dropped.contains(name)) {
            for used in body.split("rollcall.").skip(1) {
                let used = used
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .next()
                    .expect("a word");
                assert!(!dropped.contains(&used), "{name} needs {used}");
            }
        }
    }
}

//! What an installation, a rollback or a look finds before it begins.

use std::time::Duration;

use crate::database::{Database, Queries, column};
use crate::error::{Error, Result};
use crate::migrations;

const LIMIT: Duration = Duration::from_secs(10);

/// What stands in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Situation {
    is_supabase: bool,
    missing_columns: Vec<String>,
    schema_is_taken: bool,
    /// The schema's version; none where Rollcall is not installed.
    pub(crate) version: Option<String>,
    /// Whether Rollcall's own trigger makes profiles.
    pub(crate) makes_profiles: bool,
    /// Whether this role may create a schema.
    pub(crate) may_create: bool,
    /// Whether the server is a standby.
    pub(crate) is_standby: bool,
    /// Whether transactions are read-only unless they say otherwise.
    pub(crate) is_read_only: bool,
}

impl Situation {
    /// Reads it in a transaction of its own.
    ///
    /// # Errors
    /// What the server refuses.
    pub(crate) async fn of(database: &mut Database) -> Result<Self> {
        database
            .read(LIMIT, async |queries| {
                queries.end_with(Self::read(queries)).await
            })
            .await
    }

    /// Reads it.
    ///
    /// # Errors
    /// What the server refuses.
    pub(crate) async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries.row(include_str!("situation.sql"), &[]).await?;
        Ok(Self {
            is_supabase: column(&row, "is_supabase")?,
            missing_columns: column(&row, "missing_columns")?,
            schema_is_taken: column(&row, "schema_is_taken")?,
            version: column(&row, "version")?,
            makes_profiles: column(&row, "makes_profiles")?,
            may_create: column(&row, "may_create")?,
            is_standby: column(&row, "is_standby")?,
            is_read_only: column(&row, "is_read_only")?,
        })
    }

    /// Refuses a database where Rollcall's SQL cannot be applied, whoever would do it.
    ///
    /// # Errors
    /// [`Error::NotSupabase`], [`Error::AuthTooOld`], [`Error::SchemaTaken`], and [`Error::OtherVersion`] where a newer
    /// program has been.
    pub(crate) fn require_fitting(&self) -> Result<()> {
        if !self.is_supabase {
            return Err(Error::NotSupabase);
        }
        if !self.missing_columns.is_empty() {
            return Err(Error::AuthTooOld(self.missing_columns.join(", ")));
        }
        self.require_removable()
    }

    /// Refuses a database whose schema `rollcall` this program does not know.
    ///
    /// # Errors
    /// [`Error::SchemaTaken`], and [`Error::OtherVersion`] where a newer program has been.
    pub(crate) fn require_removable(&self) -> Result<()> {
        if self.schema_is_taken {
            return Err(Error::SchemaTaken);
        }
        match &self.version {
            Some(found) if found.as_str() > migrations::newest() => Err(Error::OtherVersion {
                found: found.clone(),
                needed: migrations::newest(),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh_project() -> Situation {
        Situation {
            is_supabase: true,
            missing_columns: Vec::new(),
            schema_is_taken: false,
            version: None,
            makes_profiles: false,
            may_create: true,
            is_standby: false,
            is_read_only: false,
        }
    }

    #[test]
    fn a_fresh_project_fits() {
        assert!(fresh_project().require_fitting().is_ok());
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let mut other = fresh_project();
        other.is_supabase = false;
        assert!(matches!(other.require_fitting(), Err(Error::NotSupabase)));

        let mut old = fresh_project();
        old.missing_columns = vec!["deleted_at".to_owned(), "is_sso_user".to_owned()];
        let error = old.require_fitting().expect_err("too old");
        assert_eq!(error.id(), "auth_too_old");
        assert!(error.to_string().ends_with("deleted_at, is_sso_user"));

        let mut taken = fresh_project();
        taken.schema_is_taken = true;
        assert!(matches!(taken.require_fitting(), Err(Error::SchemaTaken)));

        let mut newer = fresh_project();
        newer.version = Some("20991231235959".to_owned());
        assert_eq!(
            newer.require_fitting().expect_err("newer").id(),
            "other_version"
        );
    }
}

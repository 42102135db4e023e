//! The statements for the definition in force.

use crate::database::{Queries, column};
use crate::error::{Error, Result};

/// They are text, made by the database from the definition.
pub(super) struct Statements {
    pub(super) outside_calls: Vec<String>,
    /// Why a change cannot be tried and rolled back. Empty: it can.
    pub(super) not_tried_because: Vec<String>,
    /// None: the definition has no column `email`.
    pub(super) list: Option<String>,
    pub(super) change: Option<String>,
    pub(super) undo: Option<String>,
}

impl Statements {
    /// Reads them, for the owner of the schema alone.
    pub(super) async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries
            .row(
                "select coalesce(bool_or(pg_has_role(n.nspowner, 'usage')), false) as is_owner
                 from pg_catalog.pg_namespace n where n.nspname = 'rollcall'",
                &[],
            )
            .await?;
        if !column::<bool>(&row, "is_owner")? {
            return Err(Error::NotPermitted(
                "only the owner of the schema rollcall may change profiles that exist".to_owned(),
            ));
        }
        let row = queries.row(include_str!("statements.sql"), &[]).await?;
        Ok(Self {
            outside_calls: column(&row, "outside_calls")?,
            not_tried_because: column(&row, "not_tried_because")?,
            list: column(&row, "list")?,
            change: column(&row, "change")?,
            undo: column(&row, "undo")?,
        })
    }
}

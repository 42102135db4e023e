//! Whether the next signup gets its profile, as far as the catalog can tell: the trigger, and what it runs.

use crate::database::{Queries, column};
use crate::error::Result;
use crate::finding::{self, Finding};

/// The way from a signup to its profile.
pub(super) struct Pipeline {
    /// See the comment on `rollcall.signup_trigger_state()`.
    pub(super) trigger: String,
    fault: Option<String>,
    unfilled: Vec<String>,
}

impl Pipeline {
    pub(super) async fn read(queries: &Queries<'_>) -> Result<Self> {
        let row = queries
            .row(
                "select rollcall.signup_trigger_state() as trigger, rollcall.profile_fault() as fault,
                   array(select c::text from rollcall.unfilled_columns() c) as unfilled",
                &[],
            )
            .await?;
        Ok(Self {
            trigger: column(&row, "trigger")?,
            fault: column(&row, "fault")?,
            unfilled: column(&row, "unfilled")?,
        })
    }

    /// What it means for the next signup.
    ///
    /// # Errors
    /// As [`finding::signup_trigger`].
    pub(super) fn findings(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::from_iter(finding::signup_trigger(&self.trigger)?);
        findings.extend(self.fault.as_deref().map(finding::profile_fault));
        if !self.unfilled.is_empty() {
            findings.push(finding::unfilled_columns(&self.unfilled));
        }
        Ok(findings)
    }
}

//! Guards: the body of a signup trigger function of the application's, in a block that catches its errors.

use tokio_postgres::types::Type;

use crate::database::{Queries, column};
use crate::error::{Error, Result};

/// A guard that may be put into a function.
pub(super) struct Guard {
    name: String,
    is_guarded: bool,
    body: String,
    original: String,
    guarded: String,
}

/// A function whose guard may be taken out.
pub(super) struct Unguard {
    name: String,
    original: Option<String>,
    is_guarded: bool,
}

impl Guard {
    /// Refuses a function that is none of a signup, or that refuses signups on purpose.
    pub(super) async fn of(queries: &Queries<'_>, function: &str) -> Result<Self> {
        let row = queries
            .row(include_str!("guard.sql"), &[(&function, Type::TEXT)])
            .await?;
        if let Some(message) = column(&row, "obstacle")? {
            return Err(Error::Statement {
                sqlstate: "55000".to_owned(),
                message,
                hint: column(&row, "hint")?,
            });
        }
        Ok(Self {
            name: column(&row, "name")?,
            is_guarded: column(&row, "is_guarded")?,
            body: column(&row, "body")?,
            original: column(&row, "original")?,
            guarded: column(&row, "guarded")?,
        })
    }

    pub(super) fn plan(&self) -> String {
        if self.is_guarded {
            format!("{} is guarded already", self.name)
        } else {
            format!("replace the body of {} by:\n{}", self.name, self.body)
        }
    }

    pub(super) async fn apply(&self, queries: &Queries<'_>) -> Result<String> {
        if self.is_guarded {
            return Ok(self.plan());
        }
        keep_original(queries, &self.name, Some(&self.original)).await?;
        queries.script(&self.guarded).await?;
        Ok(format!(
            "guarded {}: if it fails, the signup goes through, and the failure is kept as an event",
            self.name
        ))
    }
}

impl Unguard {
    pub(super) async fn of(queries: &Queries<'_>, function: &str) -> Result<Self> {
        let row = queries
            .row(include_str!("unguard.sql"), &[(&function, Type::TEXT)])
            .await?;
        Ok(Self {
            name: column(&row, "name")?,
            original: column(&row, "original")?,
            is_guarded: column(&row, "is_guarded")?,
        })
    }

    pub(super) fn plan(&self) -> String {
        match (&self.original, self.is_guarded) {
            (None, _) => format!("{} has no guard", self.name),
            (Some(_), true) => format!("give {} its own body back", self.name),
            (Some(_), false) => format!(
                "forget the guard of {}, which had been overwritten; the function stays as it is",
                self.name
            ),
        }
    }

    pub(super) async fn apply(&self, queries: &Queries<'_>) -> Result<String> {
        let Some(original) = &self.original else {
            return Ok(self.plan());
        };
        keep_original(queries, &self.name, None).await?;
        if self.is_guarded {
            queries.script(original).await?;
            Ok(format!("{} is as it was before the guard", self.name))
        } else {
            Ok(format!(
                "the guard of {} had been overwritten; the function stays as it is",
                self.name
            ))
        }
    }
}

async fn keep_original(
    queries: &Queries<'_>,
    function: &str,
    original: Option<&str>,
) -> Result<()> {
    queries
        .rows(
            include_str!("keep_original.sql"),
            &[(&function, Type::TEXT), (&original, Type::TEXT)],
        )
        .await
        .map(drop)
}

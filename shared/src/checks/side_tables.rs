//! The other tables that a signup writes: who has a profile, and no row there. Nothing is defined about them, so nothing is
//! repaired; but whoever has no role, say, is locked out as well.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;

use super::next_signup::Evidence;
use crate::database::{Database, column};
use crate::error::{Error, Result};
use crate::finding::{Finding, Severity};
use crate::wording::counted;

const LIMIT: Duration = Duration::from_secs(30);

/// A table that a signup was seen to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SideTable {
    /// Its name.
    pub table: String,
    /// Users who have a profile and no row there.
    pub users_without: i64,
    /// When the newest of them signed up.
    pub newest_without: Option<Timestamp>,
    /// Whether some of them signed up since the signup path last changed, while others got their row.
    #[serde(skip)]
    pub is_since: bool,
}

/// Who has no row in these tables.
pub(super) async fn read(database: &mut Database, evidence: &Evidence) -> Result<Vec<SideTable>> {
    if evidence.side_tables.is_empty() {
        return Ok(Vec::new());
    }
    let (names, columns): (Vec<&str>, Vec<&str>) = evidence
        .side_tables
        .iter()
        .map(|(name, column)| (name.as_str(), column.as_str()))
        .unzip();
    database
        .read(LIMIT, async |queries| {
            let statements = queries
                .rows(
                    // what was kept with a check is looked up in the catalog before it becomes part of a statement
                    include_str!("side_tables/statements.sql"),
                    &[
                        (&names, Type::TEXT_ARRAY),
                        (&columns, Type::TEXT_ARRAY),
                        (&evidence.path_since, Type::TIMESTAMPTZ),
                        (&evidence.on_this_path, Type::UUID_ARRAY),
                    ],
                )
                .await?;
            let mut tables = Vec::new();
            for statement in &statements {
                let row = queries.row(column(statement, "statement")?, &[]).await?;
                tables.push(SideTable {
                    table: column(statement, "name")?,
                    users_without: column(&row, "users")?,
                    newest_without: column(&row, "newest")?,
                    is_since: column(&row, "is_since")?,
                });
            }
            Ok::<_, Error>(tables)
        })
        .await
}

/// Users with a profile have no row in other tables that a signup writes. None where everybody has theirs.
pub(super) fn rows_missing(tables: &[SideTable]) -> Option<Finding> {
    let lacking: Vec<&SideTable> = tables
        .iter()
        .filter(|table| table.users_without > 0)
        .collect();
    let is_since = lacking.iter().any(|table| table.is_since);
    let names: Vec<&str> = lacking.iter().map(|table| table.table.as_str()).collect();
    (!lacking.is_empty()).then(|| Finding {
        meaning: Some(
            if is_since {
                "A signup writes these tables, too. Some users who signed up since that was last changed have no row there, and others have."
            } else {
                "A signup writes these tables, too. The users without a row signed up before that was last changed, or their rows went again."
            }
            .to_owned(),
        ),
        evidence: lacking
            .iter()
            .map(|table| {
                let newest = table.newest_without.map_or_else(String::new, |newest| {
                    format!(", the newest signed up at {} UTC", newest.strftime("%Y-%m-%d %H:%M"))
                });
                format!("{}: {} without a row{newest}", table.table, counted(table.users_without, "user"))
            })
            .collect(),
        ..Finding::new(
            "side_rows_missing",
            if is_since { Severity::Warning } else { Severity::Info },
            format!("users with a profile have no row in {}", names.join(", ")),
            if is_since {
                "See what the signup function does when that insert fails, and whether somebody deleted the rows. Rollcall repairs profiles only."
            } else {
                "Nothing to do if your application can do without them. Rollcall repairs profiles only."
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beside_profiles_matter_where_signups_leave_them_out_since_the_last_change() {
        let table = |name: &str, users_without, is_since| SideTable {
            table: name.to_owned(),
            users_without,
            newest_without: None,
            is_since,
        };
        assert_eq!(rows_missing(&[]), None);
        assert_eq!(rows_missing(&[table("public.wallets", 0, false)]), None);
        let old = rows_missing(&[
            table("public.wallets", 0, true),
            table("app.teams", 2, false),
        ])
        .expect("two users lack a row");
        assert_eq!(old.severity, Severity::Info);
        assert_eq!(old.summary, "users with a profile have no row in app.teams");
        assert_eq!(old.evidence, ["app.teams: 2 users without a row"]);
        let new = rows_missing(&[table("app.teams", 2, true)]).expect("the same");
        assert_eq!(new.severity, Severity::Warning);
        assert_ne!((new.meaning, new.next_step), (old.meaning, old.next_step));
    }
}

//! Ranges of the ids of users: what one slice of a large repair takes on.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::database::column;
use crate::error::Result;
use crate::patience;
use crate::session::Session;

const LIMIT: Duration = Duration::from_secs(60);

/// Users from the first to the last id, both included. None: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdRange {
    /// The first id.
    pub first: Option<Uuid>,
    /// The last id.
    pub last: Option<Uuid>,
}

impl IdRange {
    /// Every user.
    pub const EVERYONE: Self = Self {
        first: None,
        last: None,
    };
}

/// A range of a plan, with the names that a request has for its bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedRange {
    /// The first id.
    pub from_user_id: Uuid,
    /// The last id.
    pub to_user_id: Uuid,
    /// Users without a profile when it was planned.
    pub missing: i64,
}

/// Cuts all ids into at most so many ranges, with as many users without a profile in each. They touch, so that nobody
/// falls between two. None where nobody is missing.
///
/// # Errors
/// What the database refuses.
pub async fn plan(
    session: &mut Session,
    ranges: i32,
    until: Option<Instant>,
) -> Result<Vec<PlannedRange>> {
    let begins: Vec<(Uuid, i64)> = patience::run_on(session, until, async |database| {
        database
            .read(LIMIT, async |queries| {
                queries
                    .rows(include_str!("plan_ranges.sql"), &[(&ranges, Type::INT4)])
                    .await?
                    .iter()
                    .map(|row| Ok((column(row, "from_user_id")?, column(row, "missing")?)))
                    .collect()
            })
            .await
    })
    .await?;
    Ok(touching(&begins))
}

fn touching(begins: &[(Uuid, i64)]) -> Vec<PlannedRange> {
    let firsts = begins
        .iter()
        .enumerate()
        .map(|(place, (first, missing))| (if place == 0 { Uuid::nil() } else { *first }, *missing));
    let lasts = begins
        .iter()
        .skip(1)
        .map(|(next, _)| Uuid::from_u128(next.as_u128().saturating_sub(1)))
        .chain([Uuid::max()]);
    firsts
        .zip(lasts)
        .map(|((from_user_id, missing), to_user_id)| PlannedRange {
            from_user_id,
            to_user_id,
            missing,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_and_cover_every_id() {
        let begins: Vec<_> = [7, 100, 101]
            .map(|id| (Uuid::from_u128(id), 1))
            .into_iter()
            .collect();
        let bounds: Vec<_> = touching(&begins)
            .iter()
            .map(|range| (range.from_user_id.as_u128(), range.to_user_id.as_u128()))
            .collect();
        assert_eq!(bounds, [(0, 99), (100, 100), (101, u128::MAX)]);
        assert_eq!(touching(&[]), []);
    }
}

//! Who holds the lock that something waited for in vain.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::column;
use crate::error::{Error, Result};
use crate::wording::lasting;

/// Names them; takes no lock itself.
pub(super) const QUERY: &str = include_str!("lock_holders.sql");

/// A session that holds a lock of a table, or waits for it before all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LockHolder {
    table: String,
    is_granted: bool,
    pid: i32,
    role: Option<String>,
    begun_at: Option<Timestamp>,
}

impl LockHolder {
    pub(super) fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            table: column(row, "table_name")?,
            is_granted: column(row, "is_granted")?,
            pid: column(row, "pid")?,
            role: column(row, "role_name")?,
            begun_at: column(row, "begun_at")?,
        })
    }

    /// `public.profiles is locked by process 4711 (role postgres, its transaction is 4 minutes old)`
    fn sentence(&self, now: Timestamp) -> String {
        let about: Vec<String> = [
            self.role.as_ref().map(|role| format!("role {role}")),
            self.begun_at
                .map(|begun_at| now.duration_since(begun_at))
                .filter(|age| age.as_mins() > 0)
                .map(|age| format!("its transaction is {} old", lasting(age))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let about = if about.is_empty() {
            String::new()
        } else {
            format!(" ({})", about.join(", "))
        };
        let Self { table, pid, .. } = self;
        if self.is_granted {
            format!("{table} is locked by process {pid}{about}")
        } else {
            format!("process {pid}{about} waits to lock {table}, and everybody behind it")
        }
    }

    /// How to end it.
    fn end(&self) -> String {
        format!("select pg_terminate_backend({})", self.pid)
    }
}

/// A lock was not free in time, and these have it.
pub(crate) fn locked_by(holders: &[LockHolder], now: Timestamp) -> Error {
    let sentences: Vec<String> = holders.iter().map(|holder| holder.sentence(now)).collect();
    let message = if sentences.is_empty() {
        "another transaction had a lock that this needs".to_owned()
    } else {
        sentences.join("; ")
    };
    let or_end_it = holders.first().map_or_else(String::new, |holder| {
        format!(", or end it ({})", holder.end())
    });
    Error::locked(
        message,
        format!(
            "Wait until that transaction ends{or_end_it}; then try again. A repair goes on where it was."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_with_as_much_as_may_be_seen() {
        let mut holder = LockHolder {
            table: "public.profiles".to_owned(),
            is_granted: true,
            pid: 4711,
            role: Some("postgres".to_owned()),
            begun_at: Some(Timestamp::UNIX_EPOCH),
        };
        let now = Timestamp::from_second(240).expect("a moment");
        assert_eq!(
            holder.sentence(now),
            "public.profiles is locked by process 4711 (role postgres, its transaction is 4 minutes old)"
        );
        holder.begun_at = None;
        holder.is_granted = false;
        assert_eq!(
            holder.sentence(now),
            "process 4711 (role postgres) waits to lock public.profiles, and everybody behind it"
        );
    }
}

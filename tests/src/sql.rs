//! Questions to a database: single values, lists, and all of its objects or rows, to compare.

use anyhow::{Context, Result};
use rollcall_sandbox::Database;
use tokio_postgres::{Client, types::FromSqlOwned};
use uuid::Uuid;

/// The one value that `sql` answers with.
pub async fn value<T: FromSqlOwned>(client: &Client, sql: &str) -> Result<T> {
    let row = client
        .query_typed_one(sql, &[])
        .await
        .with_context(|| sql.to_owned())?;
    Ok(row.try_get(0)?)
}

/// The first column of `sql`.
pub async fn values<T: FromSqlOwned>(client: &Client, sql: &str) -> Result<Vec<T>> {
    let rows = client
        .query_typed(sql, &[])
        .await
        .with_context(|| sql.to_owned())?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The SQLSTATE with which the database refuses `sql`; `None` if it does not.
pub async fn refusal(client: &Client, sql: &str) -> Option<String> {
    let error = client.batch_execute(sql).await.err()?;
    Some(
        error
            .code()
            .map_or_else(|| error.to_string(), |state| state.code().to_owned()),
    )
}

/// A connection that acts as `role` the way PostgREST does, on behalf of `user` if one is signed in.
pub async fn acting_as(database: &Database, role: &str, user: Option<Uuid>) -> Result<Client> {
    let client = rollcall_sandbox::connect(&database.url_as("authenticator")).await?;
    let claims = user.map_or(String::new(), |id| format!(r#"{{"sub":"{id}"}}"#));
    client
        .batch_execute(&format!(
            "set role {role}; select set_config('request.jwt.claims', '{claims}', false)"
        ))
        .await?;
    Ok(client)
}

/// Every object of the database but PostgreSQL's own and the history of migrations, one line each:
/// definition, owner, rights, comment.
pub async fn catalog(client: &Client) -> Result<Vec<String>> {
    values(client, include_str!("sql/catalog.sql")).await
}

/// Every table with the number of its rows and a checksum of their values, one line each.
pub async fn contents(client: &Client) -> Result<Vec<String>> {
    let query: String = value(client, include_str!("sql/contents.sql")).await?;
    values(client, &query).await
}

/// The first lines that one of two dumps has more often than the other, marked `-` and `+`, each cut to a length that fits a message.
pub fn difference(before: &[String], after: &[String]) -> Vec<String> {
    let only = |mark: char, these: &[String], those: &[String]| -> Vec<String> {
        let mut left: Vec<&String> = those.iter().collect();
        left.sort_unstable();
        let mut left = left.into_iter().peekable();
        let mut these: Vec<&String> = these.iter().collect();
        these.sort_unstable();
        these
            .into_iter()
            .filter(|line| {
                while left.next_if(|other| other < line).is_some() {}
                left.next_if_eq(line).is_none()
            })
            .map(|line| format!("{mark} {}", line.chars().take(400).collect::<String>()))
            .take(20)
            .collect()
    };
    let mut lines = only('-', before, after);
    lines.extend(only('+', after, before));
    lines
}

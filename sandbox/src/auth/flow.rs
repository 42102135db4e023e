//! One transaction of Supabase Auth.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Release;
use super::user::User;

/// A transaction, which is rolled back unless it is committed.
pub(super) struct Flow<'a> {
    pub(super) transaction: Transaction<'a>,
    pub(super) now: Timestamp,
    pub(super) audit_log: bool,
    pub(super) release: Release,
}

impl Flow<'_> {
    pub(super) async fn commit(self) -> Result<()> {
        self.transaction
            .commit()
            .await
            .context("Supabase Auth could not commit; nothing is kept")
    }

    /// Runs one statement and returns how many rows it changed.
    pub(super) async fn run(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64> {
        self.transaction.execute_typed(sql, parameters).await.context(
            "the database refused a statement of Supabase Auth; nothing of its transaction is kept",
        )
    }

    /// Reads a user that was made before.
    pub(super) async fn load(&self, id: Uuid) -> Result<User> {
        let row = self
            .transaction
            .query_typed_opt(
                "select email, phone, raw_user_meta_data, raw_app_meta_data, is_sso_user,
                   coalesce((to_jsonb(users) ->> 'is_anonymous')::boolean, false)
                 from auth.users where id = $1",
                &[(&id, Type::UUID)],
            )
            .await?
            .with_context(|| format!("there is no user {id}"))?;
        let object = |column| match row.get::<_, Option<Value>>(column) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        };
        Ok(User {
            id,
            email: row.get(0),
            phone: row.get(1),
            user_metadata: object(2),
            app_metadata: object(3),
            is_sso_user: row.get(4),
            is_anonymous: row.get(5),
        })
    }
}

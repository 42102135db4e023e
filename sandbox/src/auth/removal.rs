//! How users go.

use anyhow::{Result, ensure};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Auth;
use super::audit::{Actor, subject};
use super::flow::Flow;

impl Auth {
    /// An administrator deletes the user, row and all.
    ///
    /// # Errors
    /// If there is no such user, or a foreign key or trigger holds it back.
    pub async fn hard_delete(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        flow.audit(Actor::Admin, "user_deleted", Some(subject(&user)))
            .await?;
        flow.delete(id).await?;
        flow.commit().await
    }

    /// An administrator deletes the user but keeps the row: addresses become hashes, metadata `{}`.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn soft_delete(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        flow.audit(Actor::Admin, "user_deleted", Some(subject(&user)))
            .await?;
        flow.update_user(&user, include_str!("soft_delete_user.sql"))
            .await?;
        flow.update_user(&user, include_str!("soft_delete_identities.sql"))
            .await?;
        flow.commit().await
    }

    /// Someone deletes the user in SQL, or Auth's own clean-up of old anonymous users does. The
    /// audit log never hears of it.
    ///
    /// # Errors
    /// If there is no such user, or a foreign key or trigger holds it back.
    pub async fn sql_delete(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        flow.delete(id).await?;
        flow.commit().await
    }
}

impl Flow<'_> {
    async fn delete(&self, id: Uuid) -> Result<()> {
        let deleted = self
            .run("delete from auth.users where id = $1", &[(&id, Type::UUID)])
            .await?;
        ensure!(deleted == 1, "there is no user {id}");
        Ok(())
    }
}

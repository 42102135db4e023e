//! The single statements of Supabase Auth's flows.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;

use super::Release;
use super::flow::Flow;
use super::user::User;

impl Flow<'_> {
    /// The AFTER INSERT trigger runs here: no role yet, no identity, nothing confirmed.
    pub(super) async fn insert_user(&self, user: &User) -> Result<()> {
        let (user_metadata, app_metadata) = (json!(user.user_metadata), json!(user.app_metadata));
        let mut insert = include_str!("insert_user.sql").to_owned();
        if self.release == Release::BeforeAnonymousUsers {
            insert = insert
                .replace(", is_anonymous", "")
                .replace("$6, $7, $8", "$6, $8");
        }
        self.run(
            &insert,
            &[
                (&user.id, Type::UUID),
                (&user.email, Type::TEXT),
                (&user.phone, Type::TEXT),
                (&app_metadata, Type::JSONB),
                (&user_metadata, Type::JSONB),
                (&user.is_sso_user, Type::BOOL),
                (&user.is_anonymous, Type::BOOL),
                (&self.now, Type::TIMESTAMPTZ),
            ],
        )
        .await
        .context("Supabase Auth could not save the new user")?;
        Ok(())
    }

    pub(super) async fn set_role(&self, user: &User) -> Result<()> {
        self.update_user(
            user,
            "update auth.users set role = 'authenticated', updated_at = $2 where id = $1",
        )
        .await
    }

    /// `data` has the provider's name for the person in `sub`.
    pub(super) async fn insert_identity(
        &self,
        user: &User,
        provider: &str,
        data: &Map<String, Value>,
    ) -> Result<()> {
        let subject = data.get("sub").and_then(Value::as_str).unwrap_or_default();
        self.run(
            "insert into auth.identities
               (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $5, $5)",
            &[
                (&subject, Type::TEXT),
                (&user.id, Type::UUID),
                (&json!(data), Type::JSONB),
                (&provider, Type::TEXT),
                (&self.now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        Ok(())
    }

    /// Adds to the user metadata what an identity says, for users who were never confirmed.
    pub(super) async fn adopt_metadata(
        &self,
        user: &mut User,
        data: &Map<String, Value>,
    ) -> Result<()> {
        user.user_metadata.extend(data.clone());
        self.run(
            "update auth.users set raw_user_meta_data = $2, updated_at = $3 where id = $1",
            &[
                (&user.id, Type::UUID),
                (&json!(user.user_metadata), Type::JSONB),
                (&self.now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        Ok(())
    }

    /// Adds to the app metadata.
    pub(super) async fn add_app_metadata(
        &self,
        user: &mut User,
        data: &Map<String, Value>,
    ) -> Result<()> {
        user.app_metadata.extend(data.clone());
        self.run(
            "update auth.users set raw_app_meta_data = $2, updated_at = $3 where id = $1",
            &[
                (&user.id, Type::UUID),
                (&json!(user.app_metadata), Type::JSONB),
                (&self.now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        Ok(())
    }

    /// Stands for sending the confirmation, which happens before the commit: a mail server's error
    /// undoes the signup.
    pub(super) async fn send_confirmation(&self, user: &User) -> Result<()> {
        self.update_user(
            user,
            "update auth.users
               set confirmation_token = gen_random_uuid()::text, confirmation_sent_at = $2, updated_at = $2
             where id = $1",
        )
        .await
    }

    pub(super) async fn confirm_email(&self, user: &User) -> Result<()> {
        self.update_user(
            user,
            r#"update auth.users
               set confirmation_token = '', email_confirmed_at = $2, updated_at = $2,
                 raw_user_meta_data = raw_user_meta_data || '{"email_verified": true}'
               where id = $1"#,
        )
        .await
    }

    pub(super) async fn confirm_phone(&self, user: &User) -> Result<()> {
        self.update_user(
            user,
            "update auth.users
               set confirmation_token = '', phone_confirmed_at = $2, updated_at = $2
             where id = $1",
        )
        .await
    }

    /// Stands for handing out a session.
    pub(super) async fn sign_in(&self, user: &User) -> Result<()> {
        self.update_user(
            user,
            "update auth.users set last_sign_in_at = $2, updated_at = $2 where id = $1",
        )
        .await
    }

    /// Runs a statement that takes the user's id and the time.
    pub(super) async fn update_user(&self, user: &User, sql: &str) -> Result<()> {
        self.run(
            sql,
            &[(&user.id, Type::UUID), (&self.now, Type::TIMESTAMPTZ)],
        )
        .await?;
        Ok(())
    }
}

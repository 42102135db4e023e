//! What happens to users later on: confirmation and changes.

use anyhow::Result;
use serde_json::json;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::audit::{Actor, subject};
use super::flow::Flow;
use super::kind::claims;
use super::{Auth, Release};

impl Auth {
    /// The user follows the link in the mail, or types the code from the text message.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn verify(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        let traits = json!({ "provider": user.own_provider() });
        let traits = (flow.release == Release::Current).then_some(traits);
        flow.audit(Actor::User(&user), "user_signedup", traits)
            .await?;
        if user.email.is_some() {
            flow.confirm_email(&user).await?;
            flow.update_user(
                &user,
                r#"update auth.identities
                   set identity_data = identity_data || '{"email_verified": true}', updated_at = $2
                   where user_id = $1 and provider = 'email'"#,
            )
            .await?;
        } else {
            flow.confirm_phone(&user).await?;
        }
        flow.sign_in(&user).await?;
        flow.commit().await
    }

    /// The user asks for another e-mail address and confirms it from both mailboxes. Neither
    /// audit row tells an address.
    ///
    /// # Errors
    /// If there is no such user, or another one has the address.
    pub async fn change_email(&mut self, id: Uuid, email: &str) -> Result<()> {
        self.request_email(id, email).await?;

        // The first of the two confirmations, which leaves no audit row.
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        flow.update_user(
            &user,
            "update auth.users
               set email_change_confirm_status = 1, email_change_token_current = '', updated_at = $2
             where id = $1",
        )
        .await?;
        flow.commit().await?;

        self.confirm_email_change(id).await
    }

    /// An anonymous user adds an e-mail address and confirms it. No row is inserted, so no AFTER
    /// INSERT trigger runs.
    ///
    /// # Errors
    /// If there is no such user, or another one has the address.
    pub async fn upgrade_anonymous(&mut self, id: Uuid, email: &str) -> Result<()> {
        self.request_email(id, email).await?;
        self.confirm_email_change(id).await
    }

    /// An administrator changes something about the user that the audit log does not tell.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn admin_update(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        flow.update_user(&user, "update auth.users set updated_at = $2 where id = $1")
            .await?;
        flow.audit(Actor::Admin, "user_modified", Some(subject(&user)))
            .await?;
        flow.commit().await
    }

    async fn request_email(&mut self, id: Uuid, email: &str) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        flow.run(
            "update auth.users
               set email_change = lower($2), email_change_sent_at = $3, email_change_confirm_status = 0,
                 email_change_token_current = gen_random_uuid()::text,
                 email_change_token_new = gen_random_uuid()::text, updated_at = $3
             where id = $1",
            &[(&id, Type::UUID), (&email, Type::TEXT), (&flow.now, Type::TIMESTAMPTZ)],
        )
        .await?;
        flow.audit(Actor::User(&user), "user_modified", None)
            .await?;
        flow.commit().await
    }

    async fn confirm_email_change(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        flow.audit(Actor::User(&user), "user_modified", None)
            .await?;
        if user.email.is_none() {
            let data = claims(
                &id.to_string(),
                Some(&flow.requested_email(id).await?),
                true,
            );
            flow.insert_identity(&user, "email", &data).await?;
        }
        flow.update_user(
            &user,
            "update auth.identities
               set updated_at = $2, identity_data = identity_data || jsonb_build_object(
                 'email', (select email_change from auth.users where id = $1), 'email_verified', true)
             where user_id = $1 and provider = 'email'",
        )
        .await?;
        if user.is_anonymous {
            flow.update_user(
                &user,
                "update auth.users set is_anonymous = false, updated_at = $2 where id = $1",
            )
            .await?;
        }
        flow.update_user(
            &user,
            "update auth.users
               set email = email_change, email_change = '', email_change_token_current = '',
                 email_change_token_new = '', email_change_confirm_status = 0, updated_at = $2
             where id = $1",
        )
        .await?;
        if user.is_anonymous {
            flow.confirm_email(&user).await?;
        }
        flow.commit().await
    }
}

impl Flow<'_> {
    async fn requested_email(&self, id: Uuid) -> Result<String> {
        let row = self
            .transaction
            .query_typed_one(
                "select email_change::text from auth.users where id = $1",
                &[(&id, Type::UUID)],
            )
            .await?;
        Ok(row.get(0))
    }
}

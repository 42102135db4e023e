//! What each way into a project writes after the insert of the user.

use anyhow::Result;
use serde_json::{Value, json};

use super::audit::{Actor, subject};
use super::flow::Flow;
use super::kind::claims;
use super::user::User;
use super::{Person, Release, SignupKind};

impl Flow<'_> {
    pub(super) async fn password(
        &self,
        kind: SignupKind,
        user: &mut User,
        provider: &str,
    ) -> Result<()> {
        self.set_role(user).await?;
        let mut data = claims(&user.id.to_string(), user.email.as_deref(), false);
        for (key, value) in &user.user_metadata {
            data.entry(key).or_insert_with(|| value.clone());
        }
        self.insert_identity(user, provider, &data).await?;
        self.adopt_metadata(user, &data).await?;
        let requested = Some(json!({ "provider": provider }));
        match kind {
            SignupKind::EmailAutoconfirm => {
                self.audit(Actor::User(user), "user_signedup", requested)
                    .await?;
                self.confirm_email(user).await
            }
            SignupKind::PhoneAutoconfirm => {
                let traits = json!({ "channel": "sms", "provider": provider });
                self.audit(Actor::User(user), "user_signedup", Some(traits))
                    .await?;
                self.confirm_phone(user).await
            }
            _ => {
                self.audit(Actor::User(user), "user_confirmation_requested", requested)
                    .await?;
                self.send_confirmation(user).await
            }
        }
    }

    pub(super) async fn external(
        &self,
        kind: SignupKind,
        user: &mut User,
        provider: &str,
    ) -> Result<()> {
        self.set_role(user).await?;
        let data = user.user_metadata.clone();
        self.insert_identity(user, provider, &data).await?;
        self.adopt_metadata(user, &data).await?;
        if kind == SignupKind::OauthUnverified {
            // The person gets an error, but this is committed.
            return self.send_confirmation(user).await;
        }
        let traits = json!({ "provider": provider });
        self.audit(Actor::User(user), "user_signedup", Some(traits))
            .await?;
        self.confirm_email(user).await?;
        self.sign_in(user).await
    }

    pub(super) async fn web3(&self, user: &User, provider: &str) -> Result<()> {
        self.set_role(user).await?;
        self.insert_identity(user, provider, &user.user_metadata)
            .await?;
        self.audit(
            Actor::User(user),
            "login",
            Some(json!({ "provider": provider })),
        )
        .await?;
        let wallet = user.user_metadata.get("custom_claims");
        let traits = json!({
            "address": wallet.and_then(|wallet| wallet.get("address")),
            "chain": "ethereum",
            "domain": "example.com",
            "network": "1",
            "provider": provider,
            "uri": "https://example.com",
        });
        self.audit(Actor::User(user), "login", Some(traits)).await?;
        self.sign_in(user).await
    }

    pub(super) async fn invite(&self, user: &User) -> Result<()> {
        self.set_role(user).await?;
        self.own_identities(user).await?;
        let traits = json!({
            "user_email": user.email.as_deref().unwrap_or_default(),
            "user_id": user.id.to_string(),
        });
        self.audit(Actor::Admin, "user_invited", Some(traits))
            .await?;
        self.send_confirmation(user).await?;
        self.update_user(user, "update auth.users set invited_at = $2 where id = $1")
            .await
    }

    /// The administrator's app metadata comes by a later update, so an AFTER INSERT trigger does
    /// not see it.
    pub(super) async fn admin_create(&self, user: &mut User, person: &Person) -> Result<()> {
        self.own_identities(user).await?;
        let mut traits = json!({ "provider": user.own_provider() });
        if let (Value::Object(traits), Value::Object(subject)) = (&mut traits, subject(user)) {
            if self.release <= Release::Before2_177 {
                traits.clear();
            }
            traits.extend(subject);
        }
        self.audit(Actor::Admin, "user_signedup", Some(traits))
            .await?;
        self.set_role(user).await?;
        if !person.app_metadata.is_empty() {
            self.add_app_metadata(user, &person.app_metadata).await?;
        }
        if user.email.is_some() {
            self.confirm_email(user).await?;
        }
        if user.phone.is_some() {
            self.confirm_phone(user).await?;
        }
        Ok(())
    }

    /// An identity for each address of a user who came without an outside provider.
    pub(super) async fn own_identities(&self, user: &User) -> Result<()> {
        for provider in user.own_providers() {
            let email = user.email.as_deref().filter(|_| provider == "email");
            let mut data = claims(&user.id.to_string(), email, false);
            if provider == "phone" {
                data.insert("phone".to_owned(), json!(user.phone));
            }
            self.insert_identity(user, provider, &data).await?;
        }
        Ok(())
    }
}

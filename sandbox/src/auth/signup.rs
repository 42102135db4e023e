//! How users come into being, see [`SignupKind`].

use anyhow::Result;
use serde_json::json;
use uuid::Uuid;

use super::audit::Actor;
use super::{Auth, Person, SignupKind};

impl Auth {
    /// Makes a user and returns its id. As in Supabase Auth everything up to the sign-in is one
    /// transaction, so an error in a trigger leaves nothing.
    ///
    /// # Errors
    /// If `person` lacks the address that `kind` needs, or the database refuses the user; the
    /// reason is in [`super::sqlstate`].
    pub async fn sign_up(&mut self, kind: SignupKind, person: &Person) -> Result<Uuid> {
        let mut user = kind.new_user(person)?;
        let provider = kind.provider().unwrap_or_default();
        let flow = self.begin().await?;
        flow.insert_user(&user).await?;
        match kind {
            SignupKind::EmailAutoconfirm
            | SignupKind::EmailConfirmation
            | SignupKind::PhoneAutoconfirm
            | SignupKind::PhoneConfirmation => flow.password(kind, &mut user, provider).await?,
            SignupKind::Oauth | SignupKind::OauthUnverified | SignupKind::Saml => {
                flow.external(kind, &mut user, provider).await?;
            }
            SignupKind::Web3 => flow.web3(&user, provider).await?,
            SignupKind::Anonymous => {
                flow.set_role(&user).await?;
                flow.sign_in(&user).await?;
            }
            SignupKind::Invite => flow.invite(&user).await?,
            SignupKind::GeneratedLink => {
                flow.set_role(&user).await?;
                flow.own_identities(&user).await?;
                flow.send_confirmation(&user).await?;
            }
            SignupKind::AdminCreate => flow.admin_create(&mut user, person).await?,
        }
        flow.commit().await?;

        if matches!(
            kind,
            SignupKind::EmailAutoconfirm | SignupKind::PhoneAutoconfirm
        ) {
            let flow = self.begin().await?;
            flow.audit(
                Actor::User(&user),
                "login",
                Some(json!({ "provider": provider })),
            )
            .await?;
            flow.sign_in(&user).await?;
            flow.commit().await?;
        }
        Ok(user.id)
    }

    /// A second signup with the address of a confirmed user, which makes no user.
    ///
    /// # Errors
    /// If there is no such user.
    pub async fn repeat_sign_up(&mut self, id: Uuid) -> Result<()> {
        let flow = self.begin().await?;
        let user = flow.load(id).await?;
        let traits = json!({ "provider": user.own_provider() });
        flow.audit(Actor::User(&user), "user_repeated_signup", Some(traits))
            .await?;
        flow.commit().await
    }
}

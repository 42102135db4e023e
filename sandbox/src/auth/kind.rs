//! The ways into a Supabase project.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::person::Person;
use super::user::User;

/// How a user comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignupKind {
    /// By e-mail, where the project confirms addresses unseen.
    EmailAutoconfirm,
    /// By e-mail, where the address has to be confirmed; it is not yet.
    EmailConfirmation,
    /// By phone, where the project confirms numbers unseen.
    PhoneAutoconfirm,
    /// By phone, where the number has to be confirmed; it is not yet.
    PhoneConfirmation,
    /// By an OAuth provider that vouches for the e-mail address.
    Oauth,
    /// By an OAuth provider that does not: the person gets an error, and yet a user is made.
    OauthUnverified,
    /// By SAML single sign-on. The e-mail address need not be unique.
    Saml,
    /// By a blockchain wallet: neither e-mail address nor phone number.
    Web3,
    /// Anonymously: neither e-mail address nor phone number.
    Anonymous,
    /// An administrator sent an invitation, which is not accepted yet.
    Invite,
    /// An administrator made a signup link, which nobody has followed yet.
    GeneratedLink,
    /// An administrator made the user, with a confirmed address.
    AdminCreate,
}

impl SignupKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::EmailAutoconfirm,
        Self::EmailConfirmation,
        Self::PhoneAutoconfirm,
        Self::PhoneConfirmation,
        Self::Oauth,
        Self::OauthUnverified,
        Self::Saml,
        Self::Web3,
        Self::Anonymous,
        Self::Invite,
        Self::GeneratedLink,
        Self::AdminCreate,
    ];

    /// What people call it.
    pub fn label(self) -> &'static str {
        match self {
            Self::EmailAutoconfirm => "e-mail",
            Self::EmailConfirmation => "e-mail, not yet confirmed",
            Self::PhoneAutoconfirm => "phone",
            Self::PhoneConfirmation => "phone, not yet confirmed",
            Self::Oauth => "OAuth",
            Self::OauthUnverified => "OAuth, unverified e-mail",
            Self::Saml => "single sign-on (SAML)",
            Self::Web3 => "wallet (web3)",
            Self::Anonymous => "anonymous",
            Self::Invite => "invitation",
            Self::GeneratedLink => "generated link",
            Self::AdminCreate => "made by an administrator",
        }
    }

    /// The provider's name in `raw_app_meta_data`, the identity and the audit log; `None` for
    /// anonymous users.
    pub(super) fn provider(self) -> Option<&'static str> {
        match self {
            Self::PhoneAutoconfirm | Self::PhoneConfirmation => Some("phone"),
            Self::Oauth | Self::OauthUnverified => Some("google"),
            Self::Saml => Some("sso:5f0f4a3e-6b1c-4f4e-9d5a-0c3c5a7d1e20"),
            Self::Web3 => Some("web3"),
            Self::Anonymous => None,
            Self::EmailAutoconfirm
            | Self::EmailConfirmation
            | Self::Invite
            | Self::GeneratedLink
            | Self::AdminCreate => Some("email"),
        }
    }

    /// The row of `auth.users` as the AFTER INSERT trigger sees it.
    pub(super) fn new_user(self, person: &Person) -> Result<User> {
        let email = || {
            let email = person.email.as_deref();
            email
                .map(str::to_lowercase)
                .with_context(|| format!("{self:?} needs an e-mail address"))
        };
        let phone = || {
            person
                .phone
                .clone()
                .with_context(|| format!("{self:?} needs a phone number"))
        };
        let id = person.id.unwrap_or_else(Uuid::new_v4);
        let mut user = User {
            id,
            email: None,
            phone: None,
            user_metadata: person.user_metadata.clone(),
            app_metadata: app_metadata(self.provider().as_slice()),
            is_sso_user: self == Self::Saml,
            is_anonymous: self == Self::Anonymous,
        };
        match self {
            Self::EmailAutoconfirm
            | Self::EmailConfirmation
            | Self::GeneratedLink
            | Self::Invite => user.email = Some(email()?),
            Self::PhoneAutoconfirm | Self::PhoneConfirmation => user.phone = Some(phone()?),
            Self::Oauth | Self::OauthUnverified | Self::Saml => {
                user.email = Some(email()?);
                let subject = id.simple().to_string();
                let verified = self != Self::OauthUnverified;
                user.user_metadata
                    .extend(claims(&subject, user.email.as_deref(), verified));
            }
            Self::Web3 => {
                let address = format!("0x{:040x}", id.as_u128());
                let subject = format!("web3:ethereum:{address}");
                user.user_metadata = claims(&subject, None, false);
                let claims = json!({
                    "address": address, "chain": "ethereum", "domain": "example.com",
                    "network": "1", "statement": "",
                });
                user.user_metadata
                    .insert("custom_claims".to_owned(), claims);
            }
            Self::Anonymous => {}
            Self::AdminCreate => {
                user.email = person.email.as_deref().map(str::to_lowercase);
                user.phone.clone_from(&person.phone);
                user.app_metadata = app_metadata(&user.own_providers());
                if user.email.is_none() {
                    phone().context("an administrator makes users with an address only")?;
                }
            }
        }
        Ok(user)
    }
}

/// What `raw_app_meta_data` says about where a user comes from.
fn app_metadata(providers: &[&str]) -> Map<String, Value> {
    let Some(first) = providers.first() else {
        return Map::new();
    };
    Map::from_iter([
        ("provider".to_owned(), json!(first)),
        ("providers".to_owned(), json!(providers)),
    ])
}

/// What a provider says about a person; `subject` is the provider's name for them.
pub(super) fn claims(subject: &str, email: Option<&str>, verified: bool) -> Map<String, Value> {
    let mut claims = Map::new();
    if let Some(email) = email {
        claims.insert("email".to_owned(), json!(email));
    }
    claims.insert("email_verified".to_owned(), json!(verified));
    claims.insert("phone_verified".to_owned(), json!(false));
    claims.insert("sub".to_owned(), json!(subject));
    claims
}

//! A user as Supabase Auth holds it in memory during a flow.

use serde_json::{Map, Value};
use uuid::Uuid;

#[derive(Debug)]
pub(super) struct User {
    pub(super) id: Uuid,
    pub(super) email: Option<String>,
    pub(super) phone: Option<String>,
    pub(super) user_metadata: Map<String, Value>,
    pub(super) app_metadata: Map<String, Value>,
    pub(super) is_sso_user: bool,
    pub(super) is_anonymous: bool,
}

impl User {
    /// The provider under whose name a user without an outside provider is confirmed.
    pub(super) fn own_provider(&self) -> &'static str {
        if self.email.is_some() {
            "email"
        } else {
            "phone"
        }
    }

    /// The same for each address of such a user.
    pub(super) fn own_providers(&self) -> Vec<&'static str> {
        let email = self.email.is_some().then_some("email");
        let phone = self.phone.is_some().then_some("phone");
        email.into_iter().chain(phone).collect()
    }
}

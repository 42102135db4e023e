//! Rows of `auth.audit_log_entries`.

use anyhow::Result;
use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::flow::Flow;
use super::user::User;

/// Who did what an audit row tells of.
pub(super) enum Actor<'a> {
    User(&'a User),
    /// Whoever holds the service-role key.
    Admin,
}

impl Flow<'_> {
    /// Writes an audit row, unless the project's audit log is off. The payload is the compact JSON
    /// text with sorted keys that Supabase Auth stores; `traits` has to be sorted already.
    pub(super) async fn audit(
        &self,
        actor: Actor<'_>,
        action: &str,
        traits: Option<Value>,
    ) -> Result<()> {
        if !self.audit_log {
            return Ok(());
        }
        let (id, username, name, via_sso) = match actor {
            Actor::User(user) => {
                let username = user
                    .phone
                    .as_deref()
                    .or(user.email.as_deref())
                    .unwrap_or_default();
                (
                    user.id,
                    username,
                    user.user_metadata.get("full_name"),
                    user.is_sso_user,
                )
            }
            Actor::Admin => (Uuid::nil(), "service_role", None, false),
        };
        // In this order the keys are sorted whether or not serde_json keeps the order of insertion.
        let mut payload = Map::new();
        payload.insert("action".to_owned(), json!(action));
        payload.insert("actor_id".to_owned(), json!(id.to_string()));
        if let Some(name) = name {
            payload.insert("actor_name".to_owned(), name.clone());
        }
        payload.insert("actor_username".to_owned(), json!(username));
        payload.insert("actor_via_sso".to_owned(), json!(via_sso));
        payload.insert("log_type".to_owned(), json!(log_type(action)));
        if let Some(traits) = traits {
            payload.insert("traits".to_owned(), traits);
        }
        self.run(
            "insert into auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
             values ('00000000-0000-0000-0000-000000000000', $1, $2::text::json, $3, '')",
            &[
                (&Uuid::new_v4(), Type::UUID),
                (&Value::Object(payload).to_string(), Type::TEXT),
                (&self.now, Type::TIMESTAMPTZ),
            ],
        )
        .await?;
        Ok(())
    }
}

/// Which user an administrator's action was about; an address that the user lacks is `""`.
pub(super) fn subject(user: &User) -> Value {
    json!({
        "user_email": user.email.as_deref().unwrap_or_default(),
        "user_id": user.id.to_string(),
        "user_phone": user.phone.as_deref().unwrap_or_default(),
    })
}

fn log_type(action: &str) -> &'static str {
    match action {
        "login" => "account",
        "user_signedup" | "user_invited" | "user_deleted" => "team",
        _ => "user",
    }
}

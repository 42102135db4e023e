//! Who signs up.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What a signup is given. Each kind of signup takes what it has a use for: an e-mail signup no
/// phone number, an anonymous one neither.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// The id that the user gets; `None` for one that nobody knows before.
    pub id: Option<Uuid>,
    /// Supabase Auth stores it in lower case.
    pub email: Option<String>,
    /// Digits only, as Supabase Auth stores it.
    pub phone: Option<String>,
    /// What the person says about themselves; becomes `raw_user_meta_data`.
    pub user_metadata: Map<String, Value>,
    /// What an administrator says about the person; only [`super::SignupKind::AdminCreate`] uses it.
    pub app_metadata: Map<String, Value>,
}

impl Person {
    /// A person with an e-mail address and nothing else.
    pub fn with_email(email: &str) -> Self {
        Self {
            email: Some(email.to_owned()),
            ..Self::default()
        }
    }

    /// Made-up person number `number`, with everything that any signup needs. Different numbers
    /// have different addresses, in ranges that nobody owns.
    pub fn numbered(number: u32) -> Self {
        Self {
            email: Some(format!("person{number}@example.com")),
            phone: Some(format!("1555{number:010}")),
            ..Self::default()
        }
        .with_metadata("full_name", json!(format!("Person {number}")))
    }

    /// Adds one entry to the user metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: Value) -> Self {
        self.user_metadata.insert(key.to_owned(), value);
        self
    }
}

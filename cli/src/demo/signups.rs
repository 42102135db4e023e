//! The people of the demo.

use rollcall_sandbox::{Auth, Database, Person, SignupKind};
use serde_json::json;
use uuid::Uuid;

use crate::table;

/// Who signed up, and how.
pub(super) struct Signups {
    users: Vec<(SignupKind, Uuid)>,
}

impl Signups {
    /// Lets people of every kind sign up, `each` of them; `first` numbers the people.
    pub(super) async fn of_every_kind(
        auth: &mut Auth,
        first: u32,
        each: u32,
    ) -> anyhow::Result<Self> {
        let mut users = Vec::new();
        let mut number = first;
        for kind in SignupKind::ALL {
            for _ in 0..each {
                let person =
                    Person::numbered(number).with_metadata("account_type", json!("investor"));
                users.push((kind, auth.sign_up(kind, &person).await?));
                number += 1;
            }
        }
        Ok(Self { users })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// How many of each kind signed up, and how many have a profile.
    pub(super) async fn table(&self, database: &Database) -> anyhow::Result<String> {
        let client = database.connect().await?;
        let mut rows = Vec::new();
        for kind in SignupKind::ALL {
            let ids: Vec<Uuid> = self
                .users
                .iter()
                .filter(|(k, _)| *k == kind)
                .map(|(_, id)| *id)
                .collect();
            let profiles: i64 = client
                .query_one(
                    "select count(*) from public.profiles where id = any ($1)",
                    &[&ids],
                )
                .await?
                .get(0);
            rows.push([
                kind.label().to_owned(),
                ids.len().to_string(),
                profiles.to_string(),
            ]);
        }
        Ok(table::with_head(
            ["signup", "users", "with a profile"],
            rows,
        ))
    }
}

//! The people of the demo.

use rollcall_sandbox::{Auth, Database, Person, SignupKind};
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
                let id = auth.sign_up(kind, &Person::numbered(number)).await?;
                users.push((kind, id));
                number += 1;
            }
        }
        Ok(Self { users })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// How many of each kind signed up, and how many have a profile and a wallet.
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
            let row = client
                .query_one(
                    "select (select count(*) from public.profiles where id = any ($1)),
                       (select count(*) from public.wallets where user_id = any ($1))",
                    &[&ids],
                )
                .await?;
            rows.push([
                kind.label().to_owned(),
                ids.len().to_string(),
                row.get::<_, i64>(0).to_string(),
                row.get::<_, i64>(1).to_string(),
            ]);
        }
        Ok(table::with_head(
            ["signup", "users", "with a profile", "with a wallet"],
            rows,
        ))
    }
}

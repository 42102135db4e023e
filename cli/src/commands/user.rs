//! A user as a person names them.

use anyhow::bail;
use rollcall::checks::explain;
use rollcall::error::Result;
use rollcall::session::Session;
use uuid::Uuid;

use crate::arguments::UserName;

/// The user's id. What the database refused is a report of its own.
///
/// # Errors
/// Nobody, or several people, have this address or number.
pub(super) async fn find(session: &mut Session, name: &UserName) -> anyhow::Result<Result<Uuid>> {
    let contact = match name {
        UserName::Id(user_id) => return Ok(Ok(*user_id)),
        UserName::Contact(contact) => contact,
    };
    let found = session
        .run(async |database| explain::users_by_contact(database, contact).await)
        .await;
    match found {
        Ok(users) => the_only(&users).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

fn the_only(users: &[Uuid]) -> anyhow::Result<Uuid> {
    match users {
        [user] => Ok(*user),
        [] => bail!(
            "no user has this address or number. A signup that was refused leaves no row: rollcall probe. A deleted user is found by id: rollcall mismatches"
        ),
        several => {
            let ids: Vec<String> = several.iter().map(Uuid::to_string).collect();
            bail!(
                "several users have this address; name one by their id: {}",
                ids.join(", ")
            )
        }
    }
}

//! A user as a person names them.

use std::fmt;
use std::str::FromStr;

use anyhow::bail;
use rollcall::checks::explain;
use rollcall::error::Result;
use rollcall::session::Session;
use uuid::Uuid;

/// How a person names a user.
#[derive(Clone)]
pub(super) enum UserName {
    Id(Uuid),
    /// An e-mail address or a phone number.
    Contact(String),
}

impl FromStr for UserName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.parse() {
            Ok(user_id) => Ok(Self::Id(user_id)),
            Err(_) if name.contains('@') || is_phone_number(name) => {
                Ok(Self::Contact(name.to_owned()))
            }
            Err(_) => Err("neither a user's id nor an e-mail address nor a phone number"),
        }
    }
}

/// Seven digits at least, however they are written.
fn is_phone_number(text: &str) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() >= 7
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-. ()/".contains(&byte))
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserName")
    }
}

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

//! Who signs up, and what becomes of them: the same on both projects.

use anyhow::Result;
use jiff::ToSpan;
use rollcall_sandbox::{Auth, Person, SignupKind, sqlstate};
use rollcall_tests::sql::{acting_as, value};
use serde_json::json;

use crate::{
    shape::{Shape, logs_in},
    stage::{Side, Stage, id},
};

/// What a person writes into the metadata who wants more than the form offers.
const WISHES: [(&str, &str); 8] = [
    ("role", "admin"),
    ("user_type", "admin"),
    ("account_type", "ADMIN"),
    ("plan", "enterprise"),
    ("is_admin", "true"),
    ("user_id", "00000000-0000-4000-8000-000000000001"),
    ("id", "00000000-0000-4000-8000-000000000001"),
    ("email", "somebody-else@example.com"),
];

/// Person `number` as this application's form sees them.
pub(crate) fn person(shape: &Shape, number: u32) -> Person {
    let mut person = Person::numbered(number);
    person.id = Some(id(number));
    if let Some(domain) = &shape.domain {
        person.email = Some(format!("person{number}@{domain}"));
    }
    for (key, value) in shape.form(number) {
        person = person.with_metadata(key, json!(value));
    }
    person
}

/// The same, with wishes that no form offers.
pub(crate) fn ambitious_person(shape: &Shape, number: u32) -> Person {
    let mut person = person(shape, number);
    for (key, value) in WISHES {
        if !person.user_metadata.contains_key(key) {
            person = person.with_metadata(key, json!(value));
        }
    }
    person
}

/// How a call of Supabase Auth ended, in words that can be compared.
fn outcome<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "done".to_owned(),
        Err(error) => {
            let message = error.chain().find_map(|cause| {
                let error = cause
                    .downcast_ref::<tokio_postgres::Error>()?
                    .as_db_error()?;
                Some(error.message().to_owned())
            });
            format!(
                "refused {} {}",
                sqlstate(&error).map_or("without a SQLSTATE", |state| state.code()),
                message.unwrap_or_else(|| format!("{error:#}"))
            )
        }
    }
}

impl Stage<'_> {
    /// A signup on both projects, with what browser and server do after the login; whether there is a user now.
    pub(crate) async fn sign_up(&mut self, kind: SignupKind, person: &Person) -> Result<bool> {
        let number = person.id.map(|id| id.to_string()).unwrap_or_default();
        let twin = outcome(self.twin.auth.sign_up(kind, person).await);
        let subject = outcome(self.subject.auth.sign_up(kind, person).await);
        self.expect(twin == subject, || {
            format!("signup {kind:?} of {number}: {subject}, but the twin's {twin}")
        });
        let exists = format!("select exists (select from auth.users where id = '{number}')");
        let made: bool = value(&self.twin.client, &exists).await?;
        if made && logs_in(kind) {
            self.log_in(&number).await?;
        }
        Ok(made)
    }

    /// What browser and server do after a login.
    async fn log_in(&mut self, user: &str) -> Result<()> {
        let mut ends = Vec::new();
        for side in [&self.twin, &self.subject] {
            ends.push(log_in(self.shape, side, user).await?);
        }
        self.expect(ends[0] == ends[1], || {
            format!("login of {user}: {}, but the twin's {}", ends[1], ends[0])
        });
        self.expect(ends[0] == "done", || {
            format!("the twin's login of {user}: {}", ends[0])
        });
        Ok(())
    }

    /// The same call of Supabase Auth on both projects.
    pub(crate) async fn both(
        &mut self,
        what: &str,
        call: impl AsyncFn(&mut Auth) -> Result<()>,
    ) -> Result<()> {
        let twin = outcome(call(&mut self.twin.auth).await);
        let subject = outcome(call(&mut self.subject.auth).await);
        self.expect(twin == subject, || {
            format!("{what}: {subject}, but the twin's {twin}")
        });
        Ok(())
    }

    /// A signup that has to end as the shape says.
    async fn sign_up_as_expected(
        &mut self,
        kind: SignupKind,
        person: &Person,
        number: u32,
    ) -> Result<()> {
        let made = self.sign_up(kind, person).await?;
        let lets_in = self.shape.lets_in(kind);
        self.expect(made == lets_in, || {
            format!(
                "the shape itself: {kind:?} {}",
                if made { "is let in" } else { "is refused" }
            )
        });
        if made {
            let has = self.twin.has_profile(self.shape, number).await?;
            let expected = self.shape.makes_profile(kind);
            self.expect(has == expected, || {
                format!(
                    "the shape itself: {kind:?} {}",
                    if has {
                        "gets a profile"
                    } else {
                        "gets no profile"
                    }
                )
            });
        }
        Ok(())
    }
}

async fn log_in(shape: &Shape, side: &Side, user: &str) -> Result<String> {
    let browser = log_in_to_the_browser(shape, side, user).await?;
    if browser != "done" {
        return Ok(browser);
    }
    let Some(sql) = &shape.by_server else {
        return Ok(browser);
    };
    let end = side
        .client
        .batch_execute(&sql.replace("$1", &format!("'{user}'")))
        .await;
    Ok(outcome(end.map_err(Into::into)))
}

/// What the browser does after a login, and how that ended.
pub(crate) async fn log_in_to_the_browser(
    shape: &Shape,
    side: &Side,
    user: &str,
) -> Result<String> {
    let Some(sql) = &shape.by_client else {
        return Ok("done".to_owned());
    };
    let client = acting_as(&side.database, "authenticated", Some(user.parse()?)).await?;
    Ok(outcome(client.batch_execute(sql).await.map_err(Into::into)))
}

/// A few of each usual kind, one of whom confirms.
pub(crate) async fn before_rollcall(stage: &mut Stage<'_>) -> Result<()> {
    let kinds = [
        SignupKind::EmailAutoconfirm,
        SignupKind::EmailAutoconfirm,
        SignupKind::EmailConfirmation,
        SignupKind::EmailConfirmation,
        SignupKind::Oauth,
        SignupKind::PhoneAutoconfirm,
        SignupKind::Anonymous,
        SignupKind::Invite,
    ];
    let shape = stage.shape;
    let now = stage.twin.auth.clock;
    stage.set_clock(now.map(|now| now - 48.hours()));
    for (number, kind) in (1..).zip(kinds) {
        if shape.kinds().any(|known| known == kind) {
            stage
                .sign_up_as_expected(kind, &person(shape, number), number)
                .await?;
        }
    }
    confirm(stage, 3).await?;
    stage.set_clock(now);
    stage.expect_same_rows("before Rollcall").await
}

/// The user follows the link in the mail, and is logged in.
pub(crate) async fn confirm(stage: &mut Stage<'_>, number: u32) -> Result<()> {
    stage
        .both("confirmation", async |auth| auth.verify(id(number)).await)
        .await?;
    stage.log_in(&id(number).to_string()).await
}

/// Every kind of signup, refusals, and everything that happens to a user later.
pub(crate) async fn with_rollcall(stage: &mut Stage<'_>) -> Result<()> {
    let shape = stage.shape;
    for (number, kind) in (101..).zip(shape.kinds()) {
        stage
            .sign_up_as_expected(kind, &person(shape, number), number)
            .await?;
    }
    stage.expect_same_rows("after signups").await?;

    stage
        .sign_up(SignupKind::EmailAutoconfirm, &ambitious_person(shape, 120))
        .await?;
    let mut same_address = person(shape, 121);
    same_address.email = person(shape, 101).email;
    stage
        .sign_up(SignupKind::EmailAutoconfirm, &same_address)
        .await?;
    stage.sign_up(SignupKind::Saml, &same_address).await?;
    let mut outsider = person(shape, 122);
    outsider.email = Some("stranger@elsewhere.test".to_owned());
    let let_in = stage
        .sign_up(SignupKind::EmailAutoconfirm, &outsider)
        .await?;
    let expected = !shape.outsiders_refused && shape.lets_in(SignupKind::EmailAutoconfirm);
    stage.expect(let_in == expected, || {
        "the shape itself: what becomes of outsiders".to_owned()
    });
    let mut nobody = Person::numbered(123);
    nobody.id = Some(id(123));
    nobody.user_metadata.clear();
    stage.sign_up(SignupKind::EmailAutoconfirm, &nobody).await?;
    stage
        .expect_same_rows("after refusals and strange signups")
        .await?;

    confirm(stage, 102).await?;
    // an invitation is accepted like that
    confirm(stage, 8).await?;
    let address = format!(
        "changed@{}",
        shape.domain.as_deref().unwrap_or("example.com")
    );
    stage
        .both("change of e-mail", async |auth| {
            auth.change_email(id(101), &address).await
        })
        .await?;
    stage
        .both("change by an administrator", async |auth| {
            auth.admin_update(id(105)).await
        })
        .await?;
    if shape.kinds().any(|kind| kind == SignupKind::Anonymous)
        && shape.lets_in(SignupKind::Anonymous)
        && (shape.makes_profile(SignupKind::Anonymous)
            || shape.target.is_none()
            || shape.permanent_profile)
    {
        stage
            .both("anonymous becomes permanent", async |auth| {
                auth.upgrade_anonymous(id(109), "permanent@example.com")
                    .await
            })
            .await?;
    }
    stage
        .both("soft deletion", async |auth| {
            auth.soft_delete(id(105)).await
        })
        .await?;
    stage
        .both("deletion", async |auth| auth.hard_delete(id(107)).await)
        .await?;
    stage
        .both("deletion in SQL", async |auth| auth.sql_delete(id(5)).await)
        .await?;
    stage.expect_same_rows("after changes and deletions").await
}

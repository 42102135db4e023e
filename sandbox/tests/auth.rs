//! What Supabase Auth leaves behind, flow by flow.

use std::sync::OnceLock;

use anyhow::Result;
use jiff::Timestamp;
use rollcall_sandbox::{Auth, Database, Options, Person, Release, Server, SignupKind, sqlstate};
use serde_json::json;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The tests share a server, each has its own database.
async fn database() -> Result<Database> {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let options = Options::from_env().expect("the environment names a PostgreSQL");
        Server::start(&options).expect("a PostgreSQL server starts")
    });
    server.fresh_database().await
}

/// The audit log's payloads, oldest first, with `ID` for the user's id.
async fn audit_log(database: &Database, id: Uuid) -> Result<Vec<String>> {
    let rows = database
        .connect()
        .await?
        .query_typed(
            "select payload::text from auth.audit_log_entries order by ctid",
            &[],
        )
        .await?;
    let payload = |row: &tokio_postgres::Row| row.get::<_, &str>(0).replace(&id.to_string(), "ID");
    Ok(rows.iter().map(payload).collect())
}

/// Just `action` and traits of the same.
async fn actions(database: &Database, id: Uuid) -> Result<Vec<String>> {
    let shorten = |payload: &String| {
        let payload: serde_json::Value = serde_json::from_str(payload).expect("JSON");
        let action = payload["action"].as_str().expect("an action");
        payload
            .get("traits")
            .map_or(action.to_owned(), |traits| format!("{action} {traits}"))
    };
    Ok(audit_log(database, id).await?.iter().map(shorten).collect())
}

/// One line about the user's row and identities.
async fn state(database: &Database, id: Uuid) -> Result<String> {
    let row = database
        .connect()
        .await?
        .query_typed_one(
            "select concat_ws(' ', coalesce(email, '-'), coalesce(phone, '-'), role,
               case when email_confirmed_at is not null then 'email_confirmed' end,
               case when phone_confirmed_at is not null then 'phone_confirmed' end,
               case when invited_at is not null then 'invited' end,
               case when last_sign_in_at is not null then 'signed_in' end,
               case when is_sso_user then 'sso' end,
               case when is_anonymous then 'anonymous' end,
               (select string_agg('id:' || split_part(provider, ':', 1), ' ' order by provider)
                from auth.identities where user_id = users.id))
             from auth.users where id = $1",
            &[(&id, Type::UUID)],
        )
        .await?;
    Ok(row.get(0))
}

const SSO: &str = "sso:5f0f4a3e-6b1c-4f4e-9d5a-0c3c5a7d1e20";

/// The user's row and the audit log's actions after each kind of signup.
fn expected(kind: SignupKind) -> (&'static str, Vec<String>) {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match kind {
        SignupKind::EmailAutoconfirm => (
            "person7@example.com - authenticated email_confirmed signed_in id:email",
            own(&[
                r#"user_signedup {"provider":"email"}"#,
                r#"login {"provider":"email"}"#,
            ]),
        ),
        SignupKind::EmailConfirmation => (
            "person7@example.com - authenticated id:email",
            own(&[r#"user_confirmation_requested {"provider":"email"}"#]),
        ),
        SignupKind::PhoneAutoconfirm => (
            "- 15550000000007 authenticated phone_confirmed signed_in id:phone",
            own(&[
                r#"user_signedup {"channel":"sms","provider":"phone"}"#,
                r#"login {"provider":"phone"}"#,
            ]),
        ),
        SignupKind::PhoneConfirmation => (
            "- 15550000000007 authenticated id:phone",
            own(&[r#"user_confirmation_requested {"provider":"phone"}"#]),
        ),
        SignupKind::Oauth => (
            "person7@example.com - authenticated email_confirmed signed_in id:google",
            own(&[r#"user_signedup {"provider":"google"}"#]),
        ),
        SignupKind::OauthUnverified => {
            ("person7@example.com - authenticated id:google", Vec::new())
        }
        SignupKind::Saml => (
            "person7@example.com - authenticated email_confirmed signed_in sso id:sso",
            vec![format!(r#"user_signedup {{"provider":"{SSO}"}}"#)],
        ),
        // The second row's traits carry a made-up address and have a test of their own.
        SignupKind::Web3 => ("- - authenticated signed_in id:web3", own(&[])),
        SignupKind::Anonymous => ("- - authenticated signed_in anonymous", Vec::new()),
        SignupKind::Invite => (
            "person7@example.com - authenticated invited id:email",
            own(&[r#"user_invited {"user_email":"person7@example.com","user_id":"ID"}"#]),
        ),
        SignupKind::GeneratedLink => ("person7@example.com - authenticated id:email", Vec::new()),
        SignupKind::AdminCreate => (
            "person7@example.com 15550000000007 authenticated email_confirmed phone_confirmed \
             id:email id:phone",
            own(&[concat!(
                r#"user_signedup {"provider":"email","user_email":"person7@example.com","#,
                r#""user_id":"ID","user_phone":"15550000000007"}"#
            )]),
        ),
    }
}

#[tokio::test]
async fn each_kind_of_signup_leaves_its_rows() -> Result<()> {
    for kind in SignupKind::ALL {
        let database = database().await?;
        let mut auth = Auth::new(&database).await?;

        let id = auth.sign_up(kind, &Person::numbered(7)).await?;

        let (user, log) = expected(kind);
        assert_eq!(state(&database, id).await?, user, "{kind:?}");
        if kind != SignupKind::Web3 {
            assert_eq!(actions(&database, id).await?, log, "{kind:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wallet_signs_in_twice_and_never_signs_up() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;

    let id = auth.sign_up(SignupKind::Web3, &Person::default()).await?;

    let log = actions(&database, id).await?;
    assert_eq!(log.len(), 2);
    assert_eq!(log[0], r#"login {"provider":"web3"}"#);
    assert!(log[1].starts_with(r#"login {"address":"0x"#), "{}", log[1]);
    Ok(())
}

#[tokio::test]
async fn a_payload_is_compact_json_with_sorted_keys() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;

    let id = auth
        .sign_up(SignupKind::EmailConfirmation, &Person::numbered(7))
        .await?;
    auth.hard_delete(id).await?;

    let log = audit_log(&database, id).await?;
    assert_eq!(
        log,
        [
            concat!(
                r#"{"action":"user_confirmation_requested","actor_id":"ID","actor_name":"Person 7","#,
                r#""actor_username":"person7@example.com","actor_via_sso":false,"log_type":"user","#,
                r#""traits":{"provider":"email"}}"#
            ),
            concat!(
                r#"{"action":"user_deleted","actor_id":"00000000-0000-0000-0000-000000000000","#,
                r#""actor_username":"service_role","actor_via_sso":false,"log_type":"team","#,
                r#""traits":{"user_email":"person7@example.com","user_id":"ID","user_phone":""}}"#
            ),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_trigger_that_raises_leaves_nothing_and_tells_its_sqlstate() -> Result<()> {
    let database = database().await?;
    let client = database.connect().await?;
    client
        .batch_execute(
            "create function public.refuse() returns trigger language plpgsql as $$
               begin raise exception 'no profile'; end $$;
             create trigger on_auth_user_created after insert on auth.users
               for each row execute function public.refuse()",
        )
        .await?;
    let mut auth = Auth::new(&database).await?;

    for kind in SignupKind::ALL {
        let error = auth
            .sign_up(kind, &Person::numbered(7))
            .await
            .expect_err("it raises");
        assert_eq!(
            sqlstate(&error),
            Some(&SqlState::RAISE_EXCEPTION),
            "{kind:?}"
        );
    }

    let row = client
        .query_typed_one(
            "select (select count(*) from auth.users) + (select count(*) from auth.identities)
               + (select count(*) from auth.audit_log_entries)",
            &[],
        )
        .await?;
    assert_eq!(row.get::<_, i64>(0), 0);
    Ok(())
}

#[tokio::test]
async fn an_insert_trigger_sees_the_user_before_role_confirmation_and_admin_metadata() -> Result<()>
{
    let database = database().await?;
    let client = database.connect().await?;
    client
        .batch_execute(
            "create table public.seen (role text, confirmed boolean, app jsonb, person jsonb);
             create function public.see() returns trigger language plpgsql security definer as $$
               begin
                 insert into public.seen values (new.role, new.email_confirmed_at is not null,
                   new.raw_app_meta_data, new.raw_user_meta_data);
                 return new;
               end $$;
             create trigger on_auth_user_created after insert on auth.users
               for each row execute function public.see()",
        )
        .await?;
    let mut auth = Auth::new(&database).await?;
    let mut person =
        Person::with_email("Admin.Made@Example.com").with_metadata("plan", json!("pro"));
    person.app_metadata.insert("tenant".to_owned(), json!(7));

    let id = auth.sign_up(SignupKind::AdminCreate, &person).await?;

    let seen = client
        .query_typed_one(
            "select row_to_json(seen)::text, (select raw_app_meta_data ->> 'tenant' from auth.users)
             from public.seen",
            &[],
        )
        .await?;
    assert_eq!(
        seen.get::<_, &str>(0),
        r#"{"role":"","confirmed":false,"app":{"provider": "email", "providers": ["email"]},"person":{"plan": "pro"}}"#
    );
    assert_eq!(seen.get::<_, &str>(1), "7");
    assert_eq!(
        state(&database, id).await?,
        "admin.made@example.com - authenticated email_confirmed id:email"
    );
    Ok(())
}

#[tokio::test]
async fn an_email_address_is_unique_except_for_single_sign_on() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let person = Person::with_email("same@example.com");
    let first = auth.sign_up(SignupKind::EmailAutoconfirm, &person).await?;

    let error = auth
        .sign_up(SignupKind::Oauth, &person)
        .await
        .expect_err("the address is taken");
    assert_eq!(sqlstate(&error), Some(&SqlState::UNIQUE_VIOLATION));

    for _ in 0..2 {
        let twin = auth.sign_up(SignupKind::Saml, &person).await?;
        assert_ne!(twin, first);
    }
    auth.repeat_sign_up(first).await?;
    let log = actions(&database, first).await?;
    assert_eq!(
        log.last().map(String::as_str),
        Some(r#"user_repeated_signup {"provider":"email"}"#)
    );
    Ok(())
}

#[tokio::test]
async fn verification_signs_a_user_up_with_traits_since_2_177() -> Result<()> {
    for (release, traits) in [
        (Release::Current, r#" {"provider":"email"}"#),
        (Release::Before2_177, ""),
    ] {
        let database = database().await?;
        let mut auth = Auth::new(&database).await?;
        auth.release = release;
        let id = auth
            .sign_up(SignupKind::EmailConfirmation, &Person::numbered(7))
            .await?;

        auth.verify(id).await?;

        let log = actions(&database, id).await?;
        assert_eq!(log.last(), Some(&format!("user_signedup{traits}")));
        assert_eq!(
            state(&database, id).await?,
            "person7@example.com - authenticated email_confirmed signed_in id:email"
        );
    }
    Ok(())
}

#[tokio::test]
async fn phone_users_and_invited_users_are_verified_too() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let phone = auth
        .sign_up(SignupKind::PhoneConfirmation, &Person::numbered(1))
        .await?;
    let invited = auth
        .sign_up(SignupKind::Invite, &Person::numbered(2))
        .await?;

    auth.verify(phone).await?;
    auth.verify(invited).await?;

    let log = actions(&database, invited).await?;
    assert_eq!(
        log[2..],
        [
            r#"user_signedup {"provider":"phone"}"#,
            r#"user_signedup {"provider":"email"}"#
        ]
    );
    assert!(state(&database, phone).await?.contains("phone_confirmed"));
    assert!(
        state(&database, invited)
            .await?
            .contains("email_confirmed invited")
    );
    Ok(())
}

#[tokio::test]
async fn an_email_change_and_an_admin_update_are_modifications() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let id = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(7))
        .await?;

    auth.change_email(id, "New@example.com").await?;
    auth.admin_update(id).await?;

    let log = actions(&database, id).await?;
    assert_eq!(
        log[2..],
        [
            "user_modified",
            "user_modified",
            r#"user_modified {"user_email":"new@example.com","user_id":"ID","user_phone":""}"#
        ]
    );
    assert_eq!(
        state(&database, id).await?,
        "new@example.com - authenticated email_confirmed signed_in id:email"
    );
    Ok(())
}

#[tokio::test]
async fn an_anonymous_user_becomes_a_permanent_one_without_an_insert() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let id = auth
        .sign_up(SignupKind::Anonymous, &Person::default())
        .await?;

    auth.upgrade_anonymous(id, "Known@example.com").await?;

    assert_eq!(
        actions(&database, id).await?,
        ["user_modified", "user_modified"]
    );
    assert_eq!(
        state(&database, id).await?,
        "known@example.com - authenticated email_confirmed signed_in id:email"
    );
    Ok(())
}

#[tokio::test]
async fn a_soft_deleted_user_keeps_a_row_of_hashes() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let id = auth
        .sign_up(SignupKind::AdminCreate, &Person::numbered(7))
        .await?;

    auth.soft_delete(id).await?;

    let row = database
        .connect()
        .await?
        .query_typed_one(
            "select email ~ '^[A-Za-z0-9_-]{43}$' and phone ~ '^[A-Za-z0-9_-]{15}$'
               and deleted_at is not null and raw_user_meta_data = '{}' and raw_app_meta_data = '{}'
               and (select count(*) = 2 and bool_and(identity_data = '{}') from auth.identities)
             from auth.users",
            &[],
        )
        .await?;
    assert!(row.get::<_, bool>(0));
    let log = actions(&database, id).await?;
    assert_eq!(
        log[1],
        concat!(
            r#"user_deleted {"user_email":"person7@example.com","user_id":"ID","#,
            r#""user_phone":"15550000000007"}"#
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_deletion_in_sql_is_not_in_the_audit_log() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let id = auth
        .sign_up(SignupKind::Anonymous, &Person::default())
        .await?;

    auth.sql_delete(id).await?;

    assert!(actions(&database, id).await?.is_empty());
    assert!(auth.sql_delete(id).await.is_err());
    assert!(state(&database, id).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_clock_back_dates_and_a_switched_off_audit_log_stays_empty() -> Result<()> {
    let database = database().await?;
    let mut auth = Auth::new(&database).await?;
    let past: Timestamp = "2026-01-02T03:04:05Z".parse()?;
    auth.clock = Some(past);
    auth.audit_log = false;

    let id = auth
        .sign_up(SignupKind::EmailAutoconfirm, &Person::numbered(7))
        .await?;

    assert!(actions(&database, id).await?.is_empty());
    let row = database
        .connect()
        .await?
        .query_typed_one("select created_at, email_confirmed_at from auth.users", &[])
        .await?;
    assert_eq!(
        (row.get::<_, Timestamp>(0), row.get::<_, Timestamp>(1)),
        (past, past)
    );

    auth.audit_log = true;
    auth.hard_delete(id).await?;
    let row = database
        .connect()
        .await?
        .query_typed_one("select created_at from auth.audit_log_entries", &[])
        .await?;
    assert_eq!(row.get::<_, Timestamp>(0), past);
    Ok(())
}

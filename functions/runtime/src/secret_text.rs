//! Reading a secret's text as a PostgreSQL connection string.

use std::net::Ipv6Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde_json::{Map, Value};

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Fields that hold a whole connection string, the likeliest first.
const URL_FIELDS: [&str; 3] = ["DATABASE_URL", "database_url", "url"];

/// PostgreSQL's, where an RDS-style secret has no `port`.
const DEFAULT_PORT: u16 = 5432;

/// Supabase's, where an RDS-style secret has no `dbname`.
const DEFAULT_DATABASE: &str = "postgres";

/// Reads a secret in one of three forms:
/// - a connection string, `postgresql://…` or `host=… user=…`;
/// - a JSON object with one in `DATABASE_URL`, `database_url` or `url`;
/// - a JSON object as RDS writes it: `username`, `password`, `host`, and optionally `port` (number
///   or digits; 5432) and `dbname` (`postgres`), from which a percent-encoded URL is made.
///
/// # Errors
/// [`SecretFormatError`], which says what is missing and never repeats any of the text.
pub fn connection_string(secret: &str) -> Result<SecretString, SecretFormatError> {
    let secret = secret.trim();
    if secret.is_empty() {
        return Err(SecretFormatError::Empty);
    }
    if !secret.starts_with('{') {
        return checked(secret);
    }
    // serde_json's own error may quote the text.
    let fields: Map<String, Value> =
        serde_json::from_str(secret).map_err(|_| SecretFormatError::NotJson)?;
    match URL_FIELDS
        .into_iter()
        .find(|name| fields.contains_key(*name))
    {
        Some(name) => checked(text(&fields, name)?),
        None => from_parts(&fields),
    }
}

fn checked(text: &str) -> Result<SecretString, SecretFormatError> {
    let text = text.trim();
    let is_url = ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    let is_key_values = text
        .split_whitespace()
        .any(|pair| pair.starts_with("host=") || pair.starts_with("hostaddr="));
    if is_url || is_key_values {
        Ok(text.into())
    } else {
        Err(SecretFormatError::NotAConnectionString)
    }
}

fn from_parts(fields: &Map<String, Value>) -> Result<SecretString, SecretFormatError> {
    if !["username", "password", "host"]
        .iter()
        .any(|name| fields.contains_key(*name))
    {
        return Err(SecretFormatError::NoKnownField);
    }
    let user = percent_encoded(text(fields, "username")?);
    let password = percent_encoded(text(fields, "password")?);
    let host = text(fields, "host")?;
    let host = match host.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => percent_encoded(host),
    };
    let port = match fields.get("port") {
        None | Some(Value::Null) => DEFAULT_PORT,
        Some(port) => port_number(port).ok_or(SecretFormatError::BadField("port"))?,
    };
    let database = match fields.get("dbname") {
        None | Some(Value::Null) => DEFAULT_DATABASE.to_owned(),
        Some(_) => percent_encoded(text(fields, "dbname")?),
    };
    Ok(format!("postgresql://{user}:{password}@{host}:{port}/{database}").into())
}

fn text<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a str, SecretFormatError> {
    match fields.get(name) {
        None => Err(SecretFormatError::MissingField(name)),
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        Some(_) => Err(SecretFormatError::BadField(name)),
    }
}

fn port_number(port: &Value) -> Option<u16> {
    let number = match port {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(digits) => digits.parse().ok()?,
        _ => return None,
    };
    (number != 0).then_some(number)
}

fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Why a secret's text cannot be used. Field names only, never values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFormatError {
    /// No text at all.
    #[error("the secret is empty; put the database's connection string into it")]
    Empty,
    /// Begins with `{` and is not a JSON object.
    #[error("the secret begins like a JSON object and is not valid JSON")]
    NotJson,
    /// A JSON object with none of the fields looked for.
    #[error(
        "the secret's JSON has neither DATABASE_URL, database_url or url nor username, password \
         and host"
    )]
    NoKnownField,
    /// Some of `username`, `password`, `host`, without this one.
    #[error(
        "the secret's JSON has no {0}; one that RDS manages for itself lacks the address: store \
         the whole connection string as DATABASE_URL"
    )]
    MissingField(&'static str),
    /// A field of the wrong type, empty or out of range.
    #[error("the secret's field {0} is empty, out of range or of the wrong type")]
    BadField(&'static str),
    /// Neither `postgresql://…` nor `host=…`.
    #[error(
        "the secret is not a connection string; expected postgresql://USER:PASSWORD@HOST:PORT/NAME"
    )]
    NotAConnectionString,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use serde_json::json;
    use tokio_postgres::config::{Config, Host};

    fn read(secret: &str) -> String {
        connection_string(secret)
            .expect("usable")
            .expose_secret()
            .to_owned()
    }

    fn refusal(secret: &str) -> SecretFormatError {
        connection_string(secret).expect_err("unusable")
    }

    #[test]
    fn a_plain_connection_string_is_taken_as_it_is() {
        for text in [
            "postgres://u:p@db.example:5432/postgres",
            "postgresql://u:p@db.example:6543/postgres?sslmode=require",
            "host=db.example user=u password=p",
        ] {
            assert_eq!(read(&format!("{text}\n")), text);
        }
    }

    #[test]
    fn json_may_hold_the_connection_string_under_three_names() {
        for name in URL_FIELDS {
            let secret = json!({ name: "postgresql://u:p@db.example/app", "other": 1 });
            assert_eq!(read(&secret.to_string()), "postgresql://u:p@db.example/app");
        }
    }

    #[test]
    fn the_form_rds_writes_becomes_an_encoded_url() {
        let secret = json!({
            "engine": "postgres", "username": "app user", "password": "p@ss:w/rd?%#",
            "host": "db.example", "port": 6543, "dbname": "a/b",
        });
        assert_eq!(
            read(&secret.to_string()),
            "postgresql://app%20user:p%40ss%3Aw%2Frd%3F%25%23@db.example:6543/a%2Fb"
        );
    }

    #[test]
    fn port_and_database_have_defaults_and_the_port_may_be_text() {
        let parts = json!({"username": "u", "password": "p", "host": "::1"});
        assert_eq!(
            read(&parts.to_string()),
            "postgresql://u:p@[::1]:5432/postgres"
        );
        let parts = json!({"username": "u", "password": "p", "host": "h", "port": "6000"});
        assert_eq!(read(&parts.to_string()), "postgresql://u:p@h:6000/postgres");
    }

    #[test]
    fn what_cannot_be_used_says_which_field_is_wrong() {
        use SecretFormatError::*;
        assert_eq!(refusal(" \n"), Empty);
        assert_eq!(refusal("hunter2"), NotAConnectionString);
        assert_eq!(refusal("https://db.example"), NotAConnectionString);
        assert_eq!(
            refusal(r#"{"url": "mysql://u:p@db.example/app"}"#),
            NotAConnectionString
        );
        assert_eq!(refusal(r#"{"url": ["#), NotJson);
        assert_eq!(refusal("{}"), NoKnownField);
        assert_eq!(refusal(r#"{"url": 7}"#), BadField("url"));
        assert_eq!(
            refusal(r#"{"username": "u", "password": "p"}"#),
            MissingField("host")
        );
        for port in ["0", "65536", "-1", "\"x\"", "true"] {
            let secret =
                format!(r#"{{"username": "u", "password": "p", "host": "h", "port": {port}}}"#);
            assert_eq!(refusal(&secret), BadField("port"));
        }
    }

    #[test]
    fn no_refusal_repeats_any_of_the_secret() {
        for secret in [
            "hunter2",
            r#"{"password": "hunter2", hunter2"#,
            r#"{"hunter2": "hunter2"}"#,
            r#"{"url": "hunter2"}"#,
            r#"{"username": "hunter2", "password": "hunter2"}"#,
            r#"{"username": "u", "password": "hunter2", "host": "h", "port": "hunter2"}"#,
        ] {
            let error = refusal(secret);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_parts_contain_postgresql_reads_them_back(
            user in "[^\\x00]{1,20}", password in "[^\\x00]{1,40}", database in "[^\\x00]{1,20}",
            port in 1_u16..,
        ) {
            let secret = json!({
                "username": user, "password": password, "host": "db.example", "port": port,
                "dbname": database,
            });
            let config: Config = read(&secret.to_string()).parse().expect("a connection string");
            prop_assert_eq!(config.get_user(), Some(user.as_str()));
            prop_assert_eq!(config.get_password(), Some(password.as_bytes()));
            prop_assert_eq!(config.get_dbname(), Some(database.as_str()));
            prop_assert_eq!(config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
            prop_assert_eq!(config.get_ports(), [port]);
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in any::<String>()) {
            let _ = connection_string(&text);
        }
    }
}

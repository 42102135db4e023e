//! Connection settings as libpq, Supabase and people write them, made fit for the driver.
//!
//! The driver refuses `sslmode=verify-full`, `sslrootcert` and `pgbouncer`, which Supabase's own strings and libpq's
//! habits contain. They are taken out here and turned into a [`Transport`]: TLS with a verified certificate, or
//! plaintext, and that to loopback only.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};

use crate::error::{Error, Result};

const UNREADABLE: Error = Error::Settings(
    "it is neither a PostgreSQL URL nor a list of key=value pairs, or it has a setting that is not known here",
);

const AT_SIGN: Error =
    Error::Settings("it has more than one @: in a URL, one in the password is written %40");

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Where a certificate authority comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaCertificate {
    /// The operating system's authorities.
    System,
    /// A file with one or more PEM certificates; only these are trusted.
    File(PathBuf),
    /// PEM text with one or more certificates; only these are trusted.
    Pem(String),
}

impl CaCertificate {
    /// Reads the form that `DATABASE_CA_CERT` has: PEM text or a path.
    pub fn from_text(text: &str) -> Self {
        if text.contains("-----BEGIN") {
            Self::Pem(text.to_owned())
        } else {
            Self::File(PathBuf::from(text.trim()))
        }
    }
}

/// How bytes reach the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Unencrypted; never leaves the machine.
    LoopbackPlaintext,
    /// TLS with the certificate's chain and host name verified.
    VerifiedTls(CaCertificate),
}

/// A usable set of connection settings. Its `Debug` shows no secret.
#[derive(Clone, PartialEq)]
pub struct ConnectionSettings {
    pub(crate) driver: tokio_postgres::Config,
    pub(crate) transport: Transport,
}

impl std::fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl ConnectionSettings {
    /// Reads a connection string, as a URL (`postgresql://…`) or as `key=value` pairs.
    ///
    /// `ca` is the certificate authority given beside the string (`DATABASE_CA_CERT`); `sslrootcert` in the string
    /// comes before it.
    ///
    /// # Errors
    /// [`Error::Settings`] if the string cannot be read, names no host, or asks for an unencrypted connection to
    /// another machine.
    pub fn parse(connection_string: &SecretString, ca: Option<CaCertificate>) -> Result<Self> {
        let text = connection_string.expose_secret().trim();
        if text.is_empty() {
            return Err(Error::Settings("the connection string is empty"));
        }
        let (rest, taken) = if text.contains("://") {
            take_from_url(text)?
        } else {
            take_from_pairs(text)?
        };
        let mut driver: tokio_postgres::Config = rest.parse().map_err(|_| {
            if text.contains("://") && text.matches('@').count() > 1 {
                AT_SIGN
            } else {
                UNREADABLE
            }
        })?;

        if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
            return Err(Error::Settings("it names no host"));
        }
        let transport = transport(&driver, &taken, ca)?;
        driver.ssl_mode(match transport {
            Transport::LoopbackPlaintext => SslMode::Disable,
            Transport::VerifiedTls(_) => SslMode::Require,
        });
        if driver.get_application_name().is_none() {
            driver.application_name("rollcall");
        }
        if driver.get_connect_timeout().is_none() {
            driver.connect_timeout(CONNECT_TIMEOUT);
        }
        Ok(Self { driver, transport })
    }

    /// Name of the database, for people.
    pub fn database_name(&self) -> &str {
        self.driver
            .get_dbname()
            .or(self.driver.get_user())
            .unwrap_or("postgres")
    }

    /// First host, for people.
    pub fn host_name(&self) -> String {
        match self.driver.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => self
                .driver
                .get_hostaddrs()
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}

/// Settings that libpq knows and the driver does not.
#[derive(Default)]
struct Taken {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Taken {
    /// Whether the setting is taken out of the string.
    fn takes(&mut self, key: &str, value: String) -> bool {
        match key {
            "sslmode" => self.sslmode = Some(value),
            "sslrootcert" => self.sslrootcert = Some(value),
            // hints of other clients (Prisma, Supabase's own examples) that mean nothing here
            "pgbouncer" | "connection_limit" | "pool_timeout" | "schema" | "supa"
            | "gssencmode" | "sslcertmode" => {}
            _ => return false,
        }
        true
    }
}

fn take_from_url(url: &str) -> Result<(String, Taken)> {
    let mut taken = Taken::default();
    // a password may hold a question mark, a value of the query may hold an @; the driver, too, takes the first
    let after_password = url.find('@').unwrap_or(0);
    let (base, query) = match url[after_password..].find('?') {
        Some(mark) => (
            &url[..after_password + mark],
            &url[after_password + mark + 1..],
        ),
        None => (url, ""),
    };
    // the rest of the password would be taken for the host, which is shown
    if base.matches('@').count() > 1 {
        return Err(AT_SIGN);
    }
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            !taken.takes(
                key,
                percent_decode_str(value).decode_utf8_lossy().into_owned(),
            )
        })
        .filter(|pair| !pair.is_empty())
        .collect();
    let rest = if kept.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", kept.join("&"))
    };
    Ok((rest, taken))
}

/// `key = 'value with \' quote' key2=value2`, as libpq reads it.
fn take_from_pairs(text: &str) -> Result<(String, Taken)> {
    let mut taken = Taken::default();
    let mut kept = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once('=').ok_or(UNREADABLE)?;
        let key = key.trim();
        let tail = tail.trim_start();
        let quoted = tail.strip_prefix('\'');
        let mut value = String::new();
        let mut escaped = false;
        let mut end = None;
        let body = quoted.unwrap_or(tail);
        for (at, character) in body.char_indices() {
            if escaped {
                value.push(character);
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if quoted.is_some() && character == '\'' {
                end = Some(at + 1);
                break;
            } else if quoted.is_none() && character.is_whitespace() {
                end = Some(at);
                break;
            } else {
                value.push(character);
            }
        }
        if key.is_empty()
            || key.contains(char::is_whitespace)
            || (quoted.is_some() && end.is_none())
        {
            return Err(UNREADABLE);
        }
        rest = body[end.unwrap_or(body.len())..].trim_start();
        if !taken.takes(key, value.clone()) {
            kept.push(format!(
                "{key}='{}'",
                value.replace('\\', "\\\\").replace('\'', "\\'")
            ));
        }
    }
    Ok((kept.join(" "), taken))
}

fn transport(
    driver: &tokio_postgres::Config,
    taken: &Taken,
    ca: Option<CaCertificate>,
) -> Result<Transport> {
    let ca = match taken.sslrootcert.as_deref() {
        None | Some("") => ca,
        Some("system") => Some(CaCertificate::System),
        Some(path) => Some(CaCertificate::File(PathBuf::from(path))),
    };
    match (taken.sslmode.as_deref(), is_loopback(driver)) {
        (Some("verify-full" | "verify-ca" | "require"), _)
        | (None | Some("prefer" | "allow"), false) => {
            Ok(Transport::VerifiedTls(ca.unwrap_or(CaCertificate::System)))
        }
        (None | Some("disable" | "prefer" | "allow"), true) => Ok(Transport::LoopbackPlaintext),
        (Some("disable"), false) => Err(Error::Settings(
            "it asks for an unencrypted connection to another machine (sslmode=disable)",
        )),
        _ => Err(Error::Settings(
            "its sslmode is not one of disable, allow, prefer, require, verify-ca, verify-full",
        )),
    }
}

/// Whether every address that the driver may connect to is this machine's own.
fn is_loopback(driver: &tokio_postgres::Config) -> bool {
    if !driver.get_hostaddrs().is_empty() {
        // the address decides where the bytes go; a name beside it is what the certificate must say
        return driver.get_hostaddrs().iter().all(IpAddr::is_loopback)
            && driver
                .get_hosts()
                .iter()
                .all(|host| matches!(host, Host::Tcp(name) if is_loopback_name(name)));
    }
    driver.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_loopback_name(name),
        #[cfg(unix)]
        Host::Unix(_) => true,
    })
}

fn is_loopback_name(name: &str) -> bool {
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConnectionSettings> {
        ConnectionSettings::parse(&SecretString::from(text), None)
    }

    fn transport_of(text: &str) -> Transport {
        parse(text).expect(text).transport
    }

    const TLS: Transport = Transport::VerifiedTls(CaCertificate::System);

    #[test]
    fn another_machine_is_reached_by_verified_tls_whatever_the_mode() {
        for text in [
            "postgresql://u:p@db.example.com:5432/postgres",
            "postgresql://u:p@db.example.com/postgres?sslmode=require",
            "postgresql://u:p@db.example.com/postgres?sslmode=prefer",
            "postgresql://u:p@db.example.com/postgres?sslmode=verify-full&pgbouncer=true",
            "host=db.example.com user=u sslmode=verify-ca",
            "host=db.example.com hostaddr=127.0.0.1 user=u",
            "postgresql://u:p@127.0.0.1,db.example.com/postgres",
        ] {
            assert_eq!(transport_of(text), TLS, "{text}");
        }
    }

    #[test]
    fn loopback_may_be_plaintext() {
        for text in [
            "postgresql://u@127.0.0.1/x",
            "postgresql://u@localhost/x?sslmode=disable",
            "host=::1 user=u",
            "postgresql://u@127.1.2.3/x",
        ] {
            assert_eq!(transport_of(text), Transport::LoopbackPlaintext, "{text}");
        }
        assert_eq!(
            transport_of("postgresql://u@localhost/x?sslmode=require"),
            TLS
        );
    }

    #[test]
    fn plaintext_to_another_machine_is_refused() {
        for text in [
            "postgresql://u@db.example.com/x?sslmode=disable",
            "host=localhost hostaddr=10.0.0.1 sslmode=disable",
        ] {
            assert!(matches!(parse(text), Err(Error::Settings(_))), "{text}");
        }
    }

    #[test]
    fn a_root_certificate_in_the_string_comes_first() {
        let beside = CaCertificate::from_text("-----BEGIN CERTIFICATE-----");
        let text = SecretString::from(
            "postgresql://u@h.example/x?sslrootcert=%2Fetc%2Fca.pem&sslmode=verify-full",
        );
        let settings = ConnectionSettings::parse(&text, Some(beside.clone())).expect("parses");
        assert_eq!(
            settings.transport,
            Transport::VerifiedTls(CaCertificate::File("/etc/ca.pem".into()))
        );
        let settings =
            ConnectionSettings::parse(&SecretString::from("host=h.example"), Some(beside.clone()))
                .expect("parses");
        assert_eq!(settings.transport, Transport::VerifiedTls(beside));
    }

    #[test]
    fn quoted_pairs_keep_their_values() {
        let settings =
            parse(r"host=localhost password = 'it\'s \\ here' dbname='my db' sslmode=disable")
                .expect("parses");
        assert_eq!(settings.driver.get_password(), Some(&br"it's \ here"[..]));
        assert_eq!(settings.database_name(), "my db");
    }

    #[test]
    fn a_password_with_a_question_mark_is_kept() {
        let settings = parse("postgresql://u:a?b@localhost/x?pgbouncer=true").expect("parses");
        assert_eq!(settings.driver.get_password(), Some(&b"a?b"[..]));
    }

    #[test]
    fn a_password_with_an_at_sign_is_refused_with_how_to_write_it_and_none_of_it_is_taken_for_the_host()
     {
        for text in [
            "postgresql://u:hun@ter2@h.example/x",
            "postgresql://u:hun@ter2@h.example/x?sslmode=require",
            "postgresql://u:hun@t/er2@h.example/x",
            "postgresql://u:hun@t?er2@h.example/x",
        ] {
            let error = parse(text).expect_err(text);
            let shown = error.to_string();
            assert!(shown.contains("%40") && !shown.contains("ter2"), "{shown}");
        }
        let settings = parse("postgresql://u:hun%40ter2@localhost/x").expect("parses");
        assert_eq!(settings.driver.get_password(), Some(&b"hun@ter2"[..]));
        let settings = parse("postgresql://u:hun#ter2@localhost/x").expect("parses");
        assert_eq!(settings.driver.get_password(), Some(&b"hun#ter2"[..]));
    }

    #[test]
    fn a_value_of_the_query_may_hold_an_at_sign() {
        let settings =
            parse("postgresql://u:p@h.example/x?sslmode=verify-full&sslrootcert=/me@corp/ca.pem")
                .expect("parses");
        assert_eq!(
            settings.transport,
            Transport::VerifiedTls(CaCertificate::File("/me@corp/ca.pem".into()))
        );
    }

    #[test]
    fn garbage_is_refused_and_never_repeated() {
        for text in [
            "",
            "  ",
            "secret",
            "postgresql://",
            "host='unclosed",
            "=x",
            "mysql://u:p@h/d",
            "host=h sslmode=maybe",
        ] {
            let error = parse(text).expect_err(text);
            assert!(matches!(error, Error::Settings(_)), "{text}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!(
            "{:?}",
            parse("postgresql://someone:hunter2@db.example.com/x").expect("parses")
        );
        assert!(
            !shown.contains("hunter2") && !shown.contains("someone"),
            "{shown}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_pair_like_text_is_read_or_refused(text in "[a-z=' \\\\\n]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_quoted_password_survives(password in "[^\0]{1,40}") {
            let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
            let settings = parse(&format!("host=localhost password='{quoted}' sslmode=disable")).expect("parses");
            proptest::prop_assert_eq!(settings.driver.get_password(), Some(password.as_bytes()));
        }

        #[test]
        fn no_other_machine_is_ever_reached_in_plaintext(
            host in "[a-z]{1,10}\\.example|10\\.[0-9]{1,2}\\.0\\.1|\\[fd00::1\\]",
            mode in "(\\?sslmode=(disable|allow|prefer|require|verify-ca|verify-full))?",
        ) {
            if let Ok(settings) = parse(&format!("postgresql://u:p@{host}/d{mode}")) {
                proptest::prop_assert!(matches!(settings.transport, Transport::VerifiedTls(_)));
            }
        }
    }
}
